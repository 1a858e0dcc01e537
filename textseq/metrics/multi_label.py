"""Metrics of classifiers that give each text several labels: micro and macro F1, subset accuracy, their threshold.

Shapes: N texts, C labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from textseq.errors import TextseqError
from textseq.io.colored_text import html_lines
from textseq.metrics.classification import ALL, LabelMetrics, html_label_table, label_metrics, label_table
from textseq.metrics.signature import bootstrap_signature, percentile_interval, resampled

Marks = npt.NDArray[np.bool_]
"""(N, C) whether a text has a label."""


@dataclass(frozen=True)
class MultiLabelMetrics:
    """Metrics of a classifier that gives each text several labels."""

    per_label: tuple[LabelMetrics, ...]
    micro: LabelMetrics
    """Of all pairs of a text and a label."""
    interval: tuple[float, float]
    """95 % percentile interval of the micro F1, from resampled texts."""
    subset_accuracy: float
    """The share of texts whose labels are exactly the true ones."""
    nats: float
    """Mean negative log-likelihood of a text's labels: the binary cross-entropy, summed over the labels."""
    threshold: float
    """Probability from which a label is given."""
    examples: int
    signature: str

    @property
    def f1(self) -> float:
        """The micro F1."""
        return self.micro.f1

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the labels; labels that are neither true nor predicted anywhere are left out."""
        return float(np.mean([label.f1 for label in self.per_label if label.examples or label.predicted] or [0.0]))

    def to_dict(self) -> dict[str, object]:
        """The numbers with their signature, for a model's ``config.json``."""
        return {
            "signature": self.signature,
            "micro_f1": self.f1,
            "interval_95": list(self.interval),
            "macro_f1": self.macro_f1,
            "subset_accuracy": self.subset_accuracy,
            "nats": self.nats,
            "threshold": self.threshold,
            "labels": {label.label: label.to_dict() for label in self.per_label},
        }

    def table(self) -> str:
        """The metrics of each label and of all, for a terminal."""
        return "\n".join(label_table((*self.per_label, self.micro), "texts"))

    def _repr_html_(self) -> str:
        return f"{html_lines(str(self), self.signature)}\n{html_label_table((*self.per_label, self.micro), 'texts')}"

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"micro F1 {self.f1:.2%} (95 % between {low:.2%} and {high:.2%}), macro F1 {self.macro_f1:.4f}, subset "
            f"accuracy {self.subset_accuracy:.2%}, {self.nats:.4f} nats per text, threshold {self.threshold:.3f}, "
            f"{self.examples:,} texts"
        )


def marks_of(sets: Iterable[Sequence[str]], labels: Sequence[str]) -> Marks:
    """Which of the labels each text has, (N, C), from the labels of each text."""
    return np.array([[label in some for label in labels] for some in map(set, sets)], bool).reshape(-1, len(labels))


def measure_label_sets(
    log_probabilities: npt.NDArray[np.float64],
    true: Marks,
    labels: Sequence[str],
    *,
    threshold: float,
    setup: str = "",
) -> MultiLabelMetrics:
    """Compute the metrics.

    Args:
        log_probabilities: in nats, (N, K), of the first K labels.
        true: (N, C).
        labels: C names; those after the first K are further ones, which no prediction has. The nats leave them out.
        threshold: the probability from which a label is given.
        setup: first fields of the signature.

    Raises:
        TextseqError: there is no text.
    """
    if not len(true):
        raise TextseqError("expected at least one text to evaluate on, got none; give a split or a file with texts")
    known = log_probabilities.shape[1]
    predicted = np.zeros_like(true)
    predicted[:, :known] = np.exp(log_probabilities) >= threshold
    of_the_rest = np.log(-np.expm1(np.minimum(log_probabilities, -1e-300)))  # log(1 - p)
    nats = -float(np.where(true[:, :known], log_probabilities, of_the_rest).sum(axis=1).mean())
    marks = np.stack([predicted & true, predicted, true], axis=2)  # (N, C, 3)
    of_texts, of_labels = marks.sum(axis=1), marks.sum(axis=0)
    return MultiLabelMetrics(
        tuple(label_metrics(label, counts) for label, counts in zip(labels, of_labels, strict=True)),
        label_metrics(ALL, of_labels.sum(axis=0)),
        percentile_interval(label_metrics(ALL, of_texts[some].sum(axis=0)).f1 for some in resampled(len(true))),
        float((predicted == true).all(axis=1).mean()),
        nats,
        threshold,
        len(true),
        bootstrap_signature(setup, f"labels:{len(labels)}", f"threshold:{threshold:.6g}"),
    )


def choose_threshold(probabilities: npt.NDArray[np.float64], true: Marks) -> tuple[float, float]:
    """The threshold with the highest micro F1, and that F1; 0.5 if no text has a label.

    It lies halfway between two probabilities, so that rounding errors do not matter.

    Args:
        probabilities: (N, C).
        true: (N, C).
    """
    order = np.argsort(-probabilities, axis=None, kind="stable")
    p, hits = probabilities.ravel()[order], true.ravel()[order].cumsum()
    if not len(hits) or not hits[-1]:
        return 0.5, 0.0
    below = np.append(p[1:], 0.0)
    apart = np.append(p[:-1] > p[1:], True)
    f1 = np.where(apart, 2 * hits / (np.arange(1, len(p) + 1) + hits[-1]), -1.0)
    best = int(f1.argmax())
    middle = (p[best] + below[best]) / 2
    return float(middle if middle > below[best] else p[best]), float(f1[best])
