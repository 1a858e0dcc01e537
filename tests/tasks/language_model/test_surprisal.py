"""A colored text is the same text, and each color and figure is the surprisal that it stands for."""

from __future__ import annotations

import io
import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textseq.io.colored_text import wants_color
from textseq.tasks.language_model.surprisal import SCALE, WIDTH, TokenSurprisal, in_color, in_figures, summary, web_page

PIECES = [
    TokenSurprisal("To", 0.25),
    TokenSurprisal(" ", 0.0),
    TokenSurprisal("be", 2.5),
    TokenSurprisal("\n", 1.2),
    TokenSurprisal("<&\"'>", 7.0),
    TokenSurprisal("ż", 4.0),
]
ESCAPE = re.compile(r"\x1b\[([\d;]*)m")

texts = st.lists(st.builds(TokenSurprisal, st.text(min_size=1, max_size=4), st.floats(0, 30)), min_size=1, max_size=12)


def text_of(pieces: list[TokenSurprisal]) -> str:
    return "".join(piece.text for piece in pieces)


def signs(text: str) -> str:
    """Control characters as the signs that stand for them."""
    picture = {**{code: 0x2400 + code for code in range(32)}, 0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
    return text.translate({code: sign for code, sign in picture.items() if chr(code) not in "\t\n"})


def painted(text: str) -> list[tuple[str, int | None]]:
    """What a terminal shows: characters and their background."""
    found: list[tuple[str, int | None]] = []
    color: int | None = None
    for number, part in enumerate(ESCAPE.split(text)):
        if number % 2:
            color = int(part.split(";")[-1]) if part != "0" else None
        else:
            found += [(character, color) for character in part]
    return found


class Page(HTMLParser):
    """The spans of a page's texts, and whether every tag is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[tuple[str, str]] = []
        self.spans: list[tuple[str, str, str]] = []
        self.outside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert not {"src", "href", "onload"} & set(values)
        assert tag != "script"
        if tag != "meta":
            self.open.append((tag, values.get("class") or ""))
        if tag == "span" and "title" in values:
            self.spans.append((values.get("class") or "", values["title"] or "", ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1][0] == "span" and ("div", "text") in self.open:
            kind, title, text = self.spans[-1]
            self.spans[-1] = (kind, title, text + data)
        elif ("div", "text") in self.open:
            self.outside += data


@given(texts)
def test_the_page_holds_the_text_and_nothing_from_elsewhere(pieces: list[TokenSurprisal]) -> None:
    page = Page(web_page("A & <b>", [pieces]))
    assert page.open == [] and page.outside == ""
    assert [text for _, _, text in page.spans] == [signs(piece.text) for piece in pieces]
    for (_, title, _), piece in zip(page.spans, pieces, strict=True):
        assert title == f"{piece.nats:.2f} nats, p={math.exp(-piece.nats):.2g}"


def test_the_page_tells_each_surprise() -> None:
    page = web_page("Title <1>", [PIECES, PIECES[:1]])
    assert "<title>Title &lt;1&gt;</title>" in page
    assert '<span style="background: #afd7ff; color: #000" title="0.25 nats, p=0.78">To</span>' in page
    assert (
        '<span style="background: #ff5f5f; color: #000" title="7.00 nats, p=0.00091">&lt;&amp;&quot;&#x27;&gt;</span>'
        in page
    )
    assert page.count('class="text"') == 2
    assert "white-space: pre-wrap" in page and "color-scheme: light dark" in page
    assert "http" not in page and "<script" not in page
    for shade in SCALE:
        assert f"background: {shade.web};" in page


@given(texts)
def test_the_terminal_shows_the_text_in_its_colors(pieces: list[TokenSurprisal]) -> None:
    shown = painted(in_color(pieces))
    wanted: list[tuple[str, int | None]] = []
    for piece in pieces:
        shade = next(shade for shade in SCALE if piece.nats < shade.below)
        for character in signs(piece.text):
            wanted += [("↵", shade.terminal), ("\n", None)] if character == "\n" else [(character, shade.terminal)]
    assert shown[: len(wanted)] == wanted
    assert shown[-1][1] is None
    assert "<0.5" in "".join(character for character, _ in shown[len(wanted) :])


def test_the_scale_goes_from_cool_to_hot_without_a_gap() -> None:
    bounds = [shade.below for shade in SCALE]
    assert bounds == sorted(set(bounds)) and bounds[-1] == math.inf
    assert len({shade.terminal for shade in SCALE}) == len({shade.web for shade in SCALE}) == len(SCALE)
    for shade in SCALE:
        red, green, blue = (int(shade.web[at : at + 2], 16) for at in (1, 3, 5))
        steps = [0, 95, 135, 175, 215, 255]  # of the terminal's color cube
        assert shade.terminal == 16 + 36 * steps.index(red) + 6 * steps.index(green) + steps.index(blue)
        light = sum(w * ((c / 255 + 0.055) / 1.055) ** 2.4 for w, c in ((0.2126, red), (0.7152, green), (0.0722, blue)))
        assert (light + 0.05) / 0.05 > 7  # black text on it has WCAG's better contrast


def test_figures_stand_under_their_characters() -> None:
    lines = in_figures(PIECES).splitlines()
    assert lines[:4] == ["To be", "000221", "<&\"'>ż", "777774"]
    assert "\x1b" not in in_figures([TokenSurprisal("\x1b", 1.0)])
    assert in_figures([TokenSurprisal("a", 99.0)]).splitlines()[1] == "9"
    wide = in_figures([TokenSurprisal("a" * (WIDTH + 5), 3.0)]).splitlines()
    assert wide[:4] == ["a" * WIDTH, "3" * WIDTH, "aaaaa", "33333"]


def test_figures_stand_under_characters_of_any_width() -> None:
    tokens = [
        ("\u6771", 1),
        ("\u4eac", 2),
        ("e", 3),
        ("\u0301", 5),
        ("x", 4),
        ("\t", 6),
        ("y", 7),
        ("\n", 8),
        ("\u0301", 2),
    ]
    lines = in_figures([TokenSurprisal(text, nats) for text, nats in tokens]).splitlines()
    assert lines[:2] == ["\u6771\u4eace\u0301x  y", "1 2 546 78"]
    assert lines[2:4] == [" \u0301", "2"], "an accent has something to stand on"
    wide = in_figures([TokenSurprisal("\u6771" * (WIDTH // 2 + 1), 3.0)]).splitlines()
    assert wide[:4] == ["\u6771" * (WIDTH // 2), ("3 " * (WIDTH // 2)).rstrip(), "\u6771", "3"]


def test_the_summary_is_the_mean_over_the_characters() -> None:
    assert (
        summary([TokenSurprisal("abc", 1.0), TokenSurprisal("d", 3.0)])
        == "1.00 nats per character (1.44 bits), 4 characters"
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_color_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], wanted: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert wants_color(Terminal()) == wanted
    assert not wants_color(io.StringIO())
