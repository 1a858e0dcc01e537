"""The GRU's gradient by hand is autograd's, torch's and the numerical one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from textseq.nn.cell_registry import CELLS
from textseq.nn.cells import Weights
from textseq.nn.kernels.gru import attention_gru_window, gru_layer, gru_window
from textseq.nn.kernels.unroll import unroll
from textseq.nn.recurrent import Recurrent
from textseq.nn.rnn_layer import SUFFIXES

T, N, E, H, S, A, C = 6, 3, 4, 5, 4, 3, 2
LENGTHS = torch.tensor([4, T, 1])

DIRECTIONS = pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])


pytestmark = pytest.mark.usefixtures("float64")


def drawn(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [torch.randn(shape, requires_grad=True) for shape in shapes]


def attending(
    steps: int, batch: int, h: int, s: int, a: int, c: int
) -> tuple[Callable[..., tuple[Tensor, Tensor, Tensor]], list[Tensor]]:
    """``attention_gru_window`` over sources with most padding in the last row, and the other tensors that it takes."""
    given = drawn(
        (steps, batch, 3 * h), (batch, h), (3 * h, h), (3 * h,), (3 * h, c), (a, h), (a,), (batch, s, a), (batch, s, c)
    )
    lengths = torch.linspace(s, 1, batch).long().unsqueeze(1)
    padding = torch.zeros(batch, s).masked_fill(torch.arange(s) >= lengths, -torch.inf)
    return partial(attention_gru_window, padding=padding), given


@pytest.mark.parametrize("directions", [1, 2])
def test_window_is_the_cells_own_steps(directions: int) -> None:
    x_gates, state, hh, bias = drawn(
        (T, directions, N, 3 * H), (directions, N, H), (directions, 3 * H, H), (directions, 3 * H)
    )
    found = gru_window(x_gates, state, hh, bias)
    wanted = torch.stack(
        [unroll(CELLS["gru"], x_gates[:, d], (state[d],), Weights(hh[d], bias[d]))[0] for d in range(directions)], dim=1
    )
    torch.testing.assert_close(found, wanted)
    gradients = (torch.autograd.grad(way.pow(3).sum(), [x_gates, state, hh, bias]) for way in (found, wanted))
    torch.testing.assert_close(*gradients)


def test_gradient_of_the_window_is_the_numerical_one() -> None:
    given = drawn((3, 2, 2, 6), (2, 2, 2), (2, 6, 2), (2, 6))
    assert torch.autograd.gradcheck(gru_window, given)


def test_gradient_of_the_attending_window_is_the_numerical_one() -> None:
    attend, given = attending(3, 2, 2, 3, 3, 2)
    assert torch.autograd.gradcheck(lambda *tensors: attend(*tensors)[:2], given)


def test_one_step_is_a_window_too() -> None:
    attend, given = attending(1, 1, 1, 1, 1, 1)
    assert torch.autograd.gradcheck(lambda *tensors: attend(*tensors)[:2], given)
    assert torch.autograd.gradcheck(gru_window, drawn((1, 1, 1, 3), (1, 1, 1), (1, 3, 1), (1, 3)))


def test_attending_window_shows_its_weights_without_a_gradient() -> None:
    attend, given = attending(T, N, H, S, A, C)
    outputs, contexts, looks = attend(*given)
    values = given[8]
    torch.testing.assert_close(contexts, torch.einsum("tns,nsc->tnc", looks, values))
    torch.testing.assert_close(looks.sum(dim=2), torch.ones(T, N))
    assert (looks[:, -1, 1:] == 0).all() and (looks[:, 0] > 0).all()
    assert outputs.requires_grad and not looks.requires_grad


@pytest.mark.parametrize("kind", ["alone", "attending"])
def test_gradient_can_be_asked_for_again(kind: str) -> None:
    if kind == "alone":
        given = drawn((T, 1, N, 3 * H), (1, N, H), (1, 3 * H, H), (1, 3 * H))
        total = gru_window(*given).square().sum()
    else:
        attend, given = attending(T, N, H, S, A, C)
        outputs, contexts, _ = attend(*given)
        total = outputs.square().sum() + contexts.sum()
    first, second = (torch.autograd.grad(total, given, retain_graph=True) for _ in range(2))
    torch.testing.assert_close(second, first, rtol=0, atol=0)


def layer_and_input(*, bidirectional: bool, batch: int = N) -> tuple[nn.GRU, Tensor, Tensor]:
    """A layer, its input (T, N, E), and its state (D, N, H)."""
    layer = nn.GRU(E, H, bidirectional=bidirectional)
    x, state = drawn((T, batch, E), (1 + bidirectional, batch, H))
    return layer, x, state


@DIRECTIONS
def test_layer_is_torchs_module(bidirectional: bool) -> None:
    layer, x, state = layer_and_input(bidirectional=bidirectional)
    found, wanted = gru_layer(layer, x, state, None, ()), layer(x, state)
    torch.testing.assert_close(found, wanted)
    gradients = (
        torch.autograd.grad(y.square().sum() + final.pow(3).sum(), [x, state, *layer.parameters()])
        for y, final in (found, wanted)
    )
    torch.testing.assert_close(*gradients)


@DIRECTIONS
def test_padded_batch_is_its_rows_alone(bidirectional: bool) -> None:
    layer, x, state = layer_and_input(bidirectional=bidirectional)
    y, final = gru_layer(layer, x, state, LENGTHS, ())
    assert y.shape == (T, N, H * (1 + bidirectional)) and final.shape == state.shape
    for row, length in enumerate(LENGTHS.tolist()):
        mine = slice(row, row + 1)
        alone, ended = layer(x[:length, mine], state[:, mine].contiguous())
        torch.testing.assert_close((y[:length, mine], final[:, mine]), (alone, ended))
        assert (y[length:, row] == 0).all()


@DIRECTIONS
def test_padding_gets_no_gradient(bidirectional: bool) -> None:
    layer, x, state = layer_and_input(bidirectional=bidirectional)
    y, final = gru_layer(layer, x, state, LENGTHS, ())
    (gradient,) = torch.autograd.grad(y.pow(3).sum() + final.sum(), x)
    real = torch.arange(T).unsqueeze(1) < LENGTHS
    assert (gradient[~real] == 0).all() and (gradient[real] != 0).any(dim=1).all()


@DIRECTIONS
def test_dropped_weights_are_those_that_the_masks_name(bidirectional: bool) -> None:
    layer, x, state = layer_and_input(bidirectional=bidirectional)
    suffixes = SUFFIXES[: 1 + bidirectional]
    masks = [(torch.rand(3 * H, H) < 0.5) * 2.0 for _ in suffixes]
    y, final = gru_layer(layer, x, state, LENGTHS, masks)
    weights = [layer.get_parameter("weight_hh" + suffix) for suffix in suffixes]
    for gradient, mask in zip(torch.autograd.grad(y.sum(), weights), masks, strict=True):
        assert torch.equal(gradient != 0, mask != 0)
    with torch.no_grad():
        for weight, mask in zip(weights, masks, strict=True):
            weight.mul_(mask)  # by hand
    torch.testing.assert_close(gru_layer(layer, x, state, LENGTHS, ()), (y, final))


def test_a_stack_trains_by_these_windows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Recurrent("gru", E, H, num_layers=2, bidirectional=True, weight_dropout=0.5)
    x = torch.randn(N, T, E)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("by another way")

    monkeypatch.setattr("textseq.nn.recurrent.unroll", refuse)
    monkeypatch.setattr("textseq.nn.kernels.fused.run_kernel", refuse)
    stack(x, lengths=LENGTHS)[0].sum().backward()
    assert all(parameter.grad is not None for parameter in stack.parameters())
    with torch.no_grad(), pytest.raises(AssertionError, match="by another way"):
        stack(x)  # without a gradient torch's kernel needs no help


def test_under_autocast_products_alone_are_narrow() -> None:
    torch.set_default_dtype(torch.float32)
    layer, x, state = layer_and_input(bidirectional=True)
    weights = list(layer.parameters())
    exact = gru_layer(layer, x, state, LENGTHS, ())
    with torch.autocast("cpu", torch.bfloat16):
        rough = gru_layer(layer, x, state, LENGTHS, ())
    assert not torch.equal(rough[0], exact[0])
    assert {part.dtype for part in rough} == {torch.float32}
    torch.testing.assert_close(rough, exact, rtol=0, atol=0.03)
    wanted, found = (torch.autograd.grad(y.pow(3).sum() + final.sum(), weights) for y, final in (exact, rough))
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0, atol=0.05 * float(other.abs().max()))
