"""Measure several alternatives in one process, alternating, so that noise affects all of them alike."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping

import torch


def in_turns(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """The measurements of each side over some rounds, after a warm-up round."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for round_ in range(rounds + 1):
        for name, measure in sides.items():
            value = measure()
            if round_ > 0:
                found[name].append(value)
    return found


def seconds(work: Callable[[], object], times: int, device: torch.device) -> float:
    """Seconds that ``count`` runs take together, including a GPU's work."""
    start = time.perf_counter()
    for _ in range(times):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def stack_parser(description: str | None, *, rounds: int, steps: int) -> argparse.ArgumentParser:
    """Flags of benchmarks that train a stack of layers, with default rounds and steps per round."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--num-layers", type=int, default=2)
    parser.add_argument("--window", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--steps", type=int, default=steps, help="steps of each side in a round")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32", help="of all sides")
    return parser
