"""Outputs of a recurrent network over a text -> one vector, also by sums over its windows.

Shapes: N texts, T tokens of a window, W width of the outputs (H*D), H hidden, D directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn

from textseq.config.names import PoolingName
from textseq.errors import unknown
from textseq.nn.cells import State
from textseq.nn.rnn_layer import check_lengths, check_steps

LOWEST = -1e30
"""Less than every output and score; unlike minus infinity it can be subtracted from itself."""


@dataclass(frozen=True)
class PooledSums:
    """Sums over the windows so far."""

    last: Tensor
    """Last state of each direction, (N, W); of the second at the first token."""
    total: Tensor
    """The sum of the outputs, (N, W)."""
    count: Tensor
    """Number of tokens, (N, 1)."""
    highest: Tensor
    """The maximum of the outputs, (N, W)."""
    weighted: Tensor
    """The sum of the outputs times exp(score - ``peak``), (N, W)."""
    weight: Tensor
    """The sum of these factors, (N, 1)."""
    peak: Tensor
    """The highest score, (N, 1)."""


class Pooling(nn.Module):
    """The last state, the mean, the maximum, all three, or a mean weighted by attention.

    Attention is that of Yang et al. (2016, equations 5 to 7): a token's score is u^T tanh(W h + b).

    Args:
        kind: "last", "mean", "max", "all" or "attention".
        width: W of the outputs.

    Raises:
        TextseqError: there is no such kind.

    Example:
        >>> recurrent, pooling = nn.GRU(4, 8, batch_first=True), Pooling("mean", 8)
        >>> y, h = recurrent(torch.randn(2, 5, 4))
        >>> pooling(y, (h,)).shape
        torch.Size([2, 8])
    """

    def __init__(self, kind: PoolingName, width: int) -> None:
        super().__init__()
        if kind not in get_args(PoolingName):
            raise unknown("kind of pooling", str(kind), get_args(PoolingName))
        self.kind = kind
        self.width = width
        self.size = 3 * width if kind == "all" else width
        """Width of the pooled vector: W, or 3W with "all"."""
        self.key = nn.Linear(width, width) if kind == "attention" else None
        self.query = nn.Parameter(torch.randn(width) * width**-0.5) if kind == "attention" else None

    def forward(self, outputs: Tensor, state: State, lengths: Tensor | Sequence[int] | None = None) -> Tensor:
        """Pool whole texts.

        Args:
            outputs: (N, T, W), from ``Recurrent``.
            state: after the last step, from ``Recurrent``; its first tensor is h, (L*D, N, H).
            lengths: real tokens of each text, (N,), each from 1 to T; None: all are.

        Returns:
            One vector for each text, (N, size).

        Raises:
            ValueError: outputs of another width, no token, or lengths that are not from 1 to T.
        """
        if outputs.shape[2] != self.width:
            raise ValueError(f"outputs: expected (N, T, {self.width}), got {tuple(outputs.shape)}; set width to it")
        check_steps(outputs.shape[1])
        h = state[0][-(outputs.shape[2] // state[0].shape[2]) :]  # (D, N, H), of the last layer
        places = torch.arange(outputs.shape[1], device=outputs.device)
        if lengths is None:
            ends = places.new_full(outputs.shape[:1], len(places))
        else:
            ends = check_lengths(lengths, *outputs.shape[:2]).to(outputs.device)
        real = places < ends.unsqueeze(1)
        return self.finish(self.add(self.begin(outputs), outputs, real, torch.cat([*h], dim=1)))

    def begin(self, outputs: Tensor) -> PooledSums:
        """Sums of nothing, for the rows of ``outputs`` (N, T, W); in float32 at least."""
        exact = torch.promote_types(outputs.dtype, torch.float32)
        wide, narrow = (outputs.new_zeros(outputs.shape[0], size, dtype=exact) for size in (outputs.shape[2], 1))
        return PooledSums(wide, wide, narrow, wide + LOWEST, wide, narrow, narrow + LOWEST)

    def add(self, before: PooledSums, outputs: Tensor, real: Tensor, last: Tensor) -> PooledSums:
        """Add a window: outputs (N, T, W), ``real`` (N, T), false at padding, and the last states (N, W)."""
        inside = real.unsqueeze(2)
        weighted, weight, peak = before.weighted, before.weight, before.peak
        exact = outputs.to(before.total.dtype)
        if self.kind == "attention":
            scores = self._scores(outputs).to(exact.dtype).masked_fill(~real, LOWEST)  # (N, T)
            peak = torch.maximum(before.peak, scores.amax(dim=1, keepdim=True))
            factors = (scores - peak).exp() * real  # (N, T)
            scale = (before.peak - peak).exp()
            weighted = before.weighted * scale + (factors.unsqueeze(1) @ exact).squeeze(1)
            weight = before.weight * scale + factors.sum(dim=1, keepdim=True)
        return PooledSums(
            last,
            before.total + (exact * inside).sum(dim=1),
            before.count + real.sum(dim=1, keepdim=True),
            torch.maximum(before.highest, exact.masked_fill(~inside, LOWEST).amax(dim=1)),
            weighted,
            weight,
            peak,
        )

    def finish(self, sums: PooledSums) -> Tensor:
        """The pooled vectors, (N, size), in the dtype of the states."""
        mean = sums.total / sums.count
        if self.kind == "last":
            pooled = sums.last
        elif self.kind == "mean":
            pooled = mean
        elif self.kind == "max":
            pooled = sums.highest
        elif self.kind == "all":
            pooled = torch.cat([sums.last, mean, sums.highest], dim=1)
        else:
            pooled = sums.weighted / sums.weight
        return pooled.to(sums.last.dtype)

    def _scores(self, outputs: Tensor) -> Tensor:
        """(N, T, W) -> (N, T)."""
        assert self.key is not None and self.query is not None
        scores: Tensor = torch.tanh(self.key(outputs)).to(self.query.dtype) @ self.query
        return scores
