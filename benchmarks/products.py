"""Microseconds of one product of a step, x W^T + b, for a few rows: torch's own, oneDNN's layout, and int8.

W is the recurrent matrix of an LSTM of 512 units, or an output layer of 8,001 tokens. Several copies of each are used
in turn, so that none stays in the nearest cache, as in a network. They alternate; prints medians, and what the best
float32 one achieves of the machine's memory speed and arithmetic.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import cycle

import torch
from conditions import print_conditions
from torch import Tensor

from textseq.nn.kernels.inference_weights import PackedLinear
from textseq.nn.kernels.int8 import Int8Linear

MATRICES = {"LSTM 512": (512, 2048, 6), "output 8,001": (512, 8001, 2)}
"""Columns, rows, and copies."""
COLUMNS = "torch", "packed", "int8"


def sides(columns: int, rows: int, copies: int) -> dict[str, Callable[[Tensor], object]]:
    """Each way to make the product."""
    weights = [torch.randn(rows, columns) / columns**0.5 for _ in range(copies)]
    bias = torch.randn(rows)
    plain = cycle(weights)
    packed = cycle([PackedLinear(weight, bias) for weight in weights])
    eight = cycle([Int8Linear(weight, bias, bounded=True) for weight in weights])
    return {
        "torch": lambda x: torch.addmm(bias, x, next(plain).t()),
        "packed": lambda x: next(packed)(x),
        "int8": lambda x: next(eight)(x),
    }


def seconds(product: Callable[[Tensor], object], x: Tensor, times: int) -> float:
    """Of one product."""
    start = time.perf_counter()
    for _ in range(times):
        product(x)
    return (time.perf_counter() - start) / times


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 5, 16, 64, 320])
    parser.add_argument("--rounds", type=int, default=9)
    o = parser.parse_args()
    print(f"{'matrix':<14}{'rows':>5}{'torch':>10}{'packed':>10}{'int8':>10}   packed: GB/s, GFLOP/s")
    for name, (columns, outputs, copies) in MATRICES.items():
        for rows in o.rows:
            x, ways = torch.rand(rows, columns) * 2 - 1, sides(columns, outputs, copies)
            times = max(10, 2000 // rows)
            taken: dict[str, list[float]] = {way: [] for way in ways}
            for round_ in range(o.rounds + 1):
                for way, product in ways.items():
                    value = seconds(product, x, times)
                    if round_ > 0:  # the first warms up
                        taken[way].append(value)
            medians = {way: statistics.median(values) for way, values in taken.items()}
            weights = columns * outputs
            achieved = weights * 4 / medians["packed"] / 1e9, 2 * rows * weights / medians["packed"] / 1e9
            shown = "".join(f"{medians[way] * 1e6:>7,.0f} us" for way in COLUMNS)
            print(f"{name:<14}{rows:>5}{shown}   {achieved[0]:.0f}, {achieved[1]:.0f}")
    print_conditions()


if __name__ == "__main__":
    main()
