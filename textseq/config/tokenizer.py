"""Settings of tokenizers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from textseq.config.base import Settings, flag_of, ranged
from textseq.errors import TextseqError

TokenizerName = Literal["char", "byte", "word", "subword"]

NormalizationName = Literal["none", "lines", "text"]

StemmerName = Literal[
    "none", "arabic", "danish", "dutch", "english", "finnish", "french", "german", "hungarian", "italian", "norwegian",
    "porter", "portuguese", "romanian", "russian", "spanish", "swedish",
]  # fmt: skip


TOKENIZER_OPTIONS: dict[str, tuple[str, ...]] = {
    "char": ("normalization",),
    "byte": ("normalization",),
    "word": (
        "normalization",
        "vocabulary_size",
        "minimum_count",
        "rare_words",
        "words",
        "lowercase",
        "stem",
        "punctuation",
    ),
    "subword": ("normalization", "vocabulary_size", "subword_model"),
}
"""The fields of ``TokenizerConfig`` that each tokenizer uses; all others must keep their defaults."""


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig(Settings):
    """Tokenizer: how text becomes tokens."""

    tokenizer: TokenizerName = "char"
    """Tokenizer: characters (unseen ones as bytes), bytes, words (each with the space before it; see --words and
    --rare-words), or subwords (SentencePiece with byte fallback)."""
    normalization: NormalizationName = "none"
    """Normalization of all text before it becomes tokens, in training and in use: none; lines (line ends CRLF and CR
    become LF); or text (lines, composed accents (NFC), plain quotes, apostrophes, hyphens, spaces, ellipses and
    ligatures instead of typographic ones, no invisible characters)."""
    vocabulary_size: int = ranged(8000, at_least=1, at_most=500_000)
    """word: number of words in the vocabulary, the most frequent ones; characters and white space are added. subword:
    size of the whole vocabulary. Small texts may give fewer."""
    minimum_count: int = ranged(2, at_least=1)
    """word: a word must occur this often to be a token. With the default, words that occur once are spelled, which
    teaches the model to read and write unseen words."""
    rare_words: Literal["spell", "unknown"] = "spell"
    """word: spell words outside the vocabulary with characters, or replace them with <unk>, which loses them. (A word
    that is known with the space before it, or without, is replaced by that form.)"""
    words: Literal["nltk", "spaces"] = "nltk"
    """word: split words and punctuation by NLTK's Treebank rules ("don't," is do n't ,), or at white space only, for
    text that is already tokenized (a space before a line break is then part of the line break)."""
    lowercase: bool = False
    """word: convert to lower case, which loses the case."""
    stem: StemmerName = "none"
    """word: replace each word with its stem by NLTK's Snowball stemmer of this language, or by Porter's; this loses
    case and endings."""
    punctuation: Literal["keep", "merge", "drop"] = "keep"
    """word: keep punctuation marks (no letter or digit) as separate tokens, merge adjacent ones into one token (?!,
    ."), or drop them, which loses them."""
    subword_model: Literal["unigram", "bpe"] = "unigram"
    """subword: unigram language model (Kudo 2018) or byte-pair encoding (Sennrich et al. 2016)."""

    def __post_init__(self) -> None:
        """Check the choices and ranges, and that the tokenizer uses every option that was given."""
        super().__post_init__()
        defaults = {item.name: item.default for item in dataclasses.fields(self)}  # a subclass may have other ones
        for item in dataclasses.fields(TokenizerConfig)[1:]:
            if getattr(self, item.name) == defaults[item.name] or item.name in TOKENIZER_OPTIONS[self.tokenizer]:
                continue
            kinds = " or ".join(name for name, options in TOKENIZER_OPTIONS.items() if item.name in options)
            raise TextseqError(
                f"{flag_of(item.name)}: expected --tokenizer {kinds}, got --tokenizer {self.tokenizer}; "
                "leave it out, or choose that tokenizer"
            )
