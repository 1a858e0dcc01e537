"""Pictures of what happened: the learning curve, and which labels were taken for which."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from textseq.files import replacing
from textseq.plain import json_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


WRITTEN, NAMED = 30, 150
"""Labels up to which a picture of confusions has its numbers written in, and its labels named."""


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


def confusion_plot(confusion: npt.NDArray[np.int64], labels: Sequence[str], picture: Path) -> None:
    """Draw which labels were taken for which, as a PNG: rows have a label, columns were given one.

    Args:
        confusion: texts, (C, C).
        labels: C names.
        picture: where the PNG goes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shares = confusion / confusion.sum(axis=1, keepdims=True).clip(min=1)
    side = 2.2 + 0.75 * min(len(labels), WRITTEN)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(labels))
    axes.set_xlabel("was given")
    axes.set_ylabel("has")
    if len(labels) <= NAMED:
        size = 10 * min(1.0, WRITTEN / len(labels))
        turned = 90 if len(labels) > WRITTEN else 45 if max(map(len, labels)) > 6 else 0
        axes.set_xticks(places, labels, rotation=turned, ha="center", fontsize=size)
        axes.set_yticks(places, labels, fontsize=size)
    for row in places if len(labels) <= WRITTEN else ():
        for column in places:
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{confusion[row, column]:,}", ha="center", va="center", color=color)
    with replacing(picture) as (file,):
        figure.savefig(file, format="png", dpi=130)
