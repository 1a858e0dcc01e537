"""One step of each recurrent cell, as in the papers.

Shapes: N batch, E input size, H hidden, G gates. Weights are laid out as in ``torch.nn``: the G blocks of H rows of
``hh`` are stacked in the order of ``gates``.

Every step receives the input's share of the pre-activations already computed, ``x_gates = x W^T + b_ih``: for a known
window that is one product for all its steps, and for token inputs a row of a table. (The Mogrifier LSTM receives the
input itself, since its state gates the input first.) In the equations W are the input
weights, U the recurrent weights; sigma is the logistic function and products of vectors are element-wise.

How other conventions map onto these:

- The update gate z of our GRUs keeps the OLD state, as in torch, cuDNN, Keras and version 1 of Cho et al. (2014). Where
  z takes the NEW state (Chung et al. 2014), negate the rows of z in W, U and b: 1 - sigma(a) = sigma(-a). That of
  ``mingru`` takes the NEW state, as in its paper.
- ``gru`` has two biases for the candidate, because r multiplies one of them. One bias alone (Keras with
  ``reset_after=False``) is ``gru-reset-before`` with ``b_hh = 0``.
- torch orders the LSTM's gates i, f, g, o, as we do. TensorFlow's BasicLSTMCell has i, g, f, o and adds a forget bias
  of 1 at every step; here it is the initial value of ``b_ih`` and is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, logsigmoid

State = tuple[Tensor, ...]
"""The state of a cell or a stack: one tensor for RNN and GRU (h), two for the LSTM (h, c)."""

Step = Callable[[Tensor, State], tuple[Tensor, State]]
"""One step of a network: input (gates or token ids) and state -> output (hidden vector or logits) and new state."""

ALL = slice(None)
"""All rows of a matrix."""


@dataclass(frozen=True)
class Weights:
    """The weights of a step of a cell, beside those of its input.

    A step multiplies the state by ``product(h)``, (N, H) -> (N, G*H), reads further weights from ``extra``, and may
    ``record`` its gates::

        def mgu_step(x_gates, state, weights):
            f = torch.sigmoid(x_gates[:, :H] + weights.product(h, slice(H)))
    """

    hh: Tensor
    """Recurrent weights U, (G*H, H)."""
    bias: Tensor
    """Recurrent bias, (G*H,)."""
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    """Further weights of the cell by name, such as the peepholes of i, f and o: ``ch``, (3, H)."""
    gain: Tensor | None = None
    """With layer normalization: the scale of each recurrent product, (G*H,); the bias above is its shift."""
    cell_gain: Tensor | None = None
    """With layer normalization: the scale of the LSTM's cell, (H,)."""
    cell_bias: Tensor | None = None
    """With layer normalization: the shift of the LSTM's cell, (H,)."""
    input: Weights | None = None
    """The input's weights W (G*H, E) and bias, for a cell whose step reads the input itself."""
    bounded: bool = False
    """Whether every h lies between -1 and 1, so that 8-bit products need not compute its scale."""
    hidden_size: int | None = None
    """H, with layer normalization, which needs it as a number; None: the width of what they multiply."""
    trace: dict[str, list[Tensor]] | None = None
    """Where ``record`` keeps gates; None: nowhere."""

    def product(self, h: Tensor, rows: slice = ALL) -> Tensor:
        """U h + b for some rows of U, the product normalized if the layer is: (N, H) -> (N, rows)."""
        if self.gain is None:
            return self._affine(h, rows)
        return normalized(self.times(h, rows), self.gain[rows], self.hidden_size or h.shape[1]) + self.bias[rows]

    def _affine(self, h: Tensor, rows: slice) -> Tensor:
        """U h + b."""
        if rows is ALL:  # slicing costs a tenth of the product for a single text
            return torch.addmm(self.bias, h, self.hh.t())
        return torch.addmm(self.bias[rows], h, self.hh[rows].t())

    def times(self, h: Tensor, rows: slice = ALL) -> Tensor:
        """U h for some rows of U, without bias or normalization."""
        return h @ self.hh[rows].t()

    def tanh_of_cell(self, c: Tensor) -> Tensor:
        """tanh of the LSTM's cell, which is normalized first if the layer is; (N, H) -> (N, H)."""
        if self.cell_gain is not None:
            c = layer_norm(c, (self.hidden_size or c.shape[-1],), self.cell_gain, self.cell_bias)
        return torch.tanh(c)

    def record(self, **gates: Tensor) -> None:
        """Keep the step's gates, each (N, H), if a trace was asked for (``Recurrent(...)(x, return_trace=True)``)."""
        if self.trace is not None:
            for name, value in gates.items():
                self.trace.setdefault(name, []).append(value)


def normalized(product: Tensor, gain: Tensor, hidden_size: int) -> Tensor:
    """Layer normalization of each gate separately, times a gain (Ba, Kiros and Hinton 2016, equations 20 to 22).

    The paper normalizes all gates of a product (..., G*H) together; separately, no gate drowns another.
    """
    by_gate = product.reshape(*product.shape[:-1], -1, hidden_size)
    return layer_norm(by_gate, (hidden_size,)).flatten(-2) * gain


class CellStep(Protocol):
    """One step of a cell.

    Args:
        x_gates: the input's share of the pre-activations, (N, G*H), or (G*H,) for all rows alike; for a cell that reads
            the input itself, the input (N, E).
        state: the state before the step; each tensor (N, H).
        weights: the other weights.

    Returns:
        The new state, whose first tensor is the output h, (N, H).
    """

    def __call__(self, x_gates: Tensor, state: State, weights: Weights) -> State: ...


def rnn_step(x_gates: Tensor, state: State, weights: Weights) -> State:
    """Elman (1990): h' = tanh(W x + U h + b)."""
    (h,) = state
    new = torch.tanh(x_gates + weights.product(h))
    weights.record(h=new)
    return (new,)


def rnn_relu_step(x_gates: Tensor, state: State, weights: Weights) -> State:
    """Elman's network with a rectifier, as in Le, Jaitly and Hinton (2015): h' = max(0, W x + U h + b)."""
    (h,) = state
    new = torch.relu(x_gates + weights.product(h))
    weights.record(h=new)
    return (new,)


def lstm_step(x_gates: Tensor, state: State, weights: Weights) -> State:
    """LSTM with a forget gate (Gers, Schmidhuber and Cummins 2000), without peepholes.

    i, f, o = sigma(W x + U h + b) each, g = tanh(W x + U h + b); c' = f c + i g; h' = o tanh(c').
    """
    h, c = state
    i, f, g, o = (x_gates + weights.product(h)).chunk(4, dim=1)
    i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
    weights.record(i=i, f=f, g=g, o=o)
    c = f * c + i * g
    return o * weights.tanh_of_cell(c), c


def lstm_peephole_step(x_gates: Tensor, state: State, weights: Weights) -> State:
    """LSTM whose gates see the cell (Gers, Schraudolph and Schmidhuber 2002, section 2.2).

    i, f = sigma(W x + U h + p c + b) each, g = tanh(W x + U h + b); c' = f c + i g;
    o = sigma(W x + U h + p c' + b); h' = o tanh(c'). The input and the forget gate see the cell of the step
    before, the output gate the new one; each p has one weight per unit.
    """
    h, c = state
    p_i, p_f, p_o = weights.extra["ch"]
    i, f, g, o = (x_gates + weights.product(h)).chunk(4, dim=1)
    i, f, g = torch.sigmoid(i + p_i * c), torch.sigmoid(f + p_f * c), torch.tanh(g)
    c = f * c + i * g
    o = torch.sigmoid(o + p_o * c)
    weights.record(i=i, f=f, g=g, o=o)
    return o * weights.tanh_of_cell(c), c


def gru_step(x_gates: Tensor, state: State, weights: Weights) -> State:
    """GRU with the reset gate after the matrix product (Cho et al. 2014, arXiv 1406.1078, version 1).

    r, z = sigma(W x + U h + b) each; n = tanh(W x + b + r (U h + b_hh)); h' = (1 - z) n + z h.
    The update gate z keeps the old state.
    """
    (h,) = state
    x_r, x_z, x_n = x_gates.chunk(3, dim=1)
    h_r, h_z, h_n = weights.product(h).chunk(3, dim=1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    weights.record(r=r, z=z, n=n)
    return (n + z * (h - n),)


def gru_reset_before_step(x_gates: Tensor, state: State, weights: Weights) -> State:
    """GRU with the reset gate before the matrix product (Cho et al. 2014, arXiv 1406.1078, version 3, eqs. 5 to 8).

    r, z = sigma(W x + U h + b) each; n = tanh(W x + U (r h) + b); h' = (1 - z) n + z h.
    The update gate z keeps the old state. The candidate needs r first, so a step takes two products.
    """
    (h,) = state
    two = 2 * h.shape[1]
    r, z = torch.sigmoid(x_gates[:, :two] + weights.product(h, slice(two))).chunk(2, dim=1)
    n = torch.tanh(x_gates[:, two:] + weights.product(r * h, slice(two, None)))
    weights.record(r=r, z=z, n=n)
    return (n + z * (h - n),)


def lstm_mogrifier_step(x_gates: Tensor, state: State, weights: Weights) -> State:
    """Mogrifier LSTM (Melis, Kocisky and Blunsom 2020, equations 1 and 2): x and h gate one another before the step.

    In round i = 1, 3, ...: x <- 2 sigma(Q_i h) x; in round i = 2, 4, ...: h <- 2 sigma(R_i x) h. Each matrix is
    ``extra["q1"]``, ``extra["r2"]``, ..., or the product of ``q1_left`` and ``q1_right``, of lower rank (section 2).
    ``x_gates`` is the input x itself, (N, E).
    """
    assert weights.input is not None
    x, (h, c) = x_gates, state
    for i in range(1, len({name.split("_")[0] for name in weights.extra}) + 1):
        if i % 2:
            x = _scale(f"q{i}", h, weights.extra) * x
        else:
            h = _scale(f"r{i}", x, weights.extra) * h
    return lstm_step(weights.input.product(x), (h, c), weights)


def _scale(name: str, vector: Tensor, extra: Mapping[str, Tensor]) -> Tensor:
    """2 sigma(M v), where M is one matrix or the product of two."""
    if name in extra:
        return 2 * torch.sigmoid(vector @ extra[name].t())
    return 2 * torch.sigmoid(vector @ extra[f"{name}_right"].t() @ extra[f"{name}_left"].t())


def mogrifier_weights(rounds: int, rank: int | None = None) -> dict[str, tuple[int | str, ...]]:
    """The shapes of Q_1, R_2, Q_3, ... of ``lstm_mogrifier_step``, as full matrices or as products of a rank."""
    shapes: dict[str, tuple[int | str, ...]] = {}
    for i in range(1, rounds + 1):
        name, rows, columns = (f"q{i}", "E", "H") if i % 2 else (f"r{i}", "H", "E")
        shapes |= {f"{name}_left": (rows, rank), f"{name}_right": (rank, columns)} if rank else {name: (rows, columns)}
    return shapes


def mingru_step(x_gates: Tensor, state: State, weights: Weights) -> State:
    """minGRU (Feng et al. 2024, "Were RNNs all we needed?", section 3.1 and appendix B): no gate sees the state.

    z = sigma(W x + b); n = g(W x + b); h' = (1 - z) h + z n. The update gate z takes the NEW state. g keeps n positive,
    as for a sum in log space: see ``positive``.
    """
    return _linear(mingru_coefficients(x_gates, weights), state)


def mingru_coefficients(x_gates: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    """1 - z and z n, from the input's share (..., 2H): each (..., H)."""
    z, n = x_gates.chunk(2, dim=-1)
    z, n = torch.sigmoid(z), positive(n)
    weights.record(z=z, n=n)
    return 1 - z, z * n


def minlstm_step(x_gates: Tensor, state: State, weights: Weights) -> State:
    """minLSTM (Feng et al. 2024, section 3.2 and appendix B): no gate sees the state, and the cell is the output.

    i, f = sigma(W x + b) each, then i' = i / (i + f), f' = f / (i + f); g = g(W x + b), see ``positive``;
    h' = f' h + i' g. A trace shows i' and f'.
    """
    return _linear(minlstm_coefficients(x_gates, weights), state)


def minlstm_coefficients(x_gates: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    """f' and i' g, from the input's share (..., 3H): each (..., H)."""
    i, f, g = x_gates.chunk(3, dim=-1)
    f = torch.sigmoid(logsigmoid(f) - logsigmoid(i))  # f / (i + f), also where both are zero in floating point
    i, g = 1 - f, positive(g)
    weights.record(i=i, f=f, g=g)
    return f, i * g


def positive(a: Tensor) -> Tensor:
    """g(a) = a + 1/2 where a >= 0, else sigma(a): the candidate of minGRU and minLSTM (Feng et al., appendix B)."""
    return torch.where(a >= 0, a + 0.5, torch.sigmoid(a))


def _linear(coefficients: tuple[Tensor, Tensor], state: State) -> State:
    """h' = a h + b."""
    (a, b), (h,) = coefficients, state
    return (a * h + b,)
