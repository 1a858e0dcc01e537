"""Summed nats and token counts, and the units that a loss is told in."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from textseq.nn.cells import State


@dataclass(frozen=True)
class Loss:
    """What ``model.loss(batch, state)`` gives, for every task."""

    nats: Tensor
    """Summed negative log-likelihood, a scalar that carries the gradient."""
    count: int
    """Predictions that the sum is over."""
    state: State
    """The state that the next batch begins with, detached."""
    penalty: Tensor | None = None
    """What is added to the mean loss for the gradient alone; no figure that is reported contains it."""
