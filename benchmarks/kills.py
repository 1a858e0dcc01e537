"""Does a run that is killed again and again end with the weights of one that nobody stopped?

Runs textseq-train on small texts, in several configurations. Each is trained once to its end; then again and again
while SIGKILL ends it, in turn at a random moment and right before a random operation on a file of the run, as files
and folders are opened, made, renamed or removed. Each time it is resumed, until it is through, and all that it leaves
(weights, optimizer, log, results) must be the same, bit for bit. Exits with 1 if anything differs, or a command fails.

    python benchmarks/kills.py
"""

from __future__ import annotations

import argparse
import contextlib
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
from killable import CASES, Server, outcome, write_texts

from textseq.checkpoints.registry import numbered

OPERATIONS = 60
"""A run is killed before one of so many operations on files; it makes more before it is through."""


@dataclass
class Count:
    """What happened to one configuration."""

    kills: int = 0
    while_writing: int = 0
    """Kills that left a checkpoint half-written, or whole beside the one that it was to replace."""
    resumes: int = 0
    runs: int = 0
    """Brought to their end."""
    differ: int = 0
    """Of these, from the one that nobody stopped."""
    failures: int = 0
    """Commands that neither ended well nor were killed."""


def kill(server: Server, case: str, kills: int, dice: random.Random) -> Count:
    """Kill runs of a configuration until so many deaths are counted, and bring the last one to its end."""
    count = Count()
    started = time.monotonic()
    server.run(server.begin(f"{case}-whole", case))
    length = time.monotonic() - started
    wanted = outcome(server.home / "runs" / f"{case}-whole")
    while count.kills < kills or not count.runs:
        name = f"{case}-{count.runs}"
        folder = server.home / "runs" / name
        ended = False
        while not ended:
            command = server.first_or_next(name, case)
            count.resumes += command[0] == "--resume"
            halves = half_written(folder)
            if count.kills == kills:
                code = killed(server, command)
            elif count.kills % 2:
                code = killed(server, command, at=dice.randrange(1, OPERATIONS))
            else:
                code = killed(server, command, after=dice.uniform(0, length / 2))
            if code == -signal.SIGKILL:
                count.kills += 1
                count.while_writing += bool(half_written(folder) - halves)
            elif code:
                count.failures += 1
                print(f"{case}: exit code {code}: {(server.home / 'stderr.txt').read_text()}", file=sys.stderr)
                return count
            ended = code == 0
        count.runs += 1
        count.differ += outcome(folder) != wanted
    return count


def killed(server: Server, command: Sequence[str], *, at: int = 0, after: float = 0.0) -> int:
    """Run a command, and kill it at a file operation or after seconds, unless it is sooner at its end: its code."""
    child = server.start(command, dies_at=at)
    if after:
        time.sleep(after)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    return server.wait()[0]


def half_written(run: Path) -> set[tuple[str, int]]:
    """The marks of checkpoints that a killed run had begun and not finished: name, and when it was last changed."""
    paths = [*run.glob(".*.partial"), *run.glob(".averaged-*")]
    for kind in ("last", "best"):
        whole = numbered(run, kind)
        paths += whole.values() if len(whole) > 1 else []
    return {(path.name, path.stat().st_ctime_ns) for path in paths}


def main(arguments: Sequence[str] | None = None) -> None:
    """Kill, compare and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="these configurations alone")
    parser.add_argument("--kills", type=int, default=100, help="of each configuration (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: %(default)s)")
    options = parser.parse_args(arguments)
    differ = 0
    print(f"{'configuration':<16}{'kills':>8}{'in writing':>12}{'resumes':>9}{'runs':>6}  equal")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TEXTSEQ_HOME"] = folder
        write_texts(Path(folder))
        server = Server(Path(folder))
        for case in options.only:
            count = kill(server, case, options.kills, random.Random(options.seed))
            equal = "failed" if count.failures else f"{count.differ} differ" if count.differ else "yes"
            print(
                f"{case:<16}{count.kills:>8}{count.while_writing:>12}{count.resumes:>9}{count.runs:>6}  {equal}",
                flush=True,
            )
            differ += count.differ + count.failures
        server.close()
    print_conditions()
    if differ:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
