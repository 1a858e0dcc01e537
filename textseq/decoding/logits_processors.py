"""Logits processors: change the logits before a token is chosen. A token that must not be chosen gets minus infinity.

Names, meanings and order are those of Hugging Face's ``GenerationConfig``: a bias on single tokens first, then
``LOGITS_PROCESSORS``. Shapes: N texts, t tokens of each so far (prompt and generated), V vocabulary.
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
"""Where no allowed token has this share of the likeliest token's probability, all allowed tokens are noise."""

FLAT = 1e30
"""Temperature from which all allowed tokens are equally likely; float32 could not divide by a much larger one."""


def repetition_penalty(logits: Tensor, history: Tensor, penalty: float, end: int | None = None) -> Tensor:
    """Make tokens of the history (N, t) less likely: divide logits (N, V) by the penalty, multiply negative ones.

    Keskar et al. 2019 (CTRL), section 4.1; the two cases as in Hugging Face. The logit of ``end`` stays.

    Example:
        >>> repetition_penalty(torch.tensor([[1.0, -1.0, 2.0]]), torch.tensor([[0, 1]]), 2.0)
        tensor([[ 0.5000, -2.0000,  2.0000]])
    """
    read = logits.gather(1, history)
    changed = logits.scatter(1, history, torch.where(read > 0, read / penalty, read * penalty))
    return _with_end_of(logits, changed, end)


def no_repeat_ngram(logits: Tensor, history: Tensor, size: int, end: int | None = None) -> Tensor:
    """Ban tokens of logits (N, V) that would repeat an n-gram of the history (N, t) (Paulus et al. 2017, section 2.5).

    Where that leaves only noise, longer n-grams are banned at this step instead: (n+1)-grams, else (n+2)-grams... The
    logit of ``end`` stays.

    Example:
        >>> no_repeat_ngram(torch.zeros(1, 3), torch.tensor([[0, 1, 0]]), 2)
        tensor([[0., -inf, 0.]])
    """
    likely = logits.amax(dim=1) + math.log(NOISE)
    kept = _without_repeats(logits, history, size, end)
    noisy = (kept.amax(dim=1) < likely).nonzero().flatten()
    while len(noisy):
        size += 1
        again = _without_repeats(logits[noisy], history[noisy], size, end)
        kept[noisy] = again
        noisy = noisy[again.amax(dim=1) < likely[noisy]]
    return kept


def _without_repeats(logits: Tensor, history: Tensor, size: int, end: int | None) -> Tensor:
    t = history.shape[1]
    if t < size:
        return logits
    grams = history.unfold(1, size, 1)  # (N, t-n+1, n)
    begun = history[:, t - size + 1 :].unsqueeze(1)
    rows, places = (grams[:, :, :-1] == begun).all(dim=2).nonzero(as_tuple=True)
    kept = logits.index_put((rows, grams[rows, places, -1]), logits.new_tensor(-torch.inf))
    return _with_end_of(logits, kept, end)


def _with_end_of(logits: Tensor, changed: Tensor, end: int | None) -> Tensor:
    """Restore the logit of ``end``, which may be in the history as the start of a text."""
    if end is not None:
        changed[:, end] = logits[:, end]
    return changed


def temperature(logits: Tensor, value: float) -> Tensor:
    """Divide logits (N, V) by the temperature; 0 leaves only the likeliest token (the first of equals).

    Example:
        >>> temperature(torch.tensor([[1.0, 3.0]]), 0.5)
        tensor([[2., 6.]])
    """
    if value < 1e-6:
        best = torch.zeros_like(logits, dtype=torch.bool).scatter(1, logits.argmax(dim=1, keepdim=True), True)
        return logits.masked_fill(~best, -torch.inf)
    if value < 0.01:  # dividing by next to nothing must not give infinity minus infinity
        logits = logits - logits.amax(dim=1, keepdim=True)
    return logits / min(value, FLAT)


def top_k(logits: Tensor, k: int | None) -> Tensor:
    """Keep the k likeliest tokens of logits (N, V) (Fan et al. 2018, section 5.4); None keeps all.

    Example:
        >>> top_k(torch.tensor([[1.0, 3.0, 2.0]]), 2)
        tensor([[-inf, 3., 2.]])
    """
    if k is None or k >= logits.shape[1]:
        return logits
    values, tokens = logits.topk(k, dim=1)
    return torch.full_like(logits, -torch.inf).scatter(1, tokens, values)


def top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the smallest set of likeliest tokens whose probability reaches p (Holtzman et al. 2020, section 3.1).

    Example:
        >>> top_p(torch.tensor([[0.6, 0.3, 0.1]]).log(), 0.5)
        tensor([[-0.5108, -inf, -inf]])
    """
    return _first_to_reach(p, logits, -logits)


def min_p(logits: Tensor, p: float) -> Tensor:
    """Keep the tokens at least p times as likely as the likeliest (Nguyen et al. 2024, section 3).

    Example:
        >>> min_p(torch.tensor([[0.6, 0.3, 0.1]]).log(), 0.4)
        tensor([[-0.5108, -1.2040, -inf]])
    """
    probability = logits.softmax(dim=1)
    return logits.masked_fill(probability < p * probability.amax(dim=1, keepdim=True), -torch.inf)


def typical_p(logits: Tensor, p: float) -> Tensor:
    """Keep the tokens whose surprisal is nearest to the entropy, until they reach p (Meister et al. 2023, section 4).

    Example:
        >>> typical_p(torch.tensor([[0.6, 0.3, 0.1]]).log(), 0.2)  # entropy 0.898, surprisal of the second 1.204
        tensor([[   -inf, -1.2040,    -inf]])
    """
    log_p = logits.log_softmax(dim=1)
    entropy = -(log_p.exp() * log_p).nansum(dim=1, keepdim=True)
    return _first_to_reach(p, logits, (-log_p - entropy).abs())


def _first_to_reach(share: float, logits: Tensor, rank: Tensor) -> Tensor:
    """Keep the tokens of lowest rank until their probability reaches the share; at least one."""
    order = rank.argsort(dim=1, stable=True)
    p = logits.softmax(dim=1).gather(1, order)
    before = p.cumsum(dim=1) - p  # probability of all tokens before it; 0 for the first
    share = max(share, torch.finfo(p.dtype).tiny)  # a smaller one would be rounded to 0 and ban the first too
    return logits.masked_fill((before >= share).gather(1, order.argsort(dim=1)), -torch.inf)


@dataclass(frozen=True)
class LogitsProcessor:
    """A function on logits, and the setting that it follows.

    Example:
        >>> LogitsProcessor("top_k", None, top_k).apply(logits, history, DecodingConfig(top_k=50), None)
    """

    setting: str
    """The field of ``DecodingConfig``."""
    off: float | None
    """The setting's value that changes nothing."""
    function: Callable[..., Tensor]
    """(logits (N, V), value) -> logits; with ``reads_history`` (logits, history (N, t), value, end) -> logits."""
    reads_history: bool = False
    """Whether it needs the tokens so far. Beam search applies these only; the others shape random choice."""

    def apply(self, logits: Tensor, history: Tensor, config: DecodingConfig, end: int | None) -> Tensor:
        """Process logits (N, V) by the setting in ``config``."""
        value = getattr(config, self.setting)
        return self.function(logits, history, value, end) if self.reads_history else self.function(logits, value)


LOGITS_PROCESSORS: tuple[LogitsProcessor, ...] = (
    LogitsProcessor("repetition_penalty", 1, repetition_penalty, reads_history=True),
    LogitsProcessor("no_repeat_ngram_size", 0, no_repeat_ngram, reads_history=True),
    LogitsProcessor("temperature", 1, temperature),
    LogitsProcessor("top_k", None, top_k),
    LogitsProcessor("top_p", 1, top_p),
    LogitsProcessor("min_p", 0, min_p),
    LogitsProcessor("typical_p", 1, typical_p),
)
"""In the order in which they are applied."""


def active_processors(config: DecodingConfig) -> tuple[LogitsProcessor, ...]:
    """The processors that change something under these settings.

    Example:
        >>> [processor.setting for processor in active_processors(DecodingConfig(top_k=50, min_p=0))]
        ['temperature', 'top_k']
    """
    return tuple(processor for processor in LOGITS_PROCESSORS if getattr(config, processor.setting) != processor.off)


def apply_processors(
    logits: Tensor,
    history: Tensor,
    config: DecodingConfig,
    processors: Iterable[LogitsProcessor],
    *,
    bias: Tensor | None = None,
    end: int | None = None,
    may_end: bool = True,
) -> Tensor:
    """Apply a bias (V,) and processors, in this order, to logits (N, V) after a history (N, t).

    ``end`` ends a text: it is banned unless ``may_end``, and processors that read the history leave its logit.

    Example:
        >>> config = DecodingConfig(top_k=50)
        >>> logits = apply_processors(logits, history, config, active_processors(config))
    """
    if bias is not None:
        logits = logits + bias
    if end is not None and not may_end:
        logits = logits.clone()
        logits[:, end] = -torch.inf
    for processor in processors:
        logits = processor.apply(logits, history, config, end)
    return logits


def forced_table(forced: Sequence[Sequence[int]] | None, device: torch.device) -> Tensor:
    """The forced first tokens of each text, (N, longest); -1 where a text is free. (0, 0) if all are free."""
    if not forced:
        return torch.empty(0, 0, dtype=torch.int64, device=device)
    rows = [torch.tensor(tokens, dtype=torch.int64, device=device) for tokens in forced]
    return pad_sequence(rows, batch_first=True, padding_value=-1)
