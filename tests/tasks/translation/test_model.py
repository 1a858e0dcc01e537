"""The translator's network: one loss however the text is cut, noise in training alone, and a toy language learnt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from textseq.config.names import AttentionName, CellName
from textseq.errors import TextseqError
from textseq.nn.attention import ATTENTIONS
from textseq.nn.cell_registry import CELLS
from textseq.nn.cells import State
from textseq.tasks.translation.batches import PairBatch, pair_batch, window
from textseq.tasks.translation.config import TranslationModelConfig
from textseq.tasks.translation.model import TranslationModel

V, E, C, H = 7, 5, 8, 8
"""C is twice the encoder's size, and dot attention wants H = C."""
SOURCES, TARGETS = (3, 6, 1, 4), (5, 2, 7, 1)

EVERY_CELL = pytest.mark.parametrize("cell", CELLS)
EVERY_ATTENTION = pytest.mark.parametrize("attention", ATTENTIONS)
LAYERS = pytest.mark.parametrize("num_layers", [1, 3])

PLAIN = TranslationModelConfig(
    embedding_size=E, encoder_size=C // 2, hidden_size=H, attention_size=6, dropout=0, embedding_dropout=0,
    label_smoothing=0,
)  # fmt: skip
NOISES = {"dropout": 0.5, "embedding_dropout": 0.5, "word_dropout": 0.5, "scheduled_sampling": 0.5}


pytestmark = pytest.mark.usefixtures("float64")


def made(config: TranslationModelConfig = PLAIN, *, num_layers: int = 1, size: int = V) -> TranslationModel:
    torch.manual_seed(1)
    model = TranslationModel(replace(config, num_encoder_layers=num_layers, num_decoder_layers=num_layers), size, V)
    nn.init.normal_(model.output.bias)
    return model


def drawn() -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(1)
    return [rng.integers(V, size=n) for n in SOURCES], [rng.integers(V, size=n) for n in TARGETS]


def random_batch() -> PairBatch:
    return pair_batch(*drawn(), (V, V))


def in_windows(model: TranslationModel, batch: PairBatch, cuts: list[int]) -> list[tuple[Tensor, int, State]]:
    """The losses of consecutive windows, each begun with the state that the one before left."""
    state: State | None = None
    found = []
    for start, stop in zip([0, *cuts], [*cuts, None], strict=True):
        loss = model.loss(window(batch, start, stop), state)
        state = loss.state
        found.append((loss.nats, loss.count, state))
    return found


# What the loss is


@EVERY_CELL
@EVERY_ATTENTION
def test_batch_is_its_pairs_alone(cell: CellName, attention: AttentionName) -> None:
    model = made(replace(PLAIN, cell=cell, attention=attention), num_layers=2)
    batch = random_batch()
    logits, looks = model(batch)
    assert logits.shape == (4, 8, V + 1) and looks.shape == (4, 8, 7)
    total = torch.zeros(())
    for row, (source, target) in enumerate(zip(*drawn(), strict=True)):
        alone = pair_batch([source], [target], (V, V))
        wanted, look = model(alone)
        torch.testing.assert_close(logits[row, : len(target) + 1], wanted[0])
        torch.testing.assert_close(looks[row, : len(target) + 1, : len(source) + 1], look[0])
        total = total + model.loss(alone, None).nats
    loss = model.loss(batch, None)
    torch.testing.assert_close(loss.nats, total)
    weights = list(model.parameters())
    found, right = (torch.autograd.grad(nats, weights, allow_unused=True) for nats in (loss.nats, total))
    torch.testing.assert_close(found, right)
    assert all(gradient is not None and (gradient != 0).any() for gradient in found), "every weight learns"


def test_loss_sums_the_nats_of_all_targets_and_counts_no_padding() -> None:
    model, batch = made(), random_batch()
    logits, _ = model(batch)
    log_p = logits.log_softmax(dim=2)
    rows = [
        log_p[row, t, token] for row, target in enumerate(drawn()[1]) for t, token in enumerate([*target.tolist(), V])
    ]
    loss = model.loss(batch, None)
    torch.testing.assert_close(loss.nats, -torch.stack(rows).sum())
    assert loss.count == len(rows) == batch.count and loss.penalty is None and loss.state == ()


def test_what_stands_in_the_padding_changes_nothing() -> None:
    model, batch = made(num_layers=2), random_batch()
    at_padding = torch.arange(batch.source.shape[1]) >= batch.source_lengths.unsqueeze(1)
    other = replace(
        batch,
        source=batch.source.masked_fill(at_padding, 0),
        inputs=batch.inputs.masked_fill(~batch.real, 1),
        targets=batch.targets.masked_fill(~batch.real, 2),
    )
    assert not torch.equal(other.source, batch.source) and not torch.equal(other.inputs, batch.inputs)
    weights = list(model.parameters())
    losses = [model.loss(each, None).nats for each in (batch, other)]
    torch.testing.assert_close(losses[1], losses[0])
    wanted, found = (torch.autograd.grad(nats, weights) for nats in losses)
    torch.testing.assert_close(found, wanted)


@EVERY_CELL
@LAYERS
@pytest.mark.parametrize("cuts", [[3], [1, 2, 6], [7]])
def test_one_long_window_is_several_with_the_state_carried(cell: CellName, num_layers: int, cuts: list[int]) -> None:
    model, batch = made(replace(PLAIN, cell=cell), num_layers=num_layers), random_batch()
    whole = model.loss(batch, None)
    found = in_windows(model, batch, cuts)
    torch.testing.assert_close(torch.stack([nats for nats, _, _ in found]).sum(), whole.nats)
    assert sum(count for _, count, _ in found) == whole.count
    *earlier, last = [state for _, _, state in found]
    assert last == ()
    for state in earlier:
        assert [part.shape for part in state] == [(num_layers, 4, H)] * CELLS[cell].states
        assert not any(part.requires_grad for part in state), "detached"


def test_truncation_is_strict() -> None:
    """What a window learns reaches its own target words and the sources, and no word of the window before."""
    model, batch = made(replace(PLAIN, tie_embeddings="none")), random_batch()
    seen: list[Tensor] = []
    model.embedding.register_forward_hook(lambda module, given, out: seen.append(out))
    (*_, (nats, _, _)) = in_windows(model, batch, [4])
    before, own, sources = torch.autograd.grad(nats, [*seen, model.source_embedding.weight], allow_unused=True)
    assert before is None
    assert (own[:, 2] != 0).any(dim=1).all() and (sources[drawn()[0][2]] != 0).any()


def test_a_window_that_begins_the_targets_begins_afresh() -> None:
    model, batch = made(), random_batch()
    stale = model.loss(window(batch, 0, 3), None).state
    torch.testing.assert_close(model.loss(batch, stale).nats, model.loss(batch, None).nats)


# What the network is


@EVERY_CELL
@LAYERS
def test_steps_one_by_one_are_the_window(cell: CellName, num_layers: int) -> None:
    model, batch = made(replace(PLAIN, cell=cell), num_layers=num_layers), random_batch()
    with torch.no_grad():
        memory, state = model.encode(batch.source, batch.source_lengths)
        words, read = model.decode(batch.inputs, memory, state)
        for t in range(batch.inputs.shape[1]):
            word, now = model.decode(batch.inputs[:, t : t + 1], memory, state)
            state = now.state
            torch.testing.assert_close(word[0], words[t])
            for name in ("outputs", "contexts", "attention"):
                torch.testing.assert_close(getattr(now, name)[0], getattr(read, name)[t])
        torch.testing.assert_close(state, read.state)


@EVERY_CELL
@EVERY_ATTENTION
@pytest.mark.parametrize("readout", ["tanh", "maxout"])
def test_stepper_is_forward_position_by_position(cell: CellName, attention: AttentionName, readout: str) -> None:
    """With two rows of each sentence, and the attention that every source position had summed up."""
    options = {"cell": cell, "attention": attention, "readout": readout}
    model, batch = (
        made(TranslationModelConfig.from_dict(PLAIN.to_dict() | options, where="here"), num_layers=2),
        random_batch(),
    )
    with torch.no_grad():
        logits, looks = model(batch)
        memory, start = model.encode(batch.source, batch.source_lengths)
        step = model.stepper().over(memory)
        twice = [part.repeat_interleave(2, dim=1) for part in start]
        state: State = (*twice, torch.zeros(1, 2 * len(batch.source), batch.source.shape[1]))
        for t in range(batch.inputs.shape[1]):
            now, state = step(batch.inputs[:, t].repeat_interleave(2), state)
            torch.testing.assert_close(now, logits[:, t].repeat_interleave(2, dim=0))
            torch.testing.assert_close(state[-1][0], looks[:, : t + 1].sum(dim=1).repeat_interleave(2, dim=0))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@LAYERS
def test_the_decoder_begins_with_what_the_encoder_knew_at_the_first_word(cell: CellName, num_layers: int) -> None:
    """Bahdanau et al. (2015), appendix A.2.2: s_0 = tanh(W h_1), h_1 read from the end; likewise for further layers."""
    model, batch = made(replace(PLAIN, cell=cell), num_layers=num_layers), random_batch()
    memory, state = model.encode(batch.source, batch.source_lengths)
    backward = memory.values[:, 0, C // 2 :]
    rows = torch.arange(len(batch.source))
    forward = memory.values[rows, batch.source_lengths - 1, : C // 2]
    torch.testing.assert_close(memory.summary, torch.cat([forward, backward], dim=1))
    assert [part.shape for part in state] == [(num_layers, 4, H)] * CELLS[cell].states
    parts = torch.split(torch.tanh(model.bridge(backward)), H, dim=1)
    wanted = [part[layer] for layer in range(num_layers) for part in state]
    torch.testing.assert_close(wanted, list(parts))


@pytest.mark.parametrize("readout", ["tanh", "maxout"])
def test_readout_is_the_papers(readout: str) -> None:
    """Appendix A.2.2: t = U s + V E y + C c, and of each pair of its units the larger one; or tanh of it."""
    model = made(TranslationModelConfig.from_dict({**PLAIN.to_dict(), "readout": readout}, where="here"))
    s, c, y = torch.randn(3, H), torch.randn(3, C), torch.randn(3, E)
    weight, bias = model.readout.weight, model.readout.bias
    t = s @ weight[:, :H].t() + c @ weight[:, H : H + C].t() + y @ weight[:, H + C :].t() + bias
    read = t.tanh() if readout == "tanh" else torch.maximum(t[:, ::2], t[:, 1::2])
    torch.testing.assert_close(model.logits(s, c, y), read @ model.output.weight.t() + model.output.bias)


@pytest.mark.parametrize("tie", ["all", "target", "none"])
def test_tied_are_exactly_the_matrices_that_are_named(tie: str) -> None:
    model = made(TranslationModelConfig.from_dict({**PLAIN.to_dict(), "tie_embeddings": tie}, where="here"))
    source, target, output = model.source_embedding.weight, model.embedding.weight, model.output.weight
    assert (source is target, target is output) == {
        "all": (True, True), "target": (False, True), "none": (False, False),
    }[tie]  # fmt: skip
    assert source.shape == target.shape == output.shape == (V + 1, E)
    for matrix in (source, target, output):
        assert matrix.std().item() == pytest.approx(E**-0.5, rel=0.4)
    before = source.detach().clone(), target.detach().clone(), output.detach().clone()
    torch.autograd.backward(model.loss(random_batch(), None).nats)
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    for matrix, was in zip((source, target, output), before, strict=True):
        assert not torch.equal(matrix, was)


def test_two_vocabularies_cannot_share_one_matrix() -> None:
    with pytest.raises(
        TextseqError, match=r"--tie-embeddings all: expected one vocabulary, got two \(9 and 7 tokens\)"
    ) as e:
        made(size=9)
    assert "\n" not in str(e.value)
    for config in (replace(PLAIN, tie_embeddings="target"), replace(PLAIN, tie_embeddings="none")):
        model = made(config, size=9)
        assert (model.source_end, model.end) == (9, V)
        source = pair_batch([np.array([8, 7, 0])], [np.array([6])], (9, V))
        assert model(source)[0].shape == (1, 2, V + 1)


# Dropout, and what else is for training alone


@pytest.mark.parametrize("noise", NOISES)
@LAYERS
def test_every_noise_is_for_training_alone(noise: str, num_layers: int) -> None:
    config = TranslationModelConfig.from_dict({**PLAIN.to_dict(), noise: NOISES[noise]}, where="here")
    model, batch = made(config, num_layers=num_layers), random_batch()
    noisy = {model.loss(batch, None).nats.item() for _ in range(3)}
    assert len(noisy) == 3
    torch.testing.assert_close(model.eval().loss(batch, None).nats, made(num_layers=num_layers).loss(batch, None).nats)


def test_dropout_between_decoder_layers_is_beside_that_of_the_readout() -> None:
    model, batch = made(replace(PLAIN, dropout=0.5), num_layers=2), random_batch()
    seen: list[Tensor] = []
    assert model.upper is not None
    model.upper.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    model.loss(batch, None)
    assert 0.2 < (seen[0] == 0).double().mean() < 0.8


def test_dropped_words_are_dropped_whole_on_both_sides() -> None:
    model, batch = made(replace(PLAIN, word_dropout=0.5)), random_batch()
    seen: list[Tensor] = []
    model.encoder.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    memory, state = model.encode(batch.source, batch.source_lengths)
    words, _ = model.decode(batch.inputs, memory, state)
    for vectors, ids in ((seen[0], batch.source), (words.transpose(0, 1), batch.inputs)):
        kept = (vectors != 0).all(dim=2)
        assert torch.equal(kept, (vectors != 0).any(dim=2)) and 0 < kept.double().mean() < 1
        torch.testing.assert_close(vectors[kept], 2 * model.embedding(ids)[kept])


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_scheduled_sampling_reads_so_many_words_from_the_models_own_predictions(share: float) -> None:
    model = made(replace(PLAIN, scheduled_sampling=share))
    sure = 3
    with torch.no_grad():
        model.output.bias[sure] = 1e3  # then it is what is predicted
    targets = [np.full(50, 2) for _ in range(20)]
    batch = pair_batch([np.array([1])] * 20, targets, (V, V))
    seen: list[Tensor] = []
    model.embedding.register_forward_hook(lambda module, given, out: seen.append(given[0].t()))
    loss = model.loss(batch, None)
    read = seen[-1]
    assert (read[:, 0] == V).all() and set(read[:, 1:].flatten().tolist()) <= {2, sure}
    assert (read[:, 1:] == sure).double().mean().item() == pytest.approx(share, abs=0.06)
    assert loss.count == batch.count
    rest = window(batch, 30, None)
    model.loss(rest, model.loss(window(batch, 0, 30), None).state)
    assert (seen[-1][:, 0] == 2).all(), "what went before a window has been read"


def test_predictions_that_are_read_are_drawn_from_the_models_distribution() -> None:
    model = made(replace(PLAIN, scheduled_sampling=1.0))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.output.bias.copy_(torch.tensor([0.5, 0.25, 0.125, 0.125, 0, 0, 0, 0]).log())
    batch = pair_batch([np.array([1])] * 30, [np.full(100, 2)] * 30, (V, V))
    seen: list[Tensor] = []
    model.embedding.register_forward_hook(lambda module, given, out: seen.append(given[0].t()))
    model.loss(batch, None)
    found = torch.bincount(seen[-1][:, 1:].flatten(), minlength=V + 1) / 3000
    torch.testing.assert_close(found, model.output.bias.detach().exp(), rtol=0, atol=0.03)


def test_label_smoothing_is_a_penalty_beside_the_true_loss() -> None:
    model, batch = made(replace(PLAIN, label_smoothing=0.2)), random_batch()
    loss = model.loss(batch, None)
    torch.testing.assert_close(loss.nats, made().loss(batch, None).nats)
    logits, _ = model(batch)
    wanted = cross_entropy(logits[batch.real], batch.targets[batch.real], label_smoothing=0.2)
    assert loss.penalty is not None
    torch.testing.assert_close(loss.nats / loss.count + loss.penalty, wanted)
    assert model.eval().loss(batch, None).penalty is None


@EVERY_CELL
def test_bfloat16_gives_about_the_same_loss(cell: CellName) -> None:
    torch.set_default_dtype(torch.float32)
    model, batch = made(replace(PLAIN, cell=cell, label_smoothing=0.1), num_layers=2), random_batch()
    exact = model.loss(batch, None)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.loss(batch, None)
        carried = model.loss(window(batch, 0, 4), None).state
    assert rough.nats.dtype == torch.float32 == carried[0].dtype and exact.penalty is not None is not rough.penalty
    assert rough.nats.item() == pytest.approx(exact.nats.item(), rel=0.01) and rough.nats.item() != exact.nats.item()
    torch.autograd.backward(rough.nats / rough.count + rough.penalty)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


# Learning: to write what was read from its end to its beginning


def reversals(rng: np.random.Generator, longest: int, batch: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    sources = [rng.integers(10, size=rng.integers(2, longest + 1)) for _ in range(batch)]
    return sources, [ids[::-1].copy() for ids in sources]


def trained(config: TranslationModelConfig, *, longest: int, steps: int) -> tuple[TranslationModel, list[float]]:
    """A model, and the mean loss of each step that it was trained."""
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    model = TranslationModel(config, 10, 10)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=steps, pct_start=0.1)
    losses = []
    for _ in range(steps):
        loss = model.loss(pair_batch(*reversals(rng, longest, 32), (10, 10)), None)
        mean = loss.nats / loss.count
        optimizer.zero_grad()
        torch.autograd.backward(mean)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(mean.item())
    return model.eval(), losses


@torch.no_grad()
def greedy(model: TranslationModel, batch: PairBatch, steps: int) -> tuple[Tensor, Tensor]:
    """The likeliest word after each word (N, T), and where each step looked (N, T, S)."""
    memory, state = model.encode(batch.source, batch.source_lengths)
    token = torch.full((len(batch.source), 1), model.end)
    written, looks = [], []
    for _ in range(steps):
        words, read = model.decode(token, memory, state)
        state = read.state
        token = model.logits(read.outputs, read.contexts, words)[0].argmax(dim=1, keepdim=True)
        written.append(token)
        looks.append(read.attention[0])
    return torch.cat(written, dim=1), torch.stack(looks, dim=1)


@pytest.mark.parametrize(
    ("cell", "attention", "steps"), [("gru", "additive", 160), ("lstm", "additive", 160), ("gru", "general", 130)]
)
def test_it_learns_to_reverse_and_looks_at_the_word_that_it_writes(
    cell: CellName, attention: AttentionName, steps: int
) -> None:
    small = replace(
        PLAIN, cell=cell, attention=attention, embedding_size=16, encoder_size=32, hidden_size=64, attention_size=32
    )
    model, losses = trained(small, longest=5, steps=steps)
    assert losses[0] > 2 and np.mean(losses[-5:]) < 0.15
    sources, targets = reversals(np.random.default_rng(2), 5, 100)
    written, looks = greedy(model, pair_batch(sources, targets, (10, 10)), steps=6)
    for row, target in enumerate(targets):
        assert written[row, : len(target) + 1].tolist() == [*target.tolist(), 10]
    mirrored = [
        int(looks[row, j].argmax()) == len(target) - 1 - j
        for row, target in enumerate(targets)
        for j in range(len(target))
    ]
    assert np.mean(mirrored) > 0.75


@pytest.mark.parametrize(
    ("cell", "attention"),
    [
        *((cell, "additive") for cell in CELLS),
        *(("gru", attention) for attention in ATTENTIONS if attention != "additive"),
    ],
)
def test_every_kind_learns(cell: CellName, attention: AttentionName) -> None:
    small = replace(PLAIN, cell=cell, attention=attention, embedding_size=16, encoder_size=16, hidden_size=32)
    _, losses = trained(small, longest=4, steps=50)
    share = 0.7 if CELLS[cell].recurrent else 0.75  # whose gates do not see the state, and learn more slowly
    assert losses[0] > 2 and np.mean(losses[-5:]) < share * losses[0]
