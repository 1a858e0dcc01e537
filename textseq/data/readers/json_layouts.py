"""The layouts of a JSON file of rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from textseq.errors import TextseqError
from textseq.io.documents import Document

CLOSING = {"[": "]", "{": "}"}
"""What a JSON list or object ends with."""

VALUE_START = re.compile(r"\S")

Fields = dict[str, object]
"""The values of a row by column."""


def json_objects(path: Path, encoding: str) -> Iterator[Fields]:
    """The objects of a list, or one after the other; or the rows of a single object, see ``_rows_of``.

    Raises:
        TextseqError: the file is no valid JSON, or in another layout.
    """
    values = list(_values(path, encoding))
    if len(values) == 1:
        (value,) = values
        values = value if isinstance(value, list) else _rows_of(value, path) if isinstance(value, dict) else values
    for number, fields in enumerate(values, start=1):
        if not isinstance(fields, dict):
            raise TextseqError(
                f"{path}: expected a list of JSON objects, or an object per line, got {json.dumps(fields):.50} as item "
                f"{number}; correct it"
            )
        yield fields


def _values(path: Path, encoding: str) -> Iterator[object]:
    """The JSON values of a file, with white space between them."""
    text = "".join(Document(path, encoding).chunks())
    decoder, start, end = json.JSONDecoder(), 0, 0
    try:
        while found := VALUE_START.search(text, end):
            start = found.start()
            value, end = decoder.raw_decode(text, start)
            yield value
    except (ValueError, RecursionError) as error:
        closing = CLOSING.get(text[start])
        early = closing is not None and not text.rstrip().endswith(closing)
        nested = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        what = f"it ends too early, without '{closing}'" if early else nested
        raise TextseqError(f"{path} is no valid JSON: {what}; write it again, or correct it") from error


def _rows_of(value: Fields, path: Path) -> list[object]:
    """The rows of a single object: its only list of objects, its columns, or itself.

    Columns are lists, or objects with the same keys, as pandas writes them by default; with numbers as the names of the
    columns, as pandas writes an index, they are the rows.
    """
    tables = {
        key: rows
        for key, rows in value.items()
        if isinstance(rows, list) and any(isinstance(row, dict) for row in rows)
    }
    if len(tables) == 1:
        return next(iter(tables.values()))
    if tables:
        raise TextseqError(f"{path}: expected one list of JSON objects, got {', '.join(tables)}; keep one of them")
    columns = [column for column in value.values() if isinstance(column, list)]
    if len(columns) == len(value) > 1:
        if len(lengths := sorted({*map(len, columns)})) > 1:
            raise TextseqError(
                f"{path}: expected columns of the same length, got one of {lengths[0]} and one of "
                f"{lengths[-1]} values; correct them"
            )
        return [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]
    inner = [column for column in value.values() if isinstance(column, dict)]
    if len(inner) == len(value) > 1 and all(column.keys() == inner[0].keys() for column in inner):
        if all(map(str.isdecimal, value)):
            return [*inner]
        return [{name: column[key] for name, column in zip(value, inner, strict=True)} for key in inner[0]]
    return [value]
