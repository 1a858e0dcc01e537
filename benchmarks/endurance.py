"""The long versions of what the tests check briefly: kills, damaged inputs, large files, made-up requests.

    python benchmarks/endurance.py kills      SIGKILL at a hundred random moments of trainings of every task
    python benchmarks/endurance.py inputs     damaged and random files for every reader, for an hour
    python benchmarks/endurance.py memory     2 GB of text, 10 million lines, a table of 2 GB
    python benchmarks/endurance.py requests   whatever the OpenAPI document of textseq-serve allows, for an hour
    python benchmarks/endurance.py all        all of them, one after the other: about three hours

Further arguments go to the chosen script; each has a --help of its own. Exits with 1 if a check fails.
"""

from __future__ import annotations

import sys

import inputs
import kills
import memory
import server_requests

SPLITS = {"kills": kills.main, "inputs": inputs.main, "memory": memory.main, "requests": server_requests.main}


def main() -> None:
    """Run the named script."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name == "all" and not rest:
        failed = 0
        for part in SPLITS.values():
            try:
                part([])
            except SystemExit as stop:
                failed |= bool(stop.code)
        sys.exit(failed)
    if name not in SPLITS:
        print(__doc__)
        sys.exit(name not in {"-h", "--help"})
    SPLITS[name](rest)


if __name__ == "__main__":
    main()
