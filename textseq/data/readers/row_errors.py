"""Errors in rows of one's own files: refused or dropped as asked, and reported with line numbers either way."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar, get_args

from textseq.errors import TextseqError, unknown

RowErrorKind = Literal["empty", "overlong", "unreadable", "no row"]
"""The options of what to do with faulty rows, and "no row" for lines that are always skipped, such as comments."""

OnError = Literal["refuse", "drop"]

Row = TypeVar("Row", covariant=True)

SURROGATE = re.compile("[\ud800-\udfff]")

SHOWN = 5  # line numbers, or keys, in an error


@dataclass(frozen=True)
class RowError:
    """What is wrong with a row: the option that applies to it, and how a message says it."""

    kind: RowErrorKind
    message: str


NUL = RowError("unreadable", "with a NUL character")

HALF_CHARACTER = RowError("unreadable", "with half a character (a lone surrogate, such as \\ud83d in JSON)")

COMMENT = RowError("no row", "comments, which begin with #")

HEADER_AGAIN = RowError("no row", "the header again")


def kinds_to_drop(
    *, empty: OnError = "refuse", overlong: OnError = "refuse", unreadable: OnError = "refuse"
) -> frozenset[RowErrorKind]:
    """The kinds of row errors whose rows are dropped."""
    options: dict[RowErrorKind, OnError] = {"empty": empty, "overlong": overlong, "unreadable": unreadable}
    for kind, option in options.items():
        if option not in get_args(OnError):
            raise unknown(f"value of {kind}:", option, get_args(OnError))
    return frozenset(kind for kind, option in options.items() if option == "drop")


def counted(number: int, unit: str) -> str:
    """A number with its unit: "1 line", "2 lines"."""
    return f"{number:,} {unit.removesuffix('s') if number == 1 else unit}"


def bad_bytes(encoding: str) -> RowError:
    """The error of undecodable bytes."""
    return RowError("unreadable", f"with bytes that are not {encoding} text (--encoding says what they are)")


def not_text(text: str, encoding: str) -> RowError | None:
    """The error of a text that has a NUL character, undecodable bytes or a lone surrogate."""
    if "\0" in text:
        return NUL
    if text.isascii() or (found := SURROGATE.search(text)) is None:
        return None
    is_byte = "\udc80" <= found[0] <= "\udcff"  # as "surrogateescape" marks them
    return bad_bytes(encoding) if is_byte else HALF_CHARACTER


class RowFile(ABC, Generic[Row]):
    """Rows of one's own files, read from disk each time; the base of the readers."""

    drop: frozenset[RowErrorKind]
    """The kinds of row errors whose rows are dropped."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name in errors."""

    @property
    def place(self) -> str:
        """What the numbers of rows count, in errors."""
        return "line"

    @property
    def unit(self) -> str:
        """What a row is in errors, in the plural."""
        return f"{self.place}s"

    @abstractmethod
    def rows(self) -> Iterator[tuple[int, Row | RowError]]:
        """The number of the line where each row begins, from 1, and the row or its error."""

    def __iter__(self) -> Iterator[Row]:
        """The rows; raises a TextseqError for the first row error that is not to be dropped."""
        for number, row in self.rows():
            if not isinstance(row, RowError):
                yield row
            elif row.kind not in (*self.drop, "no row"):
                raise TextseqError(f"{self.name}: {self.place} {number} is one {row.message}; correct or remove it")

    def surveyed(self, notes: list[str]) -> Iterator[Row]:
        """The rows, read for the first time; row errors are raised together at the end or, if dropped, noted."""
        times: Counter[RowError] = Counter()
        lines: dict[RowError, list[str]] = {}
        count = 0
        for number, row in self.rows():
            if not isinstance(row, RowError):
                count += 1
                yield row
                continue
            count += row.kind != "no row"
            times[row] += 1
            if len(shown := lines.setdefault(row, [])) < SHOWN:
                shown.append(str(number))
        refused: list[RowError] = []
        dropped, skipped = [], []
        reports = {}
        for error, many in times.items():
            numbers = ", ".join(lines[error]) + ", ..." * (many > SHOWN)
            if error.kind == "no row":
                skipped.append(
                    f"Skipped in {self.name}: {error.message} ({counted(many, f'{self.place}s')}: {numbers})."
                )
                continue
            reports[error] = (
                f"{many:,} of {count:,} {self.unit} {error.message} ({self.place}{'s' * (many > 1)} {numbers})"
            )
            if error.kind in self.drop:
                dropped.append(f"Dropped from {self.name}: {reports[error]}.")
            else:
                refused.append(error)
        if refused:
            report = "; ".join(reports[error] for error in refused)
            if sum(times[error] for error in reports) == count:  # nothing would be left
                raise TextseqError(f"{self.name}: {report}; {self._remedy()}")
            flags = " ".join(f"--{kind} drop" for kind in sorted({error.kind for error in refused}))
            raise TextseqError(f"{self.name}: {report}; correct them, or drop them with {flags}")
        notes += skipped + dropped

    def _remedy(self) -> str:
        """What to do if no row is valid."""
        return "correct them"
