"""Documents: a text file or a member of an archive, read in chunks or lines."""

from __future__ import annotations

import codecs
import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO

from textseq.errors import TextseqError

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
    member: str | None = None
    start: int = 0
    stop: int | None = None

    @property
    def name(self) -> str:
        """How an error names it."""
        return f"{self.path}/{self.member}" if self.member else str(self.path)

    def read(self) -> Iterator[str]:
        """The characters of the whole file as they are, in chunks, without a byte order mark at the start."""
        return read_text(self)

    def chunks(self) -> Iterator[str]:
        """The text, in chunks of at most 2**20 characters.

        Raises:
            TextseqError: it cannot be read, is not text in its encoding, or is not of its format.
        """
        here = 0
        for chunk in self.read():
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


def read_text(document: Document) -> Iterator[str]:
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


def lines_of(document: Document) -> Iterator[str]:
    """The lines of a document without their ends, which may be "\\r\\n" too.

    Raises:
        TextseqError: as ``Document.lines``; or they end with "\\r" alone.
    """
    for number, line in enumerate(document.lines()):
        if number == 0 and "\r" in line.rstrip("\r"):
            raise TextseqError(f"{document.name} has the line ends of old Macs (CR alone); convert them to LF")
        yield line.removesuffix("\r")


def texts_of(
    path: Path, encoding: str, members: Sequence[str] | None, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, str]]:
    """The names and texts of the wanted documents: the file itself or, of an archive, the members, in one pass."""
    if members is None:
        if wanted(path.name):
            yield path.name, "".join(Document(path, encoding).chunks())
        return
    opened = _zip_members if zipfile.is_zipfile(path) else _tar_members
    try:
        with reading(str(path)):
            for name, content in opened(path, lambda name: wanted(name) and any(fnmatchcase(name, m) for m in members)):
                yield name, content.decode(encoding)
    except (tarfile.TarError, UnicodeDecodeError) as error:
        raise TextseqError(f"{path} is damaged ({error}); remove it and fetch it anew") from error


def _zip_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if wanted(name) and not name.endswith("/"):
                yield name, archive.read(name)


def _tar_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r|gz") as archive:
        for member in archive:
            if member.isfile() and wanted(member.name) and (file := archive.extractfile(member)) is not None:
                yield member.name, file.read()
