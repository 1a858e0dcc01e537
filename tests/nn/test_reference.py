"""The NumPy reference: a lecture's worked examples, numerical gradients, torch's modules, the package's own cells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from textseq.config.names import CellName
from textseq.nn import reference
from textseq.nn.cell_registry import CELLS
from textseq.nn.cells import Weights as StepWeights
from textseq.nn.reference import (
    IDENTITY,
    RELU,
    SIGMOID,
    STEPS,
    TANH,
    Activation,
    Array,
    CellWeights,
    Elman,
    State,
    adagrad,
    clip_by_norm,
    clip_by_value,
    cross_entropy,
    elman_backward,
    elman_forward,
    elman_step,
    gru_reset_before_step,
    gru_step,
    lstm_peephole_step,
    lstm_step,
    over_time,
    softmax,
)

T, N, E, H, V = 6, 3, 4, 5, 7
ACTIVATIONS: dict[str, tuple[Activation, Callable[[Tensor], Tensor]]] = {
    "tanh": (TANH, torch.tanh),
    "relu": (RELU, torch.relu),
    "sigmoid": (SIGMOID, torch.sigmoid),
    "identity": (IDENTITY, lambda a: a),
}
EVERY_ACTIVATION = pytest.mark.parametrize("name", ACTIVATIONS)
EVERY_CELL = pytest.mark.parametrize("name", CELLS)


def drawn_elman(seed: int = 1) -> tuple[Elman, Array, Array, Array]:
    """A network, inputs, an initial state and targets."""
    rng = np.random.default_rng(seed)
    shapes = ((H, E), (H, H), (V, H), (H,), (V,))
    weights = Elman(*(rng.normal(scale=0.5, size=shape) for shape in shapes))
    return weights, rng.normal(size=(T, E)), rng.normal(size=H), rng.integers(V, size=T)


def drawn_cell(name: str, seed: int = 1) -> tuple[CellWeights, Array, State]:
    """A cell's weights, inputs (T, N, E) and a state."""
    rng = np.random.default_rng(seed)
    gates = len(CELLS[name].gates)
    rows = gates * H
    ih, hh, b_ih, b_hh, p = (rng.normal(scale=0.5, size=shape) for shape in ((rows, E), (rows, H), rows, rows, (3, H)))
    weights = CellWeights(ih, hh, b_ih, b_hh, p)
    if name == "lstm-mogrifier":
        weights = weights._replace(mogrifier=tuple(rng.normal(size=(E, H) if i % 2 else (H, E)) for i in range(1, 6)))
    state = tuple(rng.normal(size=(N, H)) for _ in range(CELLS[name].states))
    return weights, rng.normal(size=(T, N, E)), state


# Worked examples, as a lecture computes them by hand


def test_linear_elman_network_of_the_lecture() -> None:
    weights = Elman(
        W_xh=np.array([[0.9, 0.2], [0.4, 0.6]]),
        W_hh=np.array([[0.5, 0.8], [0.4, 0.2]]),
        W_hy=np.array([[0.3, 0.8], [0.9, 0.4]]),
        b_h=np.zeros(2),
        b_y=np.zeros(2),
    )
    trace = elman_forward(weights, np.array([[1.0, 2.0], [2.0, 1.0]]), np.zeros(2), IDENTITY)
    np.testing.assert_allclose(trace.h, [[0.0, 0.0], [1.3, 1.6], [3.93, 2.24]], rtol=1e-14)
    np.testing.assert_allclose(softmax(trace.logits[1]), [0.18816, 0.81184], atol=5e-6)


def test_gradient_of_softmax_with_cross_entropy_is_probabilities_minus_one_hot() -> None:
    _, _, _, targets = drawn_elman()
    logits = np.random.default_rng(2).normal(size=(T, V))
    loss, gradient = cross_entropy(logits, targets)
    np.testing.assert_allclose(gradient, softmax(logits) - np.eye(V)[targets], rtol=1e-15)
    assert_numerical(lambda: cross_entropy(logits, targets)[0], logits, gradient)
    wanted = nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(targets), reduction="sum")
    assert loss == pytest.approx(wanted.item(), rel=1e-12)


def test_gates_without_squashing_are_an_lstm_with_the_identity() -> None:
    """f = g = x + s, s' = (x + s) g + s f.

    That is the LSTM, c' = f c + i g and h' = o c', with every activation the identity: i = f = g = x + h from unit
    weights, and o = 1 from a bias alone, so that the output h is the cell c, which is the lecture's s.
    """
    units = np.vstack([np.eye(2), np.eye(2), np.eye(2), np.zeros((2, 2))])  # i f g o
    always_open = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    weights = CellWeights(units, units, always_open, np.zeros(8))
    state: State = (np.zeros(2), np.zeros(2))
    for x, s in (((4, 6), (16, 36)), ((9, 7), (1025, 3397))):
        state = lstm_step(np.array(x), state, weights, gate=IDENTITY, candidate=IDENTITY, output=IDENTITY)
        for part in state:
            np.testing.assert_array_equal(part, s)


@pytest.mark.parametrize("step", [lstm_step, lstm_peephole_step])
def test_an_lstm_takes_an_activation_of_the_candidate_and_one_of_the_output(step: Callable[..., State]) -> None:
    """c' = f c + i A(g) and h' = o B(c'), for any A and B."""
    w, x, (h, c) = drawn_cell("lstm-peephole")
    for candidate, output in ((TANH, TANH), (IDENTITY, TANH), (TANH, RELU), (RELU, IDENTITY)):
        new_h, new_c = step(x[0], (h, c), w, candidate=candidate, output=output)
        p = w.peephole if step is lstm_peephole_step and w.peephole is not None else np.zeros((3, H))
        i, f, g, o = np.split(x[0] @ w.weight_ih.T + w.bias_ih + h @ w.weight_hh.T + w.bias_hh, 4, axis=-1)
        wanted = SIGMOID(f + p[1] * c) * c + SIGMOID(i + p[0] * c) * candidate(g)
        np.testing.assert_allclose(new_c, wanted, rtol=1e-12)
        np.testing.assert_allclose(new_h, SIGMOID(o + p[2] * wanted) * output(wanted), rtol=1e-12)


def test_clipping_by_norm_keeps_the_direction() -> None:
    gradients, _, _, _ = drawn_elman()
    norm = np.sqrt(sum((part**2).sum() for part in gradients))
    clipped = clip_by_norm(gradients, norm / 4)
    for part, whole in zip(clipped, gradients, strict=True):
        np.testing.assert_allclose(part, whole / 4, rtol=1e-12)
    for part, whole in zip(clip_by_norm(gradients, 2 * norm), gradients, strict=True):
        np.testing.assert_array_equal(part, whole)
    zero = Elman(*(np.zeros_like(part) for part in gradients))
    assert not any(part.any() for part in clip_by_norm(zero, 1))


# The Elman network's gradient


def assert_numerical(loss: Callable[[], float], array: Array, gradient: Array) -> None:
    """The gradient is that of central differences, which move the array's elements one by one."""
    found = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        values = []
        for step in (1e-5, -1e-5):
            array[index] = kept + step
            values.append(loss())
        array[index] = kept
        found[index] = (values[0] - values[1]) / 2e-5
    assert np.linalg.norm(found - gradient) / np.linalg.norm(found + gradient) < 1e-6


@EVERY_ACTIVATION
def test_derivative_is_the_functions(name: str) -> None:
    activation, _ = ACTIVATIONS[name]
    a = np.random.default_rng(3).normal(size=50)
    assert_numerical(lambda: float(activation(a).sum()), a, activation.derivative(a))


@EVERY_ACTIVATION
def test_backpropagation_is_the_numerical_gradient(name: str) -> None:
    activation, _ = ACTIVATIONS[name]
    weights, x, h_0, targets = drawn_elman()

    def loss() -> float:
        return cross_entropy(elman_forward(weights, x, h_0, activation).logits, targets)[0]

    trace = elman_forward(weights, x, h_0, activation)
    gradients, d_x, d_h_0 = elman_backward(weights, x, trace, cross_entropy(trace.logits, targets)[1], activation)
    for array, gradient in zip((*weights, x, h_0), (*gradients, d_x, d_h_0), strict=True):
        assert_numerical(loss, array, gradient)


@EVERY_ACTIVATION
def test_backpropagation_is_torchs(name: str) -> None:
    activation, twin = ACTIVATIONS[name]
    weights, x, h_0, targets = drawn_elman()
    trace = elman_forward(weights, x, h_0, activation)
    loss, d_logits = cross_entropy(trace.logits, targets)
    gradients, d_x, d_h_0 = elman_backward(weights, x, trace, d_logits, activation)

    leaves = [torch.from_numpy(array).requires_grad_() for array in (*weights, x, h_0)]
    w_xh, w_hh, w_hy, b_h, b_y, x_t, h = leaves
    logits = []
    for step in x_t:
        h = twin(w_xh @ step + w_hh @ h + b_h)
        logits.append(w_hy @ h + b_y)
    wanted = nn.functional.cross_entropy(torch.stack(logits), torch.from_numpy(targets), reduction="sum")
    assert loss == pytest.approx(wanted.item(), rel=1e-12)
    for found, right in zip((*gradients, d_x, d_h_0), torch.autograd.grad(wanted, leaves), strict=True):
        np.testing.assert_allclose(found, right.numpy(), rtol=1e-10, atol=1e-12)


def test_a_network_over_windows_is_the_network_over_the_whole() -> None:
    weights, x, h_0, _ = drawn_elman()
    whole = elman_forward(weights, x, h_0)
    head = elman_forward(weights, x[:2], h_0)
    tail = elman_forward(weights, x[2:], head.h[-1])
    np.testing.assert_array_equal(np.concatenate([head.logits, tail.logits]), whole.logits)


def test_clipping_cuts_each_element() -> None:
    gradients = Elman(*(np.array([-9.0, -1.0, 0.5, 9.0]) for _ in Elman._fields))
    for clipped in clip_by_value(gradients, 2):
        np.testing.assert_array_equal(clipped, [-2, -1, 0.5, 2])


def test_adagrad_is_torchs() -> None:
    weights, _, _, _ = drawn_elman()
    twins = [nn.Parameter(torch.from_numpy(weight.copy())) for weight in weights]
    optimizer = torch.optim.Adagrad(twins, lr=0.1, eps=1e-10)
    memory = Elman(*map(np.zeros_like, weights))
    for seed in range(3):
        gradients = drawn_elman(seed)[0]
        adagrad(weights, gradients, memory, 0.1)
        for twin, gradient in zip(twins, gradients, strict=True):
            twin.grad = torch.from_numpy(gradient)
        optimizer.step()
    for weight, twin in zip(weights, twins, strict=True):
        np.testing.assert_allclose(weight, twin.detach().numpy(), rtol=1e-12)


def test_sigmoid_does_not_overflow() -> None:
    np.testing.assert_array_equal(reference.sigmoid(np.array([-1e4, 0.0, 1e4])), [0, 0.5, 1])


# The cells


def test_every_cell_has_its_reference() -> None:
    assert set(STEPS) == set(CELLS)


@EVERY_CELL
def test_the_packages_cell_is_the_reference(name: CellName) -> None:
    w, x, state = drawn_cell(name)
    u, b, p = (torch.from_numpy(array) for array in (w.weight_hh, w.bias_hh, w.peephole) if array is not None)
    mogrifier = {f"{'qr'[i % 2]}{i + 1}": torch.from_numpy(matrix) for i, matrix in enumerate(w.mogrifier)}
    w_b = StepWeights(torch.from_numpy(w.weight_ih), torch.from_numpy(w.bias_ih))
    weights = StepWeights(u, b, mogrifier or dict.fromkeys(CELLS[name].extra_weights, p), input=w_b)
    state_t = tuple(map(torch.from_numpy, state))
    for x_t in x:
        state = STEPS[name](x_t, state, w)
        x_gates = x_t if CELLS[name].reads_input else x_t @ w.weight_ih.T + w.bias_ih
        state_t = CELLS[name].step(torch.from_numpy(x_gates), state_t, weights)
        for found, wanted in zip(state_t, state, strict=True):
            np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [name for name, cell in CELLS.items() if cell.fused])
def test_over_time_is_torchs_module(name: CellName) -> None:
    w, x, state = drawn_cell(name)
    cell = CELLS[name]
    assert cell.fused is not None
    extra = {"nonlinearity": cell.nonlinearity} if cell.nonlinearity else {}
    module = cell.fused(E, H, **extra).double()
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    module.load_state_dict(dict(zip(names, map(torch.from_numpy, w[:4]), strict=True)))
    given = tuple(torch.from_numpy(part).unsqueeze(0) for part in state)
    y, after = module(torch.from_numpy(x), given if len(given) > 1 else given[0])
    outputs, final = over_time(STEPS[name], x, state, w)
    np.testing.assert_allclose(outputs, y.detach().numpy(), rtol=1e-12, atol=1e-12)
    for found, wanted in zip(final, after if isinstance(after, tuple) else (after,), strict=True):
        np.testing.assert_allclose(found, wanted[0].detach().numpy(), rtol=1e-12, atol=1e-12)


@EVERY_CELL
def test_a_text_alone_is_a_text_in_a_batch(name: CellName) -> None:
    w, x, state = drawn_cell(name)
    outputs, _ = over_time(STEPS[name], x, state, w)
    alone, _ = over_time(STEPS[name], x[:, 1], tuple(part[1] for part in state), w)
    np.testing.assert_allclose(alone, outputs[:, 1], rtol=1e-12)


def test_elman_step_is_the_elman_network() -> None:
    weights, x, h_0, _ = drawn_elman()
    w = CellWeights(weights.W_xh, weights.W_hh, weights.b_h, np.zeros(H))
    outputs, _ = over_time(elman_step, x, (h_0,), w)
    np.testing.assert_allclose(outputs, elman_forward(weights, x, h_0).h[1:], rtol=1e-12)


def test_closed_peepholes_leave_the_lstm() -> None:
    w, x, state = drawn_cell("lstm")
    peephole = w.peephole
    assert peephole is not None
    shut = w._replace(peephole=np.zeros((3, H)))
    np.testing.assert_array_equal(lstm_peephole_step(x[0], state, shut), lstm_step(x[0], state, w))
    h, c = state
    for row, sees in enumerate((c, c, lstm_step(x[0], state, w)[1])):  # i and f see the old cell, o the new one
        one = np.zeros((3, H))
        one[row] = peephole[row]
        shift = np.zeros((N, 4 * H))  # the same as an input's share that is larger by p c
        gate = (0, 1, 3)[row]
        shift[:, gate * H : (gate + 1) * H] = one[row] * sees
        moved = w._replace(weight_ih=np.eye(4 * H), bias_ih=np.zeros(4 * H))
        wanted = lstm_step(x[0] @ w.weight_ih.T + w.bias_ih + shift, (h, c), moved)
        np.testing.assert_allclose(lstm_peephole_step(x[0], state, w._replace(peephole=one)), wanted, rtol=1e-12)


def test_both_grus_agree_where_reset_and_product_commute() -> None:
    """r (U h) = U (r h) for a diagonal U, and no bias stands inside."""
    w, x, state = drawn_cell("gru")
    u, b = w.weight_hh.copy(), w.bias_hh.copy()
    u[2 * H :] *= np.eye(H)
    assert not np.allclose(gru_step(x[0], state, w), gru_reset_before_step(x[0], state, w))
    b[2 * H :] = 0
    commuting = w._replace(weight_hh=u, bias_hh=b)
    np.testing.assert_allclose(
        gru_step(x[0], state, commuting), gru_reset_before_step(x[0], state, commuting), rtol=1e-12
    )


@pytest.mark.parametrize("step", [gru_step, gru_reset_before_step])
def test_update_gate_keeps_the_old_state_and_turns_with_its_sign(step: reference.Step) -> None:
    w, x, state = drawn_cell("gru")
    (h,) = state
    z = slice(H, 2 * H)

    def with_bias(value: float) -> State:
        bias = w.bias_ih.copy()
        bias[z] = value
        return step(x[0], state, w._replace(bias_ih=bias))

    np.testing.assert_allclose(with_bias(1e3)[0], h, rtol=1e-12)
    (new,) = with_bias(-1e3)
    turned = CellWeights(w.weight_ih.copy(), w.weight_hh.copy(), w.bias_ih.copy(), w.bias_hh.copy())
    for array in (turned.weight_ih, turned.weight_hh, turned.bias_ih, turned.bias_hh):
        array[z] *= -1
    both = step(x[0], state, w)[0] + step(x[0], state, turned)[0]  # z + (1 - z) of each
    np.testing.assert_allclose(both, h + new, rtol=1e-10)
