"""What a recurrent network read of a text -> one vector, gathered window by window.

A text of many windows is pooled as a whole: each window adds its share to what was gathered before.

Shapes: N texts, T tokens of a window, W width of the outputs, H hidden, D directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from textseq.config.names import PoolingName

LOWEST = -1e30
"""Below every output and every score; unlike minus infinity it can be subtracted from itself."""


@dataclass(frozen=True)
class Gathered:
    """What is known of the texts so far."""

    last: Tensor
    """The first direction's state after the last token, then the second's after its last, which is the first token."""
    total: Tensor
    """The sum of the outputs, (N, W)."""
    count: Tensor
    """The tokens, (N, 1)."""
    highest: Tensor
    """The maximum of the outputs, (N, W)."""
    weighted: Tensor
    """The sum of the outputs, each times exp(its score - ``peak``), (N, W)."""
    weight: Tensor
    """The sum of these factors, (N, 1)."""
    peak: Tensor
    """The highest score, (N, 1)."""


class Pooling(nn.Module):
    """The state after the last token, the mean, the maximum, all three, or a mean weighted by attention.

    Attention asks as Yang et al. (2016, equations 5 to 7): a token's score is u^T tanh(W h + b).

    Args:
        kind: which of these.
        width: W of the outputs.
    """

    def __init__(self, kind: PoolingName, width: int) -> None:
        super().__init__()
        self.kind = kind
        self.size = 3 * width if kind == "all" else width
        """Width of what is made of a text."""
        self.key = nn.Linear(width, width) if kind == "attention" else None
        self.query = nn.Parameter(torch.randn(width) * width**-0.5) if kind == "attention" else None

    def begin(self, outputs: Tensor) -> Gathered:
        """Nothing gathered yet, of as many texts as there are rows of ``outputs`` (N, T, W)."""
        wide, narrow = outputs.new_zeros(outputs.shape[0], outputs.shape[2]), outputs.new_zeros(outputs.shape[0], 1)
        return Gathered(wide, wide, narrow, wide + LOWEST, wide, narrow, narrow + LOWEST)

    def add(self, before: Gathered, outputs: Tensor, real: Tensor, last: Tensor) -> Gathered:
        """Take a window in.

        Args:
            before: of the windows until now.
            outputs: (N, T, W).
            real: (N, T) booleans: what is no padding.
            last: (N, W), as ``Gathered`` has it.
        """
        seen = real.unsqueeze(2)
        weighted, weight, peak = before.weighted, before.weight, before.peak
        if self.kind == "attention":
            scores = self._scores(outputs).masked_fill(~real, LOWEST)  # (N, T)
            peak = torch.maximum(before.peak, scores.amax(dim=1, keepdim=True))
            factors = (scores - peak).exp() * real  # (N, T)
            scale = (before.peak - peak).exp()
            weighted = before.weighted * scale + (factors.unsqueeze(1) @ outputs).squeeze(1)
            weight = before.weight * scale + factors.sum(dim=1, keepdim=True)
        return Gathered(
            last,
            before.total + (outputs * seen).sum(dim=1),
            before.count + real.sum(dim=1, keepdim=True),
            torch.maximum(before.highest, outputs.masked_fill(~seen, LOWEST).amax(dim=1)),
            weighted,
            weight,
            peak,
        )

    def finish(self, gathered: Gathered) -> Tensor:
        """What stands for the texts, (N, size)."""
        mean = gathered.total / gathered.count
        if self.kind == "last":
            return gathered.last
        if self.kind == "mean":
            return mean
        if self.kind == "max":
            return gathered.highest
        if self.kind == "all":
            return torch.cat([gathered.last, mean, gathered.highest], dim=1)
        return gathered.weighted / gathered.weight

    def _scores(self, outputs: Tensor) -> Tensor:
        """(N, T, W) -> (N, T)."""
        assert self.key is not None and self.query is not None
        scores: Tensor = torch.tanh(self.key(outputs)).to(self.query.dtype) @ self.query
        return scores
