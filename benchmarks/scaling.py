"""Speed of several processes: measured here with one and two, estimated for 8 and 64 GPUs.

Measured: a training step of a language model with the same global batch for one process with all threads, one process
with a single thread, and two processes with a single thread each; and the size of the gradient that is all-reduced.
Estimated: one pass over a corpus on GPUs, from the time of a step on one GPU and the size of the gradient:

    python benchmarks/scaling.py                      measure here, and estimate
    python benchmarks/scaling.py --gpu-step-ms 60     estimate from the time of a step on your GPU

In a step of s seconds backward takes about 2/3. A ring all-reduce of M bytes over W processes takes
2 (W - 1) / W * M / bandwidth + 2 (W - 1) * latency (Patarasuk and Yuan 2009). DistributedDataParallel overlaps it with
backward; only what exceeds backward adds to the step. Every GPU keeps its own batch, so the global batch grows with W.
The slowest link counts: NVLink up to 8 GPUs, the network beyond.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch
from conditions import print_conditions

from textseq.config.training import TrainingConfig
from textseq.tasks.language_model.batches import Streams
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.tasks.language_model.model import LanguageModel
from textseq.training.devices import pick_device
from textseq.training.distributed.group import SINGLE_PROCESS, Command, join_process_group
from textseq.training.step import TrainStep

V = 8000
STEPS = 7
BACKWARD = 2 / 3
"""Its share of a step: two products for each of forward's."""


@dataclass(frozen=True)
class Link:
    """What connects GPUs."""

    name: str
    bandwidth: float
    """Bytes per second, one way, of which about so many arrive: of each GPU, or of a machine, which has one
    neighbour in a ring on either side."""
    latency: float
    """Seconds for a message of a few bytes."""


NVLINK = Link("NVLink", 300e9, 5e-6)
NETWORKS = [Link("400 Gbit/s per GPU", 40e9, 10e-6), Link("100 Gbit/s per machine of 8", 10e9, 30e-6)]


@dataclass(frozen=True)
class RandomTokens:
    """A text of uniformly drawn tokens."""

    ids: np.ndarray
    document_starts: np.ndarray


def main() -> None:
    """Measure, reckon and print; or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden-size", type=int, default=512)
    parser.add_argument("--num-layers", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64, help="streams of one process, or of two together")
    parser.add_argument("--window", type=int, default=100)
    parser.add_argument("--corpus-gb", type=float, default=10.0)
    parser.add_argument(
        "--bytes-per-token", type=float, default=4.3, help="of subwords; English text has about so many"
    )
    parser.add_argument("--gpu-step-ms", type=float, help="of one GPU; by default it is measured, or else reckoned")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.worker:
        work(o)
        return
    config, tokens = model_config(o), o.batch_size * o.window
    with torch.device("meta"):
        parameters = sum(p.numel() for p in LanguageModel(config, V).parameters())
    message = 4 * parameters
    print(f"{o.num_layers} LSTM layers of {o.hidden_size}, vocabulary {V}: {parameters / 1e6:.1f} million parameters,")
    print(f"of whose gradient {message / 1e6:.0f} MB are added up in every step of {tokens:,} tokens per GPU.\n")
    if o.gpu_step_ms is None:
        measure_here(tokens)
    given: float | None = o.gpu_step_ms
    seconds = given / 1000 if given else gpu_seconds(o, parameters, tokens)
    reckon(o, seconds, message, tokens)
    print_conditions()


def model_config(o: argparse.Namespace) -> LanguageModelConfig:
    """The model that is measured."""
    return LanguageModelConfig(
        num_layers=o.num_layers,
        hidden_size=o.hidden_size,
        embedding_size=o.hidden_size,
        tie_embeddings=True,
        dropout=0.1,
    )


def work(o: argparse.Namespace) -> None:
    """One of the processes: steps, timed by the first."""
    device = pick_device("auto")
    processes = join_process_group(device.type) if os.environ.get("WORLD_SIZE", "1") != "1" else SINGLE_PROCESS
    torch.manual_seed(1)
    model = LanguageModel(model_config(o), V).to(device)
    ids = np.random.default_rng(0).integers(V, size=2_000_000).astype(np.uint16)
    batching = DataConfig(batch_size=o.batch_size, window=o.window)
    streams = Streams(RandomTokens(ids, np.zeros(1, np.int64)), batching, seed=0)
    learner = TrainStep(model, streams, TrainingConfig(precision="float32"), processes)
    if not processes.leads:
        learner.follow(None, resume=False)  # type: ignore[arg-type]  # nothing is restored
        return
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        learner.step(1e-3)
        learner.read()
        times.append(time.perf_counter() - start)
    processes.send(Command.END)
    print(statistics.median(times[2:]))


def seconds_of(processes: int, threads: int) -> float:
    """Seconds of a step by so many processes with so many threads each."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command += [__file__, *sys.argv[1:], "--worker"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def measure_here(tokens: int) -> None:
    """One process and two, on this machine, in turns."""
    cores = os.cpu_count() or 1
    sides = {f"1 process, {cores} threads": (1, cores), "1 process, 1 thread": (1, 1), "2 processes, 1 thread": (2, 1)}
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(3):
        for name, side in sides.items():
            found[name].append(seconds_of(*side))
    medians = {name: statistics.median(times) for name, times in found.items()}
    single = medians["1 process, 1 thread"]
    print("| measured here, the same global batch | s per step | tokens per s | over 1 thread |")
    print("|---|---:|---:|---:|")
    for name, median in medians.items():
        print(f"| {name} | {median:.3f} | {tokens / median:,.0f} | {single / median:.2f} |")
    print()


def gpu_seconds(o: argparse.Namespace, parameters: int, tokens: int) -> float:
    """A step on one GPU: measured where there is one, or reckoned by its two limits.

    Products run at 30 % of an H100's 990 TFLOP/s in bfloat16 (NVIDIA's data sheet, dense), 6 per parameter and token;
    and a layer cannot take a step of time faster than a kernel is launched and read back, about 10 microseconds, twice
    as long backwards.
    """
    if torch.cuda.is_available():
        return seconds_of(1, 1)
    products = 6 * parameters * tokens / (0.3 * 990e12)
    launches: float = o.num_layers * o.window * 10e-6 * 3
    return max(products, launches)


def reckon(o: argparse.Namespace, seconds: float, message: int, tokens: int) -> None:
    """Print what 1, 8 and 64 GPUs would give."""
    how = "given" if o.gpu_step_ms else "measured" if torch.cuda.is_available() else "reckoned, not measured"
    print(f"A pass over {o.corpus_gb:g} GB ({how}: {1000 * seconds:.1f} ms per step on one GPU):\n")
    print("| GPUs | link | message, ms | waited for, ms | of the ideal | GB per hour | hours | steps | limit |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|---|")
    for count, link in [(1, None), (8, NVLINK), *((64, network) for network in NETWORKS)]:
        ring = 0.0
        if link is not None:
            ring = 2 * (count - 1) / count * message / link.bandwidth + 2 * (count - 1) * link.latency
        waited = max(0.0, ring - BACKWARD * seconds)
        step = seconds + waited
        steps = o.corpus_gb * 1e9 / o.bytes_per_token / (tokens * count)
        hours = steps * step / 3600
        limit = "network" if waited > 0.1 * seconds else "the GPU's own step"
        print(
            f"| {count} | {link.name if link else '-'} | {1000 * ring:.1f} | {1000 * waited:.1f} "
            f"| {seconds / step:.0%} | {o.corpus_gb / hours:,.0f} | {hours:.2f} | {steps:,.0f} | {limit} |"
        )
    print()


if __name__ == "__main__":
    main()
