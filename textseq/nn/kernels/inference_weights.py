"""Weights prepared for the products of a step of generation: in oneDNN's layout, or in 8 bits (``quantized``).

torch's own products of a few rows read weights at a fraction of the memory's bandwidth; in the blocks of oneDNN's
kernels they are up to three times as fast (``benchmarks/products.py``). The sums differ only in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from functools import wraps

import torch
from torch import Tensor

from textseq.config.decoding import Precision
from textseq.errors import unknown
from textseq.nn.cells import ALL, Weights
from textseq.nn.kernels.int8 import Int8Linear

MIN_PACKED = 2**16
"""Matrices of fewer weights are left as they are: they fit the nearest cache."""

MIN_INT8 = 2**18
"""Matrices of fewer weights are not quantized: rounding the vector costs more than it saves."""

Linear = Callable[[Tensor], Tensor]
"""x (N, K) -> x W^T + b (N, M)."""

MakeLinear = Callable[[Tensor, Tensor | None, bool], Linear]
"""W, b and ``bounded`` -> a layer."""


class PackedLinear:
    """A linear layer with weights in oneDNN's layout: x (N, K) -> x W^T + b (N, M), all in float32.

    Args:
        weight: W, (M, K).
        bias: b, (M,); None is zero.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), None)
        self.bias = None if bias is None else bias.detach()

    def __call__(self, x: Tensor) -> Tensor:
        """x W^T + b."""
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return product


def has_onednn() -> bool:
    """Whether this torch was built with oneDNN."""
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class _Prepared(Weights):
    make_linear: MakeLinear = field(kw_only=True)
    blocks: dict[tuple[int | None, int | None], Linear] = field(default_factory=dict, kw_only=True)
    """Layers by the first and last row of U, made at their first use."""

    def _affine(self, h: Tensor, rows: slice) -> Tensor:
        return self.times(h, rows)

    def times(self, h: Tensor, rows: slice = ALL) -> Tensor:
        """U h; plus the bias, unless layer normalization comes between."""
        key = (rows.start, rows.stop)
        if key not in self.blocks:
            bias = self.bias[rows] if self.gain is None else None
            self.blocks[key] = self.make_linear(self.hh[rows], bias, self.bounded)
        return self.blocks[key](h)


def _prepared(weights: Weights, make_linear: MakeLinear) -> Weights:
    return _Prepared(**{item.name: getattr(weights, item.name) for item in fields(Weights)}, make_linear=make_linear)


Prepare = Callable[[Weights], Weights]


def _with_input(prepare: Prepare) -> Prepare:
    """The same for the input's weights too, where the step multiplies the input."""

    @wraps(prepare)
    def prepare_both(weights: Weights) -> Weights:
        prepared = prepare(weights)
        return prepared if weights.input is None else replace(prepared, input=prepare(weights.input))

    return prepare_both


@_with_input
def packed(weights: Weights) -> Weights:
    """The weights with their matrix in oneDNN's layout; unchanged if small, not float32, or without oneDNN."""
    hh = weights.hh
    if hh.numel() < MIN_PACKED or hh.device.type != "cpu" or hh.dtype != torch.float32 or not has_onednn():
        return weights
    return _prepared(weights, lambda weight, bias, _: PackedLinear(weight, bias))


@_with_input
def quantized(weights: Weights) -> Weights:
    """The weights with their matrix in 8 bits, or ``packed`` if it is small.

    Raises:
        TextseqError: as ``Int8Linear``.
    """
    Int8Linear(weights.hh[:1])  # raises now rather than at the first step
    if weights.hh.numel() < MIN_INT8:
        return packed(weights)
    return _prepared(weights, lambda weight, bias, bounded: Int8Linear(weight, bias, bounded=bounded))


PRECISIONS: dict[Precision, Prepare] = {"float32": packed, "int8": quantized}
"""Prepares weights for generation, by the precision of the products."""


def preparation(precision: Precision) -> Prepare:
    """The function that prepares weights for products in a precision; an unknown one is a TextseqError."""
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    return PRECISIONS[precision]
