"""Tagged sentences in one's own files: columns (CoNLL), or texts with unaligned tags."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textseq.data.readers.row_errors import RowError, RowErrorKind, RowFile, not_text
from textseq.data.readers.tables import TOO_FEW, ending_of
from textseq.data.rows import Tagged
from textseq.errors import TextseqError
from textseq.io.documents import Document

CONLL_U = (2, 4)
"""Columns of word and universal part of speech in a .conllu file."""

NO_TAB = RowError("unreadable", "without a text, a tab and tags after it")

NO_WORD = RowError("unreadable", "with a word or a tag that is empty")

INVISIBLE = RowError("unreadable", "with a tag that has an invisible character")

COMMENT = re.compile(r"#\s*(newdoc|newpar|[\w.:-]+\s*=)")
"""Comments of Universal Dependencies before a sentence."""


@dataclass(frozen=True)
class TaggedFile(RowFile[Tagged]):
    """Tagged sentences in one document: one word per line with columns beside it, an empty line after each sentence.

    Columns are separated by a tab if the line has one, or else by spaces. ``columns`` are the numbers of the word's and
    the tag's, from 1, or from -1 backwards. ``longest`` limits a sentence, in words. Comments are skipped; so are word
    ranges and empty nodes in a ``universal`` file, and lines that begin with -DOCSTART- in others.
    """

    unit: ClassVar[str] = "sentences"

    document: Document
    columns: tuple[int, int]
    longest: int
    drop: frozenset[RowErrorKind] = frozenset()
    aligned: bool = True
    """Otherwise every line is a text, a tab and its tags between spaces, and ``longest`` limits its letters."""
    universal: bool = False
    """Whether the columns are those of Universal Dependencies."""

    @property
    def name(self) -> str:
        """The name in errors."""
        return self.document.name

    def rows(self) -> Iterator[tuple[int, Tagged | RowError]]:
        """The number of the line where each sentence begins, or has an error, and the sentence or the error."""
        return self._columns() if self.aligned else self._unaligned()

    def _unaligned(self) -> Iterator[tuple[int, Tagged | RowError]]:
        for number, line in enumerate(self.document.lines(), start=1):
            text, _, tags = (cell.strip() for cell in line.partition("\t"))
            if (error := not_text(line, self.document.encoding)) is not None:
                yield number, error
            elif not line.strip():
                continue
            elif not (text and tags):
                yield number, NO_TAB
            elif len(text) > self.longest:
                yield number, RowError("overlong", f"with more than {self.longest:,} letters")
            else:
                yield number, (tuple(text), tuple(tags.split()))

    def _columns(self) -> Iterator[tuple[int, Tagged | RowError]]:
        first, error = 0, None  # the line where the sentence begins, or has its first error
        words: list[str] = []
        tags: list[str] = []
        number = 0
        for number, line in enumerate(self.document.lines(), start=1):
            if line.strip():
                cells = line.split("\t") if "\t" in line else line.split()
                if self.universal and (line.startswith("#") or not cells[0].strip().isdecimal()):
                    continue
                if not self.universal and (cells[0] == "-DOCSTART-" or (not words and COMMENT.match(line))):
                    continue
                if not words and error is None:
                    first = number
                pair = self._pair(cells)
                if not isinstance(pair, RowError):
                    words.append(pair[0])
                    tags.append(pair[1])
                elif error is None:
                    first, error = number, pair
                if error is None and len(words) > self.longest:
                    first, error = number, RowError("overlong", f"with more than {self.longest:,} words")
                if error is not None:
                    words, tags = [], []  # the rest of the sentence is not needed
            elif words or error is not None:
                yield first, error or (tuple(words), tuple(tags))
                words, tags, error = [], [], None
        if words or error is not None:
            yield first, error or (tuple(words), tuple(tags))

    def _pair(self, cells: Sequence[str]) -> tuple[str, str] | RowError:
        at = [column - 1 if column > 0 else len(cells) + column for column in self.columns]
        if not all(0 <= place < len(cells) for place in at) or at[0] == at[1]:
            return TOO_FEW
        word, tag = (cells[place].strip() for place in at)
        if not word or not tag:
            return NO_WORD
        if (error := not_text(f"{word} {tag}", self.document.encoding)) is not None:
            return error
        return (word, tag) if tag.isprintable() else INVISIBLE


def own_tagged_file(
    path: Path,
    columns: tuple[int | None, int | None] = (None, None),
    *,
    encoding: str = "utf-8",
    longest: int,
    drop: frozenset[RowErrorKind] = frozenset(),
    aligned: bool = True,
) -> TaggedFile:
    """Open a file of tagged sentences; compressed if its name ends in .gz, .bz2, .xz, .zst or .zip.

    By default the word is in the first column and the tag in the last; in a .conllu file, or one that looks like it, in
    the second and the fourth. Files that are not ``aligned`` have no columns.
    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no file"
        raise TextseqError(f"expected a file with one word and its tag per line, got {what} at {path}")
    document = Document(path, encoding)
    universal = aligned and is_conllu(document)
    usual = CONLL_U if universal else (1, -1)
    word, tag = (default if asked is None else asked for asked, default in zip(columns, usual, strict=True))
    if 0 in (word, tag) or word == tag:
        raise TextseqError(
            f"expected two different columns, counted from 1, or from -1 backwards, got {word} and {tag}"
        )
    return TaggedFile(document, (word, tag), longest, drop, aligned, universal)


def is_conllu(document: Document) -> bool:
    """Whether the columns are those of Universal Dependencies, by the file's name or its first word."""
    if ending_of(document.path) == ".conllu":
        return True
    first = next((line for line in document.lines() if line.strip() and not line.startswith("#")), "")
    return len(first.split("\t")) == 10 and first[0].isdecimal()
