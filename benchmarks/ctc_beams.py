"""Milliseconds of a CTC prefix beam search per text, ours in Python beside fast-ctc-decode's in Rust.

The frames are drawn at random. How many labels are likely in a frame decides the time of both: nearly all of them,
half, or one, as in a network that has learned its task. Goal: at most five times fast-ctc-decode's time.

    pip install fast-ctc-decode; python benchmarks/ctc_beams.py
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from conditions import print_conditions
from fast_ctc_decode import beam_search
from sides import in_turns, seconds
from table import Row, note

from textseq.decoding.ctc import UNLIKELY, ctc_beam_search

CPU = torch.device("cpu")
SHARPNESS = {"nearly all labels": 2.0, "half": 6.0, "one": 40.0}
"""Standard deviation of the logits."""


def log_probabilities(frames: int, labels: int, sharpness: float) -> npt.NDArray[np.float64]:
    """(T, C), with the blank as the likeliest label of every other frame."""
    logits = np.random.default_rng(1).normal(scale=sharpness, size=(frames, labels))
    logits[::2, 0] = logits[::2].max(axis=1) + 1
    normalized: npt.NDArray[np.float64] = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return normalized


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--labels", type=int, default=40, help="including the blank")
    parser.add_argument("--beams", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--times", type=int, default=20, help="searches of each side in a round")
    o = parser.parse_args()
    signs = "".join(chr(0x10000 + number) for number in range(o.labels))
    cut = float(np.exp(-UNLIKELY))
    for name, sharpness in SHARPNESS.items():
        log_p = log_probabilities(o.frames, o.labels, sharpness)
        p = np.exp(log_p).astype(np.float32)
        labels = tuple(signs.index(sign) for sign in beam_search(p, signs, o.beams, cut)[0])
        same = "the same" if labels == ctc_beam_search(log_p, o.beams)[0][0] else "other"
        searches = {
            "ours": partial(ctc_beam_search, log_p, o.beams),
            "fast-ctc-decode": partial(beam_search, p, signs, o.beams, cut),
        }
        taken = in_turns({side: partial(seconds, search, o.times, CPU) for side, search in searches.items()}, o.rounds)
        ours, theirs = (1000 / o.times * statistics.median(values) for values in taken.values())
        ratio = statistics.median(own / other for own, other in zip(*taken.values(), strict=True))
        likely = (log_p >= log_p.max(axis=1, keepdims=True) - UNLIKELY).sum(axis=1).mean()
        print(f"{name} likely ({likely:.1f}): {ours:.2f} ms over {theirs:.2f} ms, ratio {ratio:.2f}; {same} labels")
        note(Row(f"CTC beam search over fast-ctc-decode, {name} likely", ours, "ms", ratio, 5.0, at_most=True))
    print(f"T {o.frames}, {o.labels} labels, {o.beams} beams")
    print_conditions()


if __name__ == "__main__":
    main()
