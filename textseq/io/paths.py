"""Folders of the user: the cache, the runs and the corpora."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from textseq.errors import TextseqError


def cache_folder() -> Path:
    """Where textseq keeps what it can make again: ``$TEXTSEQ_HOME/cache``, or the user's cache folder."""
    home = named_folder("TEXTSEQ_HOME")
    return home / "cache" if home else platformdirs.user_cache_path("textseq")


def runs_folder() -> Path:
    """Where runs live: ``runs`` under ``TEXTSEQ_HOME``, or else under the current folder."""
    return (named_folder("TEXTSEQ_HOME") or Path()) / "runs"


def named_folder(variable: str) -> Path | None:
    """The folder that an environment variable names, if it is set; "~" is understood."""
    value = os.environ.get(variable)
    return expanded(Path(value), variable) if value else None


def expanded(path: Path, name: str) -> Path:
    """The path with a home folder for "~" or "~user"; ``name`` is the flag or variable that gave it.

    Raises:
        TextseqError: there is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise TextseqError(f"{name}: expected a folder, got {path}, and there is no such user") from None
