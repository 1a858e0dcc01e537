"""Weights in oneDNN's layout: the same products for every cell, and unchanged weights where it is not possible."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from textseq.config.names import CellName
from textseq.nn.cell_registry import CELLS
from textseq.nn.cells import Weights
from textseq.nn.kernels import inference_weights as packed
from textseq.nn.kernels.inference_weights import MIN_PACKED, Linear, PackedLinear, has_onednn
from textseq.nn.recurrent import Recurrent

H = 16

needs_onednn = pytest.mark.skipif(not has_onednn(), reason="this torch has no oneDNN")


@needs_onednn
@pytest.mark.parametrize("rows", [1, 5, 64])
@pytest.mark.parametrize("bias", [True, False])
def test_the_product_is_the_plain_one(rows: int, bias: bool) -> None:
    torch.manual_seed(1)
    weight, x = torch.randn(48, 40), torch.randn(rows, 40)
    shift = torch.randn(48) if bias else None
    wanted = torch.nn.functional.linear(x.double(), weight.double(), None if shift is None else shift.double())
    torch.testing.assert_close(PackedLinear(weight, shift)(x).double(), wanted, rtol=1e-5, atol=1e-5)
    slice_ = PackedLinear(weight[7:20], None if shift is None else shift[7:20])  # which does not begin at its memory
    torch.testing.assert_close(slice_(x).double(), wanted[:, 7:20], rtol=1e-5, atol=1e-5)


@needs_onednn
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("layer_norm", [False, True], ids=["plain", "normalized"])
@pytest.mark.parametrize("cell", CELLS)
def test_steps_with_prepared_weights_are_the_plain_steps(
    cell: CellName, layer_norm: bool, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "MIN_PACKED", 0)
    made: list[Linear] = []

    def counted(weight: Tensor, bias: Tensor | None = None) -> Linear:
        made.append(PackedLinear(weight, bias))
        return made[-1]

    monkeypatch.setattr(packed, "PackedLinear", counted)
    torch.manual_seed(1)
    stack = Recurrent(cell, 8, H, num_layers=2, layer_norm=layer_norm).eval()
    with torch.inference_mode():
        gates = stack.input_gates(torch.randn(9, rows, 8))  # (T, N, G*H)
        steps, states = [stack.stepper(), stack.stepper(packed.packed)], [stack.initial_state(rows)] * 2
        for now in gates:
            outputs = []
            for side, step in enumerate(steps):
                y, states[side] = step(now, states[side])
                outputs.append(y)
            torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(*states, rtol=1e-4, atol=1e-5)
    merged = CELLS[cell].additive and not layer_norm  # the upper layer's two products are one
    # gru-reset-before takes two products of each state, the Mogrifier also one of the first input, mingru none of h.
    others = {"gru-reset-before": 5, "lstm-mogrifier": 4, "mingru": 1, "minlstm": 1}
    assert len(made) == others.get(cell, 2 if merged else 3)


def test_what_onednn_has_not_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def weights(columns: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Weights:
        return Weights(
            torch.zeros(32, columns, dtype=dtype, device=device), torch.zeros(32, dtype=dtype, device=device)
        )

    enough = MIN_PACKED // 32
    for kept in (weights(enough - 1), weights(enough, torch.float64), weights(enough, device="meta")):
        assert packed.packed(kept) is kept
    large = weights(enough)
    assert not has_onednn() or packed.packed(large) is not large
    monkeypatch.setattr(packed, "has_onednn", lambda: False)
    assert packed.packed(large) is large
