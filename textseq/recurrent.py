"""A cell over time, layers and directions: state in, state out.

Shapes: N batch, T time, E input size, H hidden, L layers, D directions (1 or 2), G gates.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from textseq.cells import CELLS, State
from textseq.config import CellName
from textseq.dropout import Dropout


class Recurrent(nn.Module):
    """A stack of recurrent layers, each computed by torch's fused kernel.

    ``forward`` is the fast path. ``forward_plain`` computes the same with the cell's own step, one step after
    the other: the twin that the fast path is tested against, and the place to read what happens.

    Args:
        cell: a key of ``CELLS``.
        input_size: E, the width of the input vectors.
        hidden_size: H, the width of every layer and direction.
        layers: L.
        bidirectional: read the text from both ends; each layer then has output width 2H.
        dropout: share of the activations dropped between layers, in training only.
        learn_initial_state: make the state that a text begins with a parameter; otherwise it is zero.
    """

    def __init__(
        self,
        cell: CellName,
        input_size: int,
        hidden_size: int,
        *,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        learn_initial_state: bool = False,
    ) -> None:
        super().__init__()
        self.cell = CELLS[cell]
        self.hidden_size = hidden_size
        self.directions = 2 if bidirectional else 1
        extra = {"nonlinearity": self.cell.nonlinearity} if self.cell.nonlinearity else {}
        self.layers = nn.ModuleList(
            self.cell.fused(
                input_size if layer == 0 else hidden_size * self.directions,
                hidden_size,
                bidirectional=bidirectional,
                **extra,
            )
            for layer in range(layers)
        )
        self.dropout = Dropout(dropout)
        self.start = (
            nn.Parameter(torch.zeros(self.cell.states, layers * self.directions, hidden_size))
            if learn_initial_state
            else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights as torch does, U(-1/sqrt(H), 1/sqrt(H)), and open the LSTM's forget gates.

        Their bias is 1 (Gers et al. 2000; Jozefowicz et al. 2015, section 4), so that a new LSTM remembers.
        """
        h = self.hidden_size
        for kernel, suffix in self._kernels():
            bias_ih, bias_hh = getattr(kernel, f"bias_ih{suffix}"), getattr(kernel, f"bias_hh{suffix}")
            if "f" in self.cell.gates:
                gate = self.cell.gates.index("f")
                with torch.no_grad():
                    bias_ih[gate * h : (gate + 1) * h] = 1.0
                    bias_hh[gate * h : (gate + 1) * h] = 0.0

    def initial_state(self, batch: int) -> State:
        """The state before the first token: each tensor (L*D, N, H), zero or learned."""
        if self.start is not None:
            return tuple(part.unsqueeze(1).expand(-1, batch, -1).contiguous() for part in self.start)
        like: Tensor = next(self.parameters())
        shape = (len(self.layers) * self.directions, batch, self.hidden_size)
        return tuple(like.new_zeros(shape) for _ in range(self.cell.states))

    def forward(
        self,
        x: Tensor,
        state: State | None = None,
        *,
        lengths: Tensor | None = None,
        resets: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Run the stack over a window.

        Args:
            x: input vectors, (N, T, E).
            state: the state before the first step, each tensor (L*D, N, H); None is the initial state.
            lengths: real steps of each row, (N,), each from 1 to T, on the CPU. What follows is padding: it
                changes neither the outputs before it nor the state, and its own outputs are zero.
            resets: (N, T) booleans on the CPU, true where a row starts afresh before that step; one direction only.

        Returns:
            Outputs of the last layer, (N, T, H*D), and the state after the last real step.
        """
        if state is None:
            state = self.initial_state(x.shape[0])
        if resets is not None and (lengths is not None or self.directions == 2):
            raise ValueError("resets go with whole windows of one direction: leave out lengths, or the resets")
        if resets is None or not resets.any():
            return self._fused(x, state, lengths)
        outputs = []
        for start, end in _segments(resets):
            state = self._reset(state, resets[:, start])
            y, state = self._fused(x[:, start:end], state, None)
            outputs.append(y)
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1), state

    def forward_plain(
        self, x: Tensor, state: State | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """The same as ``forward``, step by step with the cell's own ``step``."""
        state = self.initial_state(x.shape[0]) if state is None else state
        real = torch.full(x.shape[:1], x.shape[1]) if lengths is None else lengths
        finals: list[State] = []
        outputs = [x]  # of the layer below, one for each direction
        for index, (kernel, suffix) in enumerate(self._kernels()):
            backward = index % self.directions == 1
            if not backward:
                below, outputs = torch.cat(outputs, dim=2), []
                below = below if index == 0 else self.dropout(below)
            y, now = self._plain(kernel, suffix, below, tuple(part[index] for part in state), real, backward=backward)
            outputs.append(y)
            finals.append(now)
        return torch.cat(outputs, dim=2), tuple(torch.stack(parts) for parts in zip(*finals, strict=True))

    def _plain(
        self, kernel: nn.RNNBase, suffix: str, x: Tensor, state: State, lengths: Tensor, *, backward: bool
    ) -> tuple[Tensor, State]:
        """One layer and direction, step by step; its state does not move while a row has only padding."""
        x_gates = nn.functional.linear(x, getattr(kernel, f"weight_ih{suffix}"), getattr(kernel, f"bias_ih{suffix}"))
        weight_hh, bias_hh = getattr(kernel, f"weight_hh{suffix}"), getattr(kernel, f"bias_hh{suffix}")
        times = range(x.shape[1])
        outputs: dict[int, Tensor] = {}
        for t in reversed(times) if backward else times:
            real = (t < lengths).to(x.device).unsqueeze(1)  # (N, 1)
            new = self.cell.step(x_gates[:, t], state, weight_hh, bias_hh)
            state = tuple(torch.where(real, after, before) for after, before in zip(new, state, strict=True))
            outputs[t] = torch.where(real, state[0], torch.zeros_like(state[0]))
        return torch.stack([outputs[t] for t in times], dim=1), state

    def step(self, x_gates: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of the whole one-directional stack, for writing text.

        Calling torch's kernel for a single step repacks its weights every time and is over four times slower.

        Args:
            x_gates: the first layer's share of the input, (N, G*H): rows of ``input_gates``.
            state: each tensor (L, N, H).

        Returns:
            The output of the last layer, (N, H), and the new state.
        """
        finals: list[State] = []
        for index, (kernel, suffix) in enumerate(self._kernels()):
            if index > 0:
                x_gates = nn.functional.linear(
                    finals[-1][0], getattr(kernel, f"weight_ih{suffix}"), getattr(kernel, f"bias_ih{suffix}")
                )
            now = tuple(part[index] for part in state)
            finals.append(
                self.cell.step(x_gates, now, getattr(kernel, f"weight_hh{suffix}"), getattr(kernel, f"bias_hh{suffix}"))
            )
        return finals[-1][0], tuple(torch.stack(parts) for parts in zip(*finals, strict=True))

    def input_gates(self, x: Tensor) -> Tensor:
        """The first layer's share of the input for each vector of a table: (V, E) -> (V, G*H)."""
        kernel, suffix = next(self._kernels())
        return nn.functional.linear(x, getattr(kernel, f"weight_ih{suffix}"), getattr(kernel, f"bias_ih{suffix}"))

    def _fused(self, x: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        finals: list[State] = []
        y = x.transpose(0, 1)  # (T, N, E): in memory time comes first, as the kernels want it
        for index, kernel in enumerate(self.layers):
            if index > 0:
                y = self.dropout(y)
            d = self.directions
            before = tuple(part[index * d : (index + 1) * d].contiguous() for part in state)
            given = before if len(before) > 1 else before[0]
            if lengths is None:
                y, after = kernel(y, given)
            else:
                packed, after = kernel(pack_padded_sequence(y, lengths, enforce_sorted=False), given)
                y, _ = pad_packed_sequence(packed, total_length=x.shape[1])
            finals.append(after if isinstance(after, tuple) else (after,))
        return y.transpose(0, 1), tuple(torch.cat(parts) for parts in zip(*finals, strict=True))

    def _reset(self, state: State, rows: Tensor) -> State:
        """The state with the rows that ``rows`` (N,) marks taken back to the initial state."""
        fresh = self.initial_state(len(rows))
        mask = rows.to(state[0].device).view(1, -1, 1)
        return tuple(torch.where(mask, new, old) for new, old in zip(fresh, state, strict=True))

    def _kernels(self) -> Iterator[tuple[nn.RNNBase, str]]:
        """Every layer and direction in the order of the state's rows, with its weights' name ending."""
        for kernel in self.layers:
            assert isinstance(kernel, nn.RNNBase)
            yield from ((kernel, suffix) for suffix in ("_l0", "_l0_reverse")[: self.directions])


def _segments(resets: Tensor) -> Iterator[tuple[int, int]]:
    """Cut a window at every column in which some row starts afresh."""
    columns = resets.any(dim=0).nonzero().flatten().tolist()
    cuts = sorted({0, *columns, resets.shape[1]})
    return itertools.pairwise(cuts)
