"""Labelled texts in a user's files: a table (.csv, .tsv), JSON lines, or a folder for each label; faults told by line.

A text is a cell, a string or a whole file, without white space around it; all within it stays as it is, line ends too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from textseq.data.readers.row_errors import NO_OBJECT, SURROGATE, RowError, RowErrorKind, no_text, sound, surveyed
from textseq.data.readers.tables import (
    ENDINGS,
    LABEL_COLUMNS,
    TEXT_COLUMNS,
    _column,
    _ending,
    _fields,
    _names,
    _records,
    is_table,
)
from textseq.data.rows import Example
from textseq.errors import TextseqError
from textseq.io.documents import LONGEST_LINE, Document, NotText, lines_of

EMPTY = RowError("empty", "with an empty text")

NO_LABEL = RowError("unreadable", "without a label")

TOO_FEW = RowError("unreadable", "with too few columns")

TOO_MANY = RowError("unreadable", "with more columns than the header")

NO_NAME = RowError("unreadable", "with a label that has a line end, a tab or another character that cannot be seen")


@dataclass(frozen=True)
class LabelledFile:
    """Examples in one document, read anew each time, a line at a time.

    ``layout`` is one of ``LAYOUTS``. ``columns`` are the text's and the label's: names in the header of a table, or
    keys of JSON. ``longest`` limits a text, in characters. Rows with faults of the kinds in ``drop`` are left out.
    """

    document: Document
    layout: str
    columns: tuple[str, str]
    longest: int | None = None
    drop: frozenset[RowErrorKind] = frozenset()

    @property
    def name(self) -> str:
        """How an error names it."""
        return self.document.name

    def __iter__(self) -> Iterator[Example]:
        """The examples.

        Raises:
            TextseqError: the file cannot be read, or a row has a fault that is not to be left out.
        """
        yield from sound(self.rows(), self.name, self.drop)

    def rows(self) -> Iterator[tuple[int, Example | RowError]]:
        """The number of the line where each example begins, from 1, and the example or what is wrong."""
        for number, row in LAYOUTS[self.layout](self):
            yield number, row if isinstance(row, RowError) else self._sound(row[0].strip(), row[1].strip())

    def surveyed(self, notes: list[str]) -> Iterator[Example]:
        """The examples, read for the first time: at the end all faults are said, or noted where they are left out.

        Raises:
            TextseqError: the file cannot be read, or rows have faults that are not to be left out.
        """
        yield from surveyed(self.rows(), self.name, self.drop, notes)

    def _sound(self, text: str, label: str) -> Example | RowError:
        """The example, or what is wrong with it."""
        if not text:
            return EMPTY
        if not label:
            return NO_LABEL
        if not label.isprintable() and not SURROGATE.search(label):
            return NO_NAME
        for part in (text, label):
            if (fault := no_text(part, self.document.encoding)) is not None:
                return fault
        if self.longest is not None and len(text) > self.longest:
            return RowError("overlong", f"with a text of more than {self.longest:,} characters")
        return text, label


@dataclass(frozen=True)
class LabelledFolder:
    """A folder with a folder for each label, and in these a file for each text; hidden ones are left out."""

    path: Path
    encoding: str
    longest: int | None = None
    drop: frozenset[RowErrorKind] = frozenset()

    @property
    def name(self) -> str:
        """How an error names it."""
        return str(self.path)

    def __iter__(self) -> Iterator[Example]:
        """The examples, label by label, each sorted by the names of the files.

        Raises:
            TextseqError: a file cannot be read, or has a fault that is not to be left out.
        """
        for file, row in self.rows():
            if not isinstance(row, RowError):
                yield row
            elif row.kind not in self.drop:
                raise TextseqError(f"{file} is one {row.says}; mend it, or leave it out with --{row.kind} drop")

    def rows(self) -> Iterator[tuple[Path, Example | RowError]]:
        """Each file, and its text and label or what is wrong."""
        for folder in sorted(_visible(self.path)):
            if folder.is_dir():
                for file in sorted(path for path in folder.rglob("*") if not _hidden(path.relative_to(folder))):
                    if file.is_file():
                        yield file, self._example(file, folder.name)

    def surveyed(self, notes: list[str]) -> Iterator[Example]:
        """The examples, read for the first time; what was left out is noted.

        Raises:
            TextseqError: a file cannot be read, or has a fault that is not to be left out.
        """
        left_out: list[Path] = []
        for file, row in self.rows():
            if isinstance(row, RowError):
                if row.kind not in self.drop:
                    raise TextseqError(f"{file} is one {row.says}; mend it, or leave it out with --{row.kind} drop")
                left_out.append(file)
            else:
                yield row
        if left_out:
            notes.append(f"Files left out of {self.path}: {len(left_out):,} (the first is {left_out[0]}).")

    def _example(self, file: Path, label: str) -> Example | RowError:
        if not label.isprintable():  # nor are bytes of another encoding
            return NO_NAME
        try:
            text = _joined(Document(file, self.encoding).chunks()).strip()
        except NotText:
            return RowError("unreadable", f"with what is not {self.encoding} text (--encoding says what it is)")
        if not text:
            return EMPTY
        if (fault := no_text(text, self.encoding)) is not None:
            return fault
        if len(text) > (longest := LONGEST_LINE if self.longest is None else min(self.longest, LONGEST_LINE)):
            return RowError("overlong", f"with a text of more than {longest:,} characters")
        return text, label


def _joined(chunks: Iterator[str]) -> str:
    """The text of a file, or so much of it that it is seen to be too long for memory."""
    text = ""
    while len(text) <= LONGEST_LINE and (chunk := next(chunks, "")):
        text = (text + chunk).lstrip()
    return text


def read_own_file(
    path: Path,
    columns: tuple[str | None, str | None] = (None, None),
    *,
    encoding: str = "utf-8",
    notes: list[str],
    longest: int | None = None,
    drop: frozenset[RowErrorKind] = frozenset(),
) -> LabelledFile | LabelledFolder:
    """The examples in a user's file or folder, whose layout follows from its name.

    Without names of columns, those count that are known for texts and labels (``TEXT_COLUMNS``, ``LABEL_COLUMNS``); a
    note says which.

    Raises:
        TextseqError: it is missing or of an unknown kind, or has no such columns.
    """
    if path.is_dir():
        if columns != (None, None):
            raise TextseqError(f"names of columns are for tables and JSON lines, found them with the folder {path}")
        if not any(folder.is_dir() for folder in _visible(path)):
            raise TextseqError(
                f"{path} wants a folder for each label, with a file for each text; found no folder in it"
            )
        inner = [
            sorted(sub.name for sub in _visible(folder) if sub.is_dir()) for folder in _visible(path) if folder.is_dir()
        ]
        if len(inner) > 1 and len(inner[0]) > 1 and all(names == inner[0] for names in inner):
            notes.append(
                f"All folders of {path} hold folders called {', '.join(inner[0])}; if these are the labels, name the "
                "folder above them."
            )
        return LabelledFolder(path, encoding, longest, drop)
    if not os.path.isfile(path):
        raise TextseqError(f"no file {path}; name a .csv, .tsv or .jsonl of texts and labels, or a folder of folders")
    if not is_table(path):
        raise TextseqError(
            f"labelled texts are read from {', '.join(ENDINGS)} or a folder for each label; found {path}"
        )
    document, layout = Document(path, encoding), ENDINGS[_ending(path)]
    names = _names(document, layout)
    found = [
        _column(document, names, asked, known, flag)
        for asked, known, flag in zip(
            columns, (TEXT_COLUMNS, LABEL_COLUMNS), ("--text-column", "--label-column"), strict=True
        )
    ]
    if found[0] == found[1]:
        raise TextseqError(f"text and label must be two columns of {path}, found '{found[0]}' for both")
    if columns == (None, None):
        notes.append(f"Of {path} the text is read from '{found[0]}' and the label from '{found[1]}'.")
    return LabelledFile(document, layout, (found[0], found[1]), longest, drop)


class Texts:
    """The texts of a table or of JSON lines, without labels: one for every row.

    What ends the reading too soon is kept in ``fault`` instead of being raised, as ``lines.Lines`` has it.

    Args:
        path: its ending is one of ``ENDINGS``, after which .gz may follow.
        column: or key, of the texts; one that is known by its name by default.
        encoding: of the file.

    Raises:
        TextseqError: there is no such column.
    """

    def __init__(self, path: Path, column: str | None = None, encoding: str = "utf-8") -> None:
        document, layout = Document(path, encoding), ENDINGS[_ending(path)]
        found = _column(document, _names(document, layout), column, TEXT_COLUMNS, "--text-column")
        self.file = LabelledFile(document, layout, (found, found))
        self.fault: TextseqError | None = None

    def __iter__(self) -> Iterator[str]:
        try:
            for number, row in LAYOUTS[self.file.layout](self.file):
                text = "" if isinstance(row, RowError) else row[0]
                fault = row if isinstance(row, RowError) else no_text(text, self.file.document.encoding)
                if fault is not None and fault != EMPTY:
                    raise TextseqError(f"{self.file.name}: line {number} is one {fault.says}; mend it")
                yield text
        except TextseqError as error:
            self.fault = error


def _table(file: LabelledFile) -> Iterator[tuple[int, Example | RowError]]:
    """Two of the columns; the others are not read."""
    records = _records(file.document, file.layout)
    header = [name.strip() for name in next(records, (1, []))[1]]
    text, label = map(header.index, file.columns)
    for number, cells in records:
        if not "".join(cells).strip():
            if len(cells) > 1 or (cells and len(header) == 1):  # a line without anything is none, in quotes it is one
                yield number, EMPTY
        elif max(text, label) >= len(cells):
            yield number, TOO_FEW
        elif "".join(cells[len(header) :]).strip():  # a comma that should stand in quotes, most often
            yield number, TOO_MANY
        else:
            yield number, (cells[text], cells[label])


def _json_lines(file: LabelledFile) -> Iterator[tuple[int, Example | RowError]]:
    """Two values of the object in each line; labels may be numbers or truth values."""
    text, label = file.columns
    for number, line in enumerate(lines_of(file.document), start=1):
        if not line.strip():
            continue
        fields = _fields(line)
        if fields is None:
            yield number, NO_OBJECT
        elif text not in fields or label not in fields:
            yield number, RowError("unreadable", f"without the key '{text if text not in fields else label}'")
        elif not isinstance(fields[text], str):
            yield number, RowError("unreadable", f"with a '{text}' that is no string")
        elif not isinstance(fields[label], str | int | float) or fields[label] != fields[label]:  # NaN is no label
            yield number, RowError("unreadable", f"with a '{label}' that is no string or number")
        else:
            yield number, (str(fields[text]), str(fields[label]))


def _visible(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _folders(path: Path) -> list[str]:
    """The names of the folders in a folder."""
    return sorted(inner.name for inner in _visible(path) if inner.is_dir())


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


LAYOUTS: dict[str, Callable[[LabelledFile], Iterator[tuple[int, Example | RowError]]]] = {
    "comma-separated": _table,
    "tab-separated": _table,
    "json-lines": _json_lines,
}
"""How examples lie in a document."""
