"""A run that is killed at any moment and resumed equals one that was never stopped, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from killable import Runs, outcome, write_texts
from safetensors.torch import save_file

import textseq
from textseq.checkpoints import checkpoint
from textseq.checkpoints.registry import newest
from textseq.config.training import OptimizerName, ScheduleName, TrainingConfig
from textseq.errors import Interrupted, TextseqError
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.tasks.language_model.generator import TextGenerator
from textseq.training.optimizers import OPTIMIZERS
from textseq.training.trainer import Trainer

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="killing children wants fork and SIGKILL")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with texts of a few thousand letters."""
    folder = tmp_path_factory.mktemp("resume")
    write_texts(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTSEQ_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def runs(home: Path) -> Runs:
    return Runs(home)


@pytest.fixture(scope="module", params=("lstm", "gru", "noise"))
def never_stopped(request: pytest.FixtureRequest, runs: Runs, home: Path) -> str:
    """A case, and its run that nobody stopped."""
    case = str(request.param)
    runs.run(runs.begin(f"whole-{case}", case))
    return case


def same(home: Path, ours: str, theirs: str) -> None:
    found, wanted = outcome(home / "runs" / ours), outcome(home / "runs" / theirs)
    for what in wanted:
        assert found[what] == wanted[what], what


def run_killed(runs: Runs, name: str, case: str, deaths: Sequence[tuple[int, float]]) -> int:
    """Resume a run after each death (at a file operation, or after seconds), to its end; returns the deaths."""
    killed = 0
    for operation, seconds in deaths:
        child = runs.start(runs.first_or_next(name, case), dies_at=operation, dies_after=seconds)
        _, stderr = child.communicate()
        assert child.returncode in (0, -(signal.SIGKILL if operation else signal.SIGPROF)), stderr
        killed += child.returncode != 0
    runs.run(runs.first_or_next(name, case))
    same(runs.home, name, f"whole-{case}")
    return killed


@needs_fork
def test_killed_at_random_moments(runs: Runs, never_stopped: str) -> None:
    dice = random.Random(1)
    deaths = [(0, dice.uniform(0.02, 0.4)) for _ in range(5)]
    assert run_killed(runs, f"killed-{never_stopped}", never_stopped, deaths) >= 3


@needs_fork
def test_killed_at_its_work_on_files(runs: Runs, home: Path, never_stopped: str) -> None:
    """Every death comes right before a file or folder is opened, made, renamed or removed."""
    dice = random.Random(2)
    name = f"cut-{never_stopped}"
    assert run_killed(runs, name, never_stopped, [(dice.randrange(1, 90), 0.0) for _ in range(5)]) >= 3
    leftovers = [path.name for path in (home / "runs" / name).iterdir() if path.name.endswith(".partial")]
    assert leftovers == []


@needs_fork
@pytest.mark.parametrize("case", ["translation", "classification", "tagging"])
def test_runs_of_other_tasks_killed_at_both(runs: Runs, case: str) -> None:
    """A shorter version of ``benchmarks/kills.py``, as the two above are."""
    dice = random.Random(3)
    runs.run(runs.begin(f"whole-{case}", case))
    deaths = [(dice.randrange(20, 90), 0.0), (0, dice.uniform(0.1, 0.6))] * 2
    assert run_killed(runs, f"killed-{case}", case, deaths) >= 2


@needs_fork
def test_asked_to_stop(runs: Runs, home: Path, never_stopped: str) -> None:
    number, code = (signal.SIGTERM, 143) if never_stopped == "gru" else (signal.SIGINT, 130)
    name = f"asked-{never_stopped}"
    folder = home / "runs" / name
    child = runs.start(runs.begin(name, never_stopped))
    while not (folder / "log.jsonl").exists():
        time.sleep(0.001)
    child.send_signal(number)
    _, stderr = child.communicate()
    assert child.returncode == code, stderr
    step = json.loads((folder / newest_name(folder) / "training.json").read_text())["step"]
    assert stderr.splitlines()[-1] == (
        f"textseq-train: stopped at step {step} and saved; continue with: textseq-train --resume {folder}"
    )
    assert 0 < step < 60
    assert (folder / "curve.png").exists()
    runs.run(["--resume", name])
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
    textseq.train(text=[text or home / "text.txt"], name=name, model=MODEL, data=DATA, training=training)
    return home / "runs" / name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_goes_on_from_where_it_was(
    home: Path, monkeypatch: pytest.MonkeyPatch, optimizer: OptimizerName
) -> None:
    training = settings(optimizer=optimizer, schedule="linear")
    train(home, f"whole-{optimizer}", training)
    step = Trainer.step

    def stopping_step(loop: Trainer) -> tuple[torch.Tensor, int]:
        if loop.progress.step == 12:
            signal.raise_signal(signal.SIGTERM)
        return step(loop)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stopping_step)
        with pytest.raises(
            Interrupted, match=rf"stopped at step 13 and saved; continue with: textseq-train --resume \S+{optimizer}$"
        ):
            train(home, f"stopped-{optimizer}", training)
    torch.manual_seed(99)
    textseq.resume(f"stopped-{optimizer}")
    same(home, f"stopped-{optimizer}", f"whole-{optimizer}")


def test_a_finished_run_stays_as_it_is(home: Path) -> None:
    folder = train(home, "finished", settings())
    before, card = outcome(folder), (folder / "README.md").read_text()
    writer = textseq.resume(folder)
    assert isinstance(writer, TextGenerator)
    assert outcome(folder) == before
    assert (folder / "README.md").read_text() == card
    assert writer.generate(seed=1, max_new_tokens=5)


def test_a_finished_run_goes_on_under_a_later_limit(home: Path) -> None:
    train(home, "longer", settings(30))
    textseq.resume("longer", training=settings(60))
    train(home, "long", settings(60))
    same(home, "longer", "long")


def test_a_text_that_changed_is_refused(home: Path, tmp_path: Path) -> None:
    text = tmp_path / "changing.txt"
    text.write_text("a rose is a rose. " * 30)
    folder = train(home, "changing", settings(5), text)
    before = outcome(folder)
    text.write_text("a rose is a nose. " * 30)
    with pytest.raises(TextseqError, match=r"the text of \S+ is not the one that the run was started with; restore it"):
        textseq.resume("changing")
    text.unlink()
    with pytest.raises(TextseqError, match=r"no file or folder \S+changing\.txt"):
        textseq.resume("changing")
    assert outcome(folder) == before


def test_what_is_no_run_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", "nosuchrun"):
        with pytest.raises(
            TextseqError, match=r"there is no run to resume at \S+(empty|nosuchrun): it holds no checkp"
        ):
            textseq.resume(place)


def test_another_optimizer_is_refused(home: Path) -> None:
    train(home, "optimizer", settings(5, optimizer="sgd"))
    with pytest.raises(TextseqError, match=r"was started with sgd, got adamw; leave it out"):
        textseq.resume("optimizer", training=settings(50))


HARMS: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    "an optimizer's tensor lost": lambda tensors: tensors.pop("optimizer.0.exp_avg"),
    "an optimizer's tensor of another shape": lambda tensors: tensors.update(
        {"optimizer.0.exp_avg": torch.zeros(3, 3, 3)}
    ),
    "half the state lost": lambda tensors: tensors.pop("state.1"),
    "a state of another shape": lambda tensors: tensors.update({"state.0": torch.zeros(1, 2)}),
    "random numbers of another type": lambda tensors: tensors.update({"random.cpu": torch.zeros(5)}),
    "micro-batches that are none": lambda tensors: tensors.update({"micro_batches": torch.zeros(2)}),
    "an average of another shape": lambda tensors: tensors.update({"moving.0": torch.zeros(7)}),
}


def test_tensors_that_do_not_fit_are_refused_in_one_line(home: Path) -> None:
    folder = train(home, "fits", replace(settings(5), ema_decay=0.9))
    last = folder / newest_name(folder)
    path, whole = last / "training.safetensors", checkpoint.read_tensors(last / "training.safetensors")
    for name, harm in HARMS.items():
        tensors = {key: value.clone() for key, value in whole.items()}
        harm(tensors)
        save_file(tensors, path)
        checkpoint.rehash(last)
        with pytest.raises(
            TextseqError, match=r"fits(/last-\d+)? is not a checkpoint of this run \(.+\); rest"
        ) as told:
            textseq.resume(folder, training=replace(settings(9), ema_decay=0.9))
        assert "\n" not in str(told.value), name


def test_pipes_in_the_folder_are_refused(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = train(home, "pipes", settings(2))
    for name in ("README.md", "curve.png", "log.jsonl"):
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
        with pytest.raises(TextseqError, match=rf"{name} is a pipe or a device; .*remove it"):
            textseq.resume(folder, training=settings(4))
        (folder / name).unlink()
    for config in folder.glob("*/config.json"):
        config.unlink()
        os.mkfifo(config)
    assert "pipes" not in {model.name for model in textseq.list_models()}
    with pytest.raises(TextseqError, match=r"config\.json is damaged \(it is a pipe or a device"):
        textseq.resume(folder)


def test_a_curve_that_cannot_be_drawn_costs_no_training(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no\nink")

    monkeypatch.setattr("textseq.tasks.base.learning_curve", fails)
    said: list[str] = []
    textseq.train(text=[home / "text.txt"], name="dry", model=MODEL, training=settings(2), report=said.append)
    folder = home / "runs" / "dry"
    assert (folder / "README.md").exists()
    assert f"note: {folder / 'curve.png'} is missing: no ink" in said


@pytest.mark.parametrize("file", ["training.safetensors", "training.json", "model.safetensors"])
def test_a_damaged_checkpoint_is_refused(home: Path, file: str) -> None:
    folder = train(home, f"damaged-{file}", settings(5))
    path = folder / newest_name(folder) / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(TextseqError, match=rf"{file} is damaged"):
        textseq.resume(folder)
