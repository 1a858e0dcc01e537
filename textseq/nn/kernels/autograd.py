"""What functions with a hand-written gradient share: the dtype of their products, and that they have one gradient."""

from __future__ import annotations

import torch
from torch import Tensor


def product_dtype(weight: Tensor) -> torch.dtype:
    """The dtype of products with a weight: that of autocast, or the weight's own."""
    device = weight.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype


def refuse_second_derivatives(reference: str = "forward_reference") -> None:
    """Call at the start of a hand-written backward pass, whose own operations autograd would differentiate wrongly.

    Args:
        reference: what computes the same with autograd's gradient.

    Raises:
        RuntimeError: the caller asked for a graph of the gradient.
    """
    if torch.is_grad_enabled():  # in a backward pass: create_graph
        raise RuntimeError(
            f"create_graph: expected False, got True; the fast path has no second derivatives: use {reference}"
        )
