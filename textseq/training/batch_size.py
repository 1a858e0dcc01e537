"""``--batch-size auto``: the largest batch that fits into memory and still makes training faster."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from textseq.config.training import FIRST_BATCH, TrainingConfig
from textseq.data.batching import Cursor
from textseq.errors import TextseqError
from textseq.training.batches import Batches, as_batches
from textseq.training.distributed.environment import environment
from textseq.training.step import TrainStep

LARGEST = 4096
"""Most rows to try."""

ROOM = 0.5
"""Share of the free memory that a step may take; the rest is for other programs and longer sentences."""

GAIN = 1.1
"""Speed per row that a batch twice as large must gain to be worth its fewer steps."""

TRIES = 3
"""Steps of each size; the first allocates buffers, the fastest of the others counts."""


class BatchSize(NamedTuple):
    """A batch size and why it is not larger."""

    rows: int
    reason: str


def auto_batch_size(
    model: nn.Module,
    make_batches: Callable[[int], Batches | Iterable[object]],
    training: TrainingConfig,
    *,
    objective: nn.Module | None = None,
    free: Callable[[torch.device], float] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> BatchSize:
    """Find a batch size by trying 16 rows, 32, 64... up to 4096.

    Args:
        model: gradients are computed and dropped; its weights stay as they are.
        make_batches: returns batches of a number of rows, as for ``Trainer``. If they have a method ``largest()``, it
            returns the ``Cursor`` of the batch that takes the most memory; else the first batch is tried.
        training: precision and optimizer.
        objective: as of ``Trainer``.
        free: bytes that are free on a device; by default asks the system.
        clock: seconds.

    Raises:
        TextseqError: not even the smallest batch fits.

    Example:
        >>> rows, reason = auto_batch_size(model, lambda rows: DataLoader(data, batch_size=rows), TrainingConfig())
    """
    device = next(model.parameters()).device
    processes = environment()
    room = (free or free_memory)(device) * ROOM / (processes.local_count if device.type == "cpu" else 1)
    copies = 2 if processes.count == 1 else 3  # the optimizer's state, and gradients that are being sent
    room -= copies * sum(p.numel() * p.element_size() for p in model.parameters())
    training = replace(training, accumulate=1, micro_batches=1)
    best, fastest, rows, taken = 0, 0.0, FIRST_BATCH, 0.0
    before = _start_measuring(device)
    while 2 * taken <= room:
        batches = as_batches(make_batches(rows), training.seed)
        step = TrainStep(model, batches, training, objective=objective)
        seconds = _time_gradients(step, getattr(batches, "largest", Cursor)(), clock)
        taken = max(_peak(device) - before, taken)
        if not seconds and not best:
            break
        if not seconds or (taken > room and best):
            return BatchSize(best, "a larger batch does not fit into memory")
        speed = step.progress.rows / max(min(seconds[1:]), 1e-9)
        if best and speed < GAIN * fastest:
            return BatchSize(best, "a larger batch is hardly faster")
        best, fastest = step.progress.rows, speed
        if best < rows:
            return BatchSize(best, "the text gives no larger batch")
        if rows == LARGEST:
            return BatchSize(best, "no larger batch is tried")
        rows *= 2
    if best:
        return BatchSize(best, "a larger batch would not fit into memory")
    raise TextseqError(
        f"--batch-size auto: not even a batch of {FIRST_BATCH} rows fits into memory; set a smaller --batch-size, or "
        "train smaller layers"
    )


def _time_gradients(step: TrainStep, place: Cursor, clock: Callable[[], float]) -> list[float]:
    """Seconds for each of ``TRIES`` gradients of a batch; none if it does not fit into memory."""
    seconds: list[float] = []
    for _ in range(TRIES):
        step.progress.epoch, step.progress.position = place
        step.state = None
        start = clock()
        gradient = step.gradient()
        if step.device.type == "cuda":
            torch.cuda.synchronize(step.device)
        seconds.append(clock() - start)
        step.optimizer.zero_grad()
        if gradient is None:
            return []
    return seconds


def free_memory(device: torch.device) -> float:
    """Free bytes on a device; infinite if the system does not say."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    limits = [float("inf")]
    with suppress(OSError, ValueError, IndexError):
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        limits.append(float(lines["MemAvailable"].split()[0]) * 1024)
    with suppress(OSError, ValueError):  # of a container
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text() for name in ("max", "current"))
        limits.append(float(limit) - float(used))
    with suppress(OSError, ValueError, AttributeError):
        limits.append(float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
    return min(limits)


STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
"""Files in which Linux shows a process's memory and resets its peak."""


def _start_measuring(device: torch.device) -> float:
    """Reset the peak of memory in use; returns the bytes in use now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return float(torch.cuda.memory_allocated(device))
    with suppress(OSError):
        CLEAR.write_text("5")
    return _peak(device)


def _peak(device: torch.device) -> float:
    """Peak of the bytes in use since then; since the process began if the system cannot reset it."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    with suppress(OSError, ValueError, StopIteration):
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return float(line.split()[1]) * 1024
    with suppress(ImportError):  # not on Windows
        import resource

        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
    return 0.0
