"""Distillation: a model learns from other models, its teachers, as well as from the data (Hinton et al. 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from textseq.checkpoints import checkpoint
from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.registry import find_model
from textseq.config.training import DistillationConfig, TrainingConfig
from textseq.errors import TextseqError
from textseq.io.files import sha256
from textseq.nn.cells import State
from textseq.nn.kernels.linear_cross_entropy import OutputLayer, Teachers
from textseq.nn.losses import Loss
from textseq.tasks.task import Task


class Distillable(Protocol):
    """A model that can learn from others of its task, and teach them."""

    @property
    def state_parts(self) -> int:
        """Number of tensors of its state."""

    def loss(self, batch: Any, state: State | None, teachers: Teachers | None = None) -> Loss:
        """The loss of a batch, with what the teachers predict in it."""

    def predictions(self, batch: Any, state: State | None) -> tuple[OutputLayer, State]:
        """What it predicts in a batch, and its state before the next one."""


class Distillation(nn.Module):
    """The loss of a model that learns from teachers. Its state is that of the model and of each teacher in turn.

    Args:
        model: the one that learns.
        teachers: in evaluation mode; they are no part of this module, and learn nothing.
        share: of the teachers in what it learns.

    Example:
        >>> objective = Distillation(small, [large], share=0.5)
        >>> Trainer(small, batches, config, objective=objective).fit()
    """

    def __init__(self, model: Distillable, teachers: Sequence[Distillable], share: float) -> None:
        super().__init__()
        self.model, self.teachers, self.share = model, tuple(teachers), share

    def loss(self, batch: Any, state: State | None) -> Loss:
        """The loss of a batch; ``state`` is that after the previous one, if any."""
        own, *others = self._split(state)
        layers: list[OutputLayer] = []
        after: State = ()
        with torch.no_grad():
            for teacher, before in zip(self.teachers, others, strict=True):
                layer, changed = teacher.predictions(batch, before)
                layers.append(layer)
                after += changed
        loss = self.model.loss(batch, own, Teachers(tuple(layers), self.share))
        return replace(loss, state=loss.state + after)

    def _split(self, state: State | None) -> list[State | None]:
        """The state of the model and of each teacher; None for each where there is none."""
        models = (self.model, *self.teachers)
        if not state:
            return [None for _ in models]
        parts: list[State | None] = []
        for model in models:
            parts.append(state[: model.state_parts])
            state = state[model.state_parts :]
        return parts


def teacher_names(training: TrainingConfig) -> tuple[str, ...]:
    """The models to learn from."""
    return training.distil_from if isinstance(training, DistillationConfig) else ()


def load_teacher(name: str, task: Task) -> Checkpoint:
    """A model to learn from.

    Raises:
        TextseqError: there is no such model, or it is of another task.
    """
    try:
        saved = checkpoint.load_latest(lambda: find_model(name))
    except TextseqError as error:
        raise TextseqError(f"--distil-from: {error}") from error
    if saved.info.task != task.name:
        raise TextseqError(
            f"--distil-from: expected {task.noun}, got {saved.folder}, which is for {saved.info.task}; name another"
        )
    return saved


def load_teachers(names: Sequence[str], task: Task, run: Path, *, known: Sequence[str] = ()) -> list[Checkpoint]:
    """The models that a run learns from.

    Args:
        names: of the models.
        task: of the run.
        run: its folder.
        known: fingerprints of the models that it began with; none for a new run.

    Raises:
        TextseqError: as ``load_teacher``; the run itself is among them, or they are not those that it began with.
    """
    saved = []
    for name in names:
        try:
            saved.append(load_teacher(name, task))
        except TextseqError as error:
            if not known:
                raise
            raise TextseqError(
                f"{error}; {run} learns from it: name it with --distil-from where it is now, or start a new run"
            ) from error
    for name, teacher in zip(names, saved, strict=True):
        if run.resolve() in teacher.folder.resolve().parents:
            raise TextseqError(f"--distil-from: expected other models than the run itself, got {name}; set --name")
    if known and fingerprints(saved) != tuple(known):
        raise TextseqError(
            f"--distil-from: expected the models that {run} began with, got {' '.join(names)} with other weights; name "
            "those, or start a new run"
        )
    return saved


def fingerprints(teachers: Sequence[Checkpoint]) -> tuple[str, ...]:
    """The SHA-256 of the weights of each."""
    return tuple(sha256(teacher.folder / "model.safetensors") for teacher in teachers)


def check_tokenizer(teacher: Checkpoint, theirs: str, ours: str) -> None:
    """Raise a TextseqError if the tokenizer of a teacher has another fingerprint than that of the run."""
    if theirs != ours:
        raise TextseqError(
            f"--distil-from: expected models with the tokens of this run, got {teacher.folder}, whose tokens differ; "
            "leave it out, or train it with the same data and tokenizer (--from adds tokens that are new in your data, "
            "and --new-vocabulary replaces them)"
        )
