"""Spans in tags: schemes are told by their sentences, what they forbid never marks a span, and tags say spans."""

from __future__ import annotations

import itertools
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textseq.data.spans import allowed_transitions, find_scheme, may_follow, read_spans
from textseq.errors import TextseqError

KINDS = ("place", "co-op")
Spans = list[tuple[str, int, int]]


def tags_of(spans: Spans, length: int, scheme: str) -> list[str]:
    """The tags that mark spans."""
    tags, ends = ["O"] * length, dict[int, str]()
    for kind, start, end in spans:
        inside = [f"I-{kind}"] * (end - start)
        if scheme == "BIO" or (scheme == "IOB1" and ends.get(start) == kind):
            inside[0] = f"B-{kind}"
        if scheme in ("BIOES", "BILOU"):
            first, last, only = ("B", "E", "S") if scheme == "BIOES" else ("B", "L", "U")
            inside[0], inside[-1] = f"{first}-{kind}", f"{last}-{kind}"
            inside = [f"{only}-{kind}"] if len(inside) == 1 else inside
        tags[start:end], ends[end] = inside, kind
    return tags


@st.composite
def marked(draw: st.DrawFn) -> tuple[Spans, int]:
    """Spans that do not overlap, and the words of the sentence."""
    spans: Spans = []
    place = draw(st.integers(0, 2))
    for _ in range(draw(st.integers(0, 4))):
        end = place + draw(st.integers(1, 3))
        spans.append((draw(st.sampled_from(KINDS)), place, end))
        place = end + draw(st.integers(0, 2))
    return spans, place + draw(st.integers(0, 2))


def test_a_tag_that_marks_no_span_is_outside_of_all() -> None:
    assert read_spans(["B-place", "NOUN", "I-place", "-x", "B", "O"]) == [("place", 0, 1), ("place", 2, 3)]


@given(sentence=marked(), scheme=st.sampled_from(["BIO", "IOB1", "BIOES", "BILOU"]))
def test_spans_come_back_from_their_tags_and_break_no_rule(sentence: tuple[Spans, int], scheme: str) -> None:
    spans, length = sentence
    tags = tags_of(spans, length, scheme)
    assert read_spans(tags) == spans
    rules = "BIOES" if scheme == "BILOU" else scheme
    assert all(may_follow(rules, *pair) for pair in pairwise(["O", *tags, "O"]))


@pytest.mark.parametrize(("scheme", "prefixes"), [("BIO", "BI"), ("IOB1", "BI"), ("BIOES", "BIES")])
def test_what_is_allowed_is_what_marks_spans_and_nothing_else(scheme: str, prefixes: str) -> None:
    """Every allowed sequence is the one that its spans are written as; no other sequence is allowed."""
    labels = ["O", *(f"{prefix}-{kind}" for prefix in prefixes for kind in KINDS)]
    for tags in itertools.product(labels, repeat=3):
        allowed = all(may_follow(scheme, *pair) for pair in pairwise(["O", *tags, "O"]))
        assert allowed == (tags_of(read_spans(tags), 3, scheme) == list(tags)), tags


@pytest.mark.parametrize(
    ("sentences", "scheme"),
    [
        (["O B-a I-a O", "B-b I-b B-b"], ("BIO", 0)),
        (["O I-a I-a O", "I-b I-b B-b"], ("IOB1", 0)),
        (["O I-a I-a", "B-a O"], ("mixed", 1)),
        (["O S-a", "B-a I-a E-a"], ("BIOES", 0)),
        (["O U-a", "B-a I-a L-a"], ("BIOES", 0)),
        (["O S-a", "B-a I-a", "O E-a"], ("mixed", 2)),
        (["DET NOUN", "O VERB"], ("", 0)),
        (["O O"], ("", 0)),
        (["A B", "I O"], ("", 0)),
    ],
)
def test_the_scheme_is_told_by_the_training_sentences(sentences: list[str], scheme: tuple[str, int]) -> None:
    rows = [(tuple(tags.split()), tuple(tags.split())) for tags in sentences]
    labels = sorted({tag for _, tags in rows for tag in tags})
    assert find_scheme(labels, rows) == scheme
    assert (allowed_transitions(labels, scheme[0]) is None) == (scheme[0] in ("", "mixed"))


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(TextseqError, match=r"tag scheme 'BIOS'.*BIOES"):
        allowed_transitions(["O", "B-a"], "BIOS")


def test_start_and_end_are_rows_of_what_is_allowed() -> None:
    allowed = allowed_transitions(["O", "B-a", "E-a"], "BIOES")
    assert allowed is not None
    assert allowed.tolist() == [
        [True, True, False, True],
        [False, False, True, False],
        [True, True, False, True],
        [True, True, False, True],
    ]
