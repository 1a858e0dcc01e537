"""Coloured text for terminals and web pages."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

# Control characters are shown as symbols (U+2400 and following).
_SYMBOLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}

_SYMBOLS |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


@dataclass(frozen=True)
class Colour:
    """A background on which black text is readable."""

    terminal: int
    """Index into the 256 colours of a terminal."""
    web: str


def wants_color(stream: TextIO) -> bool:
    """Whether the stream is a terminal with colours, and ``NO_COLOR`` is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def visible(text: str) -> str:
    """The text with symbols for control characters, except line ends and tabs."""
    return text.translate(_SYMBOLS)


def painted(text: str, colour: Colour) -> str:
    """One line of text on a coloured background in a terminal."""
    return text and f"\x1b[38;5;16;48;5;{colour.terminal}m{text}\x1b[0m"


def span(text: str, names: str, tip: str = "") -> str:
    """The text as an HTML span with these class names and a tooltip."""
    title = f' title="{html.escape(tip)}"' if tip else ""
    return f'<span class="{names}"{title}>{html.escape(visible(text))}</span>'


def page_begin(title: str, colours: Sequence[Colour], legend: str) -> str:
    """The beginning of a self-contained web page; spans of class ``s0`` have the first colour, and so on.

    ``legend`` is HTML that explains the colours.
    """
    shades = "\n".join(f".s{number} {{ background: {colour.web} }}" for number, colour in enumerate(colours))
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
span[class^=s] {{ color: #000 }}
.end::before {{ content: "↵" }}
{shades}
</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
<p>{legend}</p>"""


def page_text(caption: str, spans: str) -> str:
    """One text of a web page, under its caption."""
    return f'<p>{html.escape(caption)}</p>\n<div class="text">{spans}</div>'


PAGE_END = "</body>\n</html>"
