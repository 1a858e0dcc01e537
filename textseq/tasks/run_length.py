"""How long a run is: enough steps for little data, and notes where the length that is set has few."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from textseq.config.training import TrainingConfig
from textseq.tasks.task import Task

FEW_STEPS = 1000
"""Steps below which a run is short; the default length has at least so many."""
EVALUATIONS = 10
"""Evaluations in a run of so many steps, at least, as few data are soon learned by heart."""


def with_enough_steps(
    training: TrainingConfig, steps_per_epoch: float, task: Task, report: Callable[[str], None], *, initialized: bool
) -> TrainingConfig:
    """The settings, with enough steps if no length is set; a note if the length that is set has few.

    Args:
        training: the settings of the run.
        steps_per_epoch: of the data in these batches.
        task: of the model.
        report: receives the note.
        initialized: from a trained model, which needs fewer steps: no note on a length that is set.
    """
    steps = steps_per_epoch * (training.epoch_limit or math.inf)
    if steps >= FEW_STEPS or training.max_steps is not None:
        return training
    if training.max_epochs is None:
        report(
            f"note: the run has {FEW_STEPS:,} steps, as {training.epoch_limit:g} epochs of so little data make "
            f"{math.ceil(steps):,}; --max-epochs, --max-steps or --max-minutes set another length"
        )
        every = min(training.evaluate_every, FEW_STEPS // EVALUATIONS)
        return replace(training, max_steps=FEW_STEPS, evaluate_every=every)
    if not initialized:
        report(
            f"note: --max-epochs {training.max_epochs:g} makes {math.ceil(steps):,} steps of so little data; "
            f"{task.noun} needs {FEW_STEPS:,} or more: set a larger --max-epochs or a smaller --batch-size"
        )
    return training


def note_few_steps(steps: int, training: TrainingConfig, task: Task, name: str, report: Callable[[str], None]) -> None:
    """A note if a run has ended after few steps by the clock."""
    if steps < FEW_STEPS and training.max_steps is None and training.max_epochs is None:
        report(
            f"note: {steps:,} steps are few; {task.noun} needs {FEW_STEPS:,} or more: continue with "
            f"textseq-train --resume {name} and a larger --max-minutes"
        )
