"""Searching for likely texts: beam search over the same ``step(tokens, state) -> (logits, state)`` as drawing.

Shapes: N texts side by side, K hypotheses of each (the beams), T tokens of the prompt, t tokens written, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from textseq.cells import State
from textseq.config import GenerationConfig
from textseq.decoding.rules import rules_in_force
from textseq.decoding.sampling import Step

Ended = Callable[[Tensor], Tensor]
"""Written tokens (M, t) -> which of the M texts end with their last one, (M,) booleans."""


@dataclass(frozen=True)
class Hypothesis:
    """A text that the search has found."""

    tokens: tuple[int, ...]
    """What follows the prompt; a token that ended the text is the last of them."""
    score: float
    """What the search ranks by: the summed log-probability in nats, over the length factor."""


@torch.inference_mode()
def beam_search(
    step: Step,
    prompt: Tensor,
    state: State,
    config: GenerationConfig,
    *,
    bias: Tensor | None = None,
    ended: Ended | None = None,
) -> list[list[Hypothesis]]:
    """The likeliest texts that K beams find; with one beam, the greedy text.

    At every step the K likeliest of all the beams' continuations stay; those that have ended leave the beam. The
    score divides the sum of log-probabilities by ((5 + t) / 6) ** ``length_penalty`` (Wu et al. 2016, equation 14).

    A token's log-probability is the model's own. Rules and bias are applied to the logits, as in drawing, and what
    they take or add counts in the score; nothing is normalised anew, so that a ban makes no other token likelier.
    Of the rules those hold that read the history: ``repetition_penalty`` and ``no_repeat_ngram_size``.

    Args:
        step: one step of the model.
        prompt: at least one token for each text, (N, T).
        state: the state before the prompt, each tensor (L, N, H).
        config: ``num_beams``, ``length_penalty``, ``max_new_tokens`` and the rules.
        bias: added to the logits of every step, (V,); minus infinity for a token that is never written.
        ended: tells which texts are over; without it all have ``max_new_tokens`` tokens.

    Returns:
        For each of the N texts its hypotheses, best first: at most K, fewer where there are not so many texts.
    """
    texts, beams, length = prompt.shape[0], config.num_beams, prompt.shape[1]
    rules = [rule for rule in rules_in_force(config) if rule.reads_history]
    # Where no step can add to a score, a text is over once its finished hypotheses lead for good.
    falling = config.repetition_penalty >= 1 and (bias is None or bool((bias <= 0).all()))
    longest = _length_factor(config.max_new_tokens, config)
    for t in range(length - 1):
        _, state = step(prompt[:, t], state)
    first = torch.arange(texts, device=prompt.device).unsqueeze(1) * beams  # each text's first row
    history = prompt.repeat_interleave(beams, dim=0)  # (N*K, T+t)
    state = tuple(part.repeat_interleave(beams, dim=1) for part in state)
    totals = torch.full((texts, beams), -torch.inf, device=prompt.device)
    totals[:, 0] = 0  # the beams of a text begin as one
    found: list[list[Hypothesis]] = [[] for _ in range(texts)]
    for _ in range(config.max_new_tokens):
        logits, state = step(history[:, -1], state)
        gains = logits = logits.float()
        if bias is not None:
            gains = gains + bias
        for rule in rules:
            gains = rule.apply(gains, history, config)
        gains = gains - logits.logsumexp(dim=1, keepdim=True)
        totals, places = (totals.view(-1, 1) + gains).view(texts, -1).topk(beams, dim=1)
        rows = (first + places // gains.shape[1]).flatten()
        tokens = (places % gains.shape[1]).view(-1, 1)
        history = torch.cat([history.index_select(0, rows), tokens], dim=1)
        state = tuple(part.index_select(1, rows) for part in state)
        if ended is None:
            continue
        over = ended(history[:, length:]).view(texts, beams)
        _collect(found, history[:, length:], totals.masked_fill(~over, -torch.inf), config)
        totals = totals.masked_fill(over, -torch.inf)
        reach = (totals.amax(dim=1) / longest).tolist()
        led = (len(f) == beams and f[-1].score >= r for f, r in zip(found, reach, strict=True))
        if not (totals > -torch.inf).any() or (falling and all(led)):
            return found
    _collect(found, history[:, length:], totals, config)
    return found


def _collect(found: list[list[Hypothesis]], written: Tensor, totals: Tensor, config: GenerationConfig) -> None:
    """Add the hypotheses whose total is finite, and keep the K best of each text."""
    beams = config.num_beams
    factor = _length_factor(written.shape[1], config)
    for text, beam in (totals > -torch.inf).nonzero().tolist():
        tokens = tuple(written[text * beams + beam].tolist())
        found[text].append(Hypothesis(tokens, float(totals[text, beam]) / factor))
    for hypotheses in found:
        hypotheses.sort(key=lambda hypothesis: -hypothesis.score)
        del hypotheses[beams:]


def _length_factor(tokens: int, config: GenerationConfig) -> float:
    return float(((5 + tokens) / 6) ** config.length_penalty)
