"""Decoding of connectionist temporal classification (CTC, Graves et al. 2006).

A path gives each frame a label or the blank. Collapsing it merges equal neighbors and then drops the blanks: with "-"
as the blank, "hhell-loo" is "hello". The probability of a sequence of labels is the sum over all its paths.

Shapes: T frames, C labels including the blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import groupby
from types import ModuleType

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import ctc_loss

BLANK = 0

UNLIKELY = 14.0
"""Nats below a frame's likeliest label at which other labels are skipped: less than a millionth."""


FIRST_SIGN = 0x10000
"""Code point that stands for the blank in fast-ctc-decode, followed by those of the labels."""


def collapsed(path: Sequence[int]) -> tuple[int, ...]:
    """Collapse a path to its labels."""
    return tuple(label for label, _ in groupby(path) if label != BLANK)


def ctc_greedy(log_probabilities: npt.NDArray[np.floating]) -> tuple[int, ...]:
    """The labels of the likeliest path, from log-probabilities (T, C) in nats; label 0 is the blank.

    Other labels may be likelier, as the sum of many paths.

    Example:
        >>> ctc_greedy(np.log([[0.1, 0.9], [0.2, 0.8], [0.9, 0.1], [0.3, 0.7]]))
        (1, 1)
    """
    return collapsed(log_probabilities.argmax(axis=1).tolist())


def ctc_decode(log_probabilities: npt.NDArray[np.floating], num_beams: int) -> tuple[tuple[int, ...], float]:
    """The likeliest labels that the beam search finds, and the log-probability of all their paths in nats.

    With the package fast-ctc-decode (the extra ``ctc``) it takes a fiftieth to a hundredth of the time;
    ``ctc_beam_search`` is its reference. The arguments are those of ``ctc_beam_search``.

    Example:
        >>> labels, log_p = ctc_decode(np.log([[0.6, 0.4], [0.6, 0.4]]), num_beams=2)
        >>> labels, round(float(np.exp(log_p)), 2)
        ((1,), 0.64)
    """
    frames, count = log_probabilities.shape
    if not frames:
        return (), 0.0
    if (fast := _fast_ctc_decode()) is None:
        labels = ctc_beam_search(log_probabilities, num_beams)[0][0]
    else:
        signs = [chr(FIRST_SIGN + number) for number in range(count)]
        p = np.exp(log_probabilities).astype(np.float32)
        text, _ = fast.beam_search(p, signs, beam_size=num_beams, beam_cut_threshold=float(np.exp(-UNLIKELY)))
        labels = tuple(ord(sign) - FIRST_SIGN for sign in text)
    rows = torch.from_numpy(log_probabilities.astype(np.float64)).unsqueeze(1)  # (T, 1, C)
    targets, lengths = torch.tensor([labels], dtype=torch.int64), (torch.tensor([frames]), torch.tensor([len(labels)]))
    nats = ctc_loss(rows, targets, *lengths, reduction="sum")
    return labels, -float(nats)


def _fast_ctc_decode() -> ModuleType | None:
    try:
        return import_module("fast_ctc_decode")
    except ImportError:
        return None


@dataclass
class _Prefix:
    """Log-probability of all paths that collapse to a prefix, by whether they end in a blank."""

    in_blank: float = -np.inf
    in_label: float = -np.inf
    total: float = field(default=-np.inf)

    def add(self, *, blank: float = -np.inf, label: float = -np.inf) -> None:
        self.in_blank = _sum(self.in_blank, blank)
        self.in_label = _sum(self.in_label, label)
        self.total = _sum(self.in_blank, self.in_label)


def ctc_beam_search(
    log_probabilities: npt.NDArray[np.floating], num_beams: int, *, unlikely: float = UNLIKELY
) -> list[tuple[tuple[int, ...], float]]:
    """The likeliest sequences of labels, by beam search over prefixes (Graves 2012, section 7.5.3; Hannun 2014).

    Paths that collapse to the same prefix are summed. With as many beams as prefixes, and no label skipped, the
    probabilities are exact; with fewer they are too low, since paths are lost.

    Args:
        log_probabilities: (T, C), nats; label 0 is the blank.
        num_beams: prefixes kept at every frame, at least 1.
        unlikely: labels so many nats below a frame's likeliest are skipped.

    Returns:
        Labels and log-probability in nats, best first, at most ``num_beams``.

    Example:
        >>> (labels, log_p), *_ = ctc_beam_search(np.log([[0.6, 0.4], [0.6, 0.4]]), num_beams=2)
        >>> labels, round(float(np.exp(log_p)), 2)
        ((1,), 0.64)
    """
    assert num_beams >= 1
    # Prefixes are numbers, as their labels may be many: each is a shorter prefix and a label after it.
    parts, number_of = [(0, BLANK)], dict[tuple[int, int], int]()
    beams: dict[int, _Prefix] = {0: _Prefix(in_blank=0.0, total=0.0)}
    for frame in log_probabilities.astype(np.float64):
        blank = float(frame[BLANK])
        likely = np.flatnonzero(frame >= frame.max() - unlikely)
        labels = [(int(label), float(frame[label])) for label in likely if label != BLANK]
        extended: dict[int, _Prefix] = {}
        for prefix, known in beams.items():
            here = extended.setdefault(prefix, _Prefix())
            here.add(blank=known.total + blank)
            last = parts[prefix][1]
            if prefix:
                here.add(label=known.in_label + float(frame[last]))
            for label, p in labels:
                # A label counts again after itself only if a blank is between.
                before = known.in_blank if last == label else known.total
                if before > -np.inf:
                    longer = number_of.setdefault((prefix, label), len(parts))
                    if longer == len(parts):
                        parts.append((prefix, label))
                    extended.setdefault(longer, _Prefix()).add(label=before + p)
        ranked = sorted(extended.items(), key=lambda item: -item[1].total)
        beams = dict(ranked[:num_beams])
    return [(_labels(prefix, parts), known.total) for prefix, known in beams.items()]


def _labels(prefix: int, parts: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    labels = []
    while prefix:
        prefix, label = parts[prefix]
        labels.append(label)
    return tuple(reversed(labels))


def _sum(a: float, b: float) -> float:
    """log(exp a + exp b)."""
    return float(np.logaddexp(a, b))
