"""Intrinsic evaluation of word vectors: word similarity and analogies.

Standard files: WordSim-353 and SimLex-999 (two words and a number per line), and the analogies of Mikolov et al. 2013
(four words per line, sections that begin with a colon). Only questions whose words all have vectors are evaluated;
results state how many.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from textseq.data.word_vectors import Vectors, spearman
from textseq.errors import TextseqError
from textseq.io.documents.document import Document


@dataclass(frozen=True)
class Similarities:
    """Rank correlation between cosine similarities and human judgements."""

    correlation: float
    """Spearman's, -1 to 1, over the known pairs; NaN with fewer than two."""
    known: int
    """Pairs whose words both have vectors."""
    pairs: int
    """Pairs in the file."""

    def __str__(self) -> str:
        return f"rank correlation {self.correlation:.3f} ({self.known:,} of {self.pairs:,} pairs known)"


@dataclass(frozen=True)
class Analogies:
    """Accuracy on the analogies of a section."""

    right: int
    """Questions answered correctly by the first guess."""
    known: int
    """Questions whose four words have vectors; the others are skipped."""
    questions: int
    """Questions in the file."""

    def __str__(self) -> str:
        share = f"{self.right / self.known:.1%} right" if self.known else "none asked"
        return f"{share} ({self.known:,} of {self.questions:,} questions known)"


SCORES = ("SimLex999", "Human (mean)")
"""Names of the column of judgements in the authors' files."""


def word_similarity(vectors: Vectors, path: Path | str) -> Similarities:
    """Compare vectors with human judgements of similarity, such as WordSim-353 or SimLex-999.

    Args:
        vectors: unknown words are looked up in lower case.
        path: two words and a number per line, separated by tabs; lines that begin with # are skipped. The original
            files of SimLex-999 and WordSim-353 with their header work too: then the number is in the column
            "SimLex999" or "Human (mean)", otherwise in the third.

    Raises:
        TextseqError: the file is missing, or has another format.
    """
    cosines: list[float] = []
    judgements: list[float] = []
    count, column = 0, 2
    for place, (number, line) in enumerate(_lines(path)):
        cells = line.rstrip("\r\n").split("\t")
        if place == 0 and {"word1", "word 1"}.intersection(map(str.casefold, cells)):
            column = next((cells.index(name) for name in SCORES if name in cells), column)
            continue
        try:
            (first, second), judgement = cells[:2], float(cells[column])
        except (ValueError, IndexError):
            raise TextseqError(
                f"{path}, line {number}: expected two words and a number separated by tabs, got {line[:50]!r}"
            ) from None
        count += 1
        a, b = _known(vectors, first), _known(vectors, second)
        if a is not None and b is not None:
            cosines.append(vectors.similarity(a, b))
            judgements.append(judgement)
    correlation = spearman(cosines, judgements) if len(cosines) > 1 else float("nan")
    return Similarities(correlation, len(cosines), count)


def word_analogies(vectors: Vectors, path: Path | str) -> dict[str, Analogies]:
    """Evaluate analogies such as "Athens Greece Oslo Norway"; see ``Vectors.analogy``.

    Args:
        vectors: unknown words are looked up in lower case.
        path: four words per line; a colon and a name begin a section.

    Returns:
        The result of each section, in the order of the file.

    Raises:
        TextseqError: the file is missing, or has another format.
    """
    counts: dict[str, list[int]] = {}
    section = ""
    for number, line in _lines(path):
        if line.startswith(":"):
            section = line[1:].strip()
            continue
        words = line.split()
        if len(words) != 4:
            raise TextseqError(f"{path}, line {number}: expected four words, got {line[:50]!r}")
        tally = counts.setdefault(section, [0, 0, 0])
        tally[2] += 1
        known = [form for word in words if (form := _known(vectors, word)) is not None]
        if len(known) == 4:
            first, second, third, answer = known
            tally[0] += [word for word, _ in vectors.analogy(first, second, third)] == [answer]
            tally[1] += 1
    return {name: Analogies(*tally) for name, tally in counts.items()}


def _known(vectors: Vectors, word: str) -> str | None:
    """The form of the word that has a vector."""
    return next((form for form in (word, word.lower()) if form in vectors), None)


def _lines(path: Path | str) -> Iterator[tuple[int, str]]:
    """The numbered lines of a file, without empty ones and comments.

    Raises:
        TextseqError: it is missing, or not text.
    """
    if not Path(path).is_file():
        raise TextseqError(f"no file {path}; give a file of word pairs or analogies")
    for number, line in enumerate(Document(Path(path), "utf-8").lines(), start=1):
        if line.strip() and not line.startswith("#"):
            yield number, line
