"""The surprisal of a text, and the text colored by it: for the terminal, as plain text, as an HTML page.

Surprisal is the negative log-likelihood of a token given all tokens before it, in nats. Each character shows the
surprisal of its whole token.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from textseq.io.colored_text import PAGE_END, Color, display_width, html_text, page_begin, painted, span, visible
from textseq.metrics.language_model import bits_per_character, perplexity
from textseq.tokenizers.base import Tokenizer, align_to_text

WIDTH = 80
"""Columns of the plain form, with figures under the characters."""

TAB = 8
"""Columns from one tab stop to the next; ``WIDTH`` is a multiple."""


@dataclass(frozen=True)
class TokenSurprisal:
    """The text of one token, or of several tokens that together spell a character."""

    text: str
    nats: float
    """Surprisal of these tokens."""

    @property
    def probability(self) -> float:
        """Probability under the model."""
        return math.exp(-self.nats)


@dataclass(frozen=True)
class Score:
    """The surprisal of a text under a model."""

    tokens: tuple[str, ...]
    surprisal: tuple[float, ...]
    """Negative log-likelihood of each token, in nats."""
    pieces: tuple[TokenSurprisal, ...]
    """The text in pieces as short as the tokens allow, each with its surprisal."""
    characters: int
    """Length of the normalized text."""

    @property
    def nats(self) -> float:
        """Surprisal of the whole text."""
        return sum(self.surprisal)

    @property
    def nats_per_token(self) -> float:
        return self.nats / len(self.surprisal)

    @property
    def bits_per_character(self) -> float:
        return bits_per_character(self.nats, self.characters)

    @property
    def perplexity(self) -> float:
        """exp of the nats per token."""
        return perplexity(self.nats_per_token)

    def _repr_html_(self) -> str:
        return in_notebook(self.pieces)


def score_of(text: str, ids: Sequence[int], surprisal: tuple[float, ...], tokenizer: Tokenizer) -> Score:
    """The score of a text.

    Args:
        text: as given.
        ids: its tokens, (T,).
        surprisal: of each token, in nats, (T,).
        tokenizer: of the model.
    """
    names = tuple(tokenizer.vocabulary[token] for token in ids)
    pieces = (TokenSurprisal(*piece) for piece in align_to_text(tokenizer, text, surprisal))
    return Score(names, surprisal, tuple(pieces), sum(map(len, tokenizer.normalized([text]))))


class NextToken(NamedTuple):
    """A token that may come next."""

    text: str
    probability: float


@dataclass(frozen=True)
class Shade(Color):
    """A color of the scale, for surprisals below this bound in nats."""

    below: float


SCALE: tuple[Shade, ...] = (
    Shade(153, "#afd7ff", 0.5),
    Shade(158, "#afffd7", 1),
    Shade(192, "#d7ff87", 2),
    Shade(228, "#ffff87", 3),
    Shade(221, "#ffd75f", 4),
    Shade(208, "#ff8700", 6),
    Shade(203, "#ff5f5f", math.inf),
)
"""From low to high surprisal."""


def summary(pieces: Sequence[TokenSurprisal]) -> str:
    """The mean per character, in nats and bits."""
    nats, characters = sum(piece.nats for piece in pieces), sum(len(piece.text) for piece in pieces)
    mean = nats / characters
    return f"{mean:.2f} nats per character ({mean / math.log(2):.2f} bits), {characters:,} characters"


def in_color(pieces: Sequence[TokenSurprisal]) -> str:
    """The text for a terminal, with a legend; line breaks are shown as ↵."""
    text = ""
    for shade, run in groupby(pieces, _shade):
        shown = visible("".join(piece.text for piece in run)).replace("\n", "↵\n")
        # The color ends with the line, otherwise the terminal fills the rest of the row.
        text += "\n".join(painted(line, shade) for line in shown.split("\n"))
    steps = " ".join(painted(f" {_bound(shade)} ", shade) for shade in SCALE)
    return f"{text}\n\n{steps} nats (1 nat is 1.44 bits)\n{summary(pieces)}"


def in_figures(pieces: Sequence[TokenSurprisal]) -> str:
    """The text without colors: under each character its surprisal in nats, rounded, at most 9."""
    lines = []
    for row in _rows(pieces):
        text = "".join(cell for cell, _ in row).removesuffix("\n")
        figures = "".join(f"{min(round(nats), 9):<{display_width(cell)}}" for cell, nats in row)
        lines += [text, figures.rstrip()]
    lines += ["", f"Under each character: the surprisal of its token in nats, 9 for nine or more. {summary(pieces)}"]
    return "\n".join(lines)


def web_page(title: str, texts: Sequence[Sequence[TokenSurprisal]]) -> str:
    """The texts as a self-contained HTML page; a tooltip on each token shows its surprisal."""
    return "\n".join([page_begin(title, _legend()), *map(_html, texts), PAGE_END, ""])


def in_notebook(pieces: Sequence[TokenSurprisal]) -> str:
    """The text as HTML for a notebook."""
    return f"{_html(pieces)}\n<p><small>{_legend()}</small></p>"


def _html(pieces: Sequence[TokenSurprisal]) -> str:
    tips = (f"{piece.nats:.2f} nats, p={piece.probability:.2g}" for piece in pieces)
    spans = (span(piece.text, _shade(piece), tip) for piece, tip in zip(pieces, tips, strict=True))
    return html_text(summary(pieces), "".join(spans))


def _legend() -> str:
    steps = " ".join(span(f"\u00a0{_bound(shade)}\u00a0", shade) for shade in SCALE)
    return f"{steps} nats: surprisal of each character's token. Hover for the number; 1 nat is 1.44 bits."


def _rows(pieces: Sequence[TokenSurprisal]) -> Iterator[list[tuple[str, float]]]:
    """What stands in each column, with its surprisal, in lines of at most ``WIDTH`` columns.

    A tab is spaces. An accent of its own belongs to the character before it: the larger surprisal counts.
    """
    row: list[tuple[str, float]] = []
    column = 0
    for piece in pieces:
        for character in visible(piece.text):
            wide = display_width(character)
            if not wide and row:
                cell, nats = row[-1]
                row[-1] = cell + character, max(nats, piece.nats)
                continue
            if row and column + wide > WIDTH:
                yield row
                row, column = [], 0
            cell = " " * (TAB - column % TAB) if character == "\t" else character if wide else f" {character}"
            row.append((cell, piece.nats))
            column += display_width(cell)
            if character == "\n":
                yield row
                row, column = [], 0
    if row:
        yield row


def _shade(piece: TokenSurprisal) -> Shade:
    return next(shade for shade in SCALE if piece.nats < shade.below or shade is SCALE[-1])


def _bound(shade: Shade) -> str:
    return f"<{shade.below:g}" if math.isfinite(shade.below) else "more"
