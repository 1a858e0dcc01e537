"""Tables (.csv, .tsv) and JSON lines as records with named columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from textseq.data.readers.row_errors import SHOWN, no_text
from textseq.errors import TextseqError, unknown
from textseq.io.documents import LONGEST_LINE, Document, lines_of
from textseq.io.files import json_of

TEXT_COLUMNS = ("text", "sentence", "review", "content", "comment", "document", "phrase")
"""Names of columns and keys that are known for texts, in order of preference; in any case."""

LABEL_COLUMNS = ("label", "labels", "class", "sentiment", "category", "target", "polarity", "stars", "rating")
"""Likewise for labels."""


def is_table(path: Path) -> bool:
    """Whether a file is a table or JSON lines, by its name."""
    return _ending(path) in ENDINGS


def _ending(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _column(document: Document, names: Sequence[str], asked: str | None, known: Sequence[str], flag: str) -> str:
    """The name of the column that is asked for, or known by its name; there is one of that name."""
    if asked is not None and asked not in names:
        raise unknown(f"column of {document.name} for {flag}:", asked, names)
    folded = {name.casefold(): name for name in reversed(names)}
    found = asked or next((folded[name] for name in known if name in folded), None)
    if found is None:
        shown = ", ".join(map(repr, names[:SHOWN])) + ", ..." * (len(names) > SHOWN)
        remedy = (
            "call it .tsv if tabs part them"
            if len(names) == 1 and "\t" in names[0]
            else f"say with {flag} which is meant"
        )
        raise TextseqError(f"{document.name} has the columns {shown}; {remedy}")
    if (count := names.count(found)) > 1:
        raise TextseqError(f"{document.name} has {count} columns called '{found}'; give each its own name")
    return found


def _names(document: Document, layout: str) -> list[str]:
    """The header of a table, or the keys of the first object."""
    if layout == "json-lines":
        for line in document.lines():
            if (fields := _fields(line)) is not None:
                return list(fields)
        raise TextseqError(f"{document.name} holds no JSON object to a line; it is empty, or something else")
    _, header = next(_records(document, layout), (1, []))
    if not any(map(str.strip, header)):
        raise TextseqError(f"{document.name} begins without a header; a table wants the names of its columns first")
    if (fault := no_text("".join(header), document.encoding)) is not None:
        raise TextseqError(f"{document.name} begins {fault.says}; give a table of texts, or say how it is encoded")
    return [name.strip() for name in header]


def _records(document: Document, layout: str) -> Iterator[tuple[int, list[str]]]:
    """The line that each record begins in, and its cells; quotes as RFC 4180 has them, in .tsv none.

    Raises:
        TextseqError: a quote that is not closed, or that something follows.
    """
    if layout == "tab-separated":
        yield from ((number, line.split("\t")) for number, line in enumerate(lines_of(document), start=1))
        return
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))  # of this process; what is longer is no text
    reader = csv.reader((line + "\n" for line in lines_of(document)), delimiter=_delimiter(document), strict=True)
    number = 1
    try:
        for cells in reader:
            yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        where = f"{document.name}: in the record that begins in line {number}"
        if "field larger" in str(error):
            raise TextseqError(f"{where} a cell has more than {LONGEST_LINE:,} characters; divide it") from error
        what = "a quote is never closed" if "unexpected end of data" in str(error) else str(error)
        raise TextseqError(
            f"{where} {what}; a cell with commas, quotes or several lines stands in quotes, and a quote within is "
            'doubled ("He said ""no""")'
        ) from error


def _delimiter(document: Document) -> str:
    """What parts the cells of a .csv: the comma, or the semicolon where spreadsheets of other languages write it."""
    first = next(iter(lines_of(document)), "")
    return ";" if first.count(";") > first.count(",") else ","


def _fields(line: str) -> dict[str, object] | None:
    try:
        found = json_of(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


ENDINGS = {
    ".csv": "comma-separated",
    ".tsv": "tab-separated",
    ".tab": "tab-separated",
    ".jsonl": "json-lines",
    ".ndjson": "json-lines",
}
"""How a single file of a user's is laid out, by the end of its name."""
