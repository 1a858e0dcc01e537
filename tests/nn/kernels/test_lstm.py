"""One call of the fused kernel gives what torch computes of packed sequences, and of pieces of a window."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from textseq.nn.cells import State
from textseq.nn.kernels.lstm import lstm_over_padding, lstm_with_resets

T, N, E, H = 9, 5, 13, 6
LENGTHS = [[9, 1, 4, 7, 9], [9, 9, 9, 9, 9], [3, 2, 5, 1, 4], [1, 1, 1, 1, 1]]


def packed(kernel: nn.LSTM, x: Tensor, state: State, lengths: Tensor) -> tuple[Tensor, State]:
    h, c = state
    y, after = kernel(pack_padded_sequence(x, lengths, enforce_sorted=False), (h, c))
    return pad_packed_sequence(y, total_length=len(x))[0], after


def drawn(bidirectional: bool, dtype: torch.dtype, width: int = E) -> tuple[nn.LSTM, Tensor, State]:
    torch.manual_seed(1)
    kernel, directions = nn.LSTM(width, H, bidirectional=bidirectional).to(dtype), 1 + bidirectional
    state = tuple(torch.randn(directions, N, H, dtype=dtype) for _ in range(2))
    for part in state:
        part[1:] = 0
    return kernel, torch.randn(T, N, width, dtype=dtype, requires_grad=True), state


def same_with_gradients(found: tuple[Tensor, State], wanted: tuple[Tensor, State], inputs: list[Tensor]) -> None:
    """Outputs and states are equal, and the gradients of one number that each of their entries enters."""
    torch.testing.assert_close(found, wanted)
    gradients = []
    for y, after in (found, wanted):
        total = sum((part * torch.linspace(-1, 2, part.numel()).view_as(part)).sum() for part in (y, *after))
        gradients.append(torch.autograd.grad(torch.as_tensor(total), inputs))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("width", [E, 8])
def test_it_is_the_packed_sequence(bidirectional: bool, lengths: list[int], width: int) -> None:
    kernel, x, state = drawn(bidirectional, torch.float64, width)
    found, wanted = (run(kernel, x, state, torch.tensor(lengths)) for run in (lstm_over_padding, packed))
    same_with_gradients(found, wanted, [x, *kernel.parameters()])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_cell_passes_the_padding_to_the_bit(dtype: torch.dtype) -> None:
    """However long the padding, and whatever stands in it."""
    kernel, x, state = drawn(False, dtype)
    lengths = torch.tensor([1] * N)
    _, (h, c) = lstm_over_padding(kernel, x, state, lengths)
    for padding in (T - 1, 400):
        garbage = torch.cat([x[:1], torch.full((padding, N, E), 1e9, dtype=dtype)])
        _, after = lstm_over_padding(kernel, garbage, state, lengths)
        assert torch.equal(after[0], h) and torch.equal(after[1], c)


def in_pieces(kernel: nn.LSTM, x: Tensor, state: State, resets: Tensor) -> tuple[Tensor, State]:
    h, c = state
    outputs = []
    for t in range(len(x)):
        going_on = (~resets[:, t]).to(x.dtype).view(1, -1, 1)
        y, (h, c) = kernel(x[t : t + 1], (h * going_on, c * going_on))
        outputs.append(y)
    return torch.cat(outputs), (h, c)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("width", [E, 6, 7, 8])
def test_rows_that_start_afresh_are_read_in_pieces(share: float, width: int) -> None:
    kernel, x, state = drawn(False, torch.float64, width)
    resets = torch.rand(N, T) < share
    resets[0] = False
    found, wanted = (run(kernel, x, state, resets) for run in (lstm_with_resets, in_pieces))
    same_with_gradients(found, wanted, [x, *kernel.parameters()])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_was_before_does_not_reach_over_a_fresh_start(dtype: torch.dtype) -> None:
    kernel, x, state = drawn(False, dtype)
    resets = torch.zeros(N, T, dtype=torch.bool)
    resets[:, 3] = True
    y, (h, c) = lstm_with_resets(kernel, x, state, resets)
    other = torch.cat([torch.full_like(x[:3], 9.0), x[3:]])
    again, after = lstm_with_resets(kernel, other, tuple(-part for part in state), resets)
    assert torch.equal(again[3:], y[3:]) and not torch.equal(again[:3], y[:3])
    assert torch.equal(after[0], h) and torch.equal(after[1], c)
