"""Training cells that have no fused kernel against the LSTM that has one, in tokens per second.

Each is a stack of two layers, forward and backward over a window; the sides alternate in one process, and the medians
are printed with their ratio to the fused LSTM. Reach: on a CPU half its speed, on a GPU a third.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from conditions import print_conditions
from table import Row, note

from textseq.config import CellName
from textseq.devices import pick_device
from textseq.recurrent import Recurrent

FUSED = "LSTM"
KINDS: dict[str, tuple[CellName, dict[str, object]]] = {
    FUSED: ("lstm", {}),
    "LSTM, dropped recurrent weights": ("lstm", {"weight_dropout": 0.3}),
    "LSTM with peepholes": ("lstm-peephole", {}),
    "LSTM, layer-normalised": ("lstm", {"layer_norm": True}),
    "LSTM, zoneout": ("lstm", {"zoneout": (0.1, 0.1)}),
    "GRU": ("gru", {}),
    "GRU, reset before the product": ("gru-reset-before", {}),
    "GRU, layer-normalised": ("gru", {"layer_norm": True}),
}
"""What the table calls it: its cell, and what else the stack is made with."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--window", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1, help="steps of each side in a round")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    o = parser.parse_args()
    device = pick_device(o.device)
    x = torch.randn(o.batch_size, o.window, o.hidden_size, device=device)

    def side(cell: CellName, extra: dict[str, object]) -> Callable[[], None]:
        stack = Recurrent(cell, o.hidden_size, o.hidden_size, layers=o.layers, **extra).to(device)  # type: ignore[arg-type]

        def step() -> None:
            with torch.autocast(device.type, torch.bfloat16, enabled=o.precision == "bfloat16"):
                y, _ = stack(x)
            torch.autograd.backward(y.float().square().mean())
            stack.zero_grad()

        return step

    sides = {name: side(cell, extra) for name, (cell, extra) in KINDS.items()}
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(o.rounds + 1):
        for name, step in sides.items():
            start = time.perf_counter()
            for _ in range(o.steps):
                step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if round_ > 0:  # the first warms up
                speeds[name].append(o.steps * x.shape[0] * x.shape[1] / (time.perf_counter() - start))
    reach = 1 / 3 if device.type == "cuda" else 0.5
    print(f"{'cell':<34}{'tokens/s':>10}{'over the fused LSTM':>22}")
    for name, values in speeds.items():
        ratio = statistics.median(value / fused for value, fused in zip(values, speeds[FUSED], strict=True))
        print(f"{name:<34}{statistics.median(values):>10,.0f}{ratio:>20.2f} x")
        if name != FUSED:
            what = f"training, {name}, {o.precision}, over the fused LSTM"
            note(Row(what, statistics.median(values), "tokens/s", ratio, reach))
    print(f"{o.layers}x{o.hidden_size}, {o.precision}, N {o.batch_size}, T {o.window}, forward and backward")
    print_conditions()


if __name__ == "__main__":
    main()
