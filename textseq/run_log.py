"""What a run writes down as it goes: ``log.jsonl``, and TensorBoard events if asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from textseq.errors import TextseqError
from textseq.files import cannot_write, replacing
from textseq.plain import json_of
from textseq.shelf import Facts


class EventWriter(Protocol):
    """The part of TensorBoard's SummaryWriter that is used."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None: ...
    def close(self) -> None: ...


class RunLog:
    """The log of one run.

    Args:
        folder: the run's.
        tensorboard: also write events.

    Raises:
        TextseqError: events are wanted and TensorBoard is not installed.
    """

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        self.path = folder / "log.jsonl"
        self.events = summary_writer()(str(folder / "tensorboard")) if tensorboard else None

    def write(self, step: int, facts: Facts) -> None:
        """Add a line.

        Raises:
            TextseqError: the disk is full.
        """
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **facts}) + "\n")
        except OSError as error:
            raise cannot_write(self.path, error) from error
        if self.events:
            for name, value in facts.items():
                if isinstance(value, int | float):
                    self.events.add_scalar(name, value, step)

    def cut(self, step: int) -> None:
        """Drop the lines after a step, which a run that goes back to it will write again."""
        if self.path.exists():
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
            kept = [line for line in lines if _step(line) <= step]
            with replacing(self.path) as (file,):
                file.write("".join(line + "\n" for line in kept).encode())

    def close(self) -> None:
        """Finish the events."""
        if self.events:
            self.events.close()


def summary_writer() -> Callable[[str], EventWriter]:
    """TensorBoard's writer of events.

    Raises:
        TextseqError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TextseqError(
            '--tensorboard wants TensorBoard; install it with: pip install "textseq[tensorboard]"'
        ) from None
    made: Callable[[str], EventWriter] = SummaryWriter
    return made


def _step(line: str) -> float:
    """The step of a line; infinite for a line that a killed run left half-written."""
    try:
        found = json_of(line)
        return float(found["step"]) if isinstance(found, dict) else math.inf
    except (ValueError, KeyError, TypeError, OverflowError):
        return math.inf
