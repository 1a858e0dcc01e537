"""Lines of text from a file or a pipe, as soon as they arrive."""

from __future__ import annotations

import codecs
import logging
import re
import sys
from collections.abc import Iterator
from itertools import islice
from typing import IO, TypeVar

from textseq.errors import TextseqError
from textseq.io.documents.decode import line_reader
from textseq.io.documents.errors import reading

log = logging.getLogger("textseq")


Text = TypeVar("Text")

LONGEST = 20_000
"""Default limit on the characters of a line; the rest of it is skipped."""

SKIPPED = 2**16  # characters of the rest that are read at a time

NOT_TEXT = re.compile("[\udc00-\udcff]")  # how undecodable bytes are represented


def _marked(error: UnicodeError) -> tuple[str, int]:
    """Python's "surrogateescape", for every byte and encoding."""
    assert isinstance(error, UnicodeDecodeError)
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error("textseq-marked", _marked)


class Lines:
    """The lines of a file without their ends (see ``documents.decode``), each as soon as it arrives; iterate once.

    Lines that are too long are cut, with a warning. An error that ends the reading early is kept in ``error`` instead
    of being raised, so that a caller that reads ahead can process the lines before it first.

    Args:
        file: the bytes; it stays open.
        name: of the file, for errors.
        encoding: any of Python's text encodings.
        typed: whether the lines are typed: one that is not text then causes a warning, and is read as empty.
        longest: the most characters of a line.
    """

    def __init__(
        self, file: IO[bytes], name: str, encoding: str = "utf-8", *, typed: bool = False, longest: int = LONGEST
    ) -> None:
        self.file, self.name, self.encoding, self.typed, self.longest = file, name, encoding, typed, longest
        self.error: TextseqError | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            yield from self._lines()
        except TextseqError as error:
            self.error = error

    def _lines(self) -> Iterator[str]:
        number = 0
        try:
            with reading(self.name):
                text = line_reader(self.file, self.name, self.encoding, errors="textseq-marked")
                while line := text.readline(self.longest + len("\r\n")):
                    number += 1
                    ended = line.endswith(text.ends)
                    line = line.removesuffix("\n").removesuffix("\r")
                    if len(line) > self.longest:
                        log.warning(
                            "note: line %d of %s has more than %d characters, the rest is skipped; divide it",
                            *(number, self.name, self.longest),
                        )
                        line = line[: self.longest]
                        while not ended and (rest := text.readline(SKIPPED)):
                            ended = rest.endswith(text.ends)
                    if not line.isascii() and (match := NOT_TEXT.search(line)):
                        byte, place = ord(match[0]) - 0xDC00, match.start() + 1
                        message = (
                            f"line {number} of {self.name} is not {self.encoding} text: byte 0x{byte:02x} at character "
                            f"{place}; set --encoding (latin-1, cp1252, utf-16...)"
                        )
                        if not self.typed:
                            raise TextseqError(message)
                        log.warning("%s", message)
                        line = ""
                    yield line
        except UnicodeError as error:  # the encoding cannot resume after an error
            raise TextseqError(
                f"{self.name} is not {self.encoding} text after line {number} ({error}); set --encoding"
            ) from error


def read_ahead(texts: Iterator[Text], count: int, characters: int | None = None) -> list[Text]:
    """The next ``count`` texts; fewer at the end, or once they have as many ``characters``."""
    batch: list[Text] = []
    length = 0
    for text in islice(texts, min(count, sys.maxsize)):
        batch.append(text)
        length += len(text) if isinstance(text, str) else 0  # or a list of words, or refused later
        if characters is not None and length >= characters:
            break
    return batch
