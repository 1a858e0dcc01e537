"""Weights laid out once for the products of a step: in 32 bits as oneDNN wants them, or in 8 bits (see ``quantized``).

A step waits for its weights. torch's own products of a few rows read them as they lie, and so at a fraction of what
the memory gives; laid out in the blocks that oneDNN's kernels read, they come up to three times as fast (measured by
``benchmarks/products.py``). The sums are the same but for their order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from textseq.config.decoding import Precision
from textseq.nn.cells import ALL, Weights
from textseq.nn.kernels.int8 import Int8Linear, Linear, PackedLinear, has_onednn

FEWEST = 2**16
"""A matrix of fewer weights stays as it is: it lies in the nearest cache."""

FEWEST_INT8 = 2**18
"""Likewise in 8 bits, where rounding the vector costs more than it saves."""


@dataclass(frozen=True)
class _Prepared(Weights):
    linear: Callable[[Tensor, Tensor | None, bool], Linear] = field(kw_only=True)
    """Makes a layer of W, b and ``bounded``."""
    blocks: dict[tuple[int | None, int | None], Linear] = field(default_factory=dict, kw_only=True)
    """By the first and last of the rows of U that a step asks for; made when it first does."""

    def _affine(self, h: Tensor, rows: slice) -> Tensor:
        return self.times(h, rows)

    def times(self, h: Tensor, rows: slice = ALL) -> Tensor:
        """U h; and the bias, where normalisation does not come before it."""
        key = (rows.start, rows.stop)
        if key not in self.blocks:
            bias = self.bias[rows] if self.gain is None else None
            self.blocks[key] = self.linear(self.hh[rows], bias, self.bounded)
        return self.blocks[key](h)


def _prepared(weights: Weights, linear: Callable[[Tensor, Tensor | None, bool], Linear]) -> Weights:
    return _Prepared(**{part.name: getattr(weights, part.name) for part in fields(Weights)}, linear=linear)


def packed(weights: Weights) -> Weights:
    """The same weights with their matrix laid out for oneDNN; as they are, if it is small, or where there is no oneDNN.

    It has float32 on the CPU alone.
    """
    if not (_fits(weights.hh) and has_onednn()):
        return weights
    return _prepared(weights, lambda weight, bias, _: PackedLinear(weight, bias))


def _fits(matrix: Tensor) -> bool:
    return matrix.numel() >= FEWEST and matrix.device.type == "cpu" and matrix.dtype == torch.float32


def quantized(weights: Weights) -> Weights:
    """The same weights with their matrix in 8 bits; if it is small, in 32.

    Raises:
        TextseqError: as ``Int8Linear``.
    """
    Int8Linear(weights.hh[:1])  # what cannot be done is refused here, not at the first step
    if weights.hh.numel() < FEWEST_INT8:
        return packed(weights)
    return _prepared(weights, lambda weight, bias, bounded: Int8Linear(weight, bias, bounded=bounded))


Prepare = Callable[[Weights], Weights]


PRECISIONS: dict[Precision, Prepare] = {"float32": packed, "int8": quantized}
"""What makes weights ready for writing, by the number format of the products."""
