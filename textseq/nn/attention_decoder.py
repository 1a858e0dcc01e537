"""The decoder's first layer: a recurrent cell that attends to the source before every step.

Bahdanau et al. (2015), appendix A.2.2: the context c_i is computed from the state s_{i-1}, and both enter the step to
s_i together with the word before. Shapes: T target time, N sentences, E embedding, H hidden, C width of the context, S
source time, A width of the comparison, G gates; time comes first here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from textseq.config.names import AttentionName, CellName
from textseq.nn.attention import ATTENTIONS, AdditiveAttention, Attend, Memory
from textseq.nn.cell_registry import find_cell
from textseq.nn.cells import State, Weights, gru_step
from textseq.nn.kernels.additive_attention import deferred_attention
from textseq.nn.kernels.gru import attention_gru_window
from textseq.nn.kernels.unroll import deferred
from textseq.nn.rnn_layer import SUFFIXES, check_steps, make_layer, step_weights, weight_of

SUFFIX = SUFFIXES[0]


class AttentionDecoder(nn.Module):
    """One recurrent layer whose input is a word and the context of an attention.

    ``forward`` is the fast path; ``forward_reference`` computes the same and leaves every gradient to autograd.

    Args:
        cell: a built-in or registered cell, a key of ``CELLS``.
        attention: a key of ``ATTENTIONS``: "additive", "general", "dot" or "none".
        embedding_size: E.
        value_size: C.
        hidden_size: H.
        attention_size: A.

    Example:
        >>> decoder = AttentionDecoder("gru", "additive", 4, value_size=16, hidden_size=8, attention_size=8)
        >>> memory = Memory(torch.randn(2, 5, 16), lengths=torch.tensor([5, 3]))
        >>> x = torch.randn(7, 2, 4)  # (T, N, E)
        >>> outputs, contexts, weights, state = decoder(decoder.word_gates(x), memory, (torch.zeros(2, 8),))
        >>> outputs.shape, contexts.shape, weights.shape
        (torch.Size([7, 2, 8]), torch.Size([7, 2, 16]), torch.Size([7, 2, 5]))
    """

    def __init__(
        self, cell: CellName, attention: AttentionName, embedding_size: int, value_size: int, hidden_size: int,
        attention_size: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.cell = find_cell(cell)
        self.embedding_size = embedding_size
        self.attention = ATTENTIONS[attention](hidden_size, value_size, attention_size)
        width = embedding_size + value_size
        self.layer = make_layer(self.cell, width, hidden_size, bidirectional=False, layer_norm=False)

    def word_gates(self, words: Tensor) -> Tensor:
        """The words' share of the gates, for all steps at once, (..., E) -> (..., G*H); or the words: see ``join``."""
        if self.cell.reads_input:
            return words
        weight, bias = weight_of(self.layer, "weight_ih" + SUFFIX), weight_of(self.layer, "bias_ih" + SUFFIX)
        return linear(words, weight[:, : self.embedding_size], bias).to(bias.dtype)

    def join(self, words: Tensor, context: Tensor, from_context: Weights) -> Tensor:
        """A step's input from ``word_gates`` (N, G*H) and a context (N, C), by ``context_weights``: (N, G*H).

        A cell that reads the input itself gets words and context side by side, (N, E+C).
        """
        if self.cell.reads_input:
            return torch.cat([words, context], dim=1)
        return words + from_context.times(context)

    def context_weights(self) -> Weights:
        """The context's weights, (G*H, C): ``Weights.times`` makes the context's share of the gates."""
        weight = weight_of(self.layer, "weight_ih" + SUFFIX)[:, self.embedding_size :]
        return Weights(weight, torch.zeros_like(weight[:, 0]))

    def forward(self, gates: Tensor, memory: Memory, state: State) -> tuple[Tensor, Tensor, Tensor, State]:
        """The steps of a window of known words.

        Args:
            gates: ``word_gates`` of the word before each step, (T, N, G*H).
            memory: of the N sentences.
            state: before the first step, each tensor (N, H).

        Returns:
            The outputs (T, N, H), the contexts (T, N, C), the attention's weights (T, N, S), which carry no gradient,
            and the state after the last step.

        Raises:
            ValueError: no step.
        """
        check_steps(len(gates))
        if not torch.is_grad_enabled():
            return self.forward_reference(gates, memory, state)
        memory, keys = self.attention.with_keys(memory)
        if self.cell.step is gru_step and isinstance(self.attention, AdditiveAttention):
            weights = step_weights(self.layer, SUFFIX)
            outputs, contexts, attention = attention_gru_window(
                gates, state[0], weights.hh, weights.bias, self.context_weights().hh,
                self.attention.query_weight.weight, self.attention.score, keys, memory.values, memory.padding,
            )  # fmt: skip
            return outputs, contexts, attention, (outputs[-1],)
        weights, from_context = deferred(step_weights(self.layer, SUFFIX)), deferred(self.context_weights())
        attend = self._attend(memory)
        if isinstance(self.attention, AdditiveAttention):
            attend = deferred_attention(
                self.attention.query_weight.weight, self.attention.score, keys, memory.values, memory.padding
            )
        return self._unroll(gates, state, attend, weights, from_context)

    def forward_reference(self, gates: Tensor, memory: Memory, state: State) -> tuple[Tensor, Tensor, Tensor, State]:
        """The same as ``forward``, with every gradient left to autograd."""
        check_steps(len(gates))
        attend = self._attend(self.attention.with_keys(memory)[0])
        return self._unroll(gates, state, attend, step_weights(self.layer, SUFFIX), self.context_weights())

    def _attend(self, memory: Memory) -> Attend:
        """From a state (N, H) to context (N, C) and weights (N, S)."""

        def attend(h: Tensor) -> tuple[Tensor, Tensor]:
            context, weights = self.attention(h.unsqueeze(1), memory)
            return context.squeeze(1), weights.squeeze(1).detach()

        return attend

    def _unroll(
        self, gates: Tensor, state: State, attend: Attend, weights: Weights, from_context: Weights
    ) -> tuple[Tensor, Tensor, Tensor, State]:
        outputs, contexts, attention = [], [], []
        for words in gates.unbind(0):
            context, alpha = attend(state[0])
            state = self.cell.step(self.join(words, context, from_context), state, weights)
            outputs.append(state[0])
            contexts.append(context)
            attention.append(alpha)
        return torch.stack(outputs), torch.stack(contexts), torch.stack(attention), state
