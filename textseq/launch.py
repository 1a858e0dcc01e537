"""What the runs of every task share: a folder of their own, the loop with its signals and curve, the way back."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeVar

from torch import Tensor, nn

from textseq import checkpoint
from textseq.averaging import refuse_unmeasured
from textseq.batch_size import Sized, fitting
from textseq.config import Task, TrainingConfig
from textseq.devices import deterministic, pick_device, pick_precision
from textseq.embedding import load_vectors
from textseq.errors import Interrupted, TextseqError
from textseq.files import locked, replacing
from textseq.learner import Batches, Learner
from textseq.model_card import model_card
from textseq.origin import learnt_from
from textseq.plots import learning_curve
from textseq.processes import Order, joined
from textseq.provenance import changes, made_with
from textseq.ranks import ranks
from textseq.run_log import summary_writer
from textseq.settings import Settings
from textseq.shelf import Facts, find_model, newest, runs_folder
from textseq.training import Evaluation, Run, Training
from textseq.version import __version__

BEST_BY: Mapping[Task, tuple[str, ...]] = {
    "language-model": ("loss",),
    "translator": ("loss", "bleu"),
    "classifier": ("accuracy", "loss"),
    "tagger": ("accuracy", "loss"),
}
"""What the best checkpoint of a task may be the best by."""
LOCK = ".lock"
"""In a run's folder while it is trained."""

Job = TypeVar("Job")


class TaskRun(ABC, Generic[Job]):
    """A run between its settings and its end: what every task does alike.

    The class of a task makes the batches and the model, and says how it is measured and what is shown of it.

    Args:
        folder: the run's.
        facts: for ``config.json``.
        parts: those of what is learnt from.
        training: limits, seed and device.
        report: where lines about the run go.

    Raises:
        TextseqError: what the training wants is not there.
    """

    use: ClassVar[str]
    """How a user goes on; the name of the run follows."""
    unit: str = "token"
    """What the loss is the mean over."""
    batches: Batches
    tokenizer: checkpoint.Savable
    model: nn.Module
    summary: str
    """What is trained on what, in a line."""

    def __init__(
        self,
        folder: Path,
        facts: Facts,
        parts: Sequence[str],
        training: TrainingConfig,
        report: Callable[[str], None],
    ) -> None:
        self.folder, self.training, self.report = folder, training, report
        self.facts = {**facts, "training": training.to_dict()}
        self.device = pick_device(training.device)
        self.processes = joined(self.device.type)
        now = made_with(self.device)
        self.facts.pop("gone_on_with", None)
        if note := changes(self.facts.setdefault("made_with", now), now):
            report(f"note: {note}")
            self.facts["gone_on_with"] = now
        if training.tensorboard:
            summary_writer()  # if it is missing, that is said before anything is replaced
        self.measured = "validation" in parts
        if not self.measured:
            refuse_unmeasured(training)

    @abstractmethod
    def evaluate(self) -> Evaluation:
        """Measure the model as it is on the validation part, or on so much of it as the settings say."""

    @abstractmethod
    def sample(self) -> str:
        """Something that the model as it is makes, to look at."""

    @abstractmethod
    def open(self, found: checkpoint.Checkpoint) -> Job:
        """The model of a checkpoint at work."""

    @abstractmethod
    def measure(self, job: Job, found: checkpoint.Checkpoint) -> list[Facts]:
        """Measure the best model on the validation part, and report what was found."""

    def run(self, *, resume: bool = False, overwrite: bool = False) -> Job:
        """Train to the end, measure the best model and describe it.

        Of several processes the first does all of this, and the others do as it says.

        Args:
            resume: go on with the run that is in the folder.
            overwrite: replace it.

        Raises:
            Interrupted: after Ctrl-C or SIGTERM; the run has saved itself.
            TextseqError: another process trains in the folder, or has meanwhile; whatever the loop cannot mend.
        """
        if not self.processes.leads:
            with deterministic(self.device, self.training.deterministic):
                Learner(self.model, self.batches, self.training, self.processes).follow(self.folder, resume=resume)
            return self.open(checkpoint.load(find_model(str(self.folder.resolve()))))
        with alone(self.folder, keep=resume, overwrite=overwrite):
            return self._run(resume)

    def _run(self, resume: bool) -> Job:
        found = self._train(resume)
        job = self.open(found)
        if self.measured:
            found.facts["results"] = self.measure(job, found)
            checkpoint.set_facts(found.folder, found.facts)
        with replacing(self.folder / "README.md") as (file,):
            file.write(model_card(self.folder.name, found.facts, self.model).encode())
        self.processes.order(Order.END)
        self.report(f"the model is in {self.folder}; {self.use} {self.folder.name}")
        return job

    def settled(self, batches: Sized) -> Sized:
        """The batches, with the size that ``--batch-size auto`` stands for if that was asked for."""
        data = self.facts["data"]
        assert isinstance(data, dict)
        if data["batch_size"] != "auto":
            return batches
        found = fitting(self.model, batches, self.training) if self.processes.leads else None
        # Of several processes each takes so many rows; the first has tried it for all.
        rows = int(self.processes.total(found.rows if found else 0)) * self.processes.count
        self.facts["data"] = {**data, "batch_size": rows}
        if found:
            self.report(f"--batch-size auto: {rows}; {found.why}")
        return batches.resized(rows)

    def sized(self, batches: Sized) -> Sized:
        """Other batches in the same size."""
        data = self.facts["data"]
        assert isinstance(data, dict)
        return batches.resized(int(data["batch_size"]))

    def begin_with_vectors(
        self, table: Tensor, tokens: Sequence[str], name: str | None, *, data: Path | None, download: bool
    ) -> None:
        """Fill the table of the tokens' vectors with those that others made, if there is a name; see ``embedding``."""
        if name is not None:
            for line in load_vectors(table, tokens, name, data=data, download=download):
                self.report(line)

    def _train(self, resume: bool) -> checkpoint.Checkpoint:
        """Train to the end; returns the best model."""
        self.report(f"{self.folder}: {self.summary}, on {self.device}")
        loop = Training(
            self.model,
            self.batches,
            self.training,
            Run(self.folder, self.tokenizer, self.facts, self.unit),
            evaluate=self.evaluate if self.measured else None,
            report=self.report,
            sample=self.sample,
            resume=resume,
            processes=self.processes,
        )
        try:
            with deterministic(self.device, self.training.deterministic):
                loop.train()
        except Interrupted as stop:
            self.processes.order(Order.END, stop.code)
            raise Interrupted(f"{stop}; go on with: textseq-train --resume {self.folder}", stop.code) from None
        finally:
            if loop.log.path.exists():
                learning_curve(loop.log.path, self.folder / "curve.png", self.unit)
        return checkpoint.load(find_model(str(self.folder.resolve())))


def new_folder(name: str, *, overwrite: bool) -> Path:
    """The folder of a new run.

    Raises:
        TextseqError: a name that cannot be one, or a run of this name that is not to be replaced.
    """
    if name in {"", ".", ".."} or "/" in name or "\\" in name or not name.isprintable() or len(name) > 100:
        raise TextseqError(f"--name wants a plain name without slashes, of 1 to 100 characters, found {name!r}")
    folder = runs_folder() / name
    if not overwrite and ranks().leads:  # the others may find what the first has begun
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


class Opened(Protocol):
    """What is known of any corpus."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def licence(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...


def facts_of(
    task: Task,
    origin: Settings,
    corpus: Opened,
    begun: tuple[str | None, checkpoint.Checkpoint | None],
    settings: tuple[Settings, Settings, Settings],
    **further: object,
) -> Facts:
    """What ``config.json`` says of a new run.

    Args:
        task: of the model.
        origin: what it learns from, as the user named it.
        corpus: the same, opened.
        begun: the model whose weights it begins with, by name, and opened.
        settings: of model, data and training.
        further: what only this task has to say.
    """
    tables, (start_from, base) = (one.to_dict() for one in settings), begun
    return {
        "task": task,
        "textseq": __version__,
        "source": origin.to_dict(),
        "corpus": {key: getattr(corpus, key) for key in ("name", "title", "licence", "fingerprint")},
        **further,
        "start_from": start_from,
        "learnt_before": learnt_from(base.facts) if base is not None else [],
        **dict(zip(("model", "data", "training"), tables, strict=True)),
    }


def labels_of(facts: Facts) -> tuple[str, ...]:
    """The names of the labels that a model knows."""
    labels = facts.get("labels")
    return tuple(map(str, labels)) if isinstance(labels, list) else ()


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


def begun_with(name: str | None, *tasks: str, vectors: str | None = None) -> checkpoint.Checkpoint | None:
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
