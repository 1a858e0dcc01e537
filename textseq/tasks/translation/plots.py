"""Pictures of translating: where the attention lay, and how the BLEU falls with the length of the source."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from textseq.errors import TextseqError
from textseq.io.files import check_picture, replacing
from textseq.metrics.translation import LengthBLEU
from textseq.tokenizers.characters import BYTES, HALF_BYTES

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text


CELL, LONGEST = 0.36, 20.0
"""Inches of a token's row and column, and of all together at most: for more tokens the cells and letters shrink."""

SMALL = 0.08
"""Inches of a cell below which no lines are drawn around it: they would cover it."""

LETTERS = 11.0
"""Points of the letters where there is room."""

LABEL = 32
"""Characters of a token that are shown at most."""

SPACE = "␣"
"""What stands for the space in a token (" the" is drawn as "␣the")."""

JOINERS = "\u200c\u200d"
"""Characters that shape their neighbours, and are seen only so."""

FONT = "DejaVu Sans"
"""Comes with matplotlib; other fonts serve the characters that it lacks."""

NAME = 60
"""Characters to a line of a system's name in a legend."""

COLOURS = ("#1f4e79", "#c0392b", "#2e8b57", "#d68910", "#7d3c98", "#5d6d7e")

MARKERS = "osD^vP"

# How many tokens spell a byte.
_TO_A_BYTE = {**dict.fromkeys(BYTES, 1), **dict.fromkeys(HALF_BYTES, 2)}


def attention_heat_map(
    attention: np.ndarray, source_tokens: Sequence[str], target_tokens: Sequence[str], picture: Path
) -> None:
    """Draw how much each token of a translation attended to each token of its source, as a PNG.

    White is a weight of 0 and the darkest blue the largest weight of this picture, which the bar beside it tells: so
    an attention that is spread thin can be seen too, but shades of two pictures compare by their bars only. A
    character that the tokens spell byte by byte is drawn as one; see ``by_character``.

    Args:
        attention: weights from 0 to 1, (T, S).
        source_tokens: S tokens, drawn along the top.
        target_tokens: T tokens, drawn down the left side.
        picture: where the PNG goes; its name ends in .png.

    Raises:
        TextseqError: weights that do not belong to the tokens, or not from 0 to 1; a place that cannot be written to,
            or the name of another kind of file.
    """
    check_picture(picture)
    _save(attention_figure(attention, source_tokens, target_tokens), picture)


def bleu_by_length_plot(series: Mapping[str, Sequence[LengthBLEU]], picture: Path) -> None:
    """Draw BLEU over the length of the source, a line for each system, as a PNG.

    Args:
        series: by the system's name what ``bleu_by_length`` gave, for the same sentences.
        picture: where the PNG goes; its name ends in .png.

    Raises:
        TextseqError: nothing to draw; series of different sentences; a place that cannot be written to, or the name of
            another kind of file.
    """
    check_picture(picture)
    _save(bleu_by_length_figure(series), picture)


def by_character(
    attention: np.ndarray, source_tokens: Sequence[str], target_tokens: Sequence[str]
) -> tuple[np.ndarray, list[str], list[str]]:
    """The attention with each character as one that tokens spell by the bytes of its UTF-8, or by half-bytes.

    The weights of a character's tokens are summed in the source and averaged in the target, so rows still sum to 1.
    Bytes that together are no character stay as they are, and so do all other tokens.

    Args:
        attention: weights (T, S).
        source_tokens: S tokens, at least 1.
        target_tokens: T tokens, likewise.

    Returns:
        Weights (T', S'), and the S' and T' texts they belong to.
    """
    source, columns = zip(*_characters(source_tokens), strict=True)
    target, rows = zip(*_characters(target_tokens), strict=True)
    summed = np.add.reduceat(attention, np.cumsum(columns) - columns, axis=1)
    averaged = np.add.reduceat(summed, np.cumsum(rows) - rows, axis=0) / np.array(rows)[:, None]
    return averaged, list(source), list(target)


def attention_figure(attention: np.ndarray, source_tokens: Sequence[str], target_tokens: Sequence[str]) -> Figure:
    """The figure that ``attention_heat_map`` saves; its axes fill it, the labels stand around.

    Characters that no font on this machine has are drawn as their code points (U+4E2D).
    """
    from matplotlib.figure import Figure

    shape = len(target_tokens), len(source_tokens)
    if 0 in shape:
        raise TextseqError(f"a heat map wants tokens, found {shape[1]} of source and {shape[0]} of target; give both")
    weights = np.asarray(attention, dtype=np.float64)
    if weights.shape != shape:
        raise TextseqError(
            f"attention wants weights for {shape[0]} target by {shape[1]} source tokens, found {weights.shape}; "
            "give the row of each target token"
        )
    if not ((weights >= 0) & (weights < 1.01)).all():  # as a comparison with NaN never is
        raise TextseqError(
            f"attention wants weights from 0 to 1, found {weights.min():.3g} to {weights.max():.3g}; give the softmax's"
        )
    weights, *sides = by_character(weights, source_tokens, target_tokens)
    fonts, missing = fonts_for([*sides[0], *sides[1]])
    source, target = ([legible(token, missing) for token in side] for side in sides)
    cell = min(CELL, LONGEST / max(len(source), len(target)))
    width, height = cell * len(source), cell * len(target)
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    largest = float(weights.max()) or 1.0
    lines = min(0.8, 3 * cell) if cell >= SMALL else 0.0
    cells = axes.pcolormesh(weights, cmap="Blues", vmin=0, vmax=largest, edgecolors="#e3e6ea", linewidth=lines)
    axes.invert_yaxis()
    axes.xaxis.tick_top()
    axes.set_xticks(np.arange(len(source)) + 0.5, source)
    axes.set_yticks(np.arange(len(target)) + 0.5, target, fontsize=_letters(cell, 0.8))
    widths = [_width(token) for token in source]
    lean = 0 if median(widths) <= 2 and max(widths) <= 4 else 45 if cell == CELL else 90
    for label in axes.get_xticklabels():
        label.set(rotation=lean, rotation_mode="anchor", fontsize=_letters(cell, 0.45 if lean == 0 else 0.8))
        label.set(ha="left" if lean else "center", va="center_baseline" if lean == 90 else "baseline")
    _as_they_stand([*axes.get_xticklabels(), *axes.get_yticklabels()], fonts)
    axes.tick_params(length=0, pad=4)
    axes.spines[:].set_color("#9aa3ad")

    tall = max(3 * CELL, min(height, 8 * CELL))
    bar = figure.add_axes((1 + 0.25 / width, 1 - tall / height, 0.13 / width, tall / height))
    figure.colorbar(cells, cax=bar).set_label("attention", fontsize=9, color="#444444")
    bar.set_yticks(ticks := (0.0, largest / 2, largest), [f"{tick:.2g}" for tick in ticks])
    bar.tick_params(labelsize=8, length=2)
    bar.spines[:].set_color("#9aa3ad")
    return figure


def bleu_by_length_figure(series: Mapping[str, Sequence[LengthBLEU]]) -> Figure:
    """The figure that ``bleu_by_length_plot`` saves."""
    from matplotlib.figure import Figure

    ranges = [[(part.words, part.sentences) for part in parts] for parts in series.values()]
    if not ranges or not ranges[0]:
        raise TextseqError("a plot of BLEU by length wants at least 1 range of lengths, found none; measure first")
    if any(other != ranges[0] for other in ranges):
        raise TextseqError("BLEU by length wants the same sentences for all systems, found others; measure all alike")
    fonts, missing = fonts_for(list(series))
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for number, parts in enumerate(series.values()):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        (line,) = axes.plot([part.bleu for part in parts], color=colour, marker=marker, markersize=6, linewidth=1.8)
        line.set(clip_on=False, zorder=3)  # whole and before the axis where the BLEU is 0
    highest = max(part.bleu for parts in series.values() for part in parts)
    axes.set_ylim(0, max(1.0, 1.12 * highest))
    axes.set_xlim(-0.35, len(ranges[0]) - 0.65)
    axes.set_xticks(range(len(ranges[0])), [f"{words}\n({sentences:,})" for words, sentences in ranges[0]])
    axes.set_xlabel("words of the source (sentences)")
    axes.set_ylabel("BLEU")
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    # The lines are named here, not where they are drawn: there matplotlib drops names that begin with "_".
    names = [textwrap.fill(legible(name, missing, space=" ", longest=None), NAME) for name in series]
    legend = axes.legend(axes.lines, names, frameon=False)
    _as_they_stand(legend.get_texts(), fonts)
    return figure


def told_apart(systems: Sequence[Sequence[str]]) -> list[str]:
    """What systems are called in a legend: of the paths of models the ends in which they differ.

    At least two folders, as a checkpoint's alone ("best-10") says little.

    Args:
        systems: of each the models that translate together, by name or path.
    """
    paths = {Path(name).parts for system in systems for name in system}
    longest = max(2, *map(len, paths))
    count = next(n for n in range(2, longest + 1) if len({path[-n:] for path in paths}) == len(paths))
    return [" + ".join(str(Path(*Path(name).parts[-count:])) for name in system) for system in systems]


def legible(text: str, missing: Collection[str] = (), *, space: str = SPACE, longest: int | None = LABEL) -> str:
    """A token as it is drawn: spaces marked, control characters escaped, ``missing`` characters as code points."""
    unseen = {*missing, *JOINERS} if text and not text.strip(JOINERS) else missing
    shown = ""
    for character in unicodedata.normalize("NFC", text):
        if character == " ":
            shown += space
        elif unicodedata.category(character) == "Cc":
            shown += character.encode("unicode_escape").decode("ascii")
        elif character in unseen or not _has_a_shape(character):
            shown += f" U+{ord(character):04X} "
        else:
            shown += character
    shown = " ".join(shown.split())  # one space between code points
    if shown and unicodedata.category(shown[0]).startswith("M"):
        shown = "\N{DOTTED CIRCLE}" + shown  # a mark needs something to stand on
    return shown if longest is None or len(shown) <= longest else shown[: longest - 1] + "…"


def fonts_for(texts: Sequence[str]) -> tuple[list[str], frozenset[str]]:
    """The font families to draw these texts with, ``FONT`` first, and the characters that none of this machine has."""
    import matplotlib
    from matplotlib.font_manager import findfont, fontManager, get_font

    def lacking(path: str, characters: frozenset[str]) -> frozenset[str]:
        try:
            font = get_font(path)
        except (OSError, RuntimeError):  # gone since matplotlib listed it, or broken
            return characters
        return frozenset(character for character in characters if not font.get_char_index(ord(character)))

    drawn = frozenset(filter(_has_a_shape, unicodedata.normalize("NFC", "\n".join(texts))))
    families, missing = [FONT], lacking(findfont(FONT), drawn)
    others: dict[str, str] = {}
    for entry in sorted(fontManager.ttflist, key=lambda entry: (entry.style != "normal", entry.weight != 400)):
        if not entry.fname.startswith(matplotlib.get_data_path()):  # these are for mathematics, and boxes for all
            others.setdefault(entry.name, entry.fname)
    while missing and others:
        # The one that has most of them, so that a word is set in one font; among equals a plain one.
        best = min(sorted(others), key=lambda name: (len(lacking(others[name], missing)), "Sans" not in name))
        if lacking(others.pop(best), missing) == missing:
            break
        families.append(best)
        missing = lacking(findfont(best), missing)
    return families, missing


def _characters(tokens: Sequence[str]) -> Iterator[tuple[str, int]]:
    """The text of each character that is spelled, and of each other token, and how many tokens it takes."""
    for to_a_byte, run in groupby(tokens, lambda token: _TO_A_BYTE.get(token, 0)):
        names = list(run)
        at = 0
        if to_a_byte:
            digits = "".join(name.removeprefix("<0x").removesuffix(">") for name in names)
            utf8 = bytes.fromhex(digits[: len(digits) // 2 * 2])
            # A byte that is of no character becomes a lone surrogate.
            for character in utf8.decode("utf-8", "surrogateescape"):
                size = to_a_byte * len(character.encode("utf-8", "surrogateescape"))
                if unicodedata.category(character) == "Cs":
                    yield from ((name, 1) for name in names[at : at + size])
                else:
                    yield character, size
                at += size
        yield from ((name, 1) for name in names[at:])


def _has_a_shape(character: str) -> bool:
    """Whether a character can be seen as itself, if a font has it; others would draw nothing, or turn what follows."""
    return unicodedata.category(character)[0] not in "CZ" or character in JOINERS


def _as_they_stand(texts: Sequence[Text], fonts: Sequence[str]) -> None:
    for text in texts:
        text.set_parse_math(False)
        text.set_fontfamily(fonts)


def _width(text: str) -> int:
    """Columns of a terminal that a text takes: a Chinese character is as wide as two letters."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _letters(cell: float, share: float) -> float:
    """Points of letters that take at most this share of a cell of so many inches."""
    return min(LETTERS, share * 72 * cell)


def _save(figure: Figure, picture: Path) -> None:
    with replacing(picture) as (file,):
        figure.savefig(file, format="png", dpi=150, bbox_inches="tight", pad_inches=0.15)
