"""How tokens are chosen, in writing and translating."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from textseq.config.base import LARGEST_SEED, Settings, ranged
from textseq.errors import TextseqError

WritingPrecision = Literal["float32", "int8"]
"""Of the products of a model that writes or translates."""

ReadingPrecision = Literal["float32", "bfloat16"]
"""Of those of a classifier."""


LARGEST_BIAS = 10_000
"""Beyond it, what the model itself says would be lost in rounding."""


@dataclass(frozen=True, kw_only=True)
class DecodingConfig(Settings):
    """How tokens are chosen: names and meanings as in Hugging Face's GenerationConfig."""

    max_new_tokens: int = ranged(500, at_least=0)
    """Tokens to write after the prompt."""
    temperature: float = ranged(0.7, at_least=0)
    """Divides the logits: below 1 bolder words become rarer, 0 always takes the likeliest token."""
    top_k: int | None = ranged(None, at_least=1)
    """Draw from the k likeliest tokens only."""
    top_p: float = ranged(1.0, above=0, at_most=1)
    """Draw from the smallest set of tokens that holds this share of the probability."""
    min_p: float = ranged(0.0, at_least=0, at_most=1)
    """Draw only from tokens at least so likely, as a share of the likeliest token's probability."""
    typical_p: float = ranged(1.0, above=0, at_most=1)
    """Draw from the tokens whose surprisal is nearest to the expected one, until they hold this share of the
    probability: neither the dull nor the wild."""
    repetition_penalty: float = ranged(1.0, at_least=0.01, at_most=100)
    """Above 1 makes every token that was read or written already less likely (1.2 is usual). For tokenizers by
    word or subword: texts by character need all their letters again."""
    no_repeat_ngram_size: int = ranged(0, at_least=0)
    """Never write the same run of so many tokens twice; 0 lets all through. Where nothing else is a thousandth as
    likely as what would repeat one, the runs that must not come again are made longer for that step."""
    logit_bias: Mapping[str, float] = field(default_factory=dict)
    """Added to the logits of single tokens: " the=-2" makes it rarer, "e=-100" bans it, "!=1" makes it more likely.
    In Python a mapping."""
    num_beams: int = ranged(1, at_least=1, at_most=1000)
    """With more than 1, search instead of drawing: keep so many of the likeliest texts at every step, and write the
    best. Temperature and seed then play no part, and the text comes when it is finished."""
    length_penalty: float = ranged(0.0, at_least=0, at_most=10)
    """The alpha of beam search (Wu et al. 2016): divides a text's log-probability by ((5 + tokens) / 6) ** alpha, so
    that long texts have a chance beside those that a stop string ended early."""
    early_stopping: Literal["heuristic", "never"] = "heuristic"
    """When a beam search is content with what it has: as soon as nothing unfinished would rank higher were it to end
    now (heuristic), or only when nothing can ever rank higher, however long it grows (never), which takes longer where
    there is a --length-penalty. With the heuristic a search for several texts, which goes on longer, may find a better
    first one than a search for one."""
    num_return_sequences: int = ranged(1, at_least=1, at_most=10_000)
    """Texts to write side by side in one batch; with beams, so many of the best ones."""
    seed: int | None = ranged(None, at_least=0, at_most=LARGEST_SEED)
    """The same seed writes the same text. Default: a new one every time."""

    def __post_init__(self) -> None:
        """Check the ranges, and that what asks for chance and what asks for beams do not meet."""
        super().__post_init__()
        for token, bias in self.logit_bias.items():
            if not abs(bias) <= LARGEST_BIAS:  # nor may it be NaN
                raise TextseqError(
                    f"--logit-bias must lie between -{LARGEST_BIAS} and {LARGEST_BIAS}, found {token}={bias}; "
                    "-100 bans a token"
                )
        if self.num_beams == 1:
            return
        for item in dataclasses.fields(self):
            if item.name in {"top_k", "top_p", "min_p", "typical_p"} and getattr(self, item.name) != item.default:
                flag = "--" + item.name.replace("_", "-")
                raise TextseqError(
                    f"{flag} is for drawing at random, found it with --num-beams {self.num_beams}; leave one out"
                )
        if self.num_return_sequences > self.num_beams:
            raise TextseqError(
                f"--num-return-sequences must be at most --num-beams ({self.num_beams}), "
                f"found {self.num_return_sequences}; raise --num-beams"
            )


class DecodingSettings(TypedDict, total=False):
    """The fields of ``DecodingConfig``, as keywords."""

    max_new_tokens: int
    temperature: float
    top_k: int | None
    top_p: float
    min_p: float
    typical_p: float
    repetition_penalty: float
    no_repeat_ngram_size: int
    logit_bias: Mapping[str, float]
    num_beams: int
    length_penalty: float
    early_stopping: Literal["heuristic", "never"]
    num_return_sequences: int
    seed: int | None
