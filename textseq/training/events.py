"""Events of a run for its callbacks: steps, lines of the log, evaluations, checkpoints and the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor

from textseq.config.training import TrainingConfig
from textseq.training.optimizers import clipped_norm
from textseq.training.step import StepResult

EventKind = Literal["step", "log", "evaluation", "checkpoint", "end"]


@dataclass(frozen=True)
class Evaluation:
    """The result of evaluating the model on validation data.

    Example:
        >>> Trainer(model, batches, evaluate=lambda: Evaluation(loss=1.2, results={"accuracy": 0.9}))
    """

    loss: float
    results: Mapping[str, object] = field(default_factory=dict)
    """Further numbers for the log, as ``validation_NAME``."""
    words: str = ""
    """One line for the user; by default the loss."""
    criterion: float | None = None
    """The best checkpoint has the lowest; by default the loss. Negate what is better when higher."""

    def __post_init__(self) -> None:
        """Turn NumPy's and torch's numbers into Python's, which JSON has."""
        object.__setattr__(self, "loss", float(self.loss))
        object.__setattr__(self, "criterion", None if self.criterion is None else float(self.criterion))
        object.__setattr__(self, "results", {name: _plain(value) for name, value in self.results.items()})

    @property
    def cost(self) -> float:
        """The criterion, or the loss without one: lower is better."""
        return self.loss if self.criterion is None else self.criterion

    def __str__(self) -> str:
        return self.words or f"loss {self.loss:.4f}"


def _plain(value: object) -> object:
    return value.item() if isinstance(value, (np.generic, Tensor)) else value


@dataclass(frozen=True)
class Event:
    """Something that happened in a run, with the numbers of the last step.

    Example:
        >>> def callback(event: Event) -> None:
        ...     if event.kind == "step" and event.step % 100 == 0:
        ...         print(event.step, event.loss, event.gradient_norm, event.learning_rate)
        >>> Trainer(model, batches, TrainingConfig(max_steps=500), callbacks=[callback]).fit()
    """

    kind: EventKind
    step: int
    """Steps so far. Steps that are repeated after a rollback come again."""
    learning_rate: float
    """Of the last step."""
    result: StepResult
    config: TrainingConfig
    evaluation: Evaluation | None = None
    folder: Path | None = None
    """Of the checkpoint."""
    values: Mapping[str, object] = field(default_factory=dict)
    """Of a line of the log."""

    @property
    def loss(self) -> float:
        """Mean training loss of the last step; of several processes, of this one's rows. Waits for the device."""
        return float(self.result.total) / max(self.result.local_count, 1)

    @property
    def gradient_norm(self) -> float:
        """Norm of the whole gradient before clipping. Waits for the device."""
        return float(self.result.norm)

    @property
    def gradient_norm_clipped(self) -> float:
        """Norm of the whole gradient after clipping. Waits for the device."""
        return clipped_norm(float(self.result.norm_before_scaling), self.config)


Callback = Callable[[Event], None]
"""A function that is called with every event, in the first process only. A method ``close`` of it is called once the
training ends or stops."""


class EventEmitter:
    """Calls the callbacks of a run."""

    def __init__(self, callbacks: Sequence[Callback], config: TrainingConfig) -> None:
        self.callbacks, self.config = callbacks, config
        self.last: Event | None = None

    def emit_step(self, step: int, rate: float, result: StepResult) -> None:
        """Emit the event of a step."""
        if self.callbacks:
            self.last = Event("step", step, rate, result, self.config)
            self.emit("step")

    def close(self) -> None:
        """Close the callbacks that can be closed."""
        for callback in self.callbacks:
            if close := getattr(callback, "close", None):
                close()

    def emit(
        self,
        kind: EventKind,
        *,
        evaluation: Evaluation | None = None,
        folder: Path | None = None,
        values: Mapping[str, object] | None = None,
    ) -> None:
        """Emit an event with the numbers of the last step; none before the first step."""
        if self.last is not None:
            event = replace(self.last, kind=kind, evaluation=evaluation, folder=folder, values=values or {})
            for callback in self.callbacks:
                callback(event)
