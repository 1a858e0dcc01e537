"""Tokens per second when training cells that have no fused kernel, against the fused LSTM.

A stack of two layers, forward and backward over a window. The cells alternate in one process; prints medians and their
ratio to the fused LSTM. Goal on a CPU: 0.6 of its speed, for GRUs 0.8.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from conditions import print_conditions
from sides import in_turns, seconds, stack_parser
from table import Row, note

from textseq.config.names import CellName
from textseq.nn.recurrent import Recurrent
from textseq.training.devices import pick_device

FUSED = "LSTM"
KINDS: dict[str, tuple[CellName, dict[str, object]]] = {
    FUSED: ("lstm", {}),
    "LSTM, dropped recurrent weights": ("lstm", {"weight_dropout": 0.3}),
    "LSTM with peepholes": ("lstm-peephole", {}),
    "Mogrifier LSTM": ("lstm-mogrifier", {}),
    "LSTM, layer-normalized": ("lstm", {"layer_norm": True}),
    "LSTM, zoneout": ("lstm", {"zoneout": (0.1, 0.1)}),
    "GRU": ("gru", {}),
    "GRU, reset before the product": ("gru-reset-before", {}),
    "GRU, layer-normalized": ("gru", {"layer_norm": True}),
    "minGRU": ("mingru", {}),
    "minLSTM": ("minlstm", {}),
}
"""What the table calls it: its cell, and what else the stack is made with."""

REACH = {name: 0.8 if name.startswith("GRU") else 0.6 for name in KINDS if not name.startswith(("min", "Mogrifier"))}
"""Times the speed of the fused LSTM on a CPU."""


def main() -> None:
    """Measure and print."""
    o = stack_parser(__doc__, rounds=5, steps=1).parse_args()
    device = pick_device(o.device)
    x = torch.randn(o.batch_size, o.window, o.hidden_size, device=device)

    def side(cell: CellName, extra: dict[str, object]) -> Callable[[], float]:
        stack = Recurrent(cell, o.hidden_size, o.hidden_size, num_layers=o.num_layers, **extra).to(device)  # type: ignore[arg-type]

        def step() -> None:
            with torch.autocast(device.type, torch.bfloat16, enabled=o.precision == "bfloat16"):
                y, _ = stack(x)
            torch.autograd.backward(y.float().square().mean())
            stack.zero_grad()

        return lambda: o.steps * o.batch_size * o.window / seconds(step, o.steps, device)

    sides = {name: side(cell, extra) for name, (cell, extra) in KINDS.items()}
    speeds = in_turns(sides, o.rounds)
    reach = dict.fromkeys(KINDS, 1 / 3) if device.type == "cuda" else REACH
    print(f"{'cell':<34}{'tokens/s':>10}{'over the fused LSTM':>22}")
    for name, values in speeds.items():
        ratio = statistics.median(value / fused for value, fused in zip(values, speeds[FUSED], strict=True))
        print(f"{name:<34}{statistics.median(values):>10,.0f}{ratio:>20.2f} x")
        if name != FUSED:
            what = f"training, {name}, {o.precision}, over the fused LSTM"
            note(Row(what, statistics.median(values), "tokens/s", ratio, reach.get(name)))
    print(f"{o.num_layers}x{o.hidden_size}, {o.precision}, N {o.batch_size}, T {o.window}, forward and backward")
    print_conditions()


if __name__ == "__main__":
    main()
