"""Measures of labels: accuracy with its interval, precision, recall and F1 of each, and which are taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from textseq.errors import TextseqError
from textseq.version import __version__

RESAMPLES = 1000
"""Bootstrap resamples of the interval."""

SEED = 12345
"""Of the resampling; sacreBLEU's."""

SHOWN = 30
"""Labels with which a table of all that was taken for all can still be read; of more, so many confusions are shown."""

KEPT = 100
"""Labels of which the whole confusion is kept with a model."""


@dataclass(frozen=True)
class LabelMetrics:
    """How well one label is told from the others, all from 0 to 1."""

    label: str
    precision: float
    """Of the texts that were given it, how many have it."""
    recall: float
    """Of the texts that have it, how many were given it."""
    examples: int
    """Texts that have it."""

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


@dataclass(frozen=True)
class ClassificationMetrics:
    """How often labels are right."""

    labels: tuple[str, ...]
    confusion: npt.NDArray[np.int64]
    """(C, C): texts that have the label of the row and were given that of the column."""
    interval: tuple[float, float]
    """95 % percentile interval of the accuracy, by bootstrap."""
    nats: float
    """Mean negative log-likelihood of the right label."""
    signature: str
    """The recipe of the numbers."""
    unit: str = "texts"
    """What has a label, in the plural."""

    @property
    def examples(self) -> int:
        """Texts that were classified."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """The share of the texts whose label was found."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def of_labels(self) -> list[LabelMetrics]:
        """Precision and recall of each label."""
        given, have, right = self.confusion.sum(axis=0), self.confusion.sum(axis=1), np.diag(self.confusion)
        return [
            LabelMetrics(label, float(hit / max(of, 1)), float(hit / max(there, 1)), int(there))
            for label, hit, of, there in zip(self.labels, right, given, have, strict=True)
        ]

    @property
    def macro_f1(self) -> float:
        """The mean of the labels' F1, however rare they are, without those that nothing has and nothing was given."""
        met = self.confusion.sum(axis=0) + self.confusion.sum(axis=1) > 0
        return float(np.mean([one.f1 for one, there in zip(self.of_labels, met, strict=True) if there]))

    def to_dict(self) -> dict[str, object]:
        """The numbers with their recipe, for a model's ``config.json``."""
        return {
            "signature": self.signature,
            "accuracy": self.accuracy,
            "interval_95": list(self.interval),
            "macro_f1": self.macro_f1,
            "nats": self.nats,
            "labels": {
                one.label: {"precision": one.precision, "recall": one.recall, "f1": one.f1, "examples": one.examples}
                for one in self.of_labels
            },
            **({"confusion": self.confusion.tolist()} if len(self.labels) <= KEPT else {}),
        }

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"accuracy {self.accuracy:.2%} (95 % between {low:.2%} and {high:.2%}), macro F1 {self.macro_f1:.4f}, "
            f"{self.nats:.4f} nats per {self.unit.removesuffix('s')}, {self.examples:,} {self.unit}"
        )

    def table(self) -> str:
        """Each label's measures, and which labels were taken for which, for a terminal."""
        wide = max(10, *map(len, self.labels))
        lines = [f"{'':{wide}}  precision  recall      F1 {self.unit:>8}"]
        shown = sorted(self.of_labels, key=lambda one: -one.examples)[:SHOWN]
        lines += [
            f"{one.label:{wide}}  {one.precision:9.2%} {one.recall:7.2%} {one.f1:7.4f} {one.examples:8,}"
            for one in (self.of_labels if len(self.labels) <= SHOWN else shown)
        ]
        if len(self.labels) > SHOWN:
            wrong = self.confusion * ~np.eye(len(self.labels), dtype=bool)
            most = [
                divmod(int(place), len(self.labels)) for place in np.argsort(-wrong, axis=None, kind="stable")[:SHOWN]
            ]
            lines += [
                f"(the most frequent {SHOWN} of {len(self.labels):,} labels)",
                "",
                "has -> was given, most often:",
            ]
            pairs = [(has, given) for has, given in most if wrong[has, given]]
            lines += [f"{self.labels[has]} -> {self.labels[given]}  {wrong[has, given]:,}" for has, given in pairs]
            return "\n".join(lines)
        cells = [max(len(label), len(f"{self.confusion.max():,}")) for label in self.labels]
        lines += ["", f"{'has / given':{wide}}  " + "  ".join(map("{:>{}}".format, self.labels, cells))]
        lines += [
            f"{label:{wide}}  " + "  ".join(f"{count:>{cell},}" for count, cell in zip(row, cells, strict=True))
            for label, row in zip(self.labels, self.confusion, strict=True)
        ]
        return "\n".join(lines)


def measure_labels(
    log_probabilities: npt.NDArray[np.float64],
    right: Sequence[int],
    labels: Sequence[str],
    *,
    given: Sequence[int] | None = None,
    how: str = "",
) -> ClassificationMetrics:
    """Measure what a classifier said.

    Args:
        log_probabilities: of each text's labels in nats, (N, C).
        right: the number of each text's label, (N,).
        labels: C names.
        given: the number of the label that each text was given, (N,); by default the most probable one.
        how: first fields of the signature, such as ``corpus:sst2|split:test``.

    Raises:
        TextseqError: there is no text.
    """
    if not len(right):
        raise TextseqError("there is no text to measure on; name a part or a file that holds some")
    truth = np.asarray(right)
    chosen = log_probabilities.argmax(axis=1) if given is None else np.asarray(given)
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (truth, chosen), 1)
    hits = chosen == truth
    interval = _interval(float(hits.mean()), len(hits))
    nats = -float(log_probabilities[np.arange(len(truth)), truth].mean())
    fields = [how] * bool(how) + [f"labels:{len(labels)}", f"bs:{RESAMPLES}", f"seed:{SEED}", f"textseq:{__version__}"]
    return ClassificationMetrics(tuple(labels), confusion, interval, nats, "|".join(fields))


def together(parts: Sequence[ClassificationMetrics]) -> ClassificationMetrics:
    """Several measures of one kind as one: of folds, which have no text in common, or of the same texts again."""
    first, weights = parts[0], [one.examples for one in parts]
    nats = float(np.average([one.nats for one in parts], weights=weights))
    confusion = np.sum([one.confusion for one in parts], axis=0)
    interval = _interval(float(np.trace(confusion) / confusion.sum()), int(confusion.sum()))
    return ClassificationMetrics(first.labels, confusion, interval, nats, first.signature, first.unit)


def _interval(accuracy: float, count: int) -> tuple[float, float]:
    """95 % of the accuracies that resamples of so many have."""
    # How many hits a resample of N texts has is binomial: the same numbers as drawing texts, without the texts.
    shares = np.random.default_rng(SEED).binomial(count, accuracy, RESAMPLES) / count
    low, high = np.quantile(shares, (0.025, 0.975))
    return float(low), float(high)


TEMPERED = 0.3
"""Standard deviation of the temperature's logarithm before any text is seen: how sure a model is that learnt."""


def calibrated(logits: npt.NDArray[np.float64], right: Sequence[int]) -> float:
    """The temperature by which logits must be divided for the least loss (Guo et al. 2017, section 4.2).

    A few texts say little of it: the loss is that of all texts and of a temperature other than 1, as if its logarithm
    came from N(0, ``TEMPERED``). With hundreds of texts that makes no difference. The least is found by bisection of
    the slope.

    Args:
        logits: (N, C), of texts that the model was not trained on.
        right: the number of each text's label, (N,).

    Returns:
        The temperature, from 1/20 to 20: 1 leaves the probabilities as they are, more makes them less sure.
    """
    truth, rows = np.asarray(right, np.int64), np.arange(len(right))
    low, high = 1 / 20, 20.0  # of the inverse
    for _ in range(60):
        middle = (low * high) ** 0.5
        scaled = logits * middle
        p = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        slope = float(((p * logits).sum(axis=1) - logits[rows, truth]).sum())  # of the texts' loss, by the inverse
        slope = slope * middle + np.log(middle) / TEMPERED**2  # of the whole, by its logarithm
        low, high = (low, middle) if slope > 0 else (middle, high)
    return float(1 / np.sqrt(low * high))
