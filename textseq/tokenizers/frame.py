"""What stands around a sentence and is no part of it: marks of lists and dialogues, speakers, brackets, emoji."""

from __future__ import annotations

import re
import unicodedata

SYMBOLS = frozenset({"So", "Sk", "Sm", "Pd"})
"""Unicode's categories of emoji and other signs, and of dashes."""

JOINERS = "\u200d\ufe0f"
"""What holds an emoji of several characters together."""

ALSO_MARKS = "*_#•·‣"

NO_MARKS = "°<"

BESIDE_SPACE = "#>+=*_"
"""They are marks only beside white space: those of "#1" and "C++" are not."""

EMPHASIS = "*_"
"""They are put aside together at both ends too."""

CLOSING = {"(": ")", "[": "]", "{": "}", '"': '"', "“": "”", "„": "“", "«": "»", "»": "«"}

ITEM = re.compile(r"\(?(?:\d{1,3}|[A-Za-z])\)\s+(?=\S)|\d{1,2}\.\s+(?=[^\W\d])")

SPEAKER = re.compile(r"([^\W\d_]{2,}(?:[ .'-]+[^\W\d_]+){0,3})\s?:\s+(?=\S)")


def frame(text: str) -> tuple[str, str, str]:
    """A text in three parts: what stands before its sentence, the sentence, and what stands after it.

    The sentence has no white space around it, and is empty where there is no letter or digit: it is all before.

    Example:
        >>> frame("  - (I am happy.) \N{GRINNING FACE}")
        ('  - (', 'I am happy.', ') \N{GRINNING FACE}')
        >>> frame("TOM: Wait!"), frame("b) 5 apples"), frame("* * *")
        (('TOM: ', 'Wait!', ''), ('b) ', '5 apples', ''), ('* * *', '', ''))
    """
    begin, end = 0, len(text)
    while begin < end:
        if _is_mark(text[begin], text[begin + 1 : begin + 2]) and not _before_number(text, begin):
            begin += 1
        elif _is_enclosed(text, begin, end):
            begin, end = begin + 1, end - 1
        elif _is_mark(text[end - 1], text[end - 2 : end - 1]):
            end -= 1
        elif match := ITEM.match(text, begin, end) or _speaker(text, begin, end):
            begin = match.end()
        else:
            break
    if not any(map(str.isalnum, text[begin:end])):
        begin = end = len(text)
    return text[:begin], text[begin:end], text[end:]


def _speaker(text: str, begin: int, end: int) -> re.Match[str] | None:
    """The name of the only speaker, in capitals, before what is said, which is not all in capitals."""
    match = SPEAKER.match(text, begin, end) if text.find(":", 0, begin) < 0 else None
    return match if match and match[1].isupper() and not text[match.end() : end].isupper() else None


def _is_enclosed(text: str, begin: int, end: int) -> bool:
    """Whether brackets, quotation marks or marks of emphasis enclose a part of a text."""
    first, last = text[begin], text[end - 1]
    if first in EMPHASIS:
        return first == last and begin + 1 < end
    return CLOSING.get(first) == last and text.find(last, begin + 1, end - 1) < 0


def _is_mark(mark: str, beside: str) -> bool:
    """Whether a character is white space or a mark that may be put aside; ``beside`` is the next one within."""
    if mark.isspace() or mark in JOINERS:
        return True
    if mark in NO_MARKS or (mark in BESIDE_SPACE and not beside.isspace()):
        return False
    return mark in ALSO_MARKS or unicodedata.category(mark) in SYMBOLS


def _before_number(text: str, place: int) -> bool:
    """Whether a sign belongs to a number, as in "-5"."""
    return not text[place].isspace() and text[place + 1 : place + 2].isdecimal()
