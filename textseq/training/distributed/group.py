"""Communication between the processes of a job, over torch.distributed.

In training the first process leads: it alone counts, evaluates, writes and prints, and sends the others a command for
each thing to do. Gradients are exchanged by DistributedDataParallel: see ``step``. To evaluate a finished model the
processes share the work and exchange their results.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from functools import cache

import torch
import torch.distributed as dist
from safetensors.torch import load, save
from torch import Tensor

from textseq.errors import TextseqError
from textseq.training.distributed.environment import environment

TIMEOUT = timedelta(days=7)
"""Longest wait for a command: the leader may be evaluating. A process that has ended is noticed at once."""


class Command(IntEnum):
    """What the leader asks the other processes to do."""

    STEP = 0
    """Take a step; its value is the learning rate."""
    READ = 1
    """Sum the losses since the last READ."""
    GATHER = 2
    """Send the state that only this process has."""
    RESTORE = 3
    """Restore the last checkpoint."""
    END = 4
    """End; its value is the exit code."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a job, seen from one of them.

    Example:
        >>> Trainer(model, batches, process_group=join_process_group("cpu")).fit()  # in the first process of torchrun
    """

    rank: int = 0
    count: int = 1
    control: dist.ProcessGroup | None = None
    """For everything but gradients: over the CPU, with a long timeout."""

    @property
    def leads(self) -> bool:
        """Whether this is the first process."""
        return self.rank == 0

    def send(self, command: Command, value: float = 0.0) -> None:
        """Send a command to the other processes; for the leader."""
        if self.count > 1:
            with self.connection_errors():
                dist.broadcast(torch.tensor([command, value], dtype=torch.float64), 0, group=self.control)

    def receive(self) -> tuple[Command, float]:
        """Wait for the next command and its value; for the others."""
        message = torch.zeros(2, dtype=torch.float64)
        with self.connection_errors():
            dist.broadcast(message, 0, group=self.control)
        return Command(int(message[0])), float(message[1])

    def total(self, value: float) -> float:
        """The sum of the values of all processes, which must all call this."""
        if self.count == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64)
        with self.connection_errors():
            dist.all_reduce(tensor, group=self.control)
        return float(tensor)

    def turn(self, number: int) -> bool:
        """Whether the piece of work with this number is this process's."""
        return number % self.count == self.rank

    def gather(self, tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """The tensors of all processes, by rank, in each process; all must call this."""
        if self.count == 1:
            return [dict(tensors)]
        saved = save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
        data = torch.frombuffer(bytearray(saved), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        with self.connection_errors():
            dist.all_gather(sizes, torch.tensor([len(data)]), group=self.control)
            longest = int(torch.cat(sizes).max())
            parts = [data.new_empty(longest) for _ in sizes]
            dist.all_gather(parts, torch.cat([data, data.new_zeros(longest - len(data))]), group=self.control)
        return [load(part[: int(size)].numpy().tobytes()) for part, size in zip(parts, sizes, strict=True)]

    def collect(self, results: Mapping[int, Tensor]) -> list[Tensor]:
        """The results of all pieces of work (given by number) in order, in each process; all must call this."""
        merged: dict[str, Tensor] = {}
        for part in self.gather({str(number): tensor for number, tensor in results.items()}):
            merged |= part
        return [merged[str(number)] for number in range(len(merged))]

    @contextlib.contextmanager
    def connection_errors(self) -> Iterator[None]:
        """Convert errors of communication inside the block to TextseqError."""
        try:
            yield
        except RuntimeError as error:
            if self.count == 1 or not (isinstance(error, dist.DistError) or "gloo" in str(error).lower()):
                raise
            raise TextseqError(
                "another process of the job has ended; a training continues from its last checkpoint with --resume"
            ) from error


SINGLE_PROCESS = ProcessGroup()


@cache
def join_process_group(device: str) -> ProcessGroup:
    """Connect to the processes that a launcher has started; ``SINGLE_PROCESS`` if there are no others.

    Args:
        device: type of the device that they compute on: ``cuda`` or another.

    Raises:
        TextseqError: the others cannot be reached.

    Example:
        >>> join_process_group("cpu").count  # without a launcher
        1
    """
    process = environment()
    if process.count == 1:
        return SINGLE_PROCESS
    if not dist.is_available():
        raise TextseqError("this build of torch has no torch.distributed; train with one process")
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
        return ProcessGroup(process.rank, process.count, dist.new_group(backend="gloo", timeout=TIMEOUT))
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise TextseqError(
            f"the {process.count} processes of the job could not connect ({reason}); start them with torchrun"
        ) from error
