"""The commands: parse, call, print; nothing else lives here."""

from __future__ import annotations
