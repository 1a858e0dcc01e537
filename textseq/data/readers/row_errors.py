"""What is wrong with some lines of a user's file: refused or left out as was asked, and told by line in either case."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from textseq.errors import TextseqError, unknown

RowErrorKind = Literal["empty", "overlong", "unreadable"]

OnError = Literal["refuse", "drop"]

Row = TypeVar("Row")


SURROGATE = re.compile("[\ud800-\udfff]")

SHOWN = 5  # line numbers, or keys, that an error names


@dataclass(frozen=True)
class RowError:
    """What is wrong with a line: the option that decides about it, and how an error says it."""

    kind: RowErrorKind
    says: str


NUL = RowError("unreadable", "with a NUL character")

NO_OBJECT = RowError("unreadable", "without a JSON object")


def left_out(*, empty: OnError = "refuse", overlong: OnError, unreadable: OnError) -> frozenset[RowErrorKind]:
    """The kinds of faults whose lines are to be left out; an unknown treatment is a TextseqError."""
    treatments: dict[RowErrorKind, OnError] = {"empty": empty, "overlong": overlong, "unreadable": unreadable}
    for treatment in treatments.values():
        if treatment not in get_args(OnError):
            raise unknown("treatment of faulty lines", treatment, get_args(OnError))
    return frozenset(kind for kind, treatment in treatments.items() if treatment == "drop")


def no_text(text: str, encoding: str) -> RowError | None:
    """What makes a text unreadable, if anything does."""
    if "\0" in text:
        return NUL
    if not text.isascii() and SURROGATE.search(text):
        return RowError("unreadable", f"with what is not {encoding} text (--encoding says what it is)")
    return None


def sound(rows: Iterator[tuple[int, Row | RowError]], name: str, drop: frozenset[RowErrorKind]) -> Iterator[Row]:
    """The rows of a file that was surveyed before.

    Raises:
        TextseqError: a row has a fault that is not to be left out.
    """
    for number, row in rows:
        if not isinstance(row, RowError):
            yield row
        elif row.kind not in drop:
            raise TextseqError(f"{name}: line {number} is one {row.says}; mend it, or leave it out")


def surveyed(
    rows: Iterator[tuple[int, Row | RowError]],
    name: str,
    drop: frozenset[RowErrorKind],
    notes: list[str],
    remedy: Callable[[], str] = lambda: "mend them",
    unit: str = "lines",
) -> Iterator[Row]:
    """The rows of a file, read for the first time: at the end all faults are said, or noted where they are left out.

    Args:
        rows: the number of each line and what is in it, or what is wrong.
        name: how an error names the file.
        drop: kinds of faults whose rows are left out.
        notes: takes what a user should know.
        remedy: what to do where no row is sound.
        unit: what a row is, in the plural.

    Raises:
        TextseqError: rows have faults that are not to be left out.
    """
    times: Counter[RowError] = Counter()
    lines: dict[RowError, list[str]] = {}
    count = 0
    for number, row in rows:
        count += 1
        if not isinstance(row, RowError):
            yield row
            continue
        times[row] += 1
        if len(shown := lines.setdefault(row, [])) < SHOWN:
            shown.append(str(number))
    said = {}
    for fault, many in times.items():
        numbers = "s" * (many > 1) + " " + ", ".join(lines[fault]) + ", ..." * (many > SHOWN)
        said[fault] = f"{many:,} of {count:,} {unit} {fault.says} (line{numbers})"
    if refused := [fault for fault in said if fault.kind not in drop]:
        found = "; ".join(said[fault] for fault in refused)
        if times.total() == count:  # nothing were left without them
            raise TextseqError(f"{name}: {found}; {remedy()}")
        flags = " ".join(f"--{kind} drop" for kind in sorted({fault.kind for fault in refused}))
        raise TextseqError(f"{name}: {found}; mend them, or leave them out with {flags}")
    notes += [f"Left out of {name}: {some}." for some in said.values()]
