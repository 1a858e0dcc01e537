"""Where to compute, and whether to the same bits every time."""

from __future__ import annotations

import os

import torch

from textseq.errors import TextseqError


def pick_device(name: str) -> torch.device:
    """The device of a name; ``auto`` is a GPU if there is one.

    Raises:
        TextseqError: a device that does not exist or is not here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).strip().splitlines()[0].split(". ")[0]
        raise TextseqError(f"--device {name} cannot be used here: {reason}; try --device auto") from None
    return device


def be_deterministic(device: torch.device, wanted: bool) -> None:
    """Ask torch for algorithms that give the same bits every time.

    On the CPU all that a run uses does so already, and asking would cost a second's import.
    """
    if device.type != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS wants it, cuDNN's RNNs follow
        torch.use_deterministic_algorithms(wanted)
