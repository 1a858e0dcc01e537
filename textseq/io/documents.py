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

CHUNK = 2**20  # bytes read at a time, and the most characters of a chunk

LONGEST_LINE = 2**24
"""The most characters of a line: far more than a text has, far less than memory."""

COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Supported compressions of archive members."""


@dataclass(frozen=True)
class Document:
    """A text file or a ``member`` of a ZIP archive, or the characters from ``start`` to ``stop`` (None: the end) of it.

    Archives, and files whose name ends in ".gz", are decompressed while they are read, never to disk.
    """

    path: Path
    encoding: str
    member: str | None = None
    start: int = 0
    stop: int | None = None

    @property
    def name(self) -> str:
        """The name in errors."""
        return f"{self.path}/{self.member}" if self.member else str(self.path)

    def read(self) -> Iterator[str]:
        """The unchanged characters of the whole file, in chunks, without a byte order mark."""
        return read_text(self)

    def chunks(self) -> Iterator[str]:
        """The text, in chunks of at most 2**20 characters.

        Raises:
            TextseqError: the file cannot be read, or is not in its encoding or format.
        """
        here = 0
        for chunk in self.read():
            stop = len(chunk) if self.stop is None else min(self.stop - here, len(chunk))
            if selected := chunk[max(self.start - here, 0) : stop]:
                yield selected
            here += len(chunk)
            if self.stop is not None and here >= self.stop:
                return

    def lines(self) -> Iterator[str]:
        """The lines of the whole file, decoded only, without their ends.

        A line ends at "\\n" alone, so aligned files stay aligned whatever they contain. Undecodable bytes become lone
        surrogates, so that a reader can report their line.

        Raises:
            TextseqError: the file cannot be read, a line is too long for memory, or UTF-16 or UTF-32 is damaged.
        """
        try:
            with reading(self.name), self.open() as file:
                text = io.TextIOWrapper(file, python_name(self.encoding), errors="surrogateescape", newline="\n")
                number = 0
                while line := text.readline(LONGEST_LINE):
                    number += 1
                    if len(line) == LONGEST_LINE and not line.endswith("\n"):
                        raise TextseqError(
                            f"{self.name}: line {number} has more than {LONGEST_LINE:,} characters; divide it"
                        )
                    yield line.removesuffix("\n")
        except UnicodeError as error:
            raise NotText(f"{self.name} is not {self.encoding} text: {error}; set --encoding") from error

    def length(self) -> int:
        """The number of characters; reads the text."""
        return sum(map(len, self.chunks()))

    def open(self) -> IO[bytes]:
        """The binary file, which the caller closes; a TextseqError if it is missing or unreadable."""
        if self.member is None:
            return _open(self.path)
        with archive_of(self.path) as archive:  # stays open as long as the member
            if self.member not in archive.namelist():
                raise TextseqError(f"{self.path} has no member '{self.member}'; remove it and download it again")
            if archive.getinfo(self.member).compress_type not in COMPRESSIONS:
                raise TextseqError(f"{self.name} has an unsupported compression; compress it with deflate")
            try:
                return archive.open(self.member)
            except RuntimeError as error:  # it is encrypted
                raise TextseqError(f"cannot read {self.name}: {error}; decompress it first") from error
            except UnicodeDecodeError as error:  # its name in the archive is not the UTF-8 it claims to be
                raise _damaged(self.name, error) from error


class NotText(TextseqError):
    """A file has bytes that are invalid in its encoding."""


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Convert errors of reading a file to TextseqError."""
    try:
        yield
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise _damaged(name, error) from error
    except OSError as error:
        raise _unreadable(name, error) from error


def _open(path: Path) -> IO[bytes]:
    try:
        return io.BufferedReader(gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def archive_of(path: Path) -> zipfile.ZipFile:
    """Open a ZIP archive; a TextseqError if it is damaged, unreadable or another file."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:  # unknown version or bad names
        raise TextseqError(f"{path} is not an intact ZIP archive ({error}); remove it and download it again") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _damaged(name: Path | str, error: Exception) -> TextseqError:
    return TextseqError(f"{name} is damaged ({error}); replace it, or remove it and download it again")


def _unreadable(path: Path | str, error: OSError) -> TextseqError:
    return TextseqError(f"cannot read {path}: {error.strerror or error}; make it readable")


def read_text(document: Document) -> Iterator[str]:
    """The unchanged characters of the whole file, in chunks, without a byte order mark."""
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
        # The decoder's input ends where reading has got to, and may begin in the previous block.
        offset += error.start - len(error.object)
        raise NotText(
            f"{document.name} is not {encoding} text: byte 0x{error.object[error.start]:02x} at offset {offset};"
            " set --encoding (latin-1, cp1252, utf-16...)"
        ) from error
    except UnicodeError as error:  # UTF-16 or UTF-32 without a byte order mark
        raise NotText(f"{document.name} is not {encoding} text: {error}; try utf-16-le or utf-16-be") from error


def python_name(encoding: str) -> str:
    """The name of the codec that drops a byte order mark."""
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def lines_of(document: Document) -> Iterator[str]:
    """The lines of a document without their ends, "\\n" or "\\r\\n"; "\\r" alone is a TextseqError."""
    for number, line in enumerate(document.lines()):
        if number == 0 and "\r" in line.rstrip("\r"):
            raise TextseqError(f"{document.name} has line ends of CR alone (old Macs); convert them to LF")
        yield line.removesuffix("\r")


def texts_of(
    path: Path, encoding: str, members: Sequence[str] | None, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, str]]:
    """The names and texts of the documents that ``wanted`` selects: the file itself, or an archive's members."""
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
        raise _damaged(path, error) from error


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
