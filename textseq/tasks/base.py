"""The training run of a task between its settings and its trained model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import Any, ClassVar, Generic, TypeVar, cast

import torch
from torch import nn

from textseq.checkpoints import checkpoint
from textseq.checkpoints.checkpoint import Checkpoint, TokenizerLike
from textseq.checkpoints.model_card import model_card
from textseq.checkpoints.model_info import ModelInfo, Table
from textseq.checkpoints.provenance import changes, made_with
from textseq.checkpoints.registry import ModelEntry, find_model, list_models
from textseq.checkpoints.size_limits import build_within_memory
from textseq.config.base import Settings
from textseq.config.training import DistillationConfig
from textseq.data.batching import Cursor
from textseq.data.dataset import Dataset
from textseq.errors import Interrupted
from textseq.io.files import replacing
from textseq.io.progress import ProgressBar
from textseq.tasks.distillation import Distillable, Distillation, fingerprints, load_teachers, teacher_names
from textseq.tasks.initialization import keep_tokenizer, share_known, tokenizer_settings, words_of
from textseq.tasks.predictor import AnyPredictor, Metrics
from textseq.tasks.run_length import FEW_STEPS, note_few_steps, with_enough_steps
from textseq.tasks.task import Task
from textseq.training.averaging import refuse_unmeasured
from textseq.training.batch_size import auto_batch_size
from textseq.training.batches import Batches
from textseq.training.devices import deterministic, pick_device
from textseq.training.distributed.group import Command, join_process_group
from textseq.training.events import Evaluation
from textseq.training.log import learning_curve, tool_module
from textseq.training.run_folder import alone
from textseq.training.step import TrainStep
from textseq.training.trainer import Trainer

DataT = TypeVar("DataT", bound=Dataset)
PredictorT = TypeVar("PredictorT", bound=AnyPredictor)
SettingsT = TypeVar("SettingsT", bound=Settings)
Report = Callable[[str], None]

TEXTS_READ = 1000
"""Texts whose words show whether a model knows their language."""
KNOWN_WORDS = 0.5
"""Share of these words that a model must know; English models know a third of French, less of other languages."""


class Run(ABC, Generic[DataT, PredictorT]):
    """A run between its settings and its trained model.

    Args:
        task: the row.
        folder: of the run.
        info: metadata, with the settings.
        dataset: what is learned from.
        tokenizer: of the text, or several.
        report: receives lines about the run.
        progress: show progress bars, or lines in their place.

    Raises:
        TextseqError: settings that do not fit one another or the data.
    """

    unit: ClassVar[str] = "token"
    """What the loss is the mean over."""
    init_tasks: ClassVar[tuple[str, ...]] = ()
    """Tasks besides its own whose models a run can be initialized from."""

    dataset_info: ClassVar[tuple[str, ...]] = ("language",)
    """Attributes of the dataset that become part of the model's metadata."""

    def __init__(
        self,
        task: Task,
        folder: Path,
        info: ModelInfo,
        dataset: DataT,
        tokenizer: TokenizerLike,
        report: Report,
        *,
        progress: bool = True,
    ) -> None:
        self.task, self.folder, self.dataset = task, folder, dataset
        self.report, self.progress = report, progress
        self.tokenizer = tokenizer
        where = str(folder / "config.json")
        self.training = task.training_config.from_dict(info.training, where=where)
        self.device = pick_device(self.training.device)
        self.process_group = join_process_group(self.device.type)
        made = made_with(self.device, self.process_group.count)
        if note := changes(info.made_with, made):
            report(f"note: {note}")
        self.info = replace(info, made_with=info.made_with or made, resumed_with=made if note else {})
        if self.training.log_to is not None:
            tool_module(self.training.log_to)  # a missing package is reported before anything is replaced
        self.measured = "validation" in dataset.splits
        if not self.measured:
            if self.training.best_by == task.training_config().best_by:
                self.training = replace(self.training, best_by="loss")
            refuse_unmeasured(self.training)
        torch.manual_seed(self.training.seed)
        self.model: nn.Module = build_within_memory(self.make_model).to(self.device)
        self.objective = self._objective()
        rows = self._batch_size()
        self.batches: Batches = self.make_batches(rows)
        if self.measured:
            self.prepare_validation(rows)
        _, second = self.batches.batch(Cursor())
        steps_per_epoch = 1 / (self.batches.epochs(second) * self.training.accumulate)
        self.little_data = steps_per_epoch * self.training.DEFAULT_EPOCHS < FEW_STEPS
        initialized = info.init_from is not None
        self.training = with_enough_steps(self.training, steps_per_epoch, task, report, initialized=initialized)
        for note in self.notes():
            report(note)

    @classmethod
    def info_of(cls, dataset: DataT) -> dict[str, Any]:
        """What the model's metadata take from the dataset."""
        return {name: getattr(dataset, name) for name in cls.dataset_info}

    def check_teacher(self, teacher: Checkpoint) -> None:
        """Raise a TextseqError if a model to learn from has another tokenizer, or does not fit data or settings."""

    @classmethod
    def init_settings(cls, info: ModelInfo) -> tuple[Table, Table]:
        """Model and data settings that must be those of a model to initialize from."""
        return info.model, tokenizer_settings(info.data)

    @classmethod
    def settings(
        cls,
        task: Task,
        dataset: DataT | None,
        init: Checkpoint | None,
        model: Settings | None,
        data: Settings | None,
        *,
        new_vocabulary: bool = False,
    ) -> tuple[Settings, Settings]:
        """Model and data settings, with those of the model to initialize from, or the defaults, for what is None.

        The settings of the tokenizer are that model's, unless ``new_vocabulary``.

        Raises:
            TextseqError: settings that do not fit one another or the data.
        """
        data = data or task.data_config()
        if init is None:
            model = model or task.model_config()
        else:
            shape, tokenizer = cls.init_settings(init.info)
            model = model or task.model_config.from_dict(shape, where="--from")
            if not new_vocabulary:
                data = keep_tokenizer(init.folder, tokenizer, data)
        return cls.resolve(model, data, dataset), data

    @classmethod
    def resolve(cls, model: Settings, data: Settings, dataset: DataT | None) -> Settings:
        """The model settings, with "auto" replaced by what fits the dataset.

        Raises:
            TextseqError: settings that do not fit one another or the dataset.
        """
        return model

    @classmethod
    @abstractmethod
    def make_tokenizer(cls, dataset: DataT, data: Any, report: Report) -> TokenizerLike:
        """Train the tokenizer."""

    @classmethod
    def load_tokenizer(cls, saved: Checkpoint) -> TokenizerLike:
        """The tokenizer of a run to resume or of a model to initialize from."""
        return saved.tokenizer

    @classmethod
    def extend_tokenizer(cls, dataset: DataT, data: Any, saved: Checkpoint) -> tuple[TokenizerLike, str]:
        """``load_tokenizer`` with what is new in the data, and a phrase that counts it; "" if nothing is."""
        return cls.load_tokenizer(saved), ""

    @abstractmethod
    def make_model(self) -> nn.Module:
        """The model, with random weights."""

    def suggested_start(self) -> ModelEntry | None:
        """A shipped model to initialize from, if the data are few."""
        shipped = [model for model in list_models(self.task.name) if model.shipped]
        return self.fitting(shipped) if self.little_data else None

    def fitting(self, models: Sequence[ModelEntry]) -> ModelEntry | None:
        """The model of these that fits the data; by default one that shares a label and knows most of the words."""
        labels, words = {*self.info.labels}, words_of(islice(self.texts(), TEXTS_READ))
        return next(
            (
                model
                for model in models
                if labels & {*model.info.labels} and share_known(words, model.folder) > KNOWN_WORDS
            ),
            None,
        )

    def texts(self) -> Iterable[str]:
        """The training texts, whose words show whether a model knows their language."""
        return ()

    @abstractmethod
    def make_batches(self, rows: int) -> Batches:
        """The training batches, of so many rows."""

    @abstractmethod
    def prepare_validation(self, rows: int) -> None:
        """Open the validation split."""

    @abstractmethod
    def init_weights(self, init: Checkpoint) -> str:
        """Copy another model's weights; returns how much of a new vocabulary is known there."""

    @abstractmethod
    def predictor(self) -> PredictorT:
        """The model as it is, ready for use."""

    @abstractmethod
    def evaluate(self) -> Evaluation:
        """Measure the model as it is on the validation split, or on so much of it as the settings say."""

    @abstractmethod
    def sample(self) -> str:
        """Output of the model as it is, to look at."""

    @abstractmethod
    def final_metrics(self, predictor: PredictorT) -> list[Metrics]:
        """Measure the best model on the validation split. May calibrate it: ``predictor.info`` is kept."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """Sizes of vocabulary and data, in a few words."""

    def notes(self) -> Iterable[str]:
        """Lines about the data or the settings that a user should read before the training."""
        return ()

    def config(self, kind: type[SettingsT], table: Table) -> SettingsT:
        """One table of the settings, such as ``self.config(DataConfig, self.info.data)``."""
        return kind.from_dict(table, where=str(self.folder / "config.json"))

    def run(self, *, resume: bool = False, overwrite: bool = False) -> PredictorT:
        """Train to the end, measure the best model and write its card.

        Of several processes the first does all this; the others follow its commands.

        Args:
            resume: continue the run in the folder.
            overwrite: replace it.

        Raises:
            Interrupted: after Ctrl-C or SIGTERM; the run was saved.
            TextseqError: another process trains in the folder, or the training fails.
        """
        if not self.process_group.leads:
            with deterministic(self.device, self.training.deterministic):
                step = TrainStep(self.model, self.batches, self.training, self.process_group, objective=self.objective)
                step.follow(self.folder, resume=resume)
            return self._open(checkpoint.load(self._best()))
        with alone(self.folder, keep=resume, overwrite=overwrite):
            saved = self._train(resume)
            predictor = self._open(saved)
            if self.measured:
                metrics = self.final_metrics(predictor)
                predictor.info = replace(predictor.info, results=tuple(one.to_dict() for one in metrics))
                checkpoint.set_info(saved.folder, predictor.info)
            card = model_card(self.folder.name, predictor.info, self.model, predictor.describe)
            with replacing(self.folder / "README.md") as (file,):
                file.write(card.encode())
            self.process_group.send(Command.END)
            command = predictor.describe(self.folder.name, predictor.info).command
            self.report(f"the model is in {self.folder}; use it with: {command}")
            return predictor

    def measuring(self, count: int) -> ProgressBar:
        """The progress bar of a measurement of so many texts or tokens."""
        return ProgressBar(count, "measuring the best model", show=self.progress, report=self.report)

    def _objective(self) -> nn.Module:
        """What is trained on: the model's own loss, or that with teachers."""
        names = teacher_names(self.training)
        if not names:
            return self.model
        assert isinstance(self.training, DistillationConfig)
        saved = load_teachers(names, self.task, self.folder, known=self.info.teachers)
        for teacher in saved:
            self.check_teacher(teacher)
        corpora = (corpus for teacher in saved for corpus in teacher.info.corpora)
        known = tuple(dict.fromkeys((*self.info.init_corpora, *corpora)))
        self.info = replace(self.info, teachers=fingerprints(saved), init_corpora=known)
        opened = [self.task.predictor_class().open(teacher, device=str(self.device)) for teacher in saved]
        models = [cast(Distillable, predictor.model) for predictor in opened]
        return Distillation(cast(Distillable, self.model), models, self.training.distil_share)

    def _best(self) -> Path:
        return find_model(str(self.folder.resolve()))

    def _open(self, saved: Checkpoint) -> PredictorT:
        return cast(PredictorT, self.task.predictor_class().open(saved, device=str(self.device)))

    def _batch_size(self) -> int:
        """The batch size, found by trying for ``--batch-size auto``; the number is kept with the run."""
        rows = self.info.data["batch_size"]
        if rows == "auto":
            fit = None
            if self.process_group.leads:
                fit = auto_batch_size(self.model, self.make_batches, self.training, objective=self.objective)
            # Each process takes so many rows; the first has tried for all.
            rows = int(self.process_group.total(fit.rows if fit else 0)) * self.process_group.count
            self.info = replace(self.info, data={**self.info.data, "batch_size": rows})
            if fit:
                self.report(f"--batch-size auto: {rows}; {fit.reason}")
        assert isinstance(rows, int)
        return rows

    def _train(self, resume: bool) -> Checkpoint:
        """Train to the end; returns the best checkpoint."""
        parameters = sum(p.numel() for p in self.model.parameters())
        self.report(f"{self.folder}: {parameters:,} parameters, {self.summary}, on {self.device}")
        trainer = Trainer(
            self.model,
            self.batches,
            self.training,
            folder=self.folder,
            tokenizer=self.tokenizer,
            info=self.info,
            unit=self.unit,
            loss_unit=f"nats per {self.unit}",
            evaluate=self.evaluate if self.measured else None,
            report=self.report,
            sample=self.sample,
            resume=resume,
            process_group=self.process_group,
            objective=self.objective,
        )
        if resume:
            seconds = trainer.progress.seconds
            self.report(f"resumed at step {trainer.progress.step:,}, after {seconds / 60:.1f} minutes of training")
        try:
            with deterministic(self.device, self.training.deterministic):
                steps = trainer.fit(show_progress=self.progress).step
        except Interrupted as stop:
            self.process_group.send(Command.END, stop.code)
            raise Interrupted(
                f"{stop}; continue with: textseq-train --resume {quote(str(self.folder))}", stop.code
            ) from None
        finally:
            if trainer.log.path and trainer.log.path.exists():
                self._draw_curve(trainer.log.path)
        if self.info.init_from is None:
            note_few_steps(steps, self.training, self.task, self.folder.name, self.report)
        return checkpoint.load(self._best())

    def _draw_curve(self, log: Path) -> None:
        """Draw the learning curve; a picture that cannot be drawn does not cost the training."""
        picture = self.folder / "curve.png"
        try:
            learning_curve(log, picture, f"nats per {self.unit}")
        except Exception as error:
            self.report(f"note: {picture} is missing: {' '.join(str(error).split())}")


AnyRun = Run[Any, Any]
