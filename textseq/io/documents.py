"""Documents: a text file or a member of an archive, read in chunks or lines."""

from __future__ import annotations

import codecs
import io
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from pathlib import Path
from typing import IO

from textseq.errors import TextseqError
from textseq.io.compression import ZIP_METHODS, damage, open_plain

CHUNK = 2**20  # bytes read at a time, and the most characters of a chunk

LONGEST_LINE = 2**24
"""The most characters of a line: far more than a text has, far less than memory."""

BEGINNING = 2**13  # bytes from which other formats and UTF-16 are recognized, and line ends if they have any

FIRST_LINE = 2**18  # bytes that are searched for the first line end

OTHER_FORMATS = re.compile(
    rb"(?P<zip>PK\x03\x04)|(?P<pdf>%PDF-)|(?P<gzip>\x1f\x8b)|(?P<xz>\xfd7zXZ\0)|(?P<zstd>\x28\xb5\x2f\xfd)"
    rb"|(?P<bzip2>BZh[1-9]1AY&SY)|(?P<_7z>7z\xbc\xaf\x27\x1c)|(?P<rtf>\{\\rtf)|(?P<doc>\xd0\xcf\x11\xe0)"
    rb"|(?P<parquet>PAR1\x15)|(?P<png>\x89PNG)|(?P<jpeg>\xff\xd8\xff)|(?P<sqlite>SQLite format 3\0)"
)
"""First bytes of formats that people take for text."""

COMPRESSED = {"gzip": "gz", "bzip2": "bz2", "xz": "xz", "zstd": "zst", "zip": "zip", "7z": ""}
"""Compressions among them, and the endings by which they are read."""

LITERAL = re.compile(r"\.(?:literal|rows)-[0-9a-f]{16}\b")
"""In the name of a file that textseq wrote, or of its folder: it is UTF-8, and all of it is data."""

MADE = re.compile(r"(.+)\.(?:rows-[0-9a-f]{16}\.jsonl|literal-[0-9a-f]{16}(?:\.(?:jsonl|txt|conll))?)")
"""The name of a file that textseq wrote from the rows of another or of data in memory, or of a folder with a file for
each row; the name of the other, or of the data, comes first."""

ZIP_FORMATS = {b"word/": "docx", b"epub+zip": "epub", b"xl/": "xlsx", b"ppt/": "pptx", b"opendocument": "odt"}
"""Formats that are ZIP archives, by what their beginning contains."""


@dataclass(frozen=True)
class Document:
    """A text file or a ``member`` of a ZIP archive, or the characters from ``start`` to ``stop`` (None: the end) of it.

    Archives, and files whose name ends in .gz, .bz2, .xz, .zst or .zip, are decompressed while they are read, never to
    disk.
    """

    path: Path
    encoding: str
    member: str | None = None
    start: int = 0
    stop: int | None = None

    @property
    def name(self) -> str:
        """The name in errors."""
        return f"{self.path}/{self.member}" if self.member else shown_name(self.path)

    @property
    def line_unit(self) -> str:
        """What a line is to the user, in errors: a line, or a row of the file that it was made from (see ``MADE``)."""
        made = MADE.fullmatch(self.path.name)
        return "row" if made and self.path.suffix != ".conll" else "line"

    @property
    def literal(self) -> bool:
        """Whether its name has ``LITERAL``; its encoding is then ignored, and no mark or format is recognized."""
        return any(map(LITERAL.search, self.path.parts[-2:]))

    def read(self) -> Iterator[str]:
        """See ``read_text``."""
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

        For line ends see ``line_reader``. Undecodable bytes become lone surrogates, so that a reader can report their
        line.

        Raises:
            TextseqError: the file cannot be read, a line is too long for memory, or UTF-16 or UTF-32 is damaged.
        """
        try:
            with reading(self.name), self.open() as file:
                if self.literal:
                    text = LineReader(file, "utf-8", errors="surrogateescape", newline="\n")
                else:
                    text = line_reader(file, self.name, self.encoding, errors="surrogateescape")
                number = 0
                while line := text.readline(LONGEST_LINE):
                    number += 1
                    if len(line) == LONGEST_LINE and not line.endswith(text.ends):
                        raise TextseqError(
                            f"{self.name}: line {number} has more than {LONGEST_LINE:,} characters; divide it"
                        )
                    yield line.removesuffix("\n").removesuffix("\r")
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
            return self.open_in(archive)

    def open_in(self, archive: zipfile.ZipFile) -> IO[bytes]:
        """The same for a member of an archive that is open already."""
        assert self.member is not None
        try:
            if archive.getinfo(self.member).compress_type not in ZIP_METHODS:
                raise TextseqError(f"{self.name} has an unsupported compression; compress it with deflate")
            return archive.open(self.member)
        except KeyError:
            raise TextseqError(f"{self.path} has no member '{self.member}'; remove it and download it again") from None
        except RuntimeError as error:  # it is encrypted
            raise TextseqError(f"cannot read {self.name}: {error}; decompress it first") from error
        except UnicodeDecodeError as error:  # its name in the archive is not the UTF-8 it claims to be
            raise _damaged(self.name, error) from error


def shown_name(path: Path) -> str:
    """The name of a file in errors: its path or, if textseq made it, the name of what it was made from."""
    if made := MADE.fullmatch(path.name):
        return made[1]
    made = MADE.fullmatch(path.parent.name)  # the texts in memory, which are counted from 0 there
    return f"row {int(path.stem) + 1} of {made[1]}" if made and path.stem.isdecimal() else str(path)


class NotText(TextseqError):
    """A file has bytes that are invalid in its encoding."""


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Convert errors of reading a file to TextseqError."""
    try:
        yield
    except damage() as error:
        raise _damaged(name, error) from error
    except OSError as error:
        raise (_damaged if error.errno is None else _unreadable)(name, error) from error


def _open(path: Path) -> IO[bytes]:
    with reading(str(path)):
        return open_plain(path)


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


def read_text(document: Document, *, mark: bool = False) -> Iterator[str]:
    """The unchanged characters of the whole file, in chunks, without a byte order mark unless ``mark`` or literal."""
    with reading(document.name), document.open() as file:
        encoding = "utf-8" if document.literal else document.encoding
        yield from decoded(file, document.name, encoding, mark=mark or document.literal, any_format=document.literal)


def decoded(
    file: IO[bytes], name: str, encoding: str, *, mark: bool = False, any_format: bool = False
) -> Iterator[str]:
    """The same of an open file; a NotText if it is not in its encoding, or another format unless ``any_format``."""
    decoder = codecs.getincrementaldecoder(encoding if mark else python_name(encoding))()
    offset = 0
    try:
        block = b"start"
        while block:
            block = file.read(CHUNK)
            if not offset and not any_format:
                check_beginning(block[:BEGINNING], name, encoding)
            offset += len(block)
            if text := decoder.decode(block, final=not block):
                yield text
    except UnicodeDecodeError as error:
        # The decoder's input ends where reading has got to, and may begin in the previous block.
        offset += error.start - len(error.object)
        raise NotText(
            f"{name} is not {encoding} text: byte 0x{error.object[error.start]:02x} at offset {offset};"
            " set --encoding (latin-1, cp1252, utf-16...)"
        ) from error
    except UnicodeError as error:  # UTF-16 or UTF-32 without a byte order mark
        raise NotText(f"{name} is not {encoding} text: {error}; try utf-16-le or utf-16-be") from error


def python_name(encoding: str) -> str:
    """The name of the codec that drops a byte order mark."""
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


class LineReader(io.TextIOWrapper):
    """A text that knows what its lines may end with."""

    ends: tuple[str, ...] = ("\n",)


def line_reader(file: IO[bytes], name: str, encoding: str, errors: str) -> LineReader:
    """The text of a file, to read line by line.

    A line ends at "\\n" alone, so aligned files stay aligned whatever they contain; where the first line ends at "\\r"
    and no "\\n" is near (old Macs), at either. The file stays open.

    Raises:
        NotText: the file begins like one of ``OTHER_FORMATS``.
    """
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    read: Callable[[int], bytes] = getattr(file, "read1", file.read)  # what has arrived, without waiting for more
    beginning, text = b"", ""
    while len(beginning) < FIRST_LINE and not FIRST_END.search(text) and (block := read(BEGINNING)):
        if not beginning:
            check_beginning(block, name, encoding)
        beginning += block
        text = text[-1:] + decoder.decode(block)
    buffer = io.BufferedReader(_Replayed(beginning, read))
    if "\n" in text:
        return LineReader(buffer, python_name(encoding), errors=errors, newline="\n")
    reader = LineReader(buffer, python_name(encoding), errors=errors, newline="")
    reader.ends = ("\n", "\r")
    return reader


FIRST_END = re.compile(r"\n|\r.")  # a "\r" at the end may be half of "\r\n"


class _Replayed(io.RawIOBase):
    """A file whose beginning has been read already."""

    def __init__(self, beginning: bytes, read: Callable[[int], bytes]) -> None:
        self.beginning, self.read_on = beginning, read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.beginning[: len(buffer)] or self.read_on(len(buffer)) or b""
        self.beginning = self.beginning[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


def check_beginning(data: bytes, name: str, encoding: str) -> None:
    """Raise NotText for the first bytes of a file in one of ``OTHER_FORMATS``, or in Unicode not asked for."""
    if match := OTHER_FORMATS.match(data):
        kind = str(match.lastgroup).removeprefix("_")
        if kind == "zip":
            kind = next((office for part, office in ZIP_FORMATS.items() if part in data), kind)
        how = "save it as plain text first"
        if kind in COMPRESSED:
            how = f"give it a name that ends in .{COMPRESSED[kind]}" if COMPRESSED[kind] else "decompress it first"
        raise NotText(f"{name} is a file of the format {kind}, not text; {how}")
    _check_not_utf_8(data, name, encoding)
    even, odd = data[::2].count(0), data[1::2].count(0)
    if max(even, odd) < max(2, len(data) // 50) or re.match("utf.?(16|32)", encoding, re.IGNORECASE):
        return
    width = 32 if even and odd and even + odd > len(data) / 2 else 16
    if width == 32 or min(even, odd) * 20 < max(even, odd):
        order = (
            ""
            if data[:2] in (b"\xff\xfe", b"\xfe\xff")
            else "-be"
            if data[:1] == b"\0"
            else "-le"
            if width == 32 or odd > even
            else "-be"
        )
        raise NotText(f"{name} is not {encoding} text but seems to be UTF-{width}: set --encoding utf-{width}{order}")


def _check_not_utf_8(data: bytes, name: str, encoding: str) -> None:
    """Raise NotText if an encoding of one byte per character is set for what is UTF-8.

    Two characters at least must be beyond ASCII: one alone may be an accent before a quotation mark.
    """
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return
    letters = [letter for letter in text if not letter.isascii()]
    if len(letters) < 2 and not text.startswith("\ufeff"):
        return
    first = letters[0].encode()
    seen = first.decode(encoding, "replace")
    if len(seen) == len(first):
        raise NotText(
            f"{name} is UTF-8 text, not {encoding}, which would read '{letters[0]}' as '{seen}'; leave out --encoding"
        )


def matches_any(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name matches one of these shell patterns in all its letters, such as ``train/*.txt``."""
    return _compiled(tuple(patterns)).match(name) is not None


@cache
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)) or "(?!)")


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
            for name, content in opened(path, lambda name: matches_any(name, members) and wanted(name)):
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
