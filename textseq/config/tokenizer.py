"""What is learnt from: tokenizers, batches of a text, of sentence pairs, of labelled texts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from textseq.config.base import Settings, ranged
from textseq.errors import TextseqError

TokenizerName = Literal["char", "byte", "word", "subword"]

StemmerName = Literal[
    "none", "arabic", "danish", "dutch", "english", "finnish", "french", "german", "hungarian", "italian", "norwegian",
    "porter", "portuguese", "romanian", "russian", "spanish", "swedish",
]  # fmt: skip


TOKENIZER_OPTIONS: dict[str, tuple[str, ...]] = {
    "char": (),
    "byte": (),
    "word": ("vocabulary_size", "minimum_count", "rare_words", "words", "lowercase", "stem", "punctuation"),
    "subword": ("vocabulary_size", "subword_model"),
}
"""The fields of ``TokenizerConfig`` that each tokenizer heeds; the others must keep their defaults."""


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig(Settings):
    """Tokenizer: how text becomes tokens."""

    tokenizer: TokenizerName = "char"
    """What a token is: a character (with byte fallback for characters never seen), a byte, a word with the space
    before it (see --words; the rare ones are spelled), or a subword (SentencePiece, with byte fallback)."""
    vocabulary_size: int = ranged(8000, at_least=1, at_most=500_000)
    """word: so many words at most are tokens, the most frequent ones; characters and white space come on top.
    subword: so many tokens at most, all counted."""
    minimum_count: int = ranged(2, at_least=1)
    """word: times that a word must occur to be a token. Those that occur once are spelled, which teaches the model
    how to read and write words that it never saw."""
    rare_words: Literal["spell", "unknown"] = "spell"
    """word: spell what is no token with characters, or replace it by <unk>, which loses it (a word that is one but for
    the space before it is taken for that)."""
    words: Literal["nltk", "spaces"] = "nltk"
    """word: words and punctuation as NLTK's Treebank rules part them ("don't," is do n't ,), or all that stands
    between white space as one word, for text that was tokenized before; there a line's end takes in a space before."""
    lowercase: bool = False
    """word: put all letters in lower case, which loses the case."""
    stem: StemmerName = "none"
    """word: cut each word to its stem by NLTK's Snowball stemmer of this language, or Porter's, which loses case and
    endings."""
    punctuation: Literal["keep", "merge", "drop"] = "keep"
    """word: keep marks (all that has neither letter nor digit) as tokens of their own, merge marks that touch one
    another into one token (?!, ."), or drop them, which loses them."""
    subword_model: Literal["unigram", "bpe"] = "unigram"
    """subword: the unigram model (Kudo 2018) or byte-pair encoding (Sennrich et al. 2016)."""

    def __post_init__(self) -> None:
        """Check the choices and ranges, and that every option given is one of this tokenizer."""
        super().__post_init__()
        own = {item.name: item.default for item in dataclasses.fields(self)}  # which may be others
        for item in dataclasses.fields(TokenizerConfig)[1:]:
            if getattr(self, item.name) == own[item.name] or item.name in TOKENIZER_OPTIONS[self.tokenizer]:
                continue
            heed = " or ".join(name for name, options in TOKENIZER_OPTIONS.items() if item.name in options)
            raise TextseqError(
                f"--{item.name.replace('_', '-')} is for --tokenizer {heed}, found --tokenizer {self.tokenizer}; "
                "leave it out, or choose that tokenizer"
            )
