"""The rows that benchmarks leave for ``bench.py``, which makes one table of them.

A benchmark prints its numbers for whoever runs it alone; ``note`` also writes those that we report into the file that
``TEXTSEQ_ROWS`` names, one JSON object to a line, if it names one.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

ROWS = "TEXTSEQ_ROWS"


@dataclass(frozen=True)
class Row:
    """One number that we report."""

    what: str
    """The path, and what it is held against."""
    measured: float
    unit: str
    """Of ``measured``: "characters/s", "MB/s", "s"..."""
    ratio: float | None = None
    """``measured`` over the same of the other side in the same run."""
    reach: float | None = None
    """What the ratio, or without one ``measured``, is to be."""
    at_most: bool = False
    """The reach is a largest value, not a least one."""

    @property
    def reached(self) -> bool | None:
        """Whether it is what it is to be; None: nothing was set."""
        if self.reach is None:
            return None
        value = self.measured if self.ratio is None else self.ratio
        return value <= self.reach if self.at_most else value >= self.reach


def note(row: Row) -> None:
    """Leave a row for ``bench.py``, if it asked for any."""
    if path := os.environ.get(ROWS):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")


def noted(path: Path) -> list[Row]:
    """The rows of a file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Row(**json.loads(line)) for line in lines]


def number(value: float) -> str:
    """With three digits that count, or whole from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def markdown(rows: list[Row], *, commands: dict[str, str]) -> str:
    """A table of the rows.

    Args:
        rows: in their order.
        commands: the command of each row, by ``what``.
    """
    lines = ["| what | measured | ratio | reach | command |", "|---|---:|---:|---:|---|"]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        if row.reached:
            ratio, measured = (f"**{ratio}**", number(row.measured)) if ratio else ("", f"**{number(row.measured)}**")
        else:
            measured = number(row.measured)
        bound = "" if row.reach is None else f"{'at most ' if row.at_most else ''}{number(row.reach)}"
        missed = " (not reached)" if row.reached is False else ""
        lines.append(f"| {row.what} | {measured} {row.unit} | {ratio}{missed} | {bound} | `{commands[row.what]}` |")
    return "\n".join(lines) + "\n"
