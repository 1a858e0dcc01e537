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

BEFORE_SPACE = "#>+="
"""They are marks only before white space: "#1" and "+5" are not."""

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
        if _is_mark(text, begin):
            begin += 1
        elif _is_mark(text, end - 1):
            end -= 1
        elif CLOSING.get(text[begin]) == text[end - 1] and text.find(text[end - 1], begin + 1, end - 1) < 0:
            begin, end = begin + 1, end - 1
        elif match := ITEM.match(text, begin, end) or _speaker(text, begin, end):
            begin = match.end()
        else:
            break
    if not any(map(str.isalnum, text[begin:end])):
        begin = end = len(text)
    return text[:begin], text[begin:end], text[end:]


def _speaker(text: str, begin: int, end: int) -> re.Match[str] | None:
    """The name of a speaker in capitals before what is said, which is not all in capitals."""
    match = SPEAKER.match(text, begin, end)
    return match if match and match[1].isupper() and not text[match.end() : end].isupper() else None


def _is_mark(text: str, place: int) -> bool:
    """Whether a character is white space or a mark; not if a digit follows, as in "-5"."""
    mark, following = text[place], text[place + 1 : place + 2]
    if mark.isspace() or mark in JOINERS:
        return True
    if mark in NO_MARKS or following.isdecimal() or (mark in BEFORE_SPACE and not following.isspace()):
        return False
    return mark in ALSO_MARKS or unicodedata.category(mark) in SYMBOLS
