"""The layouts of a JSON file of rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain
from pathlib import Path

from textseq.data.readers.pairs import HEADERS, LANGUAGE_NAMES
from textseq.data.readers.tables import LABEL_COLUMNS, TEXT_COLUMNS, VECTOR_COLUMNS
from textseq.errors import TextseqError
from textseq.io.documents.document import Document

CLOSING = {"[": "]", "{": "}"}
"""What a JSON list or object ends with."""

VALUE_START = re.compile(r"\S")

NUMBER = re.compile(r"-?\d+(\.\d+)?")
"""A number that pandas wrote as the name of a row."""

COLUMN_NAMES = frozenset(
    chain(TEXT_COLUMNS, LABEL_COLUMNS, VECTOR_COLUMNS, *HEADERS, LANGUAGE_NAMES, LANGUAGE_NAMES.values())
)
"""Usual names of columns, in lower case."""

RECORDS = 'write a list of objects, as pandas does with orient="records"'
"""What to do with a layout that is not read."""

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
            values = _rows_of(value, path, COLUMN_NAMES.union(words))
    for number, fields in enumerate(values, start=1):
        if not isinstance(fields, dict):
            remedy = RECORDS if isinstance(fields, list) else "correct it"
            raise TextseqError(
                f"{path}: expected a list of JSON objects, or an object per line, got {json.dumps(fields):.50} as item "
                f"{number}; {remedy}"
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


def _rows_of(value: Fields, path: Path, column_names: Set[str]) -> list[object]:
    """The rows of a single object: its columns, its only list of objects, its objects, or itself.

    Columns are lists of the same length; a list of names beside one of rows, as pandas writes them with "split"; or
    objects with the same keys, see ``_rows_by_name``.
    """
    if {"columns", "data"} <= value.keys() <= {"columns", "index", "data"}:
        names, data = value["columns"], value["data"]
        if isinstance(names, list) and isinstance(data, list) and all(isinstance(cells, list) for cells in data):
            return _split_rows([*map(str, names)], data, path)
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
    inner = {key: column for key, column in value.items() if isinstance(column, dict)}
    if len(inner) == len(value) > 0 and len({frozenset(column) for column in inner.values()}) == 1:
        return _rows_by_name(inner, path, column_names)
    return [value]


def _split_rows(names: Sequence[str], data: Sequence[Sequence[object]], path: Path) -> list[object]:
    """The rows of a list of names of columns and a list of rows without names."""
    if len({*names}) < len(names) or not all(len(cells) == len(names) for cells in data):
        raise TextseqError(
            f"{path}: expected a name in 'columns' for each value of a row in 'data', got others; {RECORDS}"
        )
    return [dict(zip(names, cells, strict=True)) for cells in data]


def _rows_by_name(value: Mapping[str, Fields], path: Path, column_names: Set[str]) -> list[object]:
    """The rows of objects with the same keys: these, or what they have under each key.

    pandas writes columns by default, and rows with "index". Numbers are names of rows. Where neither these nor usual
    names of columns say which it is, it is rows.
    """
    inner = next(iter(value.values()))

    def name_columns(keys: Iterable[str]) -> bool:
        return any(key.casefold() in column_names for key in keys)

    by_column = _are_numbers(inner) or name_columns(value)
    by_row = _are_numbers(value) or name_columns(inner)
    if by_column and by_row:
        outside, within = (", ".join(keys) for keys in (value, inner))
        raise TextseqError(
            f"{path}: expected names of columns either outside or within its objects, got {outside:.50} outside and "
            f"{within:.50} within; {RECORDS}"
        )
    if by_column:
        return [{name: column[key] for name, column in value.items()} for key in inner]
    return [*value.values()]


def _are_numbers(names: Iterable[str]) -> bool:
    return all(map(NUMBER.fullmatch, names))
