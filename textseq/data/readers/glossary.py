"""Glossaries: terms and how they must be translated."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from textseq.data.readers.pairs import HEADERS, LANGUAGE_NAMES
from textseq.data.readers.row_errors import not_text
from textseq.data.readers.tables import ENDINGS, NAMED_DELIMITER, ending_of, records
from textseq.errors import LONGEST, TextseqError
from textseq.io.documents.document import Document

log = logging.getLogger("textseq")

GLOSSARY_HEADERS = (*HEADERS, ("term", "translation"))
"""Usual names of the two columns."""


SEPARATORS = {"\t": "tab", ",": "comma", ";": "semicolon"}
"""What separates columns, in words."""


@dataclass(frozen=True)
class Glossary:
    """Terms of the source language with their translations.

    A term is found as whole words; a term in small letters also where the sentence has capitals.

    Example:
        >>> Glossary({"house": "maison"}).targets("House by house.")
        ['maison', 'maison']
    """

    terms: Mapping[str, str]

    def __post_init__(self) -> None:
        """Raise a TextseqError for a term or translation that is empty or not a string."""
        for pair in self.terms.items():
            if not all(isinstance(text, str) and text.strip() for text in pair):
                raise TextseqError(
                    f"glossary: expected terms with their translations, got {pair[0]!r} with {pair[1]!r}; correct or "
                    "remove it"
                )

    @classmethod
    def read(cls, path: Path, *, keep: Iterable[str] = (), encoding: str = "utf-8") -> Self:
        """The glossary of a file with two columns: separated by tabs, or in a .csv file by commas or semicolons.

        Args:
            path: a term and its translation per line; empty lines are skipped, and so is a first line of the usual
                names of columns or of two languages, with a note.
            keep: words that stay as they are, besides.
            encoding: of the file.

        Raises:
            TextseqError: the file is not text of this encoding or has no term, a line has not two columns, a term has
                two translations, or the columns are the wrong way round.
        """
        layout = "comma-separated" if ENDINGS.get(ending_of(path)) == "comma-separated" else "tab-separated"
        document = Document(path, encoding)
        separator = _separator(document) if layout == "comma-separated" else "\t"
        between = SEPARATORS.get(separator, f"'{separator}'")
        terms, header, empty = kept(keep), False, True
        for number, cells in records(document, layout, delimiter=separator):
            text = separator.join(cells)
            if (error := not_text(text, encoding)) is not None:
                raise TextseqError(f"{path}: line {number} is one {error.message}; correct it there")
            columns = [cell.removeprefix("\ufeff" * (number == 1)).strip() for cell in cells]
            if not any(columns):
                continue
            if len(columns) != 2 or not all(columns) or re.search(r"[\r\n]", "".join(columns)):
                shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
                raise TextseqError(
                    f"{path}: expected a term, a {between} and its translation in line {number}, got {shown!r}; "
                    "correct it there"
                )
            source, target = columns
            if empty and not header and _is_header(path, source, target):
                header = True
                continue
            empty = False
            if terms.setdefault(source, target) != target:
                raise TextseqError(
                    f"{path}: expected one translation of '{source}', got '{terms[source]}' and, in line {number}, "
                    f"'{target}'; remove one"
                )
        if empty:
            got = "only a header" if header else "an empty file"
            raise TextseqError(f"{path}: expected a term, a {between} and its translation in a line, got {got}")
        return cls(terms)

    def targets(self, sentence: str) -> list[str]:
        """The translations of the terms in a sentence, in its order; of overlapping terms the longest counts."""
        return [target for _, target in self.places(sentence)]

    def places(self, sentence: str) -> list[tuple[tuple[int, int], str]]:
        """The places (start, end) of the terms in a sentence with their translations; see ``targets``."""
        if not self.terms:
            return []
        return [(match.span(), self._target(match[0])) for match in self._pattern.finditer(sentence)]

    def _target(self, text: str) -> str:
        """The translation of a term as a sentence has it."""
        if text in self.terms:
            return self.terms[text]
        if (lower := text.lower()) in self._lower:
            return self._lower[lower]
        match = self._variants.fullmatch(text)  # "İ" and "ſ" match "i" and "s" in any case, but not by ``lower``
        assert match is not None and match.lastindex is not None
        return [*self._lower.values()][match.lastindex - 1]

    @cached_property
    def _lower(self) -> dict[str, str]:
        """The terms that any capitals match."""
        return {source: target for source, target in self.terms.items() if source == source.lower()}

    @cached_property
    def _variants(self) -> re.Pattern[str]:
        """The terms that any capitals match, each a group."""
        return re.compile("|".join(f"({re.escape(term)})" for term in self._lower), re.IGNORECASE)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.terms, key=len, reverse=True)
        either = "|".join(
            f"(?i:{re.escape(term)})" if term in self._lower else re.escape(term) for term in longest_first
        )
        return re.compile(rf"(?<!\w)(?:{either})(?!\w)")


def _separator(document: Document) -> str:
    """What separates the columns of a .csv file: a comma, or a semicolon if the first line has one and no comma."""
    first = next(iter(document.lines()), "")
    if (named := NAMED_DELIMITER.fullmatch(first)) is not None:
        return named[1]
    bare = re.sub('"[^"]*"', "", first)
    return ";" if bare.count(";") == 1 and "," not in bare else ","


def _is_header(path: Path, source: str, target: str) -> bool:
    """Whether the cells of a first line are names of columns, or names of two languages, in any case.

    Codes of languages are not meant: "it", "no" and "es" are words.

    Notes it if they are; a TextseqError if they are the names of exchanged columns.
    """
    names = source.casefold(), target.casefold()
    if names[::-1] in GLOSSARY_HEADERS:
        raise TextseqError(
            f"{path}: expected terms in the first column and translations in the second, got '{source}' and "
            f"'{target}'; exchange the columns"
        )
    languages = {LANGUAGE_NAMES[name] for name in names if name in LANGUAGE_NAMES}
    if names in GLOSSARY_HEADERS or len(languages) == 2:
        log.warning("note: the first line of %s is read as a header: '%s', '%s'", path, source, target)
        return True
    return False


Terms = Glossary | Mapping[str, str]
"""A glossary, or just its terms with their translations."""


def kept(words: Iterable[str]) -> dict[str, str]:
    """The terms of a glossary by which words stay as they are."""
    return {word.strip(): word.strip() for word in words if word.strip()}
