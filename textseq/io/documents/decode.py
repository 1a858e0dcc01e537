"""Bytes to text, in chunks or lines."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable, Iterator
from typing import IO

from textseq.io.documents.errors import NotText
from textseq.io.documents.formats import BEGINNING, check_beginning

CHUNK = 2**20  # bytes read at a time, and the most characters of a chunk

FIRST_LINE = 2**18  # bytes that are searched for the first line end


def decoded(
    file: IO[bytes], name: str, encoding: str, *, mark: bool = False, any_format: bool = False
) -> Iterator[str]:
    """The text of an open file, in chunks; a NotText for another encoding, or format unless ``any_format``."""
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
