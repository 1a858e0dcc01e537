"""What a model was made with: versions, machine and command, as its ``config.json`` keeps them."""

from __future__ import annotations

import platform
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from textseq.checkpoints.model_info import Table
from textseq.training.distributed.environment import environment
from textseq.version import __version__

SECRET = re.compile(
    r"(--?[\w-]*(?:token|secret|password|passwd|credentials?|api-?key))(=.*)?", re.IGNORECASE | re.DOTALL
)
"""A flag of somebody's own program that no one else should read the value of; our commands have none."""

LOGIN = re.compile(r"(?<=://)[^/@\s]+@")
"""In a URL."""


def made_with(device: torch.device) -> Table:
    """The versions, the machine and the command of this process.

    With the same of them, the same seed and the same text a run gives the same weights, bit for bit.
    """
    return {
        "textseq": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "processes": environment().count,
        "command": shown(sys.argv),
    }


def shown(arguments: Sequence[str]) -> str:
    """A command line as one would type it, without folders of the program and anything secret."""
    program, *rest = arguments or [""]
    path = Path(program)
    said = ["python", "-m", f"textseq.cli.{path.stem}"] if path.parent.name == "cli" else [path.name]
    hidden = False
    for argument in rest:
        flag = SECRET.fullmatch(argument)
        if flag:
            argument = flag[1] + ("=..." if flag[2] else "")
        elif hidden and not argument.startswith("-"):
            argument = "..."
        hidden = flag is not None and not flag[2]
        said.append(LOGIN.sub("...@", argument))
    return shlex.join(said)


def changes(before: Table, now: Table) -> str:
    """In what a run that goes on differs from how it began, in words; empty if in nothing that could change a bit.

    Args:
        before: what ``made_with`` found when it began; nothing is known of runs of older versions.
        now: what it finds.
    """
    others = [what for what in now if what != "command" and what in before and before[what] != now[what]]
    then, since = (", ".join(f"{what} {versions[what]}" for what in others) for versions in (before, now))
    return f"the run began with {then} and goes on with {since}: not bit for bit the same" if others else ""
