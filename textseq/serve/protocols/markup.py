"""A text or a page in parts: sentences to translate, and what stays as it is between them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape, unescape

from textseq.tasks.documents.markup import tokens
from textseq.tokenizers.sentences import sentence_spans


@dataclass(frozen=True)
class Part:
    """A sentence, or what stands between two."""

    text: str
    escape: bool = False
    """Whether ``joined`` writes it as HTML."""
    translate: bool = False


def parts_of(text: str, *, html: bool = False) -> list[Part]:
    """The parts of a text, which joined are the text.

    Example:
        >>> [part.text for part in parts_of("One. Two.")]
        ['One.', ' ', 'Two.']
    """
    if not html:
        return [*_sentences(text, escape=False)]
    parts, place = list[Part](), 0
    for tag, end, _ in tokens(text):
        parts += _sentences(unescape(text[place : tag.start()]), escape=True)
        parts.append(Part(text[tag.start() : end]))
        place = end
    return [*parts, *_sentences(unescape(text[place:]), escape=True)]


def joined(parts: Iterable[Part]) -> str:
    """The text of parts."""
    return "".join(escape(part.text, quote=False) if part.escape else part.text for part in parts)


def _sentences(text: str, *, escape: bool) -> Iterator[Part]:
    for line in re.split(r"(\n+)", text):
        end = 0
        for start, after in sentence_spans(line):
            yield from (Part(line[end:start], escape),) * (end < start)
            sentence = line[start:after]
            yield Part(sentence, escape, translate=any(map(str.isalnum, sentence)))
            end = after
        yield from (Part(line[end:], escape),) * (end < len(line))
