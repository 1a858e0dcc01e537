"""The style of training sources: learnt where nearly all share it, and given to what is typed otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textseq.tokenizers.source_style import SourceStyle, learn_style

TIDY = [*["I know that Tom lives in Paris."] * 20, *["Where is Mary?"] * 9, *["She saw it, and I did too!"] * 5]
STYLE = learn_style(TIDY)


def test_a_style_is_learnt() -> None:
    assert STYLE.capital and (STYLE.statement, STYLE.question) == (".", "?")
    assert STYLE.question_words == {"where"}
    assert {"Tom", "Paris", "Mary", "I"} == STYLE.proper
    assert SourceStyle.from_dict(STYLE.to_dict()) == STYLE


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("WHERE IS TOM", "Where is Tom?"),
        ("where is tom ", "Where is Tom?"),
        ("DO I KNOW MARY?", "Do I know Mary?"),
        ("yes, i do", "Yes, I do."),
        ("thanks", "Thanks."),
        ("OK", "OK."),
        ("She works for NATO.", "She works for NATO."),
        ("3 dogs", "3 dogs."),
        ("(where is it)", "(Where is it)"),
        ("?!", "?!"),
        ("  ", ""),
    ],
)
def test_sentences_are_read_in_it(typed: str, read: str) -> None:
    assert STYLE.apply(typed) == read


def test_tidy_sentences_stay_and_other_trainings_have_no_style() -> None:
    assert all(STYLE.apply(sentence) == sentence for sentence in TIDY)
    for untidy in (["where is it", "here it is"] * 9, [], ["?"], ["学校に行く"] * 9, TIDY[:20] + ["no mark"] * 5):
        style = learn_style(untidy)
        assert style == SourceStyle() and style.to_dict() == {} and style.apply("where ARE we") == "where ARE we"


@given(st.text(max_size=40))
def test_characters_keep_their_places(typed: str) -> None:
    read = STYLE.apply(typed)
    assert len(typed.strip()) <= len(read) <= len(typed.strip()) + 1
    assert read.casefold().startswith(typed.strip().casefold()) or not read.isascii()
    assert STYLE.apply(read) == read or not read.isascii()


def test_a_word_alone_is_written_as_in_training() -> None:
    tidy = ["I am here.", "It is late.", "We ate.", "Go home.", "She left."] * 20
    style = learn_style([*tidy, "Hello!", "Hello!", "Hello.", "Yes.", "water", "Monday", "Really?"])
    typed = (
        "hello",
        "HELLO",
        "Hello.",
        "Hello?",
        "yes",
        "Water",
        "water.",
        "monday",
        "really",
        "Really!",
        "berlin",
        "Milk",
    )
    read = [
        "Hello!",
        "Hello!",
        "Hello!",
        "Hello?",
        "Yes.",
        "water",
        "water",
        "Monday",
        "Really?",
        "Really!",
        "berlin",
        "Milk",
    ]
    assert [style.apply(word) for word in typed] == read
    assert style.apply("water is wet") == "Water is wet."
    assert SourceStyle.from_dict(style.to_dict()) == style
    assert learn_style([*tidy, "Hello!"]).apply("berlin") == "Berlin.", "no word stands there without a mark"
