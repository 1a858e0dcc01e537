"""Tagging metrics: accuracy of tags, error rates of unaligned sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from textseq.errors import TextseqError
from textseq.metrics.classification import ClassificationMetrics, measure_labels
from textseq.metrics.signature import RESAMPLES, SEED, bootstrap_signature, percentile_interval, proportion_interval


@dataclass(frozen=True)
class TaggingMetrics(ClassificationMetrics):
    """Metrics of a tagger; the interval is from resampled sentences."""

    unit: str = "words"
    unknown: tuple[int, int] = (0, 0)
    """Words outside the vocabulary: correctly tagged ones, and all."""
    sentences: tuple[int, int] = (0, 0)
    """Sentences: those with every tag correct, and all."""

    def to_dict(self) -> dict[str, object]:
        """The numbers with their signature, for a model's ``config.json``."""
        return {**super().to_dict(), "unknown_words": list(self.unknown), "sentences": list(self.sentences)}

    def __str__(self) -> str:
        shares = {"unknown words": self.unknown, "whole sentences": self.sentences}
        more = (f"; {name} {correct / max(count, 1):.2%} of {count:,}" for name, (correct, count) in shares.items())
        return super().__str__() + "".join(more)


def measure_tags(
    log_probabilities: npt.NDArray[np.float64],
    targets: Sequence[int],
    predictions: Sequence[int],
    known: Sequence[bool],
    lengths: Sequence[int],
    labels: Sequence[str],
    *,
    how: str = "",
) -> TaggingMetrics:
    """Compute the metrics of a tagger over the M words of all sentences.

    Args:
        log_probabilities: of each word's tags in nats, (M, C).
        targets: the true tags' numbers, (M,).
        predictions: the predicted tags' numbers, (M,).
        known: whether each word is in the vocabulary, (M,).
        lengths: words of each sentence, M in total.
        labels: C names.
        how: first fields of the signature.

    Raises:
        TextseqError: there is no word.
    """
    metrics = measure_labels(log_probabilities, targets, labels, predictions=predictions, how=how)
    hits, unknown, counts = np.asarray(targets) == np.asarray(predictions), ~np.asarray(known), np.asarray(lengths)
    correct = np.add.reduceat(hits.astype(np.int64), np.cumsum(counts) - counts)  # of each sentence
    # Errors within a sentence are correlated, so whole sentences are resampled.
    rng = np.random.default_rng(SEED)
    resamples = (rng.integers(len(counts), size=len(counts)) for _ in range(RESAMPLES))
    interval = percentile_interval(correct[sample].sum() / counts[sample].sum() for sample in resamples)
    return TaggingMetrics(
        metrics.labels,
        metrics.confusion,
        interval,
        metrics.nats,
        metrics.signature,
        unknown=(int(hits[unknown].sum()), int(unknown.sum())),
        sentences=(int((correct == counts).sum()), len(counts)),
    )


@dataclass(frozen=True)
class SequenceMetrics:
    """Error rates of tag sequences that are not aligned with the input."""

    error_rate: float
    """Insertions, deletions and substitutions per reference tag."""
    interval: tuple[float, float]
    """95 % percentile interval of the sequence error rate, by bootstrap."""
    wrong: int
    """Sequences with at least one error."""
    sequences: int
    signature: str

    @property
    def sequence_error_rate(self) -> float:
        """The share of wrong sequences."""
        return self.wrong / self.sequences

    def to_dict(self) -> dict[str, object]:
        """The numbers with their signature, for a model's ``config.json``."""
        return {
            "signature": self.signature,
            "error_rate": self.error_rate,
            "sequence_error_rate": self.sequence_error_rate,
            "interval_95": list(self.interval),
            "sequences": self.sequences,
        }

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"sequence error rate {self.sequence_error_rate:.2%} (95 % between {low:.2%} and {high:.2%}), tag error "
            f"rate {self.error_rate:.2%}, {self.sequences:,} sequences"
        )


def measure_sequences(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], *, how: str = ""
) -> SequenceMetrics:
    """Compute error rates by edit distance.

    Args:
        predictions: sequences of tags.
        references: for each prediction one or more references; the nearest one counts.
        how: first fields of the signature.

    Raises:
        TextseqError: there is no sequence.
    """
    from nltk.metrics.distance import edit_distance

    if not predictions:
        raise TextseqError("expected at least one sequence to evaluate on, got none; give a split or a file with some")
    edits, tags, wrong = 0, 0, 0
    for prediction, accepted in zip(predictions, references, strict=True):
        distance, length = min((edit_distance(prediction, reference), len(reference)) for reference in accepted)
        edits, tags, wrong = edits + distance, tags + length, wrong + (distance > 0)
    interval = proportion_interval(wrong / len(predictions), len(predictions))
    return SequenceMetrics(edits / max(tags, 1), interval, wrong, len(predictions), bootstrap_signature(how))
