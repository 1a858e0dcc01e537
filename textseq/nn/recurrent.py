"""A cell over time, layers and directions: state in, state out.

Shapes: N batch, T time, E input size, H hidden, L layers, D directions (1 or 2), G gates. Inside, time comes first:
the fused kernels want it so, and it saves copies.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from textseq.config.names import CellName
from textseq.nn.cells import CELLS, State, Step, Weights
from textseq.nn.dropout import Dropout, keep_mask
from textseq.nn.kernels.gru import gru_window
from textseq.nn.kernels.lstm import lstm_over_padding, lstm_with_resets
from textseq.nn.kernels.precision import product_format
from textseq.nn.kernels.unroll import Zoneout, deferred, unroll
from textseq.nn.rnn_layer import SIDES, input_gates, input_weights, make_layer, step_weights, with_other_weights


def gru_layer(
    layer: nn.GRU, x: Tensor, state: Tensor, lengths: Tensor | None, masks: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """One layer over a window, both directions side by side.

    Each sentence is turned round within its own length for the second direction, so that what follows it is padding
    there too, which no real step sees.

    Args:
        layer: its weights.
        x: (T, N, E).
        state: before the first step, (D, N, H).
        lengths: real steps of each row, (N,), on the CPU; None: all are.
        masks: of the recurrent weights, one for each direction, (3H, H); none where nothing is dropped.

    Returns:
        Outputs (T, N, D*H), zero at padding, and the state after the last real step, (D, N, H).
    """
    steps, batch, _ = x.shape
    sides = SIDES[: len(state)]
    ends = torch.full((batch,), steps) if lengths is None else lengths
    times = torch.arange(steps).unsqueeze(1)
    real = (times < ends).to(x.device)  # (T, N)
    turned = torch.where(times < ends, ends - 1 - times, times).to(x.device).unsqueeze(2)  # (T, N, 1)
    inputs = [x, x.gather(0, turned.expand(-1, -1, x.shape[2]))] if len(sides) == 2 else [x]
    x_gates = torch.stack([input_gates(layer, side, y) for side, y in zip(sides, inputs, strict=True)], dim=1)
    hh = torch.stack([layer.get_parameter("weight_hh" + side) for side in sides])
    bias = torch.stack([layer.get_parameter("bias_hh" + side) for side in sides])
    outputs = gru_window(x_gates, state, hh * torch.stack([*masks]) if masks else hh, bias)
    last = (ends - 1).to(x.device).view(1, 1, batch, 1).expand(1, *state.shape)
    final = outputs.gather(0, last).squeeze(0)
    sides_y = [outputs[:, 0]]
    if len(sides) == 2:
        sides_y.append(outputs[:, 1].gather(0, turned.expand(-1, -1, state.shape[2])))
    y = torch.cat(sides_y, dim=2)
    return y if lengths is None else y * real.unsqueeze(2), final


@dataclass(frozen=True)
class DropoutMasks:
    """What chance takes away for a whole window, drawn once."""

    activations: tuple[Tensor | None, ...]
    """For each layer, the mask of what it reads, (1, N, H*D); None: nothing is dropped the same way at every step."""
    weights: tuple[Tensor, ...]
    """For each layer and direction, the mask of its recurrent weights, (G*H, H); empty: none are dropped."""


class Recurrent(nn.Module):
    """A stack of recurrent layers, each computed by torch's fused kernel where there is one.

    ``forward`` is the fast path. ``forward_plain`` computes the same with the cell's own step, one step after
    the other: the twin that the fast path is tested against, and the place to read what happens.

    Args:
        cell: a key of ``CELLS``.
        input_size: E, the width of the input vectors.
        hidden_size: H, the width of every layer and direction.
        num_layers: L.
        bidirectional: read the text from both ends; each layer then has output width 2H.
        residual: add to the output of every layer but the first what it read, before dropout (Wu et al. 2016, eq. 6).
        layer_norm: normalise inside the cell; see ``cells.Weights``.
        dropout: share of the activations dropped between layers, in training only, as the next three.
        locked_dropout: drop the same ones at every step of a window.
        weight_dropout: share of the recurrent weights dropped, once for a window (Merity et al. 2017, section 2).
        zoneout: share of each state tensor that keeps its old value at each step; in use, the mean of both values.
        learn_initial_state: make the state that a text begins with a parameter; otherwise it is zero.
    """

    def __init__(
        self,
        cell: CellName,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        residual: bool = False,
        layer_norm: bool = False,
        dropout: float = 0.0,
        locked_dropout: bool = False,
        weight_dropout: float = 0.0,
        zoneout: tuple[float, ...] = (),
        learn_initial_state: bool = False,
    ) -> None:
        super().__init__()
        self.cell = CELLS[cell]
        self.hidden_size = hidden_size
        self.directions = 2 if bidirectional else 1
        self.residual = residual
        self.weight_dropout = weight_dropout
        self.zoneout = zoneout if any(zoneout) else ()
        self.layers = nn.ModuleList(
            make_layer(
                self.cell,
                input_size if index == 0 else hidden_size * self.directions,
                hidden_size,
                bidirectional=bidirectional,
                layer_norm=layer_norm,
            )
            for index in range(num_layers)
        )
        self.dropout = Dropout(dropout, locked=locked_dropout)
        self.start = (
            nn.Parameter(torch.zeros(self.cell.states, num_layers * self.directions, hidden_size))
            if learn_initial_state
            else None
        )

    def initial_state(self, batch: int) -> State:
        """The state before the first token: each tensor (L*D, N, H), zero or learned."""
        if self.start is not None:
            return tuple(part.unsqueeze(1).expand(-1, batch, -1).contiguous() for part in self.start)
        like: Tensor = next(self.parameters())
        shape = (len(self.layers) * self.directions, batch, self.hidden_size)
        return tuple(like.new_zeros(shape) for _ in range(self.cell.states))

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The parameters of each layer, the last one first, and then those of the initial state if they are learned."""
        first = [] if self.start is None else [[self.start]]
        return [[*layer.parameters()] for layer in reversed(self.layers)] + first

    def draw(self, batch: int) -> DropoutMasks | None:
        """What chance takes away for one window of so many rows; None if that is nothing."""
        p, weight_p = self.dropout.p * self.dropout.locked, self.weight_dropout
        if not self.training or not (p or weight_p):
            return None
        like: Tensor = next(self.parameters())
        width = self.hidden_size * self.directions
        return DropoutMasks(
            tuple(
                keep_mask(like.new_empty(1, batch, width), p) if p and index else None
                for index in range(len(self.layers))
            ),
            tuple(
                keep_mask(layer.get_parameter("weight_hh" + side), weight_p)
                for layer in self.layers
                for side in SIDES[: self.directions]
                if weight_p
            ),
        )

    def forward(
        self,
        x: Tensor,
        state: State | None = None,
        *,
        lengths: Tensor | None = None,
        resets: Tensor | None = None,
        noise: DropoutMasks | None = None,
    ) -> tuple[Tensor, State]:
        """Run the stack over a window.

        Args:
            x: input vectors, (N, T, E).
            state: the state before the first step, each tensor (L*D, N, H); None is the initial state.
            lengths: real steps of each row, (N,), each from 1 to T, on the CPU. What follows is padding: it
                changes neither the outputs before it nor the state, and its own outputs are zero.
            resets: (N, T) booleans on the CPU, true where a row starts afresh before that step; one direction only.
            noise: what ``draw`` gave, where several calls belong to one window; in training it is drawn otherwise.

        Returns:
            Outputs of the last layer, (N, T, H*D), and the state after the last real step.
        """
        if state is None:
            state = self.initial_state(x.shape[0])
        if resets is not None and (lengths is not None or self.directions == 2):
            raise ValueError("resets go with whole windows of one direction: leave out lengths, or the resets")
        noise = noise or self.draw(x.shape[0])
        if resets is not None and resets[:, 0].any():
            state = self._reset(state, resets[:, 0])
        if resets is None or not resets[:, 1:].any():
            return self._run(x, state, lengths, noise, self._fast)
        resets = torch.cat([torch.zeros_like(resets[:, :1]), resets[:, 1:]], dim=1)
        if self.start is None and not self.zoneout and all(isinstance(layer, nn.LSTM) for layer in self.layers):
            return self._run(x, state, None, noise, partial(self._fast, resets=resets))
        outputs = []
        for start, end in _segments(resets):
            state = self._reset(state, resets[:, start])
            y, state = self._run(x[:, start:end], state, None, noise, self._fast)
            outputs.append(y)
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1), state

    def forward_plain(
        self,
        x: Tensor,
        state: State | None = None,
        *,
        lengths: Tensor | None = None,
        noise: DropoutMasks | None = None,
    ) -> tuple[Tensor, State]:
        """The same as ``forward`` without resets, step by step with the cell's own ``step``."""
        state = self.initial_state(x.shape[0]) if state is None else state
        return self._run(x, state, lengths, noise or self.draw(x.shape[0]), self._plain)

    def _run(
        self, x: Tensor, state: State, lengths: Tensor | None, noise: DropoutMasks | None, run: RunLayer
    ) -> tuple[Tensor, State]:
        """The layers one upon the other, each by ``run``."""
        finals: list[State] = []
        d = self.directions
        y = x.transpose(0, 1)  # (T, N, E)
        for index in range(len(self.layers)):
            below = y
            if index > 0:
                mask = noise.activations[index] if noise else None
                y = y * mask if mask is not None else self.dropout(y)
            before = tuple(part[index * d : (index + 1) * d] for part in state)
            y, after = run(index, y, before, lengths, noise)
            if self.residual and index > 0:
                y = y + below
            finals.append(after)
        return y.transpose(0, 1), tuple(torch.cat(parts) for parts in zip(*finals, strict=True))

    def _fast(
        self,
        index: int,
        x: Tensor,
        state: State,
        lengths: Tensor | None,
        noise: DropoutMasks | None,
        *,
        resets: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """One layer, (T, N, E) -> (T, N, H*D), by the fused kernel if there is one; ``resets`` are for LSTMs alone."""
        layer = self.layers[index]
        if not isinstance(layer, nn.RNNBase) or self.zoneout:
            return self._plain(index, x, state, lengths, noise, defer=torch.is_grad_enabled())
        masks, dtype = self._weight_masks(index, noise), product_format(layer.get_parameter("weight_hh_l0"))
        if isinstance(layer, nn.GRU) and x.device.type == "cpu" and torch.is_grad_enabled():
            y, final = gru_layer(layer, x, state[0], lengths, masks)  # torch has no fused kernel for it there
            return y, (final,)
        if not masks and dtype == state[0].dtype:
            return _call(layer, x.to(dtype), state, lengths, resets)
        kernel = with_other_weights(layer, masks, dtype)
        narrow = tuple(part.to(dtype) for part in state)
        # Without autocast, which makes float16 of any format on its way into cuDNN.
        with torch.autocast(x.device.type, enabled=False), warnings.catch_warnings():
            # cuDNN's, that it copies weights together: these are new every time.
            warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
            y, after = _call(kernel, x.to(dtype), narrow, lengths, resets)
        # Carried from window to window, a state must not lose more each time.
        return y, tuple(part.to(state[0].dtype) for part in after)

    def _plain(
        self,
        index: int,
        x: Tensor,
        state: State,
        lengths: Tensor | None,
        noise: DropoutMasks | None,
        *,
        defer: bool = False,
    ) -> tuple[Tensor, State]:
        """One layer, step by step, (T, N, E) -> (T, N, H*D)."""
        outputs, finals = [], []
        zoneout = Zoneout(self.zoneout, self.training) if self.zoneout else None
        real = None if lengths is None else lengths.to(x.device)
        masks = self._weight_masks(index, noise)
        for direction, side in enumerate(SIDES[: self.directions]):
            weights = step_weights(self.layers[index], side, masks[direction] if masks else None)
            y, final = unroll(
                self.cell,
                input_gates(self.layers[index], side, x),
                tuple(part[direction] for part in state),
                deferred(weights) if defer else weights,
                lengths=real,
                backward=direction == 1,
                zoneout=zoneout,
            )
            outputs.append(y)
            finals.append(final)
        return torch.cat(outputs, dim=2), tuple(torch.stack(parts) for parts in zip(*finals, strict=True))

    def stepper(self, prepare: Callable[[Weights], Weights] = lambda weights: weights) -> Step:
        """One step of the whole one-directional stack at a time, for writing text.

        Calling torch's kernel for a single step repacks its weights every time and is over four times slower.

        Args:
            prepare: what each layer's weights, the deeper layers' input weights too, go through once, here.

        Returns:
            A function of the first layer's share of the input (N, G*H), rows of ``input_gates``, and the state, each
            tensor (L, N, H). It gives the output of the last layer (N, H) and the new state.
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
        """One step of one layer: what it reads and its state, (N, H) each -> the state after; the first reads gates."""
        layer, side, cell = self.layers[index], SIDES[0], self.cell
        bounded = cell.bounded and self.start is None  # a learned initial state may be anything
        own = replace(step_weights(layer, side), bounded=bounded)
        if index == 0:
            first = prepare(own)
            return lambda x_gates, state: cell.step(x_gates, state, first)
        below = replace(input_weights(layer, side), bounded=bounded and not self.residual)
        if not cell.additive or below.gain is not None:
            inputs, recurrent = prepare(below), prepare(own)
            return lambda y, state: cell.step(inputs.product(y), state, recurrent)
        both = prepare(replace(own, hh=torch.cat([below.hh, own.hh], dim=1), bounded=below.bounded))
        # [W U] [y h] = W y + U h: one product instead of two; what is left of the input is its bias.
        return lambda y, state: cell.step(below.bias, (torch.cat([y, state[0]], dim=1), *state[1:]), both)

    def input_gates(self, x: Tensor) -> Tensor:
        """The first layer's share of the input for each vector of a table: (V, E) -> (V, G*H)."""
        return input_gates(self.layers[0], SIDES[0], x)

    def _weight_masks(self, index: int, noise: DropoutMasks | None) -> tuple[Tensor, ...]:
        """For each direction of a layer; none where nothing is dropped."""
        return noise.weights[index * self.directions : (index + 1) * self.directions] if noise else ()

    def _reset(self, state: State, rows: Tensor) -> State:
        """The state with the rows that ``rows`` (N,) marks taken back to the initial state."""
        fresh = self.initial_state(len(rows))
        mask = rows.to(state[0].device).view(1, -1, 1)
        return tuple(torch.where(mask, new, old) for new, old in zip(fresh, state, strict=True))


def _call(
    kernel: nn.RNNBase, x: Tensor, state: State, lengths: Tensor | None, resets: Tensor | None
) -> tuple[Tensor, State]:
    """torch's module over a window, (T, N, E) -> (T, N, H*D), with every state as a tuple."""
    if isinstance(kernel, nn.LSTM) and resets is not None:
        return lstm_with_resets(kernel, x, state, resets)
    if isinstance(kernel, nn.LSTM) and lengths is not None and x.device.type == "cpu":
        behind = [part[1] for part in state if kernel.bidirectional]
        if not any(part.requires_grad or part.any() for part in behind):
            return lstm_over_padding(kernel, x, state, lengths)
    given = tuple(part.contiguous() for part in state)
    start = given if len(given) > 1 else given[0]
    if lengths is None:
        y, after = kernel(x, start)
    else:
        packed, after = kernel(pack_padded_sequence(x, lengths, enforce_sorted=False), start)
        y, _ = pad_packed_sequence(packed, total_length=x.shape[0])
    return y, after if isinstance(after, tuple) else (after,)


RunLayer = Callable[[int, Tensor, State, Tensor | None, DropoutMasks | None], tuple[Tensor, State]]


def _segments(resets: Tensor) -> Iterator[tuple[int, int]]:
    """Cut a window at every column in which some row starts afresh."""
    columns = resets.any(dim=0).nonzero().flatten().tolist()
    cuts = sorted({0, *columns, resets.shape[1]})
    return itertools.pairwise(cuts)
