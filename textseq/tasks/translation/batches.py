"""Sentence pairs as ids -> padded batches of similar length; sentences to translate in batches of similar length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from textseq.config.training import rows_of
from textseq.data.batching import (
    POOL,
    Cursor,
    LengthBatches,
    RowBatch,
    Tokens,
    document,
    document_lengths,
    length_pools,
    pad,
    split_evenly,
)
from textseq.errors import TextseqError
from textseq.tasks.translation.config import PairConfig

BATCH = 64
"""Sentences translated at once at most; fewer with many beams."""

BEAMS = 8
"""Beams per sentence of a full batch."""

BATCH_TOKENS = 8192
"""Their tokens at most, padding included; bounds the memory."""

Place = tuple[np.ndarray, int, int | None]
"""Which pairs, and where in their targets a window begins and ends (None: at the end of the longest)."""

Resegment = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Ids of a sentence, random generator -> other ids of the same text."""

Augment = Callable[[np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""Ids of a source and its target, random generator -> ids of another pair."""


@dataclass(frozen=True)
class PairBatch(RowBatch):
    """A window of the targets of N sentence pairs, with their whole sources."""

    MOVED = ("source", "inputs", "targets", "real")

    source: Tensor
    """(N, S) ids, each sentence with its end-of-sentence id, padded."""
    source_lengths: Tensor
    """(N,) tokens of each, the end of the sentence included; on the CPU."""
    inputs: Tensor
    """(N, T) input ids of the decoder: the token before each target."""
    targets: Tensor
    """(N, T) ids to predict, each sentence with its end-of-sentence id, padded."""
    real: Tensor
    """(N, T) booleans: false for padding."""
    count: int
    """Targets without padding."""
    first: bool = True
    """Whether the window begins the targets; otherwise it continues the previous batch."""
    last: bool = True
    """Whether the window ends all targets."""
    learning_rate_factor: float = 1.0

    def slice_rows(self, rows: slice) -> PairBatch:
        """Some of the pairs, with sources padded to the longest of them."""
        lengths, real = self.source_lengths[rows], self.real[rows]
        return replace(
            self,
            source=self.source[rows, : int(lengths.max())],
            source_lengths=lengths,
            inputs=self.inputs[rows],
            targets=self.targets[rows],
            real=real,
            count=int(real.sum()),
        )


def pair_batch(sources: Sequence[np.ndarray], targets: Sequence[np.ndarray], eos_ids: tuple[int, int]) -> PairBatch:
    """The batch of some sentence pairs, with their whole targets.

    Args:
        sources: ids of each source.
        targets: ids of each target.
        eos_ids: end-of-sentence ids of source and target; that of the target is also its first input.
    """
    source_eos, target_eos = eos_ids
    padded = pad([np.append(ids, target_eos) for ids in targets], target_eos)  # (N, T)
    lengths = torch.tensor([len(ids) + 1 for ids in targets])
    return PairBatch(
        source=pad([np.append(ids, source_eos) for ids in sources], source_eos),
        source_lengths=torch.tensor([len(ids) + 1 for ids in sources]),
        inputs=torch.cat([torch.full_like(padded[:, :1], target_eos), padded[:, :-1]], dim=1),
        targets=padded,
        real=torch.arange(padded.shape[1]) < lengths.unsqueeze(1),
        count=int(lengths.sum()),
    )


def window(batch: PairBatch, start: int, stop: int | None) -> PairBatch:
    """The targets of a batch from ``start`` to ``stop`` (None: the end)."""
    columns = slice(start, stop)
    real = batch.real[:, columns]
    return replace(
        batch,
        inputs=batch.inputs[:, columns],
        targets=batch.targets[:, columns],
        real=real,
        count=int(real.sum()),
        first=start == 0,
        last=stop is None or stop >= batch.targets.shape[1],
    )


class PairBatches(LengthBatches[Place]):
    """The batches of a parallel text, epoch after epoch.

    Args:
        sources: the encoded sources, each sentence a document.
        targets: the encoded targets.
        eos_ids: end-of-sentence ids of source and target; that of the target is also its first input.
        config: sizes.
        seed: of the order and the segmentations.
        resegment: for either side, segments a sentence differently in every epoch (of
            ``config.subword_sampling_epochs`` only); None: never.
        augment: changes a pair differently in every epoch; None: never.

    Raises:
        TextseqError: all pairs are longer than ``config.longest``.
    """

    def __init__(
        self,
        sources: Tokens,
        targets: Tokens,
        eos_ids: tuple[int, int],
        config: PairConfig,
        seed: int,
        resegment: tuple[Resegment, Resegment] | None = None,
        augment: Augment | None = None,
    ) -> None:
        assert len(sources.document_starts) == len(targets.document_starts)
        self.sources, self.targets = sources, targets
        self.eos_ids, self.config, self.resegment, self.augment = eos_ids, config, resegment, augment
        self.source_lengths, self.target_lengths = document_lengths(sources), document_lengths(targets)
        longest = np.maximum(self.source_lengths, self.target_lengths)
        limit = config.longest or np.inf
        self.kept = np.flatnonzero(longest <= limit)
        self.left_out = len(longest) - len(self.kept)
        if not len(self.kept):
            raise TextseqError(
                f"--longest: expected pairs of at most {config.longest} tokens, got {len(longest)} pairs, all longer; "
                "raise it or leave it out"
            )
        super().__init__(self.kept, longest, rows_of(config.batch_size), seed)

    def batch(self, cursor: Cursor) -> tuple[PairBatch, Cursor]:
        """The batch at a position, and the next position."""
        (pairs, start, stop), following = self.at(cursor)
        return window(self._pairs(pairs, cursor.epoch), start, stop), following

    def rows_in(self, entry: Place) -> np.ndarray:
        """The pairs of a window."""
        return entry[0]

    def entries(self, order: np.ndarray, epoch: int, rng: np.random.Generator) -> Iterator[Place]:
        """The windows of an epoch, in shuffled groups of pairs."""
        lengths = self._lengths_in(epoch)
        groups = self._groups(order, *lengths)
        rng.shuffle(groups)
        for group in groups:
            yield from self._windows(group, lengths[1])

    def _pairs(self, pairs: np.ndarray, epoch: int) -> PairBatch:
        sources, targets = zip(*(self._tokens(pair, epoch) for pair in pairs.tolist()), strict=True)
        return pair_batch(sources, targets, self.eos_ids)

    def _tokens(self, pair: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """A source and its target, as changed and segmented in an epoch."""
        source, target = document(self.sources, pair), document(self.targets, pair)
        if self.augment is not None:
            source, target = self.augment(source, target, np.random.default_rng([self.seed, epoch, pair, 2]))
        if (both := self._resegment_in(epoch)) is not None:
            source, target = (
                resegment(ids, np.random.default_rng([self.seed, epoch, pair, side]))
                for side, (resegment, ids) in enumerate(zip(both, (source, target), strict=True))
            )
        return source, target

    def _resegment_in(self, epoch: int) -> tuple[Resegment, Resegment] | None:
        """What segments the sentences of an epoch."""
        last = self.config.subword_sampling_epochs
        return self.resegment if last is None or epoch < last else None

    def _lengths_in(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of every source and every target, as changed and segmented in an epoch."""
        if self._resegment_in(epoch) is None and self.augment is None:
            return self.source_lengths, self.target_lengths
        sources, targets = np.zeros_like(self.source_lengths), np.zeros_like(self.target_lengths)
        for pair in self.kept.tolist():
            sources[pair], targets[pair] = map(len, self._tokens(pair, epoch))
        return sources, targets

    def _windows(self, group: np.ndarray, target_lengths: np.ndarray) -> Iterator[Place]:
        """The windows over the targets of some pairs; the last is open-ended."""
        length = self.config.window
        starts = range(0, int(target_lengths[group].max()) + 1, length)
        for start in starts:
            yield group, start, start + length if start != starts[-1] else None

    def _groups(self, order: np.ndarray, source_lengths: np.ndarray, target_lengths: np.ndarray) -> list[np.ndarray]:
        """Cut pairs into groups of similar length."""
        tokens, size = self.config.batch_tokens, self.batch_size
        pool = POOL * size if tokens is None else max(1, int(POOL * tokens / (target_lengths[order] + 1).mean()))
        longer = np.maximum(source_lengths, target_lengths) + 1
        groups: list[np.ndarray] = []
        for pairs in length_pools(order, [source_lengths, target_lengths], pool):
            groups += split_evenly(pairs, size) if tokens is None else _fill(pairs, longer[pairs], tokens)
        return groups


def _fill(pairs: np.ndarray, lengths: np.ndarray, tokens: int) -> list[np.ndarray]:
    """Cut pairs into groups with at most ``tokens`` on either side, including padding, or of one pair.

    ``lengths`` are the tokens of the longer side of each.
    """
    cuts, first, longest = [], 0, 0
    for place, length in enumerate(lengths.tolist()):
        longest = max(longest, length)
        if place > first and (place + 1 - first) * longest > tokens:
            cuts.append(place)
            first, longest = place, length
    return np.split(pairs, cuts)


def decoding_batches(lengths: Sequence[int], beams: int = 1) -> Iterator[list[int]]:
    """Indices of sentences in batches of similar length, longest first; empty sentences are left out.

    Args:
        lengths: of the sentences, in tokens.
        beams: hypotheses per sentence.
    """
    batch: list[int] = []
    most, tokens = (max(1, limit * BEAMS // max(beams, BEAMS)) for limit in (BATCH, BATCH_TOKENS))
    for n in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        if lengths[n] == 0:
            break
        if batch and (len(batch) == most or (len(batch) + 1) * (lengths[batch[0]] + 1) > tokens):
            yield batch
            batch = []
        batch.append(n)
    if batch:
        yield batch
