"""Check that a run which is killed and resumed many times ends with the same weights as an uninterrupted one.

Trains on small texts with ``textseq-train``, in several configurations. Each is trained once without interruption.
Then it is killed with SIGKILL, alternating between a random moment and the moment right before a random file
operation of the run (open, create, rename, remove), and resumed, until it is done. Weights, optimizer, log and results
must be the same bit for bit. Exits with 1 if anything differs or a command fails.

    python benchmarks/kills.py
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conditions import print_conditions
from killable import CASES, Runs, outcome, write_texts

from textseq.checkpoints.registry import numbered

OPERATIONS = 60
"""A run is killed before one of its first 60 file operations; a whole run makes more."""


@dataclass
class Count:
    """What happened to one configuration."""

    kills: int = 0
    while_writing: int = 0
    """Kills that left an unfinished checkpoint, or a finished one beside the one it was to replace."""
    resumes: int = 0
    runs: int = 0
    """Finished runs."""
    differ: int = 0
    """Finished runs that differ from the uninterrupted one."""
    failures: int = 0
    """Commands that failed without being killed."""


def kill(runs: Runs, case: str, kills: int, dice: random.Random) -> Count:
    """Kill runs of a configuration ``kills`` times, and finish the last one."""
    count = Count()
    started = time.monotonic()
    runs.run(runs.begin(f"{case}-whole", case))
    length = time.monotonic() - started
    wanted = outcome(runs.home / "runs" / f"{case}-whole")
    while count.kills < kills or not count.runs:
        name = f"{case}-{count.runs}"
        folder = runs.home / "runs" / name
        ended = False
        while not ended:
            command = runs.first_or_next(name, case)
            count.resumes += command[0] == "--resume"
            halves = half_written(folder)
            if count.kills == kills:
                code, stderr = killed(runs, command)
            elif count.kills % 2:
                code, stderr = killed(runs, command, at=dice.randrange(1, OPERATIONS))
            else:
                code, stderr = killed(runs, command, after=dice.uniform(0, length / 2))
            if code == -signal.SIGKILL:
                count.kills += 1
                count.while_writing += bool(half_written(folder) - halves)
            elif code:
                count.failures += 1
                print(f"{case}: exit code {code}: {stderr}", file=sys.stderr)
                return count
            ended = code == 0
        count.runs += 1
        count.differ += outcome(folder) != wanted
    return count


def killed(runs: Runs, command: Sequence[str], *, at: int = 0, after: float = 0.0) -> tuple[int, str]:
    """Run a command, killed at a file operation or after some seconds unless it ends sooner.

    Returns:
        Its exit code and stderr.
    """
    child = runs.start(command, dies_at=at)
    if after:
        time.sleep(after)
        child.kill()
    _, stderr = child.communicate()
    return child.wait(), stderr


def half_written(run: Path) -> set[tuple[str, int]]:
    """Unfinished checkpoints of a killed run: name and time of the last change."""
    paths = [*run.glob(".*.partial"), *run.glob(".averaged-*")]
    for kind in ("last", "best"):
        whole = numbered(run, kind)
        paths += whole.values() if len(whole) > 1 else []
    return {(path.name, path.stat().st_ctime_ns) for path in paths}


def main(arguments: Sequence[str] | None = None) -> None:
    """Kill, compare and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="only these configurations")
    parser.add_argument("--kills", type=int, default=100, help="kills of each configuration (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random moments (default: %(default)s)")
    options = parser.parse_args(arguments)
    differ = 0
    print(f"{'configuration':<16}{'kills':>8}{'in writing':>12}{'resumes':>9}{'runs':>6}  equal")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TEXTSEQ_HOME"] = folder
        write_texts(Path(folder))
        runs = Runs(Path(folder))
        for case in options.only:
            count = kill(runs, case, options.kills, random.Random(options.seed))
            equal = "failed" if count.failures else f"{count.differ} differ" if count.differ else "yes"
            print(
                f"{case:<16}{count.kills:>8}{count.while_writing:>12}{count.resumes:>9}{count.runs:>6}  {equal}",
                flush=True,
            )
            differ += count.differ + count.failures
    print_conditions()
    if differ:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
