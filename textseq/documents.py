"""A document of a corpus: a file, or a member of a ZIP archive, as chunks of text in one of the ``FORMATS``."""

from __future__ import annotations

import codecs
import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, TYPE_CHECKING

from textseq.editions import EDITIONS, nltk_book
from textseq.errors import TextseqError
from textseq.plays import untypeset

if TYPE_CHECKING:
    from nltk.data import PathPointer

CHUNK = 2**20  # bytes read, and so at most as many characters given out, at a time
LONGEST_LINE = 2**24
"""Characters of a line: far more than a text has, far less than memory."""
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How the members of archives may be packed."""


@dataclass(frozen=True)
class Document:
    """A text, or the characters from ``start`` up to ``stop`` of it (None: up to its end).

    It is a whole file, or the ``member`` of that name in a ZIP archive. An archive, or a file whose name
    ends in ".gz", is unpacked while it is read, never to disk.
    """

    path: Path
    encoding: str
    format: str = "text"
    member: str | None = None
    start: int = 0
    stop: int | None = None

    @property
    def name(self) -> str:
        """How an error names it."""
        return f"{self.path}/{self.member}" if self.member else str(self.path)

    def chunks(self) -> Iterator[str]:
        """The text, in chunks of at most 2**20 characters.

        Raises:
            TextseqError: it cannot be read, is not text in its encoding, or is not of its format.
        """
        here = 0
        for chunk in FORMATS[self.format](self):
            stop = len(chunk) if self.stop is None else min(self.stop - here, len(chunk))
            if wanted := chunk[max(self.start - here, 0) : stop]:
                yield wanted
            here += len(chunk)
            if self.stop is not None and here >= self.stop:
                return

    def lines(self) -> Iterator[str]:
        """The lines of the whole file, without their ends; of its format nothing but the encoding is heeded.

        A line ends at "\\n" alone, so that the lines of aligned files stay aligned whatever stands in them. Bytes that
        are no text come as lone surrogates, so that a reader can say which line they are in.

        Raises:
            TextseqError: it cannot be read, or a line is too long for memory; or it is not text in an encoding that
                cannot say where (UTF-16, UTF-32).
        """
        try:
            with reading(self.name), self.open() as file:
                text = io.TextIOWrapper(file, python_name(self.encoding), errors="surrogateescape", newline="\n")
                number = 0
                while line := text.readline(LONGEST_LINE):
                    number += 1
                    if len(line) == LONGEST_LINE and not line.endswith("\n"):
                        raise TextseqError(
                            f"{self.name}: line {number} has more than {LONGEST_LINE:,} characters; is it a table of "
                            "texts? divide it"
                        )
                    yield line.removesuffix("\n")
        except UnicodeError as error:
            raise NotText(
                f"{self.name} is not {self.encoding} text: {error}; say with --encoding what it is"
            ) from error

    def length(self) -> int:
        """Its characters, counted."""
        return sum(map(len, self.chunks()))

    def open(self) -> IO[bytes]:
        """The bytes; the caller closes.

        Raises:
            TextseqError: there is no such file or member, or it cannot be read.
        """
        if self.member is None:
            return _open(self.path)
        with archive_of(self.path) as archive:  # which stays open as long as the member does
            if self.member not in archive.namelist():
                raise TextseqError(f"{self.path} has no member '{self.member}'; remove it and fetch it anew")
            if archive.getinfo(self.member).compress_type not in PACKED:
                raise TextseqError(f"{self.name} is packed in a way that is not read; pack it as usual (deflated)")
            try:
                return archive.open(self.member)
            except RuntimeError as error:  # it is encrypted, by a password or otherwise
                raise TextseqError(f"cannot read {self.name}: {error}; give it unpacked") from error
            except UnicodeDecodeError as error:  # of its name, where it says that this is UTF-8
                raise TextseqError(f"{self.name} is damaged ({error}); remove it and fetch it anew") from error


class NotText(TextseqError):
    """A file holds bytes that the encoding knows not."""


def members(path: Path, patterns: list[str]) -> list[str]:
    """The members of a ZIP archive that match any of the patterns ("*.txt"), pattern by pattern, each sorted.

    Raises:
        TextseqError: it is no ZIP archive, or has no member for one of the patterns.
    """
    with archive_of(path) as archive:
        names = sorted(archive.namelist())
    found: dict[str, None] = {}
    for pattern in patterns:
        matching = [name for name in names if fnmatchcase(name, pattern)]
        if not matching:
            raise TextseqError(f"{path} has no member '{pattern}'; it has {', '.join(names[:5])}...")
        found |= dict.fromkeys(matching)
    return list(found)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """What fails in the block, while the bytes of this name are read, is said in our words."""
    try:
        yield
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise TextseqError(
            f"{name} is damaged ({error}); put a whole copy in its place, or remove and fetch it anew"
        ) from error
    except OSError as error:
        raise _unreadable(name, error) from error


def _open(path: Path) -> IO[bytes]:
    try:
        return io.BufferedReader(gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def archive_of(path: Path) -> zipfile.ZipFile:
    """A ZIP archive, opened.

    Raises:
        TextseqError: it is none, or is damaged or unreadable.
    """
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:  # of unknown versions, names
        raise TextseqError(f"{path} is no whole ZIP archive ({error}); remove it and fetch it anew") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path | str, error: OSError) -> TextseqError:
    return TextseqError(f"cannot read {path}: {error.strerror or error}; make it readable")


def _read_text(document: Document) -> Iterator[str]:
    """The characters as they are, without a byte order mark at the start."""
    encoding = document.encoding
    decoder = codecs.getincrementaldecoder(python_name(encoding))()
    offset = 0
    try:
        with reading(document.name), document.open() as file:
            block = b"start"
            while block:
                block = file.read(CHUNK)
                offset += len(block)
                if text := decoder.decode(block, final=not block):
                    yield text
    except UnicodeDecodeError as error:
        # What the decoder was given ends where we have read to, and may begin in the block before.
        offset += error.start - len(error.object)
        raise NotText(
            f"{document.name} is not {encoding} text: byte 0x{error.object[error.start]:02x} at offset {offset};"
            " say with --encoding what it is (latin-1, cp1252, utf-16...)"
        ) from error
    except UnicodeError as error:  # UTF-16 and UTF-32 that do not say which of their two orders they are in
        raise NotText(f"{document.name} is not {encoding} text: {error}; utf-16-le or utf-16-be may be") from error


def python_name(encoding: str) -> str:
    """The codec that reads an encoding without a byte order mark at the start."""
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def _whole(edit: Callable[[str], str]) -> Callable[[Document], Iterator[str]]:
    """A format whose files are small enough to be edited as one text."""

    def read(document: Document) -> Iterator[str]:
        yield from _edited(document, "".join(_read_text(document)), edit)

    return read


def _edited(document: Document, raw: str, edit: Callable[[str], str]) -> Iterator[str]:
    try:
        text = edit(raw)
    except TextseqError as error:
        raise TextseqError(f"{document.name}: {error}") from error
    yield from (text[start : start + CHUNK] for start in range(0, len(text), CHUNK))


def _read_nltk_book(document: Document) -> Iterator[str]:
    """A plain text, read by NLTK."""
    from nltk.corpus.reader import PlaintextCorpusReader  # here, as it takes a second and few texts need it

    root, name = _nltk_place(document)
    raw = PlaintextCorpusReader(root, [name], encoding=document.encoding).raw(name)
    yield from _edited(document, raw, nltk_book)


def _read_nltk_tagged(document: Document) -> Iterator[str]:
    """The words of a tagged text, read by NLTK: blanks between words, a line per sentence, a blank line between
    paragraphs."""
    from nltk.corpus.reader import TaggedCorpusReader

    between = ""
    root, name = _nltk_place(document)
    for paragraph in TaggedCorpusReader(root, [name], encoding=document.encoding).paras(name):
        yield between + "".join(" ".join(sentence) + "\n" for sentence in paragraph)
        between = "\n"


def _nltk_place(document: Document) -> tuple[PathPointer, str]:
    """Where NLTK finds a document, unpacked nowhere: the folder in its archive, and its name there."""
    from nltk import data

    with document.open():  # tells in our words what is wrong with an archive
        folder, _, name = str(document.member).rpartition("/")
    if (place := str(document.path.parent)) not in data.path:
        data.path.append(place)  # NLTK reads from no other folders; this file has been verified
    return data.ZipFilePathPointer(str(document.path), folder + "/"), name


# How a file becomes text, in chunks of at most 2**20 characters.
FORMATS: dict[str, Callable[[Document], Iterator[str]]] = {
    "text": _read_text,
    "play": _whole(untypeset),
    **{name: _whole(edit) for name, edit in EDITIONS.items()},
    "nltk-book": _read_nltk_book,
    "nltk-tagged": _read_nltk_tagged,
}
FORMATS_VERSION = 1  # to be raised when a format gives other text than before
