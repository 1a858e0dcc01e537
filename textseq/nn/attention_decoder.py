"""The decoder's first layer: a recurrent cell that looks at the source before every step.

Bahdanau et al. (2015), appendix A.2.2: the context c_i is seen from the state s_{i-1}, and both go into the step to
s_i together with the word before. Shapes: T target time, N sentences, E embedding, H hidden, C width of the context, S
source time, A width of the comparison, G gates; time comes first here.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.functional import linear

from textseq.config.names import AttentionName, CellName
from textseq.nn.attention import ATTENTIONS, Additive, Memory
from textseq.nn.cells import CELLS, State, Weights, gru_step
from textseq.nn.kernels.additive_attention import best_for, folded_exp
from textseq.nn.kernels.gru import attention_gru_window
from textseq.nn.kernels.unroll import Accumulator, deferred
from textseq.nn.rnn_layer import SUFFIXES, make_layer, step_weights

SUFFIX = SUFFIXES[0]

Look = Callable[[Tensor], tuple[Tensor, Tensor]]
"""A state of the decoder (N, H) -> context (N, C) and weights (N, S)."""


class AttentionDecoder(nn.Module):
    """One recurrent layer whose input is a word and the context of an attention.

    ``forward`` is the fast path; ``forward_reference`` computes the same without putting gradients off.

    Args:
        cell: a key of ``CELLS``.
        attention: a key of ``ATTENTIONS``.
        embedding_size: E.
        value_size: C.
        hidden_size: H.
        attention_size: A.
    """

    def __init__(
        self,
        cell: CellName,
        attention: AttentionName,
        embedding_size: int,
        value_size: int,
        hidden_size: int,
        attention_size: int,
    ) -> None:
        super().__init__()
        self.cell = CELLS[cell]
        self.embedding_size = embedding_size
        self.attention = ATTENTIONS[attention](hidden_size, value_size, attention_size)
        width = embedding_size + value_size
        self.layer = make_layer(self.cell, width, hidden_size, bidirectional=False, layer_norm=False)

    def word_gates(self, words: Tensor) -> Tensor:
        """The words' share of the gates, for all steps at once: (..., E) -> (..., G*H)."""
        weight, bias = self.layer.get_parameter("weight_ih" + SUFFIX), self.layer.get_parameter("bias_ih" + SUFFIX)
        return linear(words, weight[:, : self.embedding_size], bias).to(bias.dtype)

    def context_weights(self) -> Weights:
        """What makes the gates' share of the context, by ``Weights.times``; its matrix is (G*H, C)."""
        weight = self.layer.get_parameter("weight_ih" + SUFFIX)[:, self.embedding_size :]
        return Weights(weight, torch.zeros_like(weight[:, 0]))

    def forward(self, gates: Tensor, memory: Memory, state: State) -> tuple[Tensor, Tensor, Tensor, State]:
        """The steps of a window, with the words known.

        Args:
            gates: ``word_gates`` of the word before each step, (T, N, G*H).
            memory: of the N sentences.
            state: before the first step, each tensor (N, H).

        Returns:
            The states' outputs (T, N, H), the contexts that they saw (T, N, C), the attention's weights (T, N, S),
            which carry no gradient, and the state after the last step.
        """
        if not torch.is_grad_enabled():
            return self.forward_reference(gates, memory, state)
        if self.cell.step is gru_step and isinstance(self.attention, Additive):
            outputs, contexts, looks = attention_gru_window(
                gates,
                state[0],
                self.layer.get_parameter("weight_hh" + SUFFIX),
                self.layer.get_parameter("bias_hh" + SUFFIX),
                self.context_weights().hh,
                self.attention.query_weight.weight,
                self.attention.score,
                memory.keys,
                memory.values,
                memory.padding,
            )
            return outputs, contexts, looks, (outputs[-1],)
        weights, from_context = deferred(step_weights(self.layer, SUFFIX)), deferred(self.context_weights())
        look = _additive_look(self.attention, memory) if isinstance(self.attention, Additive) else self._look(memory)
        return self._unroll(gates, state, look, weights, from_context)

    def forward_reference(self, gates: Tensor, memory: Memory, state: State) -> tuple[Tensor, Tensor, Tensor, State]:
        """The same as ``forward``, with every gradient left to autograd."""
        return self._unroll(gates, state, self._look(memory), step_weights(self.layer, SUFFIX), self.context_weights())

    def _look(self, memory: Memory) -> Look:
        def look(h: Tensor) -> tuple[Tensor, Tensor]:
            context, weights = self.attention(h.unsqueeze(1), memory)
            return context.squeeze(1), weights.squeeze(1).detach()

        return look

    def _unroll(
        self, gates: Tensor, state: State, look: Look, weights: Weights, from_context: Weights
    ) -> tuple[Tensor, Tensor, Tensor, State]:
        outputs, contexts, looks = [], [], []
        for words in gates.unbind(0):
            context, where = look(state[0])
            state = self.cell.step(words + from_context.times(context), state, weights)
            outputs.append(state[0])
            contexts.append(context)
            looks.append(where)
        return torch.stack(outputs), torch.stack(contexts), torch.stack(looks), state


def _additive_look(attention: Additive, memory: Memory) -> Look:
    """``Additive`` over a window, whose gradients of keys, values and score weights are made after its last step.

    Left to itself, autograd adds up the gradient of all keys and all values step by step: T times two tensors as
    large as the whole memory.
    """
    ledger = _Ledger()
    settled: tuple[Tensor, Tensor, Tensor] = _Settle.apply(memory.keys, memory.values, attention.score, ledger)  # type: ignore[no-untyped-call]
    query = deferred(Weights(attention.query_weight.weight, attention.score))

    def look(h: Tensor) -> tuple[Tensor, Tensor]:
        asked = query.times(h)
        with torch.autocast(h.device.type, enabled=False):  # small products over much memory: narrowing costs more
            seen: tuple[Tensor, Tensor] = _Look.apply(asked, *settled, memory.padding, ledger)  # type: ignore[no-untyped-call]
        return seen

    return look


class _Ledger(Accumulator):
    def clear(self) -> None:
        self.keys: Tensor | None = None
        """The keys' gradient over four times the score weights, (N, S, A)."""
        self.score: Tensor | None = None
        """The score weights' gradient, for each sentence by itself, (N, A)."""
        self.looks: list[tuple[Tensor, Tensor]] = []
        """For each step the weights (N, S), and the gradient of the context (N, C)."""


class _Context(FunctionCtx):
    """What the two functions below keep for their backward passes."""

    ledger: _Ledger
    saved_tensors: tuple[Tensor, ...]


class _Settle(torch.autograd.Function):
    """Hands folded keys, values and score weights on; its backward pass comes after that of all the looks at them."""

    @staticmethod
    def forward(
        ctx: _Context, keys: Tensor, values: Tensor, score: Tensor, ledger: _Ledger
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.ledger = ledger
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(keys, values, score)
        return folded_exp(keys).contiguous(), values.contiguous().view_as(values), score.view_as(score)

    @staticmethod
    def backward(ctx: _Context, *_: Tensor | None) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        keys, values, score = ctx.saved_tensors
        of_keys, of_score, looks = ctx.ledger.keys, ctx.ledger.score, ctx.ledger.looks
        ctx.ledger.clear()  # the window's tensors go
        if of_keys is None or of_score is None:
            return None, None, None, None
        weights, contexts = (torch.stack(part, dim=1) for part in zip(*looks, strict=True))  # (N, T, S), (N, T, C)
        of_values = torch.bmm(weights.transpose(1, 2), contexts)
        return (4 * of_keys * score).to(keys.dtype), of_values.to(values.dtype), of_score.sum(dim=0), None


class _Look(torch.autograd.Function):
    """v^T tanh(query + key) -> softmax -> context, which keeps from autograd the gradients that ``_Settle`` makes.

    The weights that it returns carry no gradient: they are there to be looked at.
    """

    @staticmethod
    def forward(
        ctx: _Context, query: Tensor, keys: Tensor, values: Tensor, score: Tensor, padding: Tensor, ledger: _Ledger
    ) -> tuple[Tensor, Tensor]:
        query, weights = folded_exp(query), torch.empty_like(padding)
        context = values.new_empty(len(values), values.shape[2])
        look, _ = best_for(keys)
        look(query, keys, score, padding, values, weights=weights, context=context)
        ctx.ledger = ledger
        ctx.save_for_backward(query, keys, weights, values, score)
        ctx.mark_non_differentiable(weights)
        return context, weights

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor, of_looks: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        query, keys, weights, values, score = ctx.saved_tensors
        ledger = ctx.ledger
        ledger.open()
        ledger.looks.append((weights, gradient))
        if ledger.keys is None or ledger.score is None:
            ledger.keys, ledger.score = torch.zeros_like(keys), torch.zeros_like(query)
        d_query = torch.empty_like(query)
        _, look_back = best_for(keys)
        look_back(
            query, keys, score, values, weights, gradient, d_query=d_query, d_keys=ledger.keys, d_score=ledger.score
        )
        return d_query, None, None, None, None, None
