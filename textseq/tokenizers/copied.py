"""Parts of a sentence that its translation copies: addresses, telephone numbers, rare or foreign words, amounts.

A model garbles what it hardly knows. Names and numbers that it knows well stand for such parts while it translates.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Container, Sequence

from textseq.tokenizers.base import Tokenizer

CODE = re.compile(
    r"""(?<![\w@./-])(?:
        https?://[^\s<>"]+ | www\.[^\s<>"]+ | [\w.+-]+@[\w-]+(?:\.[\w-]+)+  # addresses
        | [\w-]+\.(?:csv|docx?|exe|gif|html?|jpe?g|json|md|mp[34]|pdf|png|pptx?|py|txt|xlsx?|zip)  # files
        | [@#][A-Za-z_]\w* | [A-Za-z]\+\+ | [A-Z]\#  # @jan, #fun; C++, C#
        | [A-Za-z]+\d\w*(?:-\w+)* | [A-Z][A-Za-z]*-\d+  # AF1234, B12, MP3; COVID-19
        | \d{2,}(?:-\d{2,})+ | \d{7,}  # 555-1234, 4839201
        | \+\d{1,3}(?:[ .-](?:\(0\)[ ]?)?\d{1,8}){1,5} | 0\d(?:[ .]\d\d){4} 
        | (?<!\d[ ])0\d{2,4}(?:[ ]\d{3,8}){1,2}  # telephones
    )(?![\w@])""",
    re.VERBOSE,
)

PHONE_DIGITS = 8
"""Digits of a number with + from which on it is that of a telephone."""

SIGNS = "$£€¥"

AMOUNT = re.compile(
    r"""(?<![\w.,:/$£€¥+-])
        [$£€¥]?\d+(?:[.,/-]\d+|[ \u00a0\u202f]\d{3}(?!\d))*(?:[ \u00a0\u202f]?[$£€¥])?  # £20, 1,250, 12/05/2023, 5 €
        (?![\w:]|[.,/-]\d)""",
    re.VERBOSE,
)

LONG = 3
"""Digits from which on a number without any mark is to be written in digits: smaller ones may be words."""

NAME = re.compile(r"(?<![\w@-])[^\W\d_]+(?:-[^\W\d_]+)*(?![\w@-])")

MARKS = "".join(mark for mark in map(chr, range(0x300, 0x20000)) if unicodedata.category(mark) in ("Mn", "Mc"))
"""Vowel signs and accents, which are no letters."""

WORD = re.compile(rf"[^\W\d_](?:[^\W\d_]|[{re.escape(MARKS)}\u200c\u200d])*")

BEGINNING = re.compile(r"(?:^|[.!?…:\"“”«])[\W\d]*$")

RARE_TOKENS = 3
"""Tokens from which on a word with a capital is a rare name."""

RARE_FIRST_TOKENS = 4
"""Tokens from which on the first word of a sentence is, which has a capital anyway."""


def codes(sentence: str, tokenizer: Tokenizer) -> list[tuple[int, int]]:
    """Where a sentence has what a translation copies: addresses, telephone numbers, files, words with digits.

    Also words in another script, which have only letters that the tokenizer spells with bytes.

    Returns:
        Their beginnings and ends, in the order of the sentence.

    Example:
        >>> sentence = "Write to jan@example.org about flight AF1234 to 東京 at 7:45."
        >>> [sentence[start:end] for start, end in codes(sentence, translator.vocabularies.source)]
        ['jan@example.org', 'AF1234', '東京']
    """
    found = [
        (match.start(), match.start() + len(match[0].rstrip(".,;:!?)'")))
        for match in CODE.finditer(sentence)
        if not match[0].startswith("+") or sum(map(str.isdigit, match[0])) >= PHONE_DIGITS
    ]
    if sentence.isascii() or tokenizer.kind == "byte":
        return found
    foreign = [
        match.span()
        for match in WORD.finditer(sentence)
        if tokenizer.characters.isdisjoint(letter for letter in match[0] if letter.isalpha())
    ]
    apart = [(start, end) for start, end in foreign if all(end <= first or last <= start for first, last in found)]
    return sorted(found + apart)


def rare_names(
    sentence: str, tokenizer: Tokenizer, known: Collection[str] = (), copied: Collection[str] = ()
) -> list[tuple[int, int]]:
    """Where a sentence has what looks like a rare name: a word with a capital that the tokenizer breaks into pieces.

    Names side by side are one. A word that is one token in small letters ("Captain") does not count, nor the first word
    of a sentence if it takes fewer tokens in small letters, nor a word in capitals ("NATO"). Words that are known are
    no rare names, and names that translations are known to copy are, if the tokenizer breaks them.

    Returns:
        Their beginnings and ends, in the order of the sentence.

    Example:
        >>> sentence = "On Monday Siobhan's train left from Galway."
        >>> [sentence[start:end] for start, end in rare_names(sentence, translator.vocabularies.source)]
        ['Siobhan', 'Galway']
    """

    def tokens(word: str) -> int:
        return len(tokenizer.encode(f" {word}"))

    found: list[tuple[int, int]] = []
    for match in NAME.finditer(sentence):
        word = match[0]
        capitals = word[0].isupper() and word[word.rfind("-") + 1].isupper()  # not "Sit-in", "As-tu"
        if not capitals or word.isupper() or (word in known and word not in copied):
            continue
        count = tokens(word)
        if word not in copied:
            if count < RARE_TOKENS or tokens(word.lower()) == 1:
                continue
            begins = BEGINNING.search(sentence[: match.start()]) is not None
            if begins and (count < RARE_FIRST_TOKENS or tokens(word.lower()) < count):
                continue
        elif count == 1:
            continue
        if found and sentence[found[-1][1] : match.start()] == " ":
            found[-1] = found[-1][0], match.end()
        else:
            found.append(match.span())
    return found


def amounts(sentence: str) -> list[tuple[int, int]]:
    """Where a sentence has numbers that a translation should have in digits: long ones, and those with marks.

    Returns:
        Their beginnings and ends, in the order of the sentence.

    Example:
        >>> sentence = "At 7:45 he paid $5 for 300 nails, 1.5 kilos and 2 bags."
        >>> [sentence[start:end] for start, end in amounts(sentence)]
        ['$5', '300', '1.5']
    """
    found = (match for match in AMOUNT.finditer(sentence))
    return [match.span() for match in found if not match[0].isdecimal() or len(match[0]) >= LONG]


def has_amount(text: str, amount: str, known: Container[str]) -> bool:
    """Whether a text has an amount: its digits, with whatever marks, and its sign.

    "1.250" and "1 250" have the digits of "1,250". A sign that is known may have become a word.
    """
    if any(sign in SIGNS and sign not in known and sign not in text for sign in amount):
        return False
    wanted, there = (re.findall(r"\d+", part) for part in (amount, text))
    places = range(len(there) - len(wanted) + 1)
    return "".join(wanted) in there or any(there[place : place + len(wanted)] == wanted for place in places)


def unused_names(stand_ins: Sequence[str], *texts: str) -> list[str]:
    """The stand-ins that none of the texts has."""
    return [name for name in stand_ins if not any(name in text for text in texts)]


def with_stand_ins(
    given: str, read: str, places: Sequence[tuple[int, int]], names: Sequence[str]
) -> tuple[str, str, dict[str, str]]:
    """A sentence as given and as read, each with names at some places of the former, and what each name stands for.

    What is the same at several places gets one name.
    """
    ahead = len(given) - len(given.lstrip())
    if read != given and not read.lower().startswith(given.strip().lower()):  # characters have moved
        return given, read, {}
    shift = 0 if read == given else ahead
    stand_in: dict[str, str] = {}
    for start, end in reversed(places):
        word = given[start:end]
        if word not in stand_in and len(stand_in) == len(names):
            continue
        name = stand_in.setdefault(word, names[len(stand_in) - (word in stand_in)])
        given = given[:start] + name + given[end:]
        read = read[: start - shift] + name + read[end - shift :]
    return given, read, {name: word for word, name in stand_in.items()}
