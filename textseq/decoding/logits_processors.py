"""What may come next: rules that change logits before a token is chosen.

A token that may not be chosen gets minus infinity. Names, meanings and order are those of Hugging Face's
``GenerationConfig``: a bias on single tokens first, then ``LOGITS_PROCESSORS``. Shapes: N texts side by side, t tokens
of each that were read so far (the prompt's and its own), V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from textseq.config.decoding import DecodingConfig

NOISE = 1e-3
"""Where nothing that is allowed has this share of the likeliest token's probability, all that is allowed is noise."""


def by_repetition(logits: Tensor, history: Tensor, config: DecodingConfig, end: int | None) -> Tensor:
    """Divide the positive logits of tokens that were read by the penalty, and multiply the negative ones.

    Keskar et al. 2019 (CTRL), section 4.1; the two cases as Hugging Face has them.
    """
    penalty = config.repetition_penalty
    read = logits.gather(1, history)
    changed = logits.scatter(1, history, torch.where(read > 0, read / penalty, read * penalty))
    return _with_end_of(logits, changed, end)


def by_ngrams(logits: Tensor, history: Tensor, config: DecodingConfig, end: int | None) -> Tensor:
    """Ban what would write an n-gram a second time (Paulus et al. 2017, section 2.5).

    Where that leaves a text nothing to write but noise, only a second (n+1)-gram is banned at this step, or else a
    second (n+2)-gram, and so on: what stays is what repeats least.
    """
    length = config.no_repeat_ngram_size
    likely = logits.amax(dim=1) + math.log(NOISE)
    kept = _without_repeats(logits, history, length, end)
    noisy = (kept.amax(dim=1) < likely).nonzero().flatten()
    while len(noisy):
        length += 1
        again = _without_repeats(logits[noisy], history[noisy], length, end)
        kept[noisy] = again
        noisy = noisy[again.amax(dim=1) < likely[noisy]]
    return kept


def _without_repeats(logits: Tensor, history: Tensor, length: int, end: int | None) -> Tensor:
    """The logits without the tokens that would complete an n-gram of the history."""
    t = history.shape[1]
    if t < length:
        return logits
    grams = history.unfold(1, length, 1)  # (N, t-n+1, n)
    begun = history[:, t - length + 1 :].unsqueeze(1)
    rows, places = (grams[:, :, :-1] == begun).all(dim=2).nonzero(as_tuple=True)
    kept = logits.index_put((rows, grams[rows, places, -1]), logits.new_tensor(-torch.inf))
    return _with_end_of(logits, kept, end)


def _with_end_of(logits: Tensor, changed: Tensor, end: int | None) -> Tensor:
    """Changed logits, but for that of the end: it may stand in the history, as the start."""
    if end is not None:
        changed[:, end] = logits[:, end]
    return changed


def by_temperature(logits: Tensor, history: Tensor, config: DecodingConfig, end: int | None) -> Tensor:
    """Divide by the temperature; at 0 only the likeliest token is left (the first of equals)."""
    if config.temperature < 1e-6:
        best = torch.zeros_like(logits, dtype=torch.bool).scatter(1, logits.argmax(dim=1, keepdim=True), True)
        return logits.masked_fill(~best, -torch.inf)
    if config.temperature < 0.01:  # dividing by next to nothing must not give infinity minus infinity
        logits = logits - logits.amax(dim=1, keepdim=True)
    return logits / config.temperature


def by_top_k(logits: Tensor, history: Tensor, config: DecodingConfig, end: int | None) -> Tensor:
    """Keep the k likeliest tokens (Fan et al. 2018, section 5.4)."""
    if config.top_k is None or config.top_k >= logits.shape[1]:
        return logits
    values, tokens = logits.topk(config.top_k, dim=1)
    return torch.full_like(logits, -torch.inf).scatter(1, tokens, values)


def by_top_p(logits: Tensor, history: Tensor, config: DecodingConfig, end: int | None) -> Tensor:
    """Keep the smallest set of likeliest tokens whose probability reaches p (Holtzman et al. 2020, section 3.1)."""
    return _first_to_reach(config.top_p, logits, -logits)


def by_min_p(logits: Tensor, history: Tensor, config: DecodingConfig, end: int | None) -> Tensor:
    """Keep the tokens at least p times as likely as the likeliest (Nguyen et al. 2024, section 3)."""
    p = logits.softmax(dim=1)
    return logits.masked_fill(p < config.min_p * p.amax(dim=1, keepdim=True), -torch.inf)


def by_typical_p(logits: Tensor, history: Tensor, config: DecodingConfig, end: int | None) -> Tensor:
    """Keep the tokens whose surprisal is nearest to the entropy, until they reach p (Meister et al. 2023, section
    4)."""
    log_p = logits.log_softmax(dim=1)
    entropy = -(log_p.exp() * log_p).nansum(dim=1, keepdim=True)
    return _first_to_reach(config.typical_p, logits, (-log_p - entropy).abs())


def _first_to_reach(share: float, logits: Tensor, rank: Tensor) -> Tensor:
    """Keep the tokens of lowest rank until their probability reaches the share; one always stays."""
    order = rank.argsort(dim=1, stable=True)
    p = logits.softmax(dim=1).gather(1, order)
    before = p.cumsum(dim=1) - p  # probability of all that come sooner; the first token's is 0
    return logits.masked_fill((before >= share).gather(1, order.argsort(dim=1)), -torch.inf)


@dataclass(frozen=True)
class LogitsProcessor:
    """A rule and the setting that it follows."""

    setting: str
    """The field of ``DecodingConfig``."""
    off: float | None
    """The setting's value at which the rule changes nothing."""
    apply: Callable[[Tensor, Tensor, DecodingConfig, int | None], Tensor]
    """Logits (N, V), history (N, t), settings and the token that ends a text, if one does -> logits (N, V)."""
    reads_history: bool = False
    """Whether it looks at what was written. Such rules hold in beam search too; the others shape chance only."""


LOGITS_PROCESSORS: tuple[LogitsProcessor, ...] = (
    LogitsProcessor("repetition_penalty", 1, by_repetition, reads_history=True),
    LogitsProcessor("no_repeat_ngram_size", 0, by_ngrams, reads_history=True),
    LogitsProcessor("temperature", 1, by_temperature),
    LogitsProcessor("top_k", None, by_top_k),
    LogitsProcessor("top_p", 1, by_top_p),
    LogitsProcessor("min_p", 0, by_min_p),
    LogitsProcessor("typical_p", 1, by_typical_p),
)
"""In the order that they are applied."""


def active_processors(config: DecodingConfig) -> tuple[LogitsProcessor, ...]:
    """The rules that change something under these settings."""
    return tuple(rule for rule in LOGITS_PROCESSORS if getattr(config, rule.setting) != rule.off)


def apply_processors(
    logits: Tensor,
    history: Tensor,
    config: DecodingConfig,
    rules: Iterable[LogitsProcessor],
    *,
    bias: Tensor | None = None,
    end: int | None = None,
    may_end: bool = True,
) -> Tensor:
    """The logits under a bias and these rules, (N, V).

    Args:
        logits: (N, V).
        history: (N, t).
        config: the rules' settings.
        rules: in their order.
        bias: added before the rules, (V,).
        end: the token that ends a text. No rule changes it that reads the history.
        may_end: whether it is allowed.
    """
    if bias is not None:
        logits = logits + bias
    if end is not None and not may_end:
        logits = logits.clone()
        logits[:, end] = -torch.inf
    for rule in rules:
        logits = rule.apply(logits, history, config, end)
    return logits


def forced_table(forced: Sequence[Sequence[int]] | None, device: torch.device) -> Tensor:
    """What each text must begin with, (N, tokens of the longest): -1 where it is free; (0, 0) where all are."""
    if not forced:
        return torch.empty(0, 0, dtype=torch.int64, device=device)
    rows = [torch.tensor(tokens, dtype=torch.int64, device=device) for tokens in forced]
    return pad_sequence(rows, batch_first=True, padding_value=-1)
