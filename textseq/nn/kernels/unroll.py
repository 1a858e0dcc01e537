"""A cell over the steps of a window, one after the other: for all that has no fused kernel, and as its plain twin.

Left to itself, autograd adds up the gradient of the recurrent weights step by step: T products that each read and
write a whole matrix. ``deferred`` weights put it off: every step's product notes what it saw, and after the last of
them one product over the whole window makes the gradient. On a CPU with bfloat16 units that makes a window twice as
fast (0.45 s instead of 1.07 s: peephole LSTM, H 768, N 32, T 100); in float32 there it makes no difference.

Shapes: T time, N batch, H hidden, G gates; time comes first here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from textseq.nn.cells import ALL, Cell, State, Weights
from textseq.nn.dropout import keep_mask
from textseq.nn.kernels.precision import product_format


def unroll(
    cell: Cell,
    x_gates: Tensor,
    state: State,
    weights: Weights,
    *,
    lengths: Tensor | None = None,
    backward: bool = False,
    zoneout: Zoneout | None = None,
) -> tuple[Tensor, State]:
    """Run a cell over a window.

    Args:
        cell: what one step is.
        x_gates: the input's share of the pre-activations, (T, N, G*H).
        state: the state before the first step; each tensor (N, H).
        weights: the recurrent weights.
        lengths: real steps of each row, (N,), on the input's device; what follows is padding, where the state stands
            still and the output is zero. None: all steps of all rows are real.
        backward: go from the last step to the first.
        zoneout: what keeps old values in the state.

    Returns:
        Outputs (T, N, H), and the state after the last step.
    """
    steps = x_gates.unbind(0)  # one node of autograd; an index per step would fill a whole window of zeros for each
    times = range(len(steps))
    outputs = [steps[0]] * len(steps)
    for t in reversed(times) if backward else times:
        new = cell.step(steps[t], state, weights)
        if zoneout is not None:
            new = zoneout(new, state)
        if lengths is None:
            state = new
            outputs[t] = new[0]
        else:
            real = (t < lengths).unsqueeze(1)  # (N, 1)
            state = tuple(torch.where(real, after, before) for after, before in zip(new, state, strict=True))
            outputs[t] = torch.where(real, new[0], 0.0)
    return torch.stack(outputs), state


@dataclass(frozen=True)
class Zoneout:
    """Some units keep their old value (Krueger et al. 2017, equations 5 and 6).

    In training chance decides for every unit and step; otherwise each unit takes the mean of both values.
    """

    rates: tuple[float, ...]
    """The share kept of each tensor of the state."""
    training: bool

    def __call__(self, new: State, old: State) -> State:
        """The state after a step, each tensor (N, H)."""
        return tuple(self._mix(*parts) for parts in zip(new, old, self.rates, strict=True))

    def _mix(self, new: Tensor, old: Tensor, rate: float) -> Tensor:
        if rate == 0:
            return new
        if self.training:
            return torch.where(keep_mask(new, rate) == 0, old, new)
        return torch.lerp(new, old, rate)


def deferred(weights: Weights) -> Weights:
    """The same weights, whose gradient is made in one product at the end; for one window of training.

    Under autocast the products are in its number format.
    """
    ledger = _Ledger()
    parts = {item.name: getattr(weights, item.name) for item in fields(weights)}
    return _Deferred(**parts | {"hh": _Settle.apply(weights.hh, ledger)}, ledger=ledger)  # type: ignore[no-untyped-call]


class Ledger:
    """What the steps of a window leave for the end of a backward pass, when a gradient is made of it."""

    def __init__(self) -> None:
        self._pass = -1
        self.clear()

    def clear(self) -> None:
        """Forget what the steps left."""

    def open(self) -> None:
        """Before a step leaves anything: forget an earlier pass, which came to no end if nobody asked it for one."""
        running = torch._C._current_graph_task_id()
        if running != self._pass:
            self._pass = running
            self.clear()


class _Ledger(Ledger):
    def clear(self) -> None:
        self.entries: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
        """What every product saw, by the rows of U that it took: the state (N, H), the gradient (N, rows)."""


@dataclass(frozen=True)
class _Deferred(Weights):
    ledger: _Ledger = field(kw_only=True)

    def _affine(self, h: Tensor, rows: slice) -> Tensor:
        return self.times(h, rows) + self.bias[rows]

    def times(self, h: Tensor, rows: slice = ALL) -> Tensor:
        first, last, _ = rows.indices(self.hh.shape[0])
        product: Tensor = _Product.apply(h, self.hh, self.ledger, (first, last))  # type: ignore[no-untyped-call]
        return product


class _Context(FunctionCtx):
    """What the two functions below keep for their backward passes."""

    ledger: _Ledger
    rows: tuple[int, int]
    like: Tensor
    saved_tensors: tuple[Tensor, ...]


class _Settle(torch.autograd.Function):
    """Hands the weights on in the products' number format; its backward pass comes after that of all the products."""

    @staticmethod
    def forward(ctx: _Context, hh: Tensor, ledger: _Ledger) -> Tensor:
        ctx.ledger, ctx.like = ledger, hh
        ctx.set_materialize_grads(False)
        return hh.to(product_format(hh), copy=True)

    @staticmethod
    def backward(ctx: _Context, _: Tensor | None) -> tuple[Tensor, None]:
        gradient = torch.zeros_like(ctx.like)
        seen = ctx.ledger.entries
        ctx.ledger.clear()  # the window's tensors go
        for (first, last), entries in seen.items():
            states, gradients = (torch.cat(part) for part in zip(*entries, strict=True))  # (T*N, H), (T*N, rows)
            gradient[first:last] += gradients.t() @ states
        return gradient, None


class _Product(torch.autograd.Function):
    """U h for some rows of U, which keeps from autograd what U's gradient is made of."""

    @staticmethod
    def forward(ctx: _Context, h: Tensor, hh: Tensor, ledger: _Ledger, rows: tuple[int, int]) -> Tensor:
        state = h.to(hh.dtype)
        ctx.ledger, ctx.rows = ledger, rows
        ctx.save_for_backward(state, hh)
        return (state @ hh[slice(*rows)].t()).to(h.dtype)

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        state, hh = ctx.saved_tensors
        narrow = gradient.to(hh.dtype)
        ctx.ledger.open()
        ctx.ledger.entries.setdefault(ctx.rows, []).append((state, narrow))
        return (narrow @ hh[slice(*ctx.rows)]).to(gradient.dtype), None, None, None
