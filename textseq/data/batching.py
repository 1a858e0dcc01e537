"""What the batches of all tasks share: cursors, shuffling by length, padding."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self

import numpy as np
import torch
from torch import Tensor


class Tokens(Protocol):
    """What batches read: a ``TokenFile``, or anything alike."""

    @property
    def ids(self) -> np.ndarray: ...
    @property
    def document_starts(self) -> np.ndarray: ...


class Cursor(NamedTuple):
    """A place in the training data."""

    epoch: int = 0
    position: int = 0
    """Tokens of each stream already read in this epoch."""


def pad(rows: Sequence[np.ndarray], fill: int) -> Tensor:
    """Sequences of ids as one tensor (N, longest), filled up."""
    made = np.full((len(rows), max(map(len, rows))), fill, dtype=np.int64)
    for row, ids in enumerate(rows):
        made[row, : len(ids)] = ids
    return torch.from_numpy(made)


POOL = 100
"""Batches that are sorted by length together."""


class Shuffled:
    """Texts in batches of like length, in another order in every epoch.

    Args:
        lengths: of the texts, (D,).
        batch_size: N.
        seed: decides the order.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self._plan: tuple[int, list[np.ndarray]] = (-1, [])

    def at(self, cursor: Cursor) -> tuple[np.ndarray, Cursor]:
        """The numbers of the texts in the batch at a place, and the place after it."""
        plan = self._epoch(cursor.epoch)
        done = cursor.position + 1 == len(plan)
        following = Cursor(cursor.epoch + 1) if done else cursor._replace(position=cursor.position + 1)
        return plan[cursor.position], following

    @property
    def per_epoch(self) -> int:
        """Batches of an epoch."""
        return -(-len(self.lengths) // self.batch_size)

    def resized(self, rows: int) -> Self:
        """The same texts in batches of so many rows."""
        other = copy.copy(self)
        other.batch_size, other._plan = rows, (-1, [])
        return other

    def largest(self) -> Cursor:
        """The place of the largest batch, padding counted."""
        return Cursor(0, int(np.argmax([len(group) * self.lengths[group].max() for group in self._epoch(0)])))

    def epochs(self, cursor: Cursor) -> float:
        """Passes over the texts that lie behind a place."""
        return cursor.epoch + cursor.position / self.per_epoch

    def _epoch(self, epoch: int) -> list[np.ndarray]:
        """The batches of an epoch in order."""
        if self._plan[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            order, size = rng.permutation(len(self.lengths)), self.batch_size
            groups: list[np.ndarray] = []
            for start in range(0, len(order), POOL * size):
                pool = order[start : start + POOL * size]
                pool = pool[np.argsort(self.lengths[pool], kind="stable")]
                groups += np.split(pool, range(size, len(pool), size))
            rng.shuffle(groups)
            self._plan = (epoch, groups)
        return self._plan[1]
