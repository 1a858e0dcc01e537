"""Sentence pairs in files: two aligned files, or one of tab-separated columns or JSON lines.

Lines end as ``documents.decode.line_reader`` says. A sentence is a line, a column or a string, without white space
around it; other line ends within it become spaces, everything else is kept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

from textseq.data.readers.row_errors import SHOWN, RowError, RowErrorKind, RowFile, not_text
from textseq.data.readers.tables import (
    EMPTY,
    NO_LINES,
    ending_of,
    fields_of,
    json_rows,
    numbered,
    tab_separated,
    table_rows,
    with_note_on_quotes,
)
from textseq.data.rows import Pair
from textseq.errors import TextseqError, unknown
from textseq.io.compression import plain_name
from textseq.io.documents.document import Document, shown_name

Columns = tuple[int, int] | tuple[str, str]

ENDINGS = {
    ".tsv": "tab-separated",
    ".tab": "tab-separated",
    ".txt": "tab-separated",
    ".jsonl": "json-lines",
    ".ndjson": "json-lines",
}
"""The layout of a single file, by its ending."""

LINE_ENDS = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")

UNKNOWN = ("source", "target")
"""The names of unknown languages, and the default keys of JSON."""

HEADERS = (
    *(UNKNOWN, ("src", "tgt"), ("src", "trg"), ("source_text", "target_text")),
    ("source_sentence", "target_sentence"),
)
"""Usual names of columns, beside the languages."""

LANGUAGE_NAMES = {
    name.casefold(): code
    for code, names in {
        "ar": "Arabic", "bg": "Bulgarian", "ca": "Catalan Català", "cs": "Czech Čeština", "da": "Danish Dansk",
        "de": "German Deutsch", "el": "Greek Ελληνικά", "en": "English", "es": "Spanish Español",
        "et": "Estonian Eesti", "fa": "Persian", "fi": "Finnish Suomi", "fr": "French Français", "he": "Hebrew",
        "hi": "Hindi", "hr": "Croatian Hrvatski", "hu": "Hungarian Magyar", "id": "Indonesian",
        "it": "Italian Italiano", "ja": "Japanese 日本語", "ko": "Korean 한국어", "lt": "Lithuanian",
        "lv": "Latvian",
        "nl": "Dutch Nederlands", "no": "Norwegian Norsk", "pl": "Polish Polski", "pt": "Portuguese Português",
        "ro": "Romanian Română", "ru": "Russian Русский", "sk": "Slovak Slovenčina", "sl": "Slovenian Slovenščina",
        "sr": "Serbian", "sv": "Swedish Svenska", "tr": "Turkish Türkçe", "uk": "Ukrainian Українська",
        "vi": "Vietnamese", "zh": "Chinese 中文",
    }.items()
    for name in names.split()
}  # fmt: skip
"""Codes of languages by their names, in lower case, as headers have them."""

SAMPLED_LINES = 100  # lines from which columns of numbers are recognized

NUMBER = re.compile(r"\s*[-+]?\d[\d.,]*\s*")

LANGUAGE = re.compile(r"\.([a-z]{2,3})([-_][a-z0-9]{2,4})?$", re.ASCII | re.IGNORECASE)

CODE = re.compile("[a-z]{2,3}([-_][A-Za-z]{2,4})?")

NO_LANGUAGES = {"src", "tgt", "trg", "txt", "tsv", "tab", "csv", "gz", "in", "out", "ref", "hyp", "old", "new"}


@dataclass(frozen=True)
class PairFile(RowFile[Pair]):
    """Pairs in one or two documents, read line by line.

    ``layout`` is "aligned" or one of ``ENDINGS``. ``columns`` are the source's and the target's: numbers, from 0, in a
    tab-separated file, or keys of JSON. ``longest`` limits a sentence, in characters.
    """

    documents: tuple[Document, ...]
    layout: str
    columns: Columns = (0, 1)
    longest: int | None = None
    drop: frozenset[RowErrorKind] = frozenset()
    header: tuple[str, ...] = ()
    """The first line of a tab-separated file, if it is no pair."""

    @property
    def name(self) -> str:
        """The name in errors."""
        return " and ".join(document.name for document in self.documents)

    @property
    def place(self) -> str:
        """What the numbers of rows count, in errors."""
        return self.documents[0].line_unit

    @property
    def languages(self) -> tuple[str, str] | None:
        """The languages that the header names, as codes; None without two."""
        named = [LANGUAGE_NAMES.get(self.header[int(place)].casefold()) for place in self.columns if self.header]
        return (named[0], named[1]) if len(named) == 2 and named[0] and named[1] else None

    def rows(self) -> Iterator[tuple[int, Pair | RowError]]:
        """The number of each line that should hold a pair, from 1, and the pair or its error."""
        for number, row in self._cells():
            yield number, row if isinstance(row, RowError) else self._checked(cleaned(row[0]), cleaned(row[1]))

    def surveyed(self, notes: list[str]) -> Iterator[Pair]:
        """The rows, read for the first time; see ``RowFile.surveyed``."""
        rows = super().surveyed(notes)
        return with_note_on_quotes(rows, self.name, notes) if self.layout == "tab-separated" else rows

    def _cells(self) -> Iterator[tuple[int, Pair | RowError]]:
        if self.layout == "aligned":
            return self._aligned()
        (document,), (source, target) = self.documents, self.columns
        if self.layout == "json-lines":  # Hugging Face has the sentences in an object under "translation"
            keys = str(source), str(target)
            return json_rows(document.lines(), keys, fields_of=_fields, blank_lines=True)
        table = tab_separated(document.lines())
        if self.header:
            next(table, None)
        return table_rows(table, (int(source), int(target)), header=[*self.header], blank_lines=True)

    def _aligned(self) -> Iterator[tuple[int, Pair]]:
        """Line n of one document and line n of the other."""
        source, target = self.documents
        counts = [0, 0]
        for first, second in zip_longest(source.lines(), target.lines()):
            counts[0] += first is not None
            counts[1] += second is not None
            if first is not None and second is not None:
                yield counts[0], (first, second)
        if counts[0] != counts[1]:
            longer = self.documents[counts[1] > counts[0]].name
            raise TextseqError(
                f"aligned files must have the same number of lines, got {counts[0]:,} in {source.name} and "
                f"{counts[1]:,} in {target.name}; {longer} has {abs(counts[0] - counts[1]):,} more"
            )

    def _remedy(self) -> str:
        """What to do if no line is valid; JSON may have its sentences under other keys."""
        if self.layout != "json-lines":
            return super()._remedy()
        number, fields = _first_object(self.documents[0])
        if not fields:
            return f"{super()._remedy()}, or {NO_LINES}"
        if fields.keys() >= set(self.columns):
            return super()._remedy()
        keys = ", ".join(map(repr, [*fields][:SHOWN])) + ", ..." * (len(fields) > SHOWN)
        texts = [repr(key) for key, value in fields.items() if isinstance(value, str)]
        source, target = texts if len(texts) == 2 else ("KEY", "KEY")
        flags = f"--source-column {source} --target-column {target}"
        return f"{self.place} {number} has the keys {keys}; say which with {flags}"

    def _checked(self, source: str, target: str) -> Pair | RowError:
        if not source or not target:
            return EMPTY
        for sentence in (source, target):
            if (error := not_text(sentence, self.documents[0].encoding)) is not None:
                return error
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
    """Open one or two files of pairs, whose layout follows from their number and names.

    Columns of a tab-separated file may be given by name, or by number from 1. It has a header if its first line has
    those names, or two cells that are the languages, as codes or ``LANGUAGE_NAMES`` (an unknown language is then the
    other one that is named), or one of ``HEADERS``, in any case and order, or if it has no number and a column has only
    numbers below it; a note says so. Without columns and such names, the first two columns are read that are not all
    numbers. JSON without columns has the keys "source" and "target" or, if its first object lacks these, the languages.
    """
    for path in paths:
        if not os.path.isfile(path):
            raise TextseqError(f"no file {path}; name two aligned text files, or one .tsv, .txt or .jsonl of pairs")
    endings = [ending_of(path) for path in paths]
    layouts = [ENDINGS.get(ending, "aligned") for ending in endings]
    names = ", ".join(map(shown_name, paths))
    if len(paths) == 2 and "json-lines" not in layouts and endings != [".tsv", ".tsv"]:
        layout = "aligned"
        if paths[0].samefile(paths[1]):
            raise TextseqError(f"{paths[0]} is named twice; name the file of sources, then that of targets")
    elif len(paths) == 1 and layouts[0] != "aligned":
        (layout,) = layouts
    else:
        raise TextseqError(
            "pairs are read from two aligned text files, or from one that ends in "
            f"{', '.join((*ENDINGS, '.json', '.parquet'))}; got {names}"
        )
    documents = tuple(Document(path, encoding) for path in paths)
    source, target = columns
    columns_read: Columns = (0, 1)
    header: tuple[str, ...] = ()
    if layout == "json-lines":
        fields = {} if source or target else _first_object(documents[0])[1]
        by_language = not fields.keys() >= set(UNKNOWN) and fields.keys() >= set(languages)
        columns_read = languages if by_language else (source or UNKNOWN[0], target or UNKNOWN[1])
    elif layout == "tab-separated" and bool(source) == bool(target):
        columns_read, header = _columns_of(documents[0], columns, languages, notes)
    elif source or target:
        raise TextseqError(
            f"columns are for one tab-separated file (both source and target), or for JSON; got '{source or target}' "
            f"with {names}"
        )
    return PairFile(documents, layout, columns_read, longest, drop, header)


def languages_of(paths: Sequence[Path], source: str | None, target: str | None) -> tuple[str, str]:
    """The languages as given or, for two aligned files, from their endings: a.en, a.fr or a.fr.gz.

    ``UNKNOWN`` unless the endings are two different codes of languages.
    """
    endings = [LANGUAGE.search(plain_name(path)) for path in paths]
    codes = [ending[1].lower() + (ending[2] or "") for ending in endings if ending is not None]
    if len(paths) != 2 or len(set(codes)) != 2 or not NO_LANGUAGES.isdisjoint(codes):
        codes = list(UNKNOWN)
    return with_given((codes[0], codes[1]), source, target)


def with_given(found: tuple[str, str], source: str | None, target: str | None) -> tuple[str, str]:
    """The languages as given, or else as found in the files; unknown where both would be the same."""
    return (
        source or (found[0] if found[0] != target else UNKNOWN[0]),
        target or (found[1] if found[1] != source else UNKNOWN[1]),
    )


def cleaned(text: str) -> str:
    """A sentence without white space around it, and with spaces for line ends within it."""
    text = text.strip()
    return text if text.isprintable() else LINE_ENDS.sub(" ", text)


def _columns_of(
    document: Document, columns: tuple[str | None, str | None], languages: tuple[str, str], notes: list[str]
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """The numbers of the source's and the target's column, from 0, and the header, or () without one."""
    rows = [[cell.strip() for cell in line.split("\t")] for line in islice(document.lines(), SAMPLED_LINES)] or [[""]]
    first = rows[0]
    if rows[1:] and all(len(row) == len(first) + 1 and NUMBER.fullmatch(row[0]) for row in rows[1:]):
        first = ["", *first]  # R gives the numbers of rows no name
    found = _header(first, languages)
    below = [row[: len(first)] for row in rows[1:] if len(row) >= len(first)]
    numbers = [all(map(NUMBER.fullmatch, column)) for column in zip(*below, strict=False)]
    numbers_named = len(below) > 1 and _names_numbers(first, numbers)
    source, target = columns
    if source and target:
        places = _place(document, source, first), _place(document, target, first)
        has_header = found or numbers_named or not {source, target}.isdisjoint(first)
        return places, tuple(first) if has_header else ()
    if found:
        shown = f"source '{first[found[0]]}', target '{first[found[1]]}'"
        notes.append(f"The first line of {document.name} is read as a header: {shown}.")
        return found, tuple(first)
    others = "if these are others, say with --source-column and --target-column."
    if numbers_named:
        place, other = [place for place, all_numbers in enumerate(numbers) if not all_numbers][:2]
        if first[place].casefold() == languages[1].casefold() or first[other].casefold() == languages[0].casefold():
            place, other = other, place
        notes.append(
            f"The first line of {document.name} is read as a header, as only numbers follow in column "
            f"{numbers.index(True) + 1}: source '{first[place]}', target '{first[other]}'; {others}"
        )
        return (place, other), tuple(first)
    if len(first) > 1 and all(map(CODE.fullmatch, first[:2])):
        notes.append(
            f"The first line of {document.name}, '{first[0]}' and '{first[1]}', is read as a pair; if it is a header, "
            f"say --source {first[0]} --target {first[1]}."
        )
    numbers = [all_numbers and bool(NUMBER.fullmatch(cell)) for all_numbers, cell in zip(numbers, first, strict=False)]
    texts = [place for place, all_numbers in enumerate(numbers) if not all_numbers]
    if not any(numbers[:2]):
        if len(first) > 2:
            notes.append(
                f"Of {len(first)} columns of {document.name}, sources are read from column 1, targets from column 2; "
                f"{others}"
            )
        return (0, 1), ()
    skipped = f"Column {numbers.index(True) + 1} of {document.name} holds only numbers"
    if len(texts) < 2:
        notes.append(f"{skipped}, and is read as sentences; say with --source-column and --target-column if it is not.")
        return (0, 1), ()
    notes.append(
        f"{skipped}: sources are read from column {texts[0] + 1}, targets from column {texts[1] + 1}; {others}"
    )
    return (texts[0], texts[1]), ()


def _names_numbers(cells: Sequence[str], numbers: Sequence[bool]) -> bool:
    """Whether a first line is a header by what follows: ``numbers`` says which columns hold only numbers there.

    At least one does and two do not. The first name may be empty, as that of the index of a pandas table.
    """
    named = all(cells[1:]) and not any(map(NUMBER.fullmatch, cells))
    return named and any(numbers) and numbers.count(False) > 1


def _place(document: Document, asked: str, cells: Sequence[str]) -> int:
    """The place of a column that is asked for by the name in the first line, or by its number from 1."""
    if numbered(asked, cells) not in cells:
        raise unknown(f"column of {document.name}:", asked, cells)
    return cells.index(asked) if asked in cells else int(asked) - 1


def _header(cells: Sequence[str], languages: tuple[str, str]) -> tuple[int, int] | None:
    """The places of the source's and the target's column, if these cells are a header."""
    folded = [cell.casefold() for cell in cells]
    for source, target in (languages, *HEADERS):
        names = source.casefold(), target.casefold()
        if names[0] != names[1] and {*names} <= {*folded}:
            return folded.index(names[0]), folded.index(names[1])
    named = {LANGUAGE_NAMES[cell]: place for place, cell in enumerate(folded) if cell in LANGUAGE_NAMES}
    codes = [language.casefold().replace("_", "-").split("-")[0] for language in languages]
    others = [code for code in named if code not in codes]
    if len(named) == 2 and len(others) == sum(code in UNKNOWN for code in codes):
        codes = [others.pop(0) if code in UNKNOWN else code for code in codes]
    return (named[codes[0]], named[codes[1]]) if {*codes} <= {*named} and codes[0] != codes[1] else None


def _fields(line: str) -> dict[str, object] | None:
    """The fields of the JSON object in a line, and of an object under "translation" in it; None without one."""
    fields = fields_of(line)
    within = fields.get("translation") if fields is not None else None
    if fields is None or not isinstance(within, dict):
        return fields
    return within | {key: value for key, value in fields.items() if key != "translation"}


def _first_object(document: Document) -> tuple[int, dict[str, object]]:
    """The line number and fields of the first JSON object that is not empty; line 0 without one."""
    for number, line in enumerate(document.lines(), start=1):
        if fields := _fields(line):
            return number, fields
    return 0, {}
