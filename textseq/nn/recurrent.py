"""A cell over time, layers and directions: state in, state out.

Shapes: N batch, T time, E input size, H hidden, L layers, D directions (1 or 2), G gates. Inside, time comes first:
the fused kernels require it, and it saves copies.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from inspect import signature
from typing import Any, Self

import torch
from torch import Tensor, nn

from textseq.config.model import RecurrentConfig
from textseq.config.names import CellName
from textseq.errors import TextseqError
from textseq.nn.cell_registry import find_cell
from textseq.nn.cells import State, Step, Weights
from textseq.nn.dropout import Dropout, DropoutMasks, check_rate, keep_mask
from textseq.nn.kernels.fused import fused_layer
from textseq.nn.kernels.scan import scan
from textseq.nn.kernels.threads import threads_for
from textseq.nn.kernels.unroll import Zoneout, deferred, unroll
from textseq.nn.rnn_layer import (
    SUFFIXES,
    check_lengths,
    check_resets,
    check_state,
    check_steps,
    input_gates,
    input_weights,
    make_layer,
    step_weights,
    weight_of,
)
from textseq.nn.trace import RecurrentTrace, TraceBuilder


class Recurrent(nn.Module):
    """A stack of recurrent layers, each computed by torch's fused kernel where there is one.

    ``forward`` is the fast path; ``forward_reference`` computes the same step by step with the cell's own ``step``.

    Args:
        cell: a built-in or registered cell, a key of ``CELLS``.
        input_size: E, the width of the input vectors.
        hidden_size: H, the width of every layer and direction.
        num_layers: L.
        dropout: share of the activations dropped between layers, in training only, as the next three.
        bidirectional: read the text from both ends; each layer then has output width 2H.
        residual: add the input of every layer but the first, before dropout, to its output (Wu et al. 2016, eq. 6).
        layer_norm: normalize inside the cell; see ``cells.Weights``.
        locked_dropout: drop the same activations at every step of a window.
        weight_dropout: share of the recurrent weights dropped, once per window (Merity et al. 2017, section 2).
        zoneout: share of each state tensor that keeps its old value at each step; in evaluation, the mean of both.
        learn_initial_state: make the state at the start of a text a parameter; otherwise it is zero.

    Raises:
        TextseqError: an unknown cell, no layer, weight dropout in a cell without recurrent weights, zoneout of more or
            fewer rates than states, or a rate that is not from 0 to below 1.

    Example:
        >>> encoder = Recurrent("lstm", input_size=4, hidden_size=8, num_layers=2, bidirectional=True)
        >>> y, (h, c) = encoder(torch.randn(3, 5, 4), lengths=torch.tensor([5, 2, 4]))
        >>> y.shape, h.shape
        (torch.Size([3, 5, 16]), torch.Size([4, 3, 8]))
    """

    def __init__(
        self,
        cell: CellName,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        dropout: float = 0.0,
        bidirectional: bool = False,
        residual: bool = False,
        layer_norm: bool = False,
        locked_dropout: bool = False,
        weight_dropout: float = 0.0,
        zoneout: tuple[float, ...] = (),
        learn_initial_state: bool = False,
    ) -> None:
        super().__init__()
        self.cell, self.cell_name = find_cell(cell), cell
        if num_layers < 1:
            raise TextseqError(f"num_layers: expected at least 1, got {num_layers}")
        if isinstance(zoneout, int | float):
            raise TextseqError(
                f"zoneout: expected a tuple of rates, one for each state tensor of {cell}, got {zoneout}"
            )
        if weight_dropout and not self.cell.recurrent:
            raise TextseqError(
                f"--weight-dropout: expected a cell with recurrent weights, got --cell {cell}; use --dropout"
            )
        if any(zoneout) and len(zoneout) != self.cell.states:
            raise TextseqError(
                f"zoneout: expected {self.cell.states} rates, one for each state tensor of {cell}, got {len(zoneout)}"
            )
        check_rate("weight_dropout", weight_dropout)
        for rate in zoneout:
            check_rate("zoneout", rate)
        self.hidden_size = hidden_size
        self.directions = 2 if bidirectional else 1
        self.residual = residual
        self.weight_dropout = weight_dropout
        self.zoneout = zoneout if any(zoneout) else ()
        self.layers = nn.ModuleList(
            make_layer(
                self.cell,
                hidden_size * self.directions if index else input_size,
                hidden_size,
                bidirectional=bidirectional,
                layer_norm=layer_norm,
            )
            for index in range(num_layers)
        )
        self.dropout = Dropout(dropout, locked=locked_dropout)
        start_shape = self.cell.states, num_layers * self.directions, hidden_size
        self.start = nn.Parameter(torch.zeros(start_shape)) if learn_initial_state else None

    @classmethod
    def from_config(cls, config: RecurrentConfig, **changes: object) -> Self:
        """The stack that a model's settings describe: each option is the setting of its name, unless changed."""
        settings: dict[str, Any] = {"input_size": config.embedding_size, **vars(config), **changes}
        return cls(**{name: settings[name] for name in signature(cls).parameters.keys() & settings.keys()})

    def initial_state(self, batch: int) -> State:
        """The state before the first token: each tensor (L*D, N, H), zero or learned."""
        if self.start is not None:
            return tuple(part.unsqueeze(1).expand(-1, batch, -1).contiguous() for part in self.start)
        like: Tensor = next(self.parameters())
        return tuple(like.new_zeros(self._state_shape(batch)) for _ in range(self.cell.states))

    def _state_shape(self, batch: int) -> tuple[int, int, int]:
        """(L*D, N, H)."""
        return len(self.layers) * self.directions, batch, self.hidden_size

    def extra_repr(self) -> str:
        """The cell, and the options that the layers do not show, for ``print``."""
        options = {name: getattr(self, name) for name in ("residual", "weight_dropout", "zoneout")}
        return ", ".join([self.cell_name, *(f"{name}={value}" for name, value in options.items() if value)])

    @property
    def multiply_adds(self) -> int:
        """Of a row's largest product in a step: the recurrent weights of a layer and direction."""
        return len(self.cell.gates) * self.hidden_size**2

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer, the last one first, then those of a learned initial state."""
        first = [] if self.start is None else [[self.start]]
        return [[*layer.parameters()] for layer in reversed(self.layers)] + first

    def sample_masks(self, batch: int) -> DropoutMasks | None:
        """Sample the dropout masks of one window of N rows; None if there is nothing to drop."""
        p, weight_p = self.dropout.p * self.dropout.locked, self.weight_dropout
        if not self.training or not (p or weight_p):
            return None
        like: Tensor = next(self.parameters())
        width = self.hidden_size * self.directions
        layers, suffixes = range(len(self.layers)), SUFFIXES[: self.directions]
        activations = [keep_mask(like.new_empty(1, batch, width), p) if p and index else None for index in layers]
        names = [("weight_hh" + suffix, layer) for layer in self.layers for suffix in suffixes if weight_p]
        weights = (keep_mask(weight_of(layer, name), weight_p) for name, layer in names)
        return DropoutMasks(tuple(activations), tuple(weights))

    def forward(
        self,
        x: Tensor,
        state: State | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        resets: Tensor | None = None,
        restart: Restart | None = None,
        masks: DropoutMasks | None = None,
        return_trace: bool = False,
    ) -> tuple[Tensor, State] | tuple[Tensor, State, RecurrentTrace]:
        """Run the stack over a window.

        Args:
            x: input vectors, (N, T, E).
            state: the state before the first step, each tensor (L*D, N, H); None is the initial state.
            lengths: real steps of each row, (N,), each from 1 to T, on the CPU. The rest is padding: whatever it is, it
                changes neither the outputs before it nor the state, and its own outputs are zero.
            resets: (N, T) booleans on the CPU, true where a row restarts from the initial state before that step; one
                direction only, without ``lengths``.
            restart: gives the initial state of all rows at a step, where it is not the same in every text.
            masks: from ``sample_masks``, where several calls belong to one window; sampled here otherwise.
            return_trace: also return every step's states and gates; step by step, so slower; without ``resets``.

        Returns:
            Outputs of the last layer, (N, T, H*D), and the state after the last real step, each tensor (L*D, N, H);
            with ``return_trace`` a ``RecurrentTrace`` too.

        Raises:
            ValueError: no step; lengths that are not from 1 to T; a state of more or fewer tensors or another shape;
                ``resets`` of another shape or dtype, with ``lengths``, with two directions or with ``return_trace``.
        """
        lengths = self._checked(x, state, lengths)
        if resets is not None and (lengths is not None or self.directions == 2 or return_trace):
            raise ValueError("resets: expected whole windows of one direction, without lengths or a trace")
        if resets is not None:
            check_resets(resets, *x.shape[:2])
        if state is None:
            state = restart(0) if restart else self.initial_state(x.shape[0])
        if return_trace:
            trace = TraceBuilder(len(self.layers), self.directions, lengths)
            return (*self.forward_reference(x, state, lengths=lengths, masks=masks, trace=trace), trace.build())
        if x.device.type == "cpu" and not torch.is_grad_enabled():
            with threads_for(x.shape[0] * self.multiply_adds):
                return self._forward(x, state, lengths, resets, restart, masks)
        return self._forward(x, state, lengths, resets, restart, masks)

    def _forward(
        self, x: Tensor, state: State, lengths: Tensor | None, resets: Tensor | None, restart: Restart | None,
        masks: DropoutMasks | None,
    ) -> tuple[Tensor, State]:  # fmt: skip
        started: Restart = restart or (lambda step: self.initial_state(x.shape[0]))
        masks = masks or self.sample_masks(x.shape[0])
        if resets is not None and resets[:, 0].any():
            state = _reset(state, resets[:, 0], started(0))
        if resets is None or not resets[:, 1:].any():
            return self._run(x, state, lengths, masks, self._fast_layer)
        resets = torch.cat([torch.zeros_like(resets[:, :1]), resets[:, 1:]], dim=1)
        zero = restart is None and self.start is None
        in_one = not self.cell.recurrent or all(isinstance(layer, nn.LSTM) for layer in self.layers)
        if zero and not self.zoneout and in_one:
            return self._run(x, state, None, masks, partial(self._fast_layer, resets=resets))
        outputs = []
        for start, end in _segments(resets):
            if resets[:, start].any():
                state = _reset(state, resets[:, start], started(start))
            y, state = self._run(x[:, start:end], state, None, masks, self._fast_layer)
            outputs.append(y)
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1), state

    def forward_reference(
        self, x: Tensor, state: State | None = None, *, lengths: Tensor | Sequence[int] | None = None,
        masks: DropoutMasks | None = None, trace: TraceBuilder | None = None,
    ) -> tuple[Tensor, State]:  # fmt: skip
        """The same as ``forward`` without resets, step by step with the cell's own ``step``."""
        lengths = self._checked(x, state, lengths)
        state = self.initial_state(x.shape[0]) if state is None else state
        masks = masks or self.sample_masks(x.shape[0])
        return self._run(x, state, lengths, masks, partial(self._unrolled_layer, trace=trace))

    def _checked(self, x: Tensor, state: State | None, lengths: Tensor | Sequence[int] | None) -> Tensor | None:
        """The lengths as a tensor; a ValueError for a window, a state or lengths that ``forward`` does not take."""
        check_steps(x.shape[1])
        if state is not None:
            check_state(state, self.cell.states, self._state_shape(x.shape[0]))
        return None if lengths is None else check_lengths(lengths, *x.shape[:2])

    def _run(
        self, x: Tensor, state: State, lengths: Tensor | None, masks: DropoutMasks | None, run: RunLayer
    ) -> tuple[Tensor, State]:
        """Run the layers one above the other, each by ``run``; the padding that they get is zero."""
        finals: list[State] = []
        d = self.directions
        y = x.transpose(0, 1)  # (T, N, E)
        if lengths is not None:
            padding = torch.arange(len(y), device=lengths.device).unsqueeze(1) >= lengths  # (T, N)
            y = y.masked_fill(padding.unsqueeze(2).to(x.device), 0.0)
        for index in range(len(self.layers)):
            below = y
            if index > 0:
                mask = masks.activations[index] if masks else None
                y = y * mask if mask is not None else self.dropout(y)
            before = tuple(part[index * d : (index + 1) * d] for part in state)
            y, after = run(index, y, before, lengths, masks.weights[index * d : (index + 1) * d] if masks else ())
            if self.residual and index > 0:
                y = y + below
            finals.append(after)
        return y.transpose(0, 1), tuple(torch.cat(parts) for parts in zip(*finals, strict=True))

    def _fast_layer(
        self, index: int, x: Tensor, state: State, lengths: Tensor | None, masks: tuple[Tensor, ...],
        *, resets: Tensor | None = None,
    ) -> tuple[Tensor, State]:  # fmt: skip
        """One layer, (T, N, E) -> (T, N, H*D), by the fused kernel or scan if there is one.

        ``resets`` are for LSTMs and scans only.
        """
        layer = self.layers[index]
        if not self.cell.recurrent and not self.zoneout:
            return self._scanned_layer(index, x, state, lengths, resets)
        if not isinstance(layer, nn.RNNBase) or self.zoneout:
            return self._unrolled_layer(index, x, state, lengths, masks, defer=torch.is_grad_enabled())
        return fused_layer(layer, x, state, lengths=lengths, masks=masks, resets=resets)

    def _unrolled_layer(
        self, index: int, x: Tensor, state: State, lengths: Tensor | None, masks: tuple[Tensor, ...],
        *, defer: bool = False, trace: TraceBuilder | None = None,
    ) -> tuple[Tensor, State]:  # fmt: skip
        """One layer, step by step, (T, N, E) -> (T, N, H*D)."""
        outputs, finals = [], []
        zoneout = Zoneout(self.zoneout, self.training) if self.zoneout else None
        real = None if lengths is None else lengths.to(x.device)
        for direction, suffix in enumerate(SUFFIXES[: self.directions]):
            weights = step_weights(self.layers[index], suffix, masks[direction] if masks else None)
            gates, history = trace.start() if trace else (None, None)
            y, final = unroll(
                self.cell,
                input_gates(self.layers[index], suffix, x),
                tuple(part[direction] for part in state),
                deferred(weights) if defer else replace(weights, trace=gates),
                lengths=real,
                backward=direction == 1,
                zoneout=zoneout,
                history=history,
            )
            outputs.append(y)
            finals.append(final)
        return torch.cat(outputs, dim=2), tuple(torch.stack(parts) for parts in zip(*finals, strict=True))

    def _scanned_layer(
        self, index: int, x: Tensor, state: State, lengths: Tensor | None, resets: Tensor | None
    ) -> tuple[Tensor, State]:
        """One layer, all steps at once, (T, N, E) -> (T, N, H*D)."""
        assert self.cell.coefficients is not None
        layer, outputs, finals = self.layers[index], [], []
        for direction, suffix in enumerate(SUFFIXES[: self.directions]):
            a, b = self.cell.coefficients(input_gates(layer, suffix, x), step_weights(layer, suffix))
            y, final = scan(a, b, state[0][direction], lengths=lengths, resets=resets, backward=direction == 1)
            outputs.append(y)
            finals.append(final)
        return torch.cat(outputs, dim=2), (torch.stack(finals),)

    def stepper(self, prepare: Callable[[Weights], Weights] = lambda weights: weights) -> Step:
        """One step of the whole one-directional stack at a time, for generation.

        torch's kernel repacks its weights at every call: over four times slower for a single step.

        Args:
            prepare: applied once to each layer's weights, and to the input weights of the layers above the first.

        Returns:
            A function of the first layer's input gates (N, G*H), rows of ``input_gates``, and the state, each tensor
            (L, N, H). It returns the output of the last layer (N, H) and the new state.

        Example::

            step, table = stack.stepper(), stack.input_gates(embedding.weight)
            h, state = step(table[ids], state)
        """
        steps = [self._layer_stepper(index, prepare) for index in range(len(self.layers))]
        zoneout = Zoneout(self.zoneout, self.training) if self.zoneout else None

        def step(x_gates: Tensor, state: State) -> tuple[Tensor, State]:
            finals: list[State] = []
            y = x_gates
            for index, layer_step in enumerate(steps):
                below = y
                old = tuple(part[index] for part in state)
                new = layer_step(y, old)
                finals.append(zoneout(new, old) if zoneout else new)
                y = finals[-1][0] + below if self.residual and index > 0 else finals[-1][0]
            return y, tuple(torch.stack(parts) for parts in zip(*finals, strict=True))

        return step

    def _layer_stepper(self, index: int, prepare: Callable[[Weights], Weights]) -> Callable[[Tensor, State], State]:
        """One step of one layer: input and state, (N, H) each -> new state; the first layer's input are its gates."""
        cell = self.cell
        below, recurrent = self.step_weights(index)
        prepared = prepare(recurrent)
        if below is None:
            return lambda x_gates, state: cell.step(x_gates, state, prepared)
        if not cell.additive or below.gain is not None:
            inputs = prepare(below)
            return lambda y, state: cell.step(inputs.product(y), state, prepared)
        return lambda y, state: cell.step(below.bias, (torch.cat([y, state[0]], dim=1), *state[1:]), prepared)

    def step_weights(self, index: int) -> tuple[Weights | None, Weights]:
        """The weights in a step of one layer: of its input (None for the first, which gets gates), and of its state.

        A cell that reads the input itself has the input's weights among those of its state.

        If the cell only adds the two products, W y + U h, the second matrix is [W U], to be multiplied by [y h]: one
        product instead of two. Of the first weights only the bias is left then.
        """
        layer, suffix, cell = self.layers[index], SUFFIXES[0], self.cell
        bounded = cell.bounded and self.start is None  # a learned initial state has no bounds
        recurrent = replace(step_weights(layer, suffix), bounded=bounded)
        if index == 0 or cell.reads_input:
            return None, recurrent
        below = replace(input_weights(layer, suffix), bounded=bounded and not self.residual)
        if cell.additive and below.gain is None:
            recurrent = replace(recurrent, hh=torch.cat([below.hh, recurrent.hh], dim=1), bounded=below.bounded)
        return below, recurrent

    def input_gates(self, x: Tensor) -> Tensor:
        """The first layer's input gates for each vector of a table: (V, E) -> (V, G*H), as ``stepper`` reads them."""
        return input_gates(self.layers[0], SUFFIXES[0], x)


RunLayer = Callable[[int, Tensor, State, Tensor | None, tuple[Tensor, ...]], tuple[Tensor, State]]

Restart = Callable[[int], State]
"""The initial state of all rows at a step of a window."""


def _reset(state: State, rows: Tensor, initial: State) -> State:
    """The state, with the rows that ``rows`` (N,) marks set to the initial state."""
    mask = rows.to(state[0].device).view(1, -1, 1)
    return tuple(torch.where(mask, new, old) for new, old in zip(initial, state, strict=True))


def _segments(resets: Tensor) -> Iterator[tuple[int, int]]:
    """Cut a window at every column in which some row restarts."""
    columns = resets.any(dim=0).nonzero().flatten().tolist()
    cuts = sorted({0, *columns, resets.shape[1]})
    return itertools.pairwise(cuts)
