"""The dtype of matrix products."""

from __future__ import annotations

import torch
from torch import Tensor


def product_dtype(weight: Tensor) -> torch.dtype:
    """The dtype of products with a weight: that of autocast, or the weight's own."""
    device = weight.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
