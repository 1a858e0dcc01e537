"""Decoding with any model, through ``step(tokens, state) -> (logits, state)``: sampling, beam search, CTC.

Example:
    >>> def step(tokens, state):  # always counts up
    ...     return 100.0 * torch.nn.functional.one_hot((tokens + 1) % 5, 5), state
    >>> prompt = torch.tensor([[0], [2]])  # (N, T)
    >>> for ids in textseq.decoding.sample(step, prompt): ...  # (N,)
"""

from __future__ import annotations

from textseq.decoding.beam import Hypothesis, beam_search
from textseq.decoding.constraints import Phrases
from textseq.decoding.continuous import ContinuousBatch, steady_rows
from textseq.decoding.ctc import ctc_beam_search, ctc_decode, ctc_greedy
from textseq.decoding.ensemble import ensemble
from textseq.decoding.logit_bias import token_bias
from textseq.decoding.logits_processors import (
    LOGITS_PROCESSORS,
    LogitsProcessor,
    active_processors,
    apply_processors,
    min_p,
    no_repeat_ngram,
    repetition_penalty,
    temperature,
    top_k,
    top_p,
    typical_p,
)
from textseq.decoding.sampling import sample, sample_token
from textseq.decoding.stopping import StopStrings

__all__ = [
    "LOGITS_PROCESSORS", "ContinuousBatch", "Hypothesis", "LogitsProcessor", "Phrases", "StopStrings",
    "active_processors", "apply_processors", "beam_search", "ctc_beam_search", "ctc_decode", "ctc_greedy", "ensemble",
    "min_p", "no_repeat_ngram", "repetition_penalty", "sample", "sample_token", "steady_rows", "temperature",
    "token_bias", "top_k", "top_p", "typical_p",
]  # fmt: skip
