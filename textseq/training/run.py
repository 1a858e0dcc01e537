"""What the runs of every task share: a folder of their own, the loop with its signals and curve, the way back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Generic, Protocol, Self, TypeVar

from torch import Tensor, nn

from textseq.checkpoints import checkpoint
from textseq.checkpoints.model_card import About, model_card
from textseq.checkpoints.registry import Facts, find_model
from textseq.config.training import TrainingConfig
from textseq.data.readers.word_vectors import find_vectors, read_vectors
from textseq.errors import Interrupted
from textseq.io.files import replacing
from textseq.nn.embedding import load_rows
from textseq.training.averaging import refuse_unmeasured
from textseq.training.batch_size import auto_batch_size
from textseq.training.batches import Batches
from textseq.training.devices import deterministic, pick_device
from textseq.training.distributed.group import Order, joined
from textseq.training.events import Evaluation
from textseq.training.log import learning_curve, summary_writer
from textseq.training.provenance import changes, made_with
from textseq.training.run_folder import alone
from textseq.training.step import TrainStep
from textseq.training.trainer import Trainer


def load_vectors(
    table: Tensor, tokens: Sequence[str], name: str, *, data_dir: Path | None = None, download: bool = False
) -> list[str]:
    """Fill a table with word vectors that others made, as ``load_rows`` does.

    Args:
        table: (V, E), changed in place.
        tokens: the string of each row.
        name: a file, or a name of ``vector_files.list_vectors()``.
        data_dir: folder of the corpora; ``TEXTSEQ_DATA`` by default.
        download: fetch what is not there.

    Returns:
        What a user should know: how many were found, and what is wrong with the file.

    Raises:
        TextseqError: there are no such vectors, of E numbers, for any of these tokens.
    """
    wanted = {word for token in tokens if (word := token.strip())}
    found = read_vectors(find_vectors(name, data_dir=data_dir, download=download), wanted, size=table.shape[1])
    return [*found.notes, load_rows(table, tokens, found)]


Job = TypeVar("Job")
Sized = TypeVar("Sized", bound="SizedBatches")


class SizedBatches(Batches, Protocol):
    """Batches that can be had in another size."""

    def resized(self, rows: int) -> Self:
        """The same in batches of so many rows."""


class TaskRun(ABC, Generic[Job]):
    """A run between its settings and its end: what every task does alike.

    The class of a task makes the batches and the model, and says how it is measured and what is shown of it.

    Args:
        folder: the run's.
        facts: for ``config.json``.
        splits: those of what is learnt from.
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
        splits: Sequence[str],
        training: TrainingConfig,
        report: Callable[[str], None],
    ) -> None:
        self.folder, self.training, self.report = folder, training, report
        self.facts = {**facts, "training": training.to_dict()}
        self.device = pick_device(training.device)
        self.process_group = joined(self.device.type)
        now = made_with(self.device)
        self.facts.pop("gone_on_with", None)
        if note := changes(self.facts.setdefault("made_with", now), now):
            report(f"note: {note}")
            self.facts["gone_on_with"] = now
        if training.tensorboard:
            summary_writer()  # if it is missing, that is said before anything is replaced
        self.measured = "validation" in splits
        if not self.measured:
            refuse_unmeasured(training)

    @abstractmethod
    def evaluate(self) -> Evaluation:
        """Measure the model as it is on the validation part, or on so much of it as the settings say."""

    @abstractmethod
    def describe(self, facts: Facts, rows: Sequence[Facts]) -> About:
        """What the model card says of it."""

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
        if not self.process_group.leads:
            with deterministic(self.device, self.training.deterministic):
                TrainStep(self.model, self.batches, self.training, self.process_group).follow(
                    self.folder, resume=resume
                )
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
            file.write(
                model_card(self.folder.name, found.facts, self.model, lambda _, *found: self.describe(*found)).encode()
            )
        self.process_group.order(Order.END)
        self.report(f"the model is in {self.folder}; {self.use} {self.folder.name}")
        return job

    def settled(self, batches: Sized) -> Sized:
        """The batches, with the size that ``--batch-size auto`` stands for if that was asked for."""
        data = self.facts["data"]
        assert isinstance(data, dict)
        if data["batch_size"] != "auto":
            return batches
        found = auto_batch_size(self.model, batches.resized, self.training) if self.process_group.leads else None
        # Of several processes each takes so many rows; the first has tried it for all.
        rows = int(self.process_group.total(found.rows if found else 0)) * self.process_group.count
        self.facts["data"] = {**data, "batch_size": rows}
        if found:
            self.report(f"--batch-size auto: {rows}; {found.reason}")
        return batches.resized(rows)

    def sized(self, batches: Sized) -> Sized:
        """Other batches in the same size."""
        data = self.facts["data"]
        assert isinstance(data, dict)
        return batches.resized(int(data["batch_size"]))

    def load_vectors(
        self, table: Tensor, tokens: Sequence[str], name: str | None, *, data_dir: Path | None, download: bool
    ) -> None:
        """Fill the table of the tokens' vectors with those that others made, if there is a name; see ``embedding``."""
        if name is not None:
            for line in load_vectors(table, tokens, name, data_dir=data_dir, download=download):
                self.report(line)

    def _train(self, resume: bool) -> checkpoint.Checkpoint:
        """Train to the end; returns the best model."""
        self.report(f"{self.folder}: {self.summary}, on {self.device}")
        loop = Trainer(
            self.model,
            self.batches,
            self.training,
            folder=self.folder,
            tokenizer=self.tokenizer,
            info=self.facts,
            unit=self.unit,
            loss_unit=f"nats per {self.unit}",
            evaluate=self.evaluate if self.measured else None,
            report=self.report,
            sample=self.sample,
            resume=resume,
            process_group=self.process_group,
        )
        try:
            with deterministic(self.device, self.training.deterministic):
                loop.fit()
        except Interrupted as stop:
            self.process_group.order(Order.END, stop.code)
            raise Interrupted(f"{stop}; go on with: textseq-train --resume {self.folder}", stop.code) from None
        finally:
            if loop.log.path and loop.log.path.exists():
                learning_curve(loop.log.path, self.folder / "curve.png", f"nats per {self.unit}")
        return checkpoint.load(find_model(str(self.folder.resolve())))
