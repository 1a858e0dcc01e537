"""The folder of a run: its name, its lock, its last checkpoint and its saved settings."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from textseq.checkpoints import checkpoint
from textseq.checkpoints.registry import newest
from textseq.errors import TextseqError
from textseq.io.locks import locked
from textseq.io.paths import runs_folder
from textseq.training.distributed.environment import environment

LOCK = ".lock"
"""In a run's folder while it is trained."""


def new_folder(name: str, *, overwrite: bool) -> Path:
    """The folder of a new run.

    Raises:
        TextseqError: a name that cannot be one, or a run of this name that is not to be replaced.
    """
    if name in {"", ".", ".."} or "/" in name or "\\" in name or not name.isprintable() or len(name) > 100:
        raise TextseqError(f"--name wants a plain name without slashes, of 1 to 100 characters, found {name!r}")
    folder = runs_folder() / name
    if not overwrite and environment().leads:  # the others may find what the first has begun
        _refuse_taken(folder)
    return folder


def _refuse_taken(folder: Path) -> None:
    """Raise a TextseqError if there is anything in the place of a new run but what a killed one left half-made."""
    if folder.exists() and not (folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())):
        raise TextseqError(
            f"the run {folder} exists; go on with --resume {folder}, replace it with --overwrite, or choose another "
            "--name"
        )


@contextmanager
def alone(folder: Path, *, keep: bool, overwrite: bool) -> Iterator[None]:
    """One training at a time in a run's folder.

    Args:
        folder: is made if it is not there.
        keep: leave the run that is in it, to go on with it.
        overwrite: else empty the folder of it.

    Raises:
        TextseqError: another training is in there, or has been meanwhile; or the folder cannot be written to.
    """
    busy = f"another process trains in {folder}; wait for its end, stop it, or choose another --name"
    with locked(folder / LOCK, busy):
        if not keep:
            if not overwrite:
                _refuse_taken(folder)
            for path in folder.iterdir():
                if path.name != LOCK:
                    shutil.rmtree(path, ignore_errors=True)
                    with suppress(OSError):  # a file, or what cannot be removed
                        path.unlink()
        yield


def last_checkpoint(folder: Path) -> checkpoint.Checkpoint:
    """What a run is resumed from.

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
        raise TextseqError(f"{error} (--from {folder} begins with the best weights of the run)") from None
