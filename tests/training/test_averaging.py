"""Averages are what their formulas say of the weights that were, users get them, and the training is as without."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import pytest
import torch
from items import Item
from torch import Tensor, nn

from textseq.checkpoints import checkpoint
from textseq.checkpoints.model_info import read_json
from textseq.checkpoints.registry import model_folder, newest
from textseq.config.training import TrainingConfig
from textseq.data.batching import Cursor
from textseq.errors import Interrupted, TextseqError
from textseq.nn.cells import State
from textseq.nn.losses import Loss
from textseq.training.events import Evaluation
from textseq.training.trainer import Trainer

TARGET = torch.linspace(-1, 1, 12)


def settings(**changes: object) -> TrainingConfig:
    plain = {
        "optimizer": "sgd",
        "momentum": 0,
        "learning_rate": 0.3,
        "schedule": "constant",
        "warmup_steps": 0,
        "clip_norm": None,
        "max_epochs": None,
        "max_steps": 60,
        "evaluate_every": 10,
        "save_every": 20,
    }
    return TrainingConfig.from_dict({**plain, **changes}, where="the test")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


class Noises:
    """Where the target seems to be, seen through noise. A hundred to the epoch; the same place has the same noise."""

    def batch(self, cursor: Cursor) -> tuple[Item[Tensor], Cursor]:
        noise = torch.randn(12, generator=torch.Generator().manual_seed(cursor.position))
        return Item(TARGET + noise), cursor._replace(position=cursor.position + 1)

    def epochs(self, cursor: Cursor) -> float:
        return cursor.position / 100


class Quadratic(nn.Module):
    """Half the squared distance from where the target seems to be. Calls in ``broken`` find a loss that is none."""

    def __init__(self, broken: Iterable[int] = ()) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(8))
        self.bias = nn.Parameter(torch.zeros(4))
        self.broken = set(broken)
        self.calls = 0

    def loss(self, batch: Item[Tensor], state: State | None) -> Loss:
        self.calls += 1
        distance = (torch.cat([self.weight, self.bias]) - batch.value).square().sum() / 2
        return Loss(distance * math.nan if self.calls in self.broken else distance, 1, ())


def weights(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def saved(folder: Path | None) -> Tensor:
    assert folder is not None
    found = checkpoint.read_tensors(folder / "model.safetensors")
    return torch.cat([found["weight"], found["bias"]])


def error(weights: Tensor) -> float:
    return float((weights - TARGET).square().mean())


class Trial:
    """A run of the toy, and all that was seen of it."""

    def __init__(
        self,
        run: Path,
        config: TrainingConfig,
        *,
        model: Quadratic | None = None,
        costs: Callable[[Trial], float] = lambda trial: error(trial.measured[-1]),
        validation: bool = True,
        resume: bool = False,
    ) -> None:
        self.run = run
        self.model = model or Quadratic()
        self.costs = costs
        self.measured: list[Tensor] = []  # the weights at each evaluation
        self.said: list[str] = []
        evaluate = self.evaluate if validation else None
        self.loop = Trainer(
            self.model, Noises(), config, folder=run, evaluate=evaluate, report=self.said.append, resume=resume
        )
        self.raw = {0: weights(self.model)}  # by step; what a rewind took back is overwritten
        self.loop.train_step.optimizer.register_step_post_hook(self.after_step)

    def after_step(self, *_: object) -> None:
        self.raw[self.loop.progress.step + 1] = weights(self.model)

    def evaluate(self) -> Evaluation:
        assert not self.model.training
        self.measured.append(weights(self.model))
        cost = self.costs(self)
        return Evaluation(cost, {"nats_per_token": cost})

    def train(self) -> Trial:
        self.loop.fit(show_progress=False)
        assert self.model.training
        return self

    def moving(self, decay: float, step: int) -> Tensor:
        """The formula, by hand."""
        average = self.raw[0].double()
        for t in range(1, step + 1):
            d = min(decay, (1 + t) / (10 + t))
            average = d * average + (1 - d) * self.raw[t].double()
        return average.float()

    def kept(self) -> list[str]:
        return sorted(path.name for path in self.run.iterdir() if "averaged-" in path.name)


def told(costs: Iterable[float]) -> Callable[[Trial], float]:
    """An evaluation that finds these costs, one after the other."""
    each = iter(costs)
    return lambda trial: next(each)


def elsewhere(run: Path, name: str) -> Path:
    return run.with_name(name)


# The moving average


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999])
def test_the_moving_average_is_what_its_formula_says(run: Path, decay: float) -> None:
    trial = Trial(run, settings(ema_decay=decay)).train()
    for index, measured in enumerate(trial.measured):
        torch.testing.assert_close(measured, trial.moving(decay, 10 * (index + 1)))
    assert not torch.allclose(trial.measured[-1], trial.raw[60], atol=1e-3)


def test_users_get_the_moving_average_and_a_resumed_run_gets_both(run: Path) -> None:
    trial = Trial(run, settings(ema_decay=0.9), costs=told([6, 5, 4, 3, 2, 1])).train()
    last, best = newest(run, "last"), newest(run, "best")
    assert last is not None
    assert model_folder(run) == best
    assert torch.equal(saved(best), trial.measured[-1])
    assert torch.equal(saved(last), trial.raw[60])
    assert torch.equal(weights(trial.model), trial.raw[60])
    tensors, _ = checkpoint.load_training(last)
    assert torch.equal(torch.cat([tensors["moving.0"], tensors["moving.1"]]), trial.measured[-1])


@pytest.mark.parametrize("changes", [{"ema_decay": 0.9}, {"average": "last"}, {"ema_decay": 0.9, "average": "best"}])
def test_averages_leave_the_training_as_it_was(run: Path, changes: dict[str, object]) -> None:
    plain = Trial(run, settings()).train()
    averaged = Trial(elsewhere(run, "averaged"), settings(**changes)).train()
    assert plain.raw.keys() == averaged.raw.keys()
    assert all(torch.equal(plain.raw[step], averaged.raw[step]) for step in plain.raw)


@pytest.mark.parametrize("changes", [{"ema_decay": 0.95}, {"average": "last", "average_count": 10}])
def test_under_noise_the_averaged_weights_are_nearer_the_optimum(run: Path, changes: dict[str, object]) -> None:
    trial = Trial(run, settings(max_steps=200, **changes)).train()
    late = [error(trial.raw[step]) for step in range(100, 201)]
    assert error(trial.measured[-1]) < sum(late) / len(late) / 3
    assert error(saved(newest(run, "best"))) < min(late)


def test_without_validation_users_get_the_newest_moving_average(run: Path) -> None:
    trial = Trial(run, settings(ema_decay=0.9, max_steps=30), validation=False).train()
    torch.testing.assert_close(saved(model_folder(run)), trial.moving(0.9, 30))
    longer = Trial(run, settings(ema_decay=0.9), validation=False, resume=True)
    longer.loop.train_step.optimizer.register_step_post_hook(
        lambda *_: signal.raise_signal(signal.SIGTERM) if longer.loop.progress.step == 44 else None
    )
    with pytest.raises(Interrupted, match="step 45"):
        longer.train()
    longer.raw = trial.raw | longer.raw | {0: trial.raw[0]}
    torch.testing.assert_close(saved(model_folder(run)), longer.moving(0.9, 45))
    facts = read_json(run / "best-5" / "config.json")  # with each of the last checkpoints
    assert (facts["step"], facts.get("best_validation_loss")) == (45, None)
    assert [path.name for path in run.glob("last-*")] == ["last-5"]


def test_a_run_without_a_moving_average_can_begin_one(run: Path) -> None:
    Trial(run, settings(max_steps=30)).train()
    trial = Trial(run, settings(max_steps=31, ema_decay=0.9), resume=True)
    before = weights(trial.model)
    trial.train()
    torch.testing.assert_close(trial.measured[-1], before + (1 - 32 / 41) * (trial.raw[31] - before))


# The mean of the last or the best


COSTS = [5.0, 2.0, 6.0, 3.0, 7.0, 4.0]
"""What the evaluations at steps 10 to 60 find."""


@pytest.mark.parametrize(
    ("average", "count", "steps"),
    [
        ("last", 3, [40, 50, 60]),
        ("last", 5, [20, 30, 40, 50, 60]),
        ("last", 9, [10, 20, 30, 40, 50, 60]),
        ("best", 2, [20, 40]),
        ("best", 3, [20, 40, 60]),
        ("best", 9, [10, 20, 30, 40, 50, 60]),
    ],
)
@pytest.mark.parametrize("decay", [0.0, 0.8])
def test_the_mean_is_that_of_the_weights_that_were_measured(
    run: Path, average: Literal["last", "best"], count: int, steps: list[int], decay: float
) -> None:
    config = settings(average=average, average_count=count, ema_decay=decay)
    trial = Trial(run, config, costs=told([*COSTS, 1.0])).train()
    *single, mean = trial.measured
    wanted = torch.stack([single[step // 10 - 1].double() for step in steps]).mean(0).float()
    assert torch.equal(mean, wanted)
    best = newest(run, "best")
    assert torch.equal(saved(best), mean)
    assert torch.equal(weights(trial.model), trial.raw[60])
    assert best is not None
    facts = read_json(best / "config.json")
    assert (facts["step"], facts["best_validation_loss"], facts["average_of"]) == (60, 1.0, steps)
    listed = ", ".join(map(str, steps))
    assert trial.said[-2] == f"mean of steps {listed}: validation loss 1.0000, better than step 20"
    assert trial.kept() == [f"averaged-{step}.safetensors" for step in steps]


@pytest.mark.parametrize("cost", [math.nan, -math.inf])
def test_what_cannot_be_measured_is_not_averaged(run: Path, cost: float) -> None:
    trial = Trial(
        run, settings(average="best", average_count=2), costs=told([3.0, cost, 2.0, 4.0, 9.0, 8.0, 5.0])
    ).train()
    assert trial.said[-2].startswith("mean of steps 10, 30: ")


@pytest.mark.parametrize("cost", [2.0, 2.5, 100.0])
def test_a_mean_that_is_no_better_is_told_and_not_taken(run: Path, cost: float) -> None:
    trial = Trial(run, settings(average="best"), costs=told([*COSTS, cost])).train()
    best = newest(run, "best")
    assert best is not None
    assert torch.equal(saved(best), trial.raw[20])
    facts = read_json(best / "config.json")
    assert (facts["step"], facts["best_validation_loss"]) == (20, 2.0)
    assert "average_of" not in facts
    assert trial.said[-2].endswith(f"validation loss {cost:.4f}, no better than step 20")
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["average_nats_per_token"] for line in log if "average_nats_per_token" in line] == [cost]
    assert [line["validation_nats_per_token"] for line in log if "validation_nats_per_token" in line] == COSTS


@pytest.mark.parametrize(
    ("limits", "steps"),
    [
        ({"max_steps": 33}, "30, 33"),
        ({"max_steps": None, "max_epochs": 0.35}, "30, 35"),
        ({"max_steps": None, "max_minutes": 0.5}, "20, 30"),
        ({"patience": 1}, "20, 30"),
    ],
)
def test_the_mean_is_measured_whichever_limit_ends_the_run(
    run: Path, limits: dict[str, object], steps: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is an evaluation that takes the last of the time."""
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    def costs(trial: Trial) -> float:
        clock[0] += 12.0
        return [3.0, 2.0, 2.5, 2.4, 1.0][len(trial.measured) - 1]

    trial = Trial(run, settings(average="last", average_count=2, **limits), costs=costs).train()
    assert trial.said[-2].startswith(f"mean of steps {steps}: ")
    last = newest(run, "last")
    assert last is not None
    assert read_json(last / "config.json")["step"] == int(steps[-2:])
    again = Trial(run, settings(average="last", average_count=2, **limits), resume=True).train()
    assert not again.measured  # a finished run stays as it is


def test_one_evaluation_has_no_mean(run: Path) -> None:
    trial = Trial(run, settings(average="last", max_steps=7)).train()
    assert len(trial.measured) == 1


def test_what_the_last_checkpoint_names_stays_on_disk_and_nothing_else(run: Path) -> None:
    config = settings(average="last", average_count=2, evaluate_every=5, save_every=20)

    def costs(trial: Trial) -> float:
        step = trial.loop.progress.step
        last = newest(run, "last")
        assert last is not None
        _, plain = checkpoint.load_training(last)
        assert isinstance(plain["averaged_checkpoints"], dict)
        names = {f"averaged-{kept}.safetensors" for kept in plain["averaged_checkpoints"]}
        assert names <= set(trial.kept())
        if step % 20 == 5:  # the first evaluation after a checkpoint
            assert names == set(trial.kept())
        return 1.0

    run.mkdir()
    for name in ("averaged-3.safetensors", ".averaged-3.safetensors.0123456789abcdef"):  # left by a run that was killed
        (run / name).write_bytes(b"")
    trial = Trial(run, config, costs=costs).train()
    assert trial.kept() == ["averaged-55.safetensors", "averaged-60.safetensors"]
    (run / "averaged-50.safetensors").write_bytes(b"")  # by a kill right after the last checkpoint
    assert Trial(run, config, resume=True).kept() == ["averaged-55.safetensors", "averaged-60.safetensors"]


@pytest.mark.parametrize("place", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_a_flipped_byte_in_a_kept_file_is_told_before_the_run_goes_on(run: Path, place: float) -> None:
    Trial(run, settings(average="last")).train()
    path = run / "averaged-40.safetensors"
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    path.write_bytes(data)
    with pytest.raises(TextseqError, match=r"averaged-40\.safetensors is damaged.*; restore"):
        Trial(run, settings(average="last", max_steps=80), resume=True)


def test_a_kept_file_that_is_gone_is_told_before_the_run_goes_on(run: Path) -> None:
    Trial(run, settings(average="last")).train()
    (run / "averaged-40.safetensors").unlink()
    with pytest.raises(
        TextseqError, match=r"averaged-40\.safetensors is missing; restore it, or continue with --average n"
    ):
        Trial(run, settings(average="last", max_steps=80), resume=True)
    trial = Trial(run, settings(max_steps=80), resume=True).train()
    assert trial.kept() == []
    assert len(trial.measured) == 2


@pytest.mark.parametrize("average", ["last", "best"])
def test_a_mean_that_nothing_can_measure_is_refused(run: Path, average: str) -> None:
    with pytest.raises(TextseqError, match=rf"^--average {average} needs validation data, and there are none; set a"):
        Trial(run, settings(average=average), validation=False)
    assert not run.exists()


@pytest.mark.parametrize(
    ("changes", "flag"), [({"schedule": "plateau"}, "--schedule plateau"), ({"patience": 3}, "--patience 3")]
)
def test_what_waits_for_an_evaluation_is_refused_without_one(run: Path, changes: dict[str, object], flag: str) -> None:
    with pytest.raises(TextseqError, match=f"^{flag} needs validation data, and there are none; set a"):
        Trial(run, settings(**changes), validation=False)


# The mean since a trigger (NT-ASGD)


def test_the_mean_begins_when_the_loss_has_not_improved_and_is_what_is_evaluated_and_saved(run: Path) -> None:
    """Merity et al. (2018), algorithm 1: evaluations 3 and 4 are no better than 2, so averaging begins at step 40."""
    costs = [6.0, 5.0, 5.5, 5.0, 4.0, 3.0]
    trial = Trial(run, settings(average_after=2), costs=told(costs)).train()
    for index, measured in enumerate(trial.measured):
        step = 10 * (index + 1)
        steps = range(40, step + 1) if step > 40 else [step]
        mean = torch.stack([trial.raw[t].double() for t in steps]).mean(dim=0).float()
        torch.testing.assert_close(measured, mean)
    assert trial.loop.progress.averaging_since == 40
    assert [line for line in trial.said if "averaged" in line] == [
        "no improvement for 2 evaluations: the weights are averaged from here on"
    ]
    torch.testing.assert_close(saved(newest(run, "best")), trial.measured[-1])
    torch.testing.assert_close(saved(newest(run, "last")), trial.raw[60])  # the training is as without


def test_a_run_that_keeps_improving_is_not_averaged_and_patience_counts_from_the_trigger(run: Path) -> None:
    trial = Trial(run, settings(average_after=2), costs=told([6, 5, 4, 3, 2, 1])).train()
    assert trial.loop.progress.averaging_since == 0
    torch.testing.assert_close(torch.stack(trial.measured), torch.stack([trial.raw[t] for t in range(10, 61, 10)]))
    other = Trial(elsewhere(run, "other"), settings(average_after=2, patience=2, max_steps=90), costs=told([1] * 9))
    assert other.train().loop.progress.step == 50  # the first is the best, 2 and 3 begin the mean, 4 and 5 end the run


def test_two_kinds_of_moving_average_are_refused_and_so_is_a_trigger_without_evaluations(run: Path) -> None:
    with pytest.raises(TextseqError, match=r"--average-after: expected --ema-decay 0, got 0\.9; use one of"):
        settings(average_after=5, ema_decay=0.9)
    with pytest.raises(TextseqError, match="--average-after 5 needs validation data"):
        Trial(run, settings(average_after=5), validation=False)


# All of them, over what happens to a run

KINDS: list[dict[str, object]] = [
    {"ema_decay": 0.9},
    {"average": "last", "average_count": 2},
    {"average": "best", "average_count": 3, "ema_decay": 0.8},
    {"average_after": 1, "evaluate_every": 3},
]


def outcome(run: Path) -> dict[str, object]:
    last, best = newest(run, "last"), newest(run, "best")
    assert last is not None
    tensors, plain = checkpoint.load_training(last)
    return {
        "weights": saved(last).tolist(),
        "best": saved(best).tolist(),
        "tensors": {name: tensor.tolist() for name, tensor in tensors.items()},
        "progress": {name: value for name, value in plain.items() if name != "seconds"},
        "kept": {path.name: path.read_bytes() for path in run.glob("*averaged-*")},
    }


@pytest.mark.parametrize("changes", KINDS)
@pytest.mark.parametrize("step", [20, 29])
def test_a_resumed_run_is_one_never_stopped(run: Path, changes: dict[str, object], step: int) -> None:
    whole = elsewhere(run, "whole")
    Trial(whole, settings(**changes)).train()
    trial = Trial(run, settings(**changes))
    trial.loop.train_step.optimizer.register_step_post_hook(
        lambda *_: signal.raise_signal(signal.SIGINT) if trial.loop.progress.step == step - 1 else None
    )
    with pytest.raises(Interrupted, match=f"step {step} "):
        trial.train()
    Trial(run, settings(**changes), resume=True).train()
    assert outcome(run) == outcome(whole)


@pytest.mark.parametrize("changes", KINDS)
def test_a_run_killed_after_its_last_checkpoint_does_the_same_again(
    run: Path, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst moment: all is measured, the mean is the best checkpoint, and nothing of it is in the last one."""
    whole = elsewhere(run, "whole")
    Trial(whole, settings(**changes)).train()
    trial = Trial(run, settings(**changes))

    def killed() -> None:
        if trial.loop.progress.step == 60:
            raise KeyboardInterrupt

    monkeypatch.setattr(trial.loop, "_save_last", killed)
    with pytest.raises(KeyboardInterrupt):
        trial.train()
    Trial(run, settings(**changes), resume=True).train()
    assert outcome(run) == outcome(whole)


def test_a_rewind_takes_the_trigger_back(run: Path) -> None:
    """From step 37 back to 20, where averaging had not begun: it began at 30, and begins there again."""
    found = [9, 8, 8, 7, 6, 5, 4]
    trial = Trial(
        run, settings(average_after=1), model=Quadratic(broken=[37]), costs=told(found[:3] + found[2:])
    ).train()
    assert trial.loop.progress.rollbacks == 1 and trial.loop.progress.averaging_since == 30
    mean = torch.stack([trial.raw[t].double() for t in range(30, 61)]).mean(dim=0).float()
    torch.testing.assert_close(trial.measured[-1], mean)


def test_a_rewind_takes_the_averages_back(run: Path) -> None:
    config = settings(ema_decay=0.9, average="last", average_count=3, evaluate_every=5)
    trial = Trial(run, config, model=Quadratic(broken=[37])).train()
    assert trial.loop.progress.rollbacks == 1  # from step 40 back to 20, over the evaluations at 25, 30 and 35
    *_, third, second, first, mean = trial.measured
    for step, measured in ((50, third), (55, second), (60, first)):
        torch.testing.assert_close(measured, trial.moving(0.9, step))
    torch.testing.assert_close(mean, (third + second + first) / 3)
    assert trial.kept() == ["averaged-50.safetensors", "averaged-55.safetensors", "averaged-60.safetensors"]
