"""Pictures of what happened: the learning curve, and which labels were taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textseq.io.files import replacing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


WRITTEN, NAMED = 30, 150
"""Labels up to which a picture of confusions has its numbers written in, and its labels named."""


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
