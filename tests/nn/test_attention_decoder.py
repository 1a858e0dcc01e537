"""The attending layer: its fast ways are the plain one, and that is the papers' equations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from textseq.config.names import AttentionName, CellName
from textseq.nn import reference
from textseq.nn.attention import ATTENTIONS, AdditiveAttention, Memory
from textseq.nn.attention_decoder import SUFFIX, AttentionDecoder
from textseq.nn.cell_registry import CELLS
from textseq.nn.cells import State

T, N, S, E, A, H = 5, 3, 6, 4, 7, 8
LENGTHS = torch.tensor([4, S, 1])

EVERY_CELL = pytest.mark.parametrize("cell", CELLS)
EVERY_ATTENTION = pytest.mark.parametrize("attention", ATTENTIONS)
Outcome = tuple[Tensor, Tensor, Tensor, State]


pytestmark = pytest.mark.usefixtures("float64")


def made(cell: CellName, attention: AttentionName = "additive") -> tuple[AttentionDecoder, Tensor, Memory, State]:
    """A layer, vectors of words (T, N, E), a memory and a state, which all want a gradient."""
    layer = AttentionDecoder(cell, attention, E, H, H, A)
    values = (torch.randn(N, S, H) * (torch.arange(S) < LENGTHS.unsqueeze(1)).unsqueeze(2)).requires_grad_()
    memory, _ = layer.attention.with_keys(Memory(values, LENGTHS, summary=torch.randn(N, H, requires_grad=True)))
    state = tuple(torch.randn(N, H, requires_grad=True) for _ in range(layer.cell.states))
    return layer, torch.randn(T, N, E, requires_grad=True), memory, state


def leaves(layer: AttentionDecoder, words: Tensor, memory: Memory, state: State) -> list[Tensor]:
    """All that a gradient is wanted of; the keys' one ends in the values and their own weights."""
    assert memory.summary is not None
    return [words, memory.values, memory.summary, *state, *layer.parameters()]


def total(outcome: Outcome) -> Tensor:
    """One number that every output with a gradient enters with a weight of its own."""
    outputs, contexts, _, state = outcome
    parts = (outputs, contexts, *state)
    return torch.stack([(part * torch.linspace(-1, 1, part.numel()).view_as(part)).sum() for part in parts]).sum()


def gradients(number: Tensor, wanted: list[Tensor]) -> tuple[Tensor, ...]:
    """Zero for what takes no part, as the summary where there is attention. The keys share a graph, so it stays."""
    return torch.autograd.grad(number, wanted, retain_graph=True, allow_unused=True, materialize_grads=True)


@EVERY_CELL
@EVERY_ATTENTION
def test_fast_is_plain(cell: CellName, attention: AttentionName) -> None:
    layer, words, memory, state = made(cell, attention)
    gates = layer.word_gates(words)
    fast, plain = layer(gates, memory, state), layer.forward_reference(gates, memory, state)
    torch.testing.assert_close(fast, plain)
    assert [part.shape for part in fast[:3]] == [(T, N, H), (T, N, H), (T, N, S)]
    torch.testing.assert_close(fast[0][-1], fast[3][0])
    wanted, found = (gradients(total(way), leaves(layer, words, memory, state)) for way in (plain, fast))
    torch.testing.assert_close(found, wanted)
    with torch.no_grad():
        torch.testing.assert_close(layer(gates, memory, state), plain)


@EVERY_CELL
@EVERY_ATTENTION
def test_the_weights_that_are_shown_carry_no_gradient(cell: CellName, attention: AttentionName) -> None:
    layer, words, memory, state = made(cell, attention)
    for run in (layer, layer.forward_reference):
        outputs, contexts, looks, _ = run(layer.word_gates(words), memory, state)
        assert outputs.requires_grad and contexts.requires_grad and not looks.requires_grad


@pytest.mark.parametrize("cell", ["gru", "gru-reset-before", "lstm"])
def test_gradient_can_be_asked_for_in_parts_and_again(cell: CellName) -> None:
    """Nothing of one backward pass may enter the next, wherever the first one ended."""
    layer, words, memory, state = made(cell)
    loss = total(layer(layer.word_gates(words), memory, state))
    every = [words, *state, memory.values, *layer.parameters()]
    wanted = gradients(loss, every)
    for some in ([0], [1, 4], [2], [0, 3], [5], range(len(every))):
        found = gradients(loss, [every[index] for index in some])
        torch.testing.assert_close(found, tuple(wanted[index] for index in some))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_gradient_of_some_steps_is_that_of_the_window_up_to_them(cell: CellName) -> None:
    layer, words, memory, state = made(cell)
    weights = [memory.values, *layer.parameters()]
    outputs, contexts, _, _ = layer(layer.word_gates(words), memory, state)
    found = gradients(outputs[1].sum() + contexts[2].square().sum(), weights)
    outputs, contexts, _, _ = layer.forward_reference(layer.word_gates(words[:3]), memory, state)
    wanted = gradients(outputs[1].sum() + contexts[2].square().sum(), weights)
    torch.testing.assert_close(found, wanted)


@EVERY_CELL
@EVERY_ATTENTION
def test_one_window_is_several_with_the_state_carried(cell: CellName, attention: AttentionName) -> None:
    layer, words, memory, state = made(cell, attention)
    gates = layer.word_gates(words)
    whole = layer(gates, memory, state)
    pieces: list[Outcome] = []
    for piece in (gates[:1], gates[1:3], gates[3:]):
        pieces.append(layer(piece, memory, pieces[-1][3] if pieces else state))
    for index in range(3):
        torch.testing.assert_close(torch.cat([piece[index] for piece in pieces]), whole[index])  # type: ignore[misc]
    torch.testing.assert_close(pieces[-1][3], whole[3])


@EVERY_CELL
@EVERY_ATTENTION
def test_batch_is_its_sentences_alone(cell: CellName, attention: AttentionName) -> None:
    layer, words, memory, state = made(cell, attention)
    gates = layer.word_gates(words)
    outputs, contexts, looks, final = layer(gates, memory, state)
    for row, length in enumerate(LENGTHS.tolist()):
        mine = slice(row, row + 1)
        alone = layer(gates[:, mine], memory.select(torch.tensor([row])), tuple(part[mine] for part in state))
        wanted = (outputs[:, mine], contexts[:, mine], looks[:, mine, :length], tuple(part[mine] for part in final))
        torch.testing.assert_close(alone, wanted)


@EVERY_CELL
def test_steps_are_those_of_the_reference(cell: CellName) -> None:
    layer, words, memory, state = made(cell)
    assert isinstance(layer.attention, AdditiveAttention)
    with torch.no_grad():
        outputs, contexts, looks, _ = layer(layer.word_gates(words), memory, state)
        query, key, score = layer.attention.query_weight, layer.attention.key_weight, layer.attention.score
        seen = reference.AttentionWeights(query.weight.numpy(), key.weight.numpy(), score.numpy(), key.bias.numpy())
        own = {name.removesuffix(SUFFIX): part.numpy() for name, part in layer.layer.named_parameters()}
        none = np.empty((0, H))
        weights = reference.CellWeights(
            own["weight_ih"],
            own.get("weight_hh", none),
            own["bias_ih"],
            own.get("bias_hh", none),
            own.get("weight_ch"),
            tuple(own[f"weight_{name}"] for name in ("q1", "r2", "q3", "r4", "q5") if f"weight_{name}" in own),
        )
        step = reference.STEPS[cell]
        for row, length in enumerate(LENGTHS.tolist()):
            values, s = memory.values[row, :length].numpy(), tuple(part[row].numpy() for part in state)
            for t in range(T):
                s, context, alpha = reference.attention_gru_step(
                    words[t, row].numpy(), s, values, weights, seen, step=step
                )
                np.testing.assert_allclose(outputs[t, row].numpy(), s[0], rtol=1e-10, atol=1e-12)
                np.testing.assert_allclose(contexts[t, row].numpy(), context, rtol=1e-10, atol=1e-12)
                np.testing.assert_allclose(looks[t, row, :length].numpy(), alpha, rtol=1e-10)


def test_the_context_is_seen_from_the_state_before() -> None:
    """Bahdanau et al. (2015): c_i comes of s_(i-1), and only then s_i of c_i."""
    layer, words, memory, state = made("gru")
    outputs, contexts, looks, _ = layer(layer.word_gates(words), memory, state)
    before = torch.cat([state[0].unsqueeze(0), outputs[:-1]]).transpose(0, 1)  # (N, T, H)
    seen, where = layer.attention(before, memory)
    torch.testing.assert_close((seen.transpose(0, 1), where.transpose(0, 1)), (contexts, looks))


@EVERY_CELL
@EVERY_ATTENTION
def test_under_autocast_all_is_nearly_the_same(cell: CellName, attention: AttentionName) -> None:
    torch.set_default_dtype(torch.float32)
    layer, words, memory, state = made(cell, attention)
    exact = layer(layer.word_gates(words), memory, state)
    wanted = gradients(total(exact), list(layer.parameters()))
    for run in (layer, layer.forward_reference):
        with torch.autocast("cpu", torch.bfloat16):
            rough = run(layer.word_gates(words), memory, state)
        assert not torch.equal(rough[0], exact[0])
        assert rough[0].dtype == torch.float32 == rough[3][0].dtype, "a state that is carried loses nothing"
        for one, other in zip(rough[:3], exact[:3], strict=True):
            torch.testing.assert_close(one.float(), other, rtol=0, atol=0.05)
        found = gradients(total(rough), list(layer.parameters()))
        for one, other in zip(found, wanted, strict=True):
            assert one.dtype == torch.float32
            torch.testing.assert_close(one, other, rtol=0, atol=0.05 * float(other.abs().max()))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_backward_within_autocast_is_nearly_the_same(cell: CellName) -> None:
    torch.set_default_dtype(torch.float32)
    layer, words, memory, state = made(cell)
    found = []
    for inside in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            loss = total(layer(layer.word_gates(words), memory, state))
        with torch.autocast("cpu", torch.bfloat16, enabled=inside):
            found.append(gradients(loss, [memory.values, *layer.parameters()]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0.03 * float(other.abs().max()))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_padding_gets_no_gradient_and_no_look(cell: CellName) -> None:
    layer, words, memory, state = made(cell)
    outcome = layer(layer.word_gates(words), memory, state)
    at_padding = memory.padding != 0
    assert (outcome[2][:, at_padding] == 0).all()
    (gradient,) = gradients(total(outcome), [memory.values])
    assert (gradient[at_padding] == 0).all() and (gradient[~at_padding] != 0).any(dim=1).all()
    garbage = memory.values + at_padding.unsqueeze(2) * 1e6
    other = layer(
        layer.word_gates(words), replace(memory, values=garbage, keys=layer.attention.project_keys(garbage)), state
    )
    assert torch.equal(other[0], outcome[0])


@EVERY_CELL
@EVERY_ATTENTION
def test_second_derivatives_are_right_or_refused(cell: CellName, attention: AttentionName) -> None:
    layer, words, memory, state = made(cell, attention)

    def second(run: Callable[..., Outcome]) -> tuple[Tensor, ...]:
        number = total(run(layer.word_gates(words), memory, state))
        (gradient,) = torch.autograd.grad(number, words, create_graph=True)
        return gradients(gradient.square().sum(), leaves(layer, words, memory, state))

    wanted = second(layer.forward_reference)
    if attention == "none" and not layer.cell.recurrent:  # a word's gradient then goes through autograd alone
        torch.testing.assert_close(second(layer), wanted)
    else:
        with pytest.raises(RuntimeError, match="no second derivatives: use forward_reference"):
            second(layer)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("train", [True, False])
def test_a_window_without_steps_is_refused(cell: CellName, train: bool) -> None:
    layer, words, memory, state = made(cell)
    with torch.set_grad_enabled(train), pytest.raises(ValueError, match="expected a window of at least one step"):
        layer(layer.word_gates(words[:0]), memory, state)
