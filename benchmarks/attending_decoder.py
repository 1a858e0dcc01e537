"""Time to train the attention decoder: the hand-written gradient (on a GPU with one kernel per attention step, and CUDA
graphs) against a step-by-step loop with autograd. Forward and backward over a window; on a GPU also peak memory.

The layer is the translator's: GRU, additive attention, all sources and targets of the same length. Both sides have the
same weights and alternate in one process; prints medians.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
from conditions import print_conditions
from sides import in_turns, seconds
from table import Row, note
from torch import Tensor

from textseq.nn.attention import Memory
from textseq.nn.attention_decoder import AttentionDecoder
from textseq.nn.cells import State
from textseq.nn.kernels.cuda_graphs import CALLS_BEFORE_RECORDING
from textseq.training.devices import pick_device

PLAIN, OURS = "step by step", "by hand"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=80)
    parser.add_argument("--source", type=int, default=16, help="tokens of a source")
    parser.add_argument("--target", type=int, default=16, help="tokens of a target")
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    o = parser.parse_args()
    device = pick_device(o.device)
    torch.manual_seed(0)
    n, s, t, h = o.batch_size, o.source, o.target, o.hidden_size
    layer = AttentionDecoder("gru", "additive", h // 2, h, h, h).to(device)
    words = torch.randn(t, n, h // 2, device=device)
    values = torch.randn(n, s, h, device=device, requires_grad=True)
    state = (torch.zeros(n, h, device=device),)

    def window(forward: Callable[..., tuple[Tensor, Tensor, Tensor, State]]) -> Callable[[], None]:
        def step() -> None:
            memory = Memory(values)
            outputs, contexts, *_ = forward(layer.word_gates(words), memory, state)
            torch.autograd.backward(outputs.square().mean() + contexts.square().mean())
            layer.zero_grad()
            values.grad = None

        return step

    work = {PLAIN: window(layer.forward_reference), OURS: window(layer.forward)}
    peaks: dict[str, int] = {}
    for name, step in work.items():
        for _ in range(CALLS_BEFORE_RECORDING + 1):  # until it is recorded
            step()
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            step()
            peaks[name] = torch.cuda.max_memory_allocated() - before
    taken = in_turns({name: lambda step=step: seconds(step, 3, device) / 3 for name, step in work.items()}, o.rounds)  # type: ignore[misc]
    medians = {name: statistics.median(values) for name, values in taken.items()}
    for name, median in medians.items():
        peak = f", {peaks[name] / 2**20:,.0f} MiB beside what it is given" if peaks else ""
        print(f"{name:<14}{median * 1000:>9.1f} ms{medians[PLAIN] / median:>8.2f} x{peak}")
    goal = 10.0 if device.type == "cuda" else None
    ratio = medians[PLAIN] / medians[OURS]
    note(
        Row(
            "training the attending decoder, over the step-by-step loop",
            n * t / medians[OURS],
            "tokens/s",
            ratio,
            goal,
        )
    )
    if peaks:
        share = peaks[OURS] / peaks[PLAIN]
        note(Row("its peak memory, over the same", peaks[OURS] / 2**20, "MiB", share, 0.5, at_most=True))
    print(f"N {n}, S {s}, T {t}, H {h}, float32, forward and backward, medians of {o.rounds}")
    print_conditions()


if __name__ == "__main__":
    main()
