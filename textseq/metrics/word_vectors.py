"""How far word vectors agree with people: similarities of pairs of words, and analogies.

The files are those that the field shares: WordSim-353 and SimLex-999 (two words and a number to a line), and the
analogies of Mikolov et al. 2013 (four words to a line, sections that begin with a colon). Only what is made of words
that have vectors can be asked; how much that is stands beside each result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from textseq.data.word_vectors import Vectors, spearman
from textseq.errors import TextseqError
from textseq.io.documents import Document, lines_of


@dataclass(frozen=True)
class Similarities:
    """How the cosines of pairs of words are ordered beside people's judgements."""

    correlation: float
    """Spearman's, -1 to 1, over the known pairs; NaN with fewer than two."""
    known: int
    """Pairs of which both words have vectors."""
    pairs: int
    """Pairs in the file."""

    def __str__(self) -> str:
        return f"rank correlation {self.correlation:.3f} ({self.known:,} of {self.pairs:,} pairs known)"


@dataclass(frozen=True)
class Analogies:
    """How many analogies of a section are completed with the right word first."""

    right: int
    known: int
    """Of which all four words have vectors; the others were not asked."""
    questions: int
    """In the file."""

    def __str__(self) -> str:
        share = f"{self.right / self.known:.1%} right" if self.known else "none asked"
        return f"{share} ({self.known:,} of {self.questions:,} questions known)"


SCORES = ("SimLex999", "Human (mean)")
"""How the authors' files call the column of the judgements."""


def word_similarity(vectors: Vectors, path: Path | str) -> Similarities:
    """Compare vectors with people's judgements of similarity, such as WordSim-353 or SimLex-999.

    Args:
        vectors: a word that they have not is looked up in lower case.
        path: two words and a number to a line, with tabs between; lines that begin with # do not count. SimLex-999
            and WordSim-353 may be as their authors give them, with a header: then the number is in the column called
            "SimLex999" or "Human (mean)", or else in the third.

    Raises:
        TextseqError: the file is missing, or not of this kind.
    """
    ours: list[float] = []
    theirs: list[float] = []
    count, column = 0, 2
    for place, (number, line) in enumerate(_lines(path)):
        cells = line.rstrip("\r\n").split("\t")
        if place == 0 and {"word1", "word 1"}.intersection(map(str.casefold, cells)):
            column = next((cells.index(name) for name in SCORES if name in cells), column)
            continue
        try:
            (one, other), judged = cells[:2], float(cells[column])
        except (ValueError, IndexError):
            raise TextseqError(
                f"{path}, line {number} wants two words and a number with tabs between, found {line[:50]!r}"
            ) from None
        count += 1
        found = [_known(vectors, word) for word in (one, other)]
        if found[0] is not None and found[1] is not None:
            ours.append(vectors.similarity(found[0], found[1]))
            theirs.append(judged)
    correlation = spearman(ours, theirs) if len(ours) > 1 else float("nan")
    return Similarities(correlation, len(ours), count)


def word_analogies(vectors: Vectors, path: Path | str) -> dict[str, Analogies]:
    """Complete analogies such as "Athens Greece Oslo Norway"; see ``Vectors.analogy``.

    Args:
        vectors: as of ``word_similarity``.
        path: four words to a line; a line of a colon and a name begins a section.

    Returns:
        The result of each section, in the order of the file.

    Raises:
        TextseqError: the file is missing, or not of this kind.
    """
    counts: dict[str, list[int]] = {}
    section = ""
    for number, line in _lines(path):
        if line.startswith(":"):
            section = line[1:].strip()
            continue
        words = line.split()
        if len(words) != 4:
            raise TextseqError(f"{path}, line {number} wants four words, found {line[:50]!r}")
        tally = counts.setdefault(section, [0, 0, 0])
        tally[2] += 1
        known = [found for word in words if (found := _known(vectors, word)) is not None]
        if len(known) == 4:
            one, other, third, wanted = known
            tally[0] += [word for word, _ in vectors.analogy(one, other, third)] == [wanted]
            tally[1] += 1
    return {name: Analogies(*tally) for name, tally in counts.items()}


def _known(vectors: Vectors, word: str) -> str | None:
    """The word as the vectors have it."""
    return next((form for form in (word, word.lower()) if form in vectors), None)


def _lines(path: Path | str) -> Iterator[tuple[int, str]]:
    """The lines of a file and their numbers, without empty ones and comments.

    Raises:
        TextseqError: it is missing, or no text.
    """
    if not Path(path).is_file():
        raise TextseqError(f"no file {path}; name one of word pairs or analogies")
    for number, line in enumerate(lines_of(Document(Path(path), "utf-8")), start=1):
        if line.strip() and not line.startswith("#"):
            yield number, line
