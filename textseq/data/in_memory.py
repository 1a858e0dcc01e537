"""Data in memory: lists and columns become files in the cache, named by their content, and are read like one's own.

So a run can be resumed, and is fingerprinted, as if the data had been in files; but all is data, as the files are read
literally (``Document.literal``). A column is anything that yields its values: a list, a NumPy array, a pandas or polars
series, a column of a Hugging Face dataset. Errors count rows and sentences from 1, as those about files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from textseq.data.readers.row_errors import SURROGATE
from textseq.errors import TextseqError
from textseq.io.files import replacing
from textseq.io.paths import cache_folder

Value = TypeVar("Value")

Column = Iterable[object]
"""Texts, labels, words or tags."""

NULLS = ("None", "nan", "<NA>", "NaT")
"""How values that are missing are written, of Python, NumPy and pandas."""


def text_files(texts: Column) -> tuple[str, ...]:
    """A folder with a file for each text, which is one document.

    Raises:
        TextseqError: a value is not a string, or cannot be encoded, or there is none.
    """
    values = _texts(texts, "texts")
    for row, text in enumerate(values, start=1):
        _check_encodable(text, "texts", f"row {row}")
    folder = _place("texts", values, "")
    for number, text in enumerate(values):
        _write(folder / f"{number:09}.txt", text.encode())
    return (str(folder),)


def labelled_files(texts: Column, labels: Column) -> tuple[str, ...]:
    """A file of JSON lines with the keys "text" and "label".

    Raises:
        TextseqError: the columns differ in length, a text is not a string, a label no string, whole number or truth
            value or list of these, or there are none.
    """
    return _json_lines("labelled", {"text": _texts(texts, "texts"), "label": _labels(labels, "labels")})


def pair_files(sources: Column, targets: Column) -> tuple[str, ...]:
    """A file of JSON lines with the keys "source" and "target".

    Raises:
        TextseqError: the columns differ in length, a value is not a string, or there are none.
    """
    return _json_lines("pairs", {"source": _texts(sources, "sources"), "target": _texts(targets, "targets")})


def tagged_files(
    sentences: Iterable[Column], tags: Iterable[Column] | None = None, *, name: str = "tagged"
) -> tuple[str, ...]:
    """A file with one word, a tab and its tag per line.

    Args:
        sentences: for each its words; or, without ``tags``, its pairs of word and tag, as NLTK's corpora give them.
        tags: for each sentence the tag of each word.
        name: of the data, in errors and as the default name of the run.

    Raises:
        TextseqError: a sentence and its tags differ in length, or a word or tag is missing, is empty, has white space
            in it or cannot be encoded.
    """
    rows = [
        list(_column(row, f"sentence {number}")) for number, row in enumerate(_column(sentences, "sentences"), start=1)
    ]
    if tags is None:
        pairs = [list(map(_pair, row)) for row in rows]
    else:
        named = [
            list(_column(row, f"tags of sentence {number}"))
            for number, row in enumerate(_column(tags, "tags"), start=1)
        ]
        _check_lengths("sentences", len(rows), "tags", len(named))
        for number, (words, others) in enumerate(zip(rows, named, strict=True), start=1):
            _check_lengths(f"words of sentence {number}", len(words), "tags", len(others))
        pairs = [list(zip(words, others, strict=True)) for words, others in zip(rows, named, strict=True)]
    lines = [
        "\n".join(f"{_cell(word, 'word', number)}\t{_cell(tag, 'tag', number)}" for word, tag in sentence)
        for number, sentence in enumerate(pairs, start=1)
    ]
    path = _place(name, lines, ".conll")
    _write(path, "\n\n".join([*lines, ""]).encode())
    return (str(path),)


def _json_lines(kind: str, columns: Mapping[str, Sequence[str | list[str]]]) -> tuple[str, ...]:
    (first, one), (second, two) = columns.items()
    _check_lengths(f"{first}s", len(one), f"{second}s", len(two))
    rows = [json.dumps({first: a, second: b}) for a, b in zip(one, two, strict=True)]
    path = _place(kind, rows, ".jsonl")
    _write(path, "\n".join([*rows, ""]).encode())
    return (str(path),)


def _place(kind: str, rows: Sequence[str], ending: str) -> Path:
    """Where data of this content is kept; ``kind`` is the default name of the run."""
    if not rows:
        raise TextseqError(f"{kind}: expected some data, got none; give at least one row")
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    return cache_folder() / "data" / f"{kind}.literal-{digest[:16]}{ending}"


def _write(path: Path, content: bytes) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as (file,):
            file.write(content)


def _column(values: Iterable[Value], name: str) -> Iterator[Value]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise TextseqError(f"{name}: expected a list or column, got {type(values).__name__}; put it into a list")
    return iter(values)


def _texts(values: Column, name: str) -> list[str]:
    return [_text(value, name, row) for row, value in enumerate(_column(values, name), start=1)]


def _text(value: object, name: str, row: int) -> str:
    if not isinstance(value, str):
        raise TextseqError(f"{name}: expected strings, got {value!r:.50} in row {row}; convert it or leave the row out")
    return str(value)


def is_list(value: object) -> bool:
    """Whether a value is the list of a text's labels."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes) and getattr(value, "ndim", 1) > 0


def _labels(values: Column, name: str) -> list[str | list[str]]:
    labels: list[str | list[str]] = []
    for row, value in enumerate(_column(values, name), start=1):
        if is_list(value) and isinstance(value, Iterable):
            labels.append([str(label) for label in _labels(value, f"{name} of row {row}")])
            continue
        plain = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value  # NumPy's numbers
        if not isinstance(plain, str | int):
            raise TextseqError(
                f"{name}: expected strings or whole numbers, got {plain!r:.50} in row {row}; convert it or leave the "
                "row out"
            )
        labels.append(str(plain))
    return labels


def _pair(value: object) -> tuple[object, object]:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        return value[0], value[1]
    raise TextseqError(f"sentences: expected pairs of word and tag, got {value!r:.50}; or give the tags as tags=...")


def is_cell(value: object) -> bool:
    """Whether a value can be a word or a tag: it is not missing, is not empty and has no white space in it."""
    text = str(value)
    return text.split() == [text] and not _is_missing(value)


def _is_missing(value: object) -> bool:
    return not isinstance(value, str) and str(value) in NULLS


def _cell(value: object, name: str, sentence: int) -> str:
    text = str(value)
    if _is_missing(value):
        raise TextseqError(
            f"sentences: expected a {name}, got {text} in sentence {sentence}; replace it or leave it out"
        )
    if not text or text.split() != [text]:
        raise TextseqError(
            f"sentences: expected a {name} without white space, got {text!r:.50} in sentence {sentence}; replace it"
        )
    _check_encodable(text, "sentences", f"sentence {sentence}")
    return text


def _check_encodable(text: str, name: str, where: str) -> None:
    """Raise a TextseqError for a text with a lone surrogate."""
    if not text.isascii() and (found := SURROGATE.search(text)):
        raise TextseqError(
            f"{name}: expected text that UTF-8 can encode, got the lone surrogate {found[0]!r} in {where}; replace it"
        )


def _check_lengths(first: str, one: int, second: str, two: int) -> None:
    if one != two:
        raise TextseqError(f"expected as many {first} as {second}, got {one:,} and {two:,}; give one for each")
