"""A trace has every step's states and gates: those of a naive loop, and of the outputs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from textseq import nn
from textseq.nn.cell_registry import CELLS
from textseq.nn.cells import State

N, T, E, H, L = 3, 6, 4, 5, 2
LENGTHS = torch.tensor([4, T, 1])
BUILT_IN = [
    "rnn",
    "rnn-relu",
    "lstm",
    "lstm-peephole",
    "lstm-mogrifier",
    "gru",
    "gru-reset-before",
    "mingru",
    "minlstm",
]


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    torch.manual_seed(1)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def naive_step(cell: str, x: Tensor, state: State, w: dict[str, Tensor]) -> tuple[State, dict[str, Tensor]]:
    """One row, one step, gate by gate: the new state and the gates."""
    h, gates = state[0], CELLS[cell].gates

    def affine(gate: str, h: Tensor) -> tuple[Tensor, Tensor]:
        rows = slice(gates.index(gate) * H, (gates.index(gate) + 1) * H)
        share = w["weight_ih"][rows] @ x + w["bias_ih"][rows]
        return share, w["weight_hh"][rows] @ h + w["bias_hh"][rows] if "weight_hh" in w else share

    def sigma(gate: str, peep: Tensor | float = 0.0) -> Tensor:
        return torch.sigmoid(sum(affine(gate, h), torch.zeros(())) + peep)

    if cell.startswith("rnn"):
        new = (torch.relu if "relu" in cell else torch.tanh)(sum(affine("h", h), torch.zeros(())))
        return (new,), {"h": new}
    if cell.startswith("min"):
        a = [affine(gate, h)[0] for gate in gates]
        n = torch.where(a[-1] >= 0, a[-1] + 0.5, torch.sigmoid(a[-1]))
        if cell == "mingru":
            z = torch.sigmoid(a[0])
            return ((1 - z) * h + z * n,), {"z": z, "n": n}
        i, f = torch.sigmoid(a[0]), torch.sigmoid(a[1])
        i, f = i / (i + f), f / (i + f)
        return (f * h + i * n,), {"i": i, "f": f, "g": n}
    if cell.startswith("lstm"):
        c = state[1]
        if cell == "lstm-mogrifier":
            for odd, even in (("q1", "r2"), ("q3", "r4"), ("q5", "")):
                x = 2 * torch.sigmoid(w[f"weight_{odd}"] @ h) * x
                h = 2 * torch.sigmoid(w[f"weight_{even}"] @ x) * h if even else h
        p = w.get("weight_ch", torch.zeros(3, H))
        i, f, g = sigma("i", p[0] * c), sigma("f", p[1] * c), torch.tanh(sum(affine("g", h), torch.zeros(())))
        c = f * c + i * g
        o = sigma("o", p[2] * c)
        return (o * torch.tanh(c), c), {"i": i, "f": f, "g": g, "o": o}
    r, z = sigma("r"), sigma("z")
    x_n, h_n = affine("n", h)
    n = torch.tanh(x_n + (r * h_n if cell == "gru" else affine("n", r * h)[1]))
    return ((1 - z) * n + z * h,), {"r": r, "z": z, "n": n}


@pytest.mark.parametrize("cell", BUILT_IN)
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "padded"])
def test_trace_is_the_naive_loop(cell: str, bidirectional: bool, lengths: Tensor | None) -> None:
    stack = nn.Recurrent(cell, E, H, num_layers=L, bidirectional=bidirectional)
    x = torch.randn(N, T, E)
    start = tuple(torch.randn_like(part) for part in stack.initial_state(N))
    y, state, trace = stack(x, start, lengths=lengths, return_trace=True)
    assert isinstance(trace, nn.RecurrentTrace)
    torch.testing.assert_close((y, state), stack(x, start, lengths=lengths))
    directions = 1 + bidirectional
    assert [*trace.gates] == [*CELLS[cell].gates] and len(trace.states) == CELLS[cell].states
    wanted = {name: torch.zeros(L, directions, N, T, H) for name in [*trace.gates, "state0", "state1"]}
    for row in range(N):
        read = x[row]
        real = T if lengths is None else int(lengths[row])
        for layer in range(L):
            for direction in range(directions):
                suffix = "_l0" + "_reverse" * direction
                named = stack.layers[layer].named_parameters()
                w: dict[str, Tensor] = {
                    name.removesuffix(suffix): part for name, part in named if name.endswith(suffix)
                }
                now = tuple(part[layer * directions + direction, row] for part in start)
                for t in reversed(range(real)) if direction else range(real):
                    now, gates = naive_step(cell, read[t], now, w)
                    for name, value in {**gates, **{f"state{k}": part for k, part in enumerate(now)}}.items():
                        wanted[name][layer, direction, row, t] = value
            read = wanted["state0"][layer, :, row].transpose(0, 1).flatten(1)  # (T, D*H)
    for name, gate in trace.gates.items():
        torch.testing.assert_close(gate, wanted[name])
    for k, part in enumerate(trace.states):
        torch.testing.assert_close(part, wanted[f"state{k}"])
    torch.testing.assert_close(torch.cat([*trace.h[-1]], dim=-1), y)


def test_the_last_state_is_in_the_trace() -> None:
    stack = nn.Recurrent("lstm", E, H, num_layers=L)
    _, (h, c), trace = stack(torch.randn(N, T, E), lengths=LENGTHS, return_trace=True)
    for row, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(
            (trace.h[:, 0, row, length - 1], trace.c[:, 0, row, length - 1]), (h[:, row], c[:, row])
        )


def test_a_trace_follows_masks_zoneout_and_layer_norm_and_refuses_resets() -> None:
    drops = {"dropout": 0.5, "locked_dropout": True, "weight_dropout": 0.5, "zoneout": (0.3, 0.3)}
    stack = nn.Recurrent("lstm", E, H, num_layers=L, layer_norm=True, **drops)  # type: ignore[arg-type]
    x, masks = torch.randn(N, T, E), stack.sample_masks(N)
    stack.zoneout = ()
    y, _, trace = stack(x, masks=masks, return_trace=True)
    torch.testing.assert_close(trace.h[-1, 0], y)
    torch.testing.assert_close(stack(x, masks=masks)[0], y)
    stack.eval().zoneout = (0.3, 0.3)
    y, _, trace = stack(x, return_trace=True)
    torch.testing.assert_close((trace.h[-1, 0], stack(x)[0]), (y, y))
    with pytest.raises(ValueError, match="resets"):
        stack(x, resets=torch.zeros(N, T, dtype=torch.bool), return_trace=True)


def test_a_trace_begins_where_the_outputs_do() -> None:
    """At the state that is given at a restart, where the text has no state of its own."""
    stack, x = nn.Recurrent("lstm", E, H, num_layers=L), torch.randn(N, T, E)
    start = tuple(torch.randn_like(part) for part in stack.initial_state(N))
    y, state, trace = stack(x, restart=lambda _: start, return_trace=True)
    torch.testing.assert_close((y, state), stack(x, start))
    torch.testing.assert_close(trace.h[-1, 0], y)
