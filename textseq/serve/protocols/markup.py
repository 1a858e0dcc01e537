"""A text or a page in parts: sentences to translate, and what stays as it is between them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser

from textseq.tokenizers.sentences import sentence_spans

UNTOUCHED = frozenset({"script", "style", "code", "pre", "kbd", "samp", "textarea"})
"""Elements whose text is not translated."""

VOID = frozenset(["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"])
"""Elements without content."""

SECTION = re.compile(r"\s*\w+\s*\[")
"""Begin of a marked section, such as CDATA[, which ends in two brackets; conditions of Word end in one."""


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
    parser = _Parser()
    parser.feed(text)
    parser.close()
    return parser.parts


def joined(parts: Iterable[Part]) -> str:
    """The text of parts."""
    return "".join(html.escape(part.text, quote=False) if part.escape else part.text for part in parts)


def _sentences(text: str, *, escape: bool) -> Iterator[Part]:
    for line in re.split(r"(\n+)", text):
        end = 0
        for start, after in sentence_spans(line):
            yield from (Part(line[end:start], escape),) * (end < start)
            sentence = line[start:after]
            yield Part(sentence, escape, translate=any(map(str.isalnum, sentence)))
            end = after
        yield from (Part(line[end:], escape),) * (end < len(line))


class _Parser(HTMLParser):
    """Cuts a page into tags, which stay, and the sentences of the text between them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[Part] = []
        self._kept: list[str] = []
        """Open elements whose text stays, and the elements in them."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._keep(self.get_starttag_text() or "")
        if tag not in VOID and (self._kept or tag in UNTOUCHED or ("translate", "no") in attrs):
            self._kept.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._keep(self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        self._keep(f"</{tag}>")
        if tag in self._kept:
            while self._kept.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self.cdata_elem in self.CDATA_CONTENT_ELEMENTS:
            self._keep(data)  # of scripts and styles, where nothing is escaped
        elif self._kept:
            self.parts.append(Part(data, escape=True))
        else:
            self.parts += _sentences(data, escape=True)

    def handle_comment(self, data: str) -> None:
        self._keep(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self._keep(f"<!{decl}>")

    def handle_pi(self, data: str) -> None:
        self._keep(f"<?{data}>")

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        try:
            return super().parse_marked_section(i, report)
        except AssertionError:  # one of no known kind, which browsers read as a comment
            return self.parse_bogus_comment(i, report)

    def unknown_decl(self, data: str) -> None:
        self._keep(f"<![{data}]]>" if SECTION.match(data) else f"<![{data}]>")

    def _keep(self, text: str) -> None:
        self.parts.append(Part(text))
