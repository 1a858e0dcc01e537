"""Pretokens: a text split at white space, the same whatever the chunks, and counted within bounds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textseq.errors import TextseqError
from textseq.tokenizers import pretokenizer
from textseq.tokenizers.pretokenizer import WORDS, WORDS_AND_LINES, count_pretokens, pretokenize
from textseq.tokenizers.words import WordTokenizer

EVERY_PATTERN = pytest.mark.parametrize("pattern", [WORDS, WORDS_AND_LINES], ids=["words", "words and lines"])
TEXTS = st.text() | st.text(st.sampled_from(" \n\tab,\u3000\x1f")) | st.integers(95, 305).map("x".__mul__)


def chunked(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


def joined(text: Iterator[str], pattern: re.Pattern[str]) -> list[str]:
    return [unit for found in pretokenize(text, pattern) for unit in found]


@EVERY_PATTERN
@given(text=TEXTS, size=st.integers(1, 130))
def test_units_are_the_text_wherever_it_was_cut(pattern: re.Pattern[str], text: str, size: int) -> None:
    whole = joined(chunked(text, max(len(text), 1)), pattern)
    assert "".join(whole) == text
    assert joined(chunked(text, size), pattern) == whole
    assert all(len(unit) <= 101 for unit in whole)
    assert all(unit.isspace() or not re.search(r"\s", unit[1:]) for unit in whole)


def test_what_a_unit_is() -> None:
    assert WORDS.findall("a  b\n\n c \n\td") == ["a", " ", " b", "\n", "\n", " c", " ", "\n", "\t", "d"]
    assert WORDS_AND_LINES.findall("a  b\n\n c \n\td") == ["a", " ", " b", "\n", "\n", " c", " \n", "\t", "d"]
    assert [len(unit) for unit in WORDS.findall(" " + "x" * 250)] == [101, 100, 50]


def test_documents_do_not_run_into_one_another() -> None:
    assert count_pretokens(["to be", iter(["to ", "bear"])], WORDS)[0] == {"to": 2, " be": 1, " bear": 1}


def test_lone_surrogates_are_refused() -> None:
    with pytest.raises(TextseqError, match=r"lone surrogate U\+D800"):
        list(pretokenize(["ab \ud800"], WORDS))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_rare_are_forgotten_when_there_are_too_many(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretokenizer, "MAX_PRETOKENS", 100)
    monkeypatch.setattr(pretokenizer, "_BLOCK", 10)
    text = "".join(f" the of{n}\n" for n in range(1000)) + "é"
    counts, forgotten = count_pretokens([chunked(text, size)], WORDS)
    assert len(counts) <= 110 and counts[" the"] == counts["\n"] == 1000 and counts["é"] == 1
    assert forgotten == set(" of0123456789")
    assert counts == count_pretokens([text], WORDS)[0]
    assert counts.keys() <= Counter(WORDS.findall(text)).keys()


def test_forgetting_what_units_became_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretokenizer, "CACHE_SIZE", 3)
    text = "".join(f"word {n} and\n" for n in range(30))
    tokenizer = WordTokenizer.train([text])
    found = [tokenizer.decode(tokenizer.encode(text[at : at + 50])) for at in range(0, len(text), 50)]
    assert "".join(found) == text


def test_a_short_text_costs_nothing_for_what_is_cache() -> None:
    """To walk through all that was met before, at every sentence, made a long run of them quadratic."""

    class Unwalked(dict[str, bytes]):
        def __iter__(self) -> Iterator[str]:
            raise AssertionError("walked through")

        keys = values = items = __iter__  # type: ignore[assignment]

    tokenizer = WordTokenizer.train(["a b a b"])
    tokenizer._cache = Unwalked()
    for text in ("a b", "a c", "a b c d"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer._cache) >= 4
