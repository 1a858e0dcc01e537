"""The log of a run: ``log.jsonl``, the learning curve drawn from it, and tools that track runs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import cast

from textseq.config.training import Tool
from textseq.errors import TextseqError
from textseq.io.extras import optional
from textseq.io.files import cannot_write, json_of, open_regular, replacing
from textseq.io.pictures import default_style
from textseq.training.events import Event

Points = list[tuple[float, float]]

LONGEST_LINE = 2**20
"""Bytes of a line of a log; longer ones are damaged."""

LARGEST_LOG = 2**30
"""Bytes of a log: those of some fifty million steps."""


@default_style()
def learning_curve(log: Path, picture: Path, loss_unit: str = "") -> None:
    """Draw training and validation loss and the gradient's norm over the steps, as a PNG.

    On the right axis: the validation accuracy, if the log has it, else the perplexity of a loss in nats.

    Args:
        log: ``log.jsonl`` of a run.
        picture: the PNG.
        loss_unit: the unit of the loss: ``nats per token``.

    Example:
        >>> Trainer(model, batches, folder="runs/mine").fit()
        >>> learning_curve(Path("runs/mine/log.jsonl"), Path("runs/mine/curve.png"))
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    training, validation, accuracy, norms = _series(
        log, "loss", "validation_loss", "validation_accuracy", "gradient_norm"
    )
    figure = Figure(figsize=(7, 5.4 if norms else 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    heights = [3, 1] if norms else [1]
    axes, *lower = figure.subplots(len(heights), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    axes.plot(*_columns(training), color="#9ab8d6", linewidth=0.8, label="training")
    axes.plot(*_columns(_smooth(training)), color="#1f4e79", linewidth=1.6, label="training, smoothed")
    if validation:
        axes.plot(*_columns(validation), color="#c0392b", marker="o", markersize=4, label="validation")
        step, best = min(validation, key=lambda point: point[1])
        note = axes.annotate(f"{best:.3f}", (step, best), textcoords="offset points", xytext=(0, -14), ha="center")
        note.set_bbox({"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1})
    axes.set_ylabel(f"loss ({loss_unit})" if loss_unit else "loss")
    losses = [loss for _, loss in validation] + [loss for _, loss in _smooth(training)[len(training) // 50 :]]
    if losses and max(losses) < 700:  # above, the perplexity is more than a float holds
        low, high = min(losses), max(losses)
        axes.set_ylim(low - 0.08 * (high - low + 0.05), high + 0.05 * (high - low + 0.05))
        if not accuracy and loss_unit.startswith("nats"):
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
    figure.legend(handles, names, frameon=False, loc="outside upper center", ncols=len(names), fontsize=9)
    for below in lower:
        below.plot(*_columns(norms), color="#7d6b91", linewidth=0.8)
        below.set_ylabel("gradient norm")
        below.set_ylim(bottom=0)
        below.grid(alpha=0.3)
    (lower or [axes])[-1].set_xlabel("steps")
    # In a damaged log a loss may be negative; the perplexity beside it may then be infinite.
    with replacing(picture) as (file,), np.errstate(over="ignore", invalid="ignore"):
        figure.savefig(file, format="png", dpi=130)


def _lines(log: Path) -> Iterator[tuple[bytes, dict[str, object]]]:
    """The complete lines of a log, each with its values; damaged lines are left out.

    Raises:
        TextseqError: it cannot be read, or is larger than any log.
    """
    try:
        with open_regular(log) as file:
            if log.stat().st_size > LARGEST_LOG:
                raise TextseqError(f"{log} has more than {LARGEST_LOG:,} bytes; no log has, so move it away")
            while line := file.readline(LONGEST_LINE):
                with suppress(ValueError):
                    values = json_of(line.decode())
                    if isinstance(values, dict):
                        yield line, values
    except TextseqError:
        raise
    except (OSError, ValueError) as error:
        raise TextseqError(f"cannot read {log}: {error}; move it away") from error


def _series(log: Path, *names: str) -> list[Points]:
    """The points of each name that can be drawn: steps and values."""
    series: dict[str, Points] = {name: [] for name in names}
    for _, values in _lines(log):
        for name, points in series.items():
            point = values.get("step"), values.get(name)
            if all(isinstance(number, int | float) and abs(number) < 1e30 for number in point):
                points.append(cast(tuple[float, float], point))
    return list(series.values())


def _columns(points: Points) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _smooth(points: Points) -> Points:
    """An exponential average over about a fiftieth of the run, corrected for the weight of its first point."""
    keep = 1 - min(0.5, 50 / max(len(points), 1))
    smoothed, total, weight = [], 0.0, 0.0
    for step, loss in points:
        total, weight = keep * total + loss, keep * weight + 1
        smoothed.append((step, total / weight))
    return smoothed


class RunLog:
    """The log of a run in its folder; without a folder it writes nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.path = folder / "log.jsonl" if folder else None

    def write(self, step: int, values: Mapping[str, object]) -> None:
        """Add a line."""
        if self.path is None:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def cut(self, step: int) -> None:
        """Remove the lines after a step, for a run that returns to it."""
        if self.path is not None and self.path.exists():
            with replacing(self.path) as (file,):
                for line, values in _lines(self.path):
                    if _step(values) <= step:
                        file.write(line.rstrip(b"\n") + b"\n")


class Tracker:
    """A callback that sends every line of the log to a tracking tool, where the runs are in the project "textseq".

    Args:
        tool: one of ``Tool``.
        folder: of the run; its name is the run's.
        settings: of the run, as nested tables.

    Raises:
        TextseqError: the tool is not installed or refuses to begin.

    Example:
        >>> Trainer(model, batches, folder="runs/mine", callbacks=[Tracker("wandb", Path("runs/mine"))]).fit()
    """

    def __init__(self, tool: Tool, folder: Path, settings: Mapping[str, object] | None = None) -> None:
        module, self.tool = tool_module(tool), tool
        if tool == "tensorboard":
            self.writer = module.SummaryWriter(str(folder / "tensorboard"))
            self.close = self.writer.close
            return
        try:  # both have the same interface
            self.writer = module.init(project="textseq", name=folder.name, config=dict(settings or {}))
        except Exception as error:  # without an account or a network; each tool has exceptions of its own
            reason = " ".join(str(error).split())
            raise TextseqError(
                f"--log-to {tool}: it cannot begin ({reason}); see its manual, or leave it out"
            ) from error
        self.close = self.writer.finish

    def __call__(self, event: Event) -> None:
        if event.kind != "log":
            return
        numbers = {name: value for name, value in event.values.items() if isinstance(value, int | float)}
        if self.tool != "tensorboard":
            self.writer.log(numbers, step=event.step)
            return
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, event.step)


def tool_module(tool: Tool) -> ModuleType:
    """The module of a tracking tool; a TextseqError says how to install it."""
    return optional({"tensorboard": "torch.utils.tensorboard"}.get(tool, tool), tool, needed_for=f"--log-to {tool}")


def _step(values: Mapping[str, object]) -> float:
    """The step of a line; infinite if it has none."""
    step = values.get("step")
    return step if isinstance(step, int | float) else math.inf
