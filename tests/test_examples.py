"""The examples run as they stand."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_writing(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "writing.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert out.count("ROMEO:") >= 3
    sensible, senseless = (float(line.split()[0]) for line in out.splitlines()[-2:])
    assert sensible < senseless


def test_translating(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "translating.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert "Je ne sais pas où elle vit." in out
    looks = [line.split()[:2] for line in out.splitlines() if line.startswith("   ")]
    assert ["pomme", "apple"] in looks and ["rouge", "red"] in looks
    sensible, senseless = (float(line.split()[0]) for line in out.splitlines()[-2:])
    assert sensible > senseless


def test_reading(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "reading.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["positive", "negative", "negative"]
    *words, whole = lines[5:-2]
    assert words[0].split()[1] == "Dull," and float(words[0].split()[0]) > 0.5
    without, _, _, _, total, *_ = whole.split()
    assert sum(float(line.split()[0]) for line in words) + float(without) == pytest.approx(float(total), abs=0.5)
    assert "great" in lines[-1]


def test_own_author(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    (tmp_path / "mine.txt").write_text("A rose is a rose is a rose. " * 200)
    monkeypatch.setattr(sys, "argv", ["own_author.py", str(tmp_path / "mine.txt")])
    runpy.run_path(str(EXAMPLES / "own_author.py"), run_name="__main__")
    out, err = capsys.readouterr()
    assert "resumed at step 50" in err and "step 100: validation" in err
    assert "rose" in out.splitlines()[-1]


def test_min_char_rnn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("A rose is a rose is a rose. " * 200)
    for arguments, word in (([], "the lazy dog"), ([str(tmp_path / "mine.txt")], "a rose is a")):
        monkeypatch.setattr(sys, "argv", ["min_char_rnn.py", *arguments])
        runpy.run_path(str(EXAMPLES / "min_char_rnn.py"), run_name="__main__")
        lines = capsys.readouterr().out.splitlines()
        first, last = (float(line.split()[2]) for line in (lines[0], lines[-1]))
        assert last < 0.1 < 2 < first  # nats per character
        assert word in lines[-1]
