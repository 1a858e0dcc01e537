"""Tagged sentences as ids -> padded batches of similar length; each distinct word is spelled once per batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise

import numpy as np
import torch
from torch import Tensor

from textseq.data.batching import Cursor, RowBatch, RowBatches, pad
from textseq.data.rows import Tagged
from textseq.tasks.tagging.lexicon import Lexicon, normalized_letters


@dataclass(frozen=True)
class TagBatch(RowBatch):
    """N whole sentences of up to T words, with U different words."""

    MOVED = ("ids", "forms", "letters", "tags")

    ids: Tensor
    """(N, T) word ids, padded."""
    lengths: Tensor
    """(N,) words of each; on the CPU."""
    forms: Tensor
    """(N, T) indices into the U words."""
    letters: Tensor
    """(U, L) the letters of each different word, padded."""
    letter_counts: Tensor
    """(U,) letters of each; on the CPU."""
    tags: Tensor
    """(N, K) tag ids of the words, or with CTC of the sequence, padded; K is 0 without tags."""
    tag_counts: Tensor
    """(N,) tags of each; on the CPU."""
    frames: Tensor
    """(N,) ``frames_needed`` for the tags with CTC; on the CPU."""
    per_letter: int | None = None
    """With CTC: frames per letter."""
    learning_rate_factor: float = 1.0

    @property
    def count(self) -> int:
        """Tags, except of texts with too few frames for them, which have no gradient."""
        counts = self.tag_counts
        if self.per_letter is not None:
            counts = counts[self.frames <= self.lengths * self.per_letter]
        return max(int(counts.sum()), 1)

    def slice_rows(self, rows: slice) -> TagBatch:
        """Some of the sentences, padded to the longest of them, with the words in them."""
        lengths, tag_counts = self.lengths[rows], self.tag_counts[rows]
        words = int(lengths.max())
        used, forms = torch.unique(self.forms[rows, :words], return_inverse=True)
        letter_counts = self.letter_counts[used]
        return replace(
            self,
            ids=self.ids[rows, :words],
            lengths=lengths,
            forms=forms,
            letters=self.letters[used, : int(letter_counts.max())],
            letter_counts=letter_counts,
            tags=self.tags[rows, : int(tag_counts.max())],
            tag_counts=tag_counts,
            frames=self.frames[rows],
        )


def tag_batch(lexicon: Lexicon, sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[int]]) -> TagBatch:
    """The batch of some sentences, none of them empty, and their tag ids, if any."""
    different = {word: number for number, word in enumerate(dict.fromkeys(chain.from_iterable(sentences)))}
    spelled = [lexicon.spell(word) for word in different]
    tag_ids = [np.array(ids, np.int64) for ids in tags]
    return TagBatch(
        ids=pad([lexicon.encode(words) for words in sentences], lexicon.unknown),
        lengths=torch.tensor([len(words) for words in sentences]),
        forms=pad([np.array([different[word] for word in words]) for words in sentences], 0),
        letters=pad(spelled, 0),
        letter_counts=torch.tensor([len(letters) for letters in spelled]),
        tags=pad(tag_ids, 0) if any(map(len, tag_ids)) else torch.zeros(len(tag_ids), 0, dtype=torch.int64),
        tag_counts=torch.tensor([len(ids) for ids in tag_ids]),
        frames=torch.tensor([frames_needed(ids) for ids in tags]),
    )


def frames_needed(tags: Sequence[int]) -> int:
    """Frames that CTC needs for tags: one for each, and a blank between equal neighbors."""
    return len(tags) + sum(tag == following for tag, following in pairwise(tags))


class TagBatches(RowBatches):
    """The batches of tagged sentences, epoch after epoch; all are in memory.

    Args:
        sentences: words and tags.
        lexicon: of the words.
        labels: the names of the tags.
        batch_size: N.
        seed: of the order.
        per_letter: with CTC, frames per letter.
    """

    def __init__(
        self,
        sentences: Iterable[Tagged],
        lexicon: Lexicon,
        labels: Sequence[str],
        batch_size: int,
        seed: int,
        per_letter: int | None = None,
    ) -> None:
        number_of = {label: number for number, label in enumerate(labels)}
        self.lexicon, self.per_letter = lexicon, per_letter
        self.words: list[tuple[str, ...]] = []
        self.tags: list[list[int]] = []
        for words, tags in sentences:
            self.words.append(normalized_letters(words, lexicon.normalization) if per_letter else words)
            self.tags.append([number_of[tag] for tag in tags])
        super().__init__(np.array([len(words) for words in self.words]), batch_size, seed)

    def frames_wanted(self) -> list[int]:
        """For each text with tags that are not aligned with its letters: frames that each letter must have at least."""
        pairs = zip(self.words, self.tags, strict=True)
        return [-(-frames_needed(tags) // len(letters)) for letters, tags in pairs]

    def batch(self, cursor: Cursor) -> tuple[TagBatch, Cursor]:
        """The batch at a position, and the next position."""
        numbers, following = self.at(cursor)
        chosen = [self.words[number] for number in numbers], [self.tags[number] for number in numbers]
        return replace(tag_batch(self.lexicon, *chosen), per_letter=self.per_letter), following
