"""Check that memory does not grow with the input: peak anonymous memory on a small and on a large input.

Each job runs as a user's command does, in a new process that records its anonymous memory (RssAnon; pages of mapped
files are not counted, because the system can take them back). The jobs: train a language model for some steps,
translate a file line by line, classify a table row by row. Computation is minimal: the translator echoes its sentences
in place of the search, and the classifier has four units. A tokenizer's cache of words is bounded, and the small inputs
fill it too (some 60 MB). Exits with 1 if a peak grew by more than a tenth. Linux only; the folder takes two to three
times the size of the largest input.

    python benchmarks/memory.py
    python benchmarks/memory.py translate --lines 100000 1000000
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path

import numpy as np
from conditions import print_conditions

import textseq
from textseq.checkpoints.model_info import ModelInfo
from textseq.config.tokenizer import TokenizerConfig
from textseq.config.training import TrainingConfig
from textseq.decoding.beam import Hypothesis
from textseq.tasks.classification.classifier import Classifier
from textseq.tasks.classification.config import ClassifierConfig
from textseq.tasks.classification.model import ClassifierModel
from textseq.tasks.language_model.config import LanguageModelConfig
from textseq.tasks.translation import translator as translating
from textseq.tasks.translation.config import TranslationModelConfig
from textseq.tasks.translation.model import TranslationModel
from textseq.tasks.translation.translator import Translator
from textseq.tasks.translation.vocabularies import Vocabularies
from textseq.tokenizers.pretokenizer import CACHE_SIZE
from textseq.tokenizers.words import WordTokenizer

MEGABYTE = 10**6
MOST = 0.1
"""Allowed growth of the peak."""
ALPHABET = "abcdefghijklmnopqrstuvwxyzżółćěščřабвгд道可"


class PeakMemory(threading.Thread):
    """Peak RssAnon of this process, sampled every 5 ms."""

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


def words() -> list[str]:
    """Invented words in several scripts."""
    rng = random.Random(1)
    return ["".join(rng.choices(ALPHABET, k=rng.randint(1, 12))) for _ in range(5000)]


def write(path: Path, lines: Iterable[str], enough: Callable[[int, int], bool]) -> None:
    """Lines, up to a number of lines or bytes."""
    count = size = 0
    with path.open("wb") as file:
        for line in lines:
            size += file.write(line.encode())
            count += 1
            if enough(count, size):
                break


def forever(lines: list[str], new: int) -> Iterator[str]:
    """The lines repeated, each time in another order and with new words.

    They come as in any text: so many in each line at first, until there are more than tokenizers remember; then one in
    every tenth line.
    """
    rng, found, number = random.Random(2), 0, 0
    while True:
        rng.shuffle(lines)
        for line in lines:
            number += 1
            count = new if found < 1.1 * CACHE_SIZE else int(number % 10 == 0)
            some = "".join(f" {found + n:x}" for n in range(count))
            found += count
            yield line.replace(" ", f"{some} ", 1)


# The jobs: each writes an input of some megabytes or lines to a folder, and another process works on it


def write_text(folder: Path, megabytes: float) -> None:
    """A text."""
    rng, known = random.Random(3), words()
    lines = [" ".join(rng.choices(known, k=12)) + "\n" for _ in range(5000)]
    write(folder / "text.txt", forever(lines, 1), lambda _, size: size >= megabytes * MEGABYTE)


def train(folder: Path) -> None:
    """A tokenizer, the file of tokens, and some steps of a small model."""
    textseq.train(
        text=[folder / "text.txt"],
        name="mine",
        validation=0.001,
        model=LanguageModelConfig(hidden_size=64, embedding_size=16),
        training=TrainingConfig(max_steps=100, evaluate_tokens=2000),
        report=lambda line: None,
    )


def write_sentences(folder: Path, count: float) -> None:
    """Sentences, and a translator of whole words."""
    rng, known = random.Random(4), words()
    lines = [" ".join(rng.choices(known, k=rng.randint(1, 9))) + "\n" for _ in range(20_000)]
    tokenizer = WordTokenizer.train([lines], TokenizerConfig(tokenizer="word"))
    write(folder / "in.txt", forever(lines, 5), lambda found, _: found >= count)
    config = TranslationModelConfig(embedding_size=4, encoder_size=4, hidden_size=4, attention_size=4)
    model = TranslationModel(config, tokenizer.size, tokenizer.size)
    info = ModelInfo(task="translation", model=config.to_dict())
    Translator([model], Vocabularies(tokenizer, tokenizer), info).save(folder / "model")


class Echo:
    """Replaces ``Sources``: the search returns the sentences themselves."""

    def __init__(self, models: Sequence[TranslationModel], sentences: Sequence[np.ndarray], *_: object) -> None:
        self.end, self.sentences = models[0].end, sentences

    def search(self, *_: object) -> list[list[Hypothesis]]:
        """The likeliest of each sentence, as ``Sources.search`` gives it."""
        return [[Hypothesis((*ids.tolist(), self.end), 0.0)] for ids in self.sentences]


def translate(folder: Path) -> None:
    """``textseq-translate`` from a file to a file."""
    command = import_module("textseq.cli.translate").translate
    setattr(translating, "Sources", Echo)  # noqa: B010
    files = ["--input", str(folder / "in.txt"), "--output", str(folder / "out.txt")]
    command(["--model", str(folder / "model"), *files])


def write_table(folder: Path, megabytes: float) -> None:
    """A table, and a classifier of whole words."""
    rng, known = random.Random(5), words()
    rows = [f'{n},"{" ".join(rng.choices(known, k=rng.randint(1, 300)))}"\n' for n in range(2000)]
    write(folder / "in.csv", chain(["number,text\n"], forever(rows, 20)), lambda _, size: size >= megabytes * MEGABYTE)
    tokenizer = WordTokenizer.train([rows], TokenizerConfig(tokenizer="word"))
    config = ClassifierConfig(hidden_size=4, embedding_size=4, bidirectional=False)
    info = ModelInfo(task="classification", labels=("good", "bad"), model=config.to_dict())
    Classifier(ClassifierModel(config, tokenizer.size, 2), tokenizer, info).save(folder / "model")


def classify(folder: Path) -> None:
    """``textseq-classify`` from a table to a file."""
    command = import_module("textseq.cli.classify").classify
    files = ["--input", str(folder / "in.csv"), "--output", str(folder / "out.txt")]
    command(["--model", str(folder / "model"), *files])


JOBS: dict[str, tuple[Callable[[Path, float], None], Callable[[Path], None]]] = {
    "train": (write_text, train),
    "translate": (write_sentences, translate),
    "classify": (write_table, classify),
}
"""Per job: the function that writes its input, and the one that runs it."""


def measure(job: str, folder: Path) -> int:
    """Peak of anonymous memory of a job in this process, in bytes."""
    watch = PeakMemory()
    watch.start()
    JOBS[job][1](folder)
    return watch.stop()


def measured(job: str, size: float, place: Path | None) -> tuple[int, float]:
    """Peak and seconds of a job in a new process."""
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        JOBS[job][0](folder, size)
        command = [sys.executable, __file__, "--measure", job, str(folder)]
        start = time.perf_counter()
        home = os.environ | {"TEXTSEQ_HOME": str(folder)}
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=home)
        return int(done.stdout), time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every chosen job on both sizes; print a line for each, then the conditions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", nargs="*", help=f"of {', '.join(JOBS)}; all by default")
    parser.add_argument("--text", nargs=2, type=float, default=[2, 2000], help="megabytes of text (10**6 bytes)")
    parser.add_argument("--lines", nargs=2, type=int, default=[50_000, 10_000_000], help="sentences to translate")
    parser.add_argument("--table", nargs=2, type=float, default=[50, 2000], help="megabytes of rows to classify")
    parser.add_argument("--folder", type=Path, help="parent of the temporary folders")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    o = parser.parse_args(arguments)
    if o.measure:
        print(measure(o.measure[0], Path(o.measure[1])))
        return
    if unknown := set(o.jobs) - set(JOBS):
        parser.error(f"unknown job {', '.join(unknown)}; known: {', '.join(JOBS)}")
    sizes = {"train": (o.text, "MB"), "translate": (o.lines, "lines"), "classify": (o.table, "MB")}
    grew = False
    print(f"{'job':<11}{'small':>18}{'peak MB':>10}{'large':>18}{'peak MB':>10}{'growth':>9}{'minutes':>9}")
    for job in o.jobs or JOBS:
        (small, large), unit = sizes[job]
        (before, _), (after, seconds) = (measured(job, size, o.folder) for size in (small, large))
        growth = after / before - 1
        grew |= growth > MOST
        sides = (
            f"{f'{size:,.0f} {unit}':>18}{peak / MEGABYTE:>10.1f}" for size, peak in ((small, before), (large, after))
        )
        print(f"{job:<11}{''.join(sides)}{growth:>9.1%}{seconds / 60:>9.1f}", flush=True)
    print_conditions()
    sys.exit(grew)


if __name__ == "__main__":
    main()
