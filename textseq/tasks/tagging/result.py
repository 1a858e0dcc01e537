"""What a tagger gives for a text: tags, and the spans that they mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textseq.checkpoints.model_info import Table
from textseq.data.spans import read_spans


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
        """A word, a tab and its tag per line, and an empty line at the end."""
        return "".join(f"{word}\t{tag}\n" for word, tag in zip(self.words, self.tags, strict=True))

    def to_dict(self) -> Table:
        """Words, tags, their probabilities and spans, for JSON."""
        spans = [vars(span) for span in self.spans]
        return {"words": self.words, "tags": self.tags, "probabilities": self.probabilities, "spans": spans}


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
