"""Weights in 32, 16 and 8 bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from textseq.checkpoints.weight_formats import FLOATS, Bits, from_stored, to_stored
from textseq.errors import TextseqError

FILE = Path("model.safetensors")


def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        "matrix": torch.randn(30, 20) * torch.logspace(-9, 4, 30).unsqueeze(1),
        "zero": torch.zeros(3, 4),
        "kernels": torch.randn(5, 4, 3),
        "bias": torch.randn(30),
    }


@pytest.mark.parametrize(("bits", "relative"), [(32, 0.0), (16, 2**-11), (8, 0.5 / 127 * 1.001)])
def test_weights_come_back_within_half_a_step_of_their_row(bits: Bits, relative: float) -> None:
    before = weights()
    if bits == 16:
        before["matrix"] = torch.randn(30, 20).clamp(-4, 4)  # 16 bits hold no very small numbers
    after = from_stored(to_stored(before, bits), FILE)
    assert list(after) == list(before)
    for name, tensor in before.items():
        assert after[name].dtype in FLOATS and after[name].shape == tensor.shape
        rows, errors = (x.view(len(tensor), -1) for x in (tensor.abs(), (after[name].float() - tensor).abs()))
        of_row = 2**-11 if bits == 8 and tensor.dim() == 1 else relative
        assert (errors.amax(1) <= of_row * rows.amax(1) + 1e-30).all(), name


def test_eight_bits_are_a_quarter_of_the_size_and_stay_what_they_are() -> None:
    stored = to_stored({"matrix": weights()["matrix"]}, 8)
    assert {tensor.dtype for tensor in stored.values()} == {torch.int8, torch.float32}
    assert sum(tensor.nbytes for tensor in stored.values()) == 30 * 20 + 4 * 30
    again = to_stored(from_stored(stored, FILE), 8)
    assert torch.equal(again["matrix"], stored["matrix"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("matrix:scale"), "'matrix' lacks the scales of its rows"),
        (lambda t: t.update({"matrix:scale": torch.ones(29)}), "'matrix' lacks the scales of its rows"),
        (lambda t: t.update({"matrix:scale": torch.ones(30, dtype=torch.int64)}), "'matrix' lacks the scales"),
        (lambda t: t["matrix:scale"].fill_(float("inf")), "'matrix:scale' has infinite or undefined numbers"),
        (lambda t: t["bias"].fill_(float("nan")), "'bias' has infinite or undefined numbers"),
        (lambda t: t.update(bias=torch.ones(3, dtype=torch.int32)), "'bias' has numbers of torch.int32"),
        (lambda t: t.update(bias=torch.ones(3, dtype=torch.int8)), "'bias' lacks the scales of its rows"),
    ],
)
def test_damaged_tensors_are_refused(change: object, message: str) -> None:
    stored = to_stored(weights(), 8)
    assert callable(change)
    change(stored)
    with pytest.raises(TextseqError, match=rf"model.safetensors is damaged: {message}.*; restore the folder"):
        from_stored(stored, FILE)


def test_only_three_formats_are_known() -> None:
    with pytest.raises(TextseqError, match="expected bits of 32, 16 or 8 per weight, got 4"):
        to_stored(weights(), 4)  # type: ignore[arg-type]
