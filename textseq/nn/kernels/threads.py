"""As many threads as pay for the products of a few rows.

Threads that share a small product wait for one another longer than they compute; and the more of them, the more often
one of them waits for another program.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

PER_THREAD = 2**19
"""Multiply-adds of a product for each thread.

Two threads over one, writing one text with an LSTM of so many units while nothing else runs: 256: 1.0, 512: 1.5,
768: 1.7, 1024: 2.0 times as fast. An LSTM has 4 H^2 multiply-adds, so that the second thread comes between 256 and 512
units. Beside a training on the same two cores the second thread costs a fifth (768 units: 2.6 s instead of 2.2 with one
thread, 2.0 alone) where threads sleep while they wait (``io.processors``), and ten times the time where they spin.
"""


@contextmanager
def threads_for(multiply_adds: int) -> Iterator[None]:
    """In this block the calling thread's products of so many multiply-adds take as many threads as pay.

    Never more than before, and as many as before after the block. Called once per step, it takes a microsecond.

    Example:
        >>> with threads_for(rows * weights.numel()):
        ...     y = x @ weights
    """
    before = torch.get_num_threads()
    after = min(before, max(1, multiply_adds // PER_THREAD))
    if after == before:
        yield
        return
    torch.set_num_threads(after)
    try:
        yield
    finally:
        torch.set_num_threads(before)
