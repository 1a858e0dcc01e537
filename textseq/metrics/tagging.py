"""Tagging metrics: accuracy of tags, error rates of unaligned sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from textseq.errors import TextseqError
from textseq.metrics.classification import RESAMPLES, SEED, ClassificationMetrics, _interval, measure_labels
from textseq.version import __version__


@dataclass(frozen=True)
class TaggingMetrics(ClassificationMetrics):
    """How often the tags of words are right; the interval is that of resampled sentences."""

    unit: str = "words"
    unknown: tuple[int, int] = (0, 0)
    """Of the words that the model does not know: how many have the right tag, and how many there are."""
    sentences: tuple[int, int] = (0, 0)
    """How many have the right tag for every word, and how many there are."""

    def to_dict(self) -> dict[str, object]:
        """The numbers with their recipe, for a model's ``config.json``."""
        return {**super().to_dict(), "unknown_words": list(self.unknown), "sentences": list(self.sentences)}

    def __str__(self) -> str:
        shares = {"unknown words": self.unknown, "whole sentences": self.sentences}
        more = (f"; {what} {right / max(of, 1):.2%} of {of:,}" for what, (right, of) in shares.items())
        return super().__str__() + "".join(more)


def measure_tags(
    log_probabilities: npt.NDArray[np.float64],
    right: Sequence[int],
    given: Sequence[int],
    known: Sequence[bool],
    lengths: Sequence[int],
    labels: Sequence[str],
    *,
    how: str = "",
) -> TaggingMetrics:
    """Measure what a tagger said of the words of all sentences, one after the other.

    Args:
        log_probabilities: of each word's tags in nats, (M, C).
        right: the number of each word's tag, (M,).
        given: the number of the tag that it was given, (M,).
        known: whether the model knows it, (M,).
        lengths: words of each sentence; together M.
        labels: C names.
        how: first fields of the signature.

    Raises:
        TextseqError: there is no word.
    """
    found = measure_labels(log_probabilities, right, labels, given=given, how=how)
    hits, strange, counts = np.asarray(right) == np.asarray(given), ~np.asarray(known), np.asarray(lengths)
    of_sentence = np.add.reduceat(hits.astype(np.int64), np.cumsum(counts) - counts)  # right words of each
    # The words of a sentence are right or wrong together, so whole sentences are drawn anew.
    rng = np.random.default_rng(SEED)
    resamples = (rng.integers(len(counts), size=len(counts)) for _ in range(RESAMPLES))
    shares = [of_sentence[drawn].sum() / counts[drawn].sum() for drawn in resamples]
    low, high = np.quantile(shares, (0.025, 0.975))
    return TaggingMetrics(
        found.labels,
        found.confusion,
        (float(low), float(high)),
        found.nats,
        found.signature,
        unknown=(int(hits[strange].sum()), int(strange.sum())),
        sentences=(int((of_sentence == counts).sum()), len(counts)),
    )


@dataclass(frozen=True)
class SequenceMetrics:
    """How often sequences that are not aligned with what was read are right."""

    error_rate: float
    """Tags that would have to be put in, left out or changed, over the tags that are right."""
    interval: tuple[float, float]
    """95 % percentile interval of the share of wrong sequences, by bootstrap."""
    wrong: int
    """Sequences that are not right in every tag."""
    sequences: int
    signature: str
    """The recipe of the numbers."""

    @property
    def sequence_error_rate(self) -> float:
        """The share of wrong sequences."""
        return self.wrong / self.sequences

    def to_dict(self) -> dict[str, object]:
        """The numbers with their recipe, for a model's ``config.json``."""
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
    given: Sequence[Sequence[str]], right: Sequence[Sequence[Sequence[str]]], *, how: str = ""
) -> SequenceMetrics:
    """Compare sequences with what is right by their edit distance.

    Args:
        given: sequences of tags.
        right: for each all that count as right, one or more; the nearest is what it is compared with.
        how: first fields of the signature.

    Raises:
        TextseqError: there is no sequence.
    """
    from nltk.metrics.distance import edit_distance

    if not given:
        raise TextseqError("there is nothing to measure on; name a part or a file that holds some")
    edits, tags, wrong = 0, 0, 0
    for one, ways in zip(given, right, strict=True):
        nearest, length = min((edit_distance(one, way), len(way)) for way in ways)
        edits, tags, wrong = edits + nearest, tags + length, wrong + (nearest > 0)
    fields = [how] * bool(how) + [f"bs:{RESAMPLES}", f"seed:{SEED}", f"textseq:{__version__}"]
    interval = _interval(wrong / len(given), len(given))
    return SequenceMetrics(edits / max(tags, 1), interval, wrong, len(given), "|".join(fields))
