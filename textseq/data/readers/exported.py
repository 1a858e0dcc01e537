"""Parquet files, JSON files and Hugging Face datasets: written once to the cache, as files that the other readers read.

A dataset is named ``hf://NAME``, with a configuration ``hf://NAME:CONFIG``, with a split ``hf://NAME@SPLIT`` (default:
train). NAME is a dataset of the Hugging Face Hub, or the folder of one that its ``save_to_disk`` saved.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from textseq.data.dataset import check_encoding
from textseq.data.in_memory import is_cell, tagged_files
from textseq.data.readers.json_layouts import Fields, json_objects
from textseq.data.readers.row_errors import SHOWN, RowError, RowErrorKind, RowFile, counted, not_text
from textseq.data.readers.tables import SAMPLED_OBJECTS, TEXT_COLUMNS, ending_of
from textseq.errors import TextseqError, unknown
from textseq.io.extras import optional
from textseq.io.files import replacing, sha256
from textseq.io.paths import cache_folder

log = logging.getLogger("textseq")

HUB = "hf://"
"""How the name of a dataset begins."""

EXPORTED = (".json", ".parquet")
"""Endings of the files that are written to the cache."""

JSON_LINES = (".jsonl", ".ndjson")
"""Endings of files of a JSON object per line, which are read as they are unless they are of tagged sentences."""

WORDS = ("tokens", "words", "token", "word", "form")
"""Usual names of the column of a sentence's words, in order of preference."""

TAGS = ("ner_tags", "ner", "tags", "tag", "labels", "label", "pos_tags", "upos", "pos")
"""The same for their tags."""

NO_LISTS = RowError("unreadable", "without a list of words and one of as many tags")

NO_CELL = RowError("unreadable", "with a word or tag that is missing, is empty or has white space in it")

ROWS_VERSION = 4  # raise when the same file or dataset gives other rows than before


def row_file(name: str, encoding: str) -> Path:
    """The file of rows: itself, or JSON lines in the cache.

    Args:
        name: a file in any format, or a dataset.
        encoding: of JSON, and of binary columns.

    Raises:
        TextseqError: it cannot be read, or a package for it is not installed.
    """
    if not name.startswith(HUB) and ending_of(Path(name)) not in EXPORTED:
        return Path(name)
    return _kept(name, encoding, ".jsonl", _json_lines, mark="rows-")


def text_file(name: str, encoding: str) -> Path:
    """The file or folder of text: itself, or the texts of a Parquet file or dataset, one after the other."""
    if not name.startswith(HUB) and ending_of(Path(name)) != ".parquet":
        return Path(name)
    notes: list[str] = []
    path = _kept(name, encoding, ".txt", lambda rows: _texts(name, rows, notes), mark="literal-")
    beside = path.with_suffix(".notes")  # for when it is not written again
    if notes:
        with replacing(beside) as (file,):
            file.write("\n".join(notes).encode())
    _log(notes or (beside.read_text("utf-8").splitlines() if beside.is_file() else []))
    return path


def sentence_file(name: str, encoding: str, *, drop: frozenset[RowErrorKind] = frozenset()) -> Path:
    """The file of tagged sentences: itself, or the words and tags of a Parquet or JSON file or dataset.

    Args:
        name: a file in any format, or a dataset.
        encoding: of JSON, and of binary columns.
        drop: the kinds of row errors whose rows are dropped, with a note.

    Raises:
        TextseqError: it cannot be read, has rows that are no sentences and not to be dropped, or no others.
    """
    if not name.startswith(HUB) and ending_of(Path(name)) not in (*EXPORTED, *JSON_LINES):
        return Path(name)
    notes: list[str] = []
    rows = _columns(name, _rows(name, encoding, words=WORDS)[1], notes, WORDS, TAGS)
    sentences = [*_SentenceRows(name, encoding, rows, drop).surveyed(notes)]
    _log(notes)
    if not sentences:
        raise TextseqError(f"no sentences in {name}: all rows were dropped; name other files")
    try:
        return Path(*tagged_files(*zip(*sentences, strict=True), name=title_of(name)))
    except TextseqError as error:
        raise TextseqError(f"{name}: {error}") from error


@dataclass(frozen=True)
class _SentenceRows(RowFile[tuple[list[object], list[object]]]):
    """The words and tags of a table's rows, for a single reading."""

    table: str
    encoding: str
    pairs: Iterator[tuple[object, ...]]
    drop: frozenset[RowErrorKind]

    @property
    def name(self) -> str:
        """The name in errors."""
        return self.table

    @property
    def place(self) -> str:
        """What the numbers of rows count, in errors."""
        return "row"

    def rows(self) -> Iterator[tuple[int, tuple[list[object], list[object]] | RowError]]:
        """The number of each row, and its words and tags or its error."""
        return ((number, self._checked(*pair)) for number, pair in enumerate(self.pairs, start=1))

    def _checked(self, words: object, tags: object) -> tuple[list[object], list[object]] | RowError:
        if not (isinstance(words, list) and isinstance(tags, list) and len(words) == len(tags)):
            return NO_LISTS
        if not all(map(is_cell, chain(words, tags))):
            return NO_CELL
        return not_text(" ".join(map(str, chain(words, tags))), self.encoding) or (words, tags)


def _numbers(rows: Sequence[int]) -> str:
    """The first numbers of rows, with ``...`` for others."""
    return ", ".join(map(str, rows[:SHOWN])) + ", ..." * (len(rows) > SHOWN)


def _log(notes: Sequence[str]) -> None:
    for note in notes:
        log.warning("note: %s", note)


def title_of(name: str) -> str:
    """The last part of a name, without what follows a dataset's."""
    last = Path(name).name
    return re.split("[:@]", last)[0] if name.startswith(HUB) else last


def absolute(name: str) -> str:
    """A dataset's name that means the same in every folder."""
    place = re.split("[:@]", name.removeprefix(HUB))[0]
    return f"{HUB}{Path(place).absolute()}{name[len(HUB) + len(place) :]}" if Path(place).is_dir() else name


def _kept(name: str, encoding: str, ending: str, lines: Callable[[Iterator[Fields]], Iterable[str]], mark: str) -> Path:
    """The file in the cache with the lines that are made of a table's rows.

    Its name has ``mark`` before the hash, so that errors give the table's name (see ``documents.MADE``).
    """
    key, rows = _rows(name, encoding)
    digest = hashlib.sha256(f"{ROWS_VERSION} {encoding} {key}".encode()).hexdigest()[:16]
    path = cache_folder() / "data" / f"{title_of(name)}.{mark}{digest}{ending}"
    if not path.exists():
        with replacing(path) as (file,):
            for line in lines(rows):
                file.write(f"{line}\n".encode(errors="surrogateescape"))
    return path


def _json_lines(rows: Iterator[Fields]) -> Iterator[str]:
    return (json.dumps(fields, default=str) for fields in rows)


def _rows(name: str, encoding: str, *, words: Sequence[str] = ()) -> tuple[str, Iterator[Fields]]:
    """A key that differs for different content, and the rows; for ``words`` see ``json_objects``."""
    check_encoding(encoding)
    if name.startswith(HUB):
        return _dataset(name, encoding)
    path = Path(name)
    if not path.is_file():
        raise TextseqError(
            f"expected a file, got {'a folder' if path.is_dir() else 'none'} at {path}; correct the path"
        )
    if ending_of(path) == ".parquet":
        return sha256(path), _parquet(path, encoding)
    return sha256(path), json_objects(path, encoding, words=words)


def _parquet(path: Path, encoding: str) -> Iterator[Fields]:
    parquet = optional("pyarrow.parquet", "data", needed_for=f"reading {path}")
    try:
        with parquet.ParquetFile(path) as table:
            for batch in table.iter_batches():
                for row in batch.to_pylist():
                    yield _with_text(row, encoding)
    except Exception as error:  # pyarrow has many, most of them without a common base
        raise TextseqError(f"{path} is no Parquet file, or damaged ({_one_line(error)}); write it again") from error


def _dataset(name: str, encoding: str) -> tuple[str, Iterator[Fields]]:
    """The key and rows of a Hugging Face dataset; numbers of classes become their names."""
    datasets = optional("datasets", "data", needed_for=name)
    place, _, split = name.removeprefix(HUB).partition("@")
    place, _, config = place.partition(":")
    try:
        folder = Path(place).is_dir()
        loaded = datasets.load_from_disk(place) if folder else datasets.load_dataset(place, config or None)
    except Exception as error:  # of the network, the Hub, the file system, or the dataset
        raise TextseqError(f"cannot load {name} ({_one_line(error)}); check its name, see huggingface.co") from error
    if isinstance(loaded, dict):
        if (split or "train") not in loaded:
            raise unknown(f"split of {name}:", split or "train", loaded)
        loaded = loaded[split or "train"]
    elif split:
        raise TextseqError(f"{name}: expected a dataset without splits to be named without '@{split}'; leave it out")
    names: dict[str, Sequence[str]] = {}
    for column, feature in loaded.features.items():
        kind = getattr(feature, "feature", feature)  # of a list, that of its items
        if isinstance(kind, datasets.ClassLabel):
            names[column] = kind.names

    def rows() -> Iterator[Fields]:
        for row in loaded:
            named = {
                column: _named(value, names[column]) if column in names else value for column, value in row.items()
            }
            yield _with_text(named, encoding)

    return f"{name} {loaded._fingerprint}", rows()


def _with_text(fields: Fields, encoding: str) -> Fields:
    """The values of a row with text in place of bytes."""
    return {column: _text(value, encoding) for column, value in fields.items()}


def _text(value: object, encoding: str) -> object:
    """A value with bytes, also within lists and objects, decoded; those that cannot be become lone surrogates."""
    if isinstance(value, bytes):
        try:
            return value.decode(encoding)
        except UnicodeDecodeError:
            return value.decode("ascii", errors="surrogateescape")
    if isinstance(value, list):
        return [_text(item, encoding) for item in value]
    return _with_text(value, encoding) if isinstance(value, dict) else value


def _named(value: object, names: Sequence[str]) -> object:
    """The names of a class or of a list of classes; a number below 0, as in test splits without labels, is none."""
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    if not isinstance(value, int) or value >= len(names):
        return value
    return names[value] if value >= 0 else None


def _columns(
    name: str, rows: Iterator[Fields], notes: list[str], *usual: Sequence[str]
) -> Iterator[tuple[object, ...]]:
    """For each row its values of the columns with usual names."""
    if not (sample := [*islice(rows, SAMPLED_OBJECTS)]):
        raise TextseqError(f"{name} has no rows; name another")
    names = [*dict.fromkeys(chain.from_iterable(sample))]
    folded = {column.casefold(): column for column in reversed(names)}
    columns = [next((folded[one] for one in known if one in folded), None) for known in usual]
    for column, known in zip(columns, usual, strict=True):
        if column is None:
            raise TextseqError(f"{name} has the columns {', '.join(names)}; call one of them '{known[0]}'")
    read = " and ".join(f"'{column}'" for column in columns)
    notes.append(f"reading {read} of {name}")
    for fields in chain(sample, rows):
        yield tuple(fields.get(str(column)) for column in columns)


def _texts(name: str, rows: Iterator[Fields], notes: list[str]) -> Iterator[str]:
    """The texts of the rows, without a line end; rows without a text are skipped, with a note."""
    missing: list[int] = []
    for row, (text,) in enumerate(_columns(name, rows, notes, TEXT_COLUMNS), start=1):
        if isinstance(text, str):
            yield text.removesuffix("\n")
        elif text is None:
            missing.append(row)
        else:
            raise TextseqError(f"{name}: expected strings, got {text!r:.50} in row {row}; convert it")
    if missing:
        notes.append(f"skipped of {name}: {counted(len(missing), 'rows')} without a text ({_numbers(missing)})")


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
