"""What stands around a sentence, and the sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textseq.tokenizers.frame import frame


@pytest.mark.parametrize(
    ("before", "sentence", "after"),
    [
        ("- ", "We need water.", ""),
        ("• ", "We need water.", ""),
        ("–", "Bonjour !", ""),
        ("  * ", "one", "  "),
        ("a) ", "We need water.", ""),
        ("(2) ", "5 apples", ""),
        ("1. ", "Open the door.", ""),
        ("> ", "Thanks", ""),
        ("# ", "Chapter", ""),
        ("(", "I am happy.", ")"),
        ("*", "I am happy.", "*"),
        ("**_", "I am happy.", "_**"),
        ('"', "Hello!", '"'),
        ("« ", "Bonjour !", " »"),
        ("- [", "laughs", "] \N{BEAMED EIGHTH NOTES}"),
        ("", "Thank you", " \N{GRINNING FACE}\N{GRINNING FACE}"),
        ("\N{WAVING HAND SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-5} ", "Hi!", " \N{HEAVY BLACK HEART}\ufe0f"),
        ("TOM: ", "Wait!", ""),
        ("DR. SMITH : ", "Wait!", ""),
    ],
)
def test_what_stands_around_a_sentence_is_no_part_of_it(before: str, sentence: str, after: str) -> None:
    assert frame(before + sentence + after) == (before, sentence, after)


@pytest.mark.parametrize(
    "sentence",
    [
        "It costs $5.",
        "-5 degrees",
        "#1 is (a lot) of #fun.",
        "Wait...",
        "+33 1 23",
        "It is 20°",
        "(one) and (two)",
        "Tom: no.",
        "*Tom* is here.",
        "I love *you*",
        "WARNING: STOP",
        "It is 5:30.",
    ],
)
def test_signs_that_mean_something_and_marks_at_the_end_are_part_of_it(sentence: str) -> None:
    assert frame(sentence) == ("", sentence, "")


@pytest.mark.parametrize("text", ["", "...", "* * *", "\N{BLACK STAR}\N{WHITE STAR}", " ?! ", "()"])
def test_without_a_letter_or_digit_there_is_no_sentence(text: str) -> None:
    assert frame(text) == (text, "", "")


@given(st.text(st.sampled_from('aB1 .:()[]"«»-–*#>+$°\ufe0f\N{GRINNING FACE}'), max_size=20))
def test_the_parts_are_the_whole(text: str) -> None:
    before, sentence, after = frame(text)
    assert before + sentence + after == text
    assert sentence == sentence.strip()
    assert bool(sentence) == any(map(str.isalnum, text))
    assert frame(sentence) == ("", sentence, "")


def test_a_long_line_of_marks_is_read_in_time() -> None:
    for mark in ("(\N{GRINNING FACE}) ", "TOM: ", "a) ", "*", "((", "- "):
        marks = mark * 100_000
        assert "x" in frame(f"{marks}x{marks}")[1]
