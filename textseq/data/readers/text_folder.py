"""The files of one's own text: those that are named, and those in folders that may be text."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from textseq.errors import TextseqError
from textseq.io.documents.document import Document
from textseq.io.paths import cache_folder, runs_folder

BINARY = re.compile(
    r"\.(7z|bmp|bz2|class|dll|docx?|epub|exe|gif|gz|ico|jar|jpe?g|mp[34]|np[yz]|o|odt|og[gv]|pdf|pickle|png|pt"
    r"|py[cd]|safetensors|so|sqlite|tar|tgz|ttf|wav|webp|whl|woff2?|xlsx?|xz|zip|zst)"
)
"""Endings that are never text; other binary files are recognized by their content."""


def files_of_text(paths: Sequence[Path], left_out: list[Path]) -> dict[Path, bool]:
    """Each file once, in order, and whether it was named directly, not found in a folder.

    Args:
        paths: files and folders, which are searched recursively, in sorted order.
        left_out: the folders of textseq's own files that were found are added to it.

    Raises:
        TextseqError: there is no such file or folder, or a folder cannot be read.
    """
    files: dict[Path, bool] = {}
    for path in paths:
        if os.path.isfile(path):
            files[path.resolve()] = True
        elif os.path.isdir(path):
            for file in _walk(path, left_out):
                files.setdefault(file.resolve(), False)
        else:
            raise TextseqError(f"no file or folder {path}; name text files, or folders with text files")
    return files


def _walk(folder: Path, left_out: list[Path]) -> Iterator[Path]:
    """The files in a folder; folders in it that textseq wrote are added to ``left_out`` instead.

    A run of ``--text .`` is written into its own text, which must still be the same when the run is resumed.
    """

    def refuse(error: OSError) -> None:
        raise TextseqError(f"cannot read {error.filename}: {error.strerror}; make it readable")

    homes = {runs_folder().resolve(), cache_folder().resolve()}
    for here, folders, names in os.walk(folder, onerror=refuse):
        visible = [Path(here, name) for name in sorted(folders) if not name.startswith(".") and name != "__pycache__"]
        ours = [path for path in visible if path.resolve() in homes or _holds_model(path)]
        left_out += ours
        folders[:] = [path.name for path in visible if path not in ours]
        files = (Path(here, name) for name in sorted(names) if not name.startswith("."))
        yield from filter(os.path.isfile, files)  # reading a pipe or socket would block


def _holds_model(folder: Path) -> bool:
    """Whether a folder is a model, or a run with a checkpoint."""
    places = (folder, *folder.glob("best-*"), *folder.glob("last-*"))
    return any((place / "model.safetensors").is_file() for place in places)


def looks_binary(document: Document) -> bool:
    """Whether a file is no text, by its ending or a NUL near its beginning."""
    ending = BINARY.fullmatch(document.path.suffix.lower())
    return ending is not None or "\0" in next(document.chunks(), "")[: 2**13]
