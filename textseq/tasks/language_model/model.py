"""Text -> next token, at every position: embedding, recurrent stack, output layer.

Shapes: N batch, T time, E embedding, H hidden, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from textseq.config.decoding import Precision
from textseq.errors import TextseqError
from textseq.nn.cell_registry import CELLS
from textseq.nn.cells import State, Step, Weights
from textseq.nn.dropout import Dropout, DropoutMasks, keep_mask
from textseq.nn.embedding import Embedding
from textseq.nn.kernels.compiled.text_loop import with_loop
from textseq.nn.kernels.inference_weights import preparation
from textseq.nn.kernels.linear_cross_entropy import OutputLayer, Teachers, linear_cross_entropy, sampled_output
from textseq.nn.kernels.threads import threads_for
from textseq.nn.losses import Loss
from textseq.nn.recurrent import Recurrent
from textseq.nn.trace import RecurrentTrace
from textseq.tasks.language_model.batches import WindowBatch
from textseq.tasks.language_model.condition import Condition
from textseq.tasks.language_model.config import LanguageModelConfig


class StepParts(NamedTuple):
    """A step of a language model between its outputs and its logits, and what it is made of."""

    outputs: Step
    """(tokens (N,), state) -> (outputs (N, H), state)."""
    logits: Callable[[Tensor], Tensor]
    """(N, H) -> (N, V)."""
    table: Tensor
    """The first layer's gates for each token, (V, G*H)."""
    condition: Tensor | None
    """The first layer's weights of the condition's vector, (G*H, C)."""
    multiply_adds: int
    """Of a row's largest product."""


class LanguageModel(nn.Module):
    """A recurrent language model (Mikolov et al. 2010), over tokens of any kind.

    Args:
        config: sizes and cell.
        vocabulary_size: V.
        condition_numbers: K, the numbers of a condition (see ``Condition``); 0: without one.

    The state of a conditional model has one more part, the condition's vector c (1, N, C): whatever passes the state on
    passes on the condition, row by row.

    Raises:
        TextseqError: a condition with a backward language model.
    """

    def __init__(self, config: LanguageModelConfig, vocabulary_size: int, condition_numbers: int = 0) -> None:
        super().__init__()
        if condition_numbers and config.bidirectional:
            raise TextseqError("--bidirectional: expected a model without a condition; leave one of them out")
        self.config = config
        size = config.embedding_size + (config.condition_size if condition_numbers else 0)
        locked = config.locked_dropout
        self.embedding = Embedding(vocabulary_size, config.embedding_size)
        self.embedding_dropout = Dropout(config.embedding_dropout, locked=locked)
        self.recurrent = _stack(config, input_size=size)
        self.reverse = _stack(config, input_size=size) if config.bidirectional else None
        self.dropout = Dropout(config.dropout, locked=locked)
        self.output = nn.Linear(config.hidden_size, vocabulary_size)
        if config.tie_embeddings:
            self.output.weight = self.embedding.weight
        shape = {"num_layers": config.num_layers, "hidden_size": config.hidden_size}
        self.condition = (
            Condition(condition_numbers, config.condition_size, states=self.recurrent.cell.states, **shape)
            if condition_numbers
            else None
        )

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.output.weight.device

    @property
    def state_parts(self) -> int:
        """Number of tensors of its state."""
        return self.recurrent.cell.states + (self.condition is not None)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The parameters by layer, from the output down to the embedding; tied ones belong to the output."""
        stacks = [stack.layer_groups() for stack in (self.recurrent, self.reverse) if stack is not None]
        layers = ([*itertools.chain(*directions)] for directions in zip(*stacks, strict=True))
        embedding = [] if self.config.tie_embeddings else [*self.embedding.parameters()]
        lowest = embedding + ([] if self.condition is None else [*self.condition.parameters()])
        return [[*self.output.parameters()], *layers, *([lowest] if lowest else [])]

    def initial_state(self, batch: int, condition: Tensor | None = None) -> State:
        """The state before a text, each tensor (L, N, H).

        Args:
            batch: N.
            condition: the numbers of a conditional model's condition, (K,); None: zero.
        """
        if self.condition is None:
            return self.recurrent.initial_state(batch)
        numbers = self.condition.table.new_zeros(len(self.condition.table)) if condition is None else condition
        c = self.condition(numbers).expand(batch, -1)
        return (*self._start(c), c.unsqueeze(0))

    def _start(self, c: Tensor) -> State:
        """The recurrent layers' state before a text with the condition's vector c (N, C)."""
        assert self.condition is not None
        parts = zip(self.recurrent.initial_state(len(c)), self.condition.initial_state(c), strict=True)
        return tuple(zero + conditioned for zero, conditioned in parts)

    def forward(
        self,
        ids: Tensor,
        state: State | None = None,
        *,
        resets: Tensor | None = None,
        conditions: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Logits of the token after each position.

        Args:
            ids: (N, T).
            state: the state before the first token; None: the initial state.
            resets: (N, T) booleans on the CPU, true where the state of a row is reset before that token.
            conditions: the numbers of the condition at each token, (N, T, K); None: that of the state.

        Returns:
            Logits (N, T, V) and the state after the last token.
        """
        h, state = self.outputs(ids, state, resets=resets, conditions=conditions)
        return self.logits(h), state

    def outputs(
        self,
        ids: Tensor,
        state: State | None = None,
        *,
        resets: Tensor | None = None,
        conditions: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """What ``logits`` computes the logits from, (N, T, H), and the state after the last token; as ``forward``."""
        return self._read(self._embed(ids), state, conditions, resets)

    def _read(
        self,
        x: Tensor,
        state: State | None,
        conditions: Tensor | None,
        resets: Tensor | None = None,
        masks: DropoutMasks | None = None,
    ) -> tuple[Tensor, State]:
        """The recurrent layers over token vectors (N, T, E), joined by the condition: outputs (N, T, H) and state."""
        if self.condition is None:
            unconditional: tuple[Tensor, State] = self.recurrent(x, state, resets=resets, masks=masks)
            return unconditional
        if conditions is not None:
            c = self.condition(conditions)  # (N, T, C)
        else:
            state = self.initial_state(len(x)) if state is None else state
            c = state[-1].transpose(0, 1).expand(-1, x.shape[1], -1)
        inputs = _joined(x, c)
        before = None if state is None else state[:-1]
        h, after = self.recurrent(
            inputs, before, resets=resets, restart=lambda step: self._start(c[:, step]), masks=masks
        )
        return h, (*after, c[:, -1].unsqueeze(0))

    def loss(self, batch: WindowBatch, state: State | None, teachers: Teachers | None = None) -> Loss:
        """The loss of one window of truncated back-propagation through time.

        With ``batch.carry`` below T the next window overlaps this one (Williams and Peng 1990, step k1 and length k2):
        the returned state is that after ``carry`` tokens, and only the last ``batch.scored`` positions count. The loss
        of the backward stack is part of the penalty.

        Args:
            batch: the window.
            state: after the previous one; None: the initial state.
            teachers: what other models predict in this window, of ``predictions``.
        """
        h, carried = self._read_window(batch, state)
        outputs, targets = [h], [batch.targets[:, -batch.scored :].t().flatten()]
        if self.reverse is not None and self.training:
            h, previous = self._read_backwards(batch, self.reverse)
            outputs, targets = [*outputs, h], [*targets, previous]
        dropped = [self.dropout(h) for h in outputs]
        layer: tuple[Tensor, Tensor, Tensor] = self.output.weight, self.output.bias, torch.cat(targets)
        if self.training and self.config.sampled_softmax:
            layer = sampled_output(*layer, self.config.sampled_softmax)
        weight, bias, labels = layer
        forward, *backward = zip(dropped, torch.split(labels, [len(part) for part in targets]), strict=True)
        h, right = forward
        nats, penalty = linear_cross_entropy(h.flatten(0, 1), weight, bias, right, teachers=teachers)
        penalties = [] if penalty is None else [penalty]
        for h, right in backward:
            penalties.append(linear_cross_entropy(h.flatten(0, 1), weight, bias, right)[0] / len(right))
        penalties += [penalty for pair in zip(outputs, dropped, strict=True) for penalty in self._penalties(*pair)]
        state = tuple(part.detach() for part in carried)
        return Loss(nats, len(targets[0]), state, torch.stack(penalties).sum() if penalties else None)

    def predictions(self, batch: WindowBatch, state: State | None) -> tuple[OutputLayer, State]:
        """What this model, as a teacher, predicts where a window is scored, and the state before the next window."""
        h, carried = self._read_window(batch, state)
        return OutputLayer(self.dropout(h).flatten(0, 1), self.output.weight, self.output.bias), carried

    def _read_window(self, batch: WindowBatch, state: State | None) -> tuple[Tensor, State]:
        """Outputs where a window is scored, (T, N, H), contiguous after the kernels; the state before the next one."""
        x = self._embed(batch.inputs)  # (N, T, E)
        masks = self.recurrent.sample_masks(x.shape[0])
        first, rest = slice(batch.carry), slice(batch.carry, None)

        def read(steps: slice, state: State | None) -> tuple[Tensor, State]:
            conditions, resets = (part if part is None else part[:, steps] for part in (batch.conditions, batch.resets))
            return self._read(x[:, steps], state, conditions, resets, masks)

        h, carried = read(first, state)
        if batch.carry < x.shape[1]:
            tail, _ = read(rest, carried)
            h = torch.cat([h, tail], dim=1)
        return h[:, -batch.scored :].transpose(0, 1), carried

    def _read_backwards(self, batch: WindowBatch, stack: Recurrent) -> tuple[Tensor, Tensor]:
        """Outputs of a stack that reads a window from its end, and the token before each: (T, N, H) and (T*N,).

        The state is initial in every window, and reset between documents, except at the last token of the window.
        """
        resets = None
        if batch.resets is not None:
            # The target at t is the input at t + 1: the token after it begins a document if the input at t + 2 does.
            resets = pad(batch.resets.flip(1)[:, :-2], (min(2, batch.resets.shape[1]), 0))
        h, _ = stack(self._embed(batch.targets.flip(1)), resets=resets)  # (N, T, H)
        previous = batch.inputs.flip(1)[:, -batch.scored :]
        return h[:, -batch.scored :].transpose(0, 1), previous.t().flatten()

    def _embed(self, ids: Tensor) -> Tensor:
        """(N, T) -> (N, T, E), with time first in memory, which saves copies in the recurrent kernels."""
        ids = ids.t()
        vectors: Tensor = self.embedding(ids)
        if self.training and self.config.word_dropout:
            kept = keep_mask(vectors.new_empty(self.embedding.num_embeddings, 1), self.config.word_dropout)
            vectors = vectors * kept[ids]
        dropped: Tensor = self.embedding_dropout(vectors)
        return dropped.transpose(0, 1)

    def trace(self, ids: Tensor, state: State) -> RecurrentTrace:
        """Every step's states and gates, for the ids of one text (T,) from a state of ``initial_state(1)``."""
        x = self.embedding(ids).unsqueeze(0)
        if self.condition is not None:
            *parts, c = state
            x, state = _joined(x, c.expand(-1, len(ids), -1)), tuple(parts)
        _, _, trace = self.recurrent(x, state, return_trace=True)
        read: RecurrentTrace = trace
        return read

    def logits(self, h: Tensor) -> Tensor:
        """(N, T, H) -> (N, T, V), in the memory layout of the kernels."""
        logits: Tensor = self.output(self.dropout(h.transpose(0, 1)))
        return logits.transpose(0, 1)

    def _penalties(self, h: Tensor, dropped: Tensor) -> Iterator[Tensor]:
        """AR and TAR (Merity et al. 2017, section 4.5): keep outputs (T, N, H) small and slowly changing."""
        config = self.config
        if config.activation_penalty:
            yield config.activation_penalty * dropped.float().square().mean()
        if config.temporal_penalty and len(h) > 1:
            yield config.temporal_penalty * h.float().diff(dim=0).square().mean()

    def stepper(self, precision: Precision = "float32") -> Step:
        """A step function for generation, with the embedding folded into a table (V, G*H) of the first layer's gates.

        Args:
            precision: number format of the matrix products. Build it again after a change of the weights.

        Raises:
            TextseqError: a precision that is unknown or that the device does not support.
        """
        parts = self.step_parts(precision)

        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            with threads_for(len(tokens) * parts.multiply_adds):
                h, state = parts.outputs(tokens, state)
                return parts.logits(h), state

        output = Weights(self.output.weight, self.output.bias)
        return with_loop(step, self.recurrent, parts.table, output, precision, parts.condition)

    def step_parts(self, precision: Precision = "float32") -> StepParts:
        """``stepper`` in two parts, for what reads the outputs between them. Args and errors: as ``stepper``."""
        prepare = preparation(precision)
        with torch.no_grad():
            embedding, condition = self.embedding.weight, None
            if self.condition is not None:
                condition = self.recurrent.layers[0].get_parameter("weight_ih_l0")[:, embedding.shape[1] :]  # (G*H, C)
                embedding = pad(embedding, (0, condition.shape[1]))
            table = self.recurrent.input_gates(embedding)  # (V, G*H)
            stack = self.recurrent.stepper(prepare)
            output = prepare(Weights(self.output.weight, self.output.bias))

        def outputs(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            return stack(table.index_select(0, tokens), state)

        def conditional_outputs(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            assert condition is not None
            *parts, c = state
            if self.config.layer_norm or self.recurrent.cell.reads_input:  # token and condition enter as one
                gates = self.recurrent.input_gates(torch.cat([self.embedding.weight[tokens], c[0]], dim=1))
            else:
                gates = table.index_select(0, tokens) + linear(c[0], condition)
            h, after = stack(gates, tuple(parts))
            return h, (*after, c)

        largest = max(self.output.weight.numel(), self.recurrent.multiply_adds)
        chosen = outputs if condition is None else conditional_outputs
        return StepParts(chosen, output.product, table, condition, largest)


def _joined(x: Tensor, c: Tensor) -> Tensor:
    """(N, T, E) and (N, T, C) -> (N, T, E + C), with time first in memory."""
    return torch.cat([x.transpose(0, 1), c.transpose(0, 1)], dim=2).transpose(0, 1)


def _stack(config: LanguageModelConfig, input_size: int) -> Recurrent:
    """The recurrent layers of one direction."""
    states = CELLS[config.cell].states
    zoneout = (config.zoneout, config.zoneout_cell, *[0.0] * states)[:states]
    return Recurrent.from_config(config, input_size=input_size, bidirectional=False, zoneout=zoneout)
