"""Words as a tagger knows them: the frequent ones by number, every one by its letters.

Shapes: V words, the unknown one counted; T words of a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from textseq.config.tokenizer import TokenizerConfig
from textseq.errors import TextseqError
from textseq.tasks.tagging.config import TaggedConfig
from textseq.tokenizers.base import Ids, Tokenizer
from textseq.tokenizers.characters import CharTokenizer
from textseq.tokenizers.registry import load_tokenizer
from textseq.tokenizers.words import WordTokenizer

LETTERS_FILE = "letters-tokenizer.json"
"""Beside the words' ``tokenizer.json``."""

HALF = 30
"""Letters that are read from the beginning and from the end of a longer word."""


@dataclass(frozen=True)
class Lexicon:
    """The words that are known, and the letters."""

    words: WordTokenizer
    """Parts text at white space, and loses rare words."""
    letters: CharTokenizer

    @classmethod
    def train(cls, sentences: Iterable[Sequence[str]], options: TaggedConfig) -> Lexicon:
        """The lexicon of sentences, each some words.

        Raises:
            TextseqError: no word occurs often enough, or a word holds a lone surrogate.
        """
        known = TokenizerConfig(
            tokenizer="word",
            words="spaces",
            rare_words="unknown",
            vocabulary_size=options.vocabulary_size,
            minimum_count=options.minimum_count,
        )
        texts = [" ".join(("", *map(_solid, words))) for words in sentences]  # every word has a space before it
        words = WordTokenizer.train(([text] for text in texts), known)
        if words.size == len(words.fallback):
            raise TextseqError(
                f"no word occurs {options.minimum_count} times; lower --minimum-count or give more sentences"
            )
        return cls(words, CharTokenizer.train([text] for text in texts))

    def encode(self, words: Sequence[str]) -> Ids:
        """The numbers of words, (T,); of one that is not known, that of the same in small letters."""
        row_of, unknown = self._row_of, self.unknown
        rows = (row_of.get(f" {word}", row_of.get(f" {word.lower()}", unknown)) for word in map(_solid, words))
        return np.fromiter(rows, np.int64, len(words))

    def spell(self, word: str) -> Ids:
        """The numbers of a word's letters, at least one; of a very long word, those at both ends."""
        return self.letters.encode(word if 0 < len(word) <= 2 * HALF else (word[:HALF] + word[-HALF:] or " "))

    @property
    def unknown(self) -> int:
        """The number of a word that is not known."""
        return self.words.size - 1

    @property
    def size(self) -> int:
        """V."""
        return self.words.size

    @property
    def signature(self) -> str:
        """What a measure must say of it."""
        return "words-and-letters"

    @cached_property
    def _row_of(self) -> dict[str, int]:
        special = {*self.words.fallback}
        return {word: row for row, word in enumerate(self.words.vocabulary) if row not in special}

    def save(self, folder: Path) -> None:
        """Write both files into an existing folder."""
        self.words.save(folder)
        self.letters.save(folder, LETTERS_FILE)


def _solid(word: str) -> str:
    """The word without white space within it, such as that of "New York", which would make two words of it."""
    return "␣".join(word.split())


def load_lexicon(folder: Path, words: Tokenizer) -> Lexicon:
    """What ``save`` wrote, of which the words have been read.

    Raises:
        TextseqError: a file that is missing or damaged, or of another kind.
    """
    letters = load_tokenizer(folder, LETTERS_FILE)
    if not isinstance(words, WordTokenizer) or not isinstance(letters, CharTokenizer):
        raise TextseqError(f"{folder} holds no lexicon of a tagger; restore the folder")
    return Lexicon(words, letters)
