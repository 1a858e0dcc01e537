"""Sentence pairs in files: two files that are aligned, or one in columns or JSON lines; what is wrong is said by line.

A line ends at "\\n" alone. A sentence is a line, a column or a string, without white space around it; other line
ends within it are spaces, all else in it stays as it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from textseq.data.readers.row_errors import NO_OBJECT, SHOWN, RowError, RowErrorKind, no_text, sound, surveyed
from textseq.data.rows import Pair
from textseq.errors import TextseqError, unknown
from textseq.io.documents import Document
from textseq.io.files import json_of

Columns = tuple[int, int] | tuple[str, str]


LINE_ENDS = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")


UNKNOWN = ("source", "target")
"""What languages are called that are not known, and where JSON has the sentences."""

HEADERS = (UNKNOWN, ("src", "tgt"), ("src", "trg"))
"""Columns that are known by their names, beside those named after the languages."""

LANGUAGE = re.compile(r"\.([a-z]{2,3})([-_][a-z0-9]{2,4})?(\.gz)?$", re.ASCII | re.IGNORECASE)

CODE = re.compile("[a-z]{2,3}([-_][A-Za-z]{2,4})?")

NO_LANGUAGES = {"src", "tgt", "trg", "txt", "tsv", "tab", "csv", "gz", "in", "out", "ref", "hyp", "old", "new"}


EMPTY = RowError("empty", "with an empty sentence")

TOO_FEW = RowError("unreadable", "with too few columns between tabs")


@dataclass(frozen=True)
class PairFile:
    """Pairs in one or two documents, read anew each time, a line at a time.

    ``layout`` is one of ``LAYOUTS``. ``columns`` are the source's and the target's: names in the header of a
    tab-separated file, or numbers from 0 where it has none; keys of JSON. ``longest`` limits a sentence, in
    characters. Lines with faults of the kinds in ``drop`` are left out.
    """

    documents: tuple[Document, ...]
    layout: str
    columns: Columns = (0, 1)
    longest: int | None = None
    drop: frozenset[RowErrorKind] = frozenset()

    @property
    def name(self) -> str:
        """How an error names it."""
        return " and ".join(document.name for document in self.documents)

    def __iter__(self) -> Iterator[Pair]:
        """The pairs.

        Raises:
            TextseqError: a file cannot be read, or a line has a fault that is not to be left out.
        """
        yield from sound(self.rows(), self.name, self.drop)

    def rows(self) -> Iterator[tuple[int, Pair | RowError]]:
        """The number of each line that is to hold a pair, from 1, and the pair or what is wrong."""
        for number, row in LAYOUTS[self.layout](self):
            yield number, row if isinstance(row, RowError) else self._sound(cleaned(row[0]), cleaned(row[1]))

    def surveyed(self, notes: list[str]) -> Iterator[Pair]:
        """The pairs, read for the first time: at the end all faults are said, or noted where they are left out.

        Raises:
            TextseqError: a file cannot be read, aligned files differ in length, or lines have faults that are
                not to be left out.
        """
        yield from surveyed(self.rows(), self.name, self.drop, notes, self._remedy)

    def _remedy(self) -> str:
        """What to do where no line is sound; JSON may have its sentences under other keys than ours."""
        number, fields = _first_object(self.documents[0]) if self.layout == "json-lines" else (0, {})
        if not fields or fields.keys() >= set(self.columns):
            return "mend them"
        keys = ", ".join(map(repr, [*fields][:SHOWN])) + ", ..." * (len(fields) > SHOWN)
        texts = [repr(key) for key, value in fields.items() if isinstance(value, str)]
        source, target = texts if len(texts) == 2 else ("KEY", "KEY")
        return f"line {number} has the keys {keys}; say which with --source-column {source} --target-column {target}"

    def _sound(self, source: str, target: str) -> Pair | RowError:
        """The pair, or what is wrong with its sentences."""
        if not source or not target:
            return EMPTY
        for sentence in (source, target):
            if (fault := no_text(sentence, self.documents[0].encoding)) is not None:
                return fault
            if self.longest is not None and len(sentence) > self.longest:
                return RowError("overlong", f"with a sentence of more than {self.longest:,} characters")
        return source, target


def read_own_file(
    paths: Sequence[Path],
    columns: tuple[str | None, str | None],
    *,
    encoding: str,
    notes: list[str],
    languages: tuple[str, str] = UNKNOWN,
    longest: int | None = None,
    drop: frozenset[RowErrorKind] = frozenset(),
) -> PairFile:
    """The pairs in a user's one or two files, whose layout follows from how many there are and from their names.

    Without names of columns, a tab-separated file has a header if its first line has two cells that are
    the languages, or one of ``HEADERS``, in any case and order; a note says so. JSON then has the keys "source" and
    "target" or, where its first object lacks these, the languages.

    Raises:
        TextseqError: there are too few or too many files, one is missing or of an unknown kind, or the columns' names
            do not go with the layout.
    """
    for path in paths:
        if not os.path.isfile(path):
            raise TextseqError(f"no file {path}; name two aligned text files, or one .tsv, .txt or .jsonl of pairs")
    endings = [Path(path.name.lower().removesuffix(".gz")).suffix for path in paths]
    layouts = [ENDINGS.get(ending, "aligned") for ending in endings]
    names = ", ".join(map(str, paths))
    if len(paths) == 2 and "json-lines" not in layouts and endings != [".tsv", ".tsv"]:
        layout = "aligned"
        if paths[0].samefile(paths[1]):
            raise TextseqError(f"{paths[0]} is named twice; name the file of the sources, then that of the targets")
    elif len(paths) == 1 and layouts[0] != "aligned":
        (layout,) = layouts
    else:
        raise TextseqError(
            f"pairs are read from two aligned text files, or from one that ends in {', '.join(ENDINGS)}; found {names}"
        )
    documents = tuple(Document(path, encoding) for path in paths)
    source, target = columns
    found: Columns = (0, 1)
    if layout == "json-lines":
        fields = {} if source or target else _first_object(documents[0])[1]
        by_language = not fields.keys() >= set(UNKNOWN) and fields.keys() >= set(languages)
        found = languages if by_language else (source or UNKNOWN[0], target or UNKNOWN[1])
    elif source and target and layout == "tab-separated":
        found = source, target
    elif source or target:
        raise TextseqError(
            f"names of columns, of the source and the target both, are for one tab-separated file with a header, or for"
            f" JSON; found '{source or target}' with {names}"
        )
    elif layout == "tab-separated":
        first = [cell.strip() for cell in next(documents[0].lines(), "").split("\t")]
        if header := _header(first, languages):
            found = header
            notes.append(f"The first line of {names} is read as a header: source '{found[0]}', target '{found[1]}'.")
        elif len(first) > 1 and all(map(CODE.fullmatch, first[:2])):
            notes.append(
                f"The first line of {names}, '{first[0]}' and '{first[1]}', is read as a pair; if it is a header, say "
                f"--source {first[0]} --target {first[1]}."
            )
    return PairFile(documents, layout, found, longest, drop)


def languages_of(paths: Sequence[Path], source: str | None, target: str | None) -> tuple[str, str]:
    """The languages of pairs, as given or else, of two aligned files, as their endings say: a.en, a.fr or a.fr.gz.

    Where the endings are not two that look like codes of languages, they are ``UNKNOWN``.
    """
    endings = [LANGUAGE.search(path.name) for path in paths]
    codes = [ending[1].lower() + (ending[2] or "") for ending in endings if ending is not None]
    if len(paths) != 2 or len(set(codes)) != 2 or not NO_LANGUAGES.isdisjoint(codes):
        codes = list(UNKNOWN)
    return (
        source or (codes[0] if codes[0] != target else UNKNOWN[0]),
        target or (codes[1] if codes[1] != source else UNKNOWN[1]),
    )


def cleaned(text: str) -> str:
    """A sentence as it stands: without white space around it, and with spaces for line ends within it."""
    return LINE_ENDS.sub(" ", text.strip())


def _aligned(file: PairFile) -> Iterator[tuple[int, Pair]]:
    """Line n of the one document and line n of the other."""
    source, target = file.documents
    counts = [0, 0]
    for first, second in zip_longest(source.lines(), target.lines()):
        counts[0] += first is not None
        counts[1] += second is not None
        if first is not None and second is not None:
            yield counts[0], (first, second)
    if counts[0] != counts[1]:
        longer = file.documents[counts[1] > counts[0]].name
        raise TextseqError(
            f"aligned files want as many lines, found {counts[0]:,} in {source.name} and {counts[1]:,} in"
            f" {target.name}; {longer} has {abs(counts[0] - counts[1]):,} more, which belong to nothing"
        )


def _header(cells: Sequence[str], languages: tuple[str, str]) -> tuple[str, str] | None:
    """The names of the source's and the target's column, if these cells are seen to be a header."""
    named = {cell.casefold(): cell for cell in cells}
    for source, target in (languages, *HEADERS):
        one, other = named.get(source.casefold()), named.get(target.casefold())
        if one is not None and other is not None and one != other:
            return one, other
    return None


def _tab_separated(file: PairFile) -> Iterator[tuple[int, Pair | RowError]]:
    """Two of the columns; the others are not read, and quotes are text like any other."""
    (document,) = file.documents
    lines = enumerate(document.lines(), start=1)
    header: list[str] | None = None
    places = []
    for column in file.columns:
        if isinstance(column, str):
            header = header or [name.strip() for name in next(lines, (1, ""))[1].split("\t")]
            if column not in header:
                raise unknown(f"column of {document.name}:", column, header)
            column = header.index(column)
        places.append(column)
    for number, line in lines:
        fields = line.split("\t")
        if not line.strip():
            yield number, EMPTY
        elif max(places) < len(fields):
            yield number, (fields[places[0]], fields[places[1]])
        else:
            yield number, TOO_FEW


def _json_lines(file: PairFile) -> Iterator[tuple[int, Pair | RowError]]:
    """Two strings of the object in each line, or of an object in it under "translation", as Hugging Face has them."""
    (document,) = file.documents
    for number, line in enumerate(document.lines(), start=1):
        yield number, _json_pair(line, file.columns) if line.strip() else EMPTY


def _json_pair(line: str, keys: Columns) -> Pair | RowError:
    fields = _fields(line)
    if fields is None:
        return NO_OBJECT
    sentences = []
    for key in map(str, keys):
        if key not in fields:
            return RowError("unreadable", f"without the key '{key}'")
        sentence = fields[key]
        if not isinstance(sentence, str):
            return RowError("unreadable", f"with a '{key}' that is no string")
        sentences.append(sentence)
    return sentences[0], sentences[1]


def _fields(line: str) -> dict[str, object] | None:
    """What the JSON object in a line holds, and what an object under "translation" in it does; None without one."""
    try:
        found = json_of(line)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    within = found.get("translation")
    if not isinstance(within, dict):
        return found
    return within | {key: value for key, value in found.items() if key != "translation"}


def _first_object(document: Document) -> tuple[int, dict[str, object]]:
    """The first line of a document with a JSON object that is not empty, and what that holds; line 0 without one."""
    for number, line in enumerate(document.lines(), start=1):
        if fields := _fields(line):
            return number, fields
    return 0, {}


# How a single file of a user's is laid out, by the end of its name.
ENDINGS = {
    ".tsv": "tab-separated",
    ".tab": "tab-separated",
    ".txt": "tab-separated",
    ".jsonl": "json-lines",
    ".ndjson": "json-lines",
}


# How pairs lie in documents.
LAYOUTS: dict[str, Callable[[PairFile], Iterator[tuple[int, Pair]] | Iterator[tuple[int, Pair | RowError]]]] = {
    "aligned": _aligned,
    "tab-separated": _tab_separated,
    "json-lines": _json_lines,
}
