"""Phrase books: sentence pairs made from templates with slots, in English and French.

``corpora/phrases-en-fr.txt`` explains the format in its first lines. Every phrase gives its sentences, or ``LIMIT`` of
them if there are more, chosen by a hash: the same on every machine.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from textseq.data.rows import Pair
from textseq.errors import TextseqError, unknown

PHRASES_VERSION = 2  # raise when the same text gives other pairs than before

LIMIT = 30
"""Sentence pairs of a phrase, at most."""

SLOT = re.compile(r"\{(?:(?P<form>\w+) )?(?P<list>\w+(?:-\w+)?)(?P<tag>#\w+)?(?::(?P<m>[^{}/]*)/(?P<f>[^{}]*))?\}")

RANGE = re.compile(r"(\d+)-(\d+)")


@dataclass(frozen=True)
class Noun:
    """An entry of a list in one language."""

    singular: str
    plural: str
    gender: str = ""
    """French: "m", "f" or "" for an entry without one."""
    elides: bool = False
    """Whether a word before it is elided, or English has "an" before it."""

    def __str__(self) -> str:
        return self.singular


Entry = tuple[Noun, Noun]
"""An entry in English and in French."""


@dataclass(frozen=True)
class PhraseBook:
    """Lists of entries, and phrases: each the ways to say it in English and in French."""

    lists: Mapping[str, list[Entry]]
    phrases: list[tuple[list[str], list[str]]]

    def pairs(self) -> Iterator[Pair]:
        """The sentence pairs, phrase after phrase.

        Raises:
            TextseqError: a slot has an unknown list or form.
        """
        for ways in self.phrases:
            yield from self._sentences(*ways)

    def _sentences(self, english: list[str], french: list[str]) -> Iterator[Pair]:
        """The sentence pairs of a phrase: all, or ``LIMIT`` of them."""
        slots = {
            found["list"] + (found["tag"] or ""): found["list"] for found in SLOT.finditer("".join(english + french))
        }
        sizes = [len(english), len(french), *(self._size(name) for name in slots.values())]
        count = math.prod(sizes)
        numbers = range(count) if count <= LIMIT else _chosen(f"{english}{french}", count)
        for number in numbers:
            places = []
            for size in sizes:
                number, place = divmod(number, size)
                places.append(place)
            filling = {
                slot: self._entry(name, place) for (slot, name), place in zip(slots.items(), places[2:], strict=True)
            }
            if len({id(entry) for entry in filling.values()}) == len(filling):  # {city} and {city#2} differ
                yield _filled(english[places[0]], filling, 0), _filled(french[places[1]], filling, 1)

    def _size(self, name: str) -> int:
        """How many entries a list, or numbers a range, has."""
        if numbers := RANGE.fullmatch(name):
            return int(numbers[2]) - int(numbers[1]) + 1
        if name not in self.lists:
            raise unknown("list of a phrase book", name, self.lists)
        return len(self.lists[name])

    def _entry(self, name: str, place: int) -> Entry:
        if numbers := RANGE.fullmatch(name):
            noun = Noun(number := str(int(numbers[1]) + place), number)
            return noun, noun
        return self.lists[name][place]


@dataclass(frozen=True)
class PhrasePairs:
    """The sentence pairs of a phrase book, from English or, ``reversed``, from French."""

    text: str
    reversed: bool = False

    def __iter__(self) -> Iterator[Pair]:
        for english, french in read_phrase_book(self.text).pairs():
            yield (french, english) if self.reversed else (english, french)


def read_phrase_book(text: str) -> PhraseBook:
    """Parse a phrase book.

    Raises:
        TextseqError: a line is not as its section needs it.
    """
    lists: dict[str, list[Entry]] = {}
    phrases: list[tuple[list[str], list[str]]] = []
    entries: list[Entry] | None = None
    gender = ""
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("=="):
            entries = None
        elif line.startswith("[") and line.endswith("]"):
            name, _, gender = line[1:-1].partition(" ")
            entries = lists.setdefault(name, [])
        elif entries is not None:
            entries += [_entry(entry, gender) for entry in line.split(";") if entry.strip()]
        else:
            english, bar, french = line.partition(" | ")
            if not bar or "|" in french:
                raise TextseqError(f"phrase book: expected 'English | French' in line {number}, got '{line}'")
            phrases.append((english.split(" / "), french.split(" / ")))
    return PhraseBook(lists, phrases)


def _entry(text: str, gender: str) -> Entry:
    """An entry such as "child, children | enfant" or "Paris"."""
    english, _, french = (part.strip() for part in text.partition("|"))
    return (
        _noun(english, _english_plural, "aeiou"),
        _noun(french or english, _french_plural, "aeiouhàâéèêëîïôœù", gender),
    )


def _noun(text: str, plural: Callable[[str], str], vowels: str, gender: str = "") -> Noun:
    singular, _, irregular = (part.strip() for part in text.partition(","))
    elides = singular[0].lower() in vowels
    singular = singular.removeprefix("*")
    return Noun(singular, irregular.removeprefix("*") or plural(singular), gender, elides)


def _english_plural(noun: str) -> str:
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if re.search("[^aeiou]y$", noun) else noun + "s"


def _french_plural(noun: str) -> str:
    if noun.endswith(("s", "x", "z")):
        return noun
    return noun[:-2] + "aux" if noun.endswith("al") else noun + ("x" if noun.endswith(("au", "eu", "ou")) else "s")


def _english(form: str, noun: Noun) -> str | None:
    if form == "a":
        return f"{'an' if noun.elides else 'a'} {noun}"
    return f"{form} {noun}" if form in ("the", "my", "your", "this", "some") else None


def _french(form: str, noun: Noun) -> str | None:
    masculine, elides = noun.gender != "f", noun.elides
    if form in ("de", "que", "ds"):
        return f"{'d' if form == 'ds' else form[:-1]}'" if elides else f"{'de' if form == 'ds' else form} "
    articles = {
        "un": "un " if masculine else "une ",
        "dun": "d'un " if masculine else "d'une ",
        "le": "l'" if elides else "le " if masculine else "la ",
        "du": "de l'" if elides else "du " if masculine else "de la ",
        "au": "à l'" if elides else "au " if masculine else "à la ",
        "mon": "mon " if masculine or elides else "ma ",
        "ton": "ton " if masculine or elides else "ta ",
        "votre": "votre ",
        "ce": "cette " if not masculine else "cet " if elides else "ce ",
    }
    return articles.get(form)


def _filled(template: str, filling: Mapping[str, Entry], side: int) -> str:
    """A template with its slots filled in, with a capital if a slot begins it."""

    def text_of(slot: re.Match[str]) -> str:
        entry, form = filling[slot["list"] + (slot["tag"] or "")], slot["form"]
        noun = entry[side]
        if slot["m"] is not None:  # the gender in French, on both sides: Anna and her key
            return slot["f"] if entry[1].gender == "f" else slot["m"]
        if form is None:
            return str(noun)
        if form == "s":
            return noun.plural
        if form == "words":
            return (english_number, french_number)[side](int(noun.singular))
        if form == "une" and side == 1:
            return re.sub(r"\bun$", "une", french_number(int(noun.singular)))
        if side == 0:
            text = _english(form, noun)
        elif (before := _french(form, noun)) is not None:
            text = before + (noun.plural if form == "ds" else noun.singular)
        else:
            text = None
        if text is None:
            raise TextseqError(f"phrase book: unknown form '{form}' in '{template}'")
        return text

    text = SLOT.sub(text_of, template)
    alone = SLOT.fullmatch(template)
    return text[:1].upper() + text[1:] if template.startswith("{") and not alone else text


def _chosen(seed: str, count: int) -> list[int]:
    """``LIMIT`` different numbers below ``count``, more than that, from a hash."""
    numbers: dict[int, None] = {}
    turn = 0
    while len(numbers) < LIMIT:
        numbers[int.from_bytes(hashlib.sha256(f"{seed}{turn}".encode()).digest()[:8]) % count] = None
        turn += 1
    return list(numbers)


# Numbers in words, from 0 to 1000

_ENGLISH = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]

_ENGLISH_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]

_FRENCH = [
    "zéro",
    "un",
    "deux",
    "trois",
    "quatre",
    "cinq",
    "six",
    "sept",
    "huit",
    "neuf",
    "dix",
    "onze",
    "douze",
    "treize",
    "quatorze",
    "quinze",
    "seize",
    "dix-sept",
    "dix-huit",
    "dix-neuf",
]

_FRENCH_TENS = ["vingt", "trente", "quarante", "cinquante", "soixante", "soixante", "quatre-vingt", "quatre-vingt"]


def english_number(number: int) -> str:
    """A number from 0 to 1000 in English words."""
    if number == 1000:
        return "one thousand"
    if number >= 100:
        rest = f" and {english_number(number % 100)}" if number % 100 else ""
        return f"{_ENGLISH[number // 100]} hundred{rest}"
    if number >= 20:
        tens = _ENGLISH_TENS[number // 10 - 2]
        return f"{tens}-{_ENGLISH[number % 10]}" if number % 10 else tens
    return _ENGLISH[number]


def french_number(number: int) -> str:
    """A number from 0 to 1000 in French words."""
    if number == 1000:
        return "mille"
    if number >= 100:
        hundreds, rest = divmod(number, 100)
        words = "cent" if hundreds == 1 else f"{_FRENCH[hundreds]} cent{'s' * (not rest)}"
        return f"{words} {french_number(rest)}" if rest else words
    if number < 20:
        return _FRENCH[number]
    tens = _FRENCH_TENS[number // 10 - 2]
    rest = number % 20 if number >= 60 else number % 10
    if not rest:
        return "quatre-vingts" if number == 80 else tens
    return f"{tens}{' et ' if rest in (1, 11) and number < 80 else '-'}{_FRENCH[rest]}"
