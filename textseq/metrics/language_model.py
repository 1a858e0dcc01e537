"""Language model metrics: nats per token, bits per character, perplexity."""

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

    def to_dict(self) -> dict[str, object]:
        """The number in all units with its signature, for a model's ``config.json``."""
        return {
            "signature": self.signature,
            "tokens": self.tokens,
            "nats_per_token": self.nats_per_token,
            "bits_per_character": self.bits_per_character,
            "perplexity": self.perplexity,
        }

    def _repr_html_(self) -> str:
        return html_lines(str(self), self.signature)

    def __str__(self) -> str:
        return (
            f"{self.nats_per_token:.4f} nats per token, {self.bits_per_character:.4f} bits per character, "
            f"perplexity {self.perplexity:.3f} ({self.tokens:,} tokens)"
        )
