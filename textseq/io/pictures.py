"""Pictures look the same everywhere: matplotlib's defaults, no markup in texts, and fonts for every script."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import unicodedata
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.text import Text


LABEL = 32
"""Characters shown of a token, at most."""

SPACE = "·"
"""Symbol for a token that is a space."""

JOINERS = "\u200c\u200d"
"""Joiners, visible only by their effect on neighbors."""

FONT = "DejaVu Sans"
"""Comes with matplotlib; other fonts provide missing characters."""


@contextmanager
def default_style() -> Iterator[None]:
    """Draw in this block with matplotlib's defaults, whatever a matplotlibrc says; also a decorator.

    LaTeX and mathematics in ``$`` are off: labels and names are drawn as they are.
    """
    _import_matplotlib()
    import matplotlib

    with matplotlib.rc_context():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # settings that another version of matplotlib is about to drop
            for name, value in matplotlib.rcParamsDefault.items():
                if name != "backend":
                    matplotlib.rcParams[name] = value
        matplotlib.rcParams["text.usetex"] = matplotlib.rcParams["text.parse_math"] = False
        yield


def _import_matplotlib() -> None:
    """Import matplotlib for the first time, without a backend that it does not know and without its warnings."""
    if "matplotlib" in sys.modules:
        return
    backend, log = os.environ.pop("MPLBACKEND", None), logging.getLogger("matplotlib")
    before, log.disabled = log.disabled, True
    try:
        try:
            import matplotlib
        except Exception:  # a matplotlibrc that cannot be read
            _import_without_settings()
        import matplotlib

        if backend:
            with suppress(ValueError):
                matplotlib.rcParams["backend"] = backend
    finally:
        log.disabled = before
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


def _import_without_settings() -> None:
    """Import matplotlib in a folder with an empty matplotlibrc."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        del sys.modules[name]
    with tempfile.TemporaryDirectory() as empty, chdir(empty):
        Path("matplotlibrc").touch()  # the one that matplotlib reads first
        import matplotlib  # noqa: F401


def legible(text: str, missing: Collection[str] = (), *, longest: int | None = LABEL) -> str:
    """The label of a token: no space around it, control characters escaped, ``missing`` characters as code points."""
    if text and not text.strip(" "):
        return SPACE * len(text)
    unseen = {*missing, *JOINERS} if text and not text.strip(JOINERS) else missing
    shown = ""
    for character in unicodedata.normalize("NFC", text):
        if character == " ":
            shown += " "
        elif unicodedata.category(character) == "Cc":
            shown += character.encode("unicode_escape").decode("ascii")
        elif character in unseen or not _is_visible(character):
            shown += f" U+{ord(character):04X} "
        else:
            shown += character
    shown = " ".join(shown.split())
    if shown and unicodedata.category(shown[0]).startswith("M"):
        shown = "\N{DOTTED CIRCLE}" + shown  # a combining mark needs a base
    return shown if longest is None or len(shown) <= longest else shown[: longest - 1] + "…"


def fonts_for(texts: Sequence[str]) -> tuple[list[str], frozenset[str]]:
    """Font families for these texts, ``FONT`` first, and the characters that no installed font has."""
    import matplotlib
    from matplotlib.font_manager import findfont, fontManager, get_font

    def lacking(path: str, characters: frozenset[str]) -> frozenset[str]:
        try:
            font = get_font(path)
        except (OSError, RuntimeError):  # removed since matplotlib listed it, or broken
            return characters
        return frozenset(character for character in characters if not font.get_char_index(ord(character)))

    drawn = frozenset(filter(_is_visible, unicodedata.normalize("NFC", "\n".join(texts))))
    families, missing = [FONT], lacking(findfont(FONT), drawn)
    others: dict[str, str] = {}
    for entry in sorted(fontManager.ttflist, key=lambda entry: (entry.style != "normal", entry.weight != 400)):
        if not entry.fname.startswith(
            matplotlib.get_data_path()
        ):  # fonts for mathematics, or with a box for every character
            others.setdefault(entry.name, entry.fname)
    while missing and others:
        # The font with most of them, so that a word is set in one font; a sans one among equals.
        best = min(sorted(others), key=lambda name: (len(lacking(others[name], missing)), "Sans" not in name))
        if lacking(others.pop(best), missing) == missing:
            break
        families.append(best)
        missing = lacking(findfont(best), missing)
    return families, missing


def set_fonts(texts: Sequence[Text], fonts: Sequence[str]) -> None:
    """Draw texts with these font families; the first that has a character draws it."""
    for text in texts:
        text.set_fontfamily(fonts)


def _is_visible(character: str) -> bool:
    """Whether a font can draw the character; others draw nothing, or change the direction of the text."""
    return unicodedata.category(character)[0] not in "CZ" or character in JOINERS
