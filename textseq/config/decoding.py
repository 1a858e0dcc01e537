"""How tokens are chosen in generation and translation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypedDict

from textseq.config.base import LARGEST_SEED, Settings, flag_of, ranged
from textseq.errors import TextseqError

Precision = Literal["float32", "bfloat16", "int8"]
"""Number format of a loaded model's matrix products; each predictor refuses those that it cannot compute."""

LARGEST_BIAS = 10_000
"""Largest absolute logit bias: beyond it the logits themselves are lost in rounding."""


@dataclass(frozen=True, kw_only=True)
class DecodingConfig(Settings):
    """Decoding: names and meanings of sampling as in Hugging Face's GenerationConfig."""

    max_new_tokens: int = ranged(500, at_least=0)
    """Maximum number of tokens to generate after the prompt."""
    temperature: float = ranged(0.9, at_least=0)
    """Divides the logits. Lower values give likelier, less varied text; 0 is greedy decoding."""
    top_k: int | None = ranged(None, at_least=1, not_with=("temperature", (0,)))
    """Sample from the k most probable tokens only."""
    top_p: float = ranged(1.0, above=0, at_most=1, not_with=("temperature", (0,)))
    """Nucleus sampling: sample from the smallest set of tokens whose probabilities sum to at least this."""
    min_p: float = ranged(0.1, at_least=0, at_most=1, not_with=("temperature", (0,)))
    """Sample only from tokens at least this fraction as probable as the most probable one; 0 allows all. With the
    default temperature it invents a third as many words as temperature 0.7 without it, and is as varied."""
    typical_p: float = ranged(1.0, above=0, at_most=1, not_with=("temperature", (0,)))
    """Locally typical sampling: sample from the tokens whose surprisal is closest to the entropy, until their
    probabilities sum to this."""
    repetition_penalty: float = ranged(1.0, at_least=0.01, at_most=100)
    """Above 1 makes tokens of the prompt and of the text so far less likely (1.2 is usual). For word and subword
    tokenizers: a text of characters has to repeat its letters."""
    no_repeat_ngram_size: int = ranged(0, at_least=0)
    """Never generate an n-gram of this size twice; 0: no limit. Where that leaves only tokens
    less than a thousandth as likely as the likeliest one, only repeats of longer n-grams are banned at that step."""
    logit_bias: Mapping[str, float] = field(default_factory=dict)
    """Added to the logits of single tokens: " the=-2" makes it rarer, "e=-100" bans it, "!=1" makes it more likely.
    In Python a mapping."""
    num_beams: int = ranged(1, at_least=1, at_most=1000)
    """Beam search with this many beams instead of sampling; 1: sample. Temperature and seed have no effect on beam
    search, and the text is printed once it is complete."""
    length_penalty: float = ranged(0.0, at_least=0, at_most=10, not_with=("num_beams", (1,)))
    """Beam search: the alpha of Wu et al. (2016), which divides the log-probability by ((5 + tokens) / 6) ** alpha.
    Higher values favor longer texts."""
    early_stopping: Literal["heuristic", "never"] = ranged("heuristic", not_with=("num_beams", (1,)))
    """When beam search stops. heuristic: when no unfinished beam would rank higher if it ended now. never: only when
    none can ever rank higher, which takes longer with a --length-penalty. With heuristic, a search for several texts
    runs longer and may find a better first text than a search for one."""
    num_return_sequences: int = ranged(1, at_least=1, at_most=10_000)
    """Number of texts to return, generated in one batch; with beam search the best ones."""
    seed: int | None = ranged(None, at_least=0, at_most=LARGEST_SEED, not_with=("temperature", (0,)))
    """Random seed; the same seed gives the same text. Default: a new seed each time."""

    def __post_init__(self) -> None:
        """Check the ranges, and that sampling and beam search are not mixed."""
        super().__post_init__()
        for token, bias in self.logit_bias.items():
            if not abs(bias) <= LARGEST_BIAS:  # true of NaN too
                raise TextseqError(
                    f"--logit-bias: expected -{LARGEST_BIAS} to {LARGEST_BIAS}, got {token}={bias}; -100 bans a token"
                )
        if self.num_beams == 1:
            return
        for item in dataclasses.fields(self):
            if item.name in {"top_k", "top_p", "min_p", "typical_p"} and getattr(self, item.name) != item.default:
                raise TextseqError(
                    f"{flag_of(item.name)} is for sampling, got --num-beams {self.num_beams}; leave one out"
                )
        if self.num_return_sequences > self.num_beams:
            raise TextseqError(
                f"--num-return-sequences: expected at most --num-beams ({self.num_beams}), "
                f"got {self.num_return_sequences}; raise --num-beams"
            )


class DecodingSettings(TypedDict, total=False):
    """The fields of ``DecodingConfig`` as keyword arguments.

    Type checkers can't derive a ``TypedDict`` from a dataclass, so the fields are repeated here for
    ``**settings: Unpack[...]``; a test holds both equal.
    """

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
