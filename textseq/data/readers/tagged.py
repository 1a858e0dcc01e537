"""Tagged sentences in files: how recipes' corpora have them, and a user's columns (CoNLL); faults told by line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from textseq.data.readers.row_errors import RowError, RowErrorKind, no_text, sound, surveyed
from textseq.data.rows import Tagged
from textseq.errors import TextseqError
from textseq.io.documents import Document, lines_of

CONLL_U = (2, 4)
"""Columns of word and universal part of speech in a .conllu file."""

TOO_FEW = RowError("unreadable", "with too few columns")

NO_TAB = RowError("unreadable", "without a text, a tab and tags after it")

NO_WORD = RowError("unreadable", "with a word or a tag that is empty")

NO_NAME = RowError("unreadable", "with a tag that has a character that cannot be seen")

COMMENT = re.compile(r"#\s*(newdoc|newpar|[\w.:-]+\s*=)")
"""How Universal Dependencies write what is no word, before a sentence."""


@dataclass(frozen=True)
class TaggedFile:
    """Tagged sentences in one document: a word to a line with columns beside it, an empty line after each sentence.

    Columns are parted by a tab if a line has one, or else by spaces. ``columns`` are the numbers of the word's and the
    tag's, from 1, or from -1 backwards. ``longest`` limits a sentence, in words. Sentences with faults of the kinds in
    ``drop`` are left out. Comments are passed over, ranges of words and empty nodes in a file that is ``universal``,
    and elsewhere lines that begin with -DOCSTART-.
    """

    document: Document
    columns: tuple[int, int]
    longest: int
    drop: frozenset[RowErrorKind] = frozenset()
    aligned: bool = True
    """Otherwise every line is a text, a tab and its tags between spaces; letters are read, ``longest`` at most."""
    universal: bool = False
    """Whether the columns are those of Universal Dependencies."""

    def __iter__(self) -> Iterator[Tagged]:
        """The sentences.

        Raises:
            TextseqError: the file cannot be read, or a sentence has a fault that is not to be left out.
        """
        yield from sound(self.rows(), self.document.name, self.drop)

    def surveyed(self, notes: list[str]) -> Iterator[Tagged]:
        """The sentences, read for the first time: at the end all faults are said, or noted where they are left out.

        Raises:
            TextseqError: the file cannot be read, or sentences have faults that are not to be left out.
        """
        yield from surveyed(self.rows(), self.document.name, self.drop, notes, unit="sentences")

    def rows(self) -> Iterator[tuple[int, Tagged | RowError]]:
        """The number of the line where each sentence begins, or is wrong, and the sentence or what is wrong."""
        return self._columns() if self.aligned else self._unaligned()

    def _unaligned(self) -> Iterator[tuple[int, Tagged | RowError]]:
        for number, line in enumerate(lines_of(self.document), start=1):
            text, _, tags = (part.strip() for part in line.partition("\t"))
            fault = no_text(line, self.document.encoding)
            if fault is None and not line.strip():
                continue
            if fault is None and not (text and tags):
                fault = NO_TAB
            if fault is None and len(text) > self.longest:
                fault = RowError("overlong", f"with more than {self.longest:,} letters")
            yield number, fault or (tuple(text), tuple(tags.split()))

    def _columns(self) -> Iterator[tuple[int, Tagged | RowError]]:
        first, fault = 0, None  # the line where the sentence begins, or where its first fault is
        words: list[str] = []
        tags: list[str] = []
        number = 0
        for number, line in enumerate(lines_of(self.document), start=1):
            if line.strip():
                cells = line.split("\t") if "\t" in line else line.split()
                if self.universal and (line.startswith("#") or not cells[0].strip().isdecimal()):
                    continue
                if not self.universal and (cells[0] == "-DOCSTART-" or (not words and COMMENT.match(line))):
                    continue
                if not words and fault is None:
                    first = number
                found = self._cells(cells)
                if not isinstance(found, RowError):
                    words.append(found[0])
                    tags.append(found[1])
                elif fault is None:
                    first, fault = number, found
                if fault is None and len(words) > self.longest:
                    first, fault = number, RowError("overlong", f"with more than {self.longest:,} words")
                if fault is not None:
                    words, tags = [], []  # what is wrong need not be kept
            elif words or fault is not None:
                yield first, fault or (tuple(words), tuple(tags))
                words, tags, fault = [], [], None
        if words or fault is not None:
            yield first, fault or (tuple(words), tuple(tags))

    def _cells(self, cells: Sequence[str]) -> tuple[str, str] | RowError:
        """A word and its tag, or what is wrong with them."""
        at = [column - 1 if column > 0 else len(cells) + column for column in self.columns]
        if not all(0 <= place < len(cells) for place in at) or at[0] == at[1]:
            return TOO_FEW
        word, tag = (cells[place].strip() for place in at)
        if not word or not tag:
            return NO_WORD
        for part in (word, tag):
            if (fault := no_text(part, self.document.encoding)) is not None:
                return fault
        return (word, tag) if tag.isprintable() else NO_NAME


def own_tagged_file(
    path: Path,
    columns: tuple[int | None, int | None] = (None, None),
    *,
    encoding: str = "utf-8",
    longest: int,
    drop: frozenset[RowErrorKind] = frozenset(),
    aligned: bool = True,
) -> TaggedFile:
    """The tagged sentences in a user's file; packed if its name ends in .gz.

    Without numbers of columns the word is the first and the tag the last, and of a .conllu file, or one that looks like
    it, the second and the fourth. What is not ``aligned`` has no columns.

    Raises:
        TextseqError: it is missing, or a number of a column is 0.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no file"
        raise TextseqError(f"found {found} at {path}; name a file with a word and its tag to a line")
    document = Document(path, encoding)
    universal = aligned and is_conllu(document)
    usual = CONLL_U if universal else (1, -1)
    word, tag = (own if own is not None else its for own, its in zip(columns, usual, strict=True))
    if 0 in (word, tag) or word == tag:
        raise TextseqError(
            f"columns are counted from 1, or from -1 backwards, and word and tag are two; found {word} and {tag}"
        )
    return TaggedFile(document, (word, tag), longest, drop, aligned, universal)


def is_conllu(document: Document) -> bool:
    """Whether the columns are those of Universal Dependencies, by the file's name, or as its first words look."""
    if document.path.name.lower().removesuffix(".gz").endswith(".conllu"):
        return True
    first = next((line for line in lines_of(document) if line.strip() and not line.startswith("#")), "")
    return len(first.split("\t")) == 10 and first[0].isdecimal()
