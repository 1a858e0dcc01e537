"""Which of several processes this one is, as the launcher (torchrun, or another that sets the same variables) says.

A command may ask before it loads anything: torch is loaded only to tell the others of a failure.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from textseq.errors import TextseqError


@dataclass(frozen=True)
class DistributedEnvironment:
    """One process among those of a job."""

    rank: int = 0
    """Its number among all, from 0."""
    count: int = 1
    """All of them, on every machine."""
    local: int = 0
    """Its number among those of its machine, from 0: which GPU is its own."""
    beside: int = 1
    """Those of its machine."""

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes and speaks."""
        return self.rank == 0


def launched() -> bool:
    """Whether a launcher has started this process, alone or with others."""
    return any(os.environ.get(name) for name in ("RANK", "WORLD_SIZE"))


def environment() -> DistributedEnvironment:
    """What ``RANK``, ``WORLD_SIZE`` and ``LOCAL_RANK`` say of this process; without them it is alone.

    Raises:
        TextseqError: they are no such numbers.
    """
    found = {name: os.environ.get(name) or usual for name, usual in (("RANK", "0"), ("WORLD_SIZE", "1"))}
    found["LOCAL_RANK"] = os.environ.get("LOCAL_RANK") or found["RANK"]
    found["LOCAL_WORLD_SIZE"] = os.environ.get("LOCAL_WORLD_SIZE") or found["WORLD_SIZE"]
    if not all(value.isdecimal() for value in found.values()) or not int(found["RANK"]) < int(found["WORLD_SIZE"]):
        said = " ".join(f"{name}={value}" for name, value in found.items())
        raise TextseqError(f"RANK must be a number from 0 to WORLD_SIZE - 1, found {said}; mend them, or unset them")
    return DistributedEnvironment(
        *(int(found[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    )


def first_to_fail(own: DistributedEnvironment) -> bool:
    """Whether no other process of the job has failed before this one, so that what went wrong is said once."""
    if own.count == 1:
        return True
    with suppress(ImportError, RuntimeError, ValueError, OSError):  # of which torch's DistError is one
        from torch.distributed.rendezvous import rendezvous

        store, _, _ = next(rendezvous("env://", timeout=timedelta(seconds=3)))
        return bool(store.add("textseq/failures", 1) == 1)
    return True  # who cannot be asked has said nothing
