"""Documents (.txt, .srt, .html, .epub, .docx): what is translated in them, and how they are put together again."""

from __future__ import annotations

import html
import re
import textwrap
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Unpack

from textseq.data.readers.glossary import Glossary
from textseq.errors import TextseqError, unknown
from textseq.io.documents import Document, archive_of, reading
from textseq.io.files import check_outputs, replacing
from textseq.tasks.documents.markup import attribute_parts, parts_of
from textseq.tasks.documents.paragraphs import Paragraph, Translate, translated
from textseq.tasks.documents.word import MEMBERS, box_parts, leaf, word_parts
from textseq.tasks.translation.config import TranslationSettings
from textseq.tasks.translation.engine import Progress
from textseq.tasks.translation.translator import Translator

LARGEST = 2**24
"""Characters of a document, or bytes of a file in an archive, at most."""

CUE = re.compile(r"^[ \t]*\d\d?:\d\d:\d\d[,.]\d{3} --> .*$", re.MULTILINE)
"""The line of subtitles with the times, after which the text begins."""

WIDTHS = range(50, 101)
"""Widths of the longest line of a paragraph whose lines were broken to fill a page."""

PAGES = re.compile(r".*\.(xhtml|html?)", re.IGNORECASE)
"""Files of an e-book that have text."""


Format = Callable[[Path, str, Translate, BinaryIO], None]

Pass = tuple[Callable[[str], Iterable[str | Paragraph]], Callable[[str], str]]
"""Raw markup and paragraphs of a text, and how what is written between the marks of a paragraph is escaped."""


def translate_document(
    translator: Translator,
    source: Path | str,
    target: Path | str,
    *,
    glossary: Glossary | None = None,
    encoding: str = "utf-8",
    progress: Progress | None = None,
    **settings: Unpack[TranslationSettings],
) -> None:
    """Translate a document with its layout; its ending says what it is.

    ``.txt``: paragraphs are lines, or blocks of lines that fill a page; ``.srt``: cues keep their times and at most
    their number of lines; ``.html``, ``.epub`` and ``.docx``: markup stays, and tags and formatting move with the words
    that they enclose. Paragraphs are split into sentences.

    Args:
        translator: the models.
        source: the document.
        target: the file to write, in UTF-8.
        glossary: as ``Translator.translate``.
        encoding: of a document that is text.
        progress: called with the number of sentences of each batch.
        settings: as ``Translator.translate``.

    Raises:
        TextseqError: another format, a file that cannot be read or written, or settings out of range.
    """
    source, target = Path(source), Path(target)
    ending = source.suffix.lower()
    if ending not in FORMATS:
        raise unknown("format of a document:", ending, FORMATS)
    check_outputs({"--output": target}, [source])
    translate: Translate = partial(
        translator.stream, attention=translator.attends, glossary=glossary, progress=progress, **settings
    )
    with replacing(target) as (file,):
        FORMATS[ending](source, encoding, translate, file)


def _of_text(*passes: Pass) -> Format:
    """A format that is one text."""

    def convert(path: Path, encoding: str, translate: Translate, file: BinaryIO) -> None:
        text = ""
        for chunk in Document(path, encoding).chunks():
            text += chunk
            if len(text) > LARGEST:
                raise TextseqError(f"{path}: expected at most {LARGEST:,} characters, got more; divide it")
        file.write(_passed(text, passes, translate).encode())

    return convert


def _passed(text: str, passes: Sequence[Pass], translate: Translate) -> str:
    """A text with the paragraphs of one pass after the other translated."""
    for parts, escape in passes:
        text = "".join(_written(parts(text), translate, escape))
    return text


def _written(parts: Iterable[str | Paragraph], translate: Translate, escape: Callable[[str], str]) -> Iterator[str]:
    """The parts of a document, with their paragraphs translated."""
    listed = [*parts]
    results = translated((part for part in listed if isinstance(part, Paragraph)), translate)
    for part in listed:
        if isinstance(part, str):
            yield part
        else:
            result = next(results)
            yield part.layout(result.render(escape))


def plain_parts(text: str) -> Iterator[str | Paragraph]:
    """The paragraphs of a plain text: lines, or whole blocks whose lines fill a page."""
    for block in re.split(r"((?:^[^\S\n]*\n)+)", text, flags=re.MULTILINE):
        lines = block.splitlines()
        width = max(map(len, lines), default=0)
        if len(lines) > 1 and width in WIDTHS and all(len(line) > 0.6 * width for line in lines[:-1]):
            end = block[len(block.rstrip()) :]
            yield Paragraph(" ".join(block.split()), layout=partial(textwrap.fill, width=width, break_long_words=False))
            yield end
            continue
        for line in block.splitlines(keepends=True):
            words = line.strip()
            if words:
                yield line[: line.index(words)]
                yield Paragraph(" ".join(words.split()))
                yield line[line.index(words) + len(words) :]
            else:
                yield line


def subtitle_parts(text: str) -> Iterator[str | Paragraph]:
    """The cues of subtitles: each a paragraph, laid out in as many lines as before."""
    place = 0
    for cue in CUE.finditer(text):
        start = cue.end()
        end = text.find("\n\n", start)
        end = len(text) if end < 0 else end
        words = text[start:end]
        body = words.strip()
        begin = start + len(words) - len(words.lstrip())
        yield text[place:begin]
        place = begin + len(body)
        lines = len(body.splitlines())
        layout = partial(_balanced, lines=lines)
        for part in parts_of(body):
            yield part if isinstance(part, str) else replace(part, layout=layout)
    yield text[place:]


def _balanced(text: str, lines: int) -> str:
    """A text in so many lines of similar length, or fewer."""
    width = -(-len(text) // max(lines, 1))
    while len(broken := textwrap.wrap(text, max(width, 1), break_long_words=False, break_on_hyphens=False)) > lines:
        width += 1
    return "\n".join(broken)


def _of_archive(pages: re.Pattern[str], *passes: Pass) -> Format:
    """A format that is a ZIP archive: its pages are translated; every other file is copied."""

    def convert(path: Path, encoding: str, translate: Translate, file: BinaryIO) -> None:
        with reading(str(path)), archive_of(path) as archive, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as copy:
            for item in archive.infolist():
                if item.file_size > LARGEST:
                    raise TextseqError(f"{path}: expected files of at most {LARGEST:,} bytes, got {item.filename}")
                data = archive.read(item)
                if pages.fullmatch(item.filename):
                    try:
                        page = data.decode("utf-8-sig")
                    except UnicodeDecodeError as error:
                        raise TextseqError(f"{path}: {item.filename} is not UTF-8 text ({error})") from None
                    data = _passed(page, passes, translate).encode()
                copy.writestr(item, data, compress_type=item.compress_type)  # "mimetype" of a book stays uncompressed

    return convert


HTML: tuple[Pass, ...] = (attribute_parts, html.escape), (parts_of, partial(html.escape, quote=False))

FORMATS: Mapping[str, Format] = {
    ".txt": _of_text((plain_parts, str)),
    ".srt": _of_text((subtitle_parts, str)),
    **dict.fromkeys((".html", ".htm", ".xhtml"), _of_text(*HTML)),
    ".epub": _of_archive(PAGES, *HTML),
    ".docx": _of_archive(MEMBERS, (box_parts, leaf), (word_parts, leaf)),
}
"""How a document is read, translated and written, by the ending of its name."""
