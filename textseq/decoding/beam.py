"""Beam search over any ``step(tokens, state) -> (logits, state)``.

Shapes: N texts, M of them not over yet, K beams, T tokens of the prompt, t tokens generated, V vocabulary. The rows are
the hypotheses of the first text, then those of the second...
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from textseq.config.decoding import DecodingConfig
from textseq.decoding.constraints import ConstrainedBeams, Phrase
from textseq.decoding.logits_processors import active_processors, apply_processors, forced_table
from textseq.nn.cells import State, Step

Ended = Callable[[Tensor], Tensor]
"""Generated tokens (M, t) -> which of the M hypotheses end with their last one, (M,) booleans."""


NARROW_AT = 0.1
"""Share of the texts that must be over before they are removed from the batch: copying a translator's encoder outputs
for the others costs about a tenth of a step."""

BLOCK = 64
"""Tokens of a block in ``top_tokens``."""

SEARCHED_BY_BLOCKS = 2**19
"""Logits from which searching by blocks is faster."""


@dataclass(frozen=True)
class Hypothesis:
    """A text found by beam search.

    Example:
        >>> Hypothesis(tokens=(3, 1), score=-0.7).tokens
        (3, 1)
    """

    tokens: tuple[int, ...]
    """The tokens after the prompt; a token that ended the text is the last one."""
    score: float
    """Summed log-probability in nats, divided by the length factor, plus the bonus. Higher is better, except that
    the search also counts ``fit``."""
    kept: Tensor | None = field(default=None, compare=False, repr=False)
    """What ``keep`` of the search gave."""

    def log_p(self, length_penalty: float) -> float:
        """The summed log-probability, in nats, plus the bonus times the length factor."""
        return self.score * length_factor(len(self.tokens), length_penalty)


def length_factor(tokens: int, length_penalty: float) -> float:
    """The divisor of the log-probability of so many tokens (Wu et al. 2016, equation 14)."""
    factor: float = math.pow((5 + tokens) / 6, length_penalty)
    return factor


@torch.inference_mode()
def beam_search(
    step: Step,
    prompt: Tensor,
    state: State = (),
    config: DecodingConfig | None = None,
    *,
    bias: Tensor | None = None,
    ended: Ended | None = None,
    end: int | None = None,
    min_new_tokens: int = 0,
    limits: Tensor | None = None,
    forced: Sequence[Sequence[int]] | None = None,
    bonus: Callable[[State], Tensor] | None = None,
    keep: Callable[[State], Tensor] | None = None,
    wanted: int | None = None,
    constraints: Sequence[Sequence[Phrase]] | None = None,
    inner: Container[int] = (),
    fit: Callable[[State, Tensor], Tensor] | None = None,
    narrow: Callable[[Tensor], Step] | None = None,
) -> list[list[Hypothesis]]:
    """Find the likeliest texts with K beams; with one beam, the greedy text.

    The score divides the sum of log-probabilities by ((5 + t) / 6) ** ``length_penalty`` (Wu et al. 2016, equation 14).
    A text is over when no unfinished hypothesis would be among its best if it ended here, or with ``early_stopping``
    "never" if it could be at any length.

    Bias and the processors that read the history (``repetition_penalty``, ``no_repeat_ngram_size``) change the logits
    and so the score; the result is not normalized again, so a ban makes no other token likelier.

    Args:
        step: one step of the model: (tokens (rows,), state) -> (logits (rows, V), state). Each text has the same number
            of neighboring rows: one until the first token is chosen, then at most K.
        prompt: (N, T), T at least 1.
        state: the state before the prompt, each tensor (L, N, H).
        config: ``num_beams``, ``length_penalty``, ``max_new_tokens`` and the logits processors.
        bias: added to the logits of every step, (V,); minus infinity bans a token.
        ended: which texts end, besides those with ``end``.
        end: the token that ends a text; no processor changes its logit. The step must accept it.
        min_new_tokens: ``end`` is banned until then.
        limits: most tokens of each text, ``end`` included, (N,), at least 1. Hypotheses that are unfinished then count
            as they are; with ``end``, only for a text that has no finished one.
        forced: the first tokens of each text, despite processors and bias. Their log-probabilities count.
        bonus: the state after the step that chose a hypothesis' last token -> what is added to its score, (rows,), at
            most 0; such as a coverage penalty.
        keep: the same state -> what is kept with each hypothesis, (rows, ...), such as its attention weights.
        wanted: hypotheses needed per text, K by default. With fewer a text is over sooner.
        constraints: phrases, as tokens, that each text must contain (one given twice, twice), despite processors and
            bias; see ``constraints``. Where they and the forced tokens need more than the limit, it is raised.
        inner: tokens that continue a word: a phrase that one of them follows does not count.
        fit: the state after a step, and the indices of the texts in the batch (M,) -> how well each phrase of a text
            begins with the next token, (M, rows of a text, phrases): at most 0, added to the log-probability when
            hypotheses are compared, but not to their score.
        narrow: removes finished texts from the batch: called with the indices of the others, (M,) ascending, it returns
            the step for these. Without it they stay as unused rows.

    Returns:
        For each of the N texts at most K hypotheses, best first.

    Example:
        >>> def step(tokens, state):  # always counts up
        ...     return 100.0 * torch.nn.functional.one_hot((tokens + 1) % 5, 5), state
        >>> texts = beam_search(step, torch.tensor([[0]]), config=DecodingConfig(num_beams=2, max_new_tokens=3))
        >>> texts[0][0].tokens
        (1, 2, 3)
    """
    config = config or DecodingConfig()
    beams, length = config.num_beams, prompt.shape[1]
    processors = [processor for processor in active_processors(config) if processor.reads_history]
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
    beam = ConstrainedBeams.begin(constraints, inner, end) if constraints is not None and any(constraints) else None
    if beam is not None:
        starts = [len(tokens) for tokens in forced] if forced is not None else [0] * len(prompt)
        least = [start + rows[0] + (end is not None) for start, rows in zip(starts, beam.remaining(), strict=True)]
        most = most.maximum(torch.tensor(least).to(most))
    factors = ((5 + torch.arange(int(most.max()) + 1, device=prompt.device)) / 6) ** config.length_penalty
    table = forced_table(forced, prompt.device)  # (N, F)
    finished = _Finished(len(prompt), beams, wanted or beams, prompt.device)
    history = prompt  # (rows, T+t)
    totals = torch.zeros(len(prompt), 1, device=prompt.device)  # the beams of a text begin as one
    for t in range(1, int(most.max()) + 1):
        logits, state = step(history[:, -1], state)
        logits = logits.float()
        gains = apply_processors(logits, history, config, processors, bias=bias, end=end, may_end=t > min_new_tokens)
        required = table[texts, t - 1] if t <= table.shape[1] else None
        if beam is not None and end is not None:
            unmet = beam.unmet(gains.device).flatten().nonzero().flatten()
            gains = gains.index_put((unmet, torch.full_like(unmet, end)), gains.new_tensor(-torch.inf))
        totals, rows, tokens, beam = _extend(
            logits,
            gains,
            totals,
            required,
            beams,
            beam,
            fit(state, texts) if fit is not None and beam is not None else None,
            most[texts].tolist() if beam else (),
            t,
            t > min_new_tokens,
        )  # (M, K) each
        fits = beam.ended_fits(totals.device) if beam is not None else torch.zeros_like(totals)
        history = torch.cat([history.index_select(0, rows.flatten()), tokens.view(-1, 1)], dim=1)
        written = history[:, length:].view(*rows.shape, t)

        over = torch.zeros_like(rows, dtype=torch.bool)
        if end is not None:
            over |= tokens == end
        if ended is not None:
            over |= ended(history[:, length:]).view(rows.shape)
        done = most[texts] <= t
        leaving = (over | done.unsqueeze(1)) & (totals > -torch.inf)
        if beam is not None:
            leaving &= ~beam.unmet(leaving.device)
        if leaving.any():
            scores = totals / factors[t]
            if bonus is not None:
                scores = scores + bonus(state)[rows]
            kept = keep(state)[rows] if keep is not None else None
            ranks = scores + fits / factors[t]
            finished.add(texts, written, scores, ranks, leaving & over, kept)
            unfinished = leaving & ~over
            if end is not None:
                unfinished &= finished.has_none(texts).unsqueeze(1)
            finished.add(texts, written, scores, ranks, unfinished, kept)
        totals = totals.masked_fill(over, -torch.inf)
        reach = (totals + fits).amax(dim=1)
        done |= reach == -torch.inf
        if falling:
            at_most = factors[t] if config.early_stopping == "heuristic" else factors[most[texts]]
            done |= finished.lead[texts] >= reach / at_most
        gone = int(done.sum())
        if gone == len(texts):
            break
        if narrow is not None and gone >= NARROW_AT * len(texts):
            kept = (~done).nonzero().flatten()
            texts, totals, rows = texts[kept], totals[kept], rows[kept]
            history = history.view(len(done), -1, history.shape[1])[kept].flatten(0, 1)
            step = narrow(texts)
            beam = beam and beam.select(kept.tolist())
        else:
            totals = totals.masked_fill(done.unsqueeze(1), -torch.inf)
        state = _select(state, rows.flatten())
    return finished.best


def _extend(
    logits: Tensor,
    gains: Tensor,
    totals: Tensor,
    required: Tensor | None,
    beams: int,
    constrained: ConstrainedBeams | None = None,
    fit: Tensor | None = None,
    limits: Sequence[int] = (),
    length: int = 0,
    may_end: bool = True,
) -> tuple[Tensor, Tensor, Tensor, ConstrainedBeams | None]:
    """Log-probabilities, rows and tokens of the K likeliest continuations of each text, (M, K) each, best first.

    ``logits`` and ``gains`` (rows, V) are those before and after bias and processors, ``totals`` (M, rows of each text)
    the log-probabilities of the rows, and ``required`` (M,) the forced tokens or -1. With ``constrained`` hypotheses
    the beam is shared as they say, and the chosen ones are returned; ``fit`` is that of their phrases, ``limits`` (M,)
    are the most tokens of the texts, ``length`` those of the continuations, which ``may_end`` or not.
    """
    texts, width = totals.shape
    # max() takes the first of equals, as greedy sampling does; topk() takes any.
    values, tokens = gains.max(dim=1, keepdim=True) if beams == 1 else top_tokens(gains, min(beams, gains.shape[1]))
    log_p = logits.log_softmax(dim=1)
    first = tokens[:, :1]
    # If every token is banned, an impossible one may come first; its sum is not a number and does not matter.
    values = values + (log_p.gather(1, first) - logits.gather(1, first)).nan_to_num()
    if required is not None:
        token = required.repeat_interleave(width).unsqueeze(1)
        alone = torch.full_like(values, -torch.inf)
        alone[:, :1] = log_p.gather(1, token.clamp(min=0))
        values, tokens = torch.where(token >= 0, alone, values), torch.where(token >= 0, token, tokens)
    if constrained is not None:
        values, tokens = constrained.add(values, tokens, log_p, required, may_end=may_end)
    each = values.shape[1]
    totals, tokens = (totals.view(-1, 1) + values).view(texts, -1), tokens.view(texts, -1)
    if constrained is None:
        totals, places = totals.topk(min(beams, width * each), dim=1)
    else:
        totals, places, constrained = constrained.choose(totals, tokens, beams, limits, length, fit)
    starts = torch.arange(0, texts * width, width, device=totals.device).unsqueeze(1)
    return totals, starts + places // each, tokens.gather(1, places), constrained


def top_tokens(gains: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """``topk`` of each row, (rows, V) -> values and tokens, (rows, count) each.

    The largest are in the ``count`` blocks with the largest maxima, or in the rest after the last block. On a CPU
    torch's search of the whole row takes twice as long as that of the maxima and of these blocks.
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
    """The state of these rows; the same tensors if they are all rows in order."""
    count = state[0].shape[1] if state else 0
    if len(rows) == count and torch.equal(rows, torch.arange(count, device=rows.device)):
        return state
    return tuple(part.index_select(1, rows) for part in state)


class _Finished:
    """The best finished hypotheses of each of N texts: at most K, of which ``wanted`` are needed."""

    def __init__(self, texts: int, beams: int, wanted: int, device: torch.device) -> None:
        self.beams, self.wanted = beams, wanted
        self.ranked: list[list[tuple[float, Hypothesis]]] = [[] for _ in range(texts)]
        """The hypotheses of each text after their ranks, best first."""
        self.lead = torch.full((texts,), -torch.inf, device=device)
        """The rank that a further hypothesis must exceed to be among those needed."""

    @property
    def best(self) -> list[list[Hypothesis]]:
        """The hypotheses of each text, best first."""
        return [[hypothesis for _, hypothesis in ranked] for ranked in self.ranked]

    def add(
        self, texts: Tensor, written: Tensor, scores: Tensor, ranks: Tensor, which: Tensor, kept: Tensor | None
    ) -> None:
        """Add the hypotheses ``which`` (M, K) of texts (M,).

        They are given by their tokens (M, K, t), scores and ranks (M, K) each, higher is better, and kept (M, K, ...).
        """
        places = texts[which.nonzero()[:, 0]].tolist()
        parts = [None] * len(places) if kept is None else [*kept[which]]
        columns = (written[which].tolist(), scores[which].tolist(), ranks[which].tolist())
        for place, tokens, score, rank, part in zip(places, *columns, parts, strict=True):
            insort(self.ranked[place], (rank, Hypothesis(tuple(tokens), score, part)), key=lambda pair: -pair[0])
            del self.ranked[place][self.beams :]
        leads = [best[self.wanted - 1][0] if len(best) >= self.wanted else -torch.inf for best in self.ranked]
        self.lead = torch.tensor(leads, device=self.lead.device)

    def has_none(self, texts: Tensor) -> Tensor:
        """Which of these texts have no finished hypothesis, (M,)."""
        return torch.tensor([not self.ranked[text] for text in texts.tolist()], device=texts.device)
