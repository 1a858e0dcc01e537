"""Classification metrics: accuracy with its interval, calibration, F1 of each label, confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from textseq.errors import TextseqError
from textseq.io.colored_text import heat_table, html_lines, html_table
from textseq.metrics.confusion_plot import confusion_figure
from textseq.metrics.signature import bootstrap_signature, proportion_interval

if TYPE_CHECKING:
    from textseq.io.figure import Picture

SHOWN = 30
"""Labels up to which the table shows the whole confusion matrix; with more, this many of the largest confusions."""

BINS = 15
"""Equal intervals of confidence of the calibration error; those of Guo et al. 2017."""

KEPT = 100
"""Labels up to which the confusion matrix is saved with a model."""

ALL = "all (micro)"
"""Name of the line of all labels together, or of all kinds of spans."""


@dataclass(frozen=True)
class LabelMetrics:
    """Metrics of one label, all from 0 to 1."""

    label: str
    precision: float
    """Of the texts predicted to have the label, the share that has it."""
    recall: float
    """Of the texts that have the label, the share predicted to have it."""
    examples: int
    """Texts that have the label."""
    predicted: int = 0
    """Texts predicted to have the label."""

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0

    def to_dict(self) -> dict[str, object]:
        """The numbers, for a model's ``config.json``."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1, "examples": self.examples}


def label_metrics(label: str, counts: npt.NDArray[np.int64]) -> LabelMetrics:
    """Precision and recall from the numbers of correct, predicted and true ones, (3,)."""
    correct, predicted, true = counts.tolist()
    return LabelMetrics(label, correct / max(predicted, 1), correct / max(true, 1), true, predicted)


@dataclass(frozen=True)
class ClassificationMetrics:
    """Metrics of a classifier."""

    labels: tuple[str, ...]
    confusion: npt.NDArray[np.int64]
    """(C, C): numbers of texts; rows are true labels, columns predicted labels."""
    interval: tuple[float, float]
    """95 % interval of the accuracy: see ``signature.proportion_interval``."""
    nats: float
    """Mean negative log-likelihood of the true label."""
    confidence: npt.NDArray[np.float64]
    """(3, BINS): number of texts, their summed confidence and correct labels, by intervals of confidence, which is the
    probability of the predicted label."""
    signature: str
    unit: str = "texts"
    """What is labelled, in the plural."""

    @property
    def examples(self) -> int:
        """Number of classified texts."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """The share of correct labels."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def per_label(self) -> list[LabelMetrics]:
        """Precision and recall of each label."""
        predicted, actual, correct = self.confusion.sum(axis=0), self.confusion.sum(axis=1), np.diag(self.confusion)
        return [
            label_metrics(label, counts)
            for label, counts in zip(self.labels, np.stack([correct, predicted, actual], axis=1), strict=True)
        ]

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the labels; labels that are neither true nor predicted anywhere are left out."""
        return float(np.mean([label.f1 for label in self.per_label if label.examples or label.predicted]))

    @property
    def calibration_error(self) -> float:
        """Expected calibration error, from 0 to 1 (Guo et al. 2017, equation 3).

        The mean over the texts of the distance between the mean confidence of an interval and its share of correct
        labels.
        """
        count, confidence, correct = self.confidence
        return float(np.abs(confidence - correct).sum() / count.sum())

    def to_dict(self) -> dict[str, object]:
        """The numbers with their signature, for a model's ``config.json``."""
        return {
            "signature": self.signature,
            "accuracy": self.accuracy,
            "interval_95": list(self.interval),
            "macro_f1": self.macro_f1,
            "nats": self.nats,
            "calibration_error": self.calibration_error,
            "labels": {label.label: label.to_dict() for label in self.per_label},
            **({"confusion": self.confusion.tolist()} if len(self.labels) <= KEPT else {}),
        }

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"accuracy {self.accuracy:.2%} (95 % between {low:.2%} and {high:.2%}), macro F1 {self.macro_f1:.4f}, "
            f"{self.nats:.4f} nats per {self.unit.removesuffix('s')}, calibration error {self.calibration_error:.2%}, "
            f"{self.examples:,} {self.unit}"
        )

    def plot(self) -> Picture:
        """The confusion matrix as a figure of matplotlib."""
        return confusion_figure(self.confusion, self.labels)

    def _repr_html_(self) -> str:
        tables = [html_lines(str(self), self.signature), html_label_table(self._shown, self.unit)]
        if len(self.labels) <= SHOWN:
            counts, names = self.confusion, self.labels
            shares = (counts / counts.sum(axis=1, keepdims=True).clip(min=1)).tolist()
            tables.append(
                heat_table(
                    shares,
                    [f"true: {name}" for name in names],
                    names,
                    lambda t, p: f"{names[t]} -> {names[p]}: {counts[t, p]:,} {self.unit}, {shares[t][p]:.1%}",
                    cell=lambda t, p: f"{counts[t, p]:,}",
                )
            )
        return "\n".join(tables)

    @property
    def _shown(self) -> list[LabelMetrics]:
        """The labels that are shown, the most frequent ones if there are many."""
        few = len(self.labels) <= SHOWN
        return self.per_label if few else sorted(self.per_label, key=lambda m: -m.examples)[:SHOWN]

    def table(self) -> str:
        """The metrics of each label and the confusion matrix, for a terminal."""
        few = len(self.labels) <= SHOWN
        wide, lines = max(10, *map(len, self.labels)), label_table(self._shown, self.unit)
        if not few:
            errors = self.confusion * ~np.eye(len(self.labels), dtype=bool)
            largest = np.argsort(-errors, axis=None, kind="stable")[:SHOWN]
            pairs = [divmod(int(place), len(self.labels)) for place in largest]
            lines += [f"(the most frequent {SHOWN} of {len(self.labels):,} labels)"]
            lines += ["", "true -> predicted, most frequent confusions:"]
            lines += [f"{self.labels[t]} -> {self.labels[p]}  {errors[t, p]:,}" for t, p in pairs if errors[t, p]]
            return "\n".join(lines)
        cells = [max(len(label), len(f"{self.confusion.max():,}")) for label in self.labels]
        lines += ["", f"{'true/pred.':{wide}}  " + "  ".join(map("{:>{}}".format, self.labels, cells))]
        lines += [
            f"{label:{wide}}  " + "  ".join(f"{count:>{cell},}" for count, cell in zip(row, cells, strict=True))
            for label, row in zip(self.labels, self.confusion, strict=True)
        ]
        return "\n".join(lines)


def label_table(rows: Sequence[LabelMetrics], unit: str) -> list[str]:
    """Lines of precision, recall and F1; ``unit`` is what the examples are, in the plural."""
    wide = max(10, *(len(row.label) for row in rows))
    head = f"{'':{wide}}  precision  recall      F1 {unit:>8}"
    return [head, *(f"{m.label:{wide}}  {m.precision:9.2%} {m.recall:7.2%} {m.f1:7.4f} {m.examples:8,}" for m in rows)]


def html_label_table(rows: Sequence[LabelMetrics], unit: str) -> str:
    """``label_table`` for notebooks."""
    cells = [(m.label, f"{m.precision:.2%}", f"{m.recall:.2%}", f"{m.f1:.4f}", f"{m.examples:,}") for m in rows]
    return html_table(("", "precision", "recall", "F1", unit), cells)


def measure_labels(
    log_probabilities: npt.NDArray[np.float64],
    targets: Sequence[int] | npt.NDArray[np.int64],
    labels: Sequence[str],
    *,
    predictions: Sequence[int] | None = None,
    setup: str = "",
) -> ClassificationMetrics:
    """Compute the metrics of a classifier.

    Args:
        log_probabilities: in nats, (N, C).
        targets: the true labels' numbers, (N,).
        labels: C names, and those of further targets, which no prediction has; the nats leave these targets out.
        predictions: the predicted labels' numbers, (N,); by default the most probable ones.
        setup: first fields of the signature, such as ``corpus:sst2|split:test``.

    Raises:
        TextseqError: there is no text.
    """
    if not len(targets):
        raise TextseqError("expected at least one text to evaluate on, got none; give a split or a file with texts")
    true = np.asarray(targets)
    predicted = log_probabilities.argmax(axis=1) if predictions is None else np.asarray(predictions)
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (true, predicted), 1)
    rows = np.flatnonzero(true < log_probabilities.shape[1])
    nats = -float(log_probabilities[rows, true[rows]].mean()) if len(rows) else math.inf
    interval = proportion_interval(float((predicted == true).mean()), len(true))
    sure = np.exp(log_probabilities[np.arange(len(true)), predicted])
    bins = (np.ceil(sure * BINS).astype(np.int64) - 1).clip(0, BINS - 1)
    sums = [np.bincount(bins, values, BINS) for values in (None, sure, predicted == true)]
    confidence = np.stack(sums).astype(np.float64)
    signature = bootstrap_signature(setup, f"labels:{len(labels)}")
    return ClassificationMetrics(tuple(labels), confusion, interval, nats, confidence, signature)


def combine(metrics: Sequence[ClassificationMetrics]) -> ClassificationMetrics:
    """The metrics of several folds or runs, pooled over their texts."""
    first, weights = metrics[0], [m.examples for m in metrics]
    nats = float(np.average([m.nats for m in metrics], weights=weights))
    confusion = np.sum([m.confusion for m in metrics], axis=0)
    interval = proportion_interval(float(np.trace(confusion) / confusion.sum()), int(confusion.sum()))
    confidence = np.sum([m.confidence for m in metrics], axis=0)
    return ClassificationMetrics(first.labels, confusion, interval, nats, confidence, first.signature, first.unit)


PRIOR_DEVIATION = 0.5
"""Standard deviation of the prior of the logarithm of the temperature.

Of those tried, 0.5 costs least where few texts are held out: at most 0.005 nats on further texts; 0.3 up to 0.036."""


def fit_temperature(logits: npt.NDArray[np.float64], targets: Sequence[int] | npt.NDArray[np.int64]) -> float:
    """Temperature scaling: the temperature that minimizes the loss (Guo et al. 2017, section 4.2).

    The logarithm of the temperature has the prior N(0, ``PRIOR_DEVIATION``): the fewer the texts, the nearer to 1 is
    the temperature. Of 300 texts it still shifts a temperature far from 1 visibly. The minimum is found by bisection
    of the derivative.

    Args:
        logits: (N, C), of texts that the model was not trained on.
        targets: the true labels' numbers, (N,).

    Returns:
        The temperature to divide logits by, from 1/20 to 20.
    """
    true, rows = np.asarray(targets, np.int64), np.arange(len(targets))
    low, high = 1 / 20, 20.0  # of the inverse temperature
    for _ in range(60):
        middle = (low * high) ** 0.5
        scaled = logits * middle
        p = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        slope = float(((p * logits).sum(axis=1) - logits[rows, true]).sum())  # of the loss, by the inverse
        slope = slope * middle + np.log(middle) / PRIOR_DEVIATION**2  # with the prior, by the logarithm of the inverse
        low, high = (low, middle) if slope > 0 else (middle, high)
    return float(1 / np.sqrt(low * high))
