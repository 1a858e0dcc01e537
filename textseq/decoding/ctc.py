"""Decoding of connectionist temporal classification (CTC, Graves et al. 2006).

A path gives each frame a label or the blank. Collapsing it merges equal neighbors and then drops the blanks: with "-"
as the blank, "hhell-loo" is "hello". The probability of a sequence of labels is the sum over all its paths.

Shapes: T frames, C labels including the blank.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import ctc_loss

BLANK = 0

UNLIKELY = 14.0
"""Nats below the likeliest label or prefix at which others are left out: less than a millionth."""


LogProbabilities = Tensor | npt.ArrayLike
"""Of each label at each frame, (T, C) in nats: a tensor, an array or a list of lists."""


def collapsed(path: Sequence[int]) -> tuple[int, ...]:
    """Collapse a path to its labels."""
    return tuple(label for label, _ in groupby(path) if label != BLANK)


def ctc_greedy(log_probabilities: LogProbabilities) -> tuple[int, ...]:
    """The labels of the likeliest path, from log-probabilities (T, C) in nats; label 0 is the blank.

    Other labels may be likelier, as the sum of many paths.

    Example:
        >>> ctc_greedy(np.log([[0.1, 0.9], [0.2, 0.8], [0.9, 0.1], [0.3, 0.7]]))
        (1, 1)
    """
    return collapsed(_frames(log_probabilities).argmax(axis=1).tolist())


def ctc_decode(log_probabilities: LogProbabilities, num_beams: int) -> tuple[tuple[int, ...], float]:
    """The likeliest labels that the beam search finds, and the log-probability of all their paths in nats.

    The arguments are those of ``ctc_beam_search``.

    Example:
        >>> labels, log_p = ctc_decode(np.log([[0.6, 0.4], [0.6, 0.4]]), num_beams=2)
        >>> labels, round(float(np.exp(log_p)), 2)
        ((1,), 0.64)
    """
    frames = _frames(log_probabilities)
    labels = ctc_beam_search(frames, num_beams)[0][0]
    if not len(frames):
        return (), 0.0
    rows = torch.from_numpy(frames).unsqueeze(1)  # (T, 1, C)
    counts = torch.tensor([len(frames)]), torch.tensor([len(labels)])
    targets = torch.tensor([labels], dtype=torch.int64)
    nats = ctc_loss(rows, targets, *counts, reduction="sum")
    return labels, -float(nats)


def ctc_beam_search(
    log_probabilities: LogProbabilities, num_beams: int, *, unlikely: float = UNLIKELY
) -> list[tuple[tuple[int, ...], float]]:
    """The likeliest sequences of labels, by beam search over prefixes (Graves 2012, section 7.5.3; Hannun 2014).

    Paths that collapse to the same prefix are summed. With as many beams as prefixes, and nothing left out as
    unlikely, the probabilities are exact; otherwise they are too low, since paths are lost.

    Args:
        log_probabilities: (T, C), nats; label 0 is the blank.
        num_beams: prefixes kept at every frame, at least 1.
        unlikely: labels so many nats below a frame's likeliest are skipped, and prefixes so many below the likeliest
            dropped: whatever follows them could follow that one.

    Returns:
        Labels and log-probability in nats, best first, at most ``num_beams``.

    Raises:
        ValueError: log-probabilities that are not (T, C), or ``num_beams`` below 1.

    Example:
        >>> (labels, log_p), *_ = ctc_beam_search(np.log([[0.6, 0.4], [0.6, 0.4]]), num_beams=2)
        >>> labels, round(float(np.exp(log_p)), 2)
        ((1,), 0.64)
    """
    if num_beams < 1:
        raise ValueError(f"num_beams: expected at least 1, got {num_beams}")
    frames = _frames(log_probabilities)
    floors = frames.max(axis=1) - unlikely
    ranked = 1 + np.argsort(-frames[:, 1:], axis=1)[:, : num_beams + 1]  # the likeliest labels of each frame
    # Prefixes are numbers, as their labels may be many: each is a shorter prefix and a label after it.
    parts, number_of = [(-1, BLANK)], dict[tuple[int, int], int]()
    # The log-probabilities of all paths that collapse to a prefix, of those that end in a blank, and in a label.
    beams = {0: (0.0, 0.0, -math.inf)}
    for frame, floor, best in zip(frames.tolist(), floors.tolist(), ranked.tolist(), strict=True):
        extended = {}
        for prefix, (total, in_blank, in_label) in beams.items():
            shorter, last = parts[prefix]
            in_label += frame[last]
            if shorter in beams and frame[last] >= floor:
                # A label counts again after itself only if a blank is between.
                before = beams[shorter][1 if parts[shorter][1] == last else 0]
                in_label = _log_sum(in_label, before + frame[last])
            in_blank = total + frame[BLANK]
            extended[prefix] = _log_sum(in_blank, in_label), in_blank, in_label
        totals = [nats[0] for nats in extended.values()]
        least = max(max(totals) - unlikely, min(totals) if len(totals) == num_beams else -math.inf)
        labels = [(label, frame[label]) for label in best if frame[label] >= floor]
        longer = []
        for rank, (prefix, (total, in_blank, _)) in enumerate(beams.items(), 1):
            last = parts[prefix][1]
            # Of the r-th prefix, the label at place c (from 0) is no better than r * c - 1 other extensions, as only
            # a label after itself may be less likely than its place says.
            for label, p in labels[: num_beams // rank + 1]:
                if total + p <= least:
                    break
                p += in_blank if label == last else total
                if p > least and number_of.get((prefix, label)) not in beams:
                    longer.append((p, (prefix, label)))
        longer.sort(reverse=True)
        for total, part in longer[:num_beams]:
            number = number_of.setdefault(part, len(parts))
            if number == len(parts):
                parts.append(part)
            extended[number] = total, -math.inf, total
        kept = sorted(extended.items(), key=itemgetter(1), reverse=True)[:num_beams]
        beams = {prefix: nats for prefix, nats in kept if not nats[0] < kept[0][1][0] - unlikely}
    return [(_labels(prefix, parts), total) for prefix, (total, *_) in beams.items()]


def _frames(log_probabilities: LogProbabilities) -> npt.NDArray[np.float64]:
    """Log-probabilities (T, C) as an array; a ValueError if they are of another shape."""
    if isinstance(log_probabilities, Tensor):
        log_probabilities = log_probabilities.detach().double().cpu().numpy()
    frames = np.array(log_probabilities, dtype=np.float64)
    if frames.ndim != 2:
        raise ValueError(f"log_probabilities: expected (T, C), frames by labels, got {frames.shape}; give one text")
    return frames


def _labels(prefix: int, parts: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    labels = []
    while prefix:
        prefix, label = parts[prefix]
        labels.append(label)
    return tuple(reversed(labels))


def _log_sum(a: float, b: float) -> float:
    """log(exp a + exp b)."""
    most, least = (a, b) if a > b else (b, a)
    return most if least == -math.inf else most + math.log1p(math.exp(least - most))
