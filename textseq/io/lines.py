"""Lines of text as they come, from a file or a pipe: none too long, and what is no text is told by its line."""

from __future__ import annotations

import codecs
import io
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import IO, TypeVar

from textseq.errors import TextseqError
from textseq.io.documents import python_name, reading

log = logging.getLogger("textseq")


Text = TypeVar("Text")


LONGEST = 20_000
"""Characters that are kept of a line unless a command says otherwise, so that it fits into memory whatever comes; no
sentence has as many."""

SKIPPED = 2**16
"""Characters of the rest that are read at a time."""

NO_TEXT = re.compile("[\udc00-\udcff]")
"""What stands for bytes that are no text, as it is no text itself."""


def _marked(error: UnicodeError) -> tuple[str, int]:
    """As Python's "surrogateescape", but for every byte and encoding."""
    assert isinstance(error, UnicodeDecodeError)
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error("textseq-marked", _marked)


class Lines:
    """The lines of a file without their ends, once, each as soon as it is there.

    A line ends at "\\n", or "\\r\\n". Of one that is too long the beginning comes, and a warning is logged.
    What ends the reading too soon is kept in ``fault`` instead of being raised, so that the lines before it are not
    lost to someone who reads ahead: it is to be raised when they are done with.

    Args:
        file: the bytes; it stays open.
        name: how an error names it.
        encoding: any of Python's text encodings.
        typed: someone types the lines: one that is no text is told, as an empty one comes for it, and reading goes on.
        longest: characters that are kept of a line.
    """

    def __init__(
        self, file: IO[bytes], name: str, encoding: str = "utf-8", *, typed: bool = False, longest: int = LONGEST
    ) -> None:
        self.file, self.name, self.encoding, self.typed, self.longest = file, name, encoding, typed, longest
        self.fault: TextseqError | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            yield from self._lines()
        except TextseqError as error:
            self.fault = error

    def _lines(self) -> Iterator[str]:
        text = io.TextIOWrapper(self.file, python_name(self.encoding), errors="textseq-marked", newline="\n")
        number = 0
        try:
            with reading(self.name):
                while line := text.readline(self.longest + 1):
                    number += 1
                    if not line.endswith("\n") and len(line) > self.longest:
                        log.warning(
                            "note: line %d of %s has more than %d characters, of which the beginning is read; give it "
                            "in parts",
                            *(number, self.name, self.longest),
                        )
                        line = line[: self.longest]
                        while (rest := text.readline(SKIPPED)) and not rest.endswith("\n"):
                            pass
                    if not line.isascii() and (found := NO_TEXT.search(line)):
                        byte, place = ord(found[0]) - 0xDC00, found.start() + 1
                        fault = (
                            f"line {number} of {self.name} is not {self.encoding} text: byte 0x{byte:02x} at character "
                            f"{place}; say with --encoding what it is (latin-1, cp1252, utf-16...)"
                        )
                        if not self.typed:
                            raise TextseqError(fault)
                        log.warning("%s", fault)
                        line = ""
                    yield line.removesuffix("\n").removesuffix("\r")
        except UnicodeError as error:  # of an encoding that cannot go on from there
            raise TextseqError(
                f"{self.name} is not {self.encoding} text after line {number} ({error}); say with --encoding what it is"
            ) from error
        finally:
            with suppress(ValueError):  # the file is closed already where something stopped its reader
                text.detach()


def read_ahead(texts: Iterator[Text], count: int, characters: int | None = None) -> list[Text]:
    """So many of the texts that come next, or fewer: they end, or have so many characters (but for the last)."""
    some: list[Text] = []
    found = 0
    for text in islice(texts, min(count, sys.maxsize)):
        some.append(text)
        found += len(text) if isinstance(text, str) else 0  # others are lists of words, or refused where they are read
        if characters is not None and found >= characters:
            break
    return some
