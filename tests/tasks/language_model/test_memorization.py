"""What a text shares with its training text is found whole, however the corpus comes in pieces."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textseq.checkpoints.model_info import CorpusInfo, ModelInfo
from textseq.data.sources import TextData
from textseq.data.text import own_text
from textseq.errors import TextseqError
from textseq.tasks.language_model.memorization import (
    LEAST,
    Memorization,
    copied_lengths,
    memorization_of,
    training_text,
)


class Documents:
    """A corpus of given documents, in chunks of some characters."""

    name = "given"
    splits = ("train",)
    fingerprint = "-"

    def __init__(self, *documents: str, chunk: int = 7) -> None:
        self.texts, self.chunk = documents, chunk

    def documents(self, split: str) -> Iterator[Iterator[str]]:
        assert split == "train"
        for text in self.texts:
            yield (text[at : at + self.chunk] for at in range(0, len(text), self.chunk))


def naive(text: str, documents: list[str]) -> list[int]:
    """For each end, try every beginning."""
    return [
        max(length for length in range(end + 1) if not length or any(text[end - length : end] in d for d in documents))
        for end in range(1, len(text) + 1)
    ]


few_letters = st.text("ab\n", max_size=16)


@example("aabaa", ["baab", "aaa"], [])
@settings(max_examples=300)
@given(few_letters, st.lists(few_letters, max_size=4), st.lists(st.integers(0, 16), max_size=4))
def test_every_run_is_found_wherever_the_corpus_is_cut(text: str, documents: list[str], cuts: list[int]) -> None:
    chunks = [
        [document[start:stop] for start, stop in itertools.pairwise(sorted({0, *cuts, 16}))] for document in documents
    ]
    assert copied_lengths(text, chunks) == naive(text, documents)


@settings(max_examples=300)
@given(st.text("ab", max_size=60), st.text("ab", max_size=80), st.integers(1, 9))
def test_the_report_is_that_of_the_naive_search(text: str, document: str, chunk: int) -> None:
    found = memorization_of(text, Documents(document, chunk=chunk))
    lengths = naive(text, [document])
    assert found.length == max(lengths, default=0)
    assert found.run in document and found.run in text
    assert text.startswith(found.run, found.start)
    if found.length:
        assert found.start == lengths.index(found.length) + 1 - found.length
    covered = {at for end, n in enumerate(lengths, 1) if n >= LEAST for at in range(end - n, end)}
    assert found.copied == len(covered)


def test_no_run_reaches_over_the_end_of_a_document() -> None:
    assert memorization_of("abcdef", Documents("abc", "def")).length == 3
    assert memorization_of("abcdef", Documents("xabc" + "def")).length == 6


def test_only_long_runs_count_as_copied() -> None:
    source = "the quick brown fox jumps over the lazy dog, they say"
    text = f"He wrote: {source[:LEAST]}! And {source[-10:]}!"
    found = memorization_of(text, Documents("something else", source))
    assert (found.start, found.length, found.copied) == (10, LEAST, LEAST)
    assert found.words == len(source[:LEAST].split())
    assert found.share == pytest.approx(LEAST / len(text))
    assert memorization_of(text, Documents(source[: LEAST - 1])).copied == 0
    assert memorization_of(source, Documents(source)).share == 1


def test_the_report_says_it_in_words() -> None:
    text = "One.\nthe quick brown fox jumps over the lazy dog"
    assert str(memorization_of(text, Documents(text[5:]))).splitlines() == [
        "longest run copied from given: 43 characters, 9 words, from character 6 (line 2) of the text: "
        "'the quick brown fox jumps over the lazy dog'",
        "copied in runs of 30 characters or more: 89.6% of 48 characters",
    ]
    long = Memorization("ab" * 500, 0, 1000, ((0, 1000),), "given")
    assert len(str(long).splitlines()[0]) < 180 and " ... " in str(long)


def test_a_text_of_nothing_and_a_text_of_its_own() -> None:
    assert memorization_of("", Documents("abc")) == Memorization("", 0, 0, (), "given")
    assert memorization_of("xyz", Documents("abc")) == Memorization("xyz", 0, 0, (), "given")
    assert memorization_of("xyz", Documents()).share == 0


def test_the_corpus_streams_through() -> None:
    """Each chunk is let go before the next comes."""

    def endless() -> Iterator[str]:
        for _ in range(2000):
            yield "abcdefgh" * 125

    corpus = Documents()
    corpus.documents = lambda split: iter([endless()])  # type: ignore[method-assign]
    assert memorization_of("xxhabcx", corpus).run == "habc"


# The text that a model was trained on


def test_the_training_text_is_found_by_what_the_model_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    monkeypatch.delenv("TEXTSEQ_DATA", raising=False)
    path = tmp_path / "mine.txt"
    path.write_text("to be or not to be, that is the question\n" * 9)
    source = TextData(text=(str(path),), validation=0.5)
    corpus = source.open()
    info = ModelInfo(
        task="language-model",
        source={**source.to_dict(), "text": [str(path)]},
        corpus=CorpusInfo(name=corpus.name, fingerprint=corpus.fingerprint),
    )
    assert training_text(info).fingerprint == corpus.fingerprint
    assert memorization_of("that is the question", training_text(info)).length == 20
    assert caplog.messages == []
    path.write_text("something else altogether " * 9)
    assert memorization_of("that is the question", training_text(info)).length < 20
    assert "has changed since" in caplog.text
    path.unlink()
    with pytest.raises(TextseqError, match=r"mine\.txt"):
        training_text(info)


def test_without_a_text_the_error_says_what_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    monkeypatch.delenv("TEXTSEQ_DATA", raising=False)
    with pytest.raises(TextseqError, match=r"\('novel\.txt'\); give it with --training-text FILE, or a --corpus"):
        training_text(ModelInfo(task="language-model", corpus=CorpusInfo(name="novel.txt")))
    with pytest.raises(TextseqError, match="give it with --training-text"):
        training_text(ModelInfo(task="language-model"))
    with pytest.raises(TextseqError, match=r"tinyshakespeare.*--download"):
        training_text(ModelInfo(task="language-model", corpus=CorpusInfo(name="tinyshakespeare")))


def test_a_real_text_is_searched_whole(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.txt", "b.txt")]
    for number, path in enumerate(paths):
        path.write_text("".join(f"sentence {n} of book {number}. " for n in range(5000)), encoding="utf-8")
    found = memorization_of("It says: sentence 4999 of book 1. sentence 0", own_text(paths, validation=0))
    assert found.run == " sentence 4999 of book 1. "


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_copies_are_seen_whatever_the_line_ends(tmp_path: Path, end: str) -> None:
    (tmp_path / "training.txt").write_bytes(f"Shall I compare thee{end}to a summer's day?{end}".encode())
    corpus = own_text([tmp_path / "training.txt"], validation=0)
    text = "Shall I compare thee\nto a summer's day?"
    assert memorization_of(text, corpus).length == len(text)
    assert memorization_of(text.replace("\n", end), corpus).length == len(text)
    assert memorization_of(text, corpus, normalization="none").length < len(text)
