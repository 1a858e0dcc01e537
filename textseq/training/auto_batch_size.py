"""``--batch-size auto``: the batch that a device has room for, as long as a larger one makes training faster."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self, TypeVar

import torch
from torch import nn

from textseq.config.training import FIRST_BATCH, TrainingConfig
from textseq.data.batching import Cursor
from textseq.errors import TextseqError
from textseq.training.distributed.environment import environment
from textseq.training.step import Batches, TrainStep

Sized = TypeVar("Sized", bound="SizedBatches")


class SizedBatches(Batches, Protocol):
    """Batches that can be had in another size."""

    def resized(self, rows: int) -> Self:
        """The same in batches of so many rows."""

    def largest(self) -> Cursor:
        """A place in the first epoch whose batch takes the most memory."""


LARGEST = 4096
"""Rows that are tried at most."""

ROOM = 0.5
"""Share of the free memory that a step may take: other programs, and longer sentences, want some too."""

GAIN = 1.1
"""How many times as fast per row a batch twice as large must be to be worth its fewer steps."""

TRIES = 3
"""Steps of each size; the first makes buffers, and the fastest of the others counts."""


@dataclass(frozen=True)
class Fit:
    """What was found."""

    rows: int
    why: str
    """What speaks against more, for people."""


def fitting(
    model: nn.Module,
    batches: SizedBatches,
    config: TrainingConfig,
    *,
    free: Callable[[torch.device], float] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Fit:
    """Try batches of 16 rows, 32, 64... on the largest batch that the text gives.

    Args:
        model: its gradient is made and thrown away; its weights stay as they are.
        batches: of the text, in any size.
        config: of the training.
        free: bytes that are free on a device; by default those that the system tells of.
        clock: seconds.

    Raises:
        TextseqError: not even the smallest batch fits.
    """
    device = next(model.parameters()).device
    own = environment()
    room = (free or free_memory)(device) * ROOM / (own.beside if device.type == "cpu" else 1)
    copies = 2 if own.count == 1 else 3  # the optimizer's memory, and the gradients on their way
    room -= copies * sum(p.numel() * p.element_size() for p in model.parameters())
    config = replace(config, accumulate=1, micro_batches=1)
    best: Fit | None = None
    fastest, rows, taken = 0.0, FIRST_BATCH, 0.0
    before = _mark(device)
    while True:
        if 2 * taken > room:  # as much again as the size before would be more than there is
            why = "a larger batch would not fit into memory"
            break
        sized = batches.resized(rows)
        learner, place = TrainStep(model, sized, config), sized.largest()
        seconds: list[float] = []
        gradient = None
        for _ in range(TRIES):
            learner.progress.epoch, learner.progress.position = place
            learner.state = None
            start = clock()
            gradient = learner.gradient()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(clock() - start)
            learner.optimizer.zero_grad()
            if gradient is None:
                break
        if gradient is None:
            why = "a larger batch does not fit into memory"
            break
        taken = max(_peak(device) - before, taken)
        if taken > room and best is not None:
            why = "a larger batch does not fit into memory"
            break
        speed = learner.progress.rows / max(min(seconds[1:]), 1e-9)
        if best is not None and speed < GAIN * fastest:
            why = "a larger batch is hardly faster"
            break
        best, fastest = Fit(learner.progress.rows, ""), speed
        if learner.progress.rows < rows:
            why = "the text gives no larger batch"
            break
        if rows == LARGEST:
            why = "no larger batch is tried"
            break
        rows *= 2
    if best is None:
        raise TextseqError(
            f"--batch-size auto: not even a batch of {FIRST_BATCH} rows fits into memory; set a smaller --batch-size, "
            "or train smaller layers"
        )
    return replace(best, why=why)


def free_memory(device: torch.device) -> float:
    """Bytes that are free on a device; infinite where the system does not tell."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    found = [float("inf")]
    with suppress(OSError, ValueError, IndexError):
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(float(lines["MemAvailable"].split()[0]) * 1024)
    with suppress(OSError, ValueError):  # of a container
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text() for name in ("max", "current"))
        found.append(float(limit) - float(used))
    with suppress(OSError, ValueError, AttributeError):
        found.append(float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
    return min(found)


STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
"""Where Linux tells of a process's memory, and where its peak is set back."""


def _mark(device: torch.device) -> float:
    """Bytes in use before a step; from here on the peak is reckoned."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return float(torch.cuda.memory_allocated(device))
    with suppress(OSError):
        CLEAR.write_text("5")
    return _peak(device)


def _peak(device: torch.device) -> float:
    """The most bytes that were in use since then; where a system cannot set it back, since the process began."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    with suppress(OSError, ValueError, StopIteration):
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return float(line.split()[1]) * 1024
    with suppress(ImportError):  # Windows has none
        import resource

        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
    return 0.0
