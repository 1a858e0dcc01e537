"""The examples run as they stand, and the model that ships does what the README says of it."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import textseq
from textseq.corpus import load_corpus
from textseq.shelf import SHIPPED

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_writing(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "writing.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert out.count("ROMEO:") >= 3
    sensible, senseless = (float(line.split()[0]) for line in out.splitlines()[-2:])
    assert sensible < senseless


def test_own_author(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    (tmp_path / "mine.txt").write_text("A rose is a rose is a rose. " * 200)
    monkeypatch.setattr(sys, "argv", ["own_author.py", str(tmp_path / "mine.txt")])
    runpy.run_path(str(EXAMPLES / "own_author.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert "step 100: validation" in out
    assert "rose" in out.splitlines()[-1]


def test_the_shipped_model_is_small_and_knows_its_numbers() -> None:
    folder = SHIPPED / "shakespeare"
    assert sum(path.stat().st_size for path in folder.rglob("*")) <= 8e6
    facts = textseq.load("shakespeare").facts
    results = facts["results"]
    assert isinstance(results, list)
    assert results[0]["signature"].startswith("corpus:shakespeare|part:test|tokenizer:char|state:carried|streams:1|")


def test_the_shipped_model_measures_as_its_card_says(
    data_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In 64 stretches side by side, which is quick and costs about 0.002 nats."""
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    data_file("shakespeare/macbeth.txt")
    writer = textseq.load("shakespeare")
    results = writer.facts["results"]
    assert isinstance(results, list)
    measured = writer.measure(load_corpus("shakespeare"), "test", streams=64)
    assert measured.nats_per_token == pytest.approx(results[0]["nats_per_token"], abs=0.005)


def test_the_shipped_model_writes_plays() -> None:
    texts = textseq.load("shakespeare").generate_all(max_new_tokens=300, num_return_sequences=4, seed=1)
    for text in texts:
        assert sum(line.endswith(":") for line in text.splitlines()) >= 1  # somebody speaks
        assert "\ufffd" not in text


def test_min_char_rnn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("A rose is a rose is a rose. " * 200)
    for arguments, word in (([], "the lazy dog"), ([str(tmp_path / "mine.txt")], "a rose is a")):
        monkeypatch.setattr(sys, "argv", ["min_char_rnn.py", *arguments])
        runpy.run_path(str(EXAMPLES / "min_char_rnn.py"), run_name="__main__")
        lines = capsys.readouterr().out.splitlines()
        first, last = (float(line.split()[2]) for line in (lines[0], lines[-1]))
        assert last < 0.1 < 2 < first  # nats per character
        assert word in lines[-1]
