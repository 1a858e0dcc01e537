"""What a run writes down as it goes: ``log.jsonl``, and TensorBoard events if asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from textseq.checkpoints.registry import Facts
from textseq.errors import TextseqError
from textseq.io.files import cannot_write, json_of, replacing

if TYPE_CHECKING:
    pass


def learning_curve(log: Path, picture: Path, unit: str = "token") -> None:
    """Draw training and validation loss over the steps, from a run's ``log.jsonl``, as a PNG.

    Nats on the left axis. On the right the accuracy on the validation part, where that was measured, or else the loss
    as perplexity.

    Args:
        log: the lines that ``training`` wrote.
        picture: where the PNG goes.
        unit: what the loss is the mean over.
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = [*_numbers_of(log)]
    training, validation, accuracy = (
        [(line["step"], line[name]) for line in lines if name in line and "step" in line]
        for name in ("loss", "validation_nats_per_token", "validation_accuracy")
    )
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(*_columns(training), color="#9ab8d6", linewidth=0.8, label="training")
    axes.plot(*_columns(_smooth(training)), color="#1f4e79", linewidth=1.6, label="training, smoothed")
    if validation:
        axes.plot(*_columns(validation), color="#c0392b", marker="o", markersize=4, label="validation")
        step, best = min(validation, key=lambda point: point[1])
        axes.annotate(f"{best:.3f}", (step, best), textcoords="offset points", xytext=(0, -14), ha="center")
    axes.set_xlabel("steps")
    axes.set_ylabel(f"loss (nats per {unit})")
    losses = [loss for _, loss in validation] + [loss for _, loss in _smooth(training)[len(training) // 50 :]]
    if losses and max(losses) < 700:  # above, the perplexity is more than a float holds
        low, high = min(losses), max(losses)
        axes.set_ylim(low - 0.08 * (high - low + 0.05), high + 0.05 * (high - low + 0.05))
        if not accuracy:
            functions = (np.exp, lambda perplexity: np.log(np.maximum(perplexity, 1e-9)))
            axes.secondary_yaxis("right", functions=functions).set_ylabel("perplexity")
    axes.grid(alpha=0.3)
    handles, names = axes.get_legend_handles_labels()
    if accuracy:
        right = axes.twinx()
        right.plot(*_columns(accuracy), color="#27823a", marker="s", markersize=3, label="accuracy, validation")
        step, best = max(accuracy, key=lambda point: point[1])
        right.annotate(f"{best:.1%}", (step, best), textcoords="offset points", xytext=(0, 6), ha="center")
        right.set_ylabel("accuracy")
        right.margins(y=0.15)
        more, others = right.get_legend_handles_labels()
        handles, names = handles + more, names + others
    axes.legend(handles, names, frameon=False, loc="center right")
    # A loss may be less than none in a log that is damaged; the perplexity beside it may then be infinite.
    with replacing(picture) as (file,), np.errstate(over="ignore", invalid="ignore"):
        figure.savefig(file, format="png", dpi=130)


def _numbers_of(log: Path) -> Iterator[dict[str, float]]:
    """The numbers in each line that is whole and can be drawn, by their names."""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError):
            found = json_of(line)
            if isinstance(found, dict):
                yield {
                    name: value for name, value in found.items() if isinstance(value, int | float) and abs(value) < 1e30
                }


def _columns(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _smooth(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """An exponential average over about a fiftieth of the run, without the first point's weight in all that follows."""
    keep = 1 - min(0.5, 50 / max(len(points), 1))
    smoothed, total, weight = [], 0.0, 0.0
    for step, loss in points:
        total, weight = keep * total + loss, keep * weight + 1
        smoothed.append((step, total / weight))
    return smoothed


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
