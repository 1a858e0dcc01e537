"""Tables (.csv, .tsv) and JSON lines: records with named columns, and two columns of them as rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from textseq.data.readers.row_errors import HEADER_AGAIN, SHOWN, RowError, counted, not_text
from textseq.errors import TextseqError, unknown
from textseq.io.compression import plain_name
from textseq.io.documents.document import LONGEST_LINE, Document
from textseq.io.files import json_of

ENDINGS = {
    ".csv": "comma-separated",
    ".tsv": "tab-separated",
    ".tab": "tab-separated",
    ".jsonl": "json-lines",
    ".ndjson": "json-lines",
}
"""The layout of a single file, by its ending."""

TEXT_COLUMNS = ("text", "sentence", "review", "content", "comment", "document", "phrase")
"""Usual names of a column or key of texts, in order of preference; in any case."""

LABEL_COLUMNS = ("label", "labels", "class", "sentiment", "category", "target", "polarity", "stars", "rating")
"""The same for labels."""

VECTOR_COLUMNS = ("vector", "condition", "features", "embedding")
"""The same for vectors."""

LISTED = "\t"
"""What stands before each item of a list that is given as a string, and alone for an empty list."""

EMPTY = RowError("empty", "with an empty text")

TOO_FEW = RowError("unreadable", "with too few columns")

TOO_MANY = RowError("unreadable", "with more columns than the header")

NO_OBJECT = RowError("unreadable", "without a JSON object")

Cells = TypeVar("Cells", bound=tuple[str, ...])

NAMED_DELIMITER = re.compile('"?sep=(.)"?', re.IGNORECASE)
"""A first line that names the delimiter of a .csv file; Excel writes and reads such lines."""

SAMPLED_OBJECTS = 100
"""The first JSON objects, whose keys are the columns; some may lack a key."""

NO_LINES = "name it .json if it is a list, or its objects have several lines"
"""What to do with JSON that is not in lines."""

Record = tuple[int, list[str]]
"""The line that a record begins in, from 1, and its cells."""

Columns = tuple[int, tuple[str, str] | RowError]
"""The line that a record begins in, from 1, and two of its cells, or its error."""


def ending_of(path: Path) -> str:
    """The ending of a file name, in lower case, without that of a compression after it."""
    return Path(plain_name(path).lower()).suffix


def is_table(path: Path) -> bool:
    """Whether a file is a table or JSON lines, by its name."""
    return ending_of(path) in ENDINGS


def find_column(document: Document, names: Sequence[str], asked: str | None, known: Sequence[str], flag: str) -> str:
    """The column ``asked`` for, by name or in a table by number from 1; if None, one with a usual name.

    Raises:
        TextseqError: there is none, or more than one.
    """
    if asked is not None and ENDINGS[ending_of(document.path)] != "json-lines":
        asked = numbered(asked, names)
    if asked is not None and asked not in names:
        raise unknown(f"column of {document.name} for {flag}:", asked, names)
    folded = {name.casefold(): name for name in reversed(names)}
    column = asked or next((folded[name] for name in known if name in folded), None)
    if column is None:
        shown = ", ".join(map(repr, names[:SHOWN])) + ", ..." * (len(names) > SHOWN)
        tabs = len(names) == 1 and "\t" in names[0]
        remedy = "name it .tsv if the columns are separated by tabs" if tabs else f"say with {flag} which is meant"
        if ENDINGS[ending_of(document.path)] != "json-lines" and not tabs:
            remedy += "; if they are a row of data, add a line with the names of the columns before it"
        raise TextseqError(f"{document.name} has the columns {shown}; {remedy}")
    if (count := names.count(column)) > 1:
        raise TextseqError(f"{document.name} has {count} columns called '{column}'; give each its own name")
    return column


def numbered(asked: str, names: Sequence[str]) -> str:
    """The name of a column that is asked for by its number, from 1, or else what is asked for."""
    by_number = asked not in names and asked.isdecimal() and 0 < int(asked) <= len(names)
    return names[int(asked) - 1] if by_number else asked


def column_names(document: Document, layout: str) -> list[str]:
    """The header of a table, or the keys of the first JSON objects; a TextseqError without any."""
    if layout == "json-lines":
        objects = (fields for line in document.lines() if (fields := fields_of(line)) is not None)
        if sample := [*islice(objects, SAMPLED_OBJECTS)]:
            return [*dict.fromkeys(chain.from_iterable(sample))]
        if document.line_unit == "row":
            raise TextseqError(f"{document.name} has no rows; name another")
        raise TextseqError(
            f"{document.name} holds no JSON object on any line; it is empty, or in another format ({NO_LINES})"
        )
    _, header = next(records(document, layout), (1, []))
    if not any(map(str.strip, header)):
        raise TextseqError(f"{document.name} begins without a header; the first line must name the columns")
    if (error := not_text("".join(header), document.encoding)) is not None:
        raise TextseqError(f"{document.name} begins {error.message}; give a table of texts, or set --encoding")
    return [name.strip() for name in header]


def records(document: Document, layout: str, *, delimiter: str | None = None) -> Iterator[Record]:
    """The records of a table, the header first. Quotes follow RFC 4180; in .tsv they mean nothing.

    In .csv spaces after a ``delimiter`` are ignored, which is a comma by default, or a semicolon if the first line has
    more of these. A first line ``sep=;`` names it and is no record.
    """
    if layout == "tab-separated":
        yield from tab_separated(document.lines())
        return
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))  # of this process; longer cells are no text
    first = next(iter(document.lines()), "")
    named = NAMED_DELIMITER.fullmatch(first)
    if named is not None:
        delimiter = named[1]
    elif delimiter is None:
        delimiter = ";" if first.count(";") > first.count(",") else ","  # as spreadsheets of some languages write
    skipped = int(named is not None)
    lines = (line + "\n" for line in islice(document.lines(), skipped, None))
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    number = 1 + skipped
    try:
        for cells in reader:
            yield number, cells
            number = reader.line_num + 1 + skipped
    except csv.Error as error:
        where = f"{document.name}: in the record that begins in line {number}"
        if "field larger" in str(error):
            raise TextseqError(f"{where} a cell has more than {LONGEST_LINE:,} characters; divide it") from error
        what = "a quote is never closed" if "unexpected end of data" in str(error) else str(error)
        what = "a cell without quotes has a carriage return" if "new-line character" in what else what
        raise TextseqError(
            f"{where} {what}; put cells with commas, quotes or several lines in quotes, and double quotes within them "
            '("He said ""no""")'
        ) from error


def with_note_on_quotes(rows: Iterator[Cells], name: str, notes: list[str]) -> Iterator[Cells]:
    """The rows of a tab-separated file; notes those with a cell that another program has put in quotes."""
    count = 0
    for row in rows:
        count += any(map(_is_quoted, row))
        yield row
    if count:
        notes.append(
            f'{counted(count, "rows")} of {name} with a text in quotes and "" within: quotes mean nothing in '
            "tab-separated files, so they stay. If another program put them there, write the file without, or .jsonl."
        )


def _is_quoted(cell: str) -> bool:
    """Whether a cell has quotes around it, and quotes within it that are doubled."""
    within = cell[1:-1]
    return cell[:1] == cell[-1:] == '"' and '""' in within and '"' not in within.replace('""', "")


def tab_separated(lines: Iterable[str]) -> Iterator[Record]:
    """Lines as records."""
    return ((number, line.split("\t")) for number, line in enumerate(lines, start=1))


def table_rows(
    records: Iterator[Record],
    columns: tuple[int, int],
    *,
    header: Sequence[str] = (),
    width: int | None = None,
    blank_lines: bool = False,
) -> Iterator[Columns]:
    """Two columns of the records after the header.

    A record that repeats a ``header`` of several names is none. Records of more columns than ``width`` are errors.
    Blank lines are empty rows if ``blank_lines``, and otherwise skipped.
    """
    for number, cells in records:
        if not "".join(cells).strip():
            if len(cells) > 1 or (cells and blank_lines):
                yield number, EMPTY
        elif max(columns) >= len(cells):
            yield number, TOO_FEW
        elif width is not None and "".join(cells[width:]).strip():  # mostly a comma that should be in quotes
            yield number, TOO_MANY
        elif len(header) == len(cells) > 1 and [*map(str.strip, cells)] == header:
            yield number, HEADER_AGAIN
        else:
            yield number, (cells[columns[0]], cells[columns[1]])


def fields_of(line: str) -> dict[str, object] | None:
    """The fields of the JSON object in a line, or None without one."""
    try:
        value = json_of(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def json_rows(
    lines: Iterable[str],
    keys: tuple[str, str],
    *,
    fields_of: Callable[[str], dict[str, object] | None] = fields_of,
    numbers: bool = False,
    lists: bool = False,
    blank_lines: bool = False,
) -> Iterator[Columns]:
    """The values of two keys of the JSON object in each line, which ``fields_of`` parses.

    With ``numbers`` the second value may be a number or truth value, with ``lists`` a list of such values and strings,
    which is given as ``LISTED`` says. For ``blank_lines`` see ``table_rows``.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            if blank_lines:
                yield number, EMPTY
        elif (fields := fields_of(line)) is None:
            yield number, NO_OBJECT
        elif isinstance(first := _string(fields, keys[0]), RowError):
            yield number, first
        elif numbers and not lists and isinstance(fields.get(keys[1]), list):
            yield (
                number,
                RowError("unreadable", f"with a list in '{keys[1]}', which a classifier reads with --multi-label"),
            )
        elif isinstance(second := _string(fields, keys[1], numbers, lists), RowError):
            yield number, second
        else:
            yield number, (first, second)


def _string(fields: dict[str, object], key: str, numbers: bool = False, lists: bool = False) -> str | RowError:
    if key not in fields:
        return RowError("unreadable", f"without the key '{key}'")
    value = fields[key]
    if isinstance(value, str) or (numbers and isinstance(value, int | float) and value == value):  # not NaN
        return str(value)
    if lists and isinstance(value, list):
        items = [_string({key: item}, key, numbers) for item in value]
        if (wrong := next((item for item in items if isinstance(item, RowError) or "\t" in item), None)) is None:
            return "".join(f"{LISTED}{item}" for item in items) or LISTED
        return wrong if isinstance(wrong, RowError) else RowError("unreadable", f"with a tab in '{key}'")
    kinds = " or number" * numbers + ", nor a list of them" * lists
    return RowError("unreadable", f"with a '{key}' that is no string{kinds}")
