"""Speed beside other programs: what a command takes alone, beside one training and beside four on the same cores.

The commands are what users do: write characters, translate sentences, measure a text, train with the default settings;
the trainings beside them are of the last kind. The goal is a fair share: half of the speed alone beside one training,
a fifth beside four.

    python benchmarks/company.py                    five minutes
    python benchmarks/company.py --waiting openmp   threads wait as OpenMP's do without ``io.processors``: half an hour
    python benchmarks/company.py --waiting single   one thread
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conditions import print_conditions
from table import Row, note

WAITING = {
    "chosen": {},
    "openmp": {"OMP_DISPLAY_ENV": "false"},  # without effect, but one of OpenMP's variables: textseq sets none
    "single": {"OMP_NUM_THREADS": "1"},
}
"""Variables of the processes."""
SENTENCE = "I do not know where he went last night."


class Workshop:
    """A folder with a text, in which commands run in processes of their own.

    Args:
        folder: for the text, the runs and their data.
        variables: of OpenMP, for all processes; those of this process are not passed on.
        characters: of the text.
    """

    def __init__(self, folder: Path, variables: dict[str, str], characters: int) -> None:
        self.folder, self.text, self.names = folder, folder / "text.txt", itertools.count()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
        self.environment = {**kept, **variables, "TEXTSEQ_HOME": str(folder)}
        random.seed(1)
        words = ("".join(random.choices("etaoinshrdlu", k=random.randint(1, 9))) for _ in itertools.count())
        self.text.write_text("".join(f"{word}\n" for word in itertools.islice(words, characters // 6)))

    def start(self, command: str, *arguments: object) -> subprocess.Popen[bytes]:
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-m", f"textseq.cli.{command}", *map(str, arguments)],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def seconds(self, command: str, *arguments: object, text: str = "") -> float:
        """Seconds of a command from its start to its end."""
        start = time.perf_counter()
        with self.start(command, *arguments) as process:
            process.communicate(text.encode())
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, process.args)
        return time.perf_counter() - start

    def start_training(self, minutes: float) -> tuple[subprocess.Popen[bytes], Path]:
        """Start a training of so many minutes; returns it and its log."""
        name = f"training-{next(self.names)}"
        arguments = ("--text", self.text, "--name", name, "--max-minutes", minutes, "--validation", 0)
        return self.start("train", *arguments), self.folder / "runs" / name / "log.jsonl"

    def training_speeds(self, count: int, seconds: float) -> list[float]:
        """Tokens per second of trainings side by side, each so many seconds long."""
        trainings = [self.start_training(seconds / 60) for _ in range(count)]
        for process, _ in trainings:
            process.communicate()
        return [statistics.median(line["tokens_per_second"] for line in log_lines(log)) for _, log in trainings]

    @contextmanager
    def trainings(self, count: int) -> Iterator[None]:
        """In this block so many trainings run, all past their first steps."""
        running = [self.start_training(24 * 60.0) for _ in range(count)]
        try:
            while not all(log_lines(log) for _, log in running):
                if any(process.poll() is not None for process, _ in running):
                    raise SystemExit("a training beside the measurement ended")
                time.sleep(0.2)
            yield
        finally:
            for process, _ in running:
                process.kill()
                process.communicate()


def log_lines(log: Path) -> list[dict[str, float]]:
    """Complete lines of a run's log with a speed."""
    whole = log.read_text().rpartition("\n")[0] if log.exists() else ""
    return [line for line in map(json.loads, whole.splitlines()) if "tokens_per_second" in line]


def report(work: str, others: int, value: float, unit: str, share: float) -> None:
    """Print a number and note it for the table."""
    beside = f"beside {others}" if others else "alone"
    print(f"{work:<42}{beside:<10}{value:>10,.1f} {unit:<9}{share:>6.2f} of its speed alone", flush=True)
    goal = 1 / (1 + others) if others else None
    note(Row(f"{work}, {beside}" + (", over alone" if others else ""), value, unit, share if others else None, goal))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--waiting", choices=WAITING, default="chosen", help="how threads wait")
    parser.add_argument("--others", type=int, nargs="+", default=[1, 4], help="trainings beside the work")
    parser.add_argument("--written", type=int, default=3000, help="characters to write")
    parser.add_argument("--sentences", type=int, default=20, help="sentences to translate")
    parser.add_argument("--measured", type=int, default=100_000, help="characters to measure")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each training that is measured")
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder), WAITING[o.waiting], o.measured)
        works: dict[str, tuple[object, ...]] = {
            f"writing {o.written:,} characters": ("sample", "--author", "shakespeare", "--max-new-tokens", o.written),
            f"translating {o.sentences} sentences": ("translate", "--model", "tatoeba-en-fr"),
            f"measuring {o.measured:,} characters": ("evaluate", "--model", "shakespeare", "--text", workshop.text),
        }
        sentences = f"{SENTENCE}\n" * o.sentences
        alone: dict[str, float] = {}
        for others in (0, *o.others):
            with workshop.trainings(others):
                for work, (command, *arguments) in works.items():
                    taken = workshop.seconds(str(command), *arguments, text=sentences)
                    report(work, others, taken, "s", alone.setdefault(work, taken) / taken)
            slowest = min(workshop.training_speeds(1 + others, o.seconds))
            work = "training, the slowest"
            report(work, others, slowest, "tokens/s", slowest / alone.setdefault(work, slowest))
    print_conditions()


if __name__ == "__main__":
    main()
