"""Rows that benchmarks write for ``bench.py``, which makes one table of them.

A benchmark prints its numbers; ``note`` also appends those that we report to the file in the environment variable
``TEXTSEQ_ROWS``, if set, as one JSON object per line.
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
    """The code path, and what it is compared with."""
    measured: float
    unit: str
    """Of ``measured``: "characters/s", "MB/s", "s"..."""
    ratio: float | None = None
    """``measured`` divided by that of the other side in the same run."""
    goal: float | None = None
    """The goal for the ratio, or for ``measured`` if there is no ratio."""
    at_most: bool = False
    """The goal is an upper bound, not a lower one."""

    @property
    def goal_met(self) -> bool | None:
        """Whether the goal is met; None if there is none."""
        if self.goal is None:
            return None
        value = self.measured if self.ratio is None else self.ratio
        return value <= self.goal if self.at_most else value >= self.goal


def note(row: Row) -> None:
    """Write a row for ``bench.py``, if it runs this benchmark."""
    if path := os.environ.get(ROWS):
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")


def noted(path: Path) -> list[Row]:
    """The rows of a file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [Row(**json.loads(line)) for line in lines]


def number(value: float) -> str:
    """Three significant digits; integers from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def markdown(rows: list[Row], *, commands: dict[str, str]) -> str:
    """A table of the rows.

    Args:
        rows: in their order.
        commands: the command of each row, by ``what``.
    """
    lines = ["| what | measured | ratio | goal | command |", "|---|---:|---:|---:|---|"]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        if row.goal_met:
            ratio, measured = (f"**{ratio}**", number(row.measured)) if ratio else ("", f"**{number(row.measured)}**")
        else:
            measured = number(row.measured)
        bound = "" if row.goal is None else f"{'at most ' if row.at_most else ''}{number(row.goal)}"
        missed = " (missed)" if row.goal_met is False else ""
        lines.append(f"| {row.what} | {measured} {row.unit} | {ratio}{missed} | {bound} | `{commands[row.what]}` |")
    return "\n".join(lines) + "\n"
