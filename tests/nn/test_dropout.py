"""Dropout drops what it says, keeps the mean, and is torch's in all that is not chance."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from textseq.errors import TextseqError
from textseq.nn.dropout import Dropout, keep_mask
from textseq.nn.recurrent import Recurrent


@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.9])
def test_the_share_and_the_mean_are_right(p: float) -> None:
    torch.manual_seed(1)
    n = 400_000
    mask = keep_mask(torch.ones(n), p)
    kept = mask != 0
    assert abs((~kept).double().mean().item() - p) < 5 * (p * (1 - p) / n) ** 0.5 + 2**-17
    torch.testing.assert_close(mask[kept], torch.full_like(mask[kept], 1 / (1 - p)), rtol=1e-3, atol=0)
    assert abs(mask.double().mean().item() - 1) < 5 * (p / (1 - p) / n) ** 0.5


def test_neighbors_are_independent() -> None:
    """The four decisions from one draw are as independent as any others."""
    torch.manual_seed(2)
    kept = (keep_mask(torch.ones(400_000), 0.5) != 0).double().view(-1, 4) - 0.5
    correlation = 4 * kept.t() @ kept / len(kept)
    torch.testing.assert_close(correlation, torch.eye(4, dtype=torch.float64), rtol=0, atol=0.02)
    torch.testing.assert_close(4 * (kept[1:] * kept[:-1]).mean(0), torch.zeros(4).double(), rtol=0, atol=0.02)


@pytest.mark.parametrize("shape", [(0,), (1,), (3,), (2, 3, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_any_shape_and_type(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    y = Dropout(0.5)(torch.ones(shape, dtype=dtype))
    assert (y.shape, y.dtype) == (torch.Size(shape), dtype)


def test_the_gradient_passes_where_the_activation_did() -> None:
    x = torch.randn(1000, requires_grad=True)
    y = Dropout(0.3)(x)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x.detach(), y.detach())


def test_nothing_is_dropped_outside_training_or_at_zero() -> None:
    x = torch.randn(50)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_the_seed_decides() -> None:
    x = torch.ones(100)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(Dropout(0.5)(x))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_locked_dropout_drops_the_same_at_every_step() -> None:
    torch.manual_seed(1)
    y = Dropout(0.5, locked=True)(torch.ones(7, 20, 30))
    assert (y == y[:1]).all()
    assert 0.3 < (y == 0).double().mean() < 0.7
    assert not (y[0] == y[0, :1]).all()


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_mask_is_made_on_the_activations_device(device: str) -> None:
    mask = keep_mask(torch.empty(3, 4, device=device), 0.5)
    assert (mask.device.type, mask.shape) == (device, torch.Size((3, 4)))


@pytest.mark.parametrize("rate", [-0.5, 1.0, 1.5, float("nan")])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("dropout", Dropout),
        ("dropout", lambda p: Recurrent("lstm", 2, 2, dropout=p)),
        ("weight_dropout", lambda p: Recurrent("lstm", 2, 2, weight_dropout=p)),
        ("zoneout", lambda p: Recurrent("lstm", 2, 2, zoneout=(0.0, p))),
    ],
)
def test_rates_out_of_range_are_refused(name: str, make: Callable[[float], nn.Module], rate: float) -> None:
    with pytest.raises(TextseqError, match=f"{name}: expected at least 0 and less than 1, got {rate}"):
        make(rate)
