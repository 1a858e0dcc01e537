"""HTML and XHTML as raw markup and paragraphs; nothing is parsed into a tree, so what is not text stays as it is."""

from __future__ import annotations

import html
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from textseq.tasks.documents.paragraphs import Mark, Paragraph

_REST = r"(?:=\s*+(?:\"[^\"]*(?:\"|\Z)|'[^']*(?:'|\Z))|[^>])*+"
"""What follows the name of a tag; only after ``=`` do quotes enclose a ``>``, as in browsers."""

TOKEN = re.compile(
    r"<!--(?:-?>|.*?(?:-->|\Z))|<!\[CDATA\[.*?(?:\]\]>|\Z)|<[!?][^>]*(?:>|\Z)"
    rf"|<(?P<raw>script|style|pre|textarea|svg|math|code|kbd|samp)(?=[\s/>]){_REST}"
    r"(?<!/)(?:>.*?(?:</(?P=raw)\s*>|\Z)|\Z)"
    rf"|<(?P<close>/?)(?P<name>[a-zA-Z][^\s/>]*+)(?P<rest>{_REST})(?:>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
"""A tag, or an element or comment that stays as it is; to the end of the document if it is not closed, as in browsers.

Found in time linear in the document: a search for an end never fails.
"""

SUBTITLE_TOKEN = re.compile(rf"\{{\\[^{{}}]*\}}|{TOKEN.pattern}", TOKEN.flags)
"""The same in subtitles, with codes such as ``{\\an8}`` for the position."""

_INLINE = """
a abbr acronym b bdi bdo big cite data del dfn em font i img ins label mark q s small span strike strong sub sup time tt
u var wbr
"""

INLINE = frozenset(_INLINE.split())
"""Elements within a sentence; every other one ends a paragraph."""

ATTRIBUTE = re.compile(
    r"(?<![^\s\"'<>/=])(?P<name>[^\s\"'<>/=]++)\s*+=\s*(?P<value>\"[^\"]*\"|'[^']*'|[^\s\"'>][^\s>]*+)"
)

DECLARATION = re.compile(r"\ufeff?\s*<\?xml\s[^<>]*?\bencoding\s*=\s*[\"'](?P<encoding>[\w.:-]+)")
"""The beginning of XML that states its encoding."""

CHARSET = re.compile(r"\bcharset\s*=\s*(?P<encoding>[\w.:-]+)", re.IGNORECASE)
"""An encoding in the attribute ``content`` of ``<meta http-equiv="Content-Type">``."""

READ = frozenset(("alt", "aria-label", "placeholder", "title"))
"""Attributes whose text people read."""

INLINE_RAW = frozenset(["code", "kbd", "samp"])
"""Elements within a sentence whose text is not translated."""

_VOID = "area base br col embed hr img input link meta param source track wbr"

VOID = frozenset(_VOID.split())
"""Elements that have no closing tag."""

MOST_MARKS = 1000
"""Marks of a paragraph, after which another begins: to place them takes time that grows with their square."""

SPACE = " \t\r\n\f"
"""White space of HTML, which a no-break space is not."""


class Builder:
    """Collects a paragraph."""

    def __init__(self) -> None:
        self.text = ""
        self.marks: list[Mark] = []
        self.open: list[tuple[str, int]] = []
        """Elements that are not closed yet: their names and places among the marks."""

    def add(self, text: str) -> None:
        """Add text; white space becomes single spaces."""
        text = re.sub(f"[{SPACE}]+", " ", html.unescape(text))
        last = self.marks[-1] if self.marks else None
        if last and last.whole and last.start == len(self.text) and text[:1] == " " == self.text[-1:]:
            self.marks[-1] = replace(last, open=last.open + " ")  # it stands between two spaces
        self.text += text[1:] if text.startswith(" ") and self.text[-1:] in ("", " ") else text

    def tag(self, written: str, name: str, *, closing: bool, empty: bool) -> None:
        """Add an inline tag; an element without text becomes one mark."""
        here = len(self.text)
        if not closing:
            if not empty:
                self.open.append((name, len(self.marks)))
            self.marks.append(Mark(here, here, written, whole=empty))
        elif self.open and self.open[-1][0] == name:
            place = self.open.pop()[1]
            first = self.marks[place]
            if first.start < here:
                self.marks[place] = Mark(first.start, here, first.open, written)
            else:
                whole = "".join(mark.open + mark.close for mark in self.marks[place:]) + written
                self.marks[place:] = [Mark(here, here, whole, whole=True)]
        else:
            self.marks.append(Mark(here, here, written))

    def finish(self) -> Paragraph:
        """The paragraph, without the space at its end, which stands before the tags or the element after it."""
        text = self.text.rstrip(" ")
        for n, mark in enumerate(self.marks):
            if mark.start > len(text):
                if mark.whole:
                    self.marks[n] = replace(mark, open=" " + mark.open.rstrip(" "))
                else:
                    self.marks.insert(n, Mark(len(text), len(text), " "))
                break
        marks = [replace(m, start=min(m.start, len(text)), end=min(m.end, len(text))) for m in self.marks]
        return Paragraph(text, tuple(marks))


def tokens(document: str, token: re.Pattern[str] = TOKEN) -> Iterator[tuple[re.Match[str], int, bool]]:
    """Each tag with its end, and whether it has ``translate="no"``; its end is then that of its element.

    An element without a closing tag ends before the next tag of its name, or where the element that it is in is closed.
    """
    found = [*token.finditer(document)]
    opened: defaultdict[str, list[int]] = defaultdict(list)
    partners: dict[int, int] = {}
    for n, tag in enumerate(found):
        name = (tag["name"] or "").lower()
        if name and not tag["close"]:
            opened[name].append(n)
        elif opened[name]:
            partners[opened[name].pop()] = n
    openers = {closing: opening for opening, closing in partners.items()}
    n = 0
    while n < len(found):
        tag = found[n]
        name, rest = (tag["name"] or "").lower(), tag["rest"] or ""
        kept = any(
            attribute["name"].lower() == "translate" and attribute["value"].strip("\"'").lower() == "no"
            for attribute in ATTRIBUTE.finditer(rest)
        )
        following, end = n + 1, tag.end()
        if kept and n in partners:
            following, end = partners[n] + 1, found[partners[n]].end()
        elif kept and not (tag["close"] or name in VOID or rest.endswith("/")):  # its end is that of what it is in
            while following < len(found) and not (
                (found[following]["name"] or "").lower() == name or openers.get(following, n) < n
            ):
                following += 1
            end = found[following].start() if following < len(found) else len(document)
        yield tag, end, kept
        n = following


def utf8_declared(document: str) -> str:
    """HTML or XML with each declaration of its encoding changed to UTF-8."""
    spans = [found.span("encoding") for found in [DECLARATION.match(document)] if found]
    for tag in TOKEN.finditer(document):
        if (tag["name"] or "").lower() != "meta":
            continue
        values = {found["name"].lower(): found for found in ATTRIBUTE.finditer(tag["rest"])}
        if found := values.get("charset"):
            quotes = found["value"][0] in "\"'"
            start, end = found.span("value")
            spans.append((tag.start("rest") + start + quotes, tag.start("rest") + end - quotes))
        elif "http-equiv" in values and (content := values.get("content")):
            start = tag.start("rest") + content.start("value")
            spans += [
                (start + m.start("encoding"), start + m.end("encoding")) for m in CHARSET.finditer(content["value"])
            ]
    for start, end in reversed(spans):
        if document[start:end].strip().lower() != "utf-8":
            document = f"{document[:start]}utf-8{document[end:]}"
    return document


def attribute_parts(document: str) -> Iterator[str | Paragraph]:
    """Raw markup, and the attributes to translate."""
    place = 0
    for tag, _, kept in tokens(document):
        for found in ATTRIBUTE.finditer("" if kept else tag["rest"] or ""):
            text = " ".join(html.unescape(found["value"].strip("\"'")).split())
            if found["name"].lower() in READ and any(map(str.isalpha, text)):
                start, end = (tag.start("rest") + edge for edge in found.span("value"))
                yield f'{document[place:start]}"'
                yield Paragraph(text)
                place = end
                yield '"'
    yield document[place:]


def parts_of(document: str, token: re.Pattern[str] = TOKEN) -> Iterator[str | Paragraph]:
    """Raw markup, and paragraphs to translate, in the order of the document."""
    begin, place, builder = 0, 0, Builder()

    def add(text: str, *, inline: bool) -> None:
        """Add what is between two tags; a paragraph begins with white space only as a mark."""
        if not builder.text and (words := text.lstrip()) != text:
            builder.marks.append(Mark(0, 0, text[: len(text) - len(words)]))
            text = words
        if text.strip(SPACE) or (inline and builder.text):
            builder.add(text)

    def flush(stop: int) -> Iterator[str | Paragraph]:
        """The paragraph that ends here, and the white space at its end."""
        nonlocal begin, builder
        paragraph = builder.finish()
        if paragraph.text.strip():
            yield paragraph
            between = document[place:stop]
            yield between[len(between.rstrip(SPACE)) :]
        else:
            yield document[begin:stop]
        begin, builder = stop, Builder()

    for match, end, kept in tokens(document, token):
        name = (match["raw"] or match["name"] or "").lower().split(":")[-1]
        code = match[0].startswith("{")
        inline = code or name in INLINE or name in INLINE_RAW
        add(document[place : match.start()], inline=inline)
        if not inline or len(builder.marks) >= MOST_MARKS:
            yield from flush(match.start())
        if not inline:
            yield document[match.start() : end]
            begin = end
        elif code or match["raw"] or (kept and end > match.end()):
            whole = document[match.start() : end]
            builder.marks.append(Mark(len(builder.text), len(builder.text), whole, whole=True))
        else:
            empty = name in VOID or match["rest"].endswith("/")
            builder.tag(match[0], name, closing=bool(match["close"]), empty=empty)
        place = end
    add(document[place:], inline=False)
    yield from flush(len(document))
