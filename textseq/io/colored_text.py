"""Colored text and tables for terminals, web pages and notebooks; all text in HTML is escaped."""

from __future__ import annotations

import html
import os
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TextIO

# Control characters are shown as symbols (U+2400 and following).
_SYMBOLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}

_SYMBOLS |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)

_WITHOUT_WIDTH = ("Mn", "Me", "Cf")
"""Categories of marks above and around the character before, and of invisible signs."""

_TEXT = "white-space: pre-wrap; overflow-wrap: anywhere; font-family: ui-monospace, monospace"

_MARK = "color: #000; padding: .3em .4em; margin: 0 .1em; border-radius: .35em; line-height: 2"

_SMALL = "font-size: .75em; font-weight: bold; margin-left: .4em"


@dataclass(frozen=True)
class Color:
    """A background on which black text is readable."""

    terminal: int
    """Index into the 256 colors of a terminal."""
    web: str


def wants_color(stream: TextIO) -> bool:
    """Whether the stream is a terminal with colors, and ``NO_COLOR`` is not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def visible(text: str) -> str:
    """The text with symbols for control characters, except line ends and tabs."""
    return text.translate(_SYMBOLS)


def display_width(text: str) -> int:
    """The columns of a text in a terminal: 2 for a wide character, such as a Chinese one, 0 for an accent alone.

    Example:
        >>> display_width("ab"), display_width("\u6771"), display_width("e\u0301")
        (2, 2, 1)
    """
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character) or (unicodedata.category(character) in _WITHOUT_WIDTH and character != "\xad"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def escaped(text: str) -> str:
    """The visible text for HTML."""
    return html.escape(visible(text))


def painted(text: str, color: Color) -> str:
    """One line of text on a colored background in a terminal."""
    return text and f"\x1b[38;5;16;48;5;{color.terminal}m{text}\x1b[0m"


def span(text: str, color: Color | None, tip: str = "") -> str:
    """The text as an HTML span with a background, and a tooltip that appears above it."""
    style = f' style="background: {color.web}; color: #000"' if color else ""
    title = f' title="{html.escape(tip)}"' if tip else ""
    end = ' class="end"' if text == "\n" else ""
    return f"<span{end}{style}{title}>{escaped(text)}</span>"


def mark(text: str, kind: str, background: str) -> str:
    """A part of a text with its kind beside it, as displaCy shows named entities."""
    return (
        f'<mark style="background: {background}; {_MARK}">{escaped(text)}'
        f'<span style="{_SMALL}">{escaped(kind)}</span></mark>'
    )


def page_begin(title: str, legend: str) -> str:
    """The beginning of a self-contained web page; ``legend`` is HTML that explains the colors."""
    return f"""<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{html.escape(title)}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ max-width: 50rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.6 system-ui, sans-serif }}
.end::before {{ content: "↵" }}
</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
<p>{legend}</p>"""


def html_text(caption: str, spans: str) -> str:
    """One text of a web page or notebook, under its caption; ``spans`` is HTML."""
    return f'<p>{html.escape(caption)}</p>\n<div class="text" style="{_TEXT}">{spans}</div>'


PAGE_END = "</body>\n</html>"


def html_lines(text: str, small: str = "") -> str:
    """Lines as paragraphs, and further ones in small letters."""
    paragraphs = [f"<p>{escaped(line)}</p>" for line in text.splitlines()]
    return "\n".join([*paragraphs, *(f"<p><small>{escaped(line)}</small></p>" for line in small.splitlines())])


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first cell of each row is its name."""
    top = "".join(f'<th scope="col">{escaped(cell)}</th>' for cell in head)
    body = "\n".join(
        f'<tr><th scope="row">{escaped(name)}</th>{"".join(f"<td>{escaped(cell)}</td>" for cell in cells)}</tr>'
        for name, *cells in rows
    )
    return f"<table>\n<tr>{top}</tr>\n{body}\n</table>"


def heat_table(
    shares: Sequence[Sequence[float]],
    rows: Sequence[str],
    columns: Sequence[str],
    tip: Callable[[int, int], str],
    *,
    cell: Callable[[int, int], str] = lambda row, column: "",
) -> str:
    """A table whose cells are the bluer the larger their shares are, with a tooltip each.

    The names of the row and the column below the pointer are bold; it needs no script.

    Args:
        shares: from 0 to 1, (R, C).
        rows: R names.
        columns: C names.
        tip: the tooltip of a cell, from the numbers of its row and column.
        cell: the text of a cell.
    """
    names = "".join(f'<th scope="col">{escaped(name)}</th>' for name in columns)
    bold = [f".textseq-heat:has(td:nth-child({n}):hover) th:nth-child({n})" for n in range(2, len(columns) + 2)]
    body = "\n".join(
        f'<tr><th scope="row">{escaped(name)}</th>'
        + "".join(
            f'<td style="background: rgba(64, 145, 255, {share:.2f})" title="{html.escape(tip(row, column))}">'
            f"{escaped(cell(row, column))}</td>"
            for column, share in enumerate(shares[row])
        )
        + "</tr>"
        for row, name in enumerate(rows)
    )
    return f"""<style>
.textseq-heat {{ border-collapse: collapse }}
.textseq-heat th {{ font-weight: normal; text-align: right; white-space: nowrap; padding: 0 .3em }}
.textseq-heat tr:first-child th {{ writing-mode: vertical-rl; padding: .3em 0 }}
.textseq-heat td {{ min-width: 1.4em; height: 1.4em; border: 1px solid #8884 }}
.textseq-heat td:hover {{ outline: 2px solid }}
{", ".join([".textseq-heat tr:hover th[scope=row]", *bold])} {{ font-weight: bold }}
</style>
<table class="textseq-heat">
<tr><td></td>{names}</tr>
{body}
</table>"""
