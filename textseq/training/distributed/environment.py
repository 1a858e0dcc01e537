"""This process's place among those of a job, from the variables that torchrun and other launchers set.

Commands ask before they load anything: torch is loaded only to report a failure to the other processes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from textseq.errors import TextseqError


@dataclass(frozen=True)
class DistributedEnvironment:
    """One process of a job."""

    rank: int = 0
    """Its number, from 0."""
    count: int = 1
    """Processes of the job, on all machines."""
    local_rank: int = 0
    """Its number on its machine, from 0: the number of its GPU."""
    local_count: int = 1
    """Processes of its machine."""

    @property
    def leads(self) -> bool:
        """Whether it is the first process, the only one that writes files and messages."""
        return self.rank == 0


def launched() -> bool:
    """Whether a launcher has started this process, alone or with others."""
    return any(os.environ.get(name) for name in ("RANK", "WORLD_SIZE"))


def environment() -> DistributedEnvironment:
    """This process's place by ``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK`` and ``LOCAL_WORLD_SIZE``; alone without them.

    Raises:
        TextseqError: values that are not such numbers.
    """
    values = {name: os.environ.get(name) or default for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"))}
    values["LOCAL_RANK"] = os.environ.get("LOCAL_RANK") or values["RANK"]
    values["LOCAL_WORLD_SIZE"] = os.environ.get("LOCAL_WORLD_SIZE") or values["WORLD_SIZE"]
    if not all(value.isdecimal() for value in values.values()) or not int(values["RANK"]) < int(values["WORLD_SIZE"]):
        got = " ".join(f"{name}={value}" for name, value in values.items())
        raise TextseqError(f"RANK: expected a number from 0 to WORLD_SIZE - 1, got {got}; correct them, or unset them")
    return DistributedEnvironment(
        *(int(values[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    )


def first_to_fail(process: DistributedEnvironment) -> bool:
    """Whether no other process of the job has failed before this one, so that an error is printed once."""
    if process.count == 1:
        return True
    with suppress(ImportError, RuntimeError, ValueError, OSError):  # RuntimeError includes torch's DistError
        from torch.distributed.rendezvous import rendezvous

        store, _, _ = next(rendezvous("env://", timeout=timedelta(seconds=3)))
        return bool(store.add("textseq/failures", 1) == 1)
    return True
