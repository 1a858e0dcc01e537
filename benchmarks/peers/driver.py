"""Shared by the drivers: the model that all sides train, the clock, and the line of JSON that each prints.

A driver is a module in this folder, run by the interpreter that has its package: ``python -m peers.onmt``. It defines
how its package trains and translates. The rest is here, the same for all, and needs only Python. Tokens are separated
by spaces, so that no side tokenizes again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

EMBEDDING = 256
ENCODER = 256
"""Units of each direction of the encoder's one layer, GRU."""
DECODER = 512
"""Units of the decoder, GRU, and of the attention, Bahdanau's."""
DROPOUT = 0.3
SENTENCES = 80
"""Sentences in a batch of training."""
LEARNING_RATE = 1e-3
"""Of Adam, constant."""
CLIPPING = 5.0
"""The largest norm of all gradients."""
BEAM = 5
LONGEST = 100
"""Tokens after which a translation is cut."""

UNTIL_STOPPED = {
    "batch_type": "sents",
    "normalization": "tokens",
    "batch_size": SENTENCES,
    "bucket_size": 29000,
    "num_workers": 0,
    "train_steps": 10**6,
    "start_decay_steps": 10**7,
    "valid_steps": 10**7,
    "save_checkpoint_steps": 10**7,
}
"""Settings of OpenNMT-py and Eole: batches of sentences, until ``stop_by_clock`` says that it is enough."""

WARM_UP = 3
"""Sentences translated one by one before the clock counts."""


@dataclass(frozen=True)
class Job:
    """What a driver is asked for: the folder of the text, the folder of its own files, and how to compute.

    The text folder has ``train``, ``val`` and ``test`` with the endings ``.en`` and ``.de``, one sentence to a line,
    and ``pieces.txt``, the one vocabulary of both sides.
    """

    text: Path
    model: Path
    threads: int
    precision: str
    seed: int


class Clock:
    """Notes when each step of training began and what it learns from, and says when it is enough.

    Args:
        warm_up: steps that are not counted.
        steps: steps that are, if the time lasts.
        minutes: processor time for all of them, so that a busy machine makes no worse model.
    """

    def __init__(self, warm_up: int, steps: int, minutes: float) -> None:
        self._warm_up, self._steps = warm_up, steps
        self._minutes, self._deadline = minutes, math.inf
        self._begun: list[float] = []
        self._tokens: list[int] = []

    def begin(self, tokens: int) -> bool:
        """Called before every step with its target tokens (no padding, ends of sentences counted); False: stop here."""
        if not self._begun:
            self._deadline = time.process_time() + 60 * self._minutes
        self._begun.append(time.perf_counter())
        self._tokens.append(tokens)
        return time.process_time() < self._deadline and len(self._begun) <= self._warm_up + self._steps

    def result(self) -> dict[str, object]:
        """Target tokens per second, and how many steps and tokens were counted."""
        seconds = self._begun[-1] - self._begun[self._warm_up]
        tokens = self._tokens[self._warm_up : -1]
        return {"tokens_per_second": sum(tokens) / seconds, "steps": len(tokens), "tokens": sum(tokens)}


Train = Callable[[Job, Clock], None]
"""Train a new model until the clock stops it, and leave it in the job's folder."""

Translate = Callable[[list[str], int], list[str]]
"""Sentences, and how many at once -> their translations, in order. Tokens stand between blanks in both."""

Load = Callable[[Job], Translate]
"""Load what ``Train`` left."""


def corpora(job: Job) -> dict[str, dict[str, str]]:
    """The texts to train and validate on, as OpenNMT-py and Eole want them."""
    return {
        name: {"path_src": str(job.text / f"{part}.en"), "path_tgt": str(job.text / f"{part}.de")}
        for name, part in (("corpus", "train"), ("valid", "val"))
    }


def stop_by_clock(trainer: type, clock: Clock) -> None:
    """Let OpenNMT-py's or Eole's Trainer tell the clock of every step, and stop when it is enough."""
    batches_of = vars(trainer)["_accum_batches"]

    def clocked(self: object, batches: object) -> Iterator[object]:
        padding = vars(self)["train_loss"].padding_idx
        for group, normalization in batches_of(self, batches):
            if not clock.begin(sum(int(batch["tgt"][:, 1:].ne(padding).sum()) for batch in group)):
                return
            yield group, normalization

    setattr(trainer, "_accum_batches", clocked)  # noqa: B010  mypy knows no such attribute


def _translating(translate: Translate, sentences: list[str], batch: int, single: int) -> dict[str, object]:
    waits = []
    for sentence in [*sentences[:WARM_UP], *sentences[:single]]:
        start = time.perf_counter()
        translate([sentence], 1)
        waits.append(time.perf_counter() - start)
    start = time.perf_counter()
    translations = translate(sentences, batch)
    seconds = time.perf_counter() - start
    tokens = sum(len(translation.split()) for translation in translations)
    return {
        "tokens_per_second": tokens / seconds,
        "milliseconds": 1000 * statistics.median(waits[WARM_UP:]),
        "tokens": tokens,
        "translations": translations,
    }


def main(package: str, train: Train, load: Load) -> None:
    """Do what the command line asks for and print the result, with the versions, as the last line."""
    parser = argparse.ArgumentParser(description=f"Drive {package}; the last line is JSON.")
    parser.add_argument("action", choices=["speed", "train", "translate"])
    parser.add_argument("text", type=Path, help="the folder of the tokenized text")
    parser.add_argument("model", type=Path, help="the folder of the trained model")
    parser.add_argument("--warm-up", type=int, default=10, help="steps before the clock counts")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=20, help="of processor time, for train")
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=100, help="sentences translated at once")
    parser.add_argument("--single", type=int, default=20, help="sentences translated one by one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--seed", type=int, default=1)
    o = parser.parse_args()
    import torch

    torch.set_num_threads(o.threads)

    def job(model: Path) -> Job:
        return Job(o.text.resolve(), model.resolve(), o.threads, o.precision, o.seed)

    with contextlib.redirect_stdout(sys.stderr):  # what the package itself prints
        if o.action == "translate":
            sentences = (o.text / "test.en").read_text(encoding="utf-8").splitlines()[: o.sentences]
            result = _translating(load(job(o.model)), sentences, o.batch, o.single)
        elif o.action == "speed":
            clock = Clock(o.warm_up, o.steps, math.inf)
            with tempfile.TemporaryDirectory() as folder:
                train(job(Path(folder)), clock)
            result = clock.result()
        else:
            clock = Clock(0, sys.maxsize, o.minutes)
            unfinished = o.model.with_name(f"{o.model.name}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed
            unfinished.mkdir(parents=True)
            train(job(unfinished), clock)
            unfinished.rename(o.model)
            result = clock.result()
    print(json.dumps({**result, "package": f"{package} {version(package)}", "torch": torch.__version__}))
