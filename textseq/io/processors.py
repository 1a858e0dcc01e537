"""The processors that this process may use, and how its threads wait for one another.

OpenMP's threads spin while they wait, for hundreds of milliseconds by default. Where anything else runs on the same
cores, a spinning thread keeps away the one that it waits for: ten times and more slower. Threads that spin briefly and
then sleep are as fast alone and good in company (``benchmarks/company.py``).
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

WAITING = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "1"}
"""GNU's OpenMP, of torch on Linux: rounds of spinning. LLVM's and Intel's, elsewhere: milliseconds."""
OPENMP = ("OMP_", "GOMP_", "KMP_")


def set_up_openmp() -> None:
    """Choose how OpenMP's threads wait, and no more of them than a container's quota allows.

    OpenMP reads the environment once, when torch is loaded: nothing is changed after that, nor where the user has set
    any of OpenMP's variables.
    """
    if "torch" in sys.modules or any(name.startswith(OPENMP) for name in os.environ):
        return
    os.environ.update(WAITING)
    count = usable_processors()
    if count < _scheduled():  # of these OpenMP knows
        os.environ["OMP_NUM_THREADS"] = str(count)


def usable_processors() -> int:
    """Processors that this process may use: by its affinity, Python's own limit and the quota of its container.

    Example:
        >>> usable_processors() >= 1
        True
    """
    counts, quota = [_scheduled()], cpu_quota()
    if quota is not None:
        counts.append(math.ceil(quota))
    if sys.version_info >= (3, 13):
        counts.append(os.process_cpu_count() or 1)
    return max(1, min(counts))


def cpu_quota(cgroups: Path = Path("/sys/fs/cgroup"), process: Path = Path("/proc/self/cgroup")) -> float | None:
    """Processors that the control groups of this process (cgroup v1 or v2) allow it on average; None: no limit.

    A group is also limited by those above it. In a container the groups' own names may not be visible: then the limit
    is at the top.
    """
    quotas: list[float] = []
    with suppress(OSError):  # not Linux, or no cgroups
        for line in process.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            for name in (controllers, "cpu") if controllers else ("", "unified"):
                quotas += _quotas(cgroups / name / path.lstrip("/"), cgroups / name)
    return min(quotas, default=None)


def _quotas(group: Path, top: Path) -> Iterator[float]:
    """The limits of a group and those above it."""
    for folder in (group, *group.parents):
        if not folder.is_relative_to(top):
            return
        with suppress(OSError, ValueError, ZeroDivisionError):  # v2: "max 100000" is no limit
            quota, period = (folder / "cpu.max").read_text().split()
            yield int(quota) / int(period)
        with suppress(OSError, ValueError, ZeroDivisionError):  # v1: -1 is no limit
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            if int(quota) > 0:
                yield int(quota) / int(period)


def _scheduled() -> int:
    """Processors that the scheduler gives this process: all, or those of its affinity."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
