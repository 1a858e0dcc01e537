"""The folder of a run: its name, its lock and its checkpoints, the last one to resume from and the best one to use."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from shlex import quote

from torch import Tensor

from textseq.checkpoints import checkpoint
from textseq.checkpoints.model_info import ModelInfo, Table
from textseq.checkpoints.registry import Kind, newest
from textseq.errors import TextseqError
from textseq.io.files import refuse_special
from textseq.io.locks import clear_leavings, locked
from textseq.io.paths import runs_folder
from textseq.training.averaging import Averages
from textseq.training.distributed.environment import environment
from textseq.training.events import EventEmitter
from textseq.training.step import TrainStep

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


def is_free(folder: Path) -> bool:
    """Whether a new run can have this folder: there is none, or it has only the hidden files of a killed run."""
    return not folder.exists() or (folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir()))


def _check_free(folder: Path) -> None:
    if not is_free(folder):
        raise TextseqError(
            f"the run {folder} exists; resume it (--resume {quote(str(folder))}), replace it (--overwrite)"
            " or choose another --name"
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


def check_folder(folder: Path, *, resume: bool) -> None:
    """Raise a TextseqError for a folder that holds a run, unless it is resumed, or that is not one of plain files."""
    if folder.is_dir():
        refuse_special(folder)
    if not resume and newest(folder, "last") is not None:
        raise TextseqError(f"{folder} holds a run; continue it with resume=True, or choose another folder")


class RunCheckpoints:
    """Saves a run and restores it; without a folder it saves nothing.

    Args:
        folder: of the run.
        train_step: the model and what decides what comes next.
        averages: of its weights.
        tokenizer: has ``save(folder)``; None saves the weights alone.
        info: for the ``config.json`` of every checkpoint.
        events: announces every checkpoint.
    """

    def __init__(
        self,
        folder: Path | None,
        train_step: TrainStep,
        averages: Averages,
        tokenizer: checkpoint.TokenizerLike | None,
        info: ModelInfo,
        events: EventEmitter,
    ) -> None:
        self.folder, self.train_step, self.averages = folder, train_step, averages
        self.tokenizer, self.info, self.events = tokenizer or _NoFiles(), info, events

    def save_best(self, average_of: tuple[int, ...] = ()) -> None:
        """Save the current weights, the mean of those of some steps if these are given, as the best."""
        self._save("best", average_of=average_of)

    def save_last(self) -> None:
        """Save everything that decides what comes next."""
        if self.folder is not None:
            tensors, progress = self.train_step.gather() | self.averages.tensors(), self.train_step.progress
            self._save("last", (tensors, asdict(progress)))
            self.averages.tidy(progress.averaged_checkpoints)

    def restore(self, *, rollback: bool) -> None:
        """Restore the last checkpoint; see ``TrainStep.restore``."""
        assert self.folder is not None
        tensors = self.train_step.restore(self.folder, rollback=rollback)
        progress = self.train_step.progress
        costs, since = progress.averaged_checkpoints, progress.averaging_since
        progress.averaged_checkpoints = self.averages.restore(tensors, costs, since)

    def load_best(self) -> None:
        """Load the weights of the best checkpoint into the model; see ``Trainer.load_best``."""
        folder = self.folder and (newest(self.folder, "best") or newest(self.folder, "last"))
        if folder is None:
            raise TextseqError("there is no checkpoint to load; train with folder=...")
        weights = checkpoint.read_tensors(folder / "model.safetensors")
        checkpoint.load_weights(self.train_step.model, weights, folder, from_config=False)

    def _save(
        self, kind: Kind, training: tuple[Mapping[str, Tensor], Table] | None = None, average_of: tuple[int, ...] = ()
    ) -> None:
        if self.folder is not None:
            progress, model = self.train_step.progress, self.train_step.model
            info = replace(
                self.info, step=progress.step, best_validation_loss=progress.best_loss, average_of=average_of
            )
            folder = checkpoint.save(self.folder, kind, model, self.tokenizer, info, training)
            self.events.emit("checkpoint", folder=folder)


class _NoFiles:
    def save(self, folder: Path) -> None:
        """Write nothing."""
