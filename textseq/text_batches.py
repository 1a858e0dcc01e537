"""Labelled texts as ids -> padded batches of like length.

Every epoch shuffles the texts, sorts them by length inside large pools, cuts the pools into batches and shuffles these,
as ``pair_batches`` does. Which batch comes when depends on a ``Cursor`` alone, so a run that stops can go on at the
very same place.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from textseq.batches import Cursor, Tokens
from textseq.pair_batches import pad

POOL = 100
"""Batches that are sorted by length together."""


@dataclass(frozen=True)
class TextBatch:
    """N whole texts with their labels."""

    ids: Tensor
    """(N, T), texts and then padding."""
    lengths: Tensor
    """(N,) real tokens of each; on the CPU."""
    labels: Tensor
    """(N,) the number of each text's label."""
    learning_rate_factor: float = 1.0

    @property
    def rows(self) -> int:
        """N."""
        return len(self.labels)

    count = rows
    """Predictions: one for each text."""

    def part(self, rows: slice) -> TextBatch:
        """Some of the texts, padded no further than the longest of them."""
        lengths = self.lengths[rows]
        return replace(self, ids=self.ids[rows, : int(lengths.max())], lengths=lengths, labels=self.labels[rows])

    def to(self, device: torch.device) -> TextBatch:
        """The same batch on a device; the lengths stay on the CPU."""
        return replace(
            self, ids=self.ids.to(device, non_blocking=True), labels=self.labels.to(device, non_blocking=True)
        )


def text_batch(texts: Sequence[np.ndarray], labels: Sequence[int]) -> TextBatch:
    """The batch of some texts; one without tokens is read as a single token 0."""
    kept = [ids if len(ids) else np.zeros(1, np.int64) for ids in texts]
    return TextBatch(pad(kept, 0), torch.tensor([len(ids) for ids in kept]), torch.tensor(labels, dtype=torch.int64))


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


class TextBatches(Shuffled):
    """The batches of labelled texts, epoch after epoch.

    Args:
        texts: the encoded texts, each a document.
        labels: the number of each text's label, (D,).
        batch_size: N.
        seed: decides the order.
        longest: tokens of a text that are read at most, from its beginning; None: all.
    """

    def __init__(
        self, texts: Tokens, labels: np.ndarray, batch_size: int, seed: int, longest: int | None = None
    ) -> None:
        assert len(texts.document_starts) == len(labels)
        self.texts, self.labels, self.longest = texts, labels, longest
        super().__init__(np.diff(np.append(texts.document_starts, len(texts.ids))), batch_size, seed)

    def batch(self, cursor: Cursor) -> tuple[TextBatch, Cursor]:
        """The batch at a place, and the place after it."""
        numbers, following = self.at(cursor)
        return text_batch([self.tokens(number) for number in numbers], self.labels[numbers].tolist()), following

    def tokens(self, number: int) -> np.ndarray:
        """The ids of a text, (T,)."""
        start = int(self.texts.document_starts[number])
        length = int(self.lengths[number])
        return self.texts.ids[start : start + min(length, self.longest or length)].astype(np.int64)
