"""Errors of reading a file: damaged, unreadable, or not text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from textseq.errors import TextseqError
from textseq.io.compression import damage


class NotText(TextseqError):
    """A file has bytes that are invalid in its encoding."""


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Convert errors of reading a file to TextseqError."""
    try:
        yield
    except damage() as error:
        raise damaged(name, error) from error
    except OSError as error:
        raise (damaged if error.errno is None else unreadable)(name, error) from error


def damaged(name: Path | str, error: Exception) -> TextseqError:
    """The error to raise for a file whose content is not what its format says."""
    return TextseqError(f"{name} is damaged ({error}); replace it, or remove it and download it again")


def unreadable(path: Path | str, error: OSError) -> TextseqError:
    """The error to raise for a file that the system does not let us read."""
    return TextseqError(f"cannot read {path}: {error.strerror or error}; make it readable")
