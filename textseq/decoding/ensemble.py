"""Ensembles: several models that choose every token together, as one step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from textseq.nn.cells import State, Step


def ensemble(steps: Sequence[Step], split: Sequence[int]) -> Step:
    """One step of several models over the same vocabulary.

    Its logits are the logarithm of the mean of the models' probabilities: with averaged log-probabilities one model
    could ban a token.

    Args:
        steps: one step of each model: (tokens (N,), state) -> (logits (N, V), state).
        split: number of tensors in the state of each model. The ensemble's state is all of them, one after the other.

    Example:
        >>> def sure(probability):
        ...     return lambda tokens, state: (torch.tensor([[probability, 1 - probability]]).log(), state)
        >>> logits, _ = ensemble([sure(0.9), sure(0.5)], split=[0, 0])(torch.tensor([0]), ())
        >>> logits.exp()
        tensor([[0.7000, 0.3000]])
    """
    if len(steps) == 1:
        return steps[0]
    assert len(steps) == len(split)

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        after: State = ()
        logits = None
        for model_step, size in zip(steps, split, strict=True):
            log_p, changed = model_step(tokens, state[:size])
            after, state = after + changed, state[size:]
            log_p = log_p.float().log_softmax(dim=1)
            logits = log_p if logits is None else torch.logaddexp(logits, log_p)
        assert logits is not None and not state
        return logits - math.log(len(steps)), after

    return step
