"""The folder of a run: its name, its lock, its last checkpoint and its saved settings."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from textseq.checkpoints import checkpoint
from textseq.checkpoints.registry import newest
from textseq.errors import TextseqError
from textseq.io.locks import clear_leavings, locked
from textseq.io.paths import runs_folder
from textseq.training.distributed.environment import environment

LOCK = ".lock"
"""Lock file in the folder of a run that is being trained."""


def new_folder(name: str, *, overwrite: bool) -> Path:
    """The folder of a new run.

    Raises:
        TextseqError: an invalid name, or a run of this name exists and ``overwrite`` is not set.
    """
    if name in {"", ".", ".."} or "/" in name or "\\" in name or not name.isprintable() or len(name) > 100:
        raise TextseqError(f"--name: expected 1 to 100 printable characters without slashes, got {name!r}")
    folder = runs_folder() / name
    if not overwrite and environment().leads:  # other processes may see what the first has written
        _check_free(folder)
    return folder


def _check_free(folder: Path) -> None:
    """Raise a TextseqError if a folder exists with more than the hidden files of a killed run."""
    if folder.exists() and not (folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())):
        raise TextseqError(
            f"the run {folder} exists; resume it (--resume {folder}), replace it (--overwrite) or choose another --name"
        )


@contextmanager
def alone(folder: Path, *, keep: bool, overwrite: bool) -> Iterator[None]:
    """Lock a run's folder, creating it if necessary, so that one training at a time uses it.

    Args:
        folder: the run's folder.
        keep: keep its content, to resume.
        overwrite: delete its content; without either, content raises an error.

    Raises:
        TextseqError: another training uses the folder or has used it meanwhile, or it cannot be written.
    """
    busy = f"another process trains in {folder}; wait until it ends, stop it, or choose another --name"
    with locked(folder / LOCK, busy):
        clear_leavings(folder)
        if not keep:
            if not overwrite:
                _check_free(folder)
            for path in folder.iterdir():
                if path.name != LOCK:
                    shutil.rmtree(path, ignore_errors=True)
                    with suppress(OSError):  # a file, or not removable
                        path.unlink()
        yield


def last_checkpoint(folder: Path) -> checkpoint.Checkpoint:
    """The checkpoint that a run is resumed from.

    Raises:
        TextseqError: there is none, or it is damaged.
    """

    def find() -> Path:
        last = newest(folder, "last")
        if last is None:
            raise TextseqError(f"there is no run to resume at {folder}: it holds no checkpoint; train it with --name")
        return last

    try:
        return checkpoint.load_latest(find)
    except TextseqError as error:
        if newest(folder, "best") is None:
            raise
        raise TextseqError(f"{error} (--from {folder} starts from the best weights of the run)") from None
