"""Memory of a training, and speed of making its token file: does anonymous memory grow with the corpus?

Writes synthetic text of each size to a temporary folder, then trains a tokenizer on it, encodes it and trains a small
model for some steps, each time in a fresh process that watches its own anonymous memory (RssAnon; pages of mapped
files do not count, because the system takes them back when it needs them). Linux only.

    python benchmarks/corpus_memory.py 2 2000
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from conditions import print_conditions

import textseq
from textseq.config import DataConfig, LanguageModelConfig, TokenizerName, TrainingConfig
from textseq.corpus import own_text
from textseq.text import TOKENIZERS
from textseq.tokens import token_file, tokenizer_for

MEGABYTE = 10**6
VALIDATION = 0.001
ALPHABET = "abcdefghijklmnopqrstuvwxyzżółćěščřабвгд道可"


@dataclass(frozen=True)
class Result:
    """One size's measurement; memory in bytes of RssAnon, times in seconds."""

    utf8_bytes: int
    tokens: int
    vocabulary: int
    before: int
    encoding_peak: int
    peak: int
    """With the training."""
    opening: float
    training: float
    encoding: float
    again: float
    """Opening the token file a second time."""


class PeakMemory(threading.Thread):
    """The largest RssAnon seen while it runs, sampled every 5 ms."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._ended = threading.Event()

    def run(self) -> None:
        """Samples until ``stop``."""
        while not self._ended.wait(0.005):
            self.peak = max(self.peak, anonymous_memory())

    def stop(self) -> int:
        """Ends the sampling and returns the peak in bytes."""
        self._ended.set()
        self.join()
        return max(self.peak, anonymous_memory())


def anonymous_memory() -> int:
    """RssAnon of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("this system does not report RssAnon; run the benchmark on Linux")


def write_text(path: Path, size: int) -> None:
    """Lines of made-up words in several scripts, a block at a time, every block in another order."""
    rng = random.Random(1)
    words = ["".join(rng.choices(ALPHABET, k=rng.randint(1, 12))) for _ in range(5000)]
    lines = [(" ".join(rng.choices(words, k=12)) + "\n").encode() for _ in range(5000)]
    left = size
    with path.open("wb") as file:
        while left > 0:
            rng.shuffle(lines)
            block = b"".join(lines)[:left]
            # A cut in the middle of a character would not be UTF-8.
            block = block.decode("utf-8", "ignore").encode() or b" " * left
            left -= file.write(block)


def measure(path: Path, kind: TokenizerName, cache: Path) -> Result:
    """Makes the token file, reads it once more and trains on it, in this process."""
    # What every training costs whatever its text: torch, matplotlib and their thread pools.
    train_a_little(path.with_name("warm-up.txt"), kind)
    before = anonymous_memory()
    watch = PeakMemory()
    watch.start()
    start = time.perf_counter()
    corpus = own_text([path], validation=VALIDATION)
    opened = time.perf_counter()
    tokenizer = tokenizer_for(corpus, DataConfig(tokenizer=kind), cache)
    trained = time.perf_counter()
    tokens = token_file(corpus, "train", tokenizer, cache)
    encoded = time.perf_counter()
    token_file(corpus, "train", tokenizer_for(corpus, DataConfig(tokenizer=kind), cache), cache)
    again = time.perf_counter()
    encoding_peak = watch.peak
    train_a_little(path, kind)
    peak = watch.stop()
    return Result(
        utf8_bytes=tokens.utf8_bytes,
        tokens=len(tokens.ids),
        vocabulary=tokenizer.size,
        before=before,
        encoding_peak=encoding_peak,
        peak=peak,
        opening=opened - start,
        training=trained - opened,
        encoding=encoded - trained,
        again=again - encoded,
    )


def train_a_little(path: Path, kind: TokenizerName) -> None:
    """A few steps of a small model, with everything that a run does."""
    textseq.train(
        text=[path],
        name=path.stem,
        validation=VALIDATION,
        model=LanguageModelConfig(hidden_size=64, embedding_size=16),
        batching=DataConfig(tokenizer=kind),
        training=TrainingConfig(max_steps=100, evaluate_tokens=2000),
    )


def measure_apart(path: Path, kind: str, cache: Path) -> Result:
    """``measure`` in a fresh process."""
    command = [sys.executable, __file__, "--tokenizer", kind, "--measure", str(path), str(cache)]
    home = {**os.environ, "TEXTSEQ_HOME": str(cache.parent)}
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=home).stdout
    return Result(**json.loads(answer))


def main() -> None:
    """Measures every size asked for and prints one line each, then the recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=float, default=[2, 2000], help="megabytes of text (10**6 bytes)")
    parser.add_argument("--tokenizer", choices=TOKENIZERS, default="char")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made; needs 2-3 x the size")
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        path, cache = arguments.measure
        print(json.dumps(asdict(measure(path, arguments.tokenizer, cache))))
        return
    columns = (
        "text MB",
        "tokens",
        "V",
        "before MB",
        "encoding MB",
        "peak MB",
        "open MB/s",
        "train MB/s",
        "encode MB/s",
        "again ms",
    )
    print("".join(f"{column:>13}" for column in columns))
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            path = Path(folder, "text.txt")
            write_text(path, round(size * MEGABYTE))
            write_text(path.with_name("warm-up.txt"), MEGABYTE)
            result = measure_apart(path, arguments.tokenizer, Path(folder, "cache"))
        megabytes = result.utf8_bytes / MEGABYTE
        memory = (bytes_ / MEGABYTE for bytes_ in (result.before, result.encoding_peak, result.peak))
        speeds = (megabytes / seconds for seconds in (result.opening, result.training, result.encoding))
        figures = (megabytes, result.tokens, result.vocabulary, *memory, *speeds, result.again * 1000)
        print("".join(f"{figure:>13{',d' if isinstance(figure, int) else ',.1f'}}" for figure in figures), flush=True)
    print_conditions()


if __name__ == "__main__":
    main()
