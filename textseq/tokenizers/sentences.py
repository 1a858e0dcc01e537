"""Paragraphs split into sentences, by rules that need no data.

A sentence ends at . ! ? … or their relatives in other scripts, and closing quotes, before white space and no small
letter. A full stop does not end one after a known abbreviation (one of numbers before a number only), a single letter
(an initial) or a number of one or two digits (a list, a German date).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

Result = TypeVar("Result")

TITLES = """
mr mrs ms dr prof st sr jr gen col capt lt sgt rev hon gov sen rep pres messrs mme mmes mlle mm hr frau fr hrn dipl ing
mgr doc judr mudr sra srta sig dott
"""

OTHERS = """
nos nr vols figs eq eqs ch chap pp eds cf vs viz al approx ca ave blvd rd mt dept ul pl str bd rys poz bzw vgl sog ggf
evtl zzgl inkl bspw usf resp tzn tzv tj np godz tel e.g i.e z.b d.h u.a o.ä z.t u.u s.o s.u m.in t.j p.ex n.b ph.d
"""

ABBREVIATIONS = frozenset(TITLES.split() + OTHERS.split())
"""Words, in small letters and without their last full stop, that a name or number follows."""

OF_NUMBERS = frozenset(["no", "vol", "fig", "sec", "art", "ed", "circa", "est", "tab", "ok"])
"""The same before a number; before anything else they are words ("He said no.")."""

NUMBER = re.compile(r"[\"'“‘(\[–—-]*[#+$€£<>]?\d|[IVXLC]{2,}\b")
"""What begins a number: digits, or two Roman ones ("I" is a word)."""

END = re.compile(
    r"""(?:(?<![.!?…‽؟۔।॥])[.!?…‽؟۔।॥]++["'”’»›)\]}]*+   # in time linear in the text
        (?:[ \u00a0\u202f]»(?=\s))?+(?=\s)              # before white space; in French also « Oui ! » dit-il.
    |[。！？｡]+["'”’」』）]*)                                # in scripts without spaces
    \s*""",
    re.VERBOSE,
)
"""The end of a sentence, if what is around it agrees."""

OPENING = re.compile(r"[\"'“‘«„(\[¿¡–—-]*")
"""What may come before the first letter of a sentence."""

LAST_WORD = re.compile(r"[^\s(\[\"'“‘«„]+$")

MOST_DIGITS = 2
"""Digits of a number whose full stop is that of an ordinal or of a list."""

EMOJI = re.compile("[\U0001f000-\U0001faff][\u200d\ufe0f\u2600-\u27bf\U0001f000-\U0001faff]*\\s*")

CONTINUES = re.compile(r"(?:and|or|but|to|et|ou|mais|und|oder|aber)\b")
"""Words in small letters that continue a sentence after ? ! and …: "I work at Yahoo! and I like it"."""

TWO_WORDS = re.compile(r"[^\W_][^\w\s]?\s+[^\W_]")


def sentence_spans(text: str, *, typed: bool = False) -> list[tuple[int, int]]:
    """Start and end of each sentence of a paragraph, without the white space around it.

    ``typed`` sentences may also begin with a small letter: after ? ! and …, and where there is no capital at all.
    """
    spans, start, no_capitals = [], len(text) - len(text.lstrip()), typed and text.islower()
    for match in END.finditer(text):
        if start < match.start() and match.end() < len(text) and _ends(text, match, typed, no_capitals):
            spans.append((start, match.start() + len(match[0].rstrip())))
            start = match.end()
    if text[start:].strip():
        spans.append((start, len(text.rstrip())))
    return spans


def split_sentences(text: str) -> list[str]:
    """The sentences of a paragraph; none of white space.

    Example:
        >>> split_sentences("Dr. Watson came. He sat down.")
        ['Dr. Watson came.', 'He sat down.']
    """
    return [text[start:end] for start, end in sentence_spans(text)]


def split_message(text: str) -> list[str]:
    """The sentences of a message, as people type them: small letters may begin them, and emoji end them.

    Example:
        >>> split_message("hi tom. how are you \N{GRINNING FACE} i am fine")
        ['hi tom.', 'how are you \N{GRINNING FACE}', 'i am fine']
    """
    sentences: list[str] = []
    for start, end in sentence_spans(text, typed=True):
        words = TWO_WORDS.search(text, start, end)
        last = max((n for n in range(start, end) if text[n].isalnum()), default=start)
        for match in EMOJI.finditer(text, start, last):
            if words and words.end() <= match.start():
                sentences.append(text[start : match.end()].rstrip())
                start = match.end()
                words = TWO_WORDS.search(text, start, end)
        sentences.append(text[start:end])
    return sentences


def _ends(text: str, match: re.Match[str], typed: bool, no_capitals: bool) -> bool:
    """Whether a sentence ends at a match of ``END``."""
    opening, marks = OPENING.match(text, match.end()), match[0].rstrip()
    assert opening is not None
    small = text[opening.end() : opening.end() + 1].islower()
    if small and not (typed and (no_capitals or marks != ".") and marks[-1] in ".!?…"):
        return False
    if marks != ".":
        return not (small and CONTINUES.match(text, match.end()))
    word = LAST_WORD.search(text, max(0, match.start() - 40), match.start())
    if word is None:
        return True
    last = word[0].lower()
    if small and ("." in last or last == "etc"):
        return False
    number = last.isdecimal() and len(last) <= MOST_DIGITS
    short = last in ABBREVIATIONS or (last in OF_NUMBERS and NUMBER.match(text, match.end()))
    return not (short or number or (len(last) == 1 and last.isalpha()))


def by_sentence(texts: Iterable[str], use: Callable[[Iterator[str]], Iterator[Result]]) -> Iterator[list[Result]]:
    """The results for the sentences of each text, of a function that answers a stream of sentences.

    A text without any is used as one.

    Args:
        texts: paragraphs.
        use: gives a result for each sentence, in order; it may read ahead.
    """
    counts: deque[int] = deque()

    def sentences() -> Iterator[str]:
        for text in texts:
            parts = split_sentences(text) or [text]
            counts.append(len(parts))
            yield from parts

    results = use(sentences())
    for first in results:
        yield [first, *islice(results, counts.popleft() - 1)]
