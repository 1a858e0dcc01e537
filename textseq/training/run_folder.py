"""The folder of a run: its name, its lock, its last checkpoint and its saved settings."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from textseq.checkpoints import checkpoint
from textseq.checkpoints.registry import Facts, find_model, newest
from textseq.config.base import Settings
from textseq.config.names import Task
from textseq.config.training import TrainingConfig
from textseq.errors import TextseqError
from textseq.io.locks import locked
from textseq.io.paths import runs_folder
from textseq.training.devices import pick_precision
from textseq.training.distributed.environment import environment

BEST_BY: Mapping[Task, tuple[str, ...]] = {
    "language-model": ("loss",),
    "translation": ("loss", "bleu"),
    "classification": ("accuracy", "loss"),
    "tagging": ("accuracy", "loss"),
}
"""What the best checkpoint of a task may be the best by."""

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
        return checkpoint.load_found(find)
    except TextseqError as error:
        if newest(folder, "best") is None:
            raise
        raise TextseqError(f"{error} (--from {folder} begins with the best weights of the run)") from None


def suited(training: TrainingConfig, task: Task) -> TrainingConfig:
    """The settings with the precision that ``auto`` stands for.

    Raises:
        TextseqError: a measure of the best that the task has not.
    """
    if training.best_by not in BEST_BY[task]:
        raise TextseqError(
            f"--best-by {training.best_by} is not for a {task}, of which the best is told by "
            f"{' or '.join(BEST_BY[task])}; choose one, or leave it out"
        )
    return pick_precision(training)


def going_on(training: TrainingConfig | None, before: TrainingConfig, folder: Path, task: Task) -> TrainingConfig:
    """The settings that a run goes on with: those that it had before, or others that leave it the same run.

    Raises:
        TextseqError: what would make another run of it.
    """
    training = suited(training or before, task)
    if training.optimizer != before.optimizer:
        raise TextseqError(
            f"{folder} goes on with the optimizer that it began with, {before.optimizer}; found "
            f"--optimizer {training.optimizer}; leave it out"
        )
    if training.best_by != before.best_by:
        raise TextseqError(
            f"{folder} goes on with the measure of its best checkpoint, {before.best_by}; found "
            f"--best-by {training.best_by}; leave it out"
        )
    return training


def load_init_model(name: str | None, *tasks: str, vectors: str | None = None) -> checkpoint.Checkpoint | None:
    """The model whose weights a run begins with, if there is one; ``vectors`` are what it might begin with instead.

    Raises:
        TextseqError: there is no such model, or it does something else than one of the tasks; or both are named.
    """
    if name is None:
        return None
    if vectors is not None:
        raise TextseqError("--vectors and --from both say what the token vectors begin with; leave one out")
    base = checkpoint.load_found(lambda: find_model(name))
    if base.facts.get("task") not in tasks:
        wanted = " or a ".join(tasks)
        raise TextseqError(f"--from wants a {wanted}, found a {base.facts.get('task')} in {base.folder}; name another")
    return base


def same_shape(folder: Path, found: Settings, asked: Settings) -> None:
    """Raise a TextseqError if the weights of the model in a folder do not fit the one that the flags ask for."""
    have, want = found.to_dict(), asked.to_dict()
    others = [name for name in want if have[name] != want[name]]
    if others:
        there, here = (", ".join(f"{name} {sizes[name]}" for name in others) for sizes in (have, want))
        raise TextseqError(
            f"--from wants a model of the same shape: {folder} has {there}, the flags ask for {here}; leave the flags "
            "out"
        )


def same_text(folder: Path, before: object, now: str) -> None:
    """Raise a TextseqError if the fingerprint of the text has changed since the run began."""
    if before != now:
        raise TextseqError(
            f"the text of {folder} is not the one that the run began with; bring that back, or train anew "
            f"(--from {folder.name} begins with these weights)"
        )


Kind = TypeVar("Kind", bound=Settings)


def saved(facts: Facts, folder: Path, table: str, settings: type[Kind]) -> Kind:
    """One table of the settings that a run was started with, read back from its ``config.json``.

    Raises:
        TextseqError: a table that is missing or does not fit.
    """
    where = str(folder / "config.json")
    value = _table(facts, folder, table)
    return settings.from_dict(
        {name: tuple(entry) if isinstance(entry, list) else entry for name, entry in value.items()}, where=where
    )


def saved_fingerprint(facts: Facts, folder: Path) -> object:
    """The fingerprint of the corpus that a run was started with.

    Raises:
        TextseqError: it is missing.
    """
    return _table(facts, folder, "corpus").get("fingerprint")


def _table(facts: Facts, folder: Path, name: str) -> dict[str, object]:
    value = facts.get(name)
    if not isinstance(value, dict):
        raise TextseqError(f"{folder / 'config.json'} is damaged: it lacks '{name}'; restore the folder")
    return value
