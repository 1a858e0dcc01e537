"""What a run began with is read as it was asked for."""

from __future__ import annotations

import json
from pathlib import Path

from textseq.data.sources import PairData


def test_the_languages_of_own_pairs(tmp_path: Path) -> None:
    """They are those of the files' endings, unless others are asked for."""
    for language in ("en", "fr"):
        (tmp_path / f"a.{language}").write_text("".join(f"{language} {number}\n" for number in range(20)))
    pairs = str(tmp_path / "a.en"), str(tmp_path / "a.fr")
    read = PairData(pairs=pairs).open()
    assert (read.source_language, read.target_language) == ("en", "fr")
    asked = PairData(pairs=pairs, source="cs", target="pl").open()
    assert (asked.source_language, asked.target_language) == ("cs", "pl")


def test_the_languages_name_columns_and_keys(tmp_path: Path) -> None:
    (tmp_path / "h.tsv").write_text("fr\ten\nVa.\tGo.\n")
    (tmp_path / "h.jsonl").write_text(json.dumps({"en": "Go.", "fr": "Va."}))
    for file in ("h.tsv", "h.jsonl"):
        origin = PairData(pairs=(str(tmp_path / file),), source="en", target="fr", validation=0.0)
        assert list(origin.open().pairs("train")) == [("Go.", "Va.")]
