"""One step of each recurrent cell, as in the papers; the table CELLS.

A cell owns no weights. It says how many gates and state tensors it has, which of torch's fused kernels computes
it over time (if one does), and what one step is. Shapes: N batch, H hidden, G gates. Weights are laid out as in
``torch.nn``: the G blocks of H rows of ``hh`` stand one under the other in the order that ``gates`` names.

Every step receives the input's share of the pre-activations already computed, ``x_gates = x W^T + b_ih``: for a known
window that is one product for all its steps, and for token inputs a row of a table. In the equations W stands for
the input's weights, U for the recurrent ones; sigma is the logistic function and products of vectors are element
by element.

How other conventions map onto these:

- The update gate z of our GRUs keeps the OLD state, as in torch, cuDNN, Keras and version 1 of Cho et al. (2014). Where
  z takes the NEW state (Chung et al. 2014), negate the rows of z in W, U and b: 1 - sigma(a) = sigma(-a).
- ``gru`` has two biases for the candidate, because r multiplies one of them. One bias alone (Keras with
  ``reset_after=False``) is ``gru-reset-before`` with ``b_hh = 0``.
- torch orders the LSTM's gates i, f, g, o, as we do. TensorFlow's BasicLSTMCell has i, g, f, o and adds its forget
  bias of 1 at every step; ours stands in ``b_ih`` from the start and is learned on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from textseq.config.names import CellName

State = tuple[Tensor, ...]
"""The state of a cell or a stack: one tensor for RNN and GRU (h), two for the LSTM (h, c)."""

Step = Callable[[Tensor, State], tuple[Tensor, State]]
"""One step of a network: what goes in (gates, or the ids of tokens) and the state before it -> what comes out (outputs,
or logits) and the state after it."""


ALL = slice(None)
"""All rows of a matrix."""


@dataclass(frozen=True)
class Weights:
    """What a step computes with, beside its input."""

    hh: Tensor
    """Recurrent weights U, (G*H, H)."""
    bias: Tensor
    """Recurrent bias, (G*H,)."""
    peephole: Tensor | None = None
    """Weights of the peepholes of i, f and o, (3, H)."""
    gain: Tensor | None = None
    """With layer normalisation: the scale of each recurrent product, (G*H,); the bias above is its shift."""
    cell_gain: Tensor | None = None
    """With layer normalisation: the scale of the LSTM's cell, (H,)."""
    cell_bias: Tensor | None = None
    """With layer normalisation: the shift of the LSTM's cell, (H,)."""
    bounded: bool = False
    """Whether every h that comes is known to lie between -1 and 1, which spares 8-bit products a look at it."""

    def product(self, h: Tensor, rows: slice = ALL) -> Tensor:
        """U h + b for some rows of U, the product normalised if the layer is: (N, H) -> (N, rows)."""
        if self.gain is None:
            return self._affine(h, rows)
        return normalised(self.times(h, rows), self.gain[rows], h.shape[1]) + self.bias[rows]

    def _affine(self, h: Tensor, rows: slice) -> Tensor:
        """U h + b."""
        if rows is ALL:  # a slice of everything costs a tenth of the product where one text is written
            return torch.addmm(self.bias, h, self.hh.t())
        return torch.addmm(self.bias[rows], h, self.hh[rows].t())

    def times(self, h: Tensor, rows: slice = ALL) -> Tensor:
        """U h for some rows of U, without bias or normalisation."""
        return h @ self.hh[rows].t()

    def squashed(self, c: Tensor) -> Tensor:
        """tanh of the LSTM's cell, which is normalised before if the layer is."""
        if self.cell_gain is not None:
            c = layer_norm(c, c.shape[-1:], self.cell_gain, self.cell_bias)
        return torch.tanh(c)


def normalised(product: Tensor, gain: Tensor, hidden_size: int) -> Tensor:
    """Layer normalisation of each gate on its own, times a gain (Ba, Kiros and Hinton 2016, equations 20 to 22).

    The paper normalises all gates of a product together; each on its own, as here, no gate drowns another.

    Args:
        product: (..., G*H), for any number G of gates.
        gain: (G*H,).
        hidden_size: H.
    """
    by_gate = product.reshape(*product.shape[:-1], -1, hidden_size)
    return layer_norm(by_gate, (hidden_size,)).flatten(-2) * gain


class CellStep(Protocol):
    """One step of a cell.

    Args:
        x_gates: the input's share of the pre-activations, (N, G*H), or (G*H,) for all rows alike.
        state: the state of the step before; each tensor (N, H).
        weights: what the state is multiplied with.

    Returns:
        The new state, whose first tensor is the output h, (N, H).
    """

    def __call__(self, x_gates: Tensor, state: State, weights: Weights) -> State: ...


def rnn_step(x_gates: Tensor, state: State, weights: Weights) -> State:
    """Elman (1990): h' = tanh(W x + U h + b)."""
    (h,) = state
    return (torch.tanh(x_gates + weights.product(h)),)


def rnn_relu_step(x_gates: Tensor, state: State, weights: Weights) -> State:
    """Elman's network with a rectifier, as in Le, Jaitly and Hinton (2015): h' = max(0, W x + U h + b)."""
    (h,) = state
    return (torch.relu(x_gates + weights.product(h)),)


def lstm_step(x_gates: Tensor, state: State, weights: Weights) -> State:
    """LSTM with a forget gate (Gers, Schmidhuber and Cummins 2000), without peepholes.

    i, f, o = sigma(W x + U h + b) each, g = tanh(W x + U h + b); c' = f c + i g; h' = o tanh(c').
    """
    h, c = state
    i, f, g, o = (x_gates + weights.product(h)).chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * weights.squashed(c), c


def lstm_peephole_step(x_gates: Tensor, state: State, weights: Weights) -> State:
    """LSTM whose gates see the cell (Gers, Schraudolph and Schmidhuber 2002, section 2.2).

    i, f = sigma(W x + U h + p c + b) each, g = tanh(W x + U h + b); c' = f c + i g;
    o = sigma(W x + U h + p c' + b); h' = o tanh(c'). The input and the forget gate see the cell of the step
    before, the output gate the new one; each p has one weight per unit.
    """
    h, c = state
    assert weights.peephole is not None
    p_i, p_f, p_o = weights.peephole
    i, f, g, o = (x_gates + weights.product(h)).chunk(4, dim=1)
    c = torch.sigmoid(f + p_f * c) * c + torch.sigmoid(i + p_i * c) * torch.tanh(g)
    return torch.sigmoid(o + p_o * c) * weights.squashed(c), c


def gru_step(x_gates: Tensor, state: State, weights: Weights) -> State:
    """GRU with the reset gate after the matrix product (Cho et al. 2014, arXiv 1406.1078, version 1).

    r, z = sigma(W x + U h + b) each; n = tanh(W x + b + r (U h + b_hh)); h' = (1 - z) n + z h.
    The update gate z keeps the old state.
    """
    (h,) = state
    x_r, x_z, x_n = x_gates.chunk(3, dim=1)
    h_r, h_z, h_n = weights.product(h).chunk(3, dim=1)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    return (n + z * (h - n),)


def gru_reset_before_step(x_gates: Tensor, state: State, weights: Weights) -> State:
    """GRU with the reset gate before the matrix product (Cho et al. 2014, arXiv 1406.1078, version 3, eqs. 5 to 8).

    r, z = sigma(W x + U h + b) each; n = tanh(W x + U (r h) + b); h' = (1 - z) n + z h.
    The update gate z keeps the old state. The candidate waits for r, so a step takes two products.
    """
    (h,) = state
    two = 2 * h.shape[1]
    r, z = torch.sigmoid(x_gates[:, :two] + weights.product(h, slice(two))).chunk(2, dim=1)
    n = torch.tanh(x_gates[:, two:] + weights.product(r * h, slice(two, None)))
    return (n + z * (h - n),)


@dataclass(frozen=True)
class Cell:
    """What a recurrent stack must know of a cell."""

    gates: str
    """The papers' letter of each block of rows in the weight matrices, in order."""
    states: int
    """State tensors: 1 (h) or 2 (h, c)."""
    step: CellStep
    """One step, in tensor operations."""
    fused: type[nn.RNN] | type[nn.LSTM] | type[nn.GRU] | None = None
    """torch's kernel over all the steps of a window; None: there is none."""
    nonlinearity: str | None = None
    """What torch calls the activation, where its kernel asks for one."""
    peepholes: bool = False
    """Whether gates see the cell c."""
    bounded: bool = True
    """Whether h lies between -1 and 1 once it has been computed."""
    additive: bool = True
    """Whether a step sees the input's share and the recurrent product in their sum alone, never apart."""


CELLS: dict[CellName, Cell] = {
    "rnn": Cell(gates="h", states=1, step=rnn_step, fused=nn.RNN, nonlinearity="tanh"),
    "rnn-relu": Cell(gates="h", states=1, step=rnn_relu_step, fused=nn.RNN, nonlinearity="relu", bounded=False),
    "lstm": Cell(gates="ifgo", states=2, step=lstm_step, fused=nn.LSTM),
    "lstm-peephole": Cell(gates="ifgo", states=2, step=lstm_peephole_step, peepholes=True),
    "gru": Cell(gates="rzn", states=1, step=gru_step, fused=nn.GRU, additive=False),
    "gru-reset-before": Cell(gates="rzn", states=1, step=gru_reset_before_step, additive=False),
}
