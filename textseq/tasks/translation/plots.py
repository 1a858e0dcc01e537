"""Plots of translation: attention heat map, and BLEU by source length."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from textseq.errors import TextseqError
from textseq.io.colored_text import display_width, heat_table
from textseq.io.files import check_picture
from textseq.io.pictures import default_style, fonts_for, legible, set_fonts
from textseq.metrics.translation import LengthBLEU
from textseq.tokenizers.base import END
from textseq.tokenizers.characters import BYTES, HALF_BYTES

if TYPE_CHECKING:
    from textseq.io.figure import Picture


CELL, LONGEST = 0.36, 20.0
"""Inches per token, and of all tokens at most; more tokens shrink cells and font."""

SMALL = 0.08
"""Inches of a cell below which no grid lines are drawn."""

LETTERS = 11.0
"""Font size in points where there is room."""

TEXT_END = "END"
"""Label of the token that ends a text."""

NAME = 60
"""Characters per line of a system's name in a legend."""

COLORS = ("#1f4e79", "#c0392b", "#2e8b57", "#d68910", "#7d3c98", "#5d6d7e")

MARKERS = "osD^vP"

# Tokens per byte.
_PER_BYTE = {**dict.fromkeys(BYTES, 1), **dict.fromkeys(HALF_BYTES, 2)}


def attention_heat_map(
    attention: np.ndarray, source_tokens: Sequence[str], target_tokens: Sequence[str], picture: Path, title: str = ""
) -> None:
    """Plot attention weights as a PNG.

    The color scale ends at the largest weight of this plot; the color bar shows it. Labels are words: no space before
    them, a hyphen before the further parts of a word, "END" for the token that ends a text. A character that the
    tokens spell byte by byte is drawn as one; see ``by_character``.

    Args:
        attention: weights from 0 to 1, (T, S).
        source_tokens: S tokens, along the top.
        target_tokens: T tokens, down the left side.
        picture: path of the PNG; must end in .png.
        title: such as the model's name.

    Raises:
        TextseqError: weights of another shape or out of range; a path that is not writable or has another extension.
    """
    check_picture(picture)
    attention_figure(attention, source_tokens, target_tokens, title).save(picture)


def bleu_by_length_plot(series: Mapping[str, Sequence[LengthBLEU]], picture: Path) -> None:
    """Plot BLEU by source length as a PNG, one line per system.

    Args:
        series: results of ``bleu_by_length`` for the same sentences, by the system's name.
        picture: path of the PNG; must end in .png.

    Raises:
        TextseqError: no data; series of different sentences; a path that is not writable or has another extension.
    """
    check_picture(picture)
    bleu_by_length_figure(series).save(picture)


def by_character(
    attention: np.ndarray, source_tokens: Sequence[str], target_tokens: Sequence[str]
) -> tuple[np.ndarray, list[str], list[str]]:
    """Merge the rows and columns of tokens that spell one character by bytes or half-bytes.

    Weights are summed over source tokens and averaged over target tokens, so rows still sum to 1. Invalid bytes stay
    separate.

    Args:
        attention: weights (T, S).
        source_tokens: S tokens, at least 1.
        target_tokens: T tokens, at least 1.

    Returns:
        Weights (T', S'), and the texts of the S' columns and T' rows.
    """
    source, columns = zip(*_characters(source_tokens), strict=True)
    target, rows = zip(*_characters(target_tokens), strict=True)
    summed = np.add.reduceat(attention, np.cumsum(columns) - columns, axis=1)
    averaged = np.add.reduceat(summed, np.cumsum(rows) - rows, axis=0) / np.array(rows)[:, None]
    return averaged, list(source), list(target)


@default_style()
def attention_figure(
    attention: np.ndarray, source_tokens: Sequence[str], target_tokens: Sequence[str], title: str = ""
) -> Picture:
    """The figure that ``attention_heat_map`` saves; its axes fill it, with the labels around.

    Characters without a font on this machine are drawn as code points (U+4E2D).
    """
    from textseq.io.figure import Picture

    shape = len(target_tokens), len(source_tokens)
    if 0 in shape:
        raise TextseqError(f"heat map: expected tokens, got {shape[1]} of source and {shape[0]} of target; give both")
    weights = np.asarray(attention, dtype=np.float64)
    if weights.shape != shape:
        raise TextseqError(
            f"attention: expected weights for {shape[0]} target by {shape[1]} source tokens, got {weights.shape}; "
            "give one row per target token"
        )
    if not ((weights >= 0) & (weights < 1.01)).all():  # NaN fails too
        raise TextseqError(
            f"attention: expected weights from 0 to 1, got {weights.min():.3g} to {weights.max():.3g}; give a softmax"
        )
    weights, *sides = by_character(weights, source_tokens, target_tokens)
    fonts, missing = fonts_for([*sides[0], *sides[1], title])
    source, target = (_labels(side, missing) for side in sides)
    cell = min(CELL, LONGEST / max(len(source), len(target)))
    width, height = cell * len(source), cell * len(target)
    figure = Picture(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    largest = float(weights.max()) or 1.0
    lines = min(0.8, 3 * cell) if cell >= SMALL else 0.0
    cells = axes.pcolormesh(weights, cmap="Blues", vmin=0, vmax=largest, edgecolors="#e3e6ea", linewidth=lines)
    axes.invert_yaxis()
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(len(source)) + 0.5, source)
    axes.set_yticks(np.arange(len(target)) + 0.5, target, fontsize=_font_size(cell, 0.8))
    widths = [display_width(token) for token in source]
    lean = 0 if median(widths) <= 2 and max(widths) <= 4 else 45 if cell == CELL else 90
    for label in axes.get_xticklabels():
        label.set(rotation=lean, rotation_mode="anchor", fontsize=_font_size(cell, 0.45 if lean == 0 else 0.8))
        label.set(ha="left" if lean else "center", va="center_baseline" if lean == 90 else "baseline")
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("source", color="#444444")
    axes.set_ylabel("translation", color="#444444")
    axes.set_title(legible(title, missing, longest=None), fontsize=LETTERS)
    set_fonts([*axes.get_xticklabels(), *axes.get_yticklabels(), axes.title], fonts)
    axes.tick_params(length=0, pad=4)
    axes.spines[:].set_color("#9aa3ad")

    tall = max(3 * CELL, min(height, 8 * CELL))
    bar = figure.add_axes((1 + 0.25 / width, 1 - tall / height, 0.13 / width, tall / height))
    figure.colorbar(cells, cax=bar).set_label("attention", fontsize=9, color="#444444")
    bar.set_yticks(ticks := (0.0, largest / 2, largest), [f"{tick:.2g}" for tick in ticks])
    bar.tick_params(labelsize=8, length=2)
    bar.spines[:].set_color("#9aa3ad")
    return figure


@default_style()
def bleu_by_length_figure(series: Mapping[str, Sequence[LengthBLEU]]) -> Picture:
    """The figure that ``bleu_by_length_plot`` saves."""
    from textseq.io.figure import Picture

    ranges = [[(part.words, part.sentences) for part in parts] for parts in series.values()]
    if not ranges or not ranges[0]:
        raise TextseqError("BLEU by length: expected at least 1 range of lengths, got none; measure first")
    if any(other != ranges[0] for other in ranges):
        raise TextseqError(
            "BLEU by length: expected the same sentences for all systems, got different ones; measure all alike"
        )
    fonts, missing = fonts_for(list(series))
    figure = Picture(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for number, parts in enumerate(series.values()):
        color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
        (line,) = axes.plot([part.bleu for part in parts], color=color, marker=marker, markersize=6, linewidth=1.8)
        line.set(clip_on=False, zorder=3)  # not clipped by the axis at a BLEU of 0
    highest = max(part.bleu for parts in series.values() for part in parts)
    axes.set_ylim(0, max(1.0, 1.12 * highest))
    axes.set_xlim(-0.35, len(ranges[0]) - 0.65)
    axes.set_xticks(range(len(ranges[0])), [f"{words}\n({sentences:,})" for words, sentences in ranges[0]])
    axes.set_xlabel("words of the source (sentences)")
    axes.set_ylabel("BLEU")
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    # Named here because matplotlib drops labels that begin with "_".
    names = [textwrap.fill(legible(name, missing, longest=None), NAME) for name in series]
    legend = axes.legend(axes.lines, names, frameon=False)
    set_fonts(legend.get_texts(), fonts)
    return figure


def attention_table(attention: np.ndarray, source_tokens: Sequence[str], target_tokens: Sequence[str]) -> str:
    """The weights as an HTML table for notebooks; arguments as of ``attention_heat_map``, at least 1 token each."""
    weights, *sides = by_character(attention, source_tokens, target_tokens)
    source, target = (_labels(side) for side in sides)
    shares: list[list[float]] = weights.clip(0, 1).tolist()
    return heat_table(shares, target, source, lambda t, s: f"{target[t]} looked at {source[s]}: {shares[t][s]:.0%}")


def distinct_names(systems: Sequence[Sequence[str]]) -> list[str]:
    """Names of systems for a legend: the shortest ends of their models' paths that are all different.

    At least two folders, because a checkpoint's name alone ("best-10") says little.

    Args:
        systems: for each the models of its ensemble, by name or path.
    """
    paths = {Path(name).parts for system in systems for name in system}
    longest = max(2, *map(len, paths))
    count = next(n for n in range(2, longest + 1) if len({path[-n:] for path in paths}) == len(paths))
    return [" + ".join(str(Path(*Path(name).parts[-count:])) for name in system) for system in systems]


def _labels(tokens: Sequence[str], missing: Collection[str] = ()) -> list[str]:
    """Labels of a text's tokens; where a space begins a word, its further parts get a hyphen."""
    labels = [TEXT_END if token == END else legible(token, missing) for token in tokens]
    if any(token[:1] == " " and token.strip() for token in tokens):
        for number, (before, token) in enumerate(pairwise(tokens), start=1):
            if before[-1:].isalnum() and token[:1].isalnum():
                labels[number] = f"-{labels[number]}"
    return labels


def _characters(tokens: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Each spelled character or other token, with its number of tokens."""
    for per_byte, run in groupby(tokens, lambda token: _PER_BYTE.get(token, 0)):
        names = list(run)
        at = 0
        if per_byte:
            digits = "".join(name.removeprefix("<0x").removesuffix(">") for name in names)
            utf8 = bytes.fromhex(digits[: len(digits) // 2 * 2])
            # An invalid byte becomes a lone surrogate.
            for character in utf8.decode("utf-8", "surrogateescape"):
                size = per_byte * len(character.encode("utf-8", "surrogateescape"))
                if unicodedata.category(character) == "Cs":
                    yield from ((name, 1) for name in names[at : at + size])
                else:
                    yield character, size
                at += size
        yield from ((name, 1) for name in names[at:])


def _font_size(cell: float, share: float) -> float:
    """Font size in points for at most this share of a cell of so many inches."""
    return min(LETTERS, share * 72 * cell)
