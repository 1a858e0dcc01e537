"""Documents (.txt, .srt, .html, .epub, .docx): what is translated in them, and how they are put together again."""

from __future__ import annotations

import html
import logging
import re
import textwrap
import zipfile
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import add
from pathlib import Path
from typing import BinaryIO, Unpack

from textseq.data.readers.glossary import Glossary
from textseq.errors import TextseqError, unknown
from textseq.io.documents.archives import archive_of
from textseq.io.documents.document import Document, read_text
from textseq.io.documents.errors import reading
from textseq.io.files import check_outputs, replacing
from textseq.tasks.documents.markup import DECLARATION, SUBTITLE_TOKEN, attribute_parts, parts_of, utf8_declared
from textseq.tasks.documents.paragraphs import Paragraph, Translate, translated
from textseq.tasks.documents.word import MEMBERS, box_parts, leaf, word_parts
from textseq.tasks.translation.config import TranslationSettings
from textseq.tasks.translation.inference.engine import Progress
from textseq.tasks.translation.result import Translation
from textseq.tasks.translation.translator import Translator

log = logging.getLogger("textseq")

LARGEST = 2**24
"""Characters of a document, or bytes of a file in an archive, at most."""

BYTE_ORDER_MARK = "\ufeff"

LINE_END = re.compile(r"\r\n|\r(?!\n)|\n")

CUE = re.compile(r"(?:^|(?<=\r))[ \t]*\d\d?:\d\d:\d\d[,.]\d{3}[ \t]*-->[^\r\n]*", re.MULTILINE)
"""The line of subtitles with the times, after which the text begins."""

CUE_END = re.compile(
    rf"(?:{LINE_END.pattern})(?=[^\S\r\n]*(?:[\r\n]|\Z)|(?:[ \t]*\d+[ \t]*(?:{LINE_END.pattern}))?{CUE.pattern})",
    re.MULTILINE,
)
"""The end of the line before a blank one, or before the number or the times of the next cue."""

SPEAKER = re.compile(
    rf"(?P<end>{LINE_END.pattern})(?=(?:[ \t]|<[^<>]*>|\{{\\[^{{}}]*\}})*+[-–—](?!\d))|{SUBTITLE_TOKEN.pattern}",
    SUBTITLE_TOKEN.flags,
)
"""The end of the line before one that begins with a dash, as that of another speaker; or a tag, which has none."""

CHUNK = re.compile(rf"(?:{SUBTITLE_TOKEN.pattern}|[^ \t\n\r\f\v])+", SUBTITLE_TOKEN.flags)
"""A word with the tags at it, within which no line is broken; a no-break space is no space."""

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
    that they enclose. Paragraphs are split into sentences. Logs how many translations are doubtful.

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
    sentences = doubtful = 0

    def translate(texts: Iterator[str]) -> Iterator[list[Translation]]:
        nonlocal sentences, doubtful
        attention = translator.attends
        for best in translator.stream(texts, attention=attention, glossary=glossary, progress=progress, **settings):
            sentences, doubtful = sentences + 1, doubtful + best[0].doubtful
            yield best

    with replacing(target) as (file,):
        FORMATS[ending](source, encoding, translate, file)
    if doubtful:
        log.warning(
            "note: the translations of %d of %d sentences may be wrong: the model finds them unlikely",
            *(doubtful, sentences),
        )


def _of_text(*passes: Pass, prepared: Callable[[str], str] = str) -> Format:
    """A format that is one text, which is prepared before its passes."""

    def convert(path: Path, encoding: str, translate: Translate, file: BinaryIO) -> None:
        text = ""
        for chunk in read_text(Document(path, encoding), mark=True):
            text += chunk
            if len(text) > LARGEST:
                raise TextseqError(f"{path}: expected at most {LARGEST:,} characters, got more; divide it")
        file.write(_passed(prepared(text), passes, translate).encode())

    return convert


def _passed(text: str, passes: Sequence[Pass], translate: Translate) -> str:
    """A text with the paragraphs of one pass after the other translated; it keeps its byte order mark."""
    mark = BYTE_ORDER_MARK * text.startswith(BYTE_ORDER_MARK)
    text = text.removeprefix(mark)
    for parts, escape in passes:
        text = "".join(_written(parts(text), translate, escape))
    return mark + text


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
            first = block.splitlines(keepends=True)[0]
            layout = partial(_filled, width=width, end=first[len(lines[0]) :])
            yield Paragraph(" ".join(block.split()), layout=layout)
            yield block[len(block.rstrip()) :]
            continue
        for line in block.splitlines(keepends=True):
            words = line.strip()
            if words:
                yield line[: line.index(words)]
                yield Paragraph(" ".join(words.split()))
                yield line[line.index(words) + len(words) :]
            else:
                yield line


def _filled(text: str, width: int, end: str) -> str:
    """A text in lines of at most so many characters, unless a word is longer."""
    return end.join(textwrap.wrap(text, width, break_long_words=False))


def subtitle_parts(text: str) -> Iterator[str | Paragraph]:
    """The cues of subtitles: each a paragraph, or one for each speaker, laid out in as many lines as before."""
    place = 0
    for cue in CUE.finditer(text):
        start = cue.end()
        found = CUE_END.search(text, start)
        words = text[start : found.start() if found else len(text)]
        body = words.strip()
        begin = start + len(words) - len(words.lstrip())
        yield text[place:begin]
        place = begin + len(body)
        for speech, end in _speeches(body):
            layout = partial(_balanced, ends=LINE_END.findall(speech))
            for part in parts_of(speech, SUBTITLE_TOKEN):
                yield part if isinstance(part, str) else replace(part, layout=layout)
            yield end
    yield text[place:]


def _speeches(cue: str) -> Iterator[tuple[str, str]]:
    """The words of each speaker of a cue, and the line end after them."""
    place = 0
    for found in SPEAKER.finditer(cue):
        if found["end"]:
            yield cue[place : found.start()], found["end"]
            place = found.end()
    yield cue[place:], ""


def _balanced(text: str, ends: Sequence[str]) -> str:
    """A text in lines of similar length, at most as many as these line ends make; tags have no length."""
    words = [(match[0], len(SUBTITLE_TOKEN.sub("", match[0]))) for match in CHUNK.finditer(text)]
    width = -(-sum(length + 1 for _, length in words) // (len(ends) + 1)) - 1
    while len(lines := _wrapped(words, width)) > len(ends) + 1:
        width += 1
    return "".join(map(add, lines, [*ends[: len(lines) - 1], ""]))


def _wrapped(words: Sequence[tuple[str, int]], width: int) -> list[str]:
    """Words, each with its length, in lines of at most so many characters, unless a word is longer."""
    lines: list[str] = []
    left = 0
    for word, length in words:
        left -= length + 1
        if lines and (left >= 0 or not length):
            lines[-1] += f" {word}"
        else:
            lines.append(word)
            left = width - length
    return lines


def _of_archive(pages: re.Pattern[str], *passes: Pass) -> Format:
    """A format that is a ZIP archive: its pages are translated; every other file is copied."""

    def convert(path: Path, encoding: str, translate: Translate, file: BinaryIO) -> None:
        with reading(str(path)), archive_of(path) as archive, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as copy:
            for item in archive.infolist():
                if item.file_size > LARGEST:
                    raise TextseqError(f"{path}: expected files of at most {LARGEST:,} bytes, got {item.filename}")
                with Document(path, encoding, item.filename).open_in(archive) as member:
                    data = member.read()
                if pages.fullmatch(item.filename):
                    page = utf8_declared(_decoded(data, path, item.filename))
                    data = _passed(page, passes, translate).encode()
                copy.writestr(item, data, compress_type=item.compress_type)  # "mimetype" of a book stays uncompressed

    return convert


def _decoded(data: bytes, path: Path, member: str) -> str:
    """The text of a page: UTF-16 if it begins so, or else in the encoding that it declares as XML, or UTF-8."""
    declared = DECLARATION.match(data[:1000].decode("latin-1"))
    encoding = declared["encoding"] if declared else "utf-8"
    if encoding.lower().startswith(("utf-16", "utf-32")):  # in which the declaration itself would be unreadable
        encoding = "utf-8"
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        encoding = "utf-16"
    try:
        return data.decode(encoding)
    except LookupError:
        raise TextseqError(
            f"{path}: {member} declares the unknown encoding '{encoding}'; save it as UTF-8 and declare that"
        ) from None
    except UnicodeError as error:
        raise TextseqError(f"{path}: {member} is not {encoding.upper()} text ({error})") from None


HTML: tuple[Pass, ...] = (attribute_parts, html.escape), (parts_of, partial(html.escape, quote=False))

FORMATS: Mapping[str, Format] = {
    ".txt": _of_text((plain_parts, str)),
    ".srt": _of_text((subtitle_parts, str)),
    **dict.fromkeys((".html", ".htm", ".xhtml"), _of_text(*HTML, prepared=utf8_declared)),
    ".epub": _of_archive(PAGES, *HTML),
    ".docx": _of_archive(MEMBERS, (box_parts, leaf), (word_parts, leaf)),
}
"""How a document is read, translated and written, by the ending of its name."""
