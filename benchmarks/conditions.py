"""The conditions that every benchmark prints with its numbers: machine, versions, command."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import torch

import textseq


def processor() -> str:
    """The processor's name, if the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def conditions() -> list[str]:
    """The machine, and the versions."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return [
        f"machine: {processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads{gpu}",
        f"versions: textseq {textseq.__version__}, torch {torch.__version__}, Python {platform.python_version()}",
    ]


def print_conditions() -> None:
    """Print the conditions of the numbers above."""
    for line in conditions():
        print(line)
    print(f"command: python {' '.join([os.path.relpath(sys.argv[0]), *sys.argv[1:]])}")
