"""How the weights of a model are stored: 32, 16 or 8 bits per number.

In 8 bits each row of a matrix is stored as integers times its scale, the row's largest absolute value over 127
(symmetric quantization, Jacob et al. 2018, section 2); biases, which are few, have 16 bits. Loaded, the weights are
floating-point numbers again, for every precision.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from textseq.errors import TextseqError

Bits = Literal[32, 16, 8]
"""Bits per number."""

FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32})
"""Valid dtypes of weights that are not integers times a scale."""

SCALE = ":scale"
"""Ends the name of the scales (M,) of a matrix (M, ...)."""

LARGEST = 127
"""The largest absolute value of an integer."""


def to_stored(weights: Mapping[str, Tensor], bits: Bits) -> dict[str, Tensor]:
    """The tensors of the file, for weights in floating point.

    Raises:
        TextseqError: bits is none of 32, 16 and 8.

    Example:
        >>> stored = to_stored({"weight": torch.tensor([[1.0, -2.0]]), "bias": torch.zeros(1)}, 8)
        >>> stored["weight"].tolist(), stored["bias"].dtype
        ([[64, -127]], torch.float16)
    """
    if bits not in (32, 16, 8):
        raise TextseqError(f"expected bits of 32, 16 or 8 per weight, got {bits!r}")
    if bits == 32:
        return dict(weights)
    stored: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if bits == 16 or tensor.dim() < 2:
            stored[name] = tensor.half()
            continue
        scale = tensor.float().flatten(1).abs().amax(dim=1) / LARGEST
        by_row = scale.view(-1, *[1] * (tensor.dim() - 1))
        stored[name] = (tensor / by_row.where(by_row > 0, 1)).round().to(torch.int8)
        stored[name + SCALE] = scale
    return stored


def from_stored(stored: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The weights in floating point, for the tensors of a file.

    Args:
        stored: as ``to_stored`` made them.
        path: the file, for errors.

    Raises:
        TextseqError: a tensor has numbers that are infinite, undefined or of another kind, or lacks its scales.
    """

    def damaged(reason: str) -> TextseqError:
        return TextseqError(f"{path} is damaged: {reason}; restore the folder or train again")

    weights: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        if tensor.dtype is torch.int8:
            scale = stored.get(name + SCALE)
            if scale is None or tensor.dim() < 2 or scale.shape != tensor.shape[:1] or scale.dtype not in FLOATS:
                raise damaged(f"'{name}' lacks the scales of its rows")
            weights[name] = tensor.float() * scale.float().view(-1, *[1] * (tensor.dim() - 1))
        elif tensor.dtype not in FLOATS:
            raise damaged(f"'{name}' has numbers of {tensor.dtype}")
        elif not name.endswith(SCALE):
            weights[name] = tensor
        if tensor.dtype in FLOATS and not _finite(tensor):
            raise damaged(f"'{name}' has infinite or undefined numbers")
    return weights


def _finite(tensor: Tensor) -> bool:
    """Whether all numbers are finite: that is, the smallest and the largest, much sooner found than asked of each."""
    return tensor.numel() == 0 or bool(torch.stack(tensor.aminmax()).isfinite().all())
