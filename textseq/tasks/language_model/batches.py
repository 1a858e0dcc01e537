"""Ids -> batches: N parallel streams of a text, cut into windows of T tokens.

The text of L tokens is cut into N streams of equal length. Where a window begins depends only on a ``Cursor``, so a
stopped run resumes at the same position.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from textseq.config.training import rows_of
from textseq.data.batching import Cursor, RowBatch, Tokens
from textseq.errors import TextseqError
from textseq.tasks.language_model.condition import TextConditions
from textseq.tasks.language_model.config import DataConfig


@dataclass(frozen=True)
class WindowBatch(RowBatch):
    """One window of N streams."""

    MOVED = ("inputs", "targets", "conditions")

    inputs: Tensor
    """(N, T) ids."""
    targets: Tensor
    """(N, T) ids: the token after each input."""
    resets: Tensor | None
    """(N, T) booleans on the CPU, true where the state is reset before that input."""
    carry: int
    """Tokens after which the state is passed to the next window: T, or the stride if windows overlap."""
    scored: int
    """Positions at the end of the window whose loss counts."""
    conditions: Tensor | None = None
    """(N, T, K) the numbers of the condition at each input; None without conditions."""
    learning_rate_factor: float = 1.0
    """T over the usual T if lengths are random (Merity et al. 2018, section 5)."""

    @property
    def count(self) -> int:
        """Scored predictions."""
        return self.rows * self.scored

    def slice_rows(self, rows: slice) -> WindowBatch:
        """Some of the streams."""
        resets = self.resets[rows] if self.resets is not None else None
        return replace(
            self,
            inputs=self.inputs[rows],
            targets=self.targets[rows],
            conditions=None if self.conditions is None else self.conditions[rows],
            resets=resets if resets is not None and resets.any() else None,
        )


class Streams:
    """The windows of a text, epoch after epoch.

    Every epoch cuts the text, as a ring, into blocks at another position, so that windows do not begin at the same
    tokens. There is a block for each stream; or, with ``shuffle_block``, blocks of that length, which the streams read
    in random order. A text too short for ``batch_size`` streams is read in fewer.

    Args:
        tokens: the encoded text.
        config: batch size, window, stride, resets.
        seed: of the cuts, the order, the random lengths and the random resets.
        conditions: of the documents, if the model has a condition.

    Raises:
        TextseqError: the text is shorter than one window and the token after it.
    """

    def __init__(self, tokens: Tokens, config: DataConfig, seed: int, conditions: TextConditions | None = None) -> None:
        length = len(tokens.ids)
        if length < config.window + 1:
            raise TextseqError(
                f"expected a training text longer than one window of {config.window} tokens, got {length} tokens; "
                "give more text or a smaller --window"
            )
        self.tokens, self.config, self.seed, self.conditions = tokens, config, seed, conditions
        self.streams = min(rows_of(config.batch_size), length // (config.window + 1))
        self.block = min(config.shuffle_block or length, length // self.streams)
        self.stream_length = length // self.block // self.streams * self.block

    def batch(self, cursor: Cursor) -> tuple[WindowBatch, Cursor]:
        """The window at a position, and the next position."""
        if cursor.position >= self.stream_length:
            raise IndexError(f"position {cursor.position} is beyond the {self.stream_length} tokens of a stream")
        config, ids = self.config, self.tokens.ids
        rng = np.random.default_rng([self.seed, cursor.epoch, cursor.position])
        stride = config.stride or config.window
        begun, place = divmod(cursor.position, self.block)
        length = min(self._window_length(rng), self.block - place)
        of_epoch = np.random.default_rng([self.seed, cursor.epoch])
        offset = int(of_epoch.integers(len(ids))) if cursor.epoch else 0
        blocks = np.arange(self.streams)
        if config.shuffle_block is not None:
            order = of_epoch.permutation(len(ids) // self.block)
            blocks = order[begun * self.streams : (begun + 1) * self.streams]
        starts = (offset + place + self.block * blocks) % len(ids)  # (N,)
        window = np.stack([_ring(ids, int(start), length + 1) for start in starts]).astype(np.int64)  # (N, T+1)
        resets = self._document_resets(starts, length)
        resets[:, 0] |= rng.random(self.streams) < config.reset_probability
        resets[:, 0] |= place == 0
        window_ids = torch.from_numpy(window)
        carry = length if config.stride is None else min(stride, length)
        batch = WindowBatch(
            inputs=window_ids[:, :-1],
            targets=window_ids[:, 1:],
            resets=torch.from_numpy(resets) if resets.any() else None,
            carry=carry,
            scored=length if config.stride is None or place == 0 else length - (config.window - stride),
            conditions=self._conditions(starts, length),
            learning_rate_factor=length / config.window if config.random_window else 1.0,
        )
        position = cursor.position + (length if place + length >= self.block else carry)
        return batch, Cursor(cursor.epoch + 1) if position >= self.stream_length else Cursor(cursor.epoch, position)

    def largest(self) -> Cursor:
        """The position of a batch as large as any."""
        return Cursor()

    def epochs(self, cursor: Cursor) -> float:
        """Passes over the text before a position."""
        return cursor.epoch + cursor.position / self.stream_length

    def _window_length(self, rng: np.random.Generator) -> int:
        """T, or with ``random_window`` a sample around T (with probability 0.05 around T/2), as in AWD-LSTM."""
        t = self.config.window
        if not self.config.random_window:
            return t
        base = t if rng.random() < 0.95 else t / 2
        return int(np.clip(round(rng.normal(base, 5)), min(5, t), t + 20))

    def _conditions(self, starts: np.ndarray, length: int) -> Tensor | None:
        """(N, T, K), the condition at each input."""
        if self.conditions is None:
            return None
        return self.conditions.at((starts[:, None] + np.arange(length)) % len(self.tokens.ids))

    def _document_resets(self, starts: np.ndarray, length: int) -> np.ndarray:
        """(N, T), true where a document begins."""
        resets = np.zeros((len(starts), length), dtype=bool)
        total, begins = len(self.tokens.ids), self.tokens.document_starts
        for row, start in enumerate(starts):
            for shift in (0, total):  # after the end comes the beginning
                low, high = np.searchsorted(begins, [start - shift, start - shift + length])
                resets[row, begins[low:high] - (start - shift)] = True
        return resets


def _ring(ids: np.ndarray, start: int, length: int) -> np.ndarray:
    """``length`` ids from ``start``; after the end comes the beginning."""
    piece = ids[start : start + length]
    return piece if len(piece) == length else np.concatenate([piece, ids[: length - len(piece)]])
