"""Shared by the batches of all tasks: rows on a device, cursors, batches of similar length, padding."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

Entry = TypeVar("Entry")


class Tokens(Protocol):
    """Encoded documents, such as a ``TokenFile``."""

    @property
    def ids(self) -> np.ndarray: ...
    @property
    def document_starts(self) -> np.ndarray: ...


def document_lengths(tokens: Tokens) -> np.ndarray:
    """Tokens of each document, (D,)."""
    return np.diff(np.append(tokens.document_starts, len(tokens.ids)))


def document(tokens: Tokens, number: int, longest: int | None = None) -> np.ndarray:
    """The ids of a document, (T,), or of its beginning."""
    start, following = tokens.document_starts[number], tokens.document_starts[number + 1 : number + 2]
    return tokens.ids[start : following[0] if len(following) else None][:longest].astype(np.int64)


class Cursor(NamedTuple):
    """A position in the training data."""

    epoch: int = 0
    position: int = 0
    """Batches read in this epoch, or tokens of each stream."""


class RowBatch:
    """The base of batches, which are dataclasses with tensors of N rows."""

    MOVED: ClassVar[tuple[str, ...]]
    """The fields that ``to`` moves; the first has N rows."""

    @property
    def rows(self) -> int:
        """N."""
        return len(getattr(self, self.MOVED[0]))

    def to(self, device: torch.device) -> Self:
        """The same batch with these fields on a device; the others stay on the CPU."""
        fields = ((name, getattr(self, name)) for name in self.MOVED)
        tensors = {name: value.to(device, non_blocking=True) for name, value in fields if value is not None}
        return dataclasses.replace(self, **tensors)  # type: ignore[type-var]


def pad(rows: Sequence[np.ndarray], fill: int) -> Tensor:
    """Sequences of ids as one padded tensor (N, longest)."""
    padded = np.full((len(rows), max(map(len, rows))), fill, dtype=np.int64)
    for row, ids in enumerate(rows):
        padded[row, : len(ids)] = ids
    return torch.from_numpy(padded)


POOL = 100  # batches that are sorted by length together


class LengthBatches(Generic[Entry]):
    """Batches of rows of similar length, in a different order in every epoch.

    Every epoch shuffles the rows, sorts them by length within large pools, cuts the pools into groups and shuffles
    these: batches differ from epoch to epoch, and little of them is padding. The order depends only on the seed and a
    ``Cursor``, so a stopped run resumes at the same position. An entry says what a batch holds, such as row numbers.

    Args:
        numbers: of the rows, (R,).
        lengths: length of every row, by its number.
        batch_size: N.
        seed: of the shuffles.
    """

    def __init__(self, numbers: np.ndarray, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        self.numbers, self.lengths, self.batch_size, self.seed = numbers, lengths, batch_size, seed
        self._plan: tuple[int, list[Entry]] = (-1, [])

    def at(self, cursor: Cursor) -> tuple[Entry, Cursor]:
        """The entry at a position, and the next position."""
        plan = self._epoch(cursor.epoch)
        last = cursor.position + 1 == len(plan)
        return plan[cursor.position], (
            Cursor(cursor.epoch + 1) if last else cursor._replace(position=cursor.position + 1)
        )

    def largest(self) -> Cursor:
        """The position of the largest batch, padding included."""
        groups = map(self.rows_in, self._epoch(0))
        return Cursor(0, int(np.argmax([len(rows) * self.lengths[rows].max() for rows in groups])))

    def epochs(self, cursor: Cursor) -> float:
        """Passes over the rows before a position."""
        return cursor.epoch + (cursor.position / len(self._epoch(cursor.epoch)) if cursor.position else 0.0)

    @abstractmethod
    def rows_in(self, entry: Entry) -> np.ndarray:
        """The numbers of an entry's rows."""

    @abstractmethod
    def entries(self, order: np.ndarray, epoch: int, rng: np.random.Generator) -> Iterable[Entry]:
        """Cut shuffled rows into the entries of an epoch."""

    def _epoch(self, epoch: int) -> list[Entry]:
        if self._plan[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            self._plan = (epoch, [*self.entries(rng.permutation(self.numbers), epoch, rng)])
        return self._plan[1]


class RowBatches(LengthBatches[np.ndarray]):
    """Batches of whole rows: an entry is the numbers of its rows.

    Args:
        lengths: of the rows, (R,).
        batch_size: N.
        seed: of the shuffles.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        super().__init__(np.arange(len(lengths)), lengths, batch_size, seed)

    def rows_in(self, entry: np.ndarray) -> np.ndarray:
        """The entry itself."""
        return entry

    def entries(self, order: np.ndarray, epoch: int, rng: np.random.Generator) -> Iterable[np.ndarray]:
        """The groups of an epoch, shuffled."""
        pools = length_pools(order, [self.lengths], POOL * self.batch_size)
        groups = [group for pool in pools for group in split_evenly(pool, self.batch_size)]
        rng.shuffle(groups)
        return groups


def length_pools(order: np.ndarray, lengths: Sequence[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Cut an order of rows into pools of ``size`` rows, each sorted by length (by the last of ``lengths`` first)."""
    for start in range(0, len(order), size):
        pool = order[start : start + size]
        yield pool[np.lexsort([length[pool] for length in lengths])]


def split_evenly(pool: np.ndarray, size: int) -> list[np.ndarray]:
    """Groups of ``size`` rows; the last may be smaller."""
    return np.split(pool, range(size, len(pool), size))
