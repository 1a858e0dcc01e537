"""Each cell's step is the paper's equation, is torch's cell, and has the right gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from textseq.config.names import CellName
from textseq.nn.cell_registry import CELLS, Cell
from textseq.nn.cells import State, Weights, mogrifier_weights, normalized

N, E, H = 3, 4, 5

Array = np.ndarray
Gates = dict[str, Array]
Equations = Callable[[Gates, Gates, Gates, Gates, tuple[Array, ...]], tuple[Array, ...]]
"""W x + b_W of each gate, U of each gate (H, H), b_U and the peepholes of each gate, and the state -> the new state."""


def sigmoid(x: Array) -> Array:
    made: Array = 1 / (1 + np.exp(-x))
    return made


def elman(x: Gates, u: Gates, b: Gates, p: Gates, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """Elman (1990)."""
    (h,) = state
    return (np.tanh(x["h"] + h @ u["h"].T + b["h"]),)


def rectified(x: Gates, u: Gates, b: Gates, p: Gates, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """Le, Jaitly and Hinton (2015)."""
    (h,) = state
    return (np.maximum(0, x["h"] + h @ u["h"].T + b["h"]),)


def lstm(x: Gates, u: Gates, b: Gates, p: Gates, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """Hochreiter and Schmidhuber (1997) with the forget gate of Gers et al. (2000)."""
    h, c = state
    i, f, o = (sigmoid(x[gate] + h @ u[gate].T + b[gate]) for gate in "ifo")
    g = np.tanh(x["g"] + h @ u["g"].T + b["g"])
    c = f * c + i * g
    return o * np.tanh(c), c


def peephole(x: Gates, u: Gates, b: Gates, p: Gates, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """Gers, Schraudolph and Schmidhuber (2002): i and f see the old cell, o the new one."""
    h, old = state
    i = sigmoid(x["i"] + h @ u["i"].T + b["i"] + p["i"] * old)
    f = sigmoid(x["f"] + h @ u["f"].T + b["f"] + p["f"] * old)
    new = f * old + i * np.tanh(x["g"] + h @ u["g"].T + b["g"])
    o = sigmoid(x["o"] + h @ u["o"].T + b["o"] + p["o"] * new)
    return o * np.tanh(new), new


def gru(x: Gates, u: Gates, b: Gates, p: Gates, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """Cho et al. (2014), version 1: the reset gate stands outside the matrix product."""
    (h,) = state
    r, z = (sigmoid(x[gate] + h @ u[gate].T + b[gate]) for gate in "rz")
    n = np.tanh(x["n"] + r * (h @ u["n"].T + b["n"]))
    return ((1 - z) * n + z * h,)


def gru_before(x: Gates, u: Gates, b: Gates, p: Gates, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """Cho et al. (2014), version 3: the reset gate stands inside the matrix product."""
    (h,) = state
    r, z = (sigmoid(x[gate] + h @ u[gate].T + b[gate]) for gate in "rz")
    n = np.tanh(x["n"] + (r * h) @ u["n"].T + b["n"])
    return (z * h + (1 - z) * n,)


def mingru(x: Gates, u: Gates, b: Gates, p: Gates, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """Feng et al. (2024), in log space as in appendix B: log h' = logaddexp(log (1 - z) + log h, log z + log g(n))."""
    log_h = np.logaddexp(-softplus(x["z"]) + np.log(state[0]), -softplus(-x["z"]) + log_g(x["n"]))
    return (np.exp(log_h),)


def minlstm(x: Gates, u: Gates, b: Gates, p: Gates, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """Feng et al. (2024), in log space as in appendix B."""
    difference = softplus(-x["f"]) - softplus(-x["i"])
    log_f, log_i = -softplus(difference), -softplus(-difference)
    return (np.exp(np.logaddexp(log_f + np.log(state[0]), log_i + log_g(x["g"]))),)


def softplus(a: Array) -> Array:
    made: Array = np.logaddexp(0, a)
    return made


def log_g(a: Array) -> Array:
    """Feng et al. (2024), appendix B."""
    return np.where(a >= 0, np.log(np.maximum(a, 0) + 0.5), -softplus(-a))


EQUATIONS: dict[str, Equations] = {
    "rnn": elman,
    "rnn-relu": rectified,
    "lstm": lstm,
    "lstm-peephole": peephole,
    "gru": gru,
    "gru-reset-before": gru_before,
    "mingru": mingru,
    "minlstm": minlstm,
}
SINGLE: dict[str, nn.RNNCellBase] = {
    "rnn": nn.RNNCell(E, H, dtype=torch.float64),
    "rnn-relu": nn.RNNCell(E, H, dtype=torch.float64, nonlinearity="relu"),
    "lstm": nn.LSTMCell(E, H, dtype=torch.float64),
    "gru": nn.GRUCell(E, H, dtype=torch.float64),
}
EVERY_CELL = pytest.mark.parametrize("name", CELLS)
FUSED_CELLS = pytest.mark.parametrize("name", [name for name, cell in CELLS.items() if cell.fused])


def drawn(cell: Cell, *, normalise: bool = False) -> tuple[Tensor, State, Weights]:
    """Random float64 arguments of a step."""
    torch.manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64)

    width = len(cell.gates) * H
    rows = width * cell.recurrent
    weights = Weights(
        hh=draw(rows, H),
        bias=draw(rows),
        extra={name: draw(*shape) for name, shape in cell.extra_shapes(E, H).items()},
        input=Weights(hh=draw(width, E), bias=draw(width)) if cell.reads_input else None,
        gain=draw(rows) if normalise else None,
        cell_gain=draw(H) if normalise else None,
        cell_bias=draw(H) if normalise else None,
    )
    state = tuple(draw(N, H) for _ in range(cell.states))
    if not cell.recurrent:
        state = tuple(part.abs() for part in state)  # as theirs always is
    return draw(N, E if cell.reads_input else width), state, weights


def test_every_cell_has_its_equation() -> None:
    assert {*EQUATIONS, "lstm-mogrifier"} == {*CELLS}  # whose equations are below


@pytest.mark.parametrize("name", EQUATIONS)
def test_step_is_the_papers_equation(name: CellName) -> None:
    cell = CELLS[name]
    x_gates, state, weights = drawn(cell)

    def by_gate(array: Tensor, axis: int) -> Gates:
        return dict(zip(cell.gates, np.split(array.numpy(), len(cell.gates), axis=axis), strict=True))

    p = dict(zip("ifo", weights.extra["ch"].numpy(), strict=True)) if weights.extra else {}
    wanted = EQUATIONS[name](
        by_gate(x_gates, 1), by_gate(weights.hh, 0), by_gate(weights.bias, 0), p, tuple(part.numpy() for part in state)
    )
    for new, right in zip(cell.step(x_gates, state, weights), wanted, strict=True):
        np.testing.assert_allclose(new.numpy(), right, rtol=1e-12, atol=1e-12)


@FUSED_CELLS
def test_step_is_torchs_cell_with_its_weights(name: CellName) -> None:
    cell = CELLS[name]
    _, state, _ = drawn(cell)
    twin = SINGLE[name]
    x = torch.randn(N, E, dtype=torch.float64)
    wanted = twin(x, state if cell.states > 1 else state[0])
    weights = Weights(hh=twin.weight_hh, bias=twin.bias_hh)
    found = cell.step(nn.functional.linear(x, twin.weight_ih, twin.bias_ih), state, weights)
    torch.testing.assert_close(found, wanted if isinstance(wanted, tuple) else (wanted,))


@pytest.mark.parametrize("normalise", [False, True], ids=["plain", "layer_norm"])
@EVERY_CELL
def test_step_has_the_numerical_gradient(name: CellName, normalise: bool) -> None:
    cell = CELLS[name]
    x_gates, state, weights = drawn(cell, normalise=normalise)
    named = {item.name: getattr(weights, item.name) for item in fields(weights)}
    named = {name: part for name, part in named.items() if isinstance(part, Tensor)} | {**weights.extra}
    if weights.input is not None:
        named |= {"W": weights.input.hh, "b": weights.input.bias}

    def flat(x_gates: Tensor, *parts: Tensor) -> State:
        given, state = dict(zip(named, parts, strict=False)), parts[len(named) :]
        extra = {name: given.pop(name) for name in weights.extra}
        changed: dict[str, Any] = {"extra": extra}
        if weights.input is not None:
            changed["input"] = Weights(hh=given.pop("W"), bias=given.pop("b"))
        changed |= given
        return cell.step(x_gates, state, replace(weights, **changed))

    inputs = [part.requires_grad_() for part in (x_gates, *named.values(), *state)]
    assert torch.autograd.gradcheck(flat, inputs)


@pytest.mark.parametrize(("name", "other"), [("lstm", "lstm-peephole"), ("gru", "gru-reset-before")])
def test_variants_are_their_plain_forms_where_they_do_not_differ(name: CellName, other: CellName) -> None:
    """Peepholes of zero, and a reset gate that is wide open, change nothing."""
    x_gates, state, weights = drawn(CELLS[other])
    if weights.extra:
        weights.extra["ch"].zero_()
    else:
        x_gates[:, :H] = 1e9
    torch.testing.assert_close(CELLS[other].step(x_gates, state, weights), CELLS[name].step(x_gates, state, weights))


def test_normalized_gates_have_mean_zero_and_the_gain_for_deviation() -> None:
    torch.manual_seed(1)
    product = 5 + 3 * torch.randn(N, 2 * 400, dtype=torch.float64)
    product[:, :400] *= 1000  # one gate does not drown the other
    gain = torch.cat([torch.full((400,), 2.0), torch.full((400,), 0.5)]).double()
    for gate, wanted in zip(normalized(product, gain, 400).chunk(2, dim=1), (2.0, 0.5), strict=True):
        torch.testing.assert_close(gate.mean(1), torch.zeros(N).double())
        torch.testing.assert_close(gate.std(1, unbiased=False), torch.full((N,), wanted).double(), rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", ["lstm", "lstm-peephole"])
def test_normalized_cell_feeds_the_output_only(name: CellName) -> None:
    """h' = o tanh(LN(c')), while c' itself is carried on as it is (Ba et al. 2016, equations 21 and 22)."""
    cell = CELLS[name]
    x_gates, (h, c), weights = drawn(cell, normalise=True)
    plain = replace(weights, cell_gain=None, cell_bias=None)
    (normed, kept), (squashed, same) = cell.step(x_gates, (h, c), weights), cell.step(x_gates, (h, c), plain)
    assert torch.equal(kept, same)
    o = squashed / torch.tanh(same)
    layer_normed = (same - same.mean(1, keepdim=True)) / (same.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    assert weights.cell_gain is not None and weights.cell_bias is not None
    torch.testing.assert_close(normed, o * torch.tanh(layer_normed * weights.cell_gain + weights.cell_bias))


def test_negated_update_gate_maps_the_other_convention() -> None:
    """Chung et al. (2014) let z take the new state: negating its rows gives that form."""
    x_gates, (h,), weights = drawn(CELLS["gru"])
    (kept,) = CELLS["gru"].step(x_gates, (h,), weights)
    sign = torch.ones(3 * H, dtype=torch.float64)
    sign[H : 2 * H] = -1
    theirs = Weights(hh=weights.hh * sign.unsqueeze(1), bias=weights.bias * sign)
    x_r, x_z, x_n = (x_gates * sign).chunk(3, dim=1)
    h_r, h_z, h_n = theirs.product(h).chunk(3, dim=1)
    z, n = torch.sigmoid(x_z + h_z), torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    torch.testing.assert_close((1 - z) * h + z * n, kept)


def mogrifier(rounds: int, rank: int | None) -> Cell:
    return replace(CELLS["lstm-mogrifier"], extra_weights=mogrifier_weights(rounds, rank))


@pytest.mark.parametrize("rank", [None, 2], ids=["full", "low_rank"])
@pytest.mark.parametrize("rounds", [0, 1, 2, 5, 6])
def test_mogrifier_is_the_papers_equation(rounds: int, rank: int | None) -> None:
    """Melis et al. (2020): x^i = 2 sigma(Q^i h^(i-1)) x^(i-2) in odd rounds, h^i = 2 sigma(R^i x^(i-1)) h^(i-2)."""
    cell = mogrifier(rounds, rank)
    x, (h, c), weights = drawn(cell)
    assert weights.input is not None
    xs, hs = {-1: x.numpy()}, {0: h.numpy()}  # by the paper's upper index
    for i in range(1, rounds + 1):
        letter = "q" if i % 2 else "r"
        parts = [weights.extra[f"{letter}{i}{end}"].numpy() for end in (["_left", "_right"] if rank else [""])]
        matrix = parts[0] @ parts[1] if rank else parts[0]
        if i % 2:
            xs[i] = 2 * sigmoid(hs[i - 1] @ matrix.T) * xs[i - 2]
        else:
            hs[i] = 2 * sigmoid(xs[i - 1] @ matrix.T) * hs[i - 2]
    last_x, last_h = torch.from_numpy(xs[max(xs)]), torch.from_numpy(hs[max(hs)])
    x_gates = nn.functional.linear(last_x, weights.input.hh, weights.input.bias)
    wanted = CELLS["lstm"].step(x_gates, (last_h, c), replace(weights, extra={}, input=None))
    torch.testing.assert_close(cell.step(x, (h, c), weights), wanted)


def test_mogrifier_whose_matrices_are_zero_is_an_lstm() -> None:
    x, state, weights = drawn(CELLS["lstm-mogrifier"])
    assert weights.input is not None and [*weights.extra] == ["q1", "r2", "q3", "r4", "q5"]
    zero = {name: torch.zeros_like(part) for name, part in weights.extra.items()}
    found = CELLS["lstm-mogrifier"].step(x, state, replace(weights, extra=zero))
    torch.testing.assert_close(found, CELLS["lstm"].step(weights.input.product(x), state, weights))


@pytest.mark.parametrize("name", ["mingru", "minlstm"])
def test_minimal_cells_stay_finite_where_gates_saturate(name: CellName) -> None:
    """Also where both gates of minLSTM are zero in floating point, so that f / (i + f) is 0 / 0."""
    cell = CELLS[name]
    for gates in (-300.0, 300.0):
        x_gates = torch.full((N, len(cell.gates) * H), gates, requires_grad=True)
        (h,) = cell.step(x_gates, (torch.ones(N, H),), Weights(torch.empty(0, H), torch.empty(0)))
        (gradient,) = torch.autograd.grad(h.sum(), x_gates)
        assert h.isfinite().all() and gradient.isfinite().all() and (h >= 0).all()
