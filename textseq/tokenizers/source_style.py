"""Sentences as people type them, read as the sentences of the training are written.

A model that has only seen tidy sentences translates "PLEASE CLOSE THE DOOR" or "thanks" into rubbish. So a training
notes how its sources are written; a sentence that is typed otherwise is put into that style before it becomes
tokens. Characters keep their places; only a final mark may be added or, after a single word, exchanged.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from textseq.tokenizers.sentences import sentence_spans

SOURCES = 200_000
"""Sentences, or pairs, at most from which a style is learnt."""

NEARLY_ALL = 0.95
"""Share of the sentences that must be alike to make a style."""

SURELY = 0.99
"""Share of the pairs with a name whose targets must have it too, for the name to stand for a code."""

FAMILIAR = 60
"""Pairs that a name needs for that: the model must know it well."""

BEGINS = 0.2
"""Names that begin sentences this often, compared with the most frequent one, are taken for those of persons. In
Tatoeba 66 % of the sentences with "Tom" begin with it, 22 % of those with "Martin", 5 % of those with "Paris"."""

COPIED = 0.95
"""Share of the pairs with a name whose targets must have it too, for a translation without it to be doubted."""

NAMES = 0.1
"""Share of the words with a capital that most of their targets must have too, for such words to be taken for names.
In Tatoeba: 0.31 of the English ones for German, 0.36 for French; 0.65 of the French, but 0.015 of the German."""

STAND_INS = 8
"""Names that may stand for codes, and numbers that may stand for others, at most."""

FAMILIAR_NUMBER = 10
"""Pairs that a number needs to stand for others."""

LARGEST_DAY = 31
"""Such numbers are larger, so that the model takes them neither for hours nor for days."""

NUMBER_COPIED = 0.9
"""Share of the pairs with a number whose targets must have it too for that."""

SINGLE = 0.98
"""Share of the sources with one sentence only from which on several are translated one by one."""

FREQUENT = 5
"""Sentences that must begin with a word, or words that must be in capitals, to be noted."""

NOTED = 400
"""Words of each kind that are noted, the most frequent."""

NOTED_ALONE = 1000
"""Words that are noted because they stand alone as sentences, the most frequent."""

WORD = re.compile(r"[^\W\d_]+")

MARKS = re.compile(r"\s*[.!?…]+$")

NUMBER = re.compile(r"(?<![\w.,:/$£€%-])\d\d(?![\w:/%€-]|[.,]\d)")


@dataclass(frozen=True)
class SourceStyle:
    """How the sources of a training are written; empty where they follow no style."""

    capital: bool = False
    """Whether nearly all begin with a capital."""
    statement: str = ""
    """How most end, such as "."; "" unless nearly all have a final mark."""
    question: str = ""
    """How most questions end, such as " ?"."""
    single: bool = False
    """Whether hardly any has more than one sentence."""
    question_words: frozenset[str] = frozenset()
    """Words, in small letters, with which questions rather than statements begin."""
    proper: frozenset[str] = frozenset()
    """Words that have a capital wherever they stand, such as "I" and names."""
    alone: Mapping[str, str] = field(default_factory=dict)
    """How words, in small letters, are written where they are whole sentences, such as "hello": "Hello!"."""

    stand_ins: tuple[str, ...] = ()
    """Names that are the same in the targets: they stand for what is to be copied. Persons, then places."""
    copied: frozenset[str] = frozenset()
    """Names that the targets of nearly all sources with them have too."""
    names: bool = True
    """Whether many words with a capital are the same in the targets, as names are; not if all nouns have capitals."""
    numbers: tuple[str, ...] = ()
    """Numbers of two digits, above those of hours and days, that are the same in the targets, the most faithful first:
    they stand for others."""

    def to_dict(self) -> dict[str, object]:
        """Plain data for ``config.json``; empty without a style."""
        if not (self.capital or self.statement):
            return {}
        return {
            "capital": self.capital,
            "statement": self.statement,
            "question": self.question,
            "single": self.single,
            "question_words": sorted(self.question_words),
            "proper": sorted(self.proper),
            "alone": dict(sorted(self.alone.items())),
            "stand_ins": list(self.stand_ins),
            "copied": sorted(self.copied),
            "names": self.names,
            "numbers": list(self.numbers),
        }

    @classmethod
    def from_dict(cls, table: Mapping[str, object]) -> SourceStyle:
        """The style in ``config.json``; what is missing or damaged there is left out."""

        def words(key: str) -> frozenset[str]:
            value = table.get(key)
            return frozenset(map(str, value)) if isinstance(value, list | tuple) else frozenset()

        def several(key: str) -> tuple[str, ...]:
            value = table.get(key)
            return tuple(map(str, value)) if isinstance(value, list) else ()

        alone = table.get("alone")
        return cls(
            capital=table.get("capital") is True,
            statement=str(table.get("statement", "")),
            question=str(table.get("question", "")),
            single=table.get("single") is True,
            question_words=words("question_words"),
            proper=words("proper"),
            alone={str(word): str(form) for word, form in alone.items()} if isinstance(alone, dict) else {},
            stand_ins=several("stand_ins"),
            copied=words("copied"),
            names=table.get("names") is not False,
            numbers=several("numbers"),
        )

    def apply(self, sentence: str) -> str:
        """The sentence in this style, without white space around it."""
        text = sentence.strip()
        words = WORD.findall(text)
        if not words:
            return text
        bare = MARKS.sub("", text)
        form = self.alone.get(bare.lower(), "")
        if form and (text[len(bare) :] in ("", ".") or text.lower() == form.lower()):
            return form
        if words == [text] and any(form[-1].isalnum() for form in self.alone.values()):
            return text  # a word as in a dictionary
        if self.capital:
            if text.isupper() and sum(map(len, words)) > 4 and len(text.lower()) == len(text):  # not "OK" or "USA"
                text = text.lower()
            if text == text.lower():
                text = WORD.sub(lambda word: self._with_capital(word[0]), text)
            at = text.index(WORD.findall(text)[0])
            if len(text[at].upper()) == 1 and not any(map(str.isdigit, text[:at])):
                text = text[:at] + text[at].upper() + text[at + 1 :]
        if self.statement and text[-1].isalnum():
            text += self.question if self.question and words[0].lower() in self.question_words else self.statement
        return text

    def _with_capital(self, word: str) -> str:
        capital = word[0].upper() + word[1:]
        return capital if capital in self.proper else word


def learn_copied(style: SourceStyle, pairs: Iterable[tuple[str, str]]) -> SourceStyle:
    """A style with what pairs tell about its words with a capital and its numbers: what targets have as well.

    Stand-ins are names that the targets of nearly all pairs have as often as the sources, and numbers, the most
    faithful first. Half of the names begin sentences often, as persons do (see ``BEGINS``); the others do not, as
    places. Within each half the most frequent come first.
    """
    given, same, first = Counter[str](), Counter[str](), Counter[str]()
    for source, target in pairs:
        for kind, found in (
            (WORD, [word for word in dict.fromkeys(WORD.findall(source)) if word in style.proper]),
            (NUMBER, [*set(NUMBER.findall(source))]),
        ):
            if found:
                there = kind.findall(target)
                given.update(found)
                same.update(part for part in found if part in there)
                first.update(found[:1] if source.startswith(found[0]) else ())

    names = {name: times for name, times in given.most_common() if not name.isdecimal()}
    sure = [
        name
        for name, times in names.items()
        if len(name) > 1 and times >= FAMILIAR and same[name] >= SURELY * times  # no "C" as in 30 °C
    ]
    persons = [name for name in sure if first[name] * names[sure[0]] >= BEGINS * first[sure[0]] * names[name]]
    places = [name for name in sure if name not in persons]
    count = max(STAND_INS // 2, STAND_INS - len(places))
    share = {
        number: same[number] / times
        for number, times in given.most_common()
        if number.isdecimal() and int(number) > LARGEST_DAY
        if times >= FAMILIAR_NUMBER and same[number] >= NUMBER_COPIED * times
    }
    return replace(
        style,
        stand_ins=tuple((persons[:count] + places)[:STAND_INS]),
        copied=frozenset(name for name, times in names.items() if same[name] >= COPIED * times),
        names=sum(2 * same[name] > times for name, times in names.items()) >= NAMES * len(names),
        numbers=tuple(sorted(share, key=share.__getitem__, reverse=True)[:STAND_INS]),
    )


def learn_style(sources: Iterable[str]) -> SourceStyle:
    """The style of sentences: what nearly all have in common."""
    count = capitals = marked = single = 0
    statements, questions = Counter[str](), Counter[str]()
    first, asking, inner, small, alone = (Counter[str]() for _ in range(5))
    for sentence in sources:
        words = WORD.findall(sentence)
        if not words:
            continue
        count += 1
        if MARKS.sub("", sentence.strip()) == words[0]:
            alone[sentence.strip()] += 1
        capitals += words[0][0].isupper()
        single += len(sentence_spans(sentence)) == 1
        ending = MARKS.search(sentence.strip())
        if ending is not None:
            marked += 1
            (questions if "?" in ending[0] else statements)[ending[0]] += 1
            first[words[0].lower()] += 1
            asking[words[0].lower()] += "?" in ending[0]
        if not sentence.isupper():
            inner.update(word for word in words[1:] if word[0].isupper())
            small.update(word for word in words[1:] if word[0].islower())
    begins, ends = (count > 0 and alike >= NEARLY_ALL * count for alike in (capitals, marked))
    proper = [word for word, times in inner.most_common() if times >= FREQUENT and times > 9 * small[word.lower()]]
    openers = [word for word, times in asking.most_common() if times >= FREQUENT and 4 * times > 3 * first[word]]
    style = SourceStyle(
        capital=begins,
        statement=statements.most_common(1)[0][0] if ends and statements else "",
        question=questions.most_common(1)[0][0] if ends and questions else "",
        single=ends and single >= SINGLE * count,
        question_words=frozenset(openers[:NOTED] if ends else ()),
        proper=frozenset(proper[:NOTED] if begins else ()),
    )
    forms: dict[str, str] = {}
    for form, _ in alone.most_common():
        forms.setdefault(MARKS.sub("", form).lower(), form)
    return replace(style, alone=dict(islice(forms.items(), NOTED_ALONE)) if begins or ends else {})
