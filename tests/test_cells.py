"""Each cell's step is the paper's equation, is torch's cell, and has the right gradient."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from textseq.cells import CELLS, Cell, State
from textseq.config import CellName

N, E, H = 3, 4, 5

Array = np.ndarray
Equations = Callable[[dict[str, Array], dict[str, Array], dict[str, Array], tuple[Array, ...]], tuple[Array, ...]]
"""W x + b_W of each gate, U of each gate (H, H), b_U of each gate, and the state -> the new state."""


def sigmoid(x: Array) -> Array:
    made: Array = 1 / (1 + np.exp(-x))
    return made


def elman(x: dict[str, Array], u: dict[str, Array], b: dict[str, Array], state: tuple[Array, ...]) -> tuple[Array, ...]:
    """Elman (1990)."""
    (h,) = state
    return (np.tanh(x["h"] + h @ u["h"].T + b["h"]),)


def rectified(
    x: dict[str, Array], u: dict[str, Array], b: dict[str, Array], state: tuple[Array, ...]
) -> tuple[Array, ...]:
    """Le, Jaitly and Hinton (2015)."""
    (h,) = state
    return (np.maximum(0, x["h"] + h @ u["h"].T + b["h"]),)


def lstm(x: dict[str, Array], u: dict[str, Array], b: dict[str, Array], state: tuple[Array, ...]) -> tuple[Array, ...]:
    """Hochreiter and Schmidhuber (1997) with the forget gate of Gers et al. (2000)."""
    h, c = state
    i, f, o = (sigmoid(x[gate] + h @ u[gate].T + b[gate]) for gate in "ifo")
    g = np.tanh(x["g"] + h @ u["g"].T + b["g"])
    c = f * c + i * g
    return o * np.tanh(c), c


def gru(x: dict[str, Array], u: dict[str, Array], b: dict[str, Array], state: tuple[Array, ...]) -> tuple[Array, ...]:
    """Cho et al. (2014), version 1: the reset gate stands outside the matrix product."""
    (h,) = state
    r, z = (sigmoid(x[gate] + h @ u[gate].T + b[gate]) for gate in "rz")
    n = np.tanh(x["n"] + r * (h @ u["n"].T + b["n"]))
    return ((1 - z) * n + z * h,)


EQUATIONS: dict[str, Equations] = {"rnn": elman, "rnn-relu": rectified, "lstm": lstm, "gru": gru}
SINGLE = {nn.RNN: nn.RNNCell, nn.LSTM: nn.LSTMCell, nn.GRU: nn.GRUCell}
EVERY_CELL = pytest.mark.parametrize("name", CELLS)


def drawn(cell: Cell) -> tuple[Tensor, State, Tensor, Tensor]:
    """Random float64 arguments of a step."""
    torch.manual_seed(1)
    g = len(cell.gates)
    x_gates, weight_hh, bias_hh = (torch.randn(shape, dtype=torch.float64) for shape in ((N, g * H), (g * H, H), g * H))
    return x_gates, tuple(torch.randn(N, H, dtype=torch.float64) for _ in range(cell.states)), weight_hh, bias_hh


@EVERY_CELL
def test_step_is_the_papers_equation(name: CellName) -> None:
    cell = CELLS[name]
    x_gates, state, weight_hh, bias_hh = drawn(cell)

    def by_gate(array: Tensor, axis: int) -> dict[str, Array]:
        return dict(zip(cell.gates, np.split(array.numpy(), len(cell.gates), axis=axis), strict=True))

    wanted = EQUATIONS[name](
        by_gate(x_gates, 1), by_gate(weight_hh, 0), by_gate(bias_hh, 0), tuple(part.numpy() for part in state)
    )
    for new, right in zip(cell.step(x_gates, state, weight_hh, bias_hh), wanted, strict=True):
        np.testing.assert_allclose(new.numpy(), right, rtol=1e-12, atol=1e-12)


@EVERY_CELL
def test_step_is_torchs_cell_with_its_weights(name: CellName) -> None:
    cell = CELLS[name]
    _, state, _, _ = drawn(cell)
    extra = {"nonlinearity": cell.nonlinearity} if cell.nonlinearity else {}
    twin = SINGLE[cell.fused](E, H, dtype=torch.float64, **extra)
    x = torch.randn(N, E, dtype=torch.float64)
    wanted = twin(x, state if cell.states > 1 else state[0])
    found = cell.step(nn.functional.linear(x, twin.weight_ih, twin.bias_ih), state, twin.weight_hh, twin.bias_hh)
    torch.testing.assert_close(found, wanted if isinstance(wanted, tuple) else (wanted,))


@EVERY_CELL
def test_step_has_the_numerical_gradient(name: CellName) -> None:
    cell = CELLS[name]
    x_gates, state, weight_hh, bias_hh = (part for part in drawn(cell))

    def flat(x_gates: Tensor, weight_hh: Tensor, bias_hh: Tensor, *state: Tensor) -> State:
        return cell.step(x_gates, state, weight_hh, bias_hh)

    inputs = [part.requires_grad_() for part in (x_gates, weight_hh, bias_hh, *state)]
    assert torch.autograd.gradcheck(flat, inputs)
