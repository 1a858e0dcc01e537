"""Milliseconds of two parts of a translator's step, each against what it replaces.

The attention scores of every hypothesis and source position: v^T tanh(q + k), against exponentials computed once
(``sigmoid_of_sum``). The most likely tokens of every hypothesis: torch's ``topk``, against a search block by block
(``likeliest``). Both alternate in one process; prints medians.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial

import torch
from conditions import print_conditions
from sides import in_turns, seconds

from textseq.decoding.beam import top_tokens
from textseq.nn.attention import AdditiveAttention

CPU = torch.device("cpu")


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sentences", type=int, default=64)
    parser.add_argument("--beams", type=int, default=5)
    parser.add_argument("--source", type=int, default=14, help="tokens of a source")
    parser.add_argument("--size", type=int, default=512, help="width of the comparison")
    parser.add_argument("--vocabulary", type=int, default=8001)
    parser.add_argument("--rounds", type=int, default=15)
    o = parser.parse_args()
    torch.manual_seed(0)
    attention = AdditiveAttention(o.size, o.size, o.size)
    keys, query = torch.randn(o.sentences, o.source, o.size), torch.randn(o.sentences, o.beams, o.size)
    logits = torch.randn(o.sentences * o.beams, o.vocabulary)
    works: dict[str, Callable[[], object]] = {
        "comparing, tanh": partial(attention.scores, query, keys),
        "comparing, exponentials made once": partial(attention.scorer(keys), query),
        "likeliest tokens, topk": partial(logits.topk, o.beams, dim=1),
        "likeliest tokens, block by block": partial(top_tokens, logits, o.beams),
    }
    taken = in_turns({name: partial(seconds, work, 10, CPU) for name, work in works.items()}, o.rounds)
    for name, values in taken.items():
        print(f"{name:<36}{statistics.median(values) * 100:>7.2f} ms")
    print(f"{o.sentences} sentences with {o.beams} hypotheses, S {o.source}, A {o.size}, V {o.vocabulary:,}")
    print_conditions()


if __name__ == "__main__":
    main()
