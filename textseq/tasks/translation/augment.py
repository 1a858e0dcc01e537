"""Augmentation of sentence pairs: the ways of ``--augment``, applied to ids in training.

All ways but "exchange" change the source alone: the model learns to answer untidy input with a tidy translation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from textseq.data.pairs import read_sentence
from textseq.data.rows import Pair
from textseq.errors import TextseqError
from textseq.tasks.translation.config import AugmentName, PairConfig
from textseq.tasks.translation.vocabularies import Vocabularies

ALPHANUMERIC = re.compile(r"[^\W_]+")

FINAL_MARK = re.compile(r"\s*[.!?…。！？]+\s*$")

LONG_WORD = re.compile(r"[^\W\d_]{4,}")

SPACE_BEFORE_MARK = re.compile(r"\s+(?=[!?;:»])|(?<=«)\s+")

SPACES = ("", "\u00a0", "\u202f")

VOWELS = frozenset("AEIOUHÀÂÉÈÊÎÔŒ")
"""Initials that some languages treat differently: French elides before a vowel."""


class Augmentation:
    """Changes some pairs, each way with the same chance.

    Args:
        config: the ways and their rate.
        vocabularies: the tokenizers of the ids.
        pairs: the training pairs, whose names are exchanged for one another.

    Raises:
        TextseqError: a tokenizer loses part of the text.
    """

    def __init__(self, config: PairConfig, vocabularies: Vocabularies, pairs: Iterable[Pair]) -> None:
        for tokenizer in (vocabularies.source, vocabularies.target):
            if not tokenizer.reversible:
                raise TextseqError(
                    f"--augment: expected a tokenizer that keeps the text, got one that loses "
                    f"{', '.join(tokenizer.loses)}; use --tokenizer subword, or leave out --augment"
                )
        self.ways, self.rate, self.vocabularies = config.augment, config.augment_rate, vocabularies
        self.names = _names(pairs) if "exchange" in self.ways else {}

    def __call__(
        self, source: np.ndarray, target: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """The ids of the pair as changed, or the same."""
        ways = [way for way, chance in zip(self.ways, rng.random(len(self.ways)), strict=True) if chance < self.rate]
        if not ways:
            return source, target
        sides = ((self.vocabularies.source, source), (self.vocabularies.target, target))
        texts = [tokenizer.decode(ids.tolist()) for tokenizer, ids in sides]
        changed = texts[0], texts[1]
        if "exchange" in ways:
            changed = exchanged(*changed, self.names, rng)
        for way in ways:
            changed = varied(changed[0], way, rng), changed[1]
        encoded = [
            ids if text == before or not text.strip() else tokenizer.encode(read_sentence(text)).astype(np.int64)
            for (tokenizer, ids), text, before in zip(sides, changed, texts, strict=True)
        ]
        return encoded[0], encoded[1]


def varied(text: str, way: AugmentName, rng: np.random.Generator) -> str:
    """A sentence as someone else may type it."""
    if way == "upper":
        return text.upper()
    if way == "lower":
        return text.lower()
    if way == "no-final-mark":
        return FINAL_MARK.sub("", text)
    if way == "no-apostrophes":
        return re.sub(r"(?<=\w)['’](?=\w)", "", text)
    if way == "typographic":
        text = re.sub(r"'", "’", text)
        text = re.sub(r'"([^"]*)"', "“\\1”", text).replace("...", "…")
        return SPACE_BEFORE_MARK.sub(SPACES[rng.integers(len(SPACES))], text)
    if way == "misspell":
        return misspelled(text, rng)
    return text


def misspelled(text: str, rng: np.random.Generator) -> str:
    """A sentence with a slip in one or two of its words of four letters or more.

    A letter after the first is left out, doubled, exchanged with the next one, or replaced by another one of the
    sentence. Words with a capital among small letters are taken for names, and left as they are.
    """
    words = [word for word in LONG_WORD.finditer(text) if word[0].islower() or word[0].isupper()]
    chosen = rng.permutation(len(words))[: rng.integers(1, 3)]
    for word in (words[number] for number in sorted(chosen, reverse=True)):
        place = word.start() + int(rng.integers(1, len(word[0]) - 1))
        before, letter, following, after = text[:place], text[place], text[place + 1], text[place + 2 :]
        letters = [other for other in text if other.isalpha() and other.islower() == letter.islower()]
        another = letters[rng.integers(len(letters))]
        slips = (following, letter + letter + following, following + letter, another + following)
        text = before + slips[rng.integers(len(slips))] + after
    return text


def exchanged(source: str, target: str, names: dict[bool, list[str]], rng: np.random.Generator) -> Pair:
    """A pair with other names and numbers in the place of those that both sides have.

    Args:
        source: the sentence.
        target: its translation.
        names: to choose from: those that begin with a vowel, and the others.
        rng: chooses.
    """
    others: dict[str, str] = {}
    for word in _common(source, target):
        if word.isdecimal():
            others[word] = str(rng.integers(10 ** (len(word) - 1), 10 ** len(word)))
        elif choice := names.get(word[0] in VOWELS):
            others[word] = choice[rng.integers(len(choice))]

    def other(word: re.Match[str]) -> str:
        return others.get(word[0], word[0])

    return ALPHANUMERIC.sub(other, source), ALPHANUMERIC.sub(other, target)


def _common(source: str, target: str) -> list[str]:
    """Names and numbers that both sentences have; 0 and 1, which govern other words, do not count."""
    words = set(ALPHANUMERIC.findall(target))
    return [
        word
        for word in dict.fromkeys(ALPHANUMERIC.findall(source))
        if word in words
        and (
            (word.isdecimal() and word.isascii() and int(word[:12]) > 1 and word[0] != "0")
            or (len(word) > 2 and word.istitle())
        )
    ]


def _names(pairs: Iterable[Pair]) -> dict[bool, list[str]]:
    """The names that training pairs have on both sides, in order of appearance, by whether they begin with a vowel."""
    names = {word: None for pair in pairs for word in _common(*pair) if not word.isdecimal()}
    return {vowel: [name for name in names if (name[0] in VOWELS) == vowel] for vowel in (False, True)}
