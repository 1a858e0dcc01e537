"""Counts of rows and characters that are read, shown on stderr where a caller further up asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

FIRST_LINE = 3.0
"""Seconds until the first line, where there is no bar."""

Item = TypeVar("Item")

Report = Callable[[str], None]
"""Receives lines."""

_report: ContextVar[Report | None] = ContextVar("report", default=None)


@contextmanager
def showing_counts(report: Report, *, show: bool = True) -> Iterator[None]:
    """Show what is counted in this block, by a bar or lines."""
    token = _report.set(report if show else None)
    try:
        yield
    finally:
        _report.reset(token)


@contextmanager
def counting(title: str) -> Iterator[Callable[[float], object]]:
    """A function to call with the amount of work done, which is shown if it takes long, within ``showing_counts``."""
    report = _report.get()
    if report is None:
        yield lambda amount: None
        return
    from textseq.io.progress import ProgressBar

    with ProgressBar(None, title, report=report, first=FIRST_LINE) as bar:
        yield bar.update


def counted(items: Iterable[Item], title: str) -> Iterator[Item]:
    """The items, counted as by ``counting``.

    Example:
        >>> with showing_counts(print):
        ...     rows = [*counted(read(path), f"rows read of {path}")]
    """
    with counting(title) as count:
        for item in items:
            yield item
            count(1)


def announce(line: str) -> None:
    """Show a line about work that takes long, within ``showing_counts``."""
    report = _report.get()
    if report is not None:
        report(line)
