"""Seconds until a command is of use, with a warm disk: its help, and its first character.

The first character is compared with ``import torch`` alone; the two alternate, each in a new process. Goal: help within
half a second and without torch, at most 0.3 s besides importing torch and loading the model, and ``make sample`` again
within 1.2 s. Python may keep compiled modules, as it does by default; they are there from a first, unmeasured run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from conditions import print_conditions
from sides import in_turns
from table import Row, note

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[1]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
AGAIN = "make sample again, the whole text"
COMMANDS = ("train", "sample", "translate", "classify", "tag", "evaluate")


def seconds(*command: str | Path, first_byte: bool = False) -> float:
    """Of a whole command, or until its first byte of output.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        if first_byte:
            found = process.stdout.read(1)
            taken = time.perf_counter() - start
            process.kill()
            if not found:
                raise subprocess.CalledProcessError(process.wait(), str(command[0]))
            return taken
        process.stdout.read()
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, str(command[0]))
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    o = parser.parse_args()
    first = "first character of textseq-sample --author shakespeare"
    sides: dict[str, Callable[[], float]] = {
        "import torch": lambda: seconds(sys.executable, "-c", "import torch"),
        first: lambda: seconds(BIN / "textseq-sample", "--author", "shakespeare", first_byte=True),
    }
    for name in COMMANDS:
        sides[f"textseq-{name} --help"] = lambda name=name: seconds(BIN / f"textseq-{name}", "--help")  # type: ignore[misc]
    sides[AGAIN] = lambda: seconds("make", "--silent", "--directory", ROOT, "sample", f"BIN={BIN}")
    for side in sides.values():
        side()
    taken = in_turns(sides, o.rounds)
    for name, values in taken.items():
        print(f"{name:<58}{statistics.median(values):>6.2f} s   ({min(values):.2f} to {max(values):.2f})")
    slowest = max(statistics.median(values) for name, values in taken.items() if name.endswith("--help"))
    note(Row("help of the slowest command", slowest, "s", goal=0.5, at_most=True))
    note(Row(AGAIN, statistics.median(taken[AGAIN]), "s", goal=1.2, at_most=True))
    more = statistics.median(a - b for a, b in zip(taken[first], taken["import torch"], strict=True))
    print(f"besides importing torch: {more:.2f} s")
    note(Row(first, statistics.median(taken[first]), "s", goal=3.0, at_most=True))
    note(Row(f"{first}, besides importing torch", more, "s", goal=0.3, at_most=True))
    print_conditions()


if __name__ == "__main__":
    main()
