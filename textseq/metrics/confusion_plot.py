"""Plot of a confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textseq.io.pictures import default_style, fonts_for, legible, set_fonts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from textseq.io.figure import Picture


WRITTEN, NAMED = 30, 150
"""Labels up to which the cells show their numbers, and up to which the axes name the labels."""


def confusion_plot(
    confusion: npt.NDArray[np.int64], labels: Sequence[str], picture: Path, title: str = "confusion"
) -> None:
    """Save ``confusion_figure`` as a PNG."""
    confusion_figure(confusion, labels, title).save(picture)


@default_style()
def confusion_figure(confusion: npt.NDArray[np.int64], labels: Sequence[str], title: str = "confusion") -> Picture:
    """Plot a confusion matrix: rows are true labels, columns predicted labels.

    The color is the share of the true label's texts; the title ends with the number of texts and the accuracy.
    Characters without a font on this machine are drawn as code points (U+4E2D).

    Args:
        confusion: numbers of texts, (C, C).
        labels: C names.
        title: such as the model's name.
    """
    from textseq.io.figure import Picture

    shares = confusion / confusion.sum(axis=1, keepdims=True).clip(min=1)
    side = 2.2 + 0.75 * min(len(labels), WRITTEN)
    figure = Picture(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(labels))
    texts = int(confusion.sum())
    fonts, missing = fonts_for([*labels, title])
    names, title = [legible(label, missing, longest=None) for label in labels], legible(title, missing, longest=None)
    axes.set_title(f"{title}: {texts:,} texts, accuracy {confusion.trace() / max(texts, 1):.1%}", fontsize=11)
    axes.set_xlabel("predicted label")
    axes.set_ylabel("true label")
    if len(labels) <= NAMED:
        size = 10 * min(1.0, WRITTEN / len(labels))
        rotation = 90 if len(labels) > WRITTEN else 45 if max(map(len, names)) > 6 else 0
        axes.set_xticks(places, names, rotation=rotation, fontsize=size)
        if rotation == 45:  # a label ends at its column
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
        axes.set_yticks(places, names, fontsize=size)
    set_fonts([*axes.get_xticklabels(), *axes.get_yticklabels(), axes.title], fonts)
    for row in places if len(labels) <= WRITTEN else ():
        for column in places:
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{confusion[row, column]:,}", ha="center", va="center", color=color)
    return figure
