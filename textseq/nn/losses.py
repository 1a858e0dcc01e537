"""The loss of one batch, summed, with the number of predictions."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from textseq.nn.cells import State


@dataclass(frozen=True)
class Loss:
    """The result of ``model.loss(batch, state)``, for every task and every model of ``textseq.training.Trainer``.

    Example, from logits (N, T, V)::

        total = cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        return nn.Loss(total, targets.numel(), state)
    """

    nats: Tensor
    """Summed negative log-likelihood, a scalar that carries the gradient."""
    count: int
    """Number of predictions in the sum."""
    state: State
    """The state before the next batch, each tensor (L, N, H); the trainer detaches it."""
    penalty: Tensor | None = None
    """Added to the mean loss for the gradient only; reported numbers do not contain it."""
