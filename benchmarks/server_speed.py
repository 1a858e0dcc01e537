"""Speed of ``textseq-serve`` beside the same work in Python, on a running server with a shipped model.

Prints tokens per second of 64 clients at once and of ``generate_all`` with 64 rows, of one client and of ``generate``
(medians of rounds in turns); the time to the first token with 32 clients that come at once; and the server's memory
before, amid and after many short requests. The clients run on the same cores as the server; the CPU time that they
take is printed.

    python benchmarks/server_speed.py
    python benchmarks/server_speed.py --only memory
    python benchmarks/server_speed.py --clients 2 --tokens 20 --rounds 1 --requests 4    # only to see that it runs
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


def measure_speed(host: str, o: argparse.Namespace) -> None:
    """Print tokens per second of the server and of Python, and their ratios."""
    generator = textseq.load_generator(o.model)

    def many() -> object:
        return generator.generate_all(PROMPT, num_return_sequences=o.clients, max_new_tokens=o.tokens)

    work: dict[str, Callable[[], float]] = {
        f"generate_all, {o.clients} rows": lambda: timed(many),
        f"server, {o.clients} clients": lambda: together(o.clients, lambda: complete(host, o.model, o.tokens))[0],
        "generate": lambda: timed(lambda: generator.generate(PROMPT, max_new_tokens=o.tokens)),
        "server, 1 client": lambda: complete(host, o.model, o.tokens),
    }
    seconds: dict[str, list[float]] = {name: [] for name in work}
    busy = dict.fromkeys(work, 0.0)
    for turn in range(o.rounds + 1):  # in turns; the first warms up
        for name, measure in work.items():
            begun = time.process_time()
            taken = measure()
            if turn > 0:
                seconds[name].append(taken)
                busy[name] += time.process_time() - begun
    medians = [statistics.median(values) for values in seconds.values()]
    for (name, values), texts, median in zip(seconds.items(), (o.clients, o.clients, 1, 1), medians, strict=True):
        clients = f", its clients took {busy[name] / sum(values):.0%} of a core" if "server" in name else ""
        print(f"{name:24} {texts * o.tokens / median:8,.0f} tokens/s{clients}")
    print(f"{o.clients} clients have {medians[0] / medians[1]:.2f} of generate_all (aim: at least 0.80)")
    print(f"1 client has {medians[2] / medians[3]:.2f} of generate (aim: at least 0.90)", flush=True)


def measure_first_token(host: str, o: argparse.Namespace) -> None:
    """Print the time to the first token of clients that come at once."""
    half = max(1, o.clients // 2)
    together(half, lambda: complete(host, o.model, 2, stream=True))  # warms up
    waits = [together(half, lambda: complete(host, o.model, o.tokens, stream=True))[1] for _ in range(o.rounds)]
    first = sorted(wait for several in waits for wait in several)
    late = first[min(len(first) - 1, int(0.99 * len(first)))]
    print(
        f"first token, {half} clients: median {statistics.median(first):.3f} s, 99th percentile {late:.3f} s",
        flush=True,
    )


def measure_memory(host: str, process: int, o: argparse.Namespace) -> None:
    """Print the server's memory before, amid and after many short requests."""
    half, sizes = max(1, o.clients // 2), []
    together(half, lambda: complete(host, o.model, 2))  # loads the model
    begun = time.perf_counter()
    with ThreadPoolExecutor(half) as pool:
        for count in (0, o.requests // 10, o.requests // 2 - o.requests // 10, o.requests - o.requests // 2):
            for future in [pool.submit(complete, host, o.model, 2) for _ in range(count)]:
                future.result()
            sizes.append(f"{memory(process):.0f}")
    rate = o.requests / (time.perf_counter() - begun)
    print(
        f"memory before {o.requests:,} requests, after a tenth, half and all of them: {', '.join(sizes)} MB "
        f"({rate:,.0f} requests/s)"
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="shakespeare")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=10_000, help="short ones, for the memory")
    parser.add_argument("--only", nargs="+", choices=["speed", "first", "memory"], default=["speed", "first", "memory"])
    o = parser.parse_args()
    with server([o.model]) as (host, process):
        if "speed" in o.only:
            measure_speed(host, o)
        if "first" in o.only:
            measure_first_token(host, o)
        if "memory" in o.only:
            measure_memory(host, process, o)
    print_conditions()


if __name__ == "__main__":
    main()
