"""A run that is killed at any moment and resumed equals one that was never stopped, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from textseq import runs
from textseq.config import DataConfig, LanguageModelConfig, OptimizerName, ScheduleName, TrainingConfig
from textseq.errors import Interrupted, TextseqError
from textseq.optimizers import OPTIMIZERS
from textseq.shelf import newest
from textseq.training import Training
from textseq.writing import Writer

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="killing children wants fork and SIGKILL")

# A process that imports everything once, and then runs textseq-train in children that can be killed.
SERVER = """
import json, os, signal, sys
import torch
torch.set_num_threads(1)
import matplotlib.backends.backend_agg, matplotlib.figure
import textseq.runs
from textseq.cli.train import train
from textseq.command import run

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
    # A timer of the process's own work, so that a busy machine does not move the moment. Its signal ends a
    # process as SIGKILL does: nothing is run any more.
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)

for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        os.dup2(os.open(order["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        if order["dies_at"]:
            die_at(order["dies_at"], order["folder"])
        if order["dies_after"]:
            die_after(order["dies_after"])
        try:
            run("textseq-train", train, order["arguments"])
        except SystemExit as stop:
            os._exit(stop.code)
        finally:
            os._exit(99)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

CASES = {
    "lstm": (
        "--cell lstm --layers 2 --hidden-size 12 --embedding-size 12 --dropout 0.3 --tie-embeddings "
        "--learn-initial-state --random-window --window 12 --batch-size 5 --schedule cosine --warmup-steps 9 "
        "--max-steps 60 --save-every 11 --evaluate-every 12 --max-epochs 1000 --ema-decay 0.95"
    ),
    "gru": (
        "--cell gru --hidden-size 12 --embedding-size 5 --stride 3 --window 9 --batch-size 4 --accumulate 2 "
        "--optimizer rmsprop --learning-rate 0.003 --schedule plateau --plateau-patience 1 --reset-probability 0.2 "
        "--max-steps 60 --save-every 7 --evaluate-every 10 --max-epochs 1000 --average best --average-count 2"
    ),
    "noise": (
        "--cell lstm-peephole --layers 2 --hidden-size 10 --embedding-size 5 --residual --layer-norm --dropout 0.2 "
        "--locked-dropout --embedding-dropout 0.2 --word-dropout 0.1 --weight-dropout 0.3 --zoneout 0.1 "
        "--zoneout-cell 0.2 --activation-penalty 0.1 --temporal-penalty 0.1 --window 8 --batch-size 4 "
        "--precision bfloat16 --max-steps 60 --save-every 9 --evaluate-every 10 --max-epochs 1000 "
        "--ema-decay 0.9 --average last --average-count 3"
    ),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a text of a few thousand letters."""
    folder = tmp_path_factory.mktemp("resume")
    words = random.Random(7).choices(["and ", "or ", "rose ", "is a ", "not ", "to be,\n"], k=800)
    (folder / "text.txt").write_text("".join(words))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTSEQ_HOME", str(folder))
        yield folder


class Server:
    """Runs textseq-train in a child."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.begun: set[str] = set()
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def answer(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def start(self, arguments: Sequence[str], *, dies_at: int = 0, dies_after: float = 0) -> int:
        """Starts the command, to be killed at a file operation or after seconds of work; returns its process id."""
        order = {
            "arguments": arguments,
            "stderr": str(self.home / "stderr.txt"),
            "folder": str(self.home / "runs"),
            "dies_at": dies_at,
            "dies_after": dies_after,
        }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def wait(self) -> tuple[int, str]:
        """Waits for the end of the command; returns its exit code and what it wrote to stderr."""
        return self.answer(), (self.home / "stderr.txt").read_text()

    def run(self, arguments: Sequence[str]) -> None:
        """Runs the command to its end, which must be a good one."""
        self.start(arguments)
        code, stderr = self.wait()
        assert code == 0, stderr

    def first_or_next(self, name: str, case: str) -> list[str]:
        """The command that begins a run, or goes on with it if it has a checkpoint."""
        folder = self.home / "runs" / name
        if newest(folder, "last") or name in self.begun:  # a checkpoint once there is never lost
            self.begun.add(name)
            return ["--resume", str(folder)]
        return [*self.begin(name, case), "--overwrite"]

    def begin(self, name: str, case: str) -> list[str]:
        return ["--text", str(self.home / "text.txt"), "--name", name, *CASES[case].split()]


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    made = Server(home)
    yield made
    assert made.process.stdin is not None
    assert made.process.stdout is not None
    made.process.stdin.close()
    made.process.wait()
    made.process.stdout.close()


@pytest.fixture(scope="module", params=CASES)
def never_stopped(request: pytest.FixtureRequest, server: Server, home: Path) -> str:
    """A case, and its run that nobody stopped."""
    case = str(request.param)
    server.run(server.begin(f"whole-{case}", case))
    return case


def outcome(folder: Path) -> dict[str, object]:
    """All that a run leaves but the clock's part in it."""
    last, best = newest(folder, "last"), newest(folder, "best")
    assert last is not None
    assert best is not None
    progress = json.loads((last / "training.json").read_text())
    del progress["seconds"]
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    clock = {"minutes", "tokens_per_second"}
    return {
        "weights": (last / "model.safetensors").read_bytes(),
        "best weights": (best / "model.safetensors").read_bytes(),
        "state": (last / "training.safetensors").read_bytes(),
        "progress": progress,
        "log": [{name: value for name, value in line.items() if name not in clock} for line in log],
        "results": json.loads((best / "config.json").read_text())["results"],
        "kept": {path.name: path.read_bytes() for path in folder.glob("*kept-*")},
        "files": sorted(path.name.split("-")[0] for path in folder.iterdir() if not path.name.startswith(".")),
    }


def same(home: Path, ours: str, theirs: str) -> None:
    found, wanted = outcome(home / "runs" / ours), outcome(home / "runs" / theirs)
    for what in wanted:
        assert found[what] == wanted[what], what


@needs_fork
def test_killed_at_random_moments(server: Server, home: Path, never_stopped: str) -> None:
    dice = random.Random(1)
    name = f"killed-{never_stopped}"
    codes = []
    for _ in range(5):
        server.start(server.first_or_next(name, never_stopped), dies_after=dice.uniform(0.02, 0.4))
        code, stderr = server.wait()
        assert code in (0, -signal.SIGPROF), stderr
        codes.append(code)
    assert sum(map(bool, codes)) >= 3
    server.run(server.first_or_next(name, never_stopped))
    same(home, name, f"whole-{never_stopped}")


@needs_fork
def test_killed_at_its_work_on_files(server: Server, home: Path, never_stopped: str) -> None:
    """Every death comes right before a file or folder is opened, made, renamed or removed."""
    dice = random.Random(2)
    name = f"cut-{never_stopped}"
    codes = []
    for _ in range(5):
        server.start(server.first_or_next(name, never_stopped), dies_at=dice.randrange(1, 90))
        code, stderr = server.wait()
        assert code in (0, -signal.SIGKILL), stderr
        codes.append(code)
    assert sum(map(bool, codes)) >= 3
    server.run(server.first_or_next(name, never_stopped))
    same(home, name, f"whole-{never_stopped}")
    leftovers = [path.name for path in (home / "runs" / name).iterdir() if path.name.endswith(".partial")]
    assert leftovers == []


@needs_fork
def test_asked_to_stop(server: Server, home: Path, never_stopped: str) -> None:
    number, code = (signal.SIGTERM, 143) if never_stopped == "gru" else (signal.SIGINT, 130)
    name = f"asked-{never_stopped}"
    folder = home / "runs" / name
    child = server.start(server.begin(name, never_stopped))
    while not (folder / "log.jsonl").exists():
        time.sleep(0.001)
    os.kill(child, number)
    found, stderr = server.wait()
    assert found == code, stderr
    step = json.loads((folder / newest_name(folder) / "training.json").read_text())["step"]
    assert stderr.splitlines()[-1] == (
        f"textseq-train: stopped at step {step} and saved; go on with: textseq-train --resume {folder}"
    )
    assert 0 < step < 60
    assert (folder / "curve.png").exists()
    server.run(["--resume", name])
    same(home, name, f"whole-{never_stopped}")


def newest_name(folder: Path) -> str:
    last = newest(folder, "last")
    assert last is not None
    return last.name


# In this process, without kills

MODEL = LanguageModelConfig(hidden_size=8, embedding_size=8, dropout=0.2)
DATA = DataConfig(batch_size=3, window=10)


def settings(
    steps: int = 30, *, optimizer: OptimizerName = "adamw", schedule: ScheduleName = "constant"
) -> TrainingConfig:
    return TrainingConfig(
        optimizer=optimizer, schedule=schedule, learning_rate=1e-3, warmup_steps=0, max_steps=steps, evaluate_every=30
    )


def train(home: Path, name: str, training: TrainingConfig, text: Path | None = None) -> Path:
    runs.train(text=[text or home / "text.txt"], name=name, model=MODEL, batching=DATA, training=training)
    return home / "runs" / name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_goes_on_from_where_it_was(
    home: Path, monkeypatch: pytest.MonkeyPatch, optimizer: OptimizerName
) -> None:
    training = settings(optimizer=optimizer, schedule="linear")
    train(home, f"whole-{optimizer}", training)
    step = Training.step

    def stopping_step(loop: Training) -> tuple[torch.Tensor, int]:
        if loop.progress.step == 12:
            signal.raise_signal(signal.SIGTERM)
        return step(loop)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", stopping_step)
        with pytest.raises(
            Interrupted, match=rf"stopped at step 13 and saved; go on with: textseq-train --resume \S+{optimizer}$"
        ):
            train(home, f"stopped-{optimizer}", training)
    torch.manual_seed(99)
    runs.resume(f"stopped-{optimizer}")
    same(home, f"stopped-{optimizer}", f"whole-{optimizer}")


def test_a_finished_run_stays_as_it_is(home: Path) -> None:
    folder = train(home, "finished", settings())
    before, card = outcome(folder), (folder / "README.md").read_text()
    writer = runs.resume(folder)
    assert isinstance(writer, Writer)
    assert outcome(folder) == before
    assert (folder / "README.md").read_text() == card
    assert writer.generate(seed=1, max_new_tokens=5)


def test_a_finished_run_goes_on_under_a_later_limit(home: Path) -> None:
    train(home, "longer", settings(30))
    runs.resume("longer", training=settings(60))
    train(home, "long", settings(60))
    same(home, "longer", "long")


def test_a_text_that_changed_is_refused(home: Path, tmp_path: Path) -> None:
    text = tmp_path / "changing.txt"
    text.write_text("a rose is a rose. " * 30)
    folder = train(home, "changing", settings(5), text)
    before = outcome(folder)
    text.write_text("a rose is a nose. " * 30)
    with pytest.raises(TextseqError, match=r"the text of \S+ is not the one that the run began with; bring that back"):
        runs.resume("changing")
    text.unlink()
    with pytest.raises(TextseqError, match=r"no file or folder \S+changing\.txt"):
        runs.resume("changing")
    assert outcome(folder) == before


def test_what_is_no_run_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", "nosuchrun"):
        with pytest.raises(
            TextseqError, match=r"there is no run to resume at \S+(empty|nosuchrun): it holds no checkp"
        ):
            runs.resume(place)


def test_another_optimizer_is_refused(home: Path) -> None:
    train(home, "optimizer", settings(5, optimizer="sgd"))
    with pytest.raises(TextseqError, match=r"the optimizer that it began with, sgd; found --optimizer adamw; leave it"):
        runs.resume("optimizer", training=settings(50))


@pytest.mark.parametrize("file", ["training.safetensors", "training.json", "model.safetensors"])
def test_a_damaged_checkpoint_is_refused(home: Path, file: str) -> None:
    folder = train(home, f"damaged-{file}", settings(5))
    path = folder / newest_name(folder) / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(TextseqError, match=rf"{file} is damaged"):
        runs.resume(folder)
