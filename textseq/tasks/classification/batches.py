"""Labelled texts as ids -> padded batches of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from textseq.data.batching import Cursor, RowBatches, Tokens, document_lengths, pad


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

    def slice_rows(self, rows: slice) -> TextBatch:
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


class TextBatches(RowBatches):
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
        super().__init__(document_lengths(texts), batch_size, seed)

    def batch(self, cursor: Cursor) -> tuple[TextBatch, Cursor]:
        """The batch at a position, and the next position."""
        numbers, following = self.at(cursor)
        return text_batch([self.tokens(number) for number in numbers], self.labels[numbers].tolist()), following

    def tokens(self, number: int) -> np.ndarray:
        """The ids of a text, (T,)."""
        start = int(self.texts.document_starts[number])
        length = int(self.lengths[number])
        return self.texts.ids[start : start + min(length, self.longest or length)].astype(np.int64)
