"""Own modules, own batches: ``textseq.training`` trains, reports and resumes them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import textseq.training as training
from textseq.config.training import OptimizerName, TrainingConfig
from textseq.data.batching import Cursor
from textseq.errors import TextseqError
from textseq.nn.cells import State
from textseq.nn.losses import Loss
from textseq.training import Evaluation, Event, IterableBatches, Trainer
from textseq.training.log import learning_curve


class Stateless(nn.Module):
    """Regression with noise of its own, so that random states count; its loss is a plain mean."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.linear = nn.Linear(3, 1)
        self.seen: list[State | None] = []

    def loss(self, batch: tuple[Tensor, Tensor], state: State | None) -> Tensor:
        self.seen.append(state)
        x, y = batch
        error: Tensor = self.linear(nn.functional.dropout(x, 0.3, self.training)) - y
        return error.square().mean()


class Stateful(nn.Module):
    """A GRU whose state goes from batch to batch; it does not detach it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.rnn, self.output = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 1)

    def loss(self, batch: tuple[Tensor, Tensor], state: State | None) -> Loss:
        x, y = batch
        h, last = self.rnn(x.unsqueeze(1), state[0] if state else None)
        return Loss((self.output(h[:, 0]) - y).square().sum(), len(x), (last,))


MODELS: list[Callable[[], nn.Module]] = [Stateless, Stateful]


def data() -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    return TensorDataset(torch.randn(42, 3, generator=generator), torch.randn(42, 1, generator=generator))


def as_list() -> list[object]:
    return [*DataLoader(data(), batch_size=6)]


def as_loader() -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(data(), batch_size=6, shuffle=True)


def as_loader_with_generator() -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(data(), batch_size=6, shuffle=True, generator=torch.Generator())


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield from zip(*data().tensors, strict=True)


def as_stream() -> DataLoader[tuple[Tensor, Tensor]]:
    """Without a length."""
    return DataLoader(Stream(), batch_size=6)


SOURCES: list[Callable[[], object]] = [as_list, as_loader, as_loader_with_generator, as_stream]


def settings(steps: int, **changes: object) -> TrainingConfig:
    values = {"max_steps": steps, "schedule": "constant", "warmup_steps": 0, "learning_rate": 0.01, **changes}
    return TrainingConfig.from_dict(values, where="the test")


def weights(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def norm_of(model: nn.Module) -> float:
    """Of the gradient as it is."""
    return float(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm())


def test_the_public_names_are_sorted_and_there() -> None:
    assert training.__all__ == sorted(training.__all__) == dir(training)
    for name in training.__all__:
        documented = getattr(training, name).__doc__
        assert documented and ">>>" in documented, f"{name} has no example"
    with pytest.raises(AttributeError, match="no attribute 'Learner'"):
        training.Learner  # noqa: B018


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("source", SOURCES)
def test_a_resumed_run_equals_an_uninterrupted_one(
    tmp_path: Path, model: Callable[[], nn.Module], source: Callable[[], list[object]]
) -> None:
    whole = model()
    Trainer(whole, source(), settings(20), folder=tmp_path / "whole").fit()
    Trainer(model(), source(), settings(10), folder=tmp_path / "cut").fit()
    torch.manual_seed(99)
    resumed = model()
    Trainer(resumed, source(), settings(20), folder=tmp_path / "cut", resume=True).fit()
    assert all(map(torch.equal, weights(whole), weights(resumed)))
    clock = {"minutes", "rows_per_second"}
    logs = [
        [
            {k: v for k, v in json.loads(line).items() if k not in clock}
            for line in (folder / "log.jsonl").read_text().splitlines()
        ]
        for folder in (tmp_path / "whole", tmp_path / "cut")
    ]
    assert logs[0] == logs[1]


def test_no_folder_means_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = Stateless()
    before = weights(model)
    assert Trainer(model, as_list(), settings(30), evaluate=lambda: 1.0, report=lambda line: None).fit().step == 30
    assert not any(map(torch.equal, before, weights(model)))
    assert [*tmp_path.iterdir()] == []
    assert model.seen == [None] * 30
    for changes in ({"resume": True}, {"config": settings(3, average="last")}):
        with pytest.raises(TextseqError, match=r"expected folder=\.\.\., got None"):
            Trainer(model, as_list(), **changes, evaluate=lambda: 1.0)


def test_callbacks_see_every_step_and_its_numbers(tmp_path: Path) -> None:
    model, events, norms = Stateless(), list[Event](), list[float]()

    def callback(event: Event) -> None:
        events.append(event)

    config = settings(12, clip_norm=0.1, evaluate_every=6, save_every=12)
    evaluate, report = (lambda: Evaluation(2.0, {"accuracy": 0.5})), list[str]()
    trainer = Trainer(
        model, as_list(), config, folder=tmp_path / "run", callbacks=[callback], evaluate=evaluate, report=report.append
    )
    trainer.train_step.optimizer.register_step_pre_hook(lambda *_: norms.append(norm_of(model)))
    trainer.fit()
    steps = [event for event in events if event.kind == "step"]
    assert [event.step for event in steps] == [*range(1, 13)]
    assert [event.gradient_norm_clipped for event in steps] == pytest.approx(norms)
    assert all(event.gradient_norm > event.gradient_norm_clipped for event in steps)
    assert all(event.loss > 0 and event.learning_rate == pytest.approx(0.01) for event in steps)
    logged = [(event.step, "validation_loss" in event.values) for event in events if event.kind == "log"]
    assert logged == [(6, False), (6, True), (10, False), (12, False), (12, True)]
    others = [(event.kind, event.step) for event in events if event.kind not in ("step", "log")]
    assert others == [
        ("checkpoint", 6), ("evaluation", 6), ("evaluation", 12), ("checkpoint", 12), ("end", 12),
    ]  # fmt: skip
    assert [event.evaluation.loss for event in events if event.evaluation] == [2.0, 2.0]
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    (line,) = [line for line in lines if line["step"] == 10]
    assert line["loss"] == pytest.approx(sum(event.loss for event in steps[6:10]) / 4)
    assert line["gradient_norm"] == pytest.approx(sum(event.gradient_norm for event in steps[6:10]) / 4)
    assert line["gradient_norm_clipped"] == pytest.approx(sum(norms[6:10]) / 4)
    assert line["learning_rate"] == pytest.approx(0.01)
    assert [line["validation_loss"] for line in lines if "validation_accuracy" in line] == [2.0, 2.0]
    assert not any("nats" in words for words in report)
    learning_curve(tmp_path / "run" / "log.jsonl", tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("limits", [{"clip_norm": None}, {"clip_value": 0.01}, {"clip_norm": None, "clip_value": 0.01}])
def test_norms_are_known_however_a_gradient_is_clipped(limits: dict[str, float | None]) -> None:
    model, seen, left = Stateless(), list[tuple[float, float]](), list[float]()
    trainer = Trainer(
        model,
        as_list(),
        settings(3, **limits),
        callbacks=[lambda e: seen.append((e.gradient_norm, e.gradient_norm_clipped))],
    )
    trainer.train_step.optimizer.register_step_pre_hook(
        lambda *_: left.append(
            float(torch.cat([p.grad.flatten() for p in trainer.parameters if p.grad is not None]).norm())
        )
    )
    trainer.fit()
    assert [clipped for _, clipped in seen[:3]] == pytest.approx(left)
    assert all(norm >= clipped - 1e-6 for norm, clipped in seen)


def test_the_best_weights_come_back(tmp_path: Path) -> None:
    model, costs, seen = Stateless(), iter([3.0, 1.0, 2.0]), list[list[Tensor]]()

    def evaluate() -> float:
        seen.append(weights(model))
        return next(costs)

    config = settings(9, evaluate_every=3)
    trainer = Trainer(model, as_list(), config, folder=tmp_path, evaluate=evaluate, report=lambda line: None)
    trainer.fit()
    trainer.load_best()
    assert all(map(torch.equal, weights(model), seen[1]))
    with pytest.raises(TextseqError, match="holds a run; continue it with resume=True"):
        Trainer(model, as_list(), config, folder=tmp_path, evaluate=evaluate)


def test_micro_batches_of_plain_batches_give_the_gradient_of_the_whole() -> None:
    results = []
    for micro_batches in (1, 3):
        model = Stateful()
        Trainer(model, as_list(), settings(5, micro_batches=micro_batches, optimizer="sgd")).fit()
        results.append(weights(model))
    for whole, cut in zip(*results, strict=True):
        torch.testing.assert_close(whole, cut)


class ThreePerRow(Stateful):
    """Counts three predictions in each row."""

    def loss(self, batch: tuple[Tensor, Tensor], state: State | None) -> Loss:
        loss = super().loss(batch, state)
        return Loss(3 * loss.nats, 3 * loss.count, loss.state)


def test_the_mean_over_what_the_model_counts_is_minimized() -> None:
    results = []
    for model in (Stateful(), ThreePerRow()):
        Trainer(model, as_list(), settings(5, optimizer="sgd", momentum=0, clip_norm=None)).fit()
        results.append(weights(model))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("source", SOURCES)
def test_plain_batches_are_a_function_of_the_place(source: Callable[[], list[object]]) -> None:
    batches, cursor, places = IterableBatches(source(), seed=3), Cursor(), []
    while cursor.epoch < 2:
        batch, following = batches.batch(cursor)
        places.append((cursor, batch.data))
        cursor = following
    assert [place.position for place, _ in places] == [*range(7)] * 2
    other = IterableBatches(source(), seed=3)
    for place, expected in [*reversed(places), *places]:
        torch.manual_seed(place.position)
        before = torch.get_rng_state()
        assert all(map(torch.equal, other.batch(place)[0].data, expected))  # type: ignore[call-overload]
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("source", [as_loader, as_loader_with_generator])
def test_the_seed_decides_the_order_of_plain_batches(source: Callable[[], list[object]]) -> None:
    def inputs(seed: int) -> list[Tensor]:
        batches = IterableBatches(source(), seed)
        return [batches.batch(Cursor(0, place))[0].data[0] for place in range(7)]  # type: ignore[index]

    one, again, other = map(inputs, (1, 1, 2))
    assert all(map(torch.equal, one, again)) and not any(map(torch.equal, one, other))


def test_the_seed_decides_the_noise_of_a_model() -> None:
    def trained(seed: int) -> list[Tensor]:
        model = Stateless()
        Trainer(model, as_list(), settings(3, seed=seed)).fit()
        return weights(model)

    one, again, other = map(trained, (1, 1, 2))
    assert all(map(torch.equal, one, again)) and not any(map(torch.equal, one, other))


def test_an_epoch_of_plain_batches_is_one_pass() -> None:
    for source in SOURCES:
        assert Trainer(Stateless(), source(), settings(100, max_epochs=2)).fit().step == 14  # type: ignore[arg-type]


def test_another_model_cannot_be_resumed(tmp_path: Path) -> None:
    Trainer(Stateless(), as_list(), settings(3), folder=tmp_path).fit()
    other = Stateless()
    other.linear = nn.Linear(3, 2)
    with pytest.raises(
        TextseqError, match=r"those of another model \(linear\.bias, linear\.weight\); give the model that"
    ):
        Trainer(other, as_list(), settings(6), folder=tmp_path, resume=True).fit()


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(TextseqError, match="read only once; give list"):
        Trainer(Stateless(), iter(as_list()))
    with pytest.raises(TextseqError, match="expected an object with batch"):
        Trainer(Stateless(), 3)  # type: ignore[arg-type]
    with pytest.raises(TextseqError, match=r"a method loss\(batch, state\), got Linear"):
        Trainer(nn.Linear(1, 1), as_list())
    gru = Stateful()
    gru.loss = lambda batch, state: Loss(gru.rnn(batch[0])[0].sum(), 1, gru.rnn(batch[0])[1])  # type: ignore[method-assign]
    with pytest.raises(TextseqError, match=r"expected a tuple of tensors as state, got one tensor; write \(state,\)$"):
        Trainer(gru, as_list(), settings(2)).fit()
    model = Stateless()
    model.loss = lambda batch, state: model.linear(batch[0])  # type: ignore[method-assign]
    with pytest.raises(TextseqError, match=r"expected a scalar tensor or a textseq\.nn\.Loss, got a tensor of shape"):
        Trainer(model, as_list()).fit()
    with pytest.raises(TextseqError, match="expected at least one batch, got none"):
        Trainer(Stateless(), []).fit()
    with pytest.raises(TextseqError, match="expected rows in every batch, got none in batch 2"):
        Trainer(Stateless(), [as_list()[0], (torch.zeros(0, 3), torch.zeros(0, 1))]).fit()


class TwoHeads(nn.Module):
    """Batches go to one head or the other, and may have no target."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList([nn.Linear(3, 1), nn.Linear(3, 1)])

    def loss(self, batch: tuple[int, Tensor, Tensor], state: State | None) -> Loss:
        head, x, y = batch
        wanted = ~y.isnan()
        error = self.heads[head](x)[wanted] - y[wanted]
        return Loss(error.square().sum(), int(wanted.sum()), ())


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop", "adagrad"])
def test_weights_may_wait_for_their_first_gradient(optimizer: OptimizerName) -> None:
    model, (x, y) = TwoHeads(), data().tensors
    before = [parameter.clone() for parameter in model.parameters()]
    batches = [(0, x, y), (1, x, y), (0, x, torch.full_like(y, math.nan))]
    Trainer(model, batches, TrainingConfig(optimizer=optimizer, max_steps=6)).fit()
    assert all(new.isfinite().all() and not new.equal(old) for new, old in zip(model.parameters(), before, strict=True))


def test_results_may_be_numbers_of_numpy_and_torch(tmp_path: Path) -> None:
    def evaluate() -> Evaluation:
        results = {"a": np.float32(0.5), "b": torch.tensor(2), "c": "words"}
        return Evaluation(torch.tensor(1.5), results, criterion=np.float32(-0.5))  # type: ignore[arg-type]

    Trainer(Stateless(), as_list(), TrainingConfig(max_steps=3), folder=tmp_path / "run", evaluate=evaluate).fit()
    (line,) = (json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines() if "_a" in line)
    assert [line[f"validation_{name}"] for name in ("loss", "a", "b", "c")] == [1.5, 0.5, 2, "words"]
