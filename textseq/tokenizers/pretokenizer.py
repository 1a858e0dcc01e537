"""Text cut at white space into units, each of which becomes tokens on its own.

No token reaches over a unit's end, so a text that comes in chunks needs no more held back than one unit, and a
tokenizer that learns need only know how often each different unit occurs.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

import numpy as np

from textseq.tokenizers.base import Ids, Tokenizer, encoded, pieces

WORDS = re.compile(r" ?\S{1,100}|\s")
"""A word with one space before it, or one character of white space; what is longer than 100 characters is cut."""

WORDS_AND_LINES = re.compile(r" ?\S{1,100}| ?\n|\s")
"""The same, but a line's end takes in a space before it too."""

MOST_UNITS = 2_000_000
"""Different units that are counted at once (some 300 MB); beyond it, the rarer half is forgotten."""

REMEMBERED = 2**17
"""Different units of which it is remembered what became of them."""

_BLOCK = 2**14


class UnitTokenizer(Tokenizer):
    """A tokenizer that encodes each unit on its own, and remembers the ids of those that it met lately."""

    units: re.Pattern[str] = WORDS

    def __init__(self, vocabulary: tuple[str, ...], fallback: tuple[int, ...], loses: tuple[str, ...] = ()) -> None:
        super().__init__(vocabulary, fallback, loses)
        self._remembered: dict[str, bytes] = {}
        """The ids of units, as the bytes of whole numbers of 32 bits: joined, they are read as one array."""

    def encode(self, text: str) -> Ids:
        return np.concatenate([np.empty(0, np.int64), *self.encode_chunks([text])])

    def encode_chunks(self, chunks: Iterable[str]) -> Iterator[Ids]:
        for units in cut(chunks, self.units):
            if len(self._remembered) > REMEMBERED:
                self._remembered = {}  # not emptied, for another thread may be at it
            known = self._remembered
            try:
                every = b"".join(map(known.__getitem__, units))
            except KeyError:
                new = [unit for unit in dict.fromkeys(units) if unit not in known]  # a set's minus would walk all known
                known.update(zip(new, (array("i", ids).tobytes() for ids in self._encode_units(new)), strict=True))
                every = b"".join(map(known.__getitem__, units))
            yield np.frombuffer(every, np.intc).astype(np.int64)

    @abstractmethod
    def _encode_units(self, units: list[str]) -> Iterable[Sequence[int]]:
        """The ids of each of these units."""


def cut(document: Iterable[str], units: re.Pattern[str]) -> Iterator[list[str]]:
    """The units of a document that comes in chunks, some at a time, the same wherever it was cut.

    Raises:
        TextseqError: a lone surrogate.
    """
    rest = ""
    for piece in pieces(document):
        encoded(piece, "utf-8")
        # Every character belongs to a unit, and what follows can change the last one only.
        *found, rest = units.findall(rest + piece)
        yield found
    if rest:
        yield [rest]


def count_units(documents: Iterable[Iterable[str]], units: re.Pattern[str]) -> tuple[Counter[str], set[str]]:
    """How often each unit occurs in documents that come in chunks, the same wherever these were cut.

    Returns:
        The counts, and the characters of units that were forgotten for being rare among too many.
    """
    counts: Counter[str] = Counter()
    forgotten: set[str] = set()
    stream = chain.from_iterable(found for document in documents for found in cut(document, units))
    while block := list(islice(stream, _BLOCK)):
        counts.update(block)
        if len(counts) > MOST_UNITS:
            kept = Counter(dict(counts.most_common(MOST_UNITS // 2)))
            forgotten.update(chain.from_iterable(counts.keys() - kept.keys()))
            counts = kept
    return counts, forgotten
