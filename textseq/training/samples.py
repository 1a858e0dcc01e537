"""Samples of a run: what the model writes during training, shown to the user."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from textseq.training.state import random_states, set_random_states

FIRST_SAMPLE = 20.0
"""Seconds of training."""


class Samples:
    """Shows samples after evaluations, and between them after about 20 seconds, 1, 2, 4... minutes of training.

    Args:
        sample: writes one; None shows none.
        report: shows it.
        device: of the model.
    """

    def __init__(self, sample: Callable[[], str] | None, report: Callable[[str], None], device: torch.device) -> None:
        self.sample, self.report, self.device = sample, report, device
        self.next = FIRST_SAMPLE
        """Seconds of training after which the next one is due."""

    def postpone(self, seconds: float) -> None:
        """Let no sample be due before the next of the times after these seconds of training."""
        self.next = next_sample(seconds)

    def show(self, seconds: float) -> None:
        """Show a sample after an evaluation."""
        self.postpone(seconds)
        if self.sample and (text := self.sample()):
            self.report(text)

    def show_between(self, step: int, seconds: float) -> None:
        """Show a sample between evaluations. The clock decides when, so the random numbers stay as they were."""
        self.postpone(seconds)
        if self.sample:
            random = random_states(self.device)
            text = self.sample()
            set_random_states(random, self.device, "")
            self.report(f"step {step}, after {seconds:.0f} seconds:\n{text}")


def next_sample(seconds: float) -> float:
    """Seconds of training after which the next sample is shown: 20, then 1, 2, 4, 8... minutes.

    Example:
        >>> next_sample(0), next_sample(20), next_sample(60)
        (20.0, 60.0, 120.0)
    """
    return FIRST_SAMPLE if seconds < FIRST_SAMPLE else 60.0 * 2 ** max(0, math.floor(math.log2(seconds / 60)) + 1)
