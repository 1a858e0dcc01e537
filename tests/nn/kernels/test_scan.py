"""The recurrence over a whole window is the plain loop, its gradient autograd's, and nothing overflows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from textseq.nn.cell_registry import CELLS
from textseq.nn.cells import Weights
from textseq.nn.kernels.scan import in_pairs, scan, states

N, H = 3, 4


def drawn(length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Coefficients from 0 to 1, some of them exactly these, what is added, and a state."""
    torch.manual_seed(1)
    a = (torch.rand(length, N, H, dtype=torch.float64) * 1.4 - 0.2).clamp(0, 1)
    return a, torch.randn(length, N, H, dtype=torch.float64), torch.randn(N, H, dtype=torch.float64)


def plain(a: Tensor, b: Tensor, h: Tensor) -> Tensor:
    outputs = []
    for kept, added in zip(a, b, strict=True):
        h = kept * h + added
        outputs.append(h)
    return torch.stack(outputs)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 8, 31, 100])
@pytest.mark.parametrize("way", [states, in_pairs], ids=["in_turn", "in_pairs"])
def test_states_are_those_of_a_loop(length: int, way: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
    a, b, h = drawn(length)
    torch.testing.assert_close(way(a, b, h), plain(a, b, h), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("length", [1, 9])
def test_gradient_is_autograds(length: int, backward: bool) -> None:
    leaves = [part.requires_grad_() for part in drawn(length)]
    a, b, h = leaves
    weights = torch.linspace(-1, 1, a.numel(), dtype=torch.float64).view_as(a)
    y, final = scan(a, b, h, backward=backward)
    wanted = plain(a.flip(0), b.flip(0), h).flip(0) if backward else plain(a, b, h)
    last = wanted[0] if backward else wanted[-1]
    torch.testing.assert_close((y, final), (wanted, last))
    found = torch.autograd.grad((y * weights).sum() + final.square().sum(), leaves)
    torch.testing.assert_close(found, torch.autograd.grad((wanted * weights).sum() + last.square().sum(), leaves))


def test_padding_keeps_the_state_and_resets_forget_it() -> None:
    a, b, h = drawn(6)
    lengths = torch.tensor([6, 2, 4])
    y, final = scan(a, b, h, lengths=lengths)
    whole = plain(a, b, h)
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close((y[:length, row], final[row]), (whole[:length, row], whole[length - 1, row]))
        assert not y[length:, row].any()
    resets = torch.zeros(N, 6, dtype=torch.bool)
    resets[1, 3] = True
    y, final = scan(a, b, h, resets=resets)
    torch.testing.assert_close(y[3:, 1], plain(a[3:, 1], b[3:, 1], torch.zeros_like(h[1])))
    torch.testing.assert_close(y[:, 0], whole[:, 0])


def test_it_is_the_papers_scan_in_log_space() -> None:
    """Feng et al. (2024), appendix B: log h = A + logcumsumexp(log b - A), where A is the sum of log a so far."""
    torch.manual_seed(1)
    z, n = torch.randn(2, 50, N, H, dtype=torch.float64)
    h = torch.rand(N, H, dtype=torch.float64)
    total = torch.cat([torch.zeros(1, N, H), -softplus(z)]).cumsum(0)
    log_n = torch.where(n >= 0, (torch.relu(n) + 0.5).log(), -softplus(-n))
    values = torch.cat([h.log().unsqueeze(0), -softplus(-z) + log_n])
    wanted = (total + torch.logcumsumexp(values - total, dim=0)).exp()[1:]
    coefficients = CELLS["mingru"].coefficients
    assert coefficients is not None
    y, _ = scan(*coefficients(torch.cat([z, n], dim=-1), Weights(torch.empty(0, H), torch.empty(0))), h)
    torch.testing.assert_close(y, wanted)


@pytest.mark.parametrize("way", [states, in_pairs], ids=["in_turn", "in_pairs"])
def test_nothing_overflows_in_a_long_window_of_closed_or_open_gates(
    way: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> None:
    for kept in (0.0, 1e-30, 1.0):
        a, b = torch.full((5000, 1, 1), kept), torch.full((5000, 1, 1), 1.0)
        y = way(a, b, torch.ones(1, 1))
        assert y.isfinite().all()
        torch.testing.assert_close(y[-1].item(), 5001.0 if kept == 1 else 1.0)
