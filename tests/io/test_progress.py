"""Bars where someone looks, lines where a log is written, nothing where nothing is wanted."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest

from textseq.io import progress
from textseq.io.counting import FIRST_LINE, announce, counted, counting, showing_counts
from textseq.io.progress import LINE_EVERY, ProgressBar, write_line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that have passed; a test changes them."""
    seconds = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: seconds[0])
    return seconds


def test_without_a_terminal_there_is_a_line_every_thirty_seconds(clock: list[float]) -> None:
    lines: list[str] = []
    with ProgressBar(200, "measuring", done=20, report=lines.append) as bar:
        for _ in range(9):
            clock[0] += LINE_EVERY / 3
            bar.update(10, "loss 1.5" if bar.done == 20 else None)
    assert lines == [
        "measuring: 25% after 00:30, 02:30 left; loss 1.5",
        "measuring: 40% after 01:00, 02:00 left; loss 1.5",
        "measuring: 55% after 01:30, 01:30 left; loss 1.5",
    ]


def test_work_that_goes_back_is_no_error(clock: list[float]) -> None:
    lines: list[str] = []
    with ProgressBar(1.0, "training", done=0.5, report=lines.append) as bar:
        clock[0] += LINE_EVERY
        bar.update(-0.25)
    assert lines == ["training: 25% after 00:30"]


def test_a_terminal_has_a_bar_and_no_lines(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, lines = Terminal(), list[str]()
    monkeypatch.setattr(sys, "stderr", terminal)
    with ProgressBar(4, "measuring", report=lines.append) as bar:
        clock[0] += LINE_EVERY
        bar.update(2, "halfway")
        bar.bar.refresh()
    assert "measuring:  50%|" in terminal.getvalue()
    assert "halfway" in terminal.getvalue()
    assert lines == []


def test_control_characters_reach_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    write_line("runs/\x1b[31mred")
    assert "\x1b[31m" not in terminal.getvalue() and "[31mred" in terminal.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_what_is_not_shown_prints_nothing(terminal: bool, clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    stream, lines = Terminal() if terminal else io.StringIO(), list[str]()
    monkeypatch.setattr(sys, "stderr", stream)
    with ProgressBar(4, "measuring", show=False, report=lines.append) as bar:
        clock[0] += LINE_EVERY
        bar.update(2)
    assert (stream.getvalue(), lines) == ("", [])


def test_a_notebook_has_a_bar_though_its_stderr_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "IN_NOTEBOOK", True)
    with ProgressBar(4, "measuring") as bar:
        assert not bar.bar.disable
        assert bar.report is None


def test_lines_go_to_stderr_and_in_a_notebook_to_its_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_line("step 1")
    assert capsys.readouterr() == ("", "step 1\n")
    monkeypatch.setattr(progress, "IN_NOTEBOOK", True)
    write_line("step 2")
    assert capsys.readouterr() == ("step 2\n", "")


def test_counts_are_shown_after_a_while_where_they_are_asked_for(clock: list[float]) -> None:
    lines: list[str] = []

    def slow() -> Iterator[int]:
        for number in range(4):
            clock[0] += FIRST_LINE
            yield number

    assert [*counted(slow(), "rows read of a.tsv")] == [0, 1, 2, 3]  # nobody asked
    with showing_counts(lines.append):
        assert [*counted(slow(), "rows read of a.tsv")] == [0, 1, 2, 3]
        assert [*counted(range(9), "rows read of b.tsv")] == [*range(9)]
        announce("learning subwords")
    with showing_counts(lines.append, show=False):
        assert [*counted(slow(), "rows read of a.tsv")] == [0, 1, 2, 3]
    assert lines == ["rows read of a.tsv: 1 in 00:03", "learning subwords"]


def test_a_terminal_shows_what_is_counted(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with showing_counts(write_line), counting("rows read") as count:
        clock[0] += LINE_EVERY
        count(12_000)
    assert "rows read: 12,000 in 00:" in terminal.getvalue()
