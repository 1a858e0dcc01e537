"""Measures, each with the recipe that a number must carry: its signature."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


def perplexity(nats_per_token: float) -> float:
    """exp of the loss; infinite where that is more than a float holds."""
    return math.exp(nats_per_token) if nats_per_token < 700 else math.inf


def bits_per_character(nats: float, characters: float) -> float:
    """Summed nats over the characters that they are spread over, in bits."""
    return nats / characters / math.log(2)


@dataclass(frozen=True)
class LanguageModelMetrics:
    """How well a language model predicts a text."""

    nats: float
    """Summed negative log-likelihood."""
    tokens: int
    """Predictions that the sum is over."""
    characters: float
    """Characters of the text that these tokens write."""
    signature: str
    """The recipe of the number."""

    @property
    def nats_per_token(self) -> float:
        """Mean negative log-likelihood."""
        return self.nats / self.tokens

    @property
    def bits_per_character(self) -> float:
        """The same, spread over the characters and in bits."""
        return bits_per_character(self.nats, max(self.characters, 1e-9))

    @property
    def perplexity(self) -> float:
        """exp of the nats per token."""
        return perplexity(self.nats_per_token)

    def to_dict(self) -> dict[str, object]:
        """The number in all its units, with its recipe, for a model's ``config.json``."""
        return {
            "signature": self.signature,
            "tokens": self.tokens,
            "nats_per_token": self.nats_per_token,
            "bits_per_character": self.bits_per_character,
            "perplexity": self.perplexity,
        }

    def __str__(self) -> str:
        return (
            f"{self.nats_per_token:.4f} nats per token, {self.bits_per_character:.4f} bits per character, "
            f"perplexity {self.perplexity:.3f} ({self.tokens:,} tokens)"
        )
