"""Connectionist temporal classification (Graves et al. 2006): labels or blanks frame by frame -> a sequence of labels.

A path gives each frame a label or the blank. Collapsing it merges equal neighbours and then drops the blanks, so
"hhell-loo" is "hello" with "-" as the blank. The probability of a sequence is that of all its paths together.

Shapes: T frames, C labels, the blank counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt

BLANK = 0
"""The number of the blank."""

UNLIKELY = 14.0
"""Nats below a frame's likeliest label at which others are not looked at: less than a millionth."""


def collapsed(path: Sequence[int]) -> tuple[int, ...]:
    """The labels that a path stands for."""
    return tuple(label for label, _ in groupby(path) if label != BLANK)


def alignments(labels: Sequence[int], frames: int) -> Iterator[tuple[int, ...]]:
    """Every path of so many frames that collapses to these labels, in order; there are very many of long ones."""

    def from_here(frame: int, done: int, before: int) -> Iterator[tuple[int, ...]]:
        wanted = len(labels) - done
        if frames - frame < wanted:  # each label wants a frame
            return
        if frame == frames:
            yield ()
            return
        steps = {BLANK: done}
        if before != BLANK:
            steps[before] = done
        if wanted and labels[done] != before:
            steps[labels[done]] = done + 1
        for label, then in sorted(steps.items()):
            yield from ((label, *rest) for rest in from_here(frame + 1, then, label))

    return from_here(0, 0, BLANK)


def greedy(log_probabilities: npt.NDArray[np.floating]) -> tuple[int, ...]:
    """The labels of the likeliest path of (T, C); not always the likeliest labels, for these may have many paths."""
    return collapsed(log_probabilities.argmax(axis=1).tolist())


@dataclass
class _Prefix:
    """The log-probability of all paths until now that collapse to a prefix, by what they end in."""

    in_blank: float = -np.inf
    in_label: float = -np.inf
    total: float = field(default=-np.inf)

    def add(self, *, blank: float = -np.inf, label: float = -np.inf) -> None:
        self.in_blank = _sum(self.in_blank, blank)
        self.in_label = _sum(self.in_label, label)
        self.total = _sum(self.in_blank, self.in_label)


def prefix_beam(
    log_probabilities: npt.NDArray[np.floating], num_beams: int, *, unlikely: float = UNLIKELY
) -> list[tuple[tuple[int, ...], float]]:
    """The likeliest sequences of labels, by a beam search over prefixes (Graves 2012, section 7.5.3; Hannun 2014).

    Paths that collapse to the same prefix are added up as they come together, which is what a search over paths cannot
    do. With as many beams as there are prefixes, and nothing too unlikely, the probabilities are exact; with fewer they
    are too low, for paths are lost.

    Args:
        log_probabilities: of the labels in each frame, in nats, (T, C).
        num_beams: prefixes that are kept at every frame, at least 1.
        unlikely: labels so many nats below a frame's likeliest are passed over there.

    Returns:
        Labels and log-probability in nats, the likeliest first, ``num_beams`` of them at most.
    """
    assert num_beams >= 1
    # Prefixes go by numbers, for their labels may be very many: each is another one and a label after it.
    parts, number_of = [(0, BLANK)], dict[tuple[int, int], int]()
    beams: dict[int, _Prefix] = {0: _Prefix(in_blank=0.0, total=0.0)}
    for frame in log_probabilities.astype(np.float64):
        blank = float(frame[BLANK])
        likely = np.flatnonzero(frame >= frame.max() - unlikely)
        labels = [(int(label), float(frame[label])) for label in likely if label != BLANK]
        found: dict[int, _Prefix] = {}
        for prefix, known in beams.items():
            here = found.setdefault(prefix, _Prefix())
            here.add(blank=known.total + blank)
            last = parts[prefix][1]
            if prefix:
                here.add(label=known.in_label + float(frame[last]))
            for label, p in labels:
                # After itself a label begins anew only where a blank lies between.
                before = known.in_blank if last == label else known.total
                if before > -np.inf:
                    longer = number_of.setdefault((prefix, label), len(parts))
                    if longer == len(parts):
                        parts.append((prefix, label))
                    found.setdefault(longer, _Prefix()).add(label=before + p)
        ranked = sorted(found.items(), key=lambda item: -item[1].total)
        beams = dict(ranked[:num_beams])
    return [(_labels(prefix, parts), known.total) for prefix, known in beams.items()]


def _labels(prefix: int, parts: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """The labels of a prefix, each of which is another one and a label after it."""
    labels = []
    while prefix:
        prefix, label = parts[prefix]
        labels.append(label)
    return tuple(reversed(labels))


def _sum(a: float, b: float) -> float:
    """log(exp a + exp b)."""
    return float(np.logaddexp(a, b))
