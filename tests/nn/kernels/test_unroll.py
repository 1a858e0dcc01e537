"""The hand-written loop: its deferred gradient is autograd's own, and zoneout keeps what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from textseq.config.names import CellName
from textseq.nn.cell_registry import CELLS, Cell
from textseq.nn.cells import State, Weights
from textseq.nn.kernels.unroll import Zoneout, deferred, unroll

T, N, E, H = 6, 3, 4, 5

EVERY_CELL = pytest.mark.parametrize("cell", [name for name, cell in CELLS.items() if cell.recurrent])


def drawn(cell: CellName, *, normalise: bool) -> tuple[Tensor, State, Weights]:
    torch.manual_seed(1)
    kind = CELLS[cell]
    rows = len(kind.gates) * H

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, requires_grad=True)

    weights = Weights(
        hh=draw(rows, H),
        bias=draw(rows),
        extra={name: draw(*shape) for name, shape in kind.extra_shapes(E, H).items()},
        input=Weights(hh=draw(rows, E), bias=draw(rows)) if kind.reads_input else None,
        gain=draw(rows) if normalise else None,
        cell_gain=draw(H) if normalise and kind.states == 2 else None,
        cell_bias=draw(H) if normalise and kind.states == 2 else None,
    )
    return draw(T, N, E if kind.reads_input else rows), tuple(draw(N, H) for _ in range(kind.states)), weights


@EVERY_CELL
@pytest.mark.parametrize("normalise", [False, True], ids=["plain", "layer_norm"])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_deferred_gradient_is_autograds(cell: CellName, normalise: bool, backward: bool) -> None:
    x_gates, state, weights = drawn(cell, normalise=normalise)
    parts = [part for item in fields(weights) if isinstance(part := getattr(weights, item.name), Tensor)]
    parts += weights.extra.values()
    if weights.input is not None:
        parts += [weights.input.hh, weights.input.bias]
    lengths = torch.tensor([2, T, 5])
    found = []
    for way in (weights, deferred(weights)):
        y, final = unroll(CELLS[cell], x_gates, state, way, lengths=lengths, backward=backward)
        total = (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum() + sum(part.square().sum() for part in final)
        found.append(((y, final), torch.autograd.grad(total, [x_gates, *state, *parts])))
    torch.testing.assert_close(found[1], found[0])


@EVERY_CELL
def test_deferred_gradient_can_be_asked_for_in_parts_and_again(cell: CellName) -> None:
    """A pass that wants no gradient of the weights leaves nothing for the next one."""
    x_gates, state, weights = drawn(cell, normalise=False)
    y, _ = unroll(CELLS[cell], x_gates, state, deferred(weights))
    total = y.pow(3).sum()
    wanted = torch.autograd.grad(total, [weights.hh, x_gates], retain_graph=True)
    for parts in ([x_gates], [weights.hh], list(state), [weights.hh, x_gates]):
        found = torch.autograd.grad(total, parts, retain_graph=True)
        if parts[0] is weights.hh:
            torch.testing.assert_close(found, wanted[: len(parts)])
    torch.autograd.grad(total, x_gates, retain_graph=True)
    found = torch.autograd.grad(y[0].sum(), weights.hh)
    again, _ = unroll(CELLS[cell], x_gates[:1], state, weights)
    torch.testing.assert_close(found, torch.autograd.grad(again.sum(), weights.hh))


def test_weights_that_take_no_part_get_a_gradient_of_zero() -> None:
    """Also where no product reaches the loss: nothing is then accumulated."""
    x_gates, state, weights = drawn("lstm", normalise=False)
    y, _ = unroll(CELLS["lstm"], x_gates[:1], tuple(torch.zeros_like(part) for part in state), deferred(weights))
    (gradient,) = torch.autograd.grad(y.sum(), weights.hh)
    assert not gradient.any()


@pytest.mark.parametrize("both", [False, True], ids=["directly", "in a product too"])
@pytest.mark.parametrize(
    "read",
    [lambda h, hh: h @ hh.t(), lambda h, hh: hh.diagonal() * h],
    ids=["full matrix", "IndRNN"],  # Li et al. (2018), equation 2
)
def test_weights_that_a_cell_reads_directly_get_their_gradient(
    read: Callable[[Tensor, Tensor], Tensor], both: bool
) -> None:
    def step(x_gates: Tensor, state: State, weights: Weights) -> State:
        product = weights.product(state[0]) if both else weights.bias
        return (torch.tanh(x_gates + read(state[0], weights.hh) + product),)

    x_gates, state, weights = drawn("rnn", normalise=False)
    found = []
    for way in (weights, deferred(weights)):
        y, _ = unroll(Cell(gates="h", states=1, step=step), x_gates, state, way)
        found.append(torch.autograd.grad(y.sum(), [weights.hh, x_gates, *state]))
    torch.testing.assert_close(found[1], found[0])


def test_products_are_in_the_format_of_autocast() -> None:
    x_gates, state, weights = drawn("gru", normalise=False)
    narrow = Weights(hh=weights.hh.detach().float().requires_grad_(), bias=weights.bias.detach().float())
    with torch.autocast("cpu", torch.bfloat16):
        within = deferred(narrow)
    assert within.hh.dtype == torch.bfloat16
    y, _ = unroll(CELLS["gru"], x_gates.float(), tuple(part.float() for part in state), within)
    exact, _ = unroll(CELLS["gru"], x_gates.float(), tuple(part.float() for part in state), narrow)
    assert y.dtype == torch.float32
    assert 0 < (y - exact).abs().max() < 0.05
    assert torch.autograd.grad(y.sum(), narrow.hh)[0].dtype == torch.float32


def test_zoneout_keeps_the_share_in_training_and_the_mean_otherwise() -> None:
    torch.manual_seed(1)
    new, old = (torch.zeros(400, 500), torch.zeros(400, 500)), (torch.ones(400, 500), torch.ones(400, 500))
    h, c = Zoneout((0.2, 0.0), training=True)(new, old)
    assert ((h == 0) | (h == 1)).all() and abs(h.mean().item() - 0.2) < 0.005
    assert c is new[1]
    h, c = Zoneout((0.2, 0.6), training=False)(new, old)
    torch.testing.assert_close(h, torch.full_like(h, 0.2))
    torch.testing.assert_close(c, torch.full_like(c, 0.6))


def test_zoneout_draws_anew_at_every_step() -> None:
    torch.manual_seed(1)
    x_gates, _, weights = drawn("rnn", normalise=False)
    ones = (torch.full((N, H), 7.0, dtype=torch.float64),)
    y, _ = unroll(CELLS["rnn"], x_gates, ones, weights, zoneout=Zoneout((0.5,), training=True))
    kept = (y == torch.cat([ones[0].unsqueeze(0), y[:-1]])).flatten(1)
    assert 0.2 < kept.double().mean() < 0.8
    assert len({tuple(row.tolist()) for row in kept}) == T
