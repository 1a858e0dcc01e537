"""The layouts of a JSON file of rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from textseq.errors import TextseqError
from textseq.io.documents import Document

CLOSING = {"[": "]", "{": "}"}
"""What a JSON list or object ends with."""

VALUE_START = re.compile(r"\S")

NUMBER = re.compile(r"-?\d+(\.\d+)?")
"""A number that pandas wrote as the name of a row."""

Fields = dict[str, object]
"""The values of a row by column."""


def json_objects(path: Path, encoding: str, *, words: Sequence[str] = ()) -> Iterator[Fields]:
    """The objects of a list, or one after the other; or the rows of a single object, see ``_rows_of``.

    Args:
        path: of the file.
        encoding: of the file.
        words: names of the columns whose cells are lists of strings: a single object with such a list is one row.

    Raises:
        TextseqError: the file is no valid JSON, or in another layout.
    """
    values = list(_values(path, encoding))
    if len(values) == 1:
        (value,) = values
        if isinstance(value, list):
            values = value
        elif isinstance(value, dict) and not any(_is_words(value[key]) for key in value if key.casefold() in words):
            values = _rows_of(value, path)
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


def _is_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _rows_of(value: Fields, path: Path) -> list[object]:
    """The rows of a single object: its columns, its only list of objects, its objects, or itself.

    Columns are lists of the same length, or objects with the same keys, numbers, as pandas writes them by default.
    Other objects with the same keys are rows, as pandas writes them by index.
    """
    columns = [column for column in value.values() if isinstance(column, list)]
    tables = {
        key: rows
        for key, rows in value.items()
        if isinstance(rows, list) and any(isinstance(row, dict) for row in rows)
    }
    lengths = sorted({*map(len, columns)})
    if len(columns) == len(value) > max(1, len(tables)) and len(lengths) == 1:
        return [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]
    if len(tables) == 1:
        return next(iter(tables.values()))
    if tables:
        raise TextseqError(f"{path}: expected one list of JSON objects, got {', '.join(tables)}; keep one of them")
    if len(columns) == len(value) > 1:
        raise TextseqError(
            f"{path}: expected columns of the same length, got one of {lengths[0]} and one of {lengths[-1]} values; "
            "correct them"
        )
    inner = [column for column in value.values() if isinstance(column, dict)]
    if len(inner) == len(value) > 0 and all(column.keys() == inner[0].keys() for column in inner):
        if _are_numbers(value) or not _are_numbers(inner[0]):
            return [*inner]
        return [{name: column[key] for name, column in zip(value, inner, strict=True)} for key in inner[0]]
    return [value]


def _are_numbers(names: Iterable[str]) -> bool:
    return all(map(NUMBER.fullmatch, names))
