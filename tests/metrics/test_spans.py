"""Metrics of spans: those of conlleval, by hand and as seqeval computes them."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textseq.metrics.spans import measure_spans

TAGS = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("x", "y"))]
SENTENCE = st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=8)


def test_a_span_is_right_if_kind_and_both_ends_are() -> None:
    true = ["B-x I-x O B-y", "O B-x B-x", "O O"]
    predicted = ["B-x I-x O B-x", "O B-x I-x", "B-y O"]  # right, wrong kind; longer than it is; none there
    found = measure_spans(map(str.split, true), map(str.split, predicted))
    x, y = found.kinds
    assert (x.label, x.precision, x.recall, x.examples) == ("x", 1 / 3, 1 / 3, 3)
    assert (y.label, y.precision, y.recall, y.f1, y.examples) == ("y", 0, 0, 0, 1)
    assert (found.micro.precision, found.micro.recall, found.micro.examples) == (1 / 4, 1 / 4, 4)
    assert found.f1 == pytest.approx(1 / 4)
    assert found.interval[0] <= found.f1 <= found.interval[1]
    assert "F1 of spans 25.00%" in str(found)
    assert found.table().splitlines()[-1].split() == ["all", "(micro)", "25.00%", "25.00%", "0.2500", "4"]


def test_tags_that_break_their_scheme_count_as_conlleval_counts_them() -> None:
    """As conlleval.pl does: I- after O, after another kind, or at the start begins a span."""
    found = measure_spans([["I-x", "I-y", "O", "I-y"]], [["B-x", "B-y", "O", "B-y"]])
    assert found.f1 == 1
    assert found.micro.examples == 3


def test_without_spans_it_is_zero() -> None:
    found = measure_spans([["O"]], [["O"]])
    assert (found.f1, found.kinds, found.interval) == (0, (), (0, 0))


def test_it_measures_as_seqeval_does() -> None:
    """On any sequences of tags, valid or not."""
    seqeval = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed (pip install seqeval)")
    compared = 0

    @given(sentences=st.lists(SENTENCE, min_size=1, max_size=6))
    def check(sentences: list[list[tuple[str, str]]]) -> None:
        nonlocal compared
        true, predicted = ([[pair[column] for pair in sentence] for sentence in sentences] for column in (0, 1))
        found = measure_spans(true, predicted)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of kinds without spans
            report = seqeval.classification_report(true, predicted, output_dict=True, zero_division=0)
        for kind in found.kinds:
            row = report[kind.label]
            assert (kind.precision, kind.recall, kind.examples) == (row["precision"], row["recall"], row["support"])
            assert kind.f1 == pytest.approx(row["f1-score"])
        if found.kinds:
            assert found.f1 == pytest.approx(report["micro avg"]["f1-score"])
            compared += 1

    check()
    assert compared
