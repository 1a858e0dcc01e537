"""Run the benchmarks, each in a process of its own, and write their numbers as one table.

The table is printed and put at the top of ``RESULTS.md`` with date, machine, versions and commit. ``make bench`` runs
the CPU benchmarks (20 minutes), ``make bench-gpu`` those for a GPU. Benchmarks that need the corpora are left out where
``TEXTSEQ_DATA`` is not set; one that fails is listed below the table with its error.
"""

from __future__ import annotations

import argparse
import datetime
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from conditions import conditions
from table import ROWS, Row, markdown, noted

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "RESULTS.md"
TITLE = """# Speeds

The newest first. `make bench` and `make bench-gpu` add to this file; a ratio is that of the same run.
"""
JOBS = {
    "cpu": (
        "start_up.py --rounds 5",
        "tokenizer_speed.py --rounds 3",
        "sampling.py --rounds 3",
        "ctc_beams.py",
        "attending_decoder.py",
        "training_step.py --rounds 5 --steps 2",
        "training_step.py --rounds 5 --steps 2 --precision bfloat16",
        "cell_speed.py --rounds 3",
        "classifier_speed.py sst2 --rounds 3",
        "classifier_speed.py imdb --batches 4 --rounds 3",
        "translation.py --peers .peers --work .peers/work --only speed --steps 20 --rounds 3",
        "translation.py --peers .peers --work .peers/work --only translate --sentences 400 --rounds 3",
        "company.py",
    ),
    "gpu": (
        "training_step.py --device cuda --precision bfloat16 --hidden-size 1024 --window 256 --batch-size 256",
        "attending_decoder.py --device cuda --batch-size 256 --source 48 --target 48",
        "sampling.py --device cuda --texts 1 4096 --rounds 3",
        "cell_speed.py --device cuda --hidden-size 1024 --window 256 --batch-size 256 --precision bfloat16",
    ),
}
"""The benchmarks of each table, as commands in this folder."""
READ_CORPORA = "tokenizer_speed.py", "classifier_speed.py", "translation.py"
"""Those that need the corpora."""


def commit() -> str:
    """The commit that is measured, marked if the working tree differs from it."""
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "no git"


def run(job: str, folder: Path) -> tuple[list[Row], str | None]:
    """The rows of one benchmark, and its last error if it failed."""
    rows = folder / "rows"
    rows.unlink(missing_ok=True)
    script, *arguments = shlex.split(job)
    command = [sys.executable, str(HERE / script), *arguments]
    ran = subprocess.run(command, env=os.environ | {ROWS: str(rows)}, stderr=subprocess.PIPE, text=True, check=False)
    said = (ran.stderr.strip().splitlines() or [f"exit {ran.returncode}"])[-1]
    return noted(rows), said if ran.returncode else None


def main() -> None:
    """Measure, print, and write RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("device", choices=JOBS, nargs="?", default="cpu")
    parser.add_argument("--only", nargs="*", help="run only those whose command contains one of these words")
    parser.add_argument("--dry", action="store_true", help="leave RESULTS.md as it is")
    o = parser.parse_args()
    start = time.monotonic()
    rows: list[Row] = []
    commands: dict[str, str] = {}
    failed: list[str] = []
    jobs = [job for job in JOBS[o.device] if not o.only or any(word in job for word in o.only)]
    left_out = [job for job in jobs if job.startswith(READ_CORPORA)] if not os.environ.get("TEXTSEQ_DATA") else []
    if left_out:
        print("TEXTSEQ_DATA names no folder of corpora, so these are left out: " + ", ".join(left_out), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs:
            if job in left_out:
                continue
            print(f"== {job}", flush=True)
            found, error = run(job, Path(folder))
            rows += found
            commands |= {row.what: f"benchmarks/{job}" for row in found}
            if error:
                print(error, flush=True)
                failed.append(f"`{job}`: {error}")
    minutes = (time.monotonic() - start) / 60
    today = datetime.date.today().isoformat()
    without = [f"`{job}`: no TEXTSEQ_DATA" for job in left_out]
    missing = "".join(f"\nNot measured: {line}\n" for line in without + failed)
    made = f"Made by `benchmarks/bench.py {o.device}` in {minutes:.0f} minutes, at commit {commit()}."
    text = (
        f"## {today}, {o.device}\n\n{'; '.join(conditions())}. {made}\n\n{markdown(rows, commands=commands)}{missing}"
    )
    print(f"\n{text}")
    if not o.dry:
        earlier = RESULTS.read_text(encoding="utf-8").removeprefix(TITLE) if RESULTS.exists() else ""
        unfinished = RESULTS.with_suffix(".unfinished")
        unfinished.write_text(f"{TITLE}\n{text}{earlier}", encoding="utf-8")
        unfinished.replace(RESULTS)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
