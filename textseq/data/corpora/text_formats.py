"""Formats of corpus files: how a document becomes text, in chunks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from textseq.data.corpora.editions import EDITIONS, nltk_book, untypeset
from textseq.errors import TextseqError
from textseq.io.documents.archives import archive_of
from textseq.io.documents.decode import CHUNK
from textseq.io.documents.document import Document, read_text

if TYPE_CHECKING:
    from nltk.data import PathPointer


@dataclass(frozen=True, kw_only=True)
class CorpusDocument(Document):
    """A document of a corpus in one of the ``FORMATS``."""

    format: str = "text"

    def read(self) -> Iterator[str]:
        """The text of the whole file, in chunks."""
        return FORMATS[self.format](self)


def members(path: Path, patterns: list[str]) -> list[str]:
    """The members of a ZIP archive that match the patterns ("*.txt"), pattern by pattern, each sorted."""
    with archive_of(path) as archive:
        names = sorted(archive.namelist())
    selected: dict[str, None] = {}
    for pattern in patterns:
        matching = [name for name in names if fnmatchcase(name, pattern)]
        if not matching:
            raise TextseqError(f"{path} has no member '{pattern}'; it has {', '.join(names[:5])}...")
        selected |= dict.fromkeys(matching)
    return list(selected)


def _whole(edit: Callable[[str], str]) -> Callable[[Document], Iterator[str]]:
    """A format whose files are edited as one text."""

    def read(document: Document) -> Iterator[str]:
        yield from _edited(document, "".join(read_text(document)), edit)

    return read


def _edited(document: Document, raw: str, edit: Callable[[str], str]) -> Iterator[str]:
    try:
        text = edit(raw)
    except TextseqError as error:
        raise TextseqError(f"{document.name}: {error}") from error
    yield from (text[start : start + CHUNK] for start in range(0, len(text), CHUNK))


def _read_nltk_book(document: Document) -> Iterator[str]:
    """A plain text, read by NLTK."""
    from nltk.corpus.reader import PlaintextCorpusReader  # takes a second, and few texts need it

    root, name = _nltk_place(document)
    raw = PlaintextCorpusReader(root, [name], encoding=document.encoding).raw(name)
    yield from _edited(document, raw, nltk_book)


def _read_nltk_paragraphs(document: Document) -> Iterator[str]:
    """A text of ``_read_nltk_book`` without indentation."""
    yield from _edited(document, "".join(_read_nltk_book(document)), EDITIONS["plain"])


def _read_nltk_tagged(document: Document) -> Iterator[str]:
    """The words of a tagged text, read by NLTK, one sentence per line, with blank lines between paragraphs."""
    from nltk.corpus.reader import TaggedCorpusReader

    between = ""
    root, name = _nltk_place(document)
    for paragraph in TaggedCorpusReader(root, [name], encoding=document.encoding).paras(name):
        yield between + "".join(" ".join(sentence) + "\n" for sentence in paragraph)
        between = "\n"


def _nltk_place(document: Document) -> tuple[PathPointer, str]:
    """The document's folder in its archive, and its name there, for NLTK."""
    from nltk import data

    with document.open():  # raises a TextseqError for a damaged archive
        folder, _, name = str(document.member).rpartition("/")
    if (place := str(document.path.parent)) not in data.path:
        data.path.append(place)  # NLTK reads from these folders only; the file is verified
    return data.ZipFilePathPointer(str(document.path), folder + "/"), name


FORMATS: dict[str, Callable[[Document], Iterator[str]]] = {
    "text": read_text,
    "play": _whole(untypeset),
    **{name: _whole(edit) for name, edit in EDITIONS.items()},
    "nltk-book": _read_nltk_book,
    "nltk-paragraphs": _read_nltk_paragraphs,
    "nltk-tagged": _read_nltk_tagged,
}
"""By the format's name, how a file becomes text, in chunks of at most 2**20 characters."""

FORMATS_VERSION = 1  # raise when a format gives other text than before
