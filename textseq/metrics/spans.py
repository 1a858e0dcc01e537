"""Metrics of spans, such as named entities, as conlleval defines them (Tjong Kim Sang and Buchholz 2000).

A predicted span is correct if one of the same kind begins and ends at the same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from textseq.data.spans import read_spans
from textseq.metrics.classification import ALL, LabelMetrics, html_label_table, label_metrics, label_table
from textseq.metrics.signature import percentile_interval, resampled


@dataclass(frozen=True)
class SpanMetrics:
    """Precision, recall and F1 of spans; ``examples`` are true spans."""

    kinds: tuple[LabelMetrics, ...]
    """Of each kind, sorted by name."""
    micro: LabelMetrics
    """Of all spans."""
    interval: tuple[float, float]
    """95 % percentile interval of the micro F1, from resampled sentences."""

    @property
    def f1(self) -> float:
        """The micro F1."""
        return self.micro.f1

    def to_dict(self) -> dict[str, object]:
        """The numbers, for a model's ``config.json``."""
        return {
            "f1": self.f1,
            "f1_interval_95": list(self.interval),
            "spans": {kind.label: kind.to_dict() for kind in self.kinds},
        }

    def table(self) -> str:
        """The metrics of each kind and of all, for a terminal."""
        return "\n".join(label_table((*self.kinds, self.micro), "spans"))

    def _repr_html_(self) -> str:
        return html_label_table((*self.kinds, self.micro), "spans")

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"F1 of spans {self.f1:.2%} (95 % between {low:.2%} and {high:.2%}; precision {self.micro.precision:.2%}, "
            f"recall {self.micro.recall:.2%} of {self.micro.examples:,} spans)"
        )


def measure_spans(true: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]]) -> SpanMetrics:
    """Compute the metrics of spans.

    Args:
        true: the tags of each sentence, in any scheme of ``textseq.data.spans``.
        predicted: the predicted tags.

    Example:
        >>> measure_spans([["B-person", "I-person", "O"]], [["B-person", "O", "O"]]).f1
        0.0
    """
    pairs = [(_spans(tags), _spans(others)) for tags, others in zip(true, predicted, strict=True)]
    kinds = sorted({kind for pair in pairs for spans in pair for kind, _, _ in spans})
    counts = np.zeros((len(pairs), len(kinds), 3), np.int64)  # correct, predicted and true ones of each sentence
    row_of = {kind: row for row, kind in enumerate(kinds)}
    for number, (spans, others) in enumerate(pairs):
        for column, some in enumerate((spans & others, others, spans)):
            for kind, _, _ in some:
                counts[number, row_of[kind], column] += 1
    totals = counts.sum(axis=1)
    return SpanMetrics(
        tuple(label_metrics(kind, count) for kind, count in zip(kinds, counts.sum(axis=0), strict=True)),
        label_metrics(ALL, totals.sum(axis=0)),
        percentile_interval(label_metrics(ALL, totals[sample].sum(axis=0)).f1 for sample in resampled(len(totals))),
    )


def _spans(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    return {*read_spans(tags)}
