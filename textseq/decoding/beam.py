"""Searching for likely texts: beam search over the same ``step(tokens, state) -> (logits, state)`` as drawing.

Shapes: N texts side by side, M of them not over yet, K hypotheses of each (the beams), T tokens of the prompt,
t tokens written, V vocabulary. The hypotheses of a text are neighbouring rows, the texts in their order.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from textseq.config.decoding import DecodingConfig
from textseq.decoding.logits_processors import active_processors, apply_processors, forced_table
from textseq.nn.cells import State, Step

Ended = Callable[[Tensor], Tensor]
"""Written tokens (M, t) -> which of the M texts end with their last one, (M,) booleans."""


NARROW_AT = 0.1
"""Share of the texts in the batch that are over when the rest is taken on without them. To copy what a translator
remembers of a sentence costs about as much as a tenth of a step over it."""


BLOCK = 64
"""Tokens of which the largest is found first, where a CPU looks for the best of many."""

SEARCHED_BY_BLOCKS = 2**19
"""So many numbers at least."""


@dataclass(frozen=True)
class Hypothesis:
    """A text that the search has found."""

    tokens: tuple[int, ...]
    """What follows the prompt; a token that ended the text is the last of them."""
    score: float
    """What the search ranks by: the summed log-probability in nats, over the length factor, and the bonus."""


@torch.inference_mode()
def beam_search(
    step: Step,
    prompt: Tensor,
    state: State,
    config: DecodingConfig,
    *,
    bias: Tensor | None = None,
    ended: Ended | None = None,
    end: int | None = None,
    min_new_tokens: int = 0,
    limits: Tensor | None = None,
    forced: Sequence[Sequence[int]] | None = None,
    bonus: Callable[[State], Tensor] | None = None,
    wanted: int | None = None,
    narrow: Callable[[Tensor], Step] | None = None,
) -> list[list[Hypothesis]]:
    """The likeliest texts that K beams find; with one beam, the greedy text.

    At every step the K likeliest of all the beams' continuations stay; those that have ended leave the beam. The
    score divides the sum of log-probabilities by ((5 + t) / 6) ** ``length_penalty`` (Wu et al. 2016, equation 14).
    A text is over when no hypothesis that goes on would come among its best if it ended here, or with
    ``early_stopping`` "never" if it could at any length.

    A token's log-probability is the model's own. Rules and bias are applied to the logits, as in drawing, and what
    they take or add counts in the score; nothing is normalised anew, so that a ban makes no other token likelier.
    Of the rules those hold that read the history: ``repetition_penalty`` and ``no_repeat_ngram_size``.

    Args:
        step: one step of the model. It is called with equally many rows of each text, one after the other: a row of
            each until the first token is chosen, then at most K of each.
        prompt: at least one token for each text, (N, T).
        state: the state before the prompt, each tensor (L, N, H).
        config: ``num_beams``, ``length_penalty``, ``max_new_tokens`` and the rules.
        bias: added to the logits of every step, (V,); minus infinity for a token that is never written.
        ended: tells which texts are over, besides ``end``.
        end: the token that ends a text. No rule on the history changes it, so that a text may always end. The step
            must be able to read it.
        min_new_tokens: ``end`` comes after so many tokens at least, or not at all where the limit comes first.
        limits: most tokens of each text, ``end`` included, (N,), at least 1; ``max_new_tokens`` holds too.
            Hypotheses that are still unfinished then count as they stand; with ``end``, which they lack, they are the
            result only of a text that has no finished one.
        forced: how each text must begin, whatever rules, bias and ``min_new_tokens`` say. These tokens are the first
            of the hypothesis, and their log-probabilities count.
        bonus: the state after the step that chose a hypothesis' last token -> what is added to its score, (rows,), at
            most 0; such as a penalty on what the attention left out.
        wanted: how many hypotheses of each text are asked for, K by default. With fewer a text is over sooner, and
            with ``early_stopping`` "never" so many are the best all the same.
        narrow: lets texts that are over leave the batch: called with the places of the others among the N, (M,)
            ascending, it returns the step for these alone. Without it they stay, as rows that no one looks at.

    Returns:
        For each of the N texts its hypotheses, best first: at most K, fewer where there are not so many texts.
    """
    beams, length = config.num_beams, prompt.shape[1]
    rules = [rule for rule in active_processors(config) if rule.reads_history]
    # Where no step can add to a score, a text is over once its finished hypotheses lead for good.
    falling = config.repetition_penalty >= 1 and (bias is None or bool((bias <= 0).all()))
    if config.max_new_tokens == 0 or len(prompt) == 0:
        return [[Hypothesis((), 0.0)] for _ in prompt]
    for t in range(length - 1):
        _, state = step(prompt[:, t], state)
    texts = torch.arange(len(prompt), device=prompt.device)  # those in the batch, (M,)
    most = torch.full_like(texts, config.max_new_tokens)
    if limits is not None:
        most = most.minimum(limits.to(most))
    factors = ((5 + torch.arange(config.max_new_tokens + 1, device=prompt.device)) / 6) ** config.length_penalty
    table = forced_table(forced, prompt.device)  # (N, F)
    found = _Found(len(prompt), beams, wanted or beams, prompt.device)
    history = prompt  # (rows, T+t)
    totals = torch.zeros(len(prompt), 1, device=prompt.device)  # the beams of a text begin as one
    for t in range(1, int(most.max()) + 1):
        logits, state = step(history[:, -1], state)
        logits = logits.float()
        gains = apply_processors(logits, history, config, rules, bias=bias, end=end, may_end=t > min_new_tokens)
        must = table[texts, t - 1] if t <= table.shape[1] else None
        totals, rows, tokens = _extend(logits, gains, totals, must, beams)  # (M, K) each
        history = torch.cat([history.index_select(0, rows.flatten()), tokens.view(-1, 1)], dim=1)
        written = history[:, length:].view(*rows.shape, t)

        over = torch.zeros_like(rows, dtype=torch.bool)
        if end is not None:
            over |= tokens == end
        if ended is not None:
            over |= ended(history[:, length:]).view(rows.shape)
        done = most[texts] <= t
        leaving = (over | done.unsqueeze(1)) & (totals > -torch.inf)
        if leaving.any():
            scores = totals / factors[t]
            if bonus is not None:
                scores = scores + bonus(state)[rows]
            found.add(texts, written, scores, leaving & over)
            unfinished = leaving & ~over
            if end is not None:
                unfinished &= found.nothing(texts).unsqueeze(1)
            found.add(texts, written, scores, unfinished)
        totals = totals.masked_fill(over, -torch.inf)
        reach = totals.amax(dim=1)
        done |= reach == -torch.inf
        if falling:
            at_most = factors[t] if config.early_stopping == "heuristic" else factors[most[texts]]
            done |= found.lead[texts] >= reach / at_most
        gone = int(done.sum())
        if gone == len(texts):
            break
        if narrow is not None and gone >= NARROW_AT * len(texts):
            kept = (~done).nonzero().flatten()
            texts, totals, rows = texts[kept], totals[kept], rows[kept]
            history = history.view(len(done), -1, history.shape[1])[kept].flatten(0, 1)
            step = narrow(texts)
        else:
            totals = totals.masked_fill(done.unsqueeze(1), -torch.inf)
        state = _select(state, rows.flatten())
    return found.best


def _extend(
    logits: Tensor, gains: Tensor, totals: Tensor, must: Tensor | None, beams: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The likeliest continuations of each text, best first.

    Args:
        logits: the model's own, (rows, V).
        gains: under bias and rules, (rows, V).
        totals: the rows' log-probabilities, (M, rows of each text).
        must: the token that each text must go on with, or -1, (M,).
        beams: K.

    Returns:
        Log-probabilities, rows that are continued, and tokens, (M, K) each; fewer than K where there are not so many.
    """
    texts, width = totals.shape
    # max() takes the first of equals, as greedy drawing does; topk() takes any.
    values, tokens = gains.max(dim=1, keepdim=True) if beams == 1 else likeliest(gains, min(beams, gains.shape[1]))
    log_p = logits.log_softmax(dim=1)
    first = tokens[:, :1]
    # Where every token is banned, one that the model itself holds impossible may come first: no sum, and no matter.
    values = values + (log_p.gather(1, first) - logits.gather(1, first)).nan_to_num()
    if must is not None:
        token = must.repeat_interleave(width).unsqueeze(1)
        alone = torch.full_like(values, -torch.inf)
        alone[:, :1] = log_p.gather(1, token.clamp(min=0))
        values, tokens = torch.where(token >= 0, alone, values), torch.where(token >= 0, token, tokens)
    each = values.shape[1]
    totals = (totals.view(-1, 1) + values).view(texts, -1)
    totals, places = totals.topk(min(beams, width * each), dim=1)
    starts = torch.arange(0, texts * width, width, device=totals.device).unsqueeze(1)
    return totals, starts + places // each, tokens.view(texts, -1).gather(1, places)


def likeliest(gains: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """``topk`` of each row, (rows, V) -> values and tokens, (rows, count) each.

    What is among the largest of a row lies in one of the ``count`` blocks with the largest maxima, or in what the
    blocks leave over; torch's own search of the whole row takes twice as long as the maxima and that of these.
    """
    blocks = gains.shape[1] // BLOCK
    if gains.numel() < SEARCHED_BY_BLOCKS or blocks <= count or gains.device.type != "cpu":
        return gains.topk(count, dim=1)
    whole = gains[:, : blocks * BLOCK].reshape(len(gains), blocks, BLOCK)
    best = whole.amax(dim=2).topk(count, dim=1).indices  # (rows, count)
    chosen = whole[torch.arange(len(gains)).unsqueeze(1), best].flatten(1)
    tokens = (best.unsqueeze(2) * BLOCK + torch.arange(BLOCK)).flatten(1)
    rest = torch.arange(blocks * BLOCK, gains.shape[1]).expand(len(gains), -1)
    values, places = torch.cat([chosen, gains[:, blocks * BLOCK :]], dim=1).topk(count, dim=1)
    return values, torch.cat([tokens, rest], dim=1).gather(1, places)


def _select(state: State, rows: Tensor) -> State:
    """The state of these rows; the same tensors where that is all of them in their order."""
    count = state[0].shape[1] if state else 0
    if len(rows) == count and torch.equal(rows, torch.arange(count, device=rows.device)):
        return state
    return tuple(part.index_select(1, rows) for part in state)


class _Found:
    """The hypotheses of each text that count so far.

    Args:
        texts: N.
        beams: K, how many of each text are kept.
        wanted: how many of them are asked for.
        device: where the search runs.
    """

    def __init__(self, texts: int, beams: int, wanted: int, device: torch.device) -> None:
        self.beams = beams
        self.wanted = wanted
        self.best: list[list[Hypothesis]] = [[] for _ in range(texts)]
        self.lead = torch.full((texts,), -torch.inf, device=device)
        """The score that a further hypothesis must pass to be among those asked for."""

    def add(self, texts: Tensor, written: Tensor, scores: Tensor, which: Tensor) -> None:
        """Add some hypotheses of the texts in the batch.

        Args:
            texts: the places of these texts among the N, (M,).
            written: the tokens of their hypotheses, (M, K, t).
            scores: (M, K).
            which: those to add, (M, K).
        """
        places = texts[which.nonzero()[:, 0]].tolist()
        for place, tokens, score in zip(places, written[which].tolist(), scores[which].tolist(), strict=True):
            insort(self.best[place], Hypothesis(tuple(tokens), score), key=lambda hypothesis: -hypothesis.score)
            del self.best[place][self.beams :]
        leads = [best[self.wanted - 1].score if len(best) >= self.wanted else -torch.inf for best in self.best]
        self.lead = torch.tensor(leads, device=self.lead.device)

    def nothing(self, texts: Tensor) -> Tensor:
        """Which of these texts have no hypothesis yet, (M,)."""
        return torch.tensor([not self.best[text] for text in texts.tolist()], device=texts.device)
