"""Attention: its weights are shares of what is real, and each kind is its paper's equation."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from textseq.config.names import AttentionName
from textseq.nn import reference
from textseq.nn.attention import ATTENTIONS, AdditiveAttention, Attention, GeneralAttention, Memory
from textseq.nn.kernels.additive_attention import exp_2x, sigmoid_of_sum

N, S, K, A, H = 3, 6, 4, 5, 8
LENGTHS = torch.tensor([4, S, 1])

EVERY_KIND = pytest.mark.parametrize("kind", ATTENTIONS)
LOOKING_KINDS = pytest.mark.parametrize("kind", [kind for kind in ATTENTIONS if kind != "none"])


pytestmark = pytest.mark.usefixtures("float64")


def made(kind: AttentionName, *, lengths: Tensor = LENGTHS) -> tuple[Attention, Memory, Tensor]:
    """An attention, a memory to look at and the states that look (N, K, H); C = H, as ``dot`` wants it."""
    attention = ATTENTIONS[kind](H, H, A)
    values = torch.randn(N, S, H) * (torch.arange(S) < lengths.unsqueeze(1)).unsqueeze(2)
    memory, _ = attention.with_keys(Memory(values, lengths, summary=torch.randn(N, H)))
    return attention, memory, torch.randn(N, K, H)


@EVERY_KIND
def test_weights_sum_to_one_and_are_zero_at_padding(kind: AttentionName) -> None:
    attention, memory, h = made(kind)
    contexts, weights = attention(h, memory)
    assert contexts.shape == (N, K, H) and weights.shape == (N, K, S)
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(N, K))
    at_padding = (memory.padding != 0).unsqueeze(1).expand(-1, K, -1)
    assert (weights[at_padding] == 0).all() and (weights[~at_padding] > 0).all()


@LOOKING_KINDS
def test_the_context_is_the_mean_of_the_values_by_these_weights(kind: AttentionName) -> None:
    attention, memory, h = made(kind)
    contexts, weights = attention(h, memory)
    torch.testing.assert_close(contexts, torch.einsum("nks,nsc->nkc", weights, memory.values))
    assert (weights[:2, 0] - weights[:2, 1]).abs().amax(dim=1).min() > 1e-3, "each state looks its own way"


@EVERY_KIND
def test_padding_changes_nothing(kind: AttentionName) -> None:
    """Neither how much of it there is, nor what stands in it."""
    attention, memory, h = made(kind)
    contexts, weights = attention(h, memory)
    garbage = torch.where((memory.padding == 0).unsqueeze(2), memory.values, 1e6)
    other, _ = attention(h, replace(memory, values=garbage, keys=attention.project_keys(garbage)))
    assert torch.equal(other, contexts)
    for row, length in enumerate(LENGTHS.tolist()):
        mine = slice(row, row + 1)
        assert memory.summary is not None
        alone = Memory(memory.values[mine, :length], summary=memory.summary[mine])
        torch.testing.assert_close(attention(h[mine], alone), (contexts[mine], weights[mine, :, :length]))


@EVERY_KIND
def test_each_state_looks_for_itself(kind: AttentionName) -> None:
    attention, memory, h = made(kind)
    contexts, weights = attention(h, memory)
    for k in range(K):
        one = slice(k, k + 1)
        torch.testing.assert_close(attention(h[:, one], memory), (contexts[:, one], weights[:, one]))


@EVERY_KIND
@pytest.mark.parametrize("chosen", [[2, 0], [0], [2], [0, 0, 1]])
def test_selected_memory_is_that_of_these_sentences_without_their_common_padding(
    kind: AttentionName, chosen: list[int]
) -> None:
    attention, memory, h = made(kind)
    contexts, weights = attention(h, memory)
    some = memory.select(torch.tensor(chosen))
    length = int(LENGTHS[chosen].max())
    assert some.keys is not None
    assert some.values.shape == (*some.keys.shape[:2], H) == (len(chosen), length, H)
    assert some.padding.shape == (len(chosen), length)
    torch.testing.assert_close(attention(h[chosen], some), (contexts[chosen], weights[chosen, :, :length]))


def test_selecting_all_sentences_is_the_memory() -> None:
    _, memory, _ = made("additive")
    same = memory.select(torch.arange(N))
    assert all(torch.equal(getattr(same, item.name), getattr(memory, item.name)) for item in fields(Memory))


@LOOKING_KINDS
def test_one_query_and_values_without_keys_will_do(kind: AttentionName) -> None:
    """The public call: (N, H) queries give (N, C) contexts, and the memory needs only values and lengths."""
    attention, memory, h = made(kind)
    contexts, weights = attention(h, memory)
    context, of_one = attention(h[:, 0], Memory(memory.values, LENGTHS))
    torch.testing.assert_close((context, of_one), (contexts[:, 0], weights[:, 0]))
    whole, _ = attention(h[1, 0].unsqueeze(0), Memory(memory.values[1:2]))  # which has no padding
    torch.testing.assert_close(whole, context[1:2])


@LOOKING_KINDS
@pytest.mark.parametrize(("sentences", "positions"), [(0, S), (N, 0), (0, 0)])
def test_without_sentences_or_positions_there_is_nothing_to_see(
    kind: AttentionName, sentences: int, positions: int
) -> None:
    attention = ATTENTIONS[kind](H, H, A)
    memory, query = Memory(torch.randn(sentences, positions, H)), torch.randn(sentences, K, H)
    for contexts, weights in (attention(query, memory), attention.over(memory)(attention.project_query(query))):
        assert torch.equal(contexts, torch.zeros(sentences, K, H)) and weights.shape == (sentences, K, positions)


def test_additive_attention_is_the_papers() -> None:
    attention, memory, h = made("additive")
    assert isinstance(attention, AdditiveAttention)
    with torch.no_grad():
        contexts, weights = attention(h, memory)
        own = reference.AttentionWeights(
            attention.query_weight.weight.numpy(),
            attention.key_weight.weight.numpy(),
            attention.score.numpy(),
            attention.key_weight.bias.numpy(),
        )
    for row, length in enumerate(LENGTHS.tolist()):
        found, alpha = reference.additive_attention(h[row].numpy(), memory.values[row, :length].numpy(), own)
        np.testing.assert_allclose(contexts[row].numpy(), found, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(weights[row, :, :length].numpy(), alpha, rtol=1e-12)


@pytest.mark.parametrize("kind", ["dot", "general"])
def test_products_are_those_of_the_paper(kind: AttentionName) -> None:
    """Luong et al. (2015), equations 7 and 8: softmax over j of s^T h_j, or of s^T W h_j."""
    attention, memory, h = made(kind)
    between = attention.key_weight.weight.detach() if isinstance(attention, GeneralAttention) else torch.eye(H)
    _, weights = attention(h, memory)
    for row, length in enumerate(LENGTHS.tolist()):
        for k in range(K):
            scores = [float(h[row, k] @ between @ memory.values[row, j]) for j in range(length)]
            wanted = np.exp(scores) / np.exp(scores).sum()
            np.testing.assert_allclose(weights[row, k, :length].detach().numpy(), wanted, rtol=1e-12)


def test_general_changes_widths() -> None:
    attention = ATTENTIONS["general"](H, 3, A)
    values = torch.randn(N, S, 3)
    contexts, _ = attention(torch.randn(N, K, H), Memory(values))
    assert contexts.shape == (N, K, 3)


def test_without_attention_every_state_sees_the_summary() -> None:
    attention, memory, h = made("none")
    contexts, weights = attention(h, memory)
    assert memory.summary is not None
    assert torch.equal(contexts, memory.summary.unsqueeze(1).expand(-1, K, -1))
    for row, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(weights[row, :, :length], torch.full((K, length), 1 / length))
    assert not list(attention.parameters())


@LOOKING_KINDS
def test_scores_may_be_narrow_and_their_softmax_is_not(kind: AttentionName) -> None:
    torch.set_default_dtype(torch.float32)
    attention, memory, h = made(kind)
    exact, _ = attention(h, memory)
    with torch.autocast("cpu", torch.bfloat16):
        contexts, weights = attention(h, memory)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(N, K))
    torch.testing.assert_close(contexts.float(), exact, rtol=0, atol=0.1)


@EVERY_KIND
def test_what_is_made_ready_for_many_steps_sees_the_same(kind: AttentionName) -> None:
    attention, memory, h = made(kind)
    matrix = attention.query_matrix()
    query = h if matrix is None else h @ matrix.t()
    torch.testing.assert_close(attention.over(memory)(query), attention(h, memory))


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float32, 2e-7), (torch.float64, 1e-14)])
def test_queries_and_keys_of_any_size_are_compared(dtype: torch.dtype, precision: float) -> None:
    values = torch.tensor([-34.0, -20, -1, -1e-9, 0, 1e-9, 1, 20, 34], dtype=dtype)
    off = torch.tensor([-1e30, -500.0, 500, 1e30], dtype=dtype)
    for queries, keys in ((values, values), (values, off), (off, values)):
        found = 1 - 2 * sigmoid_of_sum(exp_2x(queries.unsqueeze(1)), exp_2x(keys))
        torch.testing.assert_close(found, torch.tanh(queries.unsqueeze(1) + keys), rtol=0, atol=precision)
    assert sigmoid_of_sum(exp_2x(off.unsqueeze(1)), exp_2x(off)).isfinite().all()


@LOOKING_KINDS
def test_there_is_a_query_for_each_sentence(kind: AttentionName) -> None:
    attention, memory, h = made(kind)
    for query in (h[:1], h[:1, 0], h.repeat(2, 1, 1)):
        with pytest.raises(ValueError, match=rf"^query: expected {N} rows, one for each sentence, got {len(query)}$"):
            attention(query, memory)


def test_lengths_of_a_memory_may_be_a_list_and_are_checked() -> None:
    values = torch.randn(2, 5, 4)
    assert torch.equal(Memory(values, [5, 3]).padding, Memory(values, torch.tensor([5, 3])).padding)  # type: ignore[arg-type]
    for lengths in ([5, 0], [6, 3]):
        with pytest.raises(ValueError, match=r"^lengths: expected 1 to 5, the steps of the window, got"):
            Memory(values, torch.tensor(lengths))
