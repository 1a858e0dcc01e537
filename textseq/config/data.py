"""What is learnt from: tokenizers, batches of a text, of sentence pairs, of labelled texts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from textseq.errors import TextseqError
from textseq.settings import Settings, ranged

TokenizerName = Literal["char", "byte", "word", "subword"]
BatchSize = int | Literal["auto"]
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


FIRST_BATCH = 16
"""Rows that ``auto`` tries first."""


def rows_of(batch_size: BatchSize) -> int:
    """A batch size as a number; for ``auto`` the first that is tried."""
    return FIRST_BATCH if batch_size == "auto" else batch_size


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


@dataclass(frozen=True, kw_only=True)
class DataConfig(TokenizerConfig):
    """Data: how text becomes batches."""

    batch_size: int | Literal["auto"] = ranged(32, at_least=1)
    """Streams N of the text that are read side by side. auto: as many as the device has room for, as long as twice as
    many make training faster; the number is kept with the run."""
    window: int = ranged(64, at_least=1)
    """Tokens T that gradients reach back: the length of truncated back-propagation through time."""
    stride: int | None = ranged(None, at_least=1)
    """Tokens from one window to the next. Default: the window, so that each token is read once. With less
    (1 for the strictest), the loss of the last STRIDE tokens alone counts and its gradient always reaches
    back over a whole window."""
    random_window: bool = False
    """Draw each window's length (around T, now and then around T/2; the learning rate follows), as AWD-LSTM."""
    reset_probability: float = ranged(0.03, at_least=0, at_most=1)
    """Chance per window that a stream's state starts afresh, so that the model is good from a fresh state too.
    Documents always start afresh."""

    def __post_init__(self) -> None:
        """Check the ranges, and that strides and windows go together."""
        super().__post_init__()
        if self.stride is not None and self.stride > self.window:
            raise TextseqError(f"--stride must be at most --window ({self.window}), found {self.stride}")
        if self.stride is not None and self.random_window:
            raise TextseqError("--stride and --random-window exclude one another; leave one out")


@dataclass(frozen=True, kw_only=True)
class PairConfig(TokenizerConfig):
    """Data: how sentence pairs become batches."""

    tokenizer: TokenizerName = "subword"
    """What a token is: a subword (SentencePiece, with byte fallback), a word with the space before it (the rare ones
    are spelled), a character (with byte fallback) or a byte."""
    vocabulary: Literal["joint", "separate"] = "joint"
    """One vocabulary for both languages, so that names and numbers are the same tokens in both, or one for each."""
    subword_sampling: float = ranged(0.0, at_least=0, at_most=1)
    """subword with the unigram model: cut the words anew in every epoch (Kudo 2018). This is the flatness alpha of the
    segmentations' distribution: 0.1 varies much, 0.5 little; 0: every word always in its best pieces. In training
    only."""
    batch_size: int | Literal["auto"] = ranged(80, at_least=1)
    """Sentence pairs N in a batch, of like length. auto: as many as the device has room for, as long as twice as many
    make training faster; the number is kept with the run."""
    batch_tokens: int | None = ranged(None, at_least=1)
    """Instead of --batch-size pairs: as many pairs as fill so many tokens on the longer side, padding counted."""
    window: int = ranged(200, at_least=1)
    """Target tokens T that gradients reach back: longer targets are trained in several windows (truncated
    back-propagation through time), each over the whole source."""
    longest: int | None = ranged(None, at_least=1)
    """Leave out training pairs with more tokens than this on either side; how many is said."""

    def __post_init__(self) -> None:
        """Check the ranges, and that words are cut anew only where they can be cut in several ways."""
        super().__post_init__()
        if self.subword_sampling and (self.tokenizer, self.subword_model) != ("subword", "unigram"):
            found = "--subword-model bpe" if self.tokenizer == "subword" else f"--tokenizer {self.tokenizer}"
            raise TextseqError(
                f"--subword-sampling wants --tokenizer subword and --subword-model unigram, found {found}; change one"
            )
        if self.batch_size == "auto" and self.batch_tokens is not None:
            raise TextseqError("--batch-size auto and --batch-tokens exclude one another; leave one out")


@dataclass(frozen=True, kw_only=True)
class LabelledConfig(TokenizerConfig):
    """Data: how labelled texts become batches."""

    tokenizer: TokenizerName = "word"
    """What a token is: a word with the space before it (see --words; the rare ones are spelled), a subword
    (SentencePiece, with byte fallback), a character (with byte fallback) or a byte."""
    vocabulary_size: int = ranged(20_000, at_least=1, at_most=500_000)
    """word: so many words at most are tokens, the most frequent ones; characters and white space come on top.
    subword: so many tokens at most, all counted."""
    batch_size: int | Literal["auto"] = ranged(32, at_least=1)
    """Texts N in a batch, of like length. auto: as many as the device has room for, as long as twice as many make
    training faster; the number is kept with the run."""
    longest: int | None = ranged(None, at_least=1)
    """Read of every training text so many tokens at most, from its beginning. Default: all of them."""


@dataclass(frozen=True, kw_only=True)
class TaggedConfig(Settings):
    """Data: how tagged sentences become batches."""

    vocabulary_size: int = ranged(50_000, at_least=1, at_most=500_000)
    """So many words at most are known, the most frequent ones; the others are told by their letters."""
    minimum_count: int = ranged(2, at_least=1)
    """Times that a word must occur to be known. Those that occur once teach the model what to do with unknown ones."""
    batch_size: int | Literal["auto"] = ranged(32, at_least=1)
    """Sentences N in a batch, of like length. auto: as many as the device has room for, as long as twice as many make
    training faster; the number is kept with the run."""
