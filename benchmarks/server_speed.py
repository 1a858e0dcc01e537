"""Speed of ``textseq-serve`` beside the same work in Python, on a running server with the shipped model.

Prints tokens per second of 64 clients at once and of ``generate_all`` with 64 rows; of one client and of ``generate``;
the time to the first token with 32 clients (median and 99th percentile); and the server's memory before and after many
requests.

    python benchmarks/server_speed.py
    python benchmarks/server_speed.py --clients 2 --tokens 20 --requests 4    # only to see that it runs
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from conditions import print_conditions

import textseq

PROMPT = "ROMEO:"


@contextmanager
def server(models: Sequence[str], *flags: str) -> Iterator[tuple[str, int]]:
    """A server with some models, or with all: its host and port, and its process id."""
    command = [sys.executable, "-m", "textseq.cli.serve", "--port=0", *flags]
    command += ["--models", *models] if models else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield urlsplit(child.stdout.readline().split()[1]).netloc, child.pid
        finally:
            child.terminate()


def complete(host: str, model: str, tokens: int, *, stream: bool = False) -> float:
    """Ask for a text; seconds to the answer's first event with ``stream``, else to its end."""
    body = json.dumps({"model": model, "prompt": PROMPT, "max_tokens": tokens, "stream": stream})
    connection, begun = http.client.HTTPConnection(host, timeout=600), time.perf_counter()
    connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    if stream:
        answer.readline()
        seconds = time.perf_counter() - begun
        answer.read()
    else:
        answer.read()
        seconds = time.perf_counter() - begun
    connection.close()
    return seconds


def together(clients: int, work: Callable[[], float]) -> tuple[float, list[float]]:
    """Seconds until all of so many clients are done, and what each of them gives."""
    with ThreadPoolExecutor(clients) as pool:
        begun = time.perf_counter()
        results = [future.result() for future in [pool.submit(work) for _ in range(clients)]]
        return time.perf_counter() - begun, results


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def memory(process: int) -> float:
    """Resident memory of a process in MB (Linux)."""
    line = next(row for row in Path(f"/proc/{process}/status").read_text().splitlines() if row.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="shakespeare")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=10_000, help="short ones, for the memory")
    o = parser.parse_args()
    generator = textseq.load_generator(o.model)

    def many() -> object:
        return generator.generate_all(PROMPT, num_return_sequences=o.clients, max_new_tokens=o.tokens)

    with server([o.model]) as (host, process):
        work: dict[str, Callable[[], float]] = {
            f"generate_all, {o.clients} rows": lambda: timed(many),
            f"server, {o.clients} clients": lambda: together(o.clients, lambda: complete(host, o.model, o.tokens))[0],
            "generate": lambda: timed(lambda: generator.generate(PROMPT, max_new_tokens=o.tokens)),
            "server, 1 client": lambda: complete(host, o.model, o.tokens),
        }
        seconds: dict[str, list[float]] = {name: [] for name in work}
        for turn in range(o.rounds + 1):  # in turns; the first warms up
            for name, measure in work.items():
                taken = measure()
                seconds[name] += [taken] * (turn > 0)
        for name, values in seconds.items():
            texts = o.clients if str(o.clients) in name else 1
            print(f"{name:32} {texts * o.tokens / statistics.median(values):10,.0f} tokens/s")
        both = [statistics.median(values) for values in seconds.values()]
        print(f"server : generate_all {both[0] / both[1]:.2f}; server : generate {both[2] / both[3]:.2f}")

        half = max(1, o.clients // 2)
        waits = [together(half, lambda: complete(host, o.model, o.tokens, stream=True))[1] for _ in range(o.rounds)]
        first = sorted(wait for several in waits for wait in several)
        middle, late = statistics.median(first), first[min(len(first) - 1, int(0.99 * len(first)))]
        print(f"first token, {half} clients: median {middle:.3f} s, 99th percentile {late:.3f} s")

        before = memory(process)
        with ThreadPoolExecutor(half) as pool:
            for future in [pool.submit(complete, host, o.model, 2) for _ in range(o.requests)]:
                future.result()
        print(f"memory: {before:.0f} MB, after {o.requests:,} requests {memory(process):.0f} MB")
    print_conditions()


if __name__ == "__main__":
    main()
