"""The arithmetic and memory speed of this machine, and what each code path needs: the limits in the table.

Arithmetic: products of large float32 matrices, the faster of torch's own and oneDNN's layout. Reading: a matrix as
large as a model's weights, multiplied by one vector again and again, which is bound by memory. Only products are
counted, two operations per weight and row; a gradient takes twice as many as its forward pass.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from conditions import print_conditions
from peers import driver

from textseq.nn.kernels.inference_weights import PackedLinear, has_onednn


def fastest(works: list[Callable[[], object]], seconds: float) -> float:
    """Seconds per run of the fastest function. Each runs repeatedly for some time; its best tenth is left out.

    A limit must not be the one lucky run of many, nor the mean of a busy machine.
    """
    found = []
    for work in works:
        work()
        times, end = [], time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
        found.append(statistics.quantiles(times, n=10)[0] if len(times) > 1 else times[0])
    return min(found)


@torch.inference_mode()
def flops(seconds: float = 1.0) -> float:
    """Operations per second of float32 products; a multiplication and an addition count as two."""
    size = 1536
    a, b = torch.randn(size, size), torch.randn(size, size)
    ways: list[Callable[[], object]] = [lambda: a @ b]
    if has_onednn():
        packed = PackedLinear(b)
        ways.append(lambda: packed(a))
    return 2 * size**3 / fastest(ways, seconds)


@torch.inference_mode()
def bandwidth(size: float, seconds: float = 1.0) -> float:
    """Bytes per second when reading ``size`` bytes of weights repeatedly."""
    columns = 1024
    rows = max(1, round(size / 4 / columns))
    matrix, vector = torch.randn(rows, columns), torch.randn(columns)
    as_numpy, row = matrix.numpy(), vector.numpy()
    return 4 * rows * columns / fastest([lambda: matrix @ vector, lambda: np.dot(as_numpy, row)], seconds)


def weights(layers: int, hidden: int, vocabulary: int) -> int:
    """Weights read for one character of an LSTM; the input product of its first layer is a table."""
    return 4 * hidden**2 * (2 * layers - 1) + vocabulary * hidden


def writing(layers: int, hidden: int, vocabulary: int, texts: int, seconds: float = 1.0) -> float:
    """Upper bound on characters per second of all texts together in float32: arithmetic or reading, the lower."""
    count = weights(layers, hidden, vocabulary)
    return min(flops(seconds) / (2 * count), texts * bandwidth(4 * count, seconds) / (4 * count))


def training(layers: int, hidden: int, vocabulary: int) -> float:
    """Operations of a language model's training step for each token; its first layer reads embeddings of H."""
    return 3 * 2 * (4 * hidden * 2 * hidden * layers + vocabulary * hidden)


@dataclass(frozen=True)
class Translator:
    """The weights used for a token in the translator of ``translation.py``."""

    embedding: int = driver.EMBEDDING
    encoder: int = driver.ENCODER
    hidden: int = driver.DECODER
    vocabulary: int = 8001

    @property
    def source(self) -> int:
        """Weights for each source token: both directions of the encoder, and the key."""
        values = 2 * self.encoder
        return 2 * 3 * self.encoder * (self.embedding + self.encoder) + values * self.hidden

    @property
    def target(self) -> int:
        """Weights per target token and hypothesis; in decoding the words' part of the gates is a table."""
        values = 2 * self.encoder
        decoder = 3 * self.hidden * (values + self.hidden) + self.hidden * self.hidden
        return decoder + (self.hidden + values) * self.embedding + self.embedding * self.vocabulary

    @property
    def training(self) -> float:
        """Operations per target token, for sources and targets of the same length."""
        words = (3 * self.hidden + self.embedding) * self.embedding
        return 3 * 2 * (self.source + self.target + words)

    @property
    def writing(self) -> float:
        """Operations per generated token."""
        return 2 * (self.source + driver.BEAM * self.target)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--num-layers", type=int, default=2)
    o = parser.parse_args()
    count, rate, translator = weights(o.num_layers, o.hidden_size, 65), flops(), Translator()
    print(f"arithmetic: {rate / 1e9:,.0f} GFLOP/s in float32")
    print(f"reading {4 * count / 1e6:.1f} MB of weights repeatedly: {bandwidth(4 * count) / 1e9:,.0f} GB/s")
    for texts in (1, 64, 512):
        print(f"writing {texts} texts: at most {writing(o.num_layers, o.hidden_size, 65, texts):,.0f} characters/s")
    for what, operations in (
        ("training a language model", training(o.num_layers, o.hidden_size, 65)),
        ("training a translator", translator.training),
        ("translating", translator.writing),
    ):
        print(f"{what}: {operations / 1e6:,.1f} million operations, at most {rate / operations:,.0f} tokens/s")
    print_conditions()


if __name__ == "__main__":
    main()
