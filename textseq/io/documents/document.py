"""A text file or a member of an archive, read in chunks or lines."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from textseq.errors import TextseqError
from textseq.io.compression import ZIP_METHODS, open_plain
from textseq.io.documents.archives import archive_of, matches_any, members_of
from textseq.io.documents.decode import LineReader, decoded, line_reader
from textseq.io.documents.errors import NotText, damaged, reading

LONGEST_LINE = 2**24
"""The most characters of a line: far more than a text has, far less than memory."""

LITERAL = re.compile(r"\.(?:literal|rows)-[0-9a-f]{16}\b")
"""In the name of a file that textseq wrote, or of its folder: it is UTF-8, and all of it is data."""

MADE = re.compile(r"(.+)\.(?:rows-[0-9a-f]{16}\.jsonl|literal-[0-9a-f]{16}(?:\.(?:jsonl|txt|conll))?)")
"""The name of a file that textseq wrote from the rows of another or of data in memory, or of a folder with a file for
each row; the name of the other, or of the data, comes first."""


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
            raise damaged(self.name, error) from error


def shown_name(path: Path) -> str:
    """The name of a file in errors: its path or, if textseq made it, the name of what it was made from."""
    if made := MADE.fullmatch(path.name):
        return made[1]
    made = MADE.fullmatch(path.parent.name)  # the texts in memory, which are counted from 0 there
    return f"row {int(path.stem) + 1} of {made[1]}" if made and path.stem.isdecimal() else str(path)


def _open(path: Path) -> IO[bytes]:
    with reading(str(path)):
        return open_plain(path)


def read_text(document: Document, *, mark: bool = False) -> Iterator[str]:
    """The unchanged characters of the whole file, in chunks, without a byte order mark unless ``mark`` or literal."""
    with reading(document.name), document.open() as file:
        encoding = "utf-8" if document.literal else document.encoding
        yield from decoded(file, document.name, encoding, mark=mark or document.literal, any_format=document.literal)


def texts_of(
    path: Path, encoding: str, members: Sequence[str] | None, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, str]]:
    """The names and texts of the documents that ``wanted`` selects: the file itself, or an archive's members."""
    if members is None:
        if wanted(path.name):
            yield path.name, "".join(Document(path, encoding).chunks())
        return
    for name, content in members_of(path, lambda name: matches_any(name, members) and wanted(name)):
        try:
            yield name, content.decode(encoding)
        except UnicodeDecodeError as error:
            raise damaged(path, error) from error
