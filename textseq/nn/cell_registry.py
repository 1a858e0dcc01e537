"""The recurrent cells by name: gates, state tensors, step and further weights of each.

Shapes: N batch, E input size, H hidden, G gates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

from textseq.config.names import CELL_STATES
from textseq.errors import TextseqError, unknown
from textseq.nn.cells import (
    CellStep,
    State,
    Weights,
    gru_reset_before_step,
    gru_step,
    lstm_mogrifier_step,
    lstm_peephole_step,
    lstm_step,
    mingru_coefficients,
    mingru_step,
    minlstm_coefficients,
    minlstm_step,
    mogrifier_weights,
    rnn_relu_step,
    rnn_step,
)

Coefficients = Callable[[Tensor, Weights], tuple[Tensor, Tensor]]
"""a and b of h' = a h + b, each (..., H), from the input's share of the pre-activations (..., G*H)."""


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
    """Further weights by name, each with its shape: numbers, "H" for the hidden size, "E" for the input's."""
    bounded: bool = True
    """Whether h lies between -1 and 1 after every step."""
    additive: bool = True
    """Whether a step uses the input's share and the recurrent product only in their sum."""
    reads_input: bool = False
    """Whether a step is given the input itself, (N, E), instead of its share of the pre-activations."""
    coefficients: Coefficients | None = None
    """Of a cell without recurrent weights, whose step is h' = a h + b: a and b of all the steps of a window."""

    @property
    def recurrent(self) -> bool:
        """Whether a step multiplies the state by recurrent weights U."""
        return self.coefficients is None

    def extra_shapes(self, input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
        """The shapes of the further weights for one E and H."""
        sizes = {"E": input_size, "H": hidden_size}
        return {
            name: tuple(size if isinstance(size, int) else sizes[size] for size in shape)
            for name, shape in self.extra_weights.items()
        }


CELLS: dict[str, Cell] = {
    "rnn": Cell(gates="h", states=1, step=rnn_step, fused=nn.RNN, nonlinearity="tanh"),
    "rnn-relu": Cell(gates="h", states=1, step=rnn_relu_step, fused=nn.RNN, nonlinearity="relu", bounded=False),
    "lstm": Cell(gates="ifgo", states=2, step=lstm_step, fused=nn.LSTM),
    "lstm-peephole": Cell(gates="ifgo", states=2, step=lstm_peephole_step, extra_weights={"ch": (3, "H")}),
    "lstm-mogrifier": Cell(
        gates="ifgo",
        states=2,
        step=lstm_mogrifier_step,
        extra_weights=mogrifier_weights(rounds=5),
        bounded=False,
        additive=False,
        reads_input=True,
    ),  # h is up to 2 before the product
    "gru": Cell(gates="rzn", states=1, step=gru_step, fused=nn.GRU, additive=False),
    "gru-reset-before": Cell(gates="rzn", states=1, step=gru_reset_before_step, additive=False),
    "mingru": Cell(
        gates="zn", states=1, step=mingru_step, coefficients=mingru_coefficients, bounded=False, additive=False
    ),
    "minlstm": Cell(
        gates="ifg", states=1, step=minlstm_step, coefficients=minlstm_coefficients, bounded=False, additive=False
    ),
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
    reads_input: bool = False,
) -> Callable[[OwnStep], OwnStep]:
    """Register a function as the step of a new recurrent cell.

    From then on ``Recurrent``, ``AttentionDecoder``, the settings, ``textseq.train`` and ``textseq.load`` accept the
    name, in this process: a program that loads a model with this cell must register it first, and the commands do not
    know it. A name can be registered again, as a notebook does, but built-in cells cannot be replaced.

    Args:
        name: lower-case letters, digits and hyphens.
        gates: a letter for each block of H rows of W, U and b. A gate "f" starts with a bias of 1.
        states: number of state tensors, each (N, H); the first is the output h.
        extra_weights: further weights by name, with their shapes in numbers, "H" and "E". They start as U(-1, 1) /
            sqrt(H), are trained and saved as ``weight_NAME``, and reach the step as ``weights.extra[NAME]``.
        bounded: whether h always lies between -1 and 1 (makes 8-bit products cheaper).
        additive: whether the step uses ``x_gates`` and h only as ``x_gates + weights.product(h)``, over all rows (saves
            a product per step in generation); not a leaky unit, which keeps a share of h.
        reads_input: whether the step is given the input (N, E) as ``x_gates``, and computes the input's share itself
            with ``weights.input.product(x)``.

    Returns:
        A decorator for the step, a ``CellStep``: ``x_gates`` (N, G*H), state and ``Weights`` -> new state.

    Raises:
        TextseqError: a malformed or built-in name, no gates or a letter twice, a shape that is none, or ``additive``
            for a step that is not.

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
        if not shape or not all(size in ("E", "H") or (isinstance(size, int) and size > 0) for size in shape):
            raise TextseqError(f"cell '{name}': expected the shape of '{key}' in numbers, 'H' and 'E', got {shape!r}")

    def register(step: OwnStep) -> OwnStep:
        cell = Cell(
            gates, states, step, extra_weights=extra, bounded=bounded, additive=additive, reads_input=reads_input
        )
        if additive and not reads_input and _uses_h_elsewhere(cell):
            raise TextseqError(f"cell '{name}': expected a step that uses x_gates and h only as x_gates + "
                               "weights.product(h), as additive says; leave additive out")  # fmt: skip
        CELLS[name] = cell
        CELL_STATES[name] = states
        return step

    return register


@torch.no_grad()
def _uses_h_elsewhere(cell: Cell) -> bool:
    """Whether a step of [y h] by [W U], as in generation, is not that of h by U with W y as the input's share."""
    size, rows = 3, 3 * len(cell.gates)

    def run(x_gates: Tensor, h: Tensor, hh: Tensor) -> State:
        torch.manual_seed(2)  # for a step with dropout
        return cell.step(x_gates, (h, *others), Weights(hh, bias, extra))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        y, h, *others = torch.randn(1 + cell.states, 2, size)
        w, u, bias = torch.randn(rows, size), torch.randn(rows, size), torch.randn(rows)
        extra = {name: torch.randn(shape) for name, shape in cell.extra_shapes(size, size).items()}
        try:
            wanted = run(y @ w.t(), h, u)
        except RuntimeError:  # a step of one hidden size only
            return False
        try:
            found = run(torch.zeros(rows), torch.cat([y, h], dim=1), torch.cat([w, u], dim=1))
        except (RuntimeError, IndexError, ValueError):  # of shapes that do not match
            return True
    pairs = zip(found, wanted, strict=True)
    return not all(one.shape == other.shape and torch.allclose(one, other, atol=1e-4) for one, other in pairs)
