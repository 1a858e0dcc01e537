"""Labelled texts in one's own files: a table (.csv, .tsv), JSON lines, or a folder for each label.

A text is a cell, a string or a whole file, without white space around it; line ends and all else within it are kept.
"""

from __future__ import annotations

import ast
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from textseq.data.readers.row_errors import RowError, RowErrorKind, RowFile, bad_bytes, not_text
from textseq.data.readers.tables import (
    EMPTY,
    ENDINGS,
    LABEL_COLUMNS,
    LISTED,
    TEXT_COLUMNS,
    VECTOR_COLUMNS,
    Columns,
    column_names,
    ending_of,
    find_column,
    is_table,
    json_rows,
    numbered,
    records,
    table_rows,
    with_note_on_quotes,
)
from textseq.data.rows import Example, join_labels, normal_label
from textseq.errors import TextseqError
from textseq.io.documents.document import LONGEST_LINE, Document
from textseq.io.documents.errors import NotText
from textseq.io.files import json_of

NO_VECTOR = RowError("unreadable", "without a vector of finite numbers")

NO_LABEL = RowError("unreadable", "without a label")

EMPTY_LABEL = RowError("unreadable", "with an empty label among others")

TOO_LONG = RowError("unreadable", f"with a text of more than {LONGEST_LINE:,} characters, which must be divided")

NO_LIST = RowError("unreadable", "with labels in [ ] that are no list of strings or numbers")

INVISIBLE = RowError("unreadable", "with a label that has a line end, a tab or another invisible character")


QUOTED_LIST = re.compile(r"\s*\[[\s\[]*['\"].*\]\s*\Z", re.DOTALL)
"""What is meant as a list: brackets may be part of a label, too."""

ADJACENT = re.compile(r"['\"]\s+['\"]")
"""Strings without a comma between them, as NumPy writes them, which Python reads as one."""


@dataclass(frozen=True)
class LabelledFile(RowFile[Example]):
    """Examples in one document, read line by line.

    ``layout`` is one of ``tables.ENDINGS``. ``columns`` are the text's and the label's: names in the header of a table,
    or keys of JSON. ``longest`` limits a text, in characters. With a ``separator`` each text has several labels or
    none: those between separators in a cell or string, or a list, in JSON or as JSON or Python write it in a cell. With
    ``vectors`` the label is a vector of numbers, written in one of these ways, which is given with single spaces
    between the numbers.
    """

    document: Document
    layout: str
    columns: tuple[str, str]
    longest: int | None = None
    drop: frozenset[RowErrorKind] = frozenset()
    separator: str | None = None
    vectors: bool = False

    @property
    def name(self) -> str:
        """The name in errors."""
        return self.document.name

    @property
    def place(self) -> str:
        """What the numbers of rows count, in errors."""
        return self.document.line_unit

    def cells(self) -> Iterator[Columns]:
        """The line number of each row, and its text and label, unchecked; the other columns are not read."""
        if self.layout == "json-lines":
            several = self.separator is not None or self.vectors
            return json_rows(self.document.lines(), self.columns, numbers=True, lists=several)
        table = records(self.document, self.layout)
        header = [name.strip() for name in next(table, (1, []))[1]]
        text, label = map(header.index, self.columns)
        width = len(header)
        return table_rows(table, (text, label), header=header, width=width, blank_lines=width == 1)

    def rows(self) -> Iterator[tuple[int, Example | RowError]]:
        """The line number of each example, and the example or its error."""
        for number, row in self.cells():
            yield number, row if isinstance(row, RowError) else self._checked(row[0].strip(), row[1])

    def surveyed(self, notes: list[str]) -> Iterator[Example]:
        """The rows, read for the first time; see ``RowFile.surveyed``."""
        rows = super().surveyed(notes)
        return with_note_on_quotes(rows, self.name, notes) if self.layout == "tab-separated" else rows

    def _checked(self, text: str, label: str) -> Example | RowError:
        if not text:
            return EMPTY
        if self.vectors:
            vector = _vector(label)
            return NO_VECTOR if vector is None else self._within_limits(text, vector)
        if (error := not_text(label, self.document.encoding)) is not None:
            return error
        labels = self._labels(label)
        if isinstance(labels, RowError):
            return labels
        if "" in labels:
            return EMPTY_LABEL
        if not all(map(str.isprintable, labels)):
            return INVISIBLE
        return self._within_limits(text, join_labels(map(normal_label, labels)))

    def _labels(self, written: str) -> list[str] | RowError:
        """The labels of a row, without white space around them."""
        if self.separator is not None and self.layout == "json-lines" and written.startswith(LISTED):
            labels = written.split(LISTED)[1:] if written != LISTED else []
        elif not written.strip():
            return NO_LABEL
        elif self.separator is None:
            labels = [written]
        elif (listed := _list(written.strip())) is not None:
            labels = listed
        elif QUOTED_LIST.match(written):
            return NO_LIST
        else:
            labels = written.split(self.separator)
        return [label.strip() for label in labels]

    def _within_limits(self, text: str, label: str) -> Example | RowError:
        if (error := not_text(text, self.document.encoding) or not_text(label, self.document.encoding)) is not None:
            return error
        return _overlong(self.longest) if self.longest is not None and len(text) > self.longest else (text, label)


def _list(written: str) -> list[str] | None:
    """The items of a list of strings and numbers, as JSON or Python write it; None if something else is written."""
    if not (written.startswith("[") and written.endswith("]")):
        return None
    try:
        items = json_of(written)
    except ValueError:
        if ADJACENT.search(written):
            return None
        try:
            items = ast.literal_eval(written)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    if not isinstance(items, list) or not all(isinstance(item, str | int | float) for item in items):
        return None
    return [*map(str, items)]


def _vector(written: str) -> str | None:
    """A vector with single spaces between its numbers; None if something else is written."""
    try:
        numbers = [float(number) for number in written.replace(LISTED, " ").replace(",", " ").strip(" []").split()]
    except ValueError:
        return None
    return " ".join(map(repr, numbers)) if numbers and all(map(math.isfinite, numbers)) else None


@dataclass(frozen=True)
class LabelledFolder(RowFile[Example]):
    """A folder with a folder for each label, and in these a file for each text; hidden ones are skipped."""

    path: Path
    encoding: str
    longest: int | None = None
    drop: frozenset[RowErrorKind] = frozenset()

    @property
    def name(self) -> str:
        """The name in errors."""
        return str(self.path)

    def rows(self) -> Iterator[tuple[int, Example | RowError]]:
        """The number of each file, from 1, and its example or error."""
        return enumerate((self._example(*file) for file in self._files()), start=1)

    def __iter__(self) -> Iterator[Example]:
        """The examples, label by label, each sorted by file name; see ``surveyed``."""
        return self.surveyed([])

    def surveyed(self, notes: list[str]) -> Iterator[Example]:
        """The examples; notes dropped files, and raises a TextseqError for the first other error."""
        dropped: list[Path] = []
        for file, label in self._files():
            row = self._example(file, label)
            if not isinstance(row, RowError):
                yield row
            elif row.kind in self.drop:
                dropped.append(file)
            else:
                raise TextseqError(f"{file} is one {row.message}; correct it, or drop it with --{row.kind} drop")
        if dropped:
            notes.append(f"Files dropped from {self.path}: {len(dropped):,} (the first is {dropped[0]}).")

    def _files(self) -> Iterator[tuple[Path, str]]:
        for folder in sorted(_visible_folders(self.path)):
            for file in sorted(folder.rglob("*")):
                hidden = any(name.startswith(".") for name in file.relative_to(folder).parts)
                if file.is_file() and not hidden:
                    yield file, normal_label(folder.name)

    def _example(self, file: Path, label: str) -> Example | RowError:
        if not label.isprintable():  # nor are bytes of another encoding
            return INVISIBLE
        try:
            text = _joined(Document(file, self.encoding).chunks()).strip()
        except NotText:
            return bad_bytes(self.encoding)
        if not text:
            return EMPTY
        if (error := not_text(text, self.encoding)) is not None:
            return error
        if self.longest is not None and len(text) > self.longest:
            return _overlong(self.longest)
        return TOO_LONG if len(text) > LONGEST_LINE else (text, label)


def _overlong(longest: int) -> RowError:
    return RowError("overlong", f"with a text of more than {longest:,} characters")


def _joined(chunks: Iterator[str]) -> str:
    """The text of a file, or the beginning of one that is too long."""
    text = ""
    while len(text) <= LONGEST_LINE and (chunk := next(chunks, "")):
        text = (text + chunk).lstrip()
    return text


def _visible_folders(path: Path) -> list[Path]:
    return [folder for folder in path.iterdir() if not folder.name.startswith(".") and folder.is_dir()]


def read_own_file(
    path: Path,
    columns: tuple[str | None, str | None] = (None, None),
    *,
    encoding: str = "utf-8",
    notes: list[str],
    longest: int | None = None,
    drop: frozenset[RowErrorKind] = frozenset(),
    separator: str | None = None,
    vectors: bool = False,
) -> LabelledFile | LabelledFolder:
    """Open a file or folder of examples, whose layout follows from its name.

    Columns may be given by name, or in a table by number from 1. Without, they are recognized by their usual names
    (``TEXT_COLUMNS``, ``LABEL_COLUMNS``). What is not given by name is noted.
    """
    if path.is_dir():
        if vectors:
            raise TextseqError(f"--condition vector: expected a table or JSON, got the folder {path}")
        if separator is not None:
            raise TextseqError(f"--multi-label: expected a table or JSON, got the folder {path}; a file has one folder")
        if columns != (None, None):
            raise TextseqError(f"names of columns are for tables and JSON lines, not for a folder such as {path}")
        folders = _visible_folders(path)
        if not folders:
            raise TextseqError(
                f"{path}: expected a folder for each label, with a file for each text; got no folder. Of "
                "files that are each the long text of one label, a language model learns: --task language-model"
            )
        inner = [sorted(folder.name for folder in _visible_folders(outer)) for outer in folders]
        if len(inner) > 1 and len(inner[0]) > 1 and all(names == inner[0] for names in inner):
            notes.append(
                f"All folders of {path} hold folders called {', '.join(inner[0])}; if these are the labels, name the "
                "folder above them."
            )
        return LabelledFolder(path, encoding, longest, drop)
    if not os.path.isfile(path):
        raise TextseqError(f"no file {path}; name a .csv, .tsv or .jsonl of texts and labels, or a folder of folders")
    if not is_table(path):
        kinds = ", ".join((*ENDINGS, ".json", ".parquet"))
        raise TextseqError(f"labelled texts are read from {kinds} or a folder for each label; got {path}")
    document, layout = Document(path, encoding), ENDINGS[ending_of(path)]
    names = column_names(document, layout)
    text = find_column(document, names, columns[0], TEXT_COLUMNS, "--text-column")
    usual, flag = (VECTOR_COLUMNS, "--vector-column") if vectors else (LABEL_COLUMNS, "--label-column")
    label = find_column(document, names, columns[1], usual, flag)
    if text == label:
        raise TextseqError(f"text and label must be two columns of {document.name}, got '{text}' for both")
    if columns == (None, None) or not {*columns} <= {text, label, None}:
        kind = "vectors" if vectors else "labels"
        notes.append(f"Reading texts from column '{text}' of {document.name}, {kind} from '{label}'.")
    return LabelledFile(document, layout, (text, label), longest, drop, separator, vectors)


def remembered_column(path: Path, column: object, encoding: str = "utf-8") -> str | None:
    """The column that a model was trained on, if a table has it."""
    if not isinstance(column, str) or not is_table(path) or not path.is_file():
        return None
    names = column_names(Document(path, encoding), ENDINGS[ending_of(path)])
    return column if numbered(column, names) in names else None


class Texts:
    """The texts of a table or of JSON lines, without labels: one for every row.

    An error that ends the reading early is kept in ``error`` instead of being raised, as in ``lines.Lines``.

    ``column`` is the column or key of the texts, by default one with a usual name.
    """

    def __init__(self, path: Path, column: str | None = None, encoding: str = "utf-8") -> None:
        document, layout = Document(path, encoding), ENDINGS[ending_of(path)]
        column = find_column(document, column_names(document, layout), column, TEXT_COLUMNS, "--text-column")
        self.file = LabelledFile(document, layout, (column, column))
        self.error: TextseqError | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            for number, row in self.file.cells():
                text = "" if isinstance(row, RowError) else row[0]
                error = row if isinstance(row, RowError) else not_text(text, self.file.document.encoding)
                if error is not None and error.kind not in ("empty", "no row"):
                    raise TextseqError(
                        f"{self.file.name}: {self.file.place} {number} is one {error.message}; correct it"
                    )
                yield text
        except TextseqError as error:
            self.error = error
