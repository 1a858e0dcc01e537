"""The text of .docx: its paragraphs, whose runs are marks; everything else stays as it is.

The formatting of most characters of a paragraph is that of its translation; a run with another one is a mark.
Characters that XML does not have stand for what a run becomes once its place is known.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from textseq.tasks.documents.markup import Builder
from textseq.tasks.documents.paragraphs import Mark, Paragraph

MEMBERS = re.compile(r"word/(document|header\d*|footer\d*|footnotes|endnotes)\.xml")
"""Files of a .docx that have text."""

PARAGRAPH = re.compile(
    r"(?P<head><w:p(?:\s[^<>]*)?(?<!/)>(?:<w:pPr\b[^<>]*/>|<w:pPr\b.*?</w:pPr>)?)(?P<body>.*?)(?P<tail></w:p>)",
    re.DOTALL,
)

CHILD = re.compile(
    r"<w:r(?:\s[^<>]*)?(?<!/)>(?P<format><w:rPr\b[^<>]*/>|<w:rPr\b.*?</w:rPr>)?(?P<run>.*?)</w:r>"
    r"|<(?P<close>/?)(?P<name>[\w:]+)[^<>]*?(?P<empty>/?)>",
    re.DOTALL,
)

BOX_END = "</w:txbxContent>"

TEXT = re.compile(r"(?:<w:t(?:\s[^<>]*)?>[^<>]*</w:t>|<w:lastRenderedPageBreak/>)+")
"""A run that is nothing but text."""

SIMPLE = re.compile(r"<w:t(?:\s[^<>]*)?>[^<>]*</w:t>|<w:(?:br|cr|tab|ptab|lastRenderedPageBreak)\b[^<>]*/>")
"""What a run of text and breaks consists of."""

BREAKS = re.compile(r"(?:<w:(?:br|cr|tab|ptab|lastRenderedPageBreak)\b[^<>]*/>)+")
"""A run that is nothing but breaks, between which each text is translated on its own."""

BOX = re.compile(r"<w:txbxContent\b.*?</w:txbxContent>", re.DOTALL)
"""What is in a text box, which is within a run of a paragraph."""

COVER = re.compile("\x06(\\d+)\x07")
"""Stands for a text box while the paragraph around it is read."""

NESTED = re.compile(r"<w:p[\s>]")

PARTS = re.compile("(\x01[^\x02]*\x02|\x03|\x04|\x05)")
"""Formatting begins; ends; text begins; ends."""


def leaf(text: str) -> str:
    """Text that becomes a run."""
    return f"\x04{html.escape(text, quote=False)}\x05" if text else ""


def box_parts(document: str) -> Iterator[str | Paragraph]:
    """The raw markup of a file of a .docx, and the paragraphs in its text boxes."""
    place = 0
    for box in BOX.finditer(document):
        yield document[place : box.start()]
        yield from word_parts(box[0].removesuffix(BOX_END))
        yield BOX_END
        place = box.end()
    yield document[place:]


def word_parts(document: str) -> Iterator[str | Paragraph]:
    """The raw markup, which text boxes belong to, and the paragraphs of a file of a .docx."""
    boxes: list[str] = []

    def cover(box: re.Match[str]) -> str:
        boxes.append(box[0])
        return f"\x06{len(boxes) - 1}\x07"

    def uncovered(text: str) -> str:
        return COVER.sub(lambda cover: boxes[int(cover[1])], text)

    document, place = BOX.sub(cover, document), 0
    for match in PARAGRAPH.finditer(document):
        parts = [] if NESTED.search(match["body"]) else [*_parts(match["body"], uncovered)]
        if any(isinstance(part, Paragraph) for part in parts):
            yield uncovered(document[place : match.start("body")])
            yield from parts
            place = match.end("body")
    yield uncovered(document[place:])


def _parts(body: str, uncovered: Callable[[str], str]) -> Iterator[str | Paragraph]:
    """Raw markup, and the paragraphs between the breaks of a paragraph of Word."""
    body, begin = CHILD.sub(_apart, body), 0
    for child in [*CHILD.finditer(body), None]:
        if child is None or BREAKS.fullmatch(child["run"] or ""):
            piece = body[begin : child.start() if child else len(body)]
            paragraph = _paragraph(piece, uncovered)
            yield paragraph if paragraph.text.strip() else uncovered(piece)
            if child:
                yield child[0]
                begin = child.end()


def _apart(child: re.Match[str]) -> str:
    """A run of text and breaks as a run for each of them; any other child as it is."""
    run = child["run"] or ""
    parts = SIMPLE.findall(run)
    if not parts or "".join(parts) != run or TEXT.fullmatch(run) or BREAKS.fullmatch(run):
        return child[0]
    begin = child[0][: child.start("run") - child.start()]
    return "".join(f"{begin}{part}</w:r>" for part in parts)


def _paragraph(body: str, uncovered: Callable[[str], str]) -> Paragraph:
    """What is within a paragraph of Word, or between two breaks of it."""
    formats: Counter[str] = Counter()
    runs: list[tuple[int, int, str]] = []
    builder, place, apart = Builder(), 0, False
    for child in CHILD.finditer(body):
        if (between := body[place : child.start()]).strip():  # of a formula
            builder.marks.append(Mark(len(builder.text), len(builder.text), between, whole=True))
        place = child.end()
        if child["run"] is None:
            if child["name"] != "w:proofErr":
                apart = True
                builder.tag(child[0], child["name"], closing=bool(child["close"]), empty=bool(child["empty"]))
        elif TEXT.fullmatch(child["run"]):
            start = len(builder.text)
            builder.add(re.sub(r"<[^<>]*>", "", child["run"]))
            formats[child["format"] or ""] += len(builder.text) - start
            if runs and not apart and runs[-1][1:] == (start, child["format"] or ""):
                start = runs.pop()[0]  # Word cuts text at every correction
            apart = False
            runs.append((start, len(builder.text), child["format"] or ""))
        else:
            builder.marks.append(Mark(len(builder.text), len(builder.text), child[0], whole=True))
    base = max(formats, key=lambda format: formats[format], default="")
    styled = [Mark(start, end, f"\x01{format}\x02", "\x03") for start, end, format in runs if format != base]
    paragraph = builder.finish()
    fitted = (replace(mark, end=min(mark.end, len(paragraph.text))) for mark in styled)
    marks = sorted(
        [*paragraph.marks, *(mark for mark in fitted if mark.start < mark.end)],
        key=lambda mark: (mark.start, -mark.end),
    )
    return Paragraph(paragraph.text, tuple(marks), partial(_runs, base=base, uncovered=uncovered))


def _runs(rendered: str, base: str, uncovered: Callable[[str], str]) -> str:
    """The runs of a rendered paragraph."""
    formats, parts = [base], list[str]()
    for part in PARTS.split(rendered):
        if part.startswith("\x01"):
            formats.append(part[1:-1])
        elif part == "\x03":
            formats.pop()
        elif part == "\x04":
            parts.append(f'<w:r>{formats[-1]}<w:t xml:space="preserve">')
        elif part.endswith("> "):  # after an element; Word ignores a space that is in no run
            parts.append(f'{part[:-1]}<w:r>{formats[-1]}<w:t xml:space="preserve"> </w:t></w:r>')
        else:
            parts.append("</w:t></w:r>" if part == "\x05" else part)
    return uncovered("".join(parts))
