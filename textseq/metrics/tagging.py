"""Tagging metrics: accuracy of tags, F1 of spans, error rates of unaligned sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from textseq.errors import TextseqError
from textseq.io.colored_text import html_lines
from textseq.metrics.classification import ClassificationMetrics, measure_labels
from textseq.metrics.signature import bootstrap_signature, percentile_interval, proportion_interval, resampled
from textseq.metrics.spans import SpanMetrics, measure_spans


@dataclass(frozen=True)
class TaggingMetrics(ClassificationMetrics):
    """Metrics of a tagger; the interval is from resampled sentences."""

    unit: str = "words"
    unknown: tuple[int, int] = (0, 0)
    """Words outside the vocabulary: correctly tagged ones, and all."""
    sentences: tuple[int, int] = (0, 0)
    """Sentences: those with every tag correct, and all."""
    spans: SpanMetrics | None = None
    """Those of named entities, or whatever the tags mark, if they mark spans."""

    def to_dict(self) -> dict[str, object]:
        """The numbers with their signature, for a model's ``config.json``."""
        words = {**super().to_dict(), "unknown_words": list(self.unknown), "sentences": list(self.sentences)}
        return words | (self.spans.to_dict() if self.spans is not None else {})

    def __str__(self) -> str:
        shares = {"unknown words": self.unknown, "whole sentences": self.sentences}
        more = (f"; {name} {correct / count:.2%} of {count:,}" for name, (correct, count) in shares.items() if count)
        spans = "" if self.spans is None else f"{self.spans}\n"
        return spans + super().__str__() + "".join(more)

    def _repr_html_(self) -> str:
        return super()._repr_html_() if self.spans is None else f"{self.spans._repr_html_()}\n{super()._repr_html_()}"

    def table(self) -> str:
        """Those of spans and of words, and the confusion matrix, for a terminal."""
        return super().table() if self.spans is None else f"{self.spans.table()}\n\n{super().table()}"


def measure_tags(
    log_probabilities: npt.NDArray[np.float64],
    targets: Sequence[int],
    predictions: Sequence[int],
    known: Sequence[bool],
    lengths: Sequence[int],
    labels: Sequence[str],
    *,
    spans: bool = False,
    setup: str = "",
) -> TaggingMetrics:
    """Compute the metrics of a tagger over the M words of all sentences.

    Args:
        log_probabilities: of each word's tags in nats, (M, C).
        targets: the true tags' numbers, (M,).
        predictions: the predicted tags' numbers, (M,).
        known: whether each word is in the vocabulary, (M,).
        lengths: words of each sentence, M in total.
        labels: C names, and those of further tags, as in ``measure_labels``.
        spans: whether the tags mark spans, which are measured too.
        setup: first fields of the signature.

    Raises:
        TextseqError: there is no word.
    """
    metrics = measure_labels(log_probabilities, targets, labels, predictions=predictions, setup=setup)
    hits, unknown, counts = np.asarray(targets) == np.asarray(predictions), ~np.asarray(known), np.asarray(lengths)
    ends = np.cumsum(counts)
    hits_before = np.append(0, np.cumsum(hits))
    correct = hits_before[ends] - hits_before[ends - counts]  # of each sentence
    # Errors within a sentence are correlated, so whole sentences are resampled.
    interval = percentile_interval(
        correct[sample].sum() / max(counts[sample].sum(), 1) for sample in resampled(len(counts))
    )
    names = np.asarray(labels)
    tags = ([part.tolist() for part in np.split(names[some], ends[:-1])] for some in (targets, predictions))
    return TaggingMetrics(
        metrics.labels,
        metrics.confusion,
        interval,
        metrics.nats,
        metrics.confidence,
        metrics.signature,
        unknown=(int(hits[unknown].sum()), int(unknown.sum())),
        sentences=(int((correct == counts).sum()), len(counts)),
        spans=measure_spans(*tags) if spans else None,
    )


@dataclass(frozen=True)
class SequenceMetrics:
    """Error rates of tag sequences that are not aligned with the input."""

    error_rate: float
    """Insertions, deletions and substitutions per reference tag."""
    interval: tuple[float, float]
    """95 % interval of the sequence error rate: see ``signature.proportion_interval``."""
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

    def _repr_html_(self) -> str:
        return html_lines(str(self), self.signature)

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"sequence error rate {self.sequence_error_rate:.2%} (95 % between {low:.2%} and {high:.2%}), tag error "
            f"rate {self.error_rate:.2%}, {self.sequences:,} sequences"
        )


def measure_sequences(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], *, setup: str = ""
) -> SequenceMetrics:
    """Compute error rates by edit distance.

    Args:
        predictions: sequences of tags.
        references: for each prediction one or more references; the nearest one counts.
        setup: first fields of the signature.

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
    return SequenceMetrics(edits / max(tags, 1), interval, wrong, len(predictions), bootstrap_signature(setup))
