"""The language model: one loss, one truncation, and a stepper that agrees with the whole."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from textseq.config.names import CellName
from textseq.data.batching import Cursor
from textseq.nn.cell_registry import CELLS
from textseq.nn.cells import State
from textseq.tasks.language_model.batches import Streams, WindowBatch
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.tasks.language_model.model import LanguageModel

V, N, T, H = 7, 2, 5, 6

EVERY_CELL = pytest.mark.parametrize("cell", CELLS)


@dataclass(frozen=True)
class Text:
    ids: np.ndarray
    document_starts: np.ndarray


PLAIN = LanguageModelConfig(hidden_size=H, embedding_size=4, dropout=0.0)


def made(
    cell: CellName = "lstm",
    *,
    num_layers: int = 1,
    tie: bool = False,
    learned: bool = False,
    base: LanguageModelConfig = PLAIN,
) -> LanguageModel:
    torch.manual_seed(1)
    config = replace(
        base,
        cell=cell,
        num_layers=num_layers,
        embedding_size=H if tie else 4,
        tie_embeddings=tie,
        learn_initial_state=learned,
    )
    model = LanguageModel(config, V).double()
    if model.recurrent.start is not None:
        torch.nn.init.normal_(model.recurrent.start)
    return model


def random_batch(*, carry: int = T, scored: int = T, resets: Tensor | None = None) -> WindowBatch:
    ids = torch.randint(V, (N, T + 1))
    return WindowBatch(ids[:, :-1], ids[:, 1:], resets, carry=carry, scored=scored)


def windows(length: int, window: int, stride: int | None) -> list[WindowBatch]:
    """One epoch of a random text."""
    text = Text(np.random.default_rng(1).integers(V, size=length), np.array([0]))
    streams = Streams(text, DataConfig(batch_size=N, window=window, stride=stride, reset_probability=0), seed=1)
    cursor, batches = Cursor(), []
    while cursor.epoch == 0:
        batch, cursor = streams.batch(cursor)
        batches.append(batch)
    return batches


def assert_steps_are_forward(model: LanguageModel) -> None:
    ids = torch.randint(V, (N, T))
    logits, final = model(ids)
    assert logits.shape == (N, T, V)
    step, state = model.stepper(), model.initial_state(N)
    for t in range(T):
        now, state = step(ids[:, t], state)
        torch.testing.assert_close(now, logits[:, t])
    torch.testing.assert_close(state, final)


@EVERY_CELL
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("learned", [False, True], ids=["zero", "learned"])
def test_stepper_is_forward_position_by_position(cell: CellName, num_layers: int, learned: bool) -> None:
    model = made(cell, num_layers=num_layers, learned=learned).eval()
    assert_steps_are_forward(model)


@EVERY_CELL
def test_stepper_is_forward_with_everything_on(cell: CellName) -> None:
    noisy = replace(
        PLAIN, residual=True, layer_norm=True, dropout=0.5, embedding_dropout=0.5, word_dropout=0.5,
        weight_dropout=0.5 if CELLS[cell].recurrent else 0.0, locked_dropout=True, zoneout=0.3,
    )  # fmt: skip
    model = made(cell, num_layers=3, base=noisy).eval()
    assert_steps_are_forward(model)


@EVERY_CELL
@pytest.mark.parametrize(("carry", "scored"), [(T, T), (2, T), (1, 1), (3, 2), (2, 3)])
def test_loss_sums_nats_over_exactly_the_scored_positions(cell: CellName, carry: int, scored: int) -> None:
    model = made(cell, num_layers=2)
    resets = torch.zeros(N, T, dtype=torch.bool)
    resets[0, 1] = resets[1, 3] = True
    batch = random_batch(carry=carry, scored=scored, resets=resets)
    before = tuple(torch.randn_like(part) for part in model.initial_state(N))
    logits, _ = model(batch.inputs, before, resets=resets)
    log_p = logits - logits.exp().sum(dim=2, keepdim=True).log()
    wanted = torch.zeros(())
    for n in range(N):
        for t in range(T - scored, T):
            wanted = wanted - log_p[n, t, batch.targets[n, t]]
    loss = model.loss(batch, before)
    assert loss.nats.item() == pytest.approx(wanted.item(), rel=1e-5)
    weights = list(model.parameters())
    found, right = (torch.autograd.grad(nats, weights) for nats in (loss.nats, wanted))
    torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-5)
    assert loss.count == N * scored
    _, carried = model(batch.inputs[:, :carry], before, resets=resets[:, :carry])
    torch.testing.assert_close(loss.state, carried)
    assert not any(part.requires_grad for part in loss.state)


def test_fresh_state_is_the_initial_one() -> None:
    model = made(learned=True)
    batch = random_batch()
    torch.testing.assert_close(model.loss(batch, None).nats, model.loss(batch, model.initial_state(N)).nats)


def test_tied_weights_are_one_matrix() -> None:
    model, untied = made(tie=True), made()
    assert untied.output.weight is not untied.embedding.weight
    assert sum(p.numel() for p in model.recurrent.parameters()) + V * H + V == sum(
        p.numel() for p in model.parameters()
    )
    for twin in (model, deepcopy(model).float()):
        optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
        before = twin.embedding.weight.detach().clone()
        torch.autograd.backward(twin.loss(random_batch(), None).nats)
        optimizer.step()
        assert twin.output.weight is twin.embedding.weight
        assert not torch.equal(before, twin.embedding.weight)


@EVERY_CELL
@pytest.mark.parametrize("stride", [1, 2, T, None])
def test_truncation_is_strict(cell: CellName, stride: int | None) -> None:
    """The gradient of a window's loss reaches all that window's inputs, and nothing before them."""
    model = made(cell, num_layers=2)
    vectors: list[Tensor] = []
    model.embedding.register_forward_hook(lambda module, given, out: vectors.append(out))
    state: State | None = None
    first, *middle, _ = batches = windows(N * 23, T, stride)
    assert first.inputs.shape == (N, T)
    assert {(batch.inputs.shape[1], batch.scored) for batch in middle} == {(T, stride or T)}
    for batch in batches:
        before = state
        for scored in (1, batch.scored):  # the last position alone reaches back as far
            loss = model.loss(replace(batch, scored=scored), before)
            *earlier, own = torch.autograd.grad(loss.nats, vectors, allow_unused=True)
            assert all(gradient is None for gradient in earlier)
            assert own is not None and (own != 0).any(dim=2).all()
        state = loss.state


@EVERY_CELL
@pytest.mark.parametrize("stride", [1, 2, 4, T, None])
def test_overlapped_windows_give_the_logits_of_one_long_pass(cell: CellName, stride: int | None) -> None:
    model = made(cell, num_layers=2).eval()
    read: list[Tensor] = []  # by the output layer
    model.dropout.register_forward_hook(lambda module, given, out: read.append(out))
    state: State | None = None
    batches = windows(N * 23, T, stride)
    nats = 0.0
    for batch in batches:
        loss = model.loss(batch, state)
        state, nats = loss.state, nats + loss.nats.item()
    pieces = model.output(torch.cat([piece.transpose(0, 1) for piece in read], dim=1))  # inside, time comes first
    inputs = torch.cat([batch.inputs[:, -batch.scored :] for batch in batches], dim=1)
    whole, _ = model(inputs)
    assert inputs.shape == (N, 23)
    torch.testing.assert_close(pieces, whole)
    targets = torch.cat([batch.targets[:, -batch.scored :] for batch in batches], dim=1)
    assert nats == pytest.approx(cross_entropy(whole.flatten(0, 1), targets.flatten(), reduction="sum").item())


@EVERY_CELL
def test_bfloat16_gives_about_the_same_loss(cell: CellName) -> None:
    model = made(cell, num_layers=2).float()
    batches = windows(N * 20, T, 2)
    totals = []
    for enabled in (False, True):
        state, total = None, 0.0
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                loss = model.loss(batch, state)
            assert loss.nats.dtype == torch.float32
            torch.autograd.backward(loss.nats)
            state, total = loss.state, total + loss.nats.item()
        totals.append(total)
    exact, rough = totals
    assert rough == pytest.approx(exact, rel=0.01) and rough != exact
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_dropped_words_are_dropped_whole_and_everywhere_in_the_window() -> None:
    model = made(base=replace(PLAIN, word_dropout=0.5))
    ids = torch.arange(V).repeat(N, 3)
    seen: list[Tensor] = []
    model.recurrent.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    for _ in range(20):
        model.loss(WindowBatch(ids[:, :-1], ids[:, 1:], None, carry=3 * V - 1, scored=3 * V - 1), None)
    patterns = set()
    for x in seen:
        kept = (x != 0).all(dim=2)
        assert torch.equal(kept, (x != 0).any(dim=2))
        assert (kept[:, :V] == kept[:1, :V]).all() and torch.equal(kept[:, :V], kept[:, V : 2 * V])
        torch.testing.assert_close(x[kept], 2 * model.embedding(ids[:, :-1])[kept])
        patterns.add(tuple(kept[0, :V].tolist()))
    assert len(patterns) > 10
    seen.clear()
    model.eval()(ids)
    assert (seen[0] != 0).all()


@pytest.mark.parametrize(
    "kind", ["dropout", "embedding_dropout", "word_dropout", "weight_dropout", "zoneout", "zoneout_cell"]
)
@pytest.mark.parametrize("locked", [False, True])
def test_every_noise_is_for_training_alone(kind: str, locked: bool) -> None:
    """With a single layer, so that ``dropout`` is that before the output layer."""
    noisy = LanguageModelConfig.from_dict({**PLAIN.to_dict(), "locked_dropout": locked, kind: 0.5}, where="here")
    model, batch = made(base=noisy), random_batch()

    def outputs() -> tuple[Tensor, Tensor]:
        return model(batch.inputs)[0], model.loss(batch, None).nats

    assert not any(map(torch.equal, outputs(), outputs()))
    model.eval()
    assert all(map(torch.equal, outputs(), outputs()))


def test_locked_noise_is_the_same_at_every_step() -> None:
    model = made(base=replace(PLAIN, dropout=0.5, embedding_dropout=0.5, locked_dropout=True))
    seen: list[Tensor] = []
    for noise in (model.embedding_dropout, model.dropout):
        noise.register_forward_hook(lambda module, given, out: seen.append(out == 0))
    model.loss(random_batch(), None)
    for dropped in seen:  # (T, N, E) and (T, N, H)
        assert torch.equal(dropped, dropped[:1].expand_as(dropped)) and dropped.any() and not dropped.all()


def test_a_sampled_softmax_is_for_training_alone() -> None:
    """With a sample that is all the others it is the whole one; less is another loss, and the gradient reaches all."""
    batch = random_batch()
    exact = made().loss(batch, None).nats
    sampled = made(base=replace(PLAIN, sampled_softmax=V))
    torch.testing.assert_close(sampled.loss(batch, None).nats, exact)
    few = made(base=replace(PLAIN, sampled_softmax=1))
    one = replace(batch, targets=torch.zeros_like(batch.targets))
    loss = few.loss(one, None).nats
    assert loss.item() != pytest.approx(made().loss(one, None).nats.item(), rel=1e-3)
    torch.autograd.backward(loss)
    gradient = few.output.weight.grad
    assert gradient is not None and (gradient != 0).any(dim=1).sum() == 2
    torch.testing.assert_close(few.eval().loss(one, None).nats, made().loss(one, None).nats)


def test_overlapping_windows_share_their_noise() -> None:
    """A window read in two pieces, so that a state can be taken between them, is still one window."""
    model = made(
        num_layers=2, base=replace(PLAIN, dropout=0.5, locked_dropout=True, weight_dropout=0.5, word_dropout=0.5)
    )
    losses = []
    batch = random_batch()
    for carry in (T, 2):
        torch.manual_seed(3)
        losses.append(model.loss(replace(batch, carry=carry), None).nats)
    torch.testing.assert_close(losses[0], losses[1])


BOTH_WAYS = replace(PLAIN, bidirectional=True)


@EVERY_CELL
@pytest.mark.parametrize("scored", [T, 2])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_the_reverse_stack_is_a_language_model_of_the_text_read_from_its_end(
    cell: CellName, num_layers: int, scored: int
) -> None:
    model, batch = made(cell, num_layers=num_layers, base=BOTH_WAYS), random_batch(scored=scored)
    mirror = made(cell, num_layers=num_layers)
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith("recurrent.")}
    mirror.load_state_dict({name.replace("reverse.", "recurrent."): value for name, value in weights.items()})
    back = WindowBatch(batch.targets.flip(1), batch.inputs.flip(1), None, carry=T, scored=scored)
    found, ahead = model.loss(batch, None), made(cell, num_layers=num_layers, base=BOTH_WAYS)
    assert found.penalty is not None and found.count == N * scored
    torch.testing.assert_close(found.penalty, mirror.loss(back, None).nats / found.count)
    ahead.reverse = None
    torch.testing.assert_close(found.nats, ahead.loss(batch, None).nats)


def test_the_reverse_stack_sees_only_what_comes_after_and_only_of_the_same_document() -> None:
    """Row 0 has a document that begins with its third token, row 1 has none."""
    model = made(base=BOTH_WAYS)
    read: list[Tensor] = []
    model.embedding.register_forward_hook(lambda module, given, out: read.append(out))
    outputs: list[Tensor] = []
    assert model.reverse is not None
    model.reverse.register_forward_hook(lambda module, given, out: outputs.append(out[0]))
    resets = torch.zeros(N, T, dtype=torch.bool)
    resets[:, 0] = resets[0, 2] = True
    model.loss(random_batch(resets=resets), None)
    (h,), vectors = outputs, read[1]  # (T, N, E): those of the tokens T, ..., 1 of the text
    for row, begins in enumerate((2, 0)):
        for place in range(T):
            (reach,) = torch.autograd.grad(h[row, place].sum(), vectors, retain_graph=True)
            seen = (reach[:, row] != 0).any(dim=1).tolist()
            token = T - place  # the last one that was read, counted from the window's beginning
            document = [other >= begins if token >= begins else other < begins for other in range(T, 0, -1)]
            assert seen == [other >= token and same for other, same in zip(range(T, 0, -1), document, strict=True)]
            assert not (reach[:, 1 - row] != 0).any()


def test_what_is_learnt_the_other_way_round_leaves_writing_and_measures_alone() -> None:
    model, batch = made(base=BOTH_WAYS).eval(), random_batch()
    plain = made().eval()
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if not name.startswith("reverse")})
    torch.testing.assert_close(model(batch.inputs)[0], plain(batch.inputs)[0])
    found = model.loss(batch, None)
    torch.testing.assert_close(found.nats, plain.loss(batch, None).nats)
    assert found.penalty is None
    assert [len(stage) for stage in model.layer_groups()] == [2, 8, 1]


def test_both_ways_share_one_sample_of_the_softmax() -> None:
    batch = random_batch()
    exact = made(base=BOTH_WAYS).loss(batch, None)
    sampled = made(base=replace(BOTH_WAYS, sampled_softmax=V)).loss(batch, None)
    assert exact.penalty is not None and sampled.penalty is not None
    torch.testing.assert_close((sampled.nats, sampled.penalty), (exact.nats, exact.penalty))


def test_penalties_are_those_of_the_paper() -> None:
    """Merity et al. (2017), section 4.5, with means in the place of norms, as their code has it."""
    model = made(base=replace(PLAIN, activation_penalty=2.0, temporal_penalty=3.0))
    batch = random_batch()
    h, _ = model.recurrent(model.embedding(batch.inputs))
    loss = model.loss(batch, None)
    assert loss.penalty is not None
    steps = (h[:, 1:] - h[:, :-1]).square().mean()
    torch.testing.assert_close(loss.penalty.double(), 2 * h.square().mean() + 3 * steps, rtol=1e-5, atol=0)
    torch.testing.assert_close(loss.nats, made().loss(batch, None).nats)
    assert made().loss(batch, None).penalty is None
    one = WindowBatch(batch.inputs, batch.targets, None, carry=1, scored=1)
    assert made(base=replace(PLAIN, temporal_penalty=1.0)).loss(one, None).penalty is None


def test_the_activation_penalty_is_of_the_outputs_after_dropout() -> None:
    model = made(base=replace(PLAIN, dropout=0.5, activation_penalty=2.0))
    seen: list[Tensor] = []
    model.dropout.register_forward_hook(lambda module, given, out: seen.append(out))
    loss = model.loss(random_batch(), None)
    (dropped,) = seen
    assert loss.penalty is not None and (dropped == 0).any()
    torch.testing.assert_close(loss.penalty.double(), 2 * dropped.square().mean(), rtol=1e-5, atol=0)
