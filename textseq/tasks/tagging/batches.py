"""Tagged sentences as ids -> padded batches of similar length.

Each distinct word of a batch is spelled, and read letter by letter, only once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from textseq.data.batching import Cursor, RowBatches, pad
from textseq.data.rows import Tagged
from textseq.tasks.tagging.lexicon import Lexicon


@dataclass(frozen=True)
class TagBatch:
    """N whole sentences, of T words at most, with U different words among them."""

    ids: Tensor
    """(N, T) the numbers of the words, and then padding."""
    lengths: Tensor
    """(N,) real words of each; on the CPU."""
    forms: Tensor
    """(N, T) which of the U words stands there."""
    letters: Tensor
    """(U, L) the letters of each different word, and then padding."""
    letter_counts: Tensor
    """(U,) real letters of each; on the CPU."""
    tags: Tensor
    """(N, K) the number of each word's tag, or with CTC of the sequence's tags, and then padding; K is 0 where none are
    known."""
    tag_counts: Tensor
    """(N,) real tags of each; on the CPU."""
    frames: Tensor
    """(N,) frames that CTC needs to write these tags, see ``frames_needed``; on the CPU."""
    per_letter: int | None = None
    """With CTC: frames that there are for each letter."""
    learning_rate_factor: float = 1.0

    @property
    def rows(self) -> int:
        """N."""
        return len(self.ids)

    @property
    def count(self) -> int:
        """Tags, but for those of texts that have too few frames to write them: they teach nothing."""
        counts = self.tag_counts
        if self.per_letter is not None:
            counts = counts[self.frames <= self.lengths * self.per_letter]
        return max(int(counts.sum()), 1)

    def slice_rows(self, rows: slice) -> TagBatch:
        """Some of the sentences, padded no further than the longest of them, with the words that stand in them."""
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

    def to(self, device: torch.device) -> TagBatch:
        """The same batch on a device; what counts stays on the CPU."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=True) for name in ("ids", "forms", "letters", "tags")
        }
        return replace(self, **moved)


def tag_batch(lexicon: Lexicon, sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[int]]) -> TagBatch:
    """The batch of some sentences, each of a word or more, and their tags' numbers (none where none are known)."""
    different = {word: number for number, word in enumerate(dict.fromkeys(word for one in sentences for word in one))}
    spelled = [lexicon.spell(word) for word in different]
    known = [np.array(one, np.int64) for one in tags]
    return TagBatch(
        ids=pad([lexicon.encode(words) for words in sentences], lexicon.unknown),
        lengths=torch.tensor([len(words) for words in sentences]),
        forms=pad([np.array([different[word] for word in words]) for words in sentences], 0),
        letters=pad(spelled, 0),
        letter_counts=torch.tensor([len(letters) for letters in spelled]),
        tags=pad(known, 0) if any(map(len, known)) else torch.zeros(len(known), 0, dtype=torch.int64),
        tag_counts=torch.tensor([len(one) for one in known]),
        frames=torch.tensor([frames_needed(one) for one in tags]),
    )


def frames_needed(tags: Sequence[int]) -> int:
    """Frames that CTC needs to write tags: one for each, and a blank between two that are the same."""
    return len(tags) + sum(one == other for one, other in pairwise(tags))


class TagBatches(RowBatches):
    """The batches of tagged sentences, epoch after epoch; all of them are held in memory.

    Args:
        sentences: words and tags.
        lexicon: of the words.
        labels: the names of the tags.
        batch_size: N.
        seed: decides the order.
        per_letter: with CTC, frames that there are for each letter.
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
            self.words.append(words)
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
