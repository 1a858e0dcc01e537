"""Provenance of a model: versions, machine and command of its training, for ``config.json``."""

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
from textseq.version import __version__

SECRET = re.compile(
    r"(--?[\w-]*(?:token|secret|password|passwd|credentials?|api-?key))(=.*)?", re.IGNORECASE | re.DOTALL
)
"""Flags whose values are hidden; only programs of users have any."""

LOGIN = re.compile(r"(?<=://)[^/@\s]+@")
"""Credentials in a URL."""


def made_with(device: torch.device, processes: int) -> Table:
    """Versions, machine and command of this process; if equal, the same seed and text give the same weights.

    Args:
        device: of the training.
        processes: that train together.
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
        "processes": processes,
        "command": shown(sys.argv),
    }


def shown(arguments: Sequence[str]) -> str:
    """A command line as typed, without the program's folder and without secrets."""
    program, *rest = arguments or [""]
    path = Path(program)
    words = ["python", "-m", f"textseq.cli.{path.stem}"] if path.parent.name == "cli" else [path.name]
    hidden = False
    for argument in rest:
        flag = SECRET.fullmatch(argument)
        if flag:
            argument = flag[1] + ("=..." if flag[2] else "")
        elif hidden and not argument.startswith("-"):
            argument = "..."
        hidden = flag is not None and not flag[2]
        words.append(LOGIN.sub("...@", argument))
    return shlex.join(words)


def changes(before: Table, now: Table) -> str:
    """A sentence on how the provenance of a resumed run differs from its start; empty if it does not.

    Args:
        before: from ``made_with`` at the start; empty for runs of older versions.
        now: from ``made_with``.
    """
    names = [name for name in now if name != "command" and name in before and before[name] != now[name]]
    old, new = (", ".join(f"{name} {versions[name]}" for name in names) for versions in (before, now))
    return f"the run started with {old} and resumes with {new}: results will not be bit-identical" if names else ""
