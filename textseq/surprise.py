"""A text coloured by how much each part of it surprised a model: for the terminal, as plain text, as an HTML page.

Surprise is the negative log-likelihood of a token, in nats, given all that stands before it. Every character shows the
whole surprise of the token that it belongs to.
"""

from __future__ import annotations

import html
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TextIO

WIDTH = 80
"""Columns of the plain form, in which figures stand under the characters."""


@dataclass(frozen=True)
class Piece:
    """The shortest stretch of text that tokens make up: mostly one token, or the several that spell a character."""

    text: str
    nats: float
    """The surprise of these tokens."""

    @property
    def probability(self) -> float:
        """What the model gave them."""
        return math.exp(-self.nats)


@dataclass(frozen=True)
class Shade:
    """A colour of the scale; black text is readable on all of them."""

    below: float
    """It stands for a surprise of less than so many nats."""
    terminal: int
    """Among the 256 colours of a terminal."""
    web: str


SCALE: tuple[Shade, ...] = (
    Shade(0.5, 153, "#afd7ff"),
    Shade(1, 158, "#afffd7"),
    Shade(2, 192, "#d7ff87"),
    Shade(3, 228, "#ffff87"),
    Shade(4, 221, "#ffd75f"),
    Shade(6, 208, "#ff8700"),
    Shade(math.inf, 203, "#ff5f5f"),
)
"""From cool to hot."""

# Characters that a terminal would obey and a web page cannot hold are shown as signs: U+2400 and what follows.
_SIGNS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}
_SIGNS |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


def wants_colour(stream: TextIO) -> bool:
    """Whether colours can be shown and are welcome there: a terminal, and ``NO_COLOR`` is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def summary(pieces: Sequence[Piece]) -> str:
    """The mean over the characters, in nats and in bits."""
    nats, characters = sum(piece.nats for piece in pieces), sum(len(piece.text) for piece in pieces)
    mean = nats / characters
    return f"{mean:.2f} nats per character ({mean / math.log(2):.2f} bits), {characters:,} characters"


def in_colour(pieces: Sequence[Piece]) -> str:
    """The text for a terminal, with a legend under it; a line's end is shown as ↵."""
    text = ""
    for shade, run in groupby(pieces, _shade):
        shown = "".join(piece.text for piece in run).translate(_SIGNS).replace("\n", "↵\n")
        # The colour ends with the line, or the terminal would paint the rest of the row.
        text += "\n".join(_painted(line, shade) for line in shown.split("\n"))
    steps = " ".join(_painted(f" {_bound(shade)} ", shade) for shade in SCALE)
    return f"{text}\n\n{steps} nats (1 nat is 1.44 bits)\n{summary(pieces)}"


def in_figures(pieces: Sequence[Piece]) -> str:
    """The text without colours: under each character its surprise in whole nats, 9 for nine or more."""
    lines = []
    for row in _rows(pieces):
        text = "".join(character for character, _ in row).removesuffix("\n").translate(_SIGNS)
        lines += [text, "".join(str(min(round(nats), 9)) for _, nats in row)]
    lines += ["", f"Under each character: the surprise of its token in nats, 9 for nine or more. {summary(pieces)}"]
    return "\n".join(lines)


def web_page(title: str, texts: Sequence[Sequence[Piece]]) -> str:
    """The texts as an HTML page that needs nothing else; each piece tells its surprise when it is pointed at."""
    shades = "\n".join(f".s{number} {{ background: {shade.web} }}" for number, shade in enumerate(SCALE))
    steps = " ".join(
        f'<span class="s{n}">&nbsp;{html.escape(_bound(shade))}&nbsp;</span>' for n, shade in enumerate(SCALE)
    )
    bodies = "\n".join(f'<p>{summary(pieces)}</p>\n<div class="text">{_spans(pieces)}</div>' for pieces in texts)
    return f"""<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{html.escape(title)}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ max-width: 50rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.6 system-ui, sans-serif }}
.text {{ white-space: pre-wrap; overflow-wrap: anywhere; font-family: ui-monospace, monospace }}
span {{ color: #000 }}
.end::before {{ content: "↵" }}
{shades}
</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
<p>{steps} nats: the surprise of the token that a character belongs to. Point at it to see the number;
1 nat is 1.44 bits.</p>
{bodies}
</body>
</html>
"""


def _spans(pieces: Sequence[Piece]) -> str:
    spans = []
    for piece in pieces:
        names = f"s{SCALE.index(_shade(piece))}" + " end" * (piece.text == "\n")
        tip = f"{piece.nats:.2f} nats, p={piece.probability:.2g}"
        text = html.escape(piece.text.translate(_SIGNS))
        spans.append(f'<span class="{names}" title="{tip}">{text}</span>')
    return "".join(spans)


def _rows(pieces: Sequence[Piece]) -> Iterator[list[tuple[str, float]]]:
    """Characters with their surprise, in rows that end with the line or at ``WIDTH``."""
    row: list[tuple[str, float]] = []
    for piece in pieces:
        for character in piece.text:
            row.append((character, piece.nats))
            if character == "\n" or len(row) == WIDTH:
                yield row
                row = []
    if row:
        yield row


def _shade(piece: Piece) -> Shade:
    return next(shade for shade in SCALE if piece.nats < shade.below or shade is SCALE[-1])


def _bound(shade: Shade) -> str:
    return f"<{shade.below:g}" if math.isfinite(shade.below) else "more"


def _painted(text: str, shade: Shade) -> str:
    return text and f"\x1b[38;5;16;48;5;{shade.terminal}m{text}\x1b[0m"
