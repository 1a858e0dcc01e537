"""Small runs of ``textseq-train``, in child processes that can be killed at any moment, and what they leave.

Used by ``kills.py`` and the tests.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from children import Child

from textseq.checkpoints.registry import newest

PROGRAM = """
import os, signal, sys
import torch
from textseq.cli.train import train
from textseq.commands.command import run

def die_at(number, folder):
    left = number
    def count(event, arguments):
        nonlocal left
        if event in {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"} and folder in str(arguments[0]):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)

def die_after(seconds):
    # A timer of the process's CPU time, so that a busy machine does not move the moment. Its signal ends a process as
    # SIGKILL does: nothing runs any more.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)

torch.set_num_threads(1)
operation, seconds, folder, *arguments = sys.argv[1:]
if int(operation):
    die_at(int(operation), folder)
if float(seconds):
    die_after(float(seconds))
run("textseq-train", train, arguments)
"""
"""textseq-train, which dies at a file operation below a folder, or after seconds of work."""

LIMITS = "--max-epochs 1000 --max-steps "
CASES = {
    "lstm": LIMITS
    + "60 "
    + (
        "--text text.txt --cell lstm --num-layers 2 --hidden-size 12 --embedding-size 12 --dropout 0.3 "
        "--tie-embeddings --learn-initial-state "
        "--random-window --window 12 --batch-size 5 --schedule cosine --warmup-steps 9 "
        "--save-every 11 --evaluate-every 12 --ema-decay 0.95"
    ),
    "gru": LIMITS
    + "60 "
    + (
        "--text text.txt --cell gru --hidden-size 12 --embedding-size 5 --stride 3 --window 9 --batch-size 4 "
        "--accumulate 2 --optimizer rmsprop --learning-rate 0.003 --schedule plateau --plateau-patience 1 "
        "--reset-probability 0.2 --save-every 7 --evaluate-every 10 --average best --average-count 2"
    ),
    "noise": LIMITS
    + "60 "
    + (
        "--text text.txt --cell lstm-peephole --num-layers 2 --hidden-size 10 --embedding-size 5 --residual "
        "--layer-norm --dropout 0.2 --locked-dropout "
        "--embedding-dropout 0.2 --word-dropout 0.1 --weight-dropout 0.3 --zoneout 0.1 "
        "--zoneout-cell 0.2 --activation-penalty 0.1 --temporal-penalty 0.1 --window 8 --batch-size 4 "
        "--precision bfloat16 --save-every 9 --evaluate-every 10 --ema-decay 0.9 --average last --average-count 3"
    ),
    "translation": LIMITS
    + "30 "
    + (
        "--pairs pairs.tsv --vocabulary-size 300 --subword-sampling 0.3 --embedding-size 8 --encoder-size 8 "
        "--hidden-size 8 --attention-size 8 --word-dropout 0.1 --scheduled-sampling 0.5 --batch-size 8 "
        "--save-every 7 --evaluate-every 15 --ema-decay 0.9 --best-by bleu"
    ),
    "classification": LIMITS
    + "30 "
    + (
        "--labelled texts.csv --hidden-size 8 --embedding-size 8 --locked-dropout --weight-dropout 0.2 "
        "--adversarial 0.1 --batch-size 8 --window 9 --save-every 7 --evaluate-every 10 --optimizer sgd "
        "--learning-rate 0.1 --average last --average-count 2"
    ),
    "tagging": LIMITS
    + "30 "
    + (
        "--tagged words.conll --hidden-size 8 --embedding-size 8 --letter-size 5 --letter-hidden-size 6 --output crf "
        "--batch-size 8 --save-every 7 --evaluate-every 10 --optimizer adagrad --learning-rate 0.05"
    ),
}
"""Flags by name: together they use everything that is random or kept from step to step."""


def write_texts(home: Path) -> None:
    """Write the files that the runs are trained on."""
    dice = random.Random(7)
    words = ["and", "or", "rose", "is a", "not", "to be,"]
    sentences = [" ".join(dice.choices(words, k=dice.randint(2, 6))) for _ in range(200)]
    (home / "text.txt").write_text("".join(dice.choices([*(f"{word} " for word in words), "\n"], k=800)))
    (home / "pairs.tsv").write_text("".join(f"{one}\t{one[::-1].title()}\n" for one in sentences))
    (home / "texts.csv").write_text("label,text\n" + "".join(f'{"rose" in one},"{one}"\n' for one in sentences))
    tagged = ("".join(f"{word}\t{'XY'[len(word) % 2]}\n" for word in one.split()) for one in sentences)
    (home / "words.conll").write_text("\n".join(tagged))


class Runs:
    """Runs of textseq-train, each in a child process.

    Args:
        home: where the files of ``write_texts`` are, and ``runs`` (it must be ``TEXTSEQ_HOME``).
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.begun: set[str] = set()

    def start(self, arguments: Sequence[str], *, dies_at: int = 0, dies_after: float = 0) -> Child:
        """Start the command, to be killed at a file operation or after seconds of work."""
        death = [str(dies_at), str(dies_after), str(self.home / "runs")]
        return Child(PROGRAM, [*death, *arguments], folder=self.home)

    def run(self, arguments: Sequence[str]) -> None:
        """Run the command to its end; it must succeed."""
        child = self.start(arguments)
        _, stderr = child.communicate()
        assert child.returncode == 0, stderr

    def first_or_next(self, name: str, case: str) -> list[str]:
        """The command that starts a run, or resumes it if it has a checkpoint."""
        folder = self.home / "runs" / name
        if newest(folder, "last") or name in self.begun:  # a checkpoint once there is never lost
            self.begun.add(name)
            return ["--resume", str(folder)]
        return [*self.begin(name, case), "--overwrite"]

    def begin(self, name: str, case: str) -> list[str]:
        """The command that starts a run."""
        return ["--name", name, *CASES[case].split()]


def outcome(folder: Path) -> dict[str, object]:
    """Everything that a run leaves, except times."""
    last, best = newest(folder, "last"), newest(folder, "best")
    assert last is not None
    assert best is not None
    progress = json.loads((last / "training.json").read_text())
    del progress["seconds"]
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {
        "weights": (last / "model.safetensors").read_bytes(),
        "best weights": (best / "model.safetensors").read_bytes(),
        "state": (last / "training.safetensors").read_bytes(),
        "progress": progress,
        "log": [
            {name: value for name, value in line.items() if name != "minutes" and "per_second" not in name}
            for line in log
        ],
        "results": json.loads((best / "config.json").read_text())["results"],
        "kept": {path.name: path.read_bytes() for path in folder.glob("*averaged-*")},
        "files": sorted(path.name.split("-")[0] for path in folder.iterdir() if not path.name.startswith(".")),
    }
