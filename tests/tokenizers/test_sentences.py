"""Sentences end where a reader sees their end; nothing of a paragraph is lost."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textseq.tokenizers.sentences import by_sentence, sentence_spans, split_message, split_sentences


@pytest.mark.parametrize(
    "paragraph",
    [
        "It rains.|He left!|Why?|Nobody knows…",
        'Dr. Watson came at 5 p.m. on May 3. He smiled.|"Sit down," said Mr. J. Holmes.',
        '"Who is it?" he asked.|"It is I!"|(Nobody had come.)|Then he slept.',
        "It grew by 3.5 percent in 1984.|Then it fell to 2,000.|See e.g. Smith et al. for more.",
        "Er kam am 3. Mai, z.B. mit dem Zug.|Dann ging er, d.h. Sie auch.",
        "Mme. Curie est venue.|Pourquoi ?|«Elle travaille.»|Voilà.",
        "« Bonjour ! » dit-il.|« Il pleut. »|Elle sourit.|»Komm!« rief er.|»Nein.«",
        "Przyszedł np. Jan.|Potem wyszedł.",
        "¿Quién es?|¡No lo sé!|Nada.",
        "1. First we begin.|2. Then we end.",
        "He said no.|Then he left.|We met Ed.|Je sais ce que c'est.|Il part.|It is ok.|See no. 5 and vol. III.",
        "Call tel. +33 1 23 45 678.|It cost approx. $500, see no. #5.|He said no.|I left.",
        "www.example.org is a page.|Look at v2.0 now.",
    ],
)
def test_sentences_end_where_a_reader_sees_it(paragraph: str) -> None:
    assert split_sentences(paragraph.replace("|", " ")) == paragraph.split("|")


def test_scripts_without_spaces_have_ends_too() -> None:
    assert split_sentences("今日は雨です。彼は来た！「はい。」と言った。") == [
        "今日は雨です。",
        "彼は来た！",
        "「はい。」",
        "と言った。",
    ]


@pytest.mark.parametrize(
    "message",
    [
        "hi tom.|how are you?|i am fine",
        "What?|you did it?!|Hello...|is anyone there?",
        '"Go!" he said.|I am fine.',
        "see e.g. this, ok.|bye",
        "He went. home.|No!",  # a full stop before a small letter ends nothing where there are capitals
        "Great job 👍|keep going!|We won 🎂🎉|and I love it ❤️",
        "I ❤️ you",
        "We all ❤ New York.",
        "i woke up at 5 a.m. and left",
        "bring paper etc. and come",
        "I work at Yahoo! and I like it.|Yes!",
        "Thank you 👍 🎂",
    ],
)
def test_messages_have_small_letters_and_emoji(message: str) -> None:
    assert split_message(message.replace("|", " ")) == message.split("|")


@given(st.text(alphabet="aB.!? 👍1", max_size=40))
def test_only_white_space_is_lost_of_a_message(text: str) -> None:
    parts = split_message(text)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(part.strip() == part != "" for part in parts)


@given(st.text(alphabet="aB.!? \n\"'1。)", max_size=40))
def test_only_white_space_is_between_sentences(text: str) -> None:
    spans = sentence_spans(text)
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    between = [text[start:end] for start, end in pairwise(edges)][::2]
    assert "".join(between).strip() == ""
    assert all(text[start:end].strip() == text[start:end] != "" for start, end in spans)


def test_results_come_back_by_paragraph() -> None:
    def shout(sentences: Iterator[str]) -> Iterator[str]:
        yield from [sentence.upper() for sentence in sentences]  # reads all ahead

    assert list(by_sentence(["A one. A two.", "", "B."], shout)) == [["A ONE.", "A TWO."], [""], ["B."]]


def test_long_runs_of_marks_take_linear_time() -> None:
    for text in ("." * 300_000, "…" * 300_000, "a." + '"' * 300_000 + "x", 'a."' * 100_000):
        assert split_sentences(text) == [text]
    assert len(split_message("we go 👍 " * 100_000)) == 100_000
    assert len(split_message("hi you? " * 100_000)) == 100_000
    assert split_message("👍 " * 100_000) == [("👍 " * 100_000).strip()]
