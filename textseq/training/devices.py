"""Where to compute, and whether to the same bits every time."""

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
    """The device of a name; ``auto`` is a GPU if there is one, of several processes the one that is this process's.

    Raises:
        TextseqError: a device that does not exist or is not here.
    """
    own = environment()
    if own.count > 1 and name.startswith("cuda:"):
        raise TextseqError(
            f"--device {name} is for one process, found {own.count}, each with a GPU of its own; say cuda"
        )
    if own.count > 1 and name in {"auto", "cuda"} and (there := torch.cuda.device_count()):
        if own.local >= there:
            raise TextseqError(
                f"each process wants a GPU of its own, found {there} here; start no more with --nproc-per-node, or "
                "say --device cpu"
            )
        name = f"cuda:{own.local}"
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() and own.count == 1 else "cpu")
    if own.count > 1 and name.startswith("mps"):
        raise TextseqError(f"--device {name} is for one process, found {own.count}; say --device cpu")
    try:
        device = torch.device(name)
    except RuntimeError:  # whose message lists two dozen that nobody has
        raise TextseqError(f"--device wants cpu, cuda, cuda:1, mps or auto, found {name}; name one of them") from None
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).strip().splitlines()[0].split(". ")[0]
        raise TextseqError(f"--device {name} cannot be used here: {reason}; try --device auto") from None
    if device.type == "meta":
        raise TextseqError("--device meta computes nothing; try --device auto")
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # for what goes to the current one: kernels of Triton, recorded graphs
    return device


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is lacking, of the device or of the machine."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and ("out of memory" in said or "can't allocate memory" in said)


def pick_precision(config: TrainingConfig) -> TrainingConfig:
    """The same settings with ``precision`` decided: ``auto`` is bfloat16 where the device has units for it."""
    if config.precision != "auto":
        return config
    device = pick_device(config.device)
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        fast = device.type == "cpu" and _cpu_has_bfloat16()
    return replace(config, precision="bfloat16" if fast else "float32")


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU has instructions for products of bfloat16; a torch too old to know says no.

    They make ``nn.LSTM`` 2.5 times as fast as in float32 with AMX, and 1.9 times with AVX-512 (2x512, N 64, T 100).
    """
    ask = getattr(torch.cpu, "get_capabilities", None)
    known = ask() if ask is not None else {}
    return any(known.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


@contextlib.contextmanager
def deterministic(device: torch.device, wanted: bool) -> Iterator[None]:
    """For the while, ask torch for algorithms that give the same bits every time.

    On the CPU all that a run uses does so already, and asking would cost a second's import.
    """
    if device.type == "cpu":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS wants it, cuDNN's RNNs follow
    torch.use_deterministic_algorithms(wanted)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
