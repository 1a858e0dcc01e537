"""What a tagger gives for a text: tags, and the spans that they mark."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass
from zlib import crc32

from textseq.checkpoints.model_info import Table
from textseq.data.spans import read_spans
from textseq.io.colored_text import escaped, mark

COLORS = (
    *("#7aecec", "#bfeeb7", "#feca74", "#ff9561", "#aa9cfc", "#9cc9cc", "#ffeb80", "#ff8197", "#f0d0ff"),
    *("#bfe1d9", "#e4e7d2", "#c887fb"),
)
"""The colors of displaCy."""

PLAIN = "#dddddd"
"""That of words with tags that mark no spans."""


BREAKS = re.compile(r"[\t\r\n]+")


@dataclass(frozen=True)
class Span:
    """A span of words, such as a named entity."""

    kind: str
    start: int
    """First character in the text as given; a sentence given as words is the text of them joined by spaces."""
    end: int
    """The character after the last."""
    text: str


@dataclass(frozen=True)
class Tagging:
    """The tags of a sentence."""

    words: tuple[str, ...]
    """The words; with CTC the letters."""
    tags: tuple[str, ...]
    """One for each word; with CTC a sequence of any length."""
    probabilities: tuple[float, ...]
    """Marginal probability of each tag; with CTC one, of the whole sequence (with one beam, of its best path)."""
    aligned: bool = True
    spans: tuple[Span, ...] = ()
    """What the tags mark, if they are B-KIND, I-KIND and so on (see ``textseq.data.spans``), in order."""

    def __str__(self) -> str:
        if not self.aligned:
            return " ".join(self.tags)
        return " ".join(f"{word}/{tag}" for word, tag in zip(self.words, self.tags, strict=True))

    def to_conll(self) -> str:
        """A word, a tab and its tag per line; tabs and line ends in a word become spaces."""
        lines = zip(self.words, self.tags, strict=True)
        return "".join(f"{re.sub(BREAKS, ' ', word)}\t{tag}\n" for word, tag in lines)

    def to_dict(self) -> Table:
        """Words, tags, their probabilities and spans, for JSON."""
        spans = [vars(span) for span in self.spans]
        return {"words": self.words, "tags": self.tags, "probabilities": self.probabilities, "spans": spans}

    def _repr_html_(self) -> str:
        if not self.aligned:
            return f"<p>{escaped(''.join(self.words))}: {escaped(str(self))}</p>"
        if not self.spans:
            words = (mark(word, tag, PLAIN) for word, tag in zip(self.words, self.tags, strict=True))
            return f"<div>{' '.join(words)}</div>"
        parts, end, colors = [], 0, _colors({span.kind for span in self.spans})
        for (kind, first, after), span in zip(read_spans(self.tags), self.spans, strict=True):
            parts += [*map(escaped, self.words[end:first]), mark(span.text, kind, colors[kind])]
            end = after
        return f"<div>{' '.join([*parts, *map(escaped, self.words[end:])])}</div>"


def find_spans(text: str, words: Sequence[str], tags: Sequence[str]) -> tuple[Span, ...]:
    """What the tags mark, in the text that the words come from."""
    starts, end = [], 0
    for word in words:
        starts.append(text.index(word, end))
        end = starts[-1] + len(word)
    spans = []
    for kind, first, after in read_spans(tags):
        start, end = starts[first], starts[after - 1] + len(words[after - 1])
        spans.append(Span(kind, start, end, text[start:end]))
    return tuple(spans)


def _colors(kinds: Set[str]) -> dict[str, str]:
    """A color for each kind; mostly the same in every text, and different ones within a text while they last."""
    colors: dict[str, str] = {}
    for kind in sorted(kinds):
        first = crc32(kind.encode(errors="replace"))
        choices = [COLORS[(first + step) % len(COLORS)] for step in range(len(COLORS))]
        colors[kind] = next((color for color in choices if color not in colors.values()), choices[0])
    return colors
