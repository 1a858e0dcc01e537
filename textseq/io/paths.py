"""Folders of the user: the cache and the runs."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Where textseq keeps what it can make again: ``$TEXTSEQ_HOME/cache``, or the user's cache folder."""
    home = os.environ.get("TEXTSEQ_HOME")
    return Path(home).expanduser() / "cache" if home else platformdirs.user_cache_path("textseq")


def runs_folder() -> Path:
    """Where runs live: ``runs`` under ``TEXTSEQ_HOME``, or else under the current folder."""
    return Path(os.environ.get("TEXTSEQ_HOME") or ".") / "runs"
