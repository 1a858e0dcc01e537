"""Coloured text, for a terminal and for a web page: what all pictures of a text share."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

# Characters that a terminal would obey and a web page cannot hold are shown as signs: U+2400 and what follows.
_SIGNS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}

_SIGNS |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)


@dataclass(frozen=True)
class Colour:
    """A background on which black text is readable."""

    terminal: int
    """Among the 256 colours of a terminal."""
    web: str


def wants_colour(stream: TextIO) -> bool:
    """Whether colours can be shown and are welcome there: a terminal, and ``NO_COLOR`` is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def visible(text: str) -> str:
    """The text with signs for the characters that a terminal would obey, line ends and tabs but as they are."""
    return text.translate(_SIGNS)


def painted(text: str, colour: Colour) -> str:
    """The text, of one line, on a background in a terminal."""
    return text and f"\x1b[38;5;16;48;5;{colour.terminal}m{text}\x1b[0m"


def span(text: str, names: str, tip: str = "") -> str:
    """The text on a web page, of the classes that are named, with what it tells when it is pointed at."""
    says = f' title="{html.escape(tip)}"' if tip else ""
    return f'<span class="{names}"{says}>{html.escape(visible(text))}</span>'


def page_begin(title: str, colours: Sequence[Colour], legend: str) -> str:
    """A web page that needs nothing else, up to where its texts begin.

    Args:
        title: likewise.
        colours: a span of class ``s0`` has the first, and so on.
        legend: HTML that says what they mean.
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
