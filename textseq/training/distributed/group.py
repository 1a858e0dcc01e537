"""Several processes that train or measure together: what they tell one another, over torch.distributed.

In training the first process leads: it alone counts, measures, writes and speaks, and tells the others by an order what
to do next. The others follow. Gradients go another way, by DistributedDataParallel: see ``learner``. Where a finished
model is measured they take turns, and hand over to one another what they have found.
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

WAIT = timedelta(days=7)
"""How long an order may be awaited: the leader may be measuring. One that has died is noticed at once."""


class Order(IntEnum):
    """What the leader asks of the others."""

    STEP = 0
    """Take a step; with it comes the learning rate."""
    LOOK = 1
    """Add up the losses since the last look."""
    GATHER = 2
    """Hand over what of the run's state only you have."""
    RESTORE = 3
    """Go back to the last checkpoint."""
    END = 4
    """The run is over; with it comes the exit code."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a job, as one of them sees them."""

    rank: int = 0
    count: int = 1
    orders: dist.ProcessGroup | None = None
    """For what is not a gradient: over the CPU, and with all the time that it takes."""

    @property
    def leads(self) -> bool:
        """Whether this process is the first."""
        return self.rank == 0

    def order(self, order: Order, value: float = 0.0) -> None:
        """The leader's: tell the others what comes next."""
        if self.count > 1:
            with self.all_there():
                dist.broadcast(torch.tensor([order, value], dtype=torch.float64), 0, group=self.orders)

    def receive(self) -> tuple[Order, float]:
        """The others': wait for the next order."""
        told = torch.zeros(2, dtype=torch.float64)
        with self.all_there():
            dist.broadcast(told, 0, group=self.orders)
        return Order(int(told[0])), float(told[1])

    def total(self, value: float) -> float:
        """The sum of what all have; all must ask."""
        if self.count == 1:
            return value
        added = torch.tensor([value], dtype=torch.float64)
        with self.all_there():
            dist.all_reduce(added, group=self.orders)
        return float(added)

    def turn(self, number: int) -> bool:
        """Whether the work of a number is this process's: they take turns."""
        return number % self.count == self.rank

    def gather(self, tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """What each has, by rank; all must hand over theirs, and all get them."""
        if self.count == 1:
            return [dict(tensors)]
        saved = save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
        own = torch.frombuffer(bytearray(saved), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        with self.all_there():
            dist.all_gather(sizes, torch.tensor([len(own)]), group=self.orders)
            longest = int(torch.cat(sizes).max())
            found = [own.new_empty(longest) for _ in sizes]
            dist.all_gather(found, torch.cat([own, own.new_zeros(longest - len(own))]), group=self.orders)
        return [load(part[: int(size)].numpy().tobytes()) for part, size in zip(found, sizes, strict=True)]

    def collect(self, own: Mapping[int, Tensor]) -> list[Tensor]:
        """The results of work that was done in turns, by its number; all must hand over theirs, and all get them."""
        found: dict[str, Tensor] = {}
        for part in self.gather({str(number): tensor for number, tensor in own.items()}):
            found |= part
        return [found[str(number)] for number in range(len(found))]

    @contextlib.contextmanager
    def all_there(self) -> Iterator[None]:
        """Where the processes wait for one another: one that is lost is told in our words.

        Raises:
            TextseqError: the connection to another process has broken.
        """
        try:
            yield
        except RuntimeError as error:
            if self.count == 1 or not (isinstance(error, dist.DistError) or "gloo" in str(error).lower()):
                raise
            raise TextseqError(
                "another process of the job has ended; a training goes on from its last checkpoint with --resume"
            ) from error


ALONE = ProcessGroup()


@cache
def joined(device: str) -> ProcessGroup:
    """The processes that a launcher has started together; this one alone if it has started no others.

    Args:
        device: the type of what they compute on: ``cuda`` or another.

    Raises:
        TextseqError: the others cannot be reached.
    """
    own = environment()
    if own.count == 1:
        return ALONE
    if not dist.is_available():
        raise TextseqError("this build of torch has no torch.distributed; train with one process")
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
        return ProcessGroup(own.rank, own.count, dist.new_group(backend="gloo", timeout=WAIT))
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise TextseqError(
            f"the {own.count} processes of the job did not find one another ({reason}); start them with torchrun"
        ) from error
