"""Labelled texts as ids -> padded batches of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from textseq.data.batching import Cursor, RowBatch, RowBatches, Tokens, document, document_lengths, pad

EMPTY = 0
"""The token of a text without tokens."""


@dataclass(frozen=True)
class TextBatch(RowBatch):
    """N whole texts with their labels."""

    MOVED = ("ids", "labels")

    ids: Tensor
    """(N, T), padded."""
    lengths: Tensor
    """(N,) tokens of each; on the CPU."""
    labels: Tensor
    """(N,) label ids; or (N, C), 1 for each label of a text that has several, 0 for the others."""
    learning_rate_factor: float = 1.0

    count = RowBatch.rows
    """Predictions: one per text."""

    def slice_rows(self, rows: slice) -> TextBatch:
        """Some of the texts, padded to the longest of them."""
        lengths = self.lengths[rows]
        return replace(self, ids=self.ids[rows, : int(lengths.max())], lengths=lengths, labels=self.labels[rows])


def text_batch(texts: Sequence[np.ndarray], labels: Sequence[int] | np.ndarray) -> TextBatch:
    """The batch of some texts; a text without tokens is read as the single token ``EMPTY``."""
    texts = [ids if len(ids) else np.array([EMPTY]) for ids in texts]
    return TextBatch(pad(texts, 0), torch.tensor([len(ids) for ids in texts]), torch.from_numpy(np.array(labels)))


class TextBatches(RowBatches):
    """The batches of labelled texts, epoch after epoch.

    Args:
        texts: the encoded texts, each a document.
        labels: label ids (D,), or marks (D, C); see ``TextBatch``.
        batch_size: N.
        seed: of the order.
        longest: the tokens to read of each text, from its beginning; None: all.
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
        return text_batch([self.tokens(number) for number in numbers], self.labels[numbers]), following

    def tokens(self, number: int) -> np.ndarray:
        """The ids of a text, (T,)."""
        return document(self.texts, number, self.longest)
