"""Words with a vector each: neighbours, analogies, and how well they agree with people.

Shapes: V words, E numbers of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from textseq.errors import TextseqError, unknown

Row: TypeAlias = npt.NDArray[np.float32]

LOST = "<unk>"
"""What stands for words that a model does not know: it is none itself."""


@dataclass(frozen=True)
class Vectors:
    """Words with a vector each."""

    words: tuple[str, ...]
    """V of them, all different."""
    table: Row
    """(V, E)."""
    notes: tuple[str, ...] = ()
    """What a user should know of the file that they come from."""
    other_case: int = 0
    """Words that have the vector of another spelling, which differs in upper and lower case alone."""

    @property
    def size(self) -> int:
        """E, the numbers of each vector."""
        return int(self.table.shape[1])

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each word."""
        return {word: row for row, word in enumerate(self.words)}

    def __contains__(self, word: object) -> bool:
        return word in self.row_of

    def __getitem__(self, word: str) -> Row:
        """The vector (E,) of a word, or else of the same in small letters; an unknown one is a TextseqError."""
        row: Row = self.table[self.row_of[self._known(word)]]
        return row

    def _known(self, word: str) -> str:
        """The word as it is spelled here."""
        found = next((form for form in (word, word.lower()) if form in self.row_of), None)
        if found is None:
            raise unknown("word", word, islice(self.words, 10**4))
        return found

    def similarity(self, one: str, other: str) -> float:
        """The cosine of the angle between two words' vectors, -1 to 1."""
        return float(_unit(self[one]) @ _unit(self[other]))

    def nearest(self, to: str | Row, count: int = 10) -> list[tuple[str, float]]:
        """The words whose vectors point most nearly where another one points, and the cosines of the angles.

        Args:
            to: a word, which is not among its own neighbours, or a vector (E,).
            count: how many words, at most.

        Raises:
            TextseqError: an unknown word, a vector of another size, or no count.
        """
        return self._nearest(self[to], count, [to]) if isinstance(to, str) else self._nearest(to, count, [])

    def analogy(self, one: str, other: str, third: str, count: int = 1) -> list[tuple[str, float]]:
        """What is to ``third`` as ``other`` is to ``one`` (Mikolov et al. 2013: man, king, woman -> queen).

        That is the words nearest to other - one + third, of vectors of length 1, which are no answers themselves.

        Raises:
            TextseqError: an unknown word, or no count.
        """
        given = [one, other, third]
        a, b, c = (_unit(self[word]) for word in given)
        return self._nearest(b - a + c, count, given)

    def _nearest(self, vector: Row, count: int, left_out: Iterable[str]) -> list[tuple[str, float]]:
        if count < 1:
            raise TextseqError(f"count must be at least 1, found {count}")
        width = self.table.shape[1]
        if np.shape(vector) != (width,):
            raise TextseqError(f"a vector of {width} numbers is wanted, found one of shape {np.shape(vector)}")
        cosines = self._units @ _unit(np.asarray(vector))
        cosines[[self.row_of[self._known(word)] for word in left_out]] = -np.inf
        best = np.argsort(-cosines, kind="stable")[:count]
        return [(self.words[row], float(cosines[row])) for row in best if cosines[row] > -np.inf]

    @cached_property
    def _units(self) -> Row:
        return _unit(self.table)


def vectors_of(tokens: Sequence[str], table: Row) -> Vectors:
    """The vectors that a model has for its tokens, by the words that these are, without the space before them.

    Args:
        tokens: V strings; of a word with and without a space before it, the one with it is taken.
        table: (V, E).
    """
    rows: dict[str, int] = {}
    for row, token in enumerate(tokens):
        if (word := token.strip()) and word != LOST and (word not in rows or not tokens[rows[word]].startswith(" ")):
            rows[word] = row
    return Vectors(tuple(rows), table[list(rows.values())])


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    """The rank correlation of two series, -1 to 1, as word similarities are compared with people's; ties share ranks.

    It is NaN where one of them does not vary.
    """
    first, second = (_ranks(np.asarray(series, dtype=np.float64)) for series in (left, right))
    with np.errstate(invalid="ignore"):
        return float(np.corrcoef(first, second)[0, 1])


def _ranks(series: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The rank of each value; equal ones have the mean of theirs."""
    _, place, counts = np.unique(series, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: npt.NDArray[np.float64] = (ends - (counts - 1) / 2)[place]
    return ranks


def _unit(vectors: Row) -> Row:
    """Of length 1, but those of length 0."""
    largest = np.abs(vectors).max(axis=-1, keepdims=True, initial=0)
    scaled = vectors / np.where(largest == 0, 1, largest)  # or the squares of very large numbers would be infinite
    lengths = np.linalg.norm(scaled, axis=-1, keepdims=True)
    unit: Row = (scaled / np.where(lengths == 0, 1, lengths)).astype(np.float32, copy=False)
    return unit
