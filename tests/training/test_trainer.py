"""The loop: it learns, keeps to its schedule and limits, keeps the best, and goes back where it diverges."""

from __future__ import annotations

import copy
import errno
import itertools
import json
import math
import os
import re
import signal
import sys
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, get_args

import numpy as np
import pytest
import torch
from items import Item
from torch import Tensor, nn

from textseq.checkpoints import checkpoint
from textseq.checkpoints.model_info import read_json
from textseq.checkpoints.registry import newest, numbered
from textseq.config.training import OptimizerName, ScheduleName, Tool, TrainingConfig
from textseq.data.batching import Cursor
from textseq.errors import Interrupted, TextseqError
from textseq.nn.cells import State
from textseq.nn.losses import Loss
from textseq.tasks.language_model.batches import Streams, WindowBatch
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.tasks.language_model.model import LanguageModel
from textseq.tokenizers.characters import CharTokenizer
from textseq.training.devices import pick_device
from textseq.training.events import Evaluation, Event
from textseq.training.optimizers import OPTIMIZERS, grouped, learning_rate
from textseq.training.samples import next_sample
from textseq.training.trainer import Trainer

TOKENIZER = CharTokenizer("abcdefgh")
PLAIN = TrainingConfig(
    optimizer="sgd",
    momentum=0,
    learning_rate=0.1,
    schedule="constant",
    warmup_steps=0,
    max_epochs=None,
    max_steps=20,
)
"""As little as there can be: a step is the gradient times the rate."""
Gradient = Callable[[int], float]


def settings(base: TrainingConfig = PLAIN, /, **changes: object) -> TrainingConfig:
    return TrainingConfig.from_dict({**base.to_dict(), **changes}, where="the test")


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    return tmp_path / "runs" / "test"


@dataclass(frozen=True)
class Text:
    """The alphabet of eight letters, again and again: after each there is one that can follow."""

    ids: np.ndarray
    document_starts: np.ndarray


ALPHABET = Text(np.tile(np.arange(8), 100), np.zeros(1, np.int64))


def language_model(seed: int = 1) -> LanguageModel:
    torch.manual_seed(seed)
    return LanguageModel(LanguageModelConfig(hidden_size=24, embedding_size=8, dropout=0), TOKENIZER.size)


def streams(**changes: object) -> Streams:
    data = {"batch_size": 4, "window": 16, **changes}
    return Streams(ALPHABET, DataConfig.from_dict(data, where="the test"), seed=1)


class Numbers:
    """Places in the data, a hundred to the epoch."""

    def __init__(self, factors: Iterable[float] = itertools.repeat(1.0)) -> None:
        self.factors = iter(factors)
        self.served: list[int] = []

    def batch(self, cursor: Cursor) -> tuple[Item[int], Cursor]:
        self.served.append(cursor.position)
        return Item(cursor.position, next(self.factors)), cursor._replace(position=cursor.position + 1)

    def epochs(self, cursor: Cursor) -> float:
        return cursor.position / 100


class Stub(nn.Module):
    """A model of two weights, whose loss at each call is told in advance and whose slope is all that is learnt."""

    def __init__(self, loss: Gradient = lambda call: 1.0, slope: Gradient = lambda call: 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.bias = nn.Parameter(torch.zeros(1))
        self.losses, self.slope = loss, slope
        self.calls = 0

    def loss(self, batch: Item[int], state: State | None) -> Loss:
        slope, nats = self.slope(self.calls), self.losses(self.calls)
        self.calls += 1
        total = self.weight.sum() + self.bias.sum()
        nothing = total - total.detach()
        nothing.register_hook(lambda gradient: gradient * slope)  # type: ignore[no-untyped-call]
        return Loss(nothing + nats, 1, ())


def looks(losses: Iterable[float]) -> Callable[[], Evaluation]:
    """An evaluation that finds these losses, one after the other."""
    iterator = iter(losses)

    def evaluate() -> Evaluation:
        loss = next(iterator)
        return Evaluation(loss, {"nats_per_token": loss})

    return evaluate


def watched(loop: Trainer) -> tuple[list[float], list[Tensor]]:
    """Two lists that fill with the rate and the gradient of every step."""
    rates: list[float] = []
    gradients: list[Tensor] = []

    def hook(optimizer: torch.optim.Optimizer, *_: object) -> None:
        rates.append(float(optimizer.param_groups[0]["lr"]))
        gradients.append(torch.cat([p.grad.flatten() for p in loop.parameters if p.grad is not None]).clone())

    loop.train_step.optimizer.register_step_pre_hook(hook)
    return rates, gradients


def log_of(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


RATES: dict[OptimizerName, float] = {"adamw": 0.02, "sgd": 0.3, "rmsprop": 0.003, "adagrad": 0.1}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_learns(run: Path, optimizer: OptimizerName) -> None:
    config = settings(optimizer=optimizer, learning_rate=RATES[optimizer], momentum=0.9, schedule="linear")
    loop = Trainer(language_model(), streams(), settings(config, max_steps=150), folder=run)
    progress = loop.fit()
    losses = [line["loss"] for line in log_of(run)]
    assert losses[0] > 1.5
    assert losses[-1] < 0.1
    assert (progress.step, progress.rollbacks) == (150, 0)


OF_TORCH: dict[OptimizerName, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "adamw": lambda weights: torch.optim.AdamW(weights, 0.1, (0.7, 0.8), weight_decay=0.3),
    "sgd": lambda weights: torch.optim.SGD(weights, 0.1, 0.7, weight_decay=0.3),
    "rmsprop": lambda weights: torch.optim.RMSprop(weights, 0.1, alpha=0.8, momentum=0.7, weight_decay=0.3),
    "adagrad": lambda weights: torch.optim.Adagrad(weights, 0.1, weight_decay=0.3),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_are_those_of_torch_with_the_settings_of_the_run(optimizer: OptimizerName) -> None:
    config = settings(optimizer=optimizer, momentum=0.7, beta2=0.8, weight_decay=0.3)
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 5)) for _ in range(2))
    made, wanted = OPTIMIZERS[optimizer](grouped([[ours]], config), config), OF_TORCH[optimizer]([theirs])
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        gradient = torch.randn(5, generator=generator)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        made.step()
        wanted.step()
    torch.testing.assert_close(ours, theirs)


def test_every_optimizer_and_schedule_is_known() -> None:
    assert set(OPTIMIZERS) == set(get_args(OptimizerName))
    for schedule in get_args(ScheduleName):
        assert learning_rate(settings(schedule=schedule), 0, 0.0) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("schedule", "quarter", "half", "end"),
    [
        ("cosine", (2 + math.sqrt(2)) / 4, 0.5, 0),
        ("linear", 0.75, 0.5, 0),
        ("constant", 1, 1, 1),
        ("plateau", 1, 1, 1),
    ],
)
def test_schedules_have_their_shapes(schedule: ScheduleName, quarter: float, half: float, end: float) -> None:
    config = settings(schedule=schedule, learning_rate=3.0)
    shares = [learning_rate(config, 1000, done) / 3 for done in (0, 0.25, 0.5, 1)]
    assert shares == pytest.approx([1, quarter, half, end])


@pytest.mark.parametrize("schedule", get_args(ScheduleName))
def test_the_warm_up_rises_in_equal_steps_to_the_peak(schedule: ScheduleName) -> None:
    config = settings(schedule=schedule, learning_rate=2.0, warmup_steps=4)
    rates = [learning_rate(config, step, 0.0) for step in range(6)]
    assert rates == pytest.approx([0.5, 1.0, 1.5, 2.0, 2.0, 2.0])


@pytest.mark.parametrize(("warmup", "length"), [(0, 50), (1, 50), (4, 50), (5, 50), (300, 50), (100, 100_000)])
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_a_falling_schedule_reaches_its_peak_where_the_warm_up_ends_and_falls_to_zero(
    schedule: ScheduleName, warmup: int, length: int
) -> None:
    config = settings(schedule=schedule, warmup_steps=warmup, learning_rate=2.0)
    rates = [learning_rate(config, step, step / length) for step in (*range(110), length)]
    peak = 5 if warmup == 300 else max(warmup - 1, 0)
    assert rates[peak] == pytest.approx(2.0)
    assert rates[:peak] == sorted(set(rates[:peak]))
    assert max(rates[:peak], default=0) < 2.0
    assert all(earlier > later for earlier, later in zip(rates[peak:50], rates[peak + 1 : 51], strict=False))
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_a_short_run_leaves_the_warm_up_after_a_tenth_of_it() -> None:
    def rates(schedule: ScheduleName) -> list[float]:
        config = settings(schedule=schedule, warmup_steps=300, learning_rate=1.0)
        return [learning_rate(config, step, step / 20) for step in range(4)]

    assert rates("linear") == pytest.approx([1 / 300, 0.5, 1.0, 17 / 18])
    assert rates("constant") == pytest.approx([1 / 300, 2 / 300, 3 / 300, 4 / 300])


def test_the_loop_keeps_to_the_schedule(run: Path) -> None:
    config = settings(schedule="linear", learning_rate=1.0, warmup_steps=2, max_steps=10)
    loop = Trainer(Stub(), Numbers(), config, folder=run)
    rates, _ = watched(loop)
    loop.fit()
    assert rates == pytest.approx([0.5, *(left / 9 for left in range(9, 0, -1))])
    assert log_of(run)[-1]["learning_rate"] == rates[-1]  # of the step, not of the next one


def test_the_rate_follows_the_length_of_a_window(run: Path) -> None:
    loop = Trainer(Stub(), Numbers([1.0, 0.5, 2.0]), settings(max_steps=3), folder=run)
    rates, _ = watched(loop)
    loop.fit()
    assert rates == pytest.approx([0.1, 0.05, 0.2])


def test_the_rate_of_accumulated_windows_follows_their_mean_length(run: Path) -> None:
    loop = Trainer(Stub(), Numbers([1.0, 0.5, 2.0, 1.0]), settings(max_steps=2, accumulate=2), folder=run)
    rates, _ = watched(loop)
    loop.fit()
    assert rates == pytest.approx([0.075, 0.15])


def test_accumulated_gradients_are_the_mean_over_the_batches() -> None:
    model, batches = language_model(), streams()
    twin = copy.deepcopy(model)
    loop = Trainer(model, batches, settings(accumulate=2, clip_norm=None))
    _, count = loop.step()
    first, cursor = batches.batch(Cursor())
    second, after = batches.batch(cursor)
    loss = twin.loss(first, None)
    next_loss = twin.loss(second, loss.state)
    torch.autograd.backward((loss.nats + next_loss.nats) / (loss.count + next_loss.count))
    for name, parameter in twin.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(model.get_parameter(name), parameter.detach() - 0.1 * parameter.grad)
    assert (loop.progress.step, loop.progress.cursor, count) == (1, after, loss.count + next_loss.count)
    assert loop.progress.tokens == count
    assert loop.train_step.state is not None
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(loop.train_step.state, next_loss.state, strict=True))


def test_a_penalty_enters_the_gradient_and_no_figure() -> None:
    model, batches = language_model(), streams()
    twin = copy.deepcopy(model)
    plain = model.loss

    def penalised(batch: WindowBatch, state: State | None) -> Loss:
        return replace(plain(batch, state), penalty=3 * model.output.bias.sum())

    model.loss = penalised  # type: ignore[method-assign, assignment]
    nats, count = Trainer(model, batches, settings(accumulate=2, clip_norm=None)).step()
    without, same = Trainer(twin, batches, settings(accumulate=2, clip_norm=None)).step()
    assert (nats, count) == (without, same)
    torch.testing.assert_close(model.output.bias, twin.output.bias - 0.1 * 3)
    torch.testing.assert_close(model.output.weight, twin.output.weight)


@pytest.mark.parametrize(
    ("slope", "limits", "expected"),
    [
        (100.0, {"clip_norm": 0.5}, [0.25] * 4),
        (0.1, {"clip_norm": 0.5}, [0.1] * 4),
        (-100.0, {"clip_norm": None, "clip_value": 0.3}, [-0.3] * 4),
        (0.2, {"clip_norm": None, "clip_value": 0.3}, [0.2] * 4),
        (100.0, {"clip_norm": 0.5, "clip_value": 0.1}, [0.1] * 4),
        (100.0, {"clip_norm": None}, [100.0] * 4),
    ],
)
def test_clipping_bounds_the_whole_gradient(
    run: Path, slope: float, limits: dict[str, float | None], expected: list[float]
) -> None:
    loop = Trainer(Stub(slope=lambda call: slope), Numbers(), settings(max_steps=2, **limits), folder=run)
    _, gradients = watched(loop)
    loop.fit()
    assert len(gradients) == 2
    for gradient in gradients:
        assert gradient.tolist() == pytest.approx(expected, rel=1e-4)


def test_clipping_leaves_frozen_weights_out_of_the_norm() -> None:
    loop = Trainer(language_model(), streams(), settings(frozen_steps=1, clip_norm=1e-3))
    _, gradients = watched(loop)
    loop.step()
    assert float(gradients[0].norm()) == pytest.approx(1e-3, rel=1e-3)


def test_weights_stay_in_32_bits_where_the_forward_pass_has_16(run: Path) -> None:
    model = language_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    Trainer(model, streams(), settings(precision="bfloat16", max_steps=3), folder=run).fit()
    assert all(tensor.dtype == torch.float32 for tensor in model.state_dict().values())
    assert all(not torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("limits", "steps"),
    [
        ({"max_steps": 7}, 7),
        ({"max_steps": None, "max_epochs": 0.25}, 25),
        ({"max_steps": 7, "max_epochs": 0.25}, 7),
        ({"max_steps": 70, "max_epochs": 0.25}, 25),
    ],
)
def test_the_first_limit_that_is_reached_ends_the_run(run: Path, limits: dict[str, object], steps: int) -> None:
    lines: list[str] = []
    assert Trainer(Stub(), Numbers(), settings(**limits), folder=run, report=lines.append).fit().step == steps
    first = "--max-steps 7" if steps == 7 else "--max-epochs 0.25"
    assert [line.split(":")[0] for line in lines] == [f"{first} ends the run"]
    assert log_of(run)[-1]["step"] == steps
    assert read_json(numbered(run, "last").popitem()[1] / "config.json")["step"] == steps


def test_an_epoch_is_one_pass_over_the_text(run: Path) -> None:
    batches = streams()
    progress = Trainer(language_model(), batches, settings(max_steps=None, max_epochs=2.0), folder=run).fit()
    assert progress.tokens == 2 * batches.streams * batches.stream_length
    assert progress.cursor == Cursor(2)


def test_minutes_end_the_run_and_the_schedule_follows_the_clock(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count(0.0, 0.5)
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    config = settings(max_steps=None, max_minutes=1.0, schedule="linear")
    loop = Trainer(Stub(), Numbers(), config, folder=run)
    rates, _ = watched(loop)
    progress = loop.fit(show_progress=False)
    assert progress.seconds >= 60
    assert 30 < progress.step < 130
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.02 * rates[0]


def test_the_plateau_schedule_halves_the_rate(run: Path) -> None:
    config = settings(schedule="plateau", plateau_patience=2, evaluate_every=1, max_steps=8)
    losses = [3.0, 2.0, 2.5, 2.0, 2.1, 2.2, 1.9, 2.0]
    lines: list[str] = []
    loop = Trainer(Stub(), Numbers(), config, folder=run, evaluate=looks(losses), report=lines.append)
    rates, _ = watched(loop)
    loop.fit()
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025])
    assert "no improvement for 2 evaluations: learning rate 0.05" in lines
    longer = settings(config, max_steps=10)
    again = Trainer(Stub(), Numbers(), longer, folder=run, evaluate=looks([1.0, 0.9]), resume=True, report=lines.append)
    rates, _ = watched(again)
    again.fit()
    assert rates == pytest.approx([0.025, 0.025])  # a resumed run keeps what was halved


def test_patience_ends_the_run_and_it_stays_ended(run: Path) -> None:
    config = settings(patience=2, evaluate_every=3, max_steps=100)
    lines: list[str] = []
    evaluate = looks([3.0, 2.0, 2.5, 2.0, 1.0])
    progress = Trainer(Stub(), Numbers(), config, folder=run, evaluate=evaluate, report=lines.append).fit()
    assert (progress.step, progress.best, progress.best_step) == (12, 2.0, 6)
    assert lines[-2] == "no improvement for 2 evaluations: stopping early"
    assert lines[-1].startswith("--patience 2 ends the run: 12 steps in ")
    again = Trainer(Stub(), Numbers(), config, folder=run, evaluate=evaluate, resume=True, report=lines.append)
    assert again.fit().step == 12
    assert lines[-1] == "nothing left to train: the run has reached --patience 2; raise it to continue"
    longer = Trainer(
        Stub(), Numbers(), settings(config, patience=3), folder=run, evaluate=looks([1.0] * 99), resume=True
    )
    assert longer.fit().step > 12


def test_the_best_checkpoint_is_the_one_of_the_lowest_loss(run: Path) -> None:
    model = Stub()
    losses = [3.0, 1.0, 2.0, 0.5, 0.7, 0.5]
    seen: list[Tensor] = []
    told = looks(losses)

    def evaluate() -> Evaluation:
        assert not model.training
        seen.append(model.weight.detach().clone())
        return told()

    config = settings(evaluate_every=2, max_steps=12)
    progress = Trainer(model, Numbers(), config, folder=run, evaluate=evaluate, report=lambda line: None).fit()
    assert model.training
    best = newest(run, "best")
    assert best is not None
    assert torch.equal(checkpoint.read_tensors(best / "model.safetensors")["weight"], seen[3])
    facts = read_json(best / "config.json")
    assert (facts["step"], facts["best_validation_loss"]) == (8, 0.5) == (progress.best_step, progress.best)
    assert [line["validation_nats_per_token"] for line in log_of(run) if "validation_nats_per_token" in line] == losses


def test_a_criterion_of_its_own_chooses_the_best_checkpoint(run: Path) -> None:
    model = Stub()
    found = iter([(3.0, -10.0), (1.0, -12.0), (2.0, -30.0), (0.5, -29.0), (0.7, -28.0)])  # loss, negated BLEU

    def evaluate() -> Evaluation:
        loss, criterion = next(found)
        return Evaluation(loss, {"nats_per_token": loss}, criterion=criterion)

    config = settings(evaluate_every=2, max_steps=20, patience=2)
    progress = Trainer(model, Numbers(), config, folder=run, evaluate=evaluate, report=lambda line: None).fit()
    assert (progress.step, progress.best, progress.best_loss, progress.best_step) == (10, -30.0, 2.0, 6)
    best = newest(run, "best")
    assert best is not None
    facts = read_json(best / "config.json")
    assert (facts["step"], facts["best_validation_loss"]) == (6, 2.0)
    assert checkpoint.read_tensors(best / "model.safetensors")["weight"].tolist() == pytest.approx([-0.3] * 3)


def test_the_end_is_evaluated_and_saved_whatever_the_rhythm(run: Path) -> None:
    config = settings(evaluate_every=1000, save_every=1000, max_steps=13)
    Trainer(Stub(), Numbers(), config, folder=run, evaluate=looks([1.0]), report=lambda line: None).fit()
    for kind in ("last", "best"):
        (folder,) = run.glob(f"{kind}-*")
        assert read_json(folder / "config.json")["step"] == 13


def test_the_log_has_one_object_to_a_line(run: Path) -> None:
    config = settings(evaluate_every=8, save_every=15, max_steps=32)
    evaluate = looks([2.0, 1.5, 1.2, 1.1])
    loop = Trainer(
        Stub(lambda call: 100.0 - call), Numbers(), config, folder=run, evaluate=evaluate, report=lambda line: None
    )
    loop.fit()
    lines = log_of(run)
    training = {int(line["step"]): line for line in lines if "loss" in line}
    assert list(training) == [8, 10, 15, 16, 20, 24, 30, 32]  # every tenth step, evaluations, checkpoints, the end
    before = 0
    for step, line in training.items():
        assert line["loss"] == pytest.approx(100 - (before + step - 1) / 2)  # the mean over the steps since the last
        assert {"epoch", "minutes", "learning_rate", "rows_per_second"} <= line.keys()
        assert line["rows_per_second"] >= 0
        before = step
    assert [line["step"] for line in lines if "validation_nats_per_token" in line] == [8, 16, 24, 32]


def test_a_loss_that_is_no_number_rewinds_with_half_the_rate(run: Path) -> None:
    model, batches = Stub(lambda call: math.nan if call == 17 else 1.0), Numbers()
    lines: list[str] = []
    loop = Trainer(model, batches, settings(save_every=8, max_steps=24), folder=run, report=lines.append)
    rates, _ = watched(loop)
    progress = loop.fit()
    assert (progress.step, progress.rollbacks) == (24, 1)
    assert batches.served == [*range(20), *range(16, 24)]
    assert rates == pytest.approx([0.1] * 20 + [0.05] * 8)
    assert model.weight.tolist() == pytest.approx([-(16 * 0.1 + 8 * 0.05) / 2] * 3)  # a clipped slope of 1/2
    assert lines[:-1] == [
        "the loss diverged at step 20 (nan): back to step 16 with half the learning rate, 0.05 (rollback 1 of 3)"
    ]
    log = log_of(run)
    assert [line["step"] for line in log] == [8, 10, 16, 20, 24]
    assert all(line["rows_per_second"] >= 0 for line in log)


def test_a_loss_that_runs_away_rewinds(run: Path) -> None:
    batches = Numbers()
    lines: list[str] = []
    model = Stub(lambda call: 500.0 if call == 35 else 2.0 + 0.5 * (call % 2))
    loop = Trainer(model, batches, settings(save_every=20, max_steps=60), folder=run, report=lines.append)
    assert loop.fit().rollbacks == 1
    assert batches.served == [*range(40), *range(20, 60)]
    assert "diverged at step 40" in lines[0]
    log = log_of(run)
    assert [line["step"] for line in log] == [10, 20, 30, 40, 50, 60]  # what was taken back is in no log
    assert all(line["rows_per_second"] > 0 for line in log)
    assert "back to step 20 with half the learning rate, 0.05 (rollback 1 of 3)" in lines[0]


def test_a_rewind_keeps_a_better_model_that_is_on_disk(run: Path) -> None:
    model = Stub(lambda call: math.nan if call == 45 else 1.0)
    config = settings(evaluate_every=10, save_every=60, max_steps=60)
    measured = looks([5.0, 4.0, 3.0, 1.0, *[2.0] * 6])
    loop = Trainer(model, Numbers(), config, folder=run, evaluate=measured, report=lambda line: None)
    progress = loop.fit()
    assert (progress.rollbacks, progress.best, progress.best_step) == (1, 1.0, 40)
    loop.load_best()
    assert model.weight.tolist() == pytest.approx([-40 * 0.1 / 2] * 3)


@pytest.mark.parametrize("first", [math.nan, math.inf])
def test_an_evaluation_that_is_no_number_is_never_the_best(run: Path, first: float) -> None:
    config = settings(evaluate_every=10, max_steps=10)
    Trainer(Stub(), Numbers(), config, folder=run, evaluate=looks([first]), report=lambda line: None).fit()
    longer = replace(config, max_steps=30)
    again = Trainer(
        Stub(), Numbers(), longer, folder=run, evaluate=looks([2.0, 1.5]), resume=True, report=lambda line: None
    )
    assert (again.fit().best, again.progress.best_step) == (1.5, 30)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_frozen_weights_join_later_whatever_the_optimizer(run: Path, optimizer: str) -> None:
    model = LanguageModel(LanguageModelConfig(hidden_size=8, embedding_size=8, tie_embeddings=True), TOKENIZER.size)
    config = settings(optimizer=optimizer, momentum=0.9, frozen_steps=2, max_steps=4)
    before = model.embedding.weight.detach().clone()
    loop = Trainer(model, streams(), config)
    for still in (True, True, False):
        loop.step()
        assert torch.equal(model.embedding.weight, before) == still


def test_a_loss_that_only_wavers_does_not_rewind(run: Path) -> None:
    model = Stub(lambda call: 2.0 + (call // 10 % 2))
    assert Trainer(model, Numbers(), settings(max_steps=200), folder=run).fit().rollbacks == 0


@pytest.mark.parametrize(("unit", "rollbacks"), [("nats per token", 1), ("points", 0)])
def test_a_loss_in_other_units_has_diverged_only_if_it_has_doubled_too(run: Path, unit: str, rollbacks: int) -> None:
    model = Stub(lambda call: 150.0 if 20 <= call < 30 else 100.0)
    config = settings(save_every=10, max_steps=60)
    loop = Trainer(model, Numbers(), config, folder=run, loss_unit=unit, report=lambda line: None)
    assert loop.fit().rollbacks == rollbacks


def test_a_step_that_spoils_the_weights_is_never_saved(run: Path) -> None:
    """The loss of a step says nothing of the weights after it."""
    model = Stub(slope=lambda call: math.nan if call == 15 else 1.0)
    lines: list[str] = []
    config = settings(save_every=8, evaluate_every=16, max_steps=24)
    loop = Trainer(model, Numbers(), config, folder=run, evaluate=looks([1.0, 0.9]), report=lines.append)
    progress = loop.fit()
    assert progress.rollbacks == 1
    assert "back to step 8" in lines[0]
    assert model.weight.isfinite().all()
    for kind in ("last", "best"):
        (folder,) = run.glob(f"{kind}-*")
        assert checkpoint.read_tensors(folder / "model.safetensors")["weight"].isfinite().all()


@pytest.mark.parametrize("rollbacks", [0, 2])
def test_a_run_that_goes_on_diverging_gives_up(run: Path, rollbacks: int) -> None:
    batches = Numbers()
    lines: list[str] = []
    config = settings(save_every=5, max_rollbacks=rollbacks)
    loop = Trainer(Stub(lambda call: math.nan if call > 6 else 1.0), batches, config, folder=run, report=lines.append)
    rates, _ = watched(loop)
    with pytest.raises(TextseqError, match=rf"diverged again at step 10 .* {rollbacks} rollbacks; .*--learning-rate"):
        loop.fit()
    assert len(lines) == rollbacks
    assert batches.served == [*range(10), *[*range(5, 10)] * rollbacks]
    assert rates[-1] == pytest.approx(0.1 / 2**rollbacks)
    (last,) = run.glob("last-*")
    assert read_json(last / "config.json")["step"] == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["step", "evaluation"])
def test_a_signal_saves_and_stops(run: Path, number: signal.Signals, moment: str) -> None:
    def loss(call: int) -> float:
        if call == 12 and moment == "step":
            signal.raise_signal(number)
        return 1.0

    def evaluate() -> Evaluation:
        if moment == "evaluation":
            signal.raise_signal(number)
        return Evaluation(1.0, {})

    before = signal.getsignal(number)
    config = settings(evaluate_every=12)
    loop = Trainer(Stub(loss), Numbers(), config, folder=run, evaluate=evaluate, report=lambda line: None)
    with pytest.raises(Interrupted, match="stopped at step 13 and saved") as stopped:
        loop.fit()
    assert stopped.value.code == 128 + number
    assert signal.getsignal(number) == before
    (last,) = run.glob("last-*")
    assert read_json(last / "config.json")["step"] == 13


def test_a_signal_abandons_a_step_of_many_batches_and_the_run_goes_on_as_if_it_had_not(run: Path) -> None:
    config = settings(optimizer="adamw", accumulate=5, max_steps=6)

    def dropping() -> LanguageModel:
        torch.manual_seed(1)
        return LanguageModel(LanguageModelConfig(hidden_size=8, embedding_size=8, dropout=0.5), TOKENIZER.size)

    whole, stopped = dropping(), dropping()
    Trainer(whole, streams(), config).fit()
    plain, calls = stopped.loss, 0

    def loss(batch: WindowBatch, state: State | None) -> Loss:
        nonlocal calls
        calls += 1
        if calls == 5 * 3 + 2:
            signal.raise_signal(signal.SIGTERM)
        return plain(batch, state)

    stopped.loss = loss  # type: ignore[method-assign, assignment]
    with pytest.raises(Interrupted, match="stopped at step 3 and saved") as interrupted:
        Trainer(stopped, streams(), config, folder=run).fit()
    assert (interrupted.value.code, calls) == (143, 5 * 3 + 2)
    resumed = dropping()
    Trainer(resumed, streams(), config, folder=run, resume=True).fit()
    for name, weight in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], weight), name


def test_a_second_ctrl_c_ends_at_once(run: Path) -> None:
    def loss(call: int) -> float:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return 1.0

    with pytest.raises(KeyboardInterrupt):
        Trainer(Stub(loss), Numbers(), PLAIN, folder=run).fit()
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.open"])
def test_a_full_disk_ends_the_run_in_one_line(run: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    loop = Trainer(Stub(), Numbers(), PLAIN, folder=run)
    reading = Path.open

    def full(*arguments: object, **_: object) -> IO[str]:
        if isinstance(arguments[0], Path) and arguments[0].name != "log.jsonl":
            return reading(arguments[0])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(call, full)
        with pytest.raises(TextseqError, match=r"cannot write \S+(last-2\S*|log\.jsonl): the disk is full"):
            loop.fit()
    assert [path.name for path in run.iterdir() if path.name != "log.jsonl"] == ["last-1"]


def test_samples_are_shown_after_each_evaluation(run: Path) -> None:
    lines: list[str] = []
    config = settings(evaluate_every=10)
    evaluate, sample = looks([2.0, 1.0]), iter(["first text", "second text"]).__next__
    Trainer(Stub(), Numbers(), config, folder=run, evaluate=evaluate, sample=sample, report=lines.append).fit()
    assert lines[:-1] == [
        "step 10: validation loss 2.0000",
        "first text",
        "step 20: validation loss 1.0000",
        "second text",
    ]


def test_samples_come_less_and_less_often() -> None:
    assert [next_sample(seconds) for seconds in (0, 19.9, 20, 59.9, 60, 119, 120, 300, 480)] == [
        20, 20, 60, 60, 120, 120, 240, 480, 960
    ]  # fmt: skip


def test_samples_by_the_clock_change_no_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 0.5)
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    lines: list[str] = []

    def trained(*, sampled: bool) -> dict[str, Tensor]:
        torch.manual_seed(1)
        model = LanguageModel(LanguageModelConfig(hidden_size=8, embedding_size=8, dropout=0.5), TOKENIZER.size)

        def sample() -> str:
            assert not model.training
            return f"drew {torch.rand(1).item():.3f}"

        config = settings(max_steps=300, optimizer="adamw")
        loop = Trainer(model, streams(), config, report=lines.append, sample=sample if sampled else None)
        loop.fit(show_progress=False)
        return model.state_dict()

    plain, sampled = trained(sampled=False), trained(sampled=True)
    assert all(torch.equal(weight, sampled[name]) for name, weight in plain.items())
    samples = [line for line in lines if "drew" in line]
    times = [int(line.split("after ")[1].split()[0]) for line in samples]
    assert [20 <= times[0] < 30, 60 <= times[1] < 70, 120 <= times[2] < 130] == [True] * 3
    assert all(re.fullmatch(r"step \d+0, after \d+ seconds:\ndrew 0\.\d+", line) for line in samples)


class Recorder:
    """A stand-in for the writer of TensorBoard, and for the runs of wandb and trackio."""

    def __init__(self) -> None:
        self.written: list[tuple[str, int]] = []

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.written.append((tag, global_step))

    def log(self, values: dict[str, float], step: int) -> None:
        self.written += [(name, step) for name in values]

    def close(self) -> None:
        self.written.append(("closed", 0))

    finish = close


def stand_in(tool: str, recorder: Recorder, begun: list[object]) -> types.ModuleType:
    def begin(*given: object, **named: object) -> Recorder:
        begun.extend([*given, named] if named else given)
        return recorder

    module = types.ModuleType(tool)
    setattr(module, "SummaryWriter" if tool == "tensorboard" else "init", begin)
    return module


MODULES = {"tensorboard": "torch.utils.tensorboard", "wandb": "wandb", "trackio": "trackio"}


@pytest.mark.parametrize("tool", MODULES)
def test_a_tool_gets_every_number_of_the_log(run: Path, tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, begun = Recorder(), list[object]()
    monkeypatch.setitem(sys.modules, MODULES[tool], stand_in(tool, recorder, begun))
    config = settings(log_to=tool, max_steps=10)
    Trainer(Stub(), Numbers(), config, folder=run, evaluate=looks([1.0]), report=lambda line: None).fit()
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert {"loss", "rows_per_second", "learning_rate", "validation_nats_per_token"} <= {
        k for line in lines for k in line
    }
    numbers = [
        (key, line["step"])
        for line in lines
        for key, value in line.items()
        if key != "step" and isinstance(value, int | float)
    ]
    assert recorder.written == [*numbers, ("closed", 0)]
    (start,) = begun
    if tool == "tensorboard":
        assert start == str(run / "tensorboard")
    else:
        assert isinstance(start, dict) and (start["project"], start["name"]) == ("textseq", run.name)
        assert start["config"]["training"]["max_steps"] == 10


def test_tensorboard_reads_its_events(run: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard")
    config = settings(log_to="tensorboard", max_steps=10)
    Trainer(Stub(), Numbers(), config, folder=run, evaluate=looks([1.0]), report=lambda line: None).fit()
    read = events.EventAccumulator(str(run / "tensorboard"))
    read.Reload()
    assert [(event.step, event.value) for event in read.Scalars("validation_loss")] == [(10, 1.0)]


@pytest.mark.parametrize("tool", MODULES)
def test_a_missing_tool_is_told(run: Path, tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, MODULES[tool], None)
    with pytest.raises(TextseqError, match=rf"--log-to {tool} needs a package .* install .*textseq\[{tool}\]"):
        Trainer(Stub(), Numbers(), settings(log_to=tool), folder=run).fit()


def test_a_tool_that_cannot_begin_is_one_line(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("wandb")

    def refuse(**settings: object) -> None:
        raise RuntimeError("no account\nlog in first")

    module.init = refuse  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    with pytest.raises(TextseqError, match=r"^--log-to wandb: it cannot begin \(no account log in first\); see"):
        Trainer(Stub(), Numbers(), settings(log_to="wandb"), folder=run)


def test_a_callback_is_closed_when_the_training_stops(run: Path) -> None:
    recorder = Recorder()

    class Stops:
        def __call__(self, event: Event) -> None:
            raise RuntimeError("stop")

        close = recorder.close

    with pytest.raises(RuntimeError):
        Trainer(Stub(), Numbers(), settings(max_steps=10), folder=run, callbacks=[Stops()]).fit()
    assert recorder.written == [("closed", 0)]


def test_devices_are_picked_by_name() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in {"cpu", "cuda", "mps"}


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "hpu", ""])
def test_devices_that_are_not_here_are_told_in_one_line(name: str) -> None:
    wanted = rf"^--device {name} cannot be used here: .*; try --device auto$"
    if name in {"gpu", ""}:
        wanted = f"^--device: expected cpu, cuda, cuda:1, mps or auto, got '{name}'$"
    with pytest.raises(TextseqError, match=wanted) as told:
        pick_device(name)
    assert "\n" not in str(told.value)
