"""Several models that choose every token together, as one step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from textseq.nn.cells import State, Step


def ensemble(steps: Sequence[Step], split: Sequence[int]) -> Step:
    """One step of several models over the same vocabulary; of one model alone, that model's own step.

    Its logits are the logarithm of the mean of the models' probabilities, so that a token need only be likely by some
    of the models; where their log-probabilities are averaged instead, as others do, one model can forbid it.

    Args:
        steps: one step of each model; each takes tokens (N,) and gives logits (N, V).
        split: how many tensors the state of each model has. The ensemble's state is all of them, one after the other.
    """
    if len(steps) == 1:
        return steps[0]
    assert len(steps) == len(split)

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        after: State = ()
        logits = None
        for one, size in zip(steps, split, strict=True):
            own, changed = one(tokens, state[:size])
            after, state = after + changed, state[size:]
            own = own.float().log_softmax(dim=1)
            logits = own if logits is None else torch.logaddexp(logits, own)
        assert logits is not None and not state
        return logits - math.log(len(steps)), after

    return step
