"""Divergence of a run: a loss or weights that are not finite, or a loss far above its lowest value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from textseq.config.training import TrainingConfig
from textseq.errors import TextseqError
from textseq.training.state import Progress

DIVERGED = 1.0
"""A run has diverged when its smoothed loss is so many nats above its lowest. A loss in other units must also have
doubled."""


def is_finite(loss: float, parameters: Sequence[nn.Parameter]) -> bool:
    """Whether loss and weights are finite: the loss does not show what its own step has done to the weights."""
    return math.isfinite(loss) and bool(torch.stack([p.isfinite().all() for p in parameters]).all())


def has_diverged(loss: float, progress: Progress, loss_unit: str) -> bool:
    """Update the smoothed loss; returns whether it is too far above its lowest value."""
    rise = progress.smooth(loss)
    return rise > (DIVERGED if loss_unit.startswith("nats") else max(DIVERGED, abs(progress.lowest or 0.0)))


def check_rollback(progress: Progress, config: TrainingConfig, folder: Path | None, loss: str) -> None:
    """Raise a TextseqError if a diverged run has no checkpoint to return to, or has returned often enough."""
    if folder is None:
        raise TextseqError(
            f"the loss diverged at step {progress.step} ({loss}); train with a smaller learning_rate or clip_norm, "
            "or with a folder, whose last checkpoint the run can return to"
        )
    if progress.rollbacks >= config.max_rollbacks:
        raise TextseqError(
            f"the loss diverged again at step {progress.step} ({loss}) after {progress.rollbacks} rollbacks; train "
            "from the start with a smaller --learning-rate or --clip-norm"
        )
