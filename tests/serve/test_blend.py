"""Authors of a conditional model write alone and blended, also in one batch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from serving import Running

import textseq

pytest.importorskip("fastapi", reason="the extra serve is not installed")

BLENDS = [None, "ann=0.7,bob=0.3", "bob=1", "ann=1,bob=1,cid=2", None]


def test_authors_are_blended_in_one_batch(conditional: Running) -> None:
    def write(condition: str | None) -> str:
        body = {"model": "ann", "prompt": "a", "max_tokens": 60, "temperature": 0, "condition": condition}
        return str(conditional.ask("/v1/completions", body)["choices"][0]["text"])

    with ThreadPoolExecutor(len(BLENDS)) as pool:
        texts = [*pool.map(write, BLENDS)]
    generator = textseq.load_generator("three")
    for condition, text in zip(BLENDS, texts, strict=True):
        expected = generator.generate("a", condition=condition or "ann", max_new_tokens=60, temperature=0)
        assert text == expected.removeprefix("a")
    assert len(set(texts)) == 4


def test_mistakes_get_sentences(conditional: Running, running: Running) -> None:
    body = {"model": "ann", "prompt": "a"}
    assert "unknown label 'bop'" in conditional.refusal("/v1/completions", {**body, "condition": "bop=1"})
    assert "condition: expected shares" in conditional.refusal("/v1/completions", {**body, "condition": "ann=x"})
    refusal = running.refusal("/v1/completions", {"model": "author", "prompt": "a", "condition": "ann"})
    assert "condition: expected none" in refusal
    assert [entry["labels"] for entry in conditional.ask("/models")] == [["ann", "bob", "cid"]] * 3
