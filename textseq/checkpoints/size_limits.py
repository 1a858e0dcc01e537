"""How many parameters a model may have: one that is too large is refused before memory is taken for it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch.overrides import TorchFunctionMode

from textseq.errors import TextseqError

MAKING = frozenset({torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn})
"""What makes the parameters of a new model; their first argument is the shape, or all of them are."""

BYTES = 8
"""Of a parameter and its gradient in float32, which is the least that training takes."""


class _Counting(TorchFunctionMode):
    """Adds up the elements of the tensors that are made, and refuses the one that would be too many."""

    def __init__(self, most: int, refusal: str) -> None:
        super().__init__()
        self.left, self.refusal = most, refusal

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        if func in MAKING:
            shape = args[0] if args and isinstance(args[0], Sequence) else args
            self.left -= math.prod(size for size in shape if isinstance(size, int))
            if self.left < 0:
                raise TextseqError(self.refusal)
        return func(*args, **(kwargs or {}))


def limit_parameters(parameters: int, refusal: str) -> AbstractContextManager[object]:
    """A block in which a model is made.

    Args:
        parameters: how many its tensors may have in all.
        refusal: the message of the TextseqError that a tensor with more is refused with.
    """
    return _Counting(parameters, refusal)


def limit_to_memory() -> AbstractContextManager[object]:
    """A block in which a model is made that is to be trained.

    One that this machine's memory cannot hold, with its gradients, is refused before its weights alone take half of it.
    """
    memory = _memory()
    if memory is None:
        return nullcontext()
    return limit_parameters(
        memory // BYTES,
        f"a model of more than {memory // BYTES:,} parameters, whose training does not fit into the "
        f"{memory / 2**30:.0f} GiB of memory of this machine; choose smaller sizes or fewer layers",
    )


def _memory() -> int | None:
    """The bytes of memory of this machine, where the system tells them."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
