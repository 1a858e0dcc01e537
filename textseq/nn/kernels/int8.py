"""Weights in 8 bits for writing text: a step waits for its weights to come from memory, and these are a quarter.

Each row of a matrix is kept as whole numbers times a scale of its own. A vector is rounded in the same way when it
comes, each row of a batch by itself, so that a text does not depend on those written beside it; the product is summed
in whole numbers and scaled back (symmetric dynamic quantisation, Jacob et al. 2018, section 2). Biases, layer
normalisation, gates and states stay in floating point.

The products are oneDNN's, on the CPU. Those of torch's quantised tensors would be faster still for one text, but
torch is to lose these tensors.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from textseq.errors import TextseqError

Linear = Callable[[Tensor], Tensor]
"""x (N, K) -> x W^T + b (N, M)."""


class PackedLinear:
    """A linear layer with its weights as oneDNN reads them: x (N, K) -> x W^T + b (N, M), all in float32.

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


WEIGHT_STEPS = 63
"""Not 127: CPUs without VNNI sum pairs of products in 16 bits, and 2 * 255 * 63 still fits."""

VECTOR_STEPS = 127

ZERO = 128
"""What zero is in the vector's unsigned bytes; with signed ones oneDNN is many times slower for a single vector."""

TINY = 1e-30


class Int8Linear:
    """A linear layer with its weights in 8 bits: x (N, K) -> x W^T + b (N, M), in the number format of x.

    Args:
        weight: W, (M, K).
        bias: b, (M,); None is zero.
        bounded: whether all of x lies between -1 and 1, always; its scale is then known before it comes.

    Raises:
        TextseqError: the weights lie on a device, or torch runs on a processor, without these products.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, bounded: bool = False) -> None:
        weight = weight.detach().float()
        rows = len(weight)
        scale = weight.abs().amax(dim=1).clamp_min(TINY) / WEIGHT_STEPS  # (M,)
        rounded = (weight / scale.unsqueeze(1)).round().to(torch.int8)
        self.scale = scale / VECTOR_STEPS
        self.bounded = bounded
        self.half_up = torch.tensor(ZERO + 0.5)
        self.no_shift = torch.zeros(rows, dtype=torch.int32)
        self.bias = torch.zeros(rows) if bias is None else bias.detach().float()
        try:
            self.packed: Tensor = torch.ops.onednn.qlinear_prepack(rounded, None)
            self(weight[:1])
        except (AttributeError, RuntimeError):
            raise TextseqError(
                f"precision int8 wants the CPU and a torch with oneDNN's 8-bit products, found {weight.device.type} "
                f"and torch {torch.__version__}; use float32"
            ) from None

    def __call__(self, x: Tensor) -> Tensor:
        """x W^T + b."""
        rows = x.float()
        if self.bounded:
            in_bytes = torch.add(self.half_up, rows, alpha=VECTOR_STEPS).to(torch.uint8)  # which cuts: the half rounds
            return self._product(in_bytes, self.bias).to(x.dtype)
        peak = rows.abs().amax(dim=1, keepdim=True).clamp_min_(TINY)  # (N, 1)
        in_bytes = (rows * (VECTOR_STEPS / peak)).add_(ZERO + 0.5).to(torch.uint8)  # which cuts: the half rounds
        return torch.addcmul(self.bias, self._product(in_bytes), peak).to(x.dtype)

    def _product(self, in_bytes: Tensor, bias: Tensor | None = None) -> Tensor:
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            in_bytes, 1.0, ZERO, self.packed, self.scale, self.no_shift, bias, 1.0, 0, torch.float32, "none", [], ""
        )
        return product
