"""Progress of long work on stderr: a bar in a terminal or a notebook, elsewhere a line every 30 seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import NoReturn, Self

from tqdm.auto import tqdm

from textseq.io.colored_text import visible

LINE_EVERY = 30.0
"""Seconds between two lines where there is no bar."""

IN_NOTEBOOK = any(base.__module__ == "tqdm.notebook" for base in tqdm.__mro__)
"""Bars are widgets."""

FORMAT = f"{{desc}}{{percentage:3.0f}}%|{'{bar}' if IN_NOTEBOOK else '{bar:20}'}| {{elapsed}}<{{remaining}}{{postfix}}"

COUNT_FORMAT = "{desc}{n:,.0f} in {elapsed}{postfix}"


def write_line(line: str) -> None:
    """Print a line between updates of the bars, on stderr; in a notebook as its output.

    A terminal gets control characters as escapes.
    """
    stream = sys.stdout if IN_NOTEBOOK else sys.stderr
    tqdm.write(visible(line) if stream.isatty() else line, file=stream)


class ProgressBar:
    """A bar, or lines.

    Args:
        total: the amount of work; None if it is not known.
        title: what is done.
        done: of the work, at the start.
        show: show a bar or lines.
        report: receives the lines.
        first: seconds until the first line.

    Example:
        >>> with ProgressBar(len(texts), "reading") as bar:
        ...     for text in texts:
        ...         read(text)
        ...         bar.update(1)
    """

    def __init__(
        self,
        total: float | None,
        title: str,
        *,
        done: float = 0.0,
        show: bool = True,
        report: Callable[[str], None] = write_line,
        first: float | None = None,
    ) -> None:
        on_screen = IN_NOTEBOOK or sys.stderr.isatty()
        self.bar: tqdm[NoReturn] = tqdm(
            total=total,
            initial=done,
            desc=f"{title}: ",
            bar_format=COUNT_FORMAT if total is None else FORMAT,
            disable=not (show and on_screen),
        )
        self.report = report if show and not on_screen else None
        self.title, self.total, self.first, self.done, self.note = title, total, done, done, ""
        self.started = time.monotonic()
        self.next_line = self.started + (LINE_EVERY if first is None else first)

    def update(self, amount: float, note: str | None = None) -> None:
        """So much more of the work is done.

        Args:
            amount: of the work.
            note: shown with the bar, such as a loss; None: the one before.
        """
        self.done += amount
        if note is not None:
            self.note = note
            self.bar.set_postfix_str(note, refresh=False)
        self.bar.update(amount)
        if self.report is not None and (now := time.monotonic()) >= self.next_line:
            self.next_line = now + LINE_EVERY
            self.report(self._line(now - self.started))

    def _line(self, seconds: float) -> str:
        if self.total is None:
            return f"{self.title}: {self.done:,.0f} in {tqdm.format_interval(seconds)}"
        share, here = self.done / self.total, self.done - self.first
        left = f", {tqdm.format_interval(seconds * (self.total - self.done) / here)} left" if here > 0 else ""
        return f"{self.title}: {share:.0%} after {tqdm.format_interval(seconds)}{left}" + (
            f"; {self.note}" if self.note else ""
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
