"""One step of each recurrent cell, as in the papers, and the registry of cells.

Shapes: N batch, H hidden, G gates. Weights are laid out as in ``torch.nn``: the G blocks of H rows of ``hh`` are
stacked in the order of ``gates``.

Every step receives the input's share of the pre-activations already computed, ``x_gates = x W^T + b_ih``: for a known
window that is one product for all its steps, and for token inputs a row of a table. In the equations W are the input
weights, U the recurrent weights; sigma is the logistic function and products of vectors are element-wise.

How other conventions map onto these:

- The update gate z of our GRUs keeps the OLD state, as in torch, cuDNN, Keras and version 1 of Cho et al. (2014). Where
  z takes the NEW state (Chung et al. 2014), negate the rows of z in W, U and b: 1 - sigma(a) = sigma(-a).
- ``gru`` has two biases for the candidate, because r multiplies one of them. One bias alone (Keras with
  ``reset_after=False``) is ``gru-reset-before`` with ``b_hh = 0``.
- torch orders the LSTM's gates i, f, g, o, as we do. TensorFlow's BasicLSTMCell has i, g, f, o and adds a forget bias
  of 1 at every step; here it is the initial value of ``b_ih`` and is trained.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from textseq.config.names import CELL_STATES
from textseq.errors import TextseqError, unknown

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
    bounded: bool = False
    """Whether every h lies between -1 and 1, so that 8-bit products need not compute its scale."""
    trace: dict[str, list[Tensor]] | None = None
    """Where ``record`` keeps gates; None: nowhere."""

    def product(self, h: Tensor, rows: slice = ALL) -> Tensor:
        """U h + b for some rows of U, the product normalized if the layer is: (N, H) -> (N, rows)."""
        if self.gain is None:
            return self._affine(h, rows)
        return normalized(self.times(h, rows), self.gain[rows], h.shape[1]) + self.bias[rows]

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
            c = layer_norm(c, c.shape[-1:], self.cell_gain, self.cell_bias)
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
        x_gates: the input's share of the pre-activations, (N, G*H), or (G*H,) for all rows alike.
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


@dataclass(frozen=True)
class Cell:
    """Gates, state and step of a recurrent cell.

    Example:
        >>> CELLS["gru"].gates, CELLS["gru"].states
        ('rzn', 1)
    """

    gates: str
    """The papers' letter of each block of H rows in the weight matrices, in order."""
    states: int
    """Number of state tensors: 1 (h) or 2 (h, c)."""
    step: CellStep
    """One step, in tensor operations."""
    fused: type[nn.RNN] | type[nn.LSTM] | type[nn.GRU] | None = None
    """torch's kernel over the steps of a window, if any."""
    nonlinearity: str | None = None
    """torch's name of the activation, for a kernel that has a choice."""
    extra_weights: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict)
    """Further weights by name, each with its shape: numbers, or "H" for the hidden size."""
    bounded: bool = True
    """Whether h lies between -1 and 1 after every step."""
    additive: bool = True
    """Whether a step uses the input's share and the recurrent product only in their sum."""

    def extra_shapes(self, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """The shapes of the further weights for one H."""
        return {
            name: tuple(size if isinstance(size, int) else hidden_size for size in shape)
            for name, shape in self.extra_weights.items()
        }


CELLS: dict[str, Cell] = {
    "rnn": Cell(gates="h", states=1, step=rnn_step, fused=nn.RNN, nonlinearity="tanh"),
    "rnn-relu": Cell(gates="h", states=1, step=rnn_relu_step, fused=nn.RNN, nonlinearity="relu", bounded=False),
    "lstm": Cell(gates="ifgo", states=2, step=lstm_step, fused=nn.LSTM),
    "lstm-peephole": Cell(gates="ifgo", states=2, step=lstm_peephole_step, extra_weights={"ch": (3, "H")}),
    "gru": Cell(gates="rzn", states=1, step=gru_step, fused=nn.GRU, additive=False),
    "gru-reset-before": Cell(gates="rzn", states=1, step=gru_reset_before_step, additive=False),
}
"""Every cell by its name in ``Recurrent``, ``--cell`` and the settings; see ``register_cell``."""

BUILT_IN = frozenset(CELLS)

OwnStep = TypeVar("OwnStep", bound=CellStep)


def find_cell(name: str) -> Cell:
    """The cell of a name.

    Raises:
        TextseqError: no cell has this name; the message suggests the nearest.
    """
    if name not in CELLS:
        raise unknown("cell", name, CELLS)
    return CELLS[name]


def register_cell(
    name: str,
    *,
    gates: str,
    states: int = 1,
    extra_weights: Mapping[str, tuple[int | str, ...]] | None = None,
    bounded: bool = False,
    additive: bool = False,
) -> Callable[[OwnStep], OwnStep]:
    """Register a function as the step of a new recurrent cell.

    From then on ``Recurrent``, ``AttentionDecoder``, ``--cell NAME``, the settings and ``textseq.load`` accept the
    name, in this process: a program that loads a model with this cell must register it first. A name can be registered
    again, as a notebook does, but built-in cells cannot be replaced.

    Args:
        name: lower-case letters, digits and hyphens.
        gates: a letter for each block of H rows of W, U and b. A gate "f" starts with a bias of 1.
        states: number of state tensors, each (N, H); the first is the output h.
        extra_weights: further weights by name, with their shapes in numbers and "H". They start as U(-1, 1) / sqrt(H),
            are trained and saved as ``weight_NAME``, and reach the step as ``weights.extra[NAME]``.
        bounded: whether h always lies between -1 and 1 (makes 8-bit products cheaper).
        additive: whether the step uses ``x_gates`` and ``weights.product(h)`` only in their sum, the product over all
            rows (saves a product per step in generation).

    Returns:
        A decorator for the step, a ``CellStep``: ``x_gates`` (N, G*H), state and ``Weights`` -> new state.

    Raises:
        TextseqError: a malformed or built-in name, no gates or a letter twice, or a shape that is none.

    Example:
        The minimal gated unit (Zhou et al. 2016), with one gate and a candidate::

            @nn.register_cell("mgu", gates="fg")
            def mgu_step(x_gates, state, weights):
                (h,) = state
                x_f, x_g = x_gates.chunk(2, dim=-1)
                size = h.shape[1]
                f = torch.sigmoid(x_f + weights.product(h, slice(size)))
                g = torch.tanh(x_g + weights.product(f * h, slice(size, None)))
                weights.record(f=f, g=g)
                return ((1 - f) * h + f * g,)

            nn.Recurrent("mgu", input_size=8, hidden_size=16)
    """
    extra = dict(extra_weights or {})
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) or name in BUILT_IN:
        reason = "it is a built-in cell" if name in BUILT_IN else "use lower-case letters, digits and hyphens"
        raise TextseqError(f"cannot register a cell as {name!r}: {reason}")
    if not gates or len({*gates}) < len(gates) or states < 1:
        raise TextseqError(f"cell '{name}': expected a different letter for each gate and at least one state tensor, "
                           f"got gates={gates!r}, states={states!r}")  # fmt: skip
    for key, shape in extra.items():
        if key in {"ih", "hh"} or not key.isidentifier():
            raise TextseqError(f"cell '{name}': a further weight cannot be named {key!r}; choose another identifier")
        if not shape or not all(size == "H" or (isinstance(size, int) and size > 0) for size in shape):
            raise TextseqError(f"cell '{name}': expected the shape of '{key}' in numbers and 'H', got {shape!r}")

    def register(step: OwnStep) -> OwnStep:
        CELLS[name] = Cell(gates, states, step, extra_weights=extra, bounded=bounded, additive=additive)
        CELL_STATES[name] = states
        return step

    return register
