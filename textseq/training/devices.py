"""Devices, precision and deterministic algorithms."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace

import torch

from textseq.config.training import TrainingConfig
from textseq.errors import TextseqError
from textseq.training.distributed.environment import environment


def pick_device(name: str) -> torch.device:
    """The device of a name; ``auto`` is a GPU if there is one, and of several processes each gets its own.

    Raises:
        TextseqError: an unknown device, or one that this machine does not have.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')
    """
    process = environment()
    if process.count > 1 and name.startswith(("cuda:", "mps")):
        other = "cuda" if name.startswith("cuda") else "cpu"
        raise TextseqError(f"--device {name} is for one process, got {process.count}; use --device {other}")
    if process.count > 1 and name in {"auto", "cuda"} and (gpus := torch.cuda.device_count()):
        if process.local_rank >= gpus:
            raise TextseqError(
                f"each process needs its own GPU, and this machine has {gpus}; start no more with --nproc-per-node, or "
                "use --device cpu"
            )
        name = f"cuda:{process.local_rank}"
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() and process.count == 1 else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:  # its message lists two dozen devices that nobody has
        raise TextseqError(f"--device: expected cpu, cuda, cuda:1, mps or auto, got {name!r}") from None
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).strip().splitlines()[0].split(". ")[0]
        raise TextseqError(f"--device {name} cannot be used here: {reason}; try --device auto") from None
    if device.type == "meta":
        raise TextseqError("--device meta computes nothing; try --device auto")
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # Triton's kernels and CUDA graphs run on the current device
    return device


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device or the machine has run out of memory."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    message = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in message or "can't allocate memory" in message)


def pick_precision(config: TrainingConfig) -> TrainingConfig:
    """The settings with ``precision`` resolved: ``auto`` is bfloat16 if the device computes it fast, else float32."""
    if config.precision != "auto":
        return config
    device = pick_device(config.device)
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        fast = device.type == "cpu" and _cpu_has_bfloat16()
    return replace(config, precision="bfloat16" if fast else "float32")


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU has instructions for products of bfloat16; False if torch is too old to know.

    Speed of ``nn.LSTM`` over float32: 2.5 times with AMX, 1.9 with AVX-512 (2x512, N 64, T 100).
    """
    get_capabilities = getattr(torch.cpu, "get_capabilities", None)
    known = get_capabilities() if get_capabilities is not None else {}
    return any(known.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


@contextlib.contextmanager
def deterministic(device: torch.device, wanted: bool) -> Iterator[None]:
    """Use only deterministic algorithms inside the block."""
    if device.type == "cpu":  # those in use are deterministic, and the setting would cost a second's import
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS needs it, and cuDNN's RNNs follow
    torch.use_deterministic_algorithms(wanted)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
