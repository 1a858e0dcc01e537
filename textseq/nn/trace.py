"""Every step of a recurrent stack: hidden states, cells and gates.

Shapes: N batch, T time, H hidden, L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from textseq.nn.cells import State


@dataclass(frozen=True)
class RecurrentTrace:
    """Every step of a recurrent stack, for pictures and lessons; zero at padding.

    Example::

        y, state, trace = nn.Recurrent("lstm", 8, 16, num_layers=2)(x, return_trace=True)
        trace.gates["f"][1, 0]  # the second layer's forget gate, (N, T, H)
        trace.c[1, 0, :, -1]    # its cell after the last step, (N, H)
    """

    states: tuple[Tensor, ...]
    """Each tensor of the state after every step, (L, D, N, T, H)."""
    gates: dict[str, Tensor]
    """The gates of every step by the letters of ``Cell.gates``, after their activation, (L, D, N, T, H)."""

    @property
    def h(self) -> Tensor:
        """Hidden state after every step, (L, D, N, T, H)."""
        return self.states[0]

    @property
    def c(self) -> Tensor:
        """The LSTM's cell after every step, (L, D, N, T, H)."""
        return self.states[1]


@dataclass
class TraceBuilder:
    """Collects what ``unroll`` computes, layer by layer and direction by direction."""

    layers: int
    directions: int
    lengths: Tensor | None
    runs: list[tuple[dict[str, list[Tensor]], list[State]]] = field(default_factory=list)
    """For each layer and direction, gates by name and states, each step by step, (N, H)."""

    def start(self) -> tuple[dict[str, list[Tensor]], list[State]]:
        """Gates and states to fill for the next layer and direction."""
        self.runs.append(({}, []))
        return self.runs[-1]

    def build(self) -> RecurrentTrace:
        """Everything as tensors."""
        states = [[*zip(*history, strict=True)] for _, history in self.runs]
        names = self.runs[0][0]
        return RecurrentTrace(
            tuple(self._stack([run[part] for run in states]) for part in range(len(states[0]))),
            {name: self._stack([gates[name] for gates, _ in self.runs]) for name in names},
        )

    def _stack(self, runs: Sequence[Sequence[Tensor]]) -> Tensor:
        """A list of steps, each (N, H), for every layer and direction -> (L, D, N, T, H), in order of time."""
        backward = (index % self.directions == 1 for index in range(len(runs)))
        ordered = [torch.stack([*run][:: -1 if back else 1], dim=1) for run, back in zip(runs, backward, strict=True)]
        whole = torch.stack(ordered).view(self.layers, self.directions, *ordered[0].shape)
        if self.lengths is None:
            return whole
        real = torch.arange(whole.shape[3]) < self.lengths.unsqueeze(1)  # (N, T)
        return torch.where(real.to(whole.device).unsqueeze(2), whole, 0.0)
