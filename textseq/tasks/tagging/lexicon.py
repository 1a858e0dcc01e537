"""The vocabularies of a tagger: words, and the characters that spell them.

Shapes: V words, the unknown word included; T words of a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from textseq.config.tokenizer import NormalizationName, TokenizerConfig
from textseq.errors import TextseqError
from textseq.tasks.tagging.config import TaggedConfig
from textseq.tokenizers.base import Ids, Tokenizer
from textseq.tokenizers.characters import CharTokenizer
from textseq.tokenizers.normalization import normalize
from textseq.tokenizers.registry import load_tokenizer
from textseq.tokenizers.words import WordTokenizer

LETTERS_FILE = "letters-tokenizer.json"
"""File of the character tokenizer; that of the words is ``tokenizer.json``."""

HALF = 30
"""Characters read at each end of a long word."""

PREFIX = " "
"""Stands before each word in the vocabulary."""

SPACE = "␣"
"""Stands for white space within a word."""

NO_LETTERS = " "
"""How a word without letters is spelled."""


@dataclass(frozen=True)
class Lexicon:
    """Word and character vocabulary."""

    words: WordTokenizer
    """Splits at white space; rare words are unknown."""
    letters: CharTokenizer

    @classmethod
    def train(cls, sentences: Iterable[Sequence[str]], options: TaggedConfig) -> Lexicon:
        """Build the lexicon from sentences of words.

        Raises:
            TextseqError: no word occurs often enough, or a word holds a lone surrogate.
        """
        config = _word_config(options)
        letters = TokenizerConfig(normalization=options.normalization)
        empty = cls(WordTokenizer.train((), config), CharTokenizer.train((), letters))
        lexicon, _ = empty.extended(sentences, options)
        if lexicon.size == empty.size:
            raise TextseqError(
                f"expected words that occur {options.minimum_count} times, got none; "
                "lower --minimum-count or give more sentences"
            )
        return lexicon

    def extended(self, sentences: Iterable[Sequence[str]], options: TaggedConfig) -> tuple[Lexicon, str]:
        """The lexicon with further words and characters, and a phrase that counts them; see ``Tokenizer.extended``."""
        solid = ((_solid(word, self.normalization) for word in words) for words in sentences)
        texts = [[" ".join(("", *words))] for words in solid]  # every word has a space before it
        words, new_words = self.words.extended(texts, _word_config(options))
        letters, new_letters = self.letters.extended(texts)
        return Lexicon(words, letters), ", ".join(filter(None, (new_words, new_letters)))

    def encode(self, words: Sequence[str]) -> Ids:
        """The ids (T,) of words; unknown words are looked up in lower case."""
        row_of, unknown = self._row_of, self.unknown
        solid = (_solid(word, self.normalization) for word in words)
        rows = (row_of.get(PREFIX + word, row_of.get(PREFIX + word.lower(), unknown)) for word in solid)
        return np.fromiter(rows, np.int64, len(words))

    def spell(self, word: str) -> Ids:
        """The ids of a word's characters, at least one; of a long word those at both ends."""
        word = normalize(word, self.normalization)
        return self.letters.encode(word if 0 < len(word) <= 2 * HALF else (word[:HALF] + word[-HALF:] or NO_LETTERS))

    @property
    def normalization(self) -> NormalizationName:
        """Of words and letters."""
        return self.words.normalization

    @property
    def unknown(self) -> int:
        """The id of the unknown word."""
        return self.words.size - 1

    @property
    def size(self) -> int:
        """V."""
        return self.words.size

    @property
    def signature(self) -> str:
        """For signatures of metrics."""
        return "words-and-letters" + (f"-norm-{self.normalization}" if self.normalization != "none" else "")

    @cached_property
    def _row_of(self) -> dict[str, int]:
        special = {*self.words.fallback}
        return {word: row for row, word in enumerate(self.words.vocabulary) if row not in special}

    def save(self, folder: Path) -> None:
        """Write both files into a folder."""
        self.words.save(folder)
        self.letters.save(folder, LETTERS_FILE)


def _word_config(options: TaggedConfig) -> TokenizerConfig:
    """How sentences become words."""
    return TokenizerConfig(
        tokenizer="word",
        words="spaces",
        normalization=options.normalization,
        rare_words="unknown",
        vocabulary_size=options.vocabulary_size,
        minimum_count=options.minimum_count,
    )


def _solid(word: str, normalization: NormalizationName) -> str:
    """The normalized word with white space replaced, as in "New York", which would be split."""
    return SPACE.join(normalize(word, normalization).split())


def normalized_letters(letters: Sequence[str], normalization: NormalizationName) -> tuple[str, ...]:
    """The letters of a normalized text, which CTC reads; as given if none would be left."""
    return tuple(normalize("".join(letters), normalization)) or tuple(letters)


def load_lexicon(folder: Path, words: Tokenizer) -> Lexicon:
    """Load what ``save`` wrote; ``words`` has been loaded already.

    Raises:
        TextseqError: a file is missing, damaged, or of another kind.
    """
    letters = load_tokenizer(folder, LETTERS_FILE)
    if not isinstance(words, WordTokenizer) or not isinstance(letters, CharTokenizer):
        raise TextseqError(f"{folder}: expected the tokenizers of a tagger, got others; restore the folder")
    return Lexicon(words, letters)
