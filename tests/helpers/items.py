"""Batches that are nothing but a value, for trainings without a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

Value = TypeVar("Value")


@dataclass(frozen=True)
class Item(Generic[Value]):
    """A batch of one row."""

    value: Value
    learning_rate_factor: float = 1.0

    rows = count = 1

    def slice_rows(self, rows: slice) -> Item[Value]:
        """The row."""
        return self

    def to(self, device: torch.device) -> Item[Value]:
        """The same batch."""
        return self
