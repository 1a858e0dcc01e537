"""Tagged sentences in one's own files: columns (CoNLL), or texts with unaligned tags."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

from textseq.data.readers.row_errors import COMMENT, RowError, RowErrorKind, RowFile, not_text
from textseq.data.readers.tables import TOO_FEW, ending_of
from textseq.data.rows import Tagged
from textseq.errors import TextseqError
from textseq.io.documents.document import Document

CONLL_U = (2, 4)
"""Columns of word and universal part of speech in a .conllu file."""

NO_TAB = RowError("unreadable", "without a text, a tab and tags after it")

NO_WORD = RowError("unreadable", "with a word or a tag that is empty")

INVISIBLE = RowError("unreadable", "with a tag that has an invisible character")

NO_NUMBER = RowError("unreadable", "without the number of a word in its first column")

FIRST_NUMBER = re.compile(r"1|1-\d+|0\.1")
"""Of the first line of a sentence in Universal Dependencies."""

NO_WORD_NUMBER = re.compile(r"\d+[-.]\d+")
"""Word ranges and empty nodes of Universal Dependencies."""

NO_WORDS = re.compile(r"#(\s+(newdoc|newpar)\b|\s*[\w.:-]+\s*=(\s|$)|(begin|end) document\b)")
"""Comments of Universal Dependencies and of CoNLL-2012."""

SPACES = re.compile(" +")  # not no-break spaces and the like, which words may contain

DOCUMENT_START = "-DOCSTART-"

WORD_COLUMNS = {"word", "words", "token", "tokens", "form"}
"""Usual names of the words' column in a header, in any case."""

TAG_COLUMNS = {"tag", "tags", "pos", "upos", "xpos", "ner", "label", "labels", "ner_tag", "ner_tags", "pos_tag"}
"""The same for the tags'."""

HEADER = RowError("no row", "a header of columns")


@dataclass(frozen=True)
class TaggedFile(RowFile[Tagged]):
    """Tagged sentences in one document: one word per line with columns beside it, an empty line after each sentence.

    Columns are separated by a tab if the line has one, or else by spaces. ``columns`` are the numbers of the word's and
    the tag's, from 1, or from -1 backwards. ``longest`` limits a sentence, in words. Word ranges and empty nodes of a
    ``universal`` file are skipped; in others a header and comments, which are lines that begin with "#" and have not as
    many columns as the file, or a tag that no word has (also within a sentence). -DOCSTART- ends a sentence. A literal
    document has words and tags only.
    """

    document: Document
    columns: tuple[int, int]
    longest: int
    drop: frozenset[RowErrorKind] = frozenset()
    aligned: bool = True
    """Otherwise every line is a text, a tab and its tags between spaces, and ``longest`` limits its letters."""
    universal: bool = False
    """Whether the columns are those of Universal Dependencies."""
    first: tuple[str, ...] = ()
    """The columns of the first line that does not begin with "#"."""
    tabs: bool = False
    """Whether tabs separate them."""

    @property
    def name(self) -> str:
        """The name in errors."""
        return self.document.name

    @property
    def place(self) -> str:
        """What the numbers of rows count, in errors."""
        return "sentence" if self.document.literal and self.aligned else "line"

    @property
    def unit(self) -> str:
        """What a row is in errors, in the plural."""
        return "sentences"

    def rows(self) -> Iterator[tuple[int, Tagged | RowError]]:
        """The number of the line where each sentence begins, or has an error, and the sentence or the error.

        The lines of a literal document are not the user's: there it is the number of the sentence.
        """
        if self.document.literal and self.aligned:
            return enumerate((sentence for _, sentence in self._columns()), start=1)
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
        has_header, literal = self._has_header(), self.document.literal
        for number, line in enumerate(chain(self.document.lines(), [""]), start=1):
            cells = cells_of(line)
            if not line.strip() or (cells[0] == DOCUMENT_START and not self.universal and not literal):
                if words or error is not None:
                    yield first, error or (tuple(words), tuple(tags))
                words, tags, error = [], [], None
                continue
            if self.universal and (line.startswith("#") or NO_WORD_NUMBER.fullmatch(cells[0].strip())):
                continue
            if line.startswith("#") and not literal and NO_WORDS.match(line):
                continue
            if line.startswith("#") and not literal and self._is_comment(line, cells):
                yield number, COMMENT
                continue
            if has_header and tuple(cells) == self.first:
                yield number, HEADER
                continue
            if not words and error is None:
                first = number
            pair = self._pair(cells) if not self.universal or cells[0].strip().isdecimal() else NO_NUMBER
            if not isinstance(pair, RowError):
                words.append(pair[0])
                tags.append(pair[1])
            elif error is None:
                first, error = number, pair
            if error is None and len(words) > self.longest:
                first, error = number, RowError("overlong", f"with more than {self.longest:,} words")
            if error is not None:
                words, tags = [], []  # the rest of the sentence is not needed

    def _is_comment(self, line: str, cells: Sequence[str]) -> bool:
        """Whether a line that begins with "#" is a comment, not a word such as "#" or "#hashtag"."""
        if self._has_other_columns(line, cells):
            return True
        pair = self._pair(cells)
        return not isinstance(pair, RowError) and any(map(str.isalnum, pair[1])) and pair[1] not in self._word_tags

    def _has_other_columns(self, line: str, cells: Sequence[str]) -> bool:
        return bool(self.first) and (len(cells) != len(self.first) or (self.tabs and "\t" not in line))

    @cached_property
    def _word_tags(self) -> set[str]:
        """The tags of words: of lines without "#", of one with it right after these, or of several such words.

        Where no line without "#" has a tag with a small letter, no word has: "# comment" is none, "# SYM" may be one.
        """
        tags, hash_tags = set[str](), set[str]()
        hashed: dict[str, str] = {}
        after_word = False
        for line in self.document.lines():
            cells, begins = cells_of(line), line.startswith("#")
            if begins and self._has_other_columns(line, cells):
                continue
            pair = self._pair(cells) if line.strip() else NO_WORD
            if not isinstance(pair, RowError):
                if not begins:
                    tags.add(pair[1])
                elif after_word or hashed.setdefault(pair[1], pair[0]) != pair[0]:
                    hash_tags.add(pair[1])
            after_word = not isinstance(pair, RowError) and not begins
        small = any(tag != tag.upper() for tag in tags)
        return tags | {tag for tag in hash_tags if small or tag == tag.upper()}

    def _has_header(self) -> bool:
        pair = self._pair(self.first)
        return (
            not isinstance(pair, RowError) and pair[0].casefold() in WORD_COLUMNS and pair[1].casefold() in TAG_COLUMNS
        )

    def _pair(self, cells: Sequence[str]) -> tuple[str, str] | RowError:
        at = [column - 1 if column > 0 else len(cells) + column for column in self.columns]
        if not all(0 <= place < len(cells) for place in at) or at[0] == at[1]:
            return TOO_FEW
        word, tag = (cells[place].strip(" ") for place in at)
        if not word.strip() or not tag.strip():
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
    if document.literal and aligned:
        return TaggedFile(document, (1, 2), longest, drop, tabs=True)
    lines = (line for line in document.lines() if line.strip() and not line.startswith(("#", DOCUMENT_START)))
    line = next(lines, "") if aligned else ""
    if ending_of(path) == ".csv" and "\t" not in line and ("," in line or ";" in line):
        raise TextseqError(
            f"expected one word and its tag per line with a tab or spaces between them, got the table {path}; convert "
            "it, or write an object per line (.jsonl) with the lists 'tokens' and 'tags'"
        )
    first = cells_of(line) if line else []
    looks_universal = "\t" in line and len(first) == 10 and FIRST_NUMBER.fullmatch(first[0])
    universal = aligned and bool(ending_of(path) == ".conllu" or looks_universal)
    usual = CONLL_U if universal else (1, -1)
    word, tag = (default if asked is None else asked for asked, default in zip(columns, usual, strict=True))
    if 0 in (word, tag) or word == tag:
        raise TextseqError(
            f"expected two different columns, counted from 1, or from -1 backwards, got {word} and {tag}"
        )
    return TaggedFile(document, (word, tag), longest, drop, aligned, universal, tuple(first), "\t" in line)


def cells_of(line: str) -> list[str]:
    """The columns of a line."""
    return line.split("\t") if "\t" in line else SPACES.split(line.strip(" "))
