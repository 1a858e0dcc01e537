"""Paragraphs with marks, such as tags of HTML, which move with the words that they enclose when these are translated.

A target word belongs to the source word that has its largest attention weight; a mark encloses all from the first to
the last word that belongs to its words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from textseq.tasks.translation.result import Translation
from textseq.tokenizers.frame import frame
from textseq.tokenizers.sentences import by_sentence, sentence_spans

Translate = Callable[[Iterator[str]], Iterator[list[Translation]]]
"""Translations of a stream of sentences, best first, such as ``Translator.stream``."""

SPACED_WORD = re.compile(r"[^ ]+")

ADDED_MARK = re.compile(r"(?<![.!?])\s*[.!]$")
"""What translators write at the end of a heading or label, which has no final mark."""

Word = tuple[int, int]
"""First character, and the one after the last."""


@dataclass(frozen=True)
class Mark:
    """What encloses a part of a text, or stands at one place if that is empty."""

    start: int
    end: int
    open: str
    close: str = ""
    whole: bool = False
    """Whether ``open`` is a whole element, which takes the place of a word."""

    @property
    def loose(self) -> bool:
        """Whether it is white space, or a tag whose partner is in another paragraph."""
        return self.start == self.end and not self.close and not self.whole


@dataclass(frozen=True)
class Paragraph:
    """A text with single spaces between words, and its marks: nested, in the order in which they begin."""

    text: str
    marks: tuple[Mark, ...] = ()
    layout: Callable[[str], str] = str
    """Breaks the rendered translation into lines."""

    def render(self, escape: Callable[[str], str] = str) -> str:
        """The text with its marks."""
        parts, stack, place = [], list[Mark](), 0

        def close(until: int) -> None:
            nonlocal place
            while stack and stack[-1].end <= until:
                parts.append(escape(self.text[place : stack[-1].end]) + stack[-1].close)
                place = stack.pop().end

        for mark in self.marks:
            close(mark.start)
            parts.append(escape(self.text[place : mark.start]) + mark.open)
            place = mark.start
            stack.append(mark)
        close(len(self.text))
        return "".join(parts) + escape(self.text[place:])


def translated(paragraphs: Iterable[Paragraph], translate: Translate) -> Iterator[Paragraph]:
    """The paragraphs in the other language, in order; empty ones as they are."""
    kept: list[Paragraph] = []

    def texts() -> Iterator[str]:
        for paragraph in paragraphs:
            kept.append(paragraph)
            yield paragraph.text

    for results in by_sentence(texts(), translate):
        paragraph = kept.pop(0)
        yield _joined(paragraph, [best[0] for best in results]) if paragraph.text.strip() else paragraph


def _joined(paragraph: Paragraph, sentences: Sequence[Translation]) -> Paragraph:
    """A translated paragraph from its sentences."""
    spans = sentence_spans(paragraph.text)
    texts = [sentence.text for sentence in sentences]
    texts[-1], after = _without_added_mark(paragraph.text[spans[-1][0] :], texts[-1])
    before = " ".join(texts)
    text = before + after
    if not paragraph.marks:
        return Paragraph(text)
    sources = [(found.start(), found.end()) for found in SPACED_WORD.finditer(paragraph.text)]
    targets = [(found.start(), found.end()) for found in SPACED_WORD.finditer(text)]
    owners: list[int] = []  # the source word of each target word
    for (start, end), sentence in zip(spans, sentences, strict=True):
        first = sum(word[1] <= start for word in sources)
        count = len(SPACED_WORD.findall(paragraph.text[start:end]))
        owners += [first + owner for owner in _owners(sentence, count)]
    place = len(SPACED_WORD.findall(before))
    del owners[place : place + len(owners) - len(targets)]  # of an added mark
    moved = [_moved(mark, sources, targets, owners, text) for mark in paragraph.marks]
    return Paragraph(text, _nested(paragraph.marks, moved, len(text)))


def _without_added_mark(source: str, target: str) -> tuple[str, str]:
    """A translation without a final mark that its sentence lacks, in two parts: up to that mark, and after it.

    What stands around both, such as brackets, does not count.
    """
    if not frame(source)[1][-1:].isalnum():
        return target, ""
    before, sentence, after = frame(target)
    return before + ADDED_MARK.sub("", sentence), after


def _owners(sentence: Translation, count: int) -> list[int]:
    """The source word, of so many, that each target word belongs to; in proportion where there is no attention."""
    words = len(SPACED_WORD.findall(sentence.text))
    pairs = {word: owner for owner, word in sentence.alignment()} if sentence.attention is not None else {}
    return [min(pairs.get(word, word * count // max(words, 1)), count - 1) for word in range(words)]


def _moved(mark: Mark, sources: Sequence[Word], targets: Sequence[Word], owners: Sequence[int], text: str) -> Mark:
    """A mark at its words in the translation."""
    if mark.loose and mark.start and mark.open.startswith("</"):  # after the translation of all before it
        place = _moved(replace(mark, start=0), sources, targets, owners, text).end
        return replace(mark, start=place, end=place)
    if mark.start == mark.end:  # before the translation of the word after it
        after = sum(end <= mark.start for _, end in sources)
        place = next((targets[n][0] for n, owner in enumerate(owners) if owner >= after), len(text))
        return replace(mark, start=place, end=place)
    own = [n for n, (start, end) in enumerate(sources) if start < mark.end and end > mark.start]
    if not own or not targets:
        return replace(mark, start=0, end=0)
    if len(own) == len(sources):
        inside = [*range(len(targets))]
    else:
        inside = [n for n, owner in enumerate(owners) if own[0] <= owner <= own[-1]]
        inside = inside or [min(range(len(targets)), key=lambda n: abs(owners[n] - own[0]))]
    start, end = targets[inside[0]][0], targets[inside[-1]][1]
    if mark.start > sources[own[0]][0]:  # punctuation before the mark stays before it
        start += len(text[start:end]) - len(re.sub(r"^[^\w]+", "", text[start:end]))
    if mark.end < sources[own[-1]][1]:
        end = start + len(re.sub(r"[^\w]+$", "", text[start:end]))
    return replace(mark, start=start, end=max(start, end))


def _nested(before: Sequence[Mark], after: Sequence[Mark], length: int) -> tuple[Mark, ...]:
    """Moved marks that do not cross: within those that enclosed them, beside neighbors, between the same loose tags."""
    pieces, after = _clipped(before, after, length)
    placed: list[Mark] = []
    parents: list[tuple[Mark, Mark]] = []
    for n, (old, new) in enumerate(zip(before, after, strict=True)):
        if n and pieces[n] > pieces[n - 1]:
            parents.clear()
        while parents and not (old.start >= parents[-1][0].start and old.end <= parents[-1][0].end):
            parents.pop()
        if parents:
            new = _within(new, parents[-1][1].start, parents[-1][1].end)
        for other in placed:  # a neighbor that it would cross
            if other.start < new.start < other.end < new.end and other not in [parent for _, parent in parents]:
                new = replace(new, start=other.end)
            elif new.start < other.start < new.end < other.end:
                new = replace(new, end=other.start)
        placed.append(new)
        if old.end > old.start:
            parents.append((old, new))
    numbered = sorted(zip(pieces, placed, strict=True), key=lambda item: (item[0], item[1].start, -item[1].end))
    return tuple(mark for _, mark in numbered)


def _clipped(before: Sequence[Mark], after: Sequence[Mark], length: int) -> tuple[list[int], list[Mark]]:
    """The number of the piece of the text that each mark belongs to, and the moved marks within their pieces.

    Loose tags, which are in no pair, cut a text into pieces, so that what was before one of them stays before it.
    """
    edges, pieces, reached = [0], list[int](), 0
    for old, new in zip(before, after, strict=True):
        cut = max(edges[-1], new.start)
        if loose := old.loose and reached <= old.start:
            edges.append(cut)
        pieces.append(len(edges) - 1)
        if loose:
            edges.append(cut)
        reached = max(reached, old.end)
    edges.append(length)
    return pieces, [_within(new, edges[n], edges[n + 1]) for n, new in zip(pieces, after, strict=True)]


def _within(mark: Mark, low: int, high: int) -> Mark:
    """A mark whose ends are between two places."""
    return replace(mark, start=min(max(mark.start, low), high), end=min(max(mark.end, low), high))
