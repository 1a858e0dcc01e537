"""The models, one file per task."""

from __future__ import annotations
