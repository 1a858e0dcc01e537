"""Normalization of text before it becomes tokens, so that characters that look alike are the same tokens.

The names are those of ``--normalization``:

- ``none``: the text as given.
- ``lines``: line ends CRLF and CR become LF.
- ``text``: ``lines``, and

  - Unicode's canonical composition (NFC): e and a combining accent become é;
  - typographic quotes and apostrophes ‘ ’ ‚ ‛ ʼ ´ and “ ” „ ‟ become ' and " (« » stay);
  - the hyphens U+2010 and U+2011 become -, and the ellipsis … becomes ...;
  - no-break, thin, ideographic and all other spaces (category Zs) become a space;
  - the ligatures U+FB00 to U+FB06 become letters (ff, fi, fl, ffi, ffl, st);
  - soft hyphens, zero-width spaces, word joiners, byte order marks and direction marks are dropped; the zero-width
    joiners U+200C and U+200D too, except after a letter from U+0590 on or an emoji, where they spell words.

Each is idempotent, and none changes ASCII text without CR.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from itertools import pairwise

from textseq.config.tokenizer import NormalizationName

DROPPED = "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
"""Characters without a width or a meaning of their own."""

REPLACED = {
    **dict.fromkeys("‘’‚‛\u02bc\u00b4\u1ffd", "'"),
    **dict.fromkeys("“”„‟", '"'),
    **dict.fromkeys("\u2010\u2011", "-"),
    **dict.fromkeys("\u00a0\u1680\u202f\u205f\u3000", " "),
    **{chr(code): " " for code in range(0x2000, 0x200B)},
    **dict(zip(map(chr, range(0xFB00, 0xFB07)), ["ff", "fi", "fl", "ffi", "ffl", "st", "st"], strict=True)),
    "…": "...",
}

_TABLE = str.maketrans({**REPLACED, **dict.fromkeys(DROPPED, "")})

_CHANGED = re.compile(f"[{''.join(map(chr, _TABLE))}]")

_JOINERS = re.compile("(?<![\u0590-\u1fff\u2600-\u27bf\u2c00-\uffff\U00010000-\U0010ffff\u200d])[\u200c\u200d]+")
"""Joiners that spell nothing: not after a letter of a script that needs them, or an emoji."""

_LINE_END = re.compile("\r\n?")

_LONGEST_RUN = 100
"""Combining marks composed at once: Python's time for it grows with the square of their number."""


def normalize(text: str, name: NormalizationName) -> str:
    """The normalized text."""
    if name == "none":
        return text
    if "\r" in text:
        text = _LINE_END.sub("\n", text)
    if name == "lines" or text.isascii():
        return text
    if _CHANGED.search(text):
        text = text.translate(_TABLE)
    text = _composed(text)
    while (shorter := _JOINERS.sub("", text)) != text:
        text = _composed(shorter)
    return text


def normalize_chunks(chunks: Iterable[str], name: NormalizationName) -> Iterator[str]:
    """``normalize`` of a text that arrives in chunks; chunk boundaries do not matter."""
    if name == "none":
        yield from chunks
        return
    rest = ""
    for chunk in chunks:
        text = rest + chunk
        cut = next((at for at in range(len(text) - 1, max(0, len(text) - _LONGEST_RUN), -1) if _begins(text, at)), None)
        cut = len(text) if cut is None and len(text) > _LONGEST_RUN else cut or 0
        rest = text[cut:]
        yield normalize(text[:cut], name)
    yield normalize(rest, name)


def character_spans(text: str, name: NormalizationName) -> list[tuple[int, int]]:
    """For each character of the normalized text, start and end of what it was made from in the given text.

    The spans are in order, and together they cover the text (unless all of it is dropped).
    """
    if normalize(text, name) == text:
        return [(at, at + 1) for at in range(len(text))]
    spans: list[tuple[int, int]] = []
    begins = [0, *(at for at in range(1, len(text)) if _begins(text, at)), len(text)]
    covered = 0
    for start, end in pairwise(begins):
        if made := normalize(text[start:end], name):
            spans += [(covered, end)] * len(made)
            covered = end
    return spans


def _begins(text: str, at: int) -> bool:
    """Whether the text can be cut before this character without changing what it becomes."""
    if text[at] == "\n":
        return text[at - 1] != "\r"
    return not _attaches(text[at])


@lru_cache(2**12)
def _attaches(character: str) -> bool:
    """Whether what a character becomes may depend on those before it."""
    if character.isascii():
        return False
    jamo = "\u1160" <= character <= "\u11ff"  # vowels and final consonants, which join the syllable before them
    return (
        jamo
        or character in DROPPED
        or character in "\u200c\u200d"
        or unicodedata.category(character)[0] == "M"
        or unicodedata.combining(character) > 0
    )


def _composed(text: str) -> str:
    if unicodedata.is_normalized("NFC", text):
        return text
    return "".join(unicodedata.normalize("NFC", part) for part in _mark_runs().findall(text))


@cache
def _mark_runs() -> re.Pattern[str]:
    """The parts of a text that are composed separately: all of it, unless it has very long runs of combining marks."""
    marks = "".join(chr(code) for code in range(0x300, 0x1F000) if unicodedata.combining(chr(code)))
    return re.compile(f"[^{marks}]*(?:[{marks}]{{1,{_LONGEST_RUN}}}[^{marks}]+)*[{marks}]{{0,{_LONGEST_RUN}}}")
