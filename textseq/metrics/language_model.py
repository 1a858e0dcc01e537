"""Language model metrics: nats per token, bits per character, perplexity per token and per word."""

from __future__ import annotations

import math
from dataclasses import dataclass

from textseq.io.colored_text import html_lines


def perplexity(nats_per_token: float) -> float:
    """exp of the loss; infinite beyond a float's range."""
    return math.exp(nats_per_token) if nats_per_token < 700 else math.inf


def bits_per_character(nats: float, characters: float) -> float:
    """Summed nats as bits per character."""
    return nats / characters / math.log(2)


@dataclass(frozen=True)
class LanguageModelMetrics:
    """Metrics of a language model on a text."""

    nats: float
    """Summed negative log-likelihood."""
    tokens: int
    """Number of predicted tokens."""
    characters: float
    """Characters of the text that these tokens encode."""
    signature: str
    words: float = 0
    """Words of the text that these tokens encode, separated by white space, so that punctuation belongs to the word
    beside it and the end of a line is no word; 0 if they were not counted."""
    condition: str = ""
    """The condition under which a conditional model read the text; "" if each text has its own, or none."""

    @property
    def nats_per_token(self) -> float:
        """Mean negative log-likelihood."""
        return self.nats / self.tokens

    @property
    def bits_per_character(self) -> float:
        """Negative log-likelihood per character, in bits."""
        return bits_per_character(self.nats, max(self.characters, 1e-9))

    @property
    def perplexity(self) -> float:
        """exp of the nats per token."""
        return perplexity(self.nats_per_token)

    @property
    def perplexity_per_word(self) -> float:
        """exp of the nats per word, which compares models of different tokens; infinite without words."""
        return perplexity(self.nats / self.words) if self.words else math.inf

    def to_dict(self) -> dict[str, object]:
        """The number in all units with its signature, and the sums, for a model's ``config.json``."""
        numbers: dict[str, object] = {
            "signature": self.signature,
            "nats": self.nats,
            "tokens": self.tokens,
            "characters": self.characters,
            "words": self.words,
            "nats_per_token": self.nats_per_token,
            "bits_per_character": self.bits_per_character,
            "perplexity": self.perplexity,
        }
        numbers |= {"perplexity_per_word": self.perplexity_per_word} if self._has_words else {}
        return numbers | ({"condition": self.condition} if self.condition else {})

    @property
    def _has_words(self) -> bool:
        """Whether words are separated, which Chinese ones are not."""
        return math.isfinite(self.perplexity_per_word)

    def _repr_html_(self) -> str:
        return html_lines(str(self), self.signature)

    def __str__(self) -> str:
        words = f", per word {self.perplexity_per_word:,.4g} ({self.words:,.0f} words)" if self._has_words else ""
        under = f", under {self.condition}" if self.condition else ""
        return (
            f"{self.nats_per_token:.4f} nats per token, {self.bits_per_character:.4f} bits per character, "
            f"perplexity {self.perplexity:.3f} ({self.tokens:,} tokens){words}{under}"
        )
