"""Limits of a model's size, checked while it is built and before its memory is allocated."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from textseq.errors import TextseqError

ALLOCATORS = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn})
"""Functions that allocate parameters; their first argument is the shape, or all arguments are."""

BYTES = 8
"""Bytes of a parameter and its gradient in float32, the least that training needs."""

LARGE = 2**25
"""Parameters from which a model is counted before it is built: 128 MiB."""


class _Large(Exception):
    """More than ``LARGE`` parameters."""


class _ElementCount(TorchFunctionMode):
    """Counts the elements of allocated tensors and raises an error above a limit."""

    def __init__(self, limit: int, error: Exception) -> None:
        super().__init__()
        self.left, self.error = limit, error

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        if func in ALLOCATORS:
            shape = args[0] if args and isinstance(args[0], Sequence) else args
            self.left -= math.prod(size for size in shape if isinstance(size, int))
            if self.left < 0:
                raise self.error
        return func(*args, **(kwargs or {}))


def limit_parameters(parameters: int, message: str) -> AbstractContextManager[object]:
    """Context in which a model is built; more parameters than given raise a TextseqError with this message."""
    return _ElementCount(parameters, TextseqError(message))


def build_within_memory(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a model; one too large to train on this machine raises a TextseqError before its memory is allocated.

    A large model is first built on the meta device, to count; with many layers that takes seconds, which a small one
    need not wait for. The random numbers are the same either way.
    """
    memory, random = _memory(), torch.get_rng_state()
    with suppress(_Large), _ElementCount(LARGE, _Large()):
        return build()
    if memory is not None:
        message = (
            f"a model of more than {memory // BYTES:,} parameters cannot be trained in the {memory / 2**30:.0f} GiB of "
            "memory of this machine; choose smaller sizes or fewer layers"
        )
        with torch.device("meta"), limit_parameters(memory // BYTES, message):
            build()
    torch.set_rng_state(random)
    return build()


def _memory() -> int | None:
    """Bytes of memory of this machine; None if unknown."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
