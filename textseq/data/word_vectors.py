"""Word vectors: neighbors, analogies, rank correlation. Shapes: V words, E embedding size."""

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

UNKNOWN = "<unk>"
"""The token for unknown words, which is not a word itself."""


@dataclass(frozen=True)
class Vectors:
    """Words with a vector each."""

    words: tuple[str, ...]
    """V different words."""
    table: Row
    """(V, E)."""
    notes: tuple[str, ...] = ()
    """Sentences about the file that the user should read."""
    other_case: int = 0
    """The number of words that have the vector of a spelling in another case."""

    @property
    def size(self) -> int:
        """E."""
        return int(self.table.shape[1])

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each word."""
        return {word: row for row, word in enumerate(self.words)}

    def __contains__(self, word: object) -> bool:
        return word in self.row_of

    def __getitem__(self, word: str) -> Row:
        """The vector (E,) of a word, or of its lower-case form; a TextseqError if neither is known."""
        row: Row = self.table[self.row_of[self._known(word)]]
        return row

    def _known(self, word: str) -> str:
        """The word or its lower-case form."""
        for form in (word, word.lower()):
            if form in self.row_of:
                return form
        raise unknown("word", word, islice(self.words, 10**4))

    def similarity(self, one: str, other: str) -> float:
        """The cosine similarity of two words, -1 to 1."""
        return float(_unit(self[one]) @ _unit(self[other]))

    def nearest(self, to: str | Row, count: int = 10) -> list[tuple[str, float]]:
        """The nearest words by cosine similarity, with the similarities.

        Args:
            to: a word, which is not among its own neighbors, or a vector (E,).
            count: the most words.

        Raises:
            TextseqError: the word is unknown, the vector has another size, or the count is less than 1.
        """
        return self._nearest(self[to], count, [to]) if isinstance(to, str) else self._nearest(to, count, [])

    def analogy(self, one: str, other: str, third: str, count: int = 1) -> list[tuple[str, float]]:
        """The words that are to ``third`` as ``other`` is to ``one`` (Mikolov et al. 2013: man, king, woman -> queen).

        These are the nearest to other - one + third (of normalized vectors), except the three themselves.

        Raises:
            TextseqError: a word is unknown, or the count is less than 1.
        """
        given = [one, other, third]
        a, b, c = (_unit(self[word]) for word in given)
        return self._nearest(b - a + c, count, given)

    def _nearest(self, vector: Row, count: int, left_out: Iterable[str]) -> list[tuple[str, float]]:
        if count < 1:
            raise TextseqError(f"count: expected at least 1, got {count}")
        width = self.table.shape[1]
        if np.shape(vector) != (width,):
            raise TextseqError(f"expected a vector of shape ({width},), got shape {np.shape(vector)}")
        cosines = self._units @ _unit(np.asarray(vector))
        cosines[[self.row_of[self._known(word)] for word in left_out]] = -np.inf
        best = np.argsort(-cosines, kind="stable")[:count]
        return [(self.words[row], float(cosines[row])) for row in best if cosines[row] > -np.inf]

    @cached_property
    def _units(self) -> Row:
        return _unit(self.table)


def vectors_of(tokens: Sequence[str], table: Row) -> Vectors:
    """The vectors of a model's tokens that are words, without the space before them.

    Args:
        tokens: V strings; a word with a space before it is preferred to the same without.
        table: (V, E).
    """
    rows: dict[str, int] = {}
    for row, token in enumerate(tokens):
        if (word := token.strip()) and word != UNKNOWN and (word not in rows or not tokens[rows[word]].startswith(" ")):
            rows[word] = row
    return Vectors(tuple(rows), table[list(rows.values())])


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    """Spearman's rank correlation of two series, -1 to 1, with mean ranks for ties; NaN if one of them is constant."""
    first, second = (_ranks(np.asarray(series, dtype=np.float64)) for series in (left, right))
    with np.errstate(invalid="ignore"):
        return float(np.corrcoef(first, second)[0, 1])


def _ranks(series: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The rank of each value; equal values have their mean rank."""
    _, place, counts = np.unique(series, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: npt.NDArray[np.float64] = (ends - (counts - 1) / 2)[place]
    return ranks


def _unit(vectors: Row) -> Row:
    """Normalize vectors to length 1; zeros stay."""
    largest = np.abs(vectors).max(axis=-1, keepdims=True, initial=0)
    scaled = vectors / np.where(largest == 0, 1, largest)  # avoids infinite squares
    lengths = np.linalg.norm(scaled, axis=-1, keepdims=True)
    unit: Row = (scaled / np.where(lengths == 0, 1, lengths)).astype(np.float32, copy=False)
    return unit
