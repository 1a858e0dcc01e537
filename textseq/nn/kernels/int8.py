"""Linear layers for generation, with weights quantized to 8 bits.

A step of generation waits for weights to be read from memory, and 8 bits are a quarter of float32. Each row of a matrix
is stored as integers times its scale. Input vectors are rounded in the same way, each row of a batch by itself, so that
a text does not depend on the others of its batch; the product is summed in integers and scaled back (symmetric dynamic
quantization, Jacob et al. 2018, section 2). Biases, layer normalization, gates and states stay in floating point.

The products are oneDNN's, on the CPU; torch's quantized tensors, faster still for one text, are to leave torch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from textseq.errors import TextseqError

WEIGHT_STEPS = 63
"""Not 127: CPUs without VNNI sum pairs of products in 16 bits, and 2 * 255 * 63 still fits."""

VECTOR_STEPS = 127

ZERO = 128
"""Zero point of the vector's unsigned bytes; with signed bytes oneDNN is many times slower for a single vector."""

TINY = 1e-30


def rounded_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """W (M, K) in 8 bits, and the scale (M,) of its products with vectors whose bytes are ``VECTOR_STEPS`` times x."""
    scale = weight.abs().amax(dim=1).clamp_min(TINY) / WEIGHT_STEPS
    return (weight / scale.unsqueeze(1)).round().to(torch.int8), scale / VECTOR_STEPS


class Int8Linear:
    """A linear layer with 8-bit weights: x (N, K) -> x W^T + b (N, M), in the dtype of x.

    Args:
        weight: W, (M, K).
        bias: b, (M,); None is zero.
        bounded: whether x always lies between -1 and 1, so that its scale need not be computed.

    Raises:
        TextseqError: the weights' device or this build of torch has no such products.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, bounded: bool = False) -> None:
        weight = weight.detach().float()
        rows = len(weight)
        rounded, self.scale = rounded_rows(weight)
        self.bounded = bounded
        self.half_up = torch.tensor(ZERO + 0.5)
        self.no_shift = torch.zeros(rows, dtype=torch.int32)
        self.bias = torch.zeros(rows) if bias is None else bias.detach().float()
        try:
            self.packed: Tensor = torch.ops.onednn.qlinear_prepack(rounded, None)
            self(weight[:1])
        except (AttributeError, RuntimeError):
            raise TextseqError(
                f"precision int8: expected the CPU and a torch with oneDNN's 8-bit products, got {weight.device.type} "
                f"and torch {torch.__version__}; use float32"
            ) from None

    def __call__(self, x: Tensor) -> Tensor:
        """x W^T + b."""
        rows = x.float()
        if self.bounded:
            in_bytes = torch.add(self.half_up, rows, alpha=VECTOR_STEPS).to(torch.uint8)  # truncates: the half rounds
            return self._product(in_bytes, self.bias).to(x.dtype)
        peak = rows.abs().amax(dim=1, keepdim=True).clamp_min_(TINY)  # (N, 1)
        in_bytes = (rows * (VECTOR_STEPS / peak)).add_(ZERO + 0.5).to(torch.uint8)  # truncates: the half rounds
        return torch.addcmul(self.bias, self._product(in_bytes), peak).to(x.dtype)

    def _product(self, in_bytes: Tensor, bias: Tensor | None = None) -> Tensor:
        product: Tensor = torch.ops.onednn.qlinear_pointwise(
            in_bytes, 1.0, ZERO, self.packed, self.scale, self.no_shift, bias, 1.0, 0, torch.float32, "none", [], ""
        )
        return product
