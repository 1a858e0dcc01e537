"""A cell over the steps of a window: for cells without a fused kernel, and the reference implementation of the others.

Autograd would sum the gradient of the recurrent weights step by step: T products that each read and write a whole
matrix. ``deferred`` weights record the operands of each step's product instead, and compute the gradient as one product
over the window. On a CPU with bfloat16 units that is twice as fast (0.45 s instead of 1.07 s: peephole LSTM, H 768,
N 32, T 100); in float32 there it makes no difference.

Shapes: T time, N batch, H hidden, G gates; time comes first here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from textseq.nn.cell_registry import Cell
from textseq.nn.cells import ALL, State, Weights
from textseq.nn.dropout import keep_mask
from textseq.nn.kernels.autograd import product_dtype, refuse_second_derivatives


def unroll(
    cell: Cell, x_gates: Tensor, state: State, weights: Weights, *, lengths: Tensor | None = None,
    backward: bool = False, zoneout: Zoneout | None = None, history: list[State] | None = None,
) -> tuple[Tensor, State]:  # fmt: skip
    """Run a cell over a window.

    Args:
        cell, weights: the cell and its recurrent weights.
        x_gates: the input's share of the pre-activations, (T, N, G*H).
        state: the state before the first step; each tensor (N, H).
        lengths: real steps of each row, (N,), on the input's device; at padding the state stays and the output is zero.
            None: all steps.
        backward: go from the last step to the first.
        zoneout: keeps old values in the state.
        history: receives the state after each step, in the order of computation.

    Returns:
        Outputs (T, N, H), and the state after the last step.
    """
    steps = x_gates.unbind(0)  # one node of autograd; indexing would create a whole window of zeros per step
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
        if history is not None:
            history.append(state)
    return torch.stack(outputs), state


@dataclass(frozen=True)
class Zoneout:
    """Some units keep their old value (Krueger et al. 2017, equations 5 and 6); in evaluation, the mean of both."""

    rates: tuple[float, ...]
    """The share of units kept, for each tensor of the state."""
    training: bool

    def __call__(self, new: State, old: State) -> State:
        """Mix the new and the old state, each tensor (N, H)."""
        return tuple(self._mix(*parts) for parts in zip(new, old, self.rates, strict=True))

    def _mix(self, new: Tensor, old: Tensor, rate: float) -> Tensor:
        if rate == 0:
            return new
        if self.training:
            return torch.where(keep_mask(new, rate) == 0, old, new)
        return torch.lerp(new, old, rate)


def deferred(weights: Weights) -> Weights:
    """The same weights for one window of training, with the gradient of U computed in one product at its end."""
    operands = _Operands()
    values = {item.name: getattr(weights, item.name) for item in fields(weights)}
    if weights.input is not None:
        values["input"] = deferred(weights.input)
    return _Deferred(**values | {"hh": _GradientOfWeights.apply(weights.hh, operands)}, operands=operands)  # type: ignore[no-untyped-call]


class Accumulator:
    """Collects per-step tensors of a backward pass, so that weight gradients are computed once at its end."""

    def __init__(self) -> None:
        self._pass = -1
        self.clear()

    def clear(self) -> None:
        """Discard all tensors."""

    def open(self) -> None:
        """Call before adding: discards the tensors of an earlier pass that asked for no gradient of the weights."""
        running = torch._C._current_graph_task_id()
        if running != self._pass:
            self._pass = running
            self.clear()


class _Operands(Accumulator):
    def clear(self) -> None:
        self.entries: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
        """By rows of U: state (N, H) and gradient (N, rows) of every product."""


@dataclass(frozen=True)
class _Deferred(Weights):
    operands: _Operands = field(kw_only=True)

    def _affine(self, h: Tensor, rows: slice) -> Tensor:
        return self.times(h, rows) + self.bias[rows]

    def times(self, h: Tensor, rows: slice = ALL) -> Tensor:
        first, last, _ = rows.indices(self.hh.shape[0])
        product: Tensor = _Product.apply(h, self.hh, self.operands, (first, last))  # type: ignore[no-untyped-call]
        return product


class _Context(FunctionCtx):
    operands: _Operands
    rows: tuple[int, int]
    like: Tensor
    saved_tensors: tuple[Tensor, ...]


class _GradientOfWeights(torch.autograd.Function):
    """Pass on the weights in the products' dtype; its backward pass runs after that of all the products."""

    @staticmethod
    def forward(ctx: _Context, hh: Tensor, operands: _Operands) -> Tensor:
        ctx.operands, ctx.like = operands, hh
        ctx.set_materialize_grads(False)
        return hh.to(product_dtype(hh), copy=True)

    @staticmethod
    def backward(ctx: _Context, direct: Tensor | None) -> tuple[Tensor, None]:
        """``direct`` is the gradient from everything but the products, in cells that read U itself."""
        refuse_second_derivatives()
        gradient = torch.zeros_like(ctx.like) if direct is None else direct.to(ctx.like.dtype, copy=True)
        by_rows = ctx.operands.entries
        ctx.operands.clear()  # frees the window's tensors
        for (first, last), entries in by_rows.items():
            states, gradients = (torch.cat(part) for part in zip(*entries, strict=True))  # (T*N, H), (T*N, rows)
            gradient[first:last] += gradients.t() @ states
        return gradient, None


class _Product(torch.autograd.Function):
    """U h for some rows of U; records the operands of U's gradient."""

    @staticmethod
    def forward(ctx: _Context, h: Tensor, hh: Tensor, operands: _Operands, rows: tuple[int, int]) -> Tensor:
        state = h.to(hh.dtype)
        ctx.operands, ctx.rows = operands, rows
        ctx.save_for_backward(state, hh)
        return (state @ hh[slice(*rows)].t()).to(h.dtype)

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        refuse_second_derivatives()
        state, hh = ctx.saved_tensors
        narrow = gradient.to(hh.dtype)
        ctx.operands.open()
        ctx.operands.entries.setdefault(ctx.rows, []).append((state, narrow))
        return (narrow @ hh[slice(*ctx.rows)]).to(gradient.dtype), None, None, None
