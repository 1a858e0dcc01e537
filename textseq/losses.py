"""Summed nats and token counts, and the units that a loss is told in."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from textseq.cells import State


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


def summed_nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats, summed over all predictions.

    Args:
        logits: (..., V), in any float type; computed in float32.
        targets: (...), the right token at each position.
    """
    flat = logits.reshape(-1, logits.shape[-1]).float()
    return torch.nn.functional.cross_entropy(flat, targets.reshape(-1), reduction="sum")


def perplexity(nats_per_token: float) -> float:
    """exp of the loss; infinite where that is more than a float holds."""
    return math.exp(nats_per_token) if nats_per_token < 700 else math.inf


def bits_per_character(nats: float, characters: float) -> float:
    """Summed nats over the characters that they are spread over, in bits."""
    return nats / characters / math.log(2)
