"""The number format of matrix products."""

from __future__ import annotations

import torch
from torch import Tensor


def product_format(weight: Tensor) -> torch.dtype:
    """The number format that products with a weight are to be in: autocast's, or the weight's own."""
    device = weight.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
