"""Sentences that one or several models have read: which translations they find, and what they say of known ones.

Token ids go in and come out; of text nothing is known here. Several models are of one vocabulary and choose every token
together: what they give it is the mean of their probabilities. Shapes: N sentences, S source tokens, T target tokens,
V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from textseq.data.batching import pad
from textseq.decoding.beam import Hypothesis, beam_search
from textseq.decoding.ensemble import ensemble
from textseq.decoding.sampling import sample
from textseq.nn.cells import State, Step
from textseq.tasks.translation.config import TranslationConfig
from textseq.tasks.translation.model import Reading, Stepper, TranslationModel
from textseq.tasks.translation.processing import Look
from textseq.tasks.translation.shortlist import Shortlist

Ids = Sequence[int]

Decoded = tuple[TranslationModel, Tensor, Reading]
"""A model, the vectors of the tokens that its decoder read (T, N, E), and what it made of them."""


BATCH = 64
"""Sentences that are read side by side at most, fewer where each has many beams."""

BEAMS = 8
"""Beams for each sentence of a whole batch."""

BATCH_TOKENS = 8192
"""Tokens of a batch at most, padding counted; with it the memory is bounded whatever comes."""

SPARE = 10
"""Tokens that a translation may have beyond ``max_length_ratio``."""

UNSEEN = 1e-6
"""What a source token counts as that was not looked at, so that its logarithm is finite."""


@dataclass(frozen=True)
class Choice:
    """The tokens that a batch of sentences chooses among. In its steps tokens go by their places in there.

    Every sentence has its own, whatever the others need: the rest it cannot choose, and its probabilities sum to one
    without them. So its translation does not depend on those beside it.
    """

    steppers: Sequence[Stepper]
    tokens: np.ndarray | None
    """(U,) ids, ascending; None is the whole vocabulary, where places are ids."""
    closed: Tensor | None
    """(N, U), minus infinity at what is not for this sentence, 0 elsewhere."""
    bias: Tensor | None
    """(U,)."""
    forced: list[list[int]]
    """The places that each translation must begin with."""
    end: int
    """The place of the token that ends a translation."""

    def ids(self, places: Sequence[int]) -> list[int]:
        """The ids of tokens."""
        return [*places] if self.tokens is None else self.tokens[list(places)].tolist()

    def closing(self, step: Step, sentences: Tensor | None) -> Step:
        """A model's step over some of the sentences, with what is not for them closed."""
        if self.closed is None:
            return step
        closed = self.closed if sentences is None else self.closed[sentences]

        def closing(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            logits, state = step(tokens, state)
            return (logits.view(len(closed), -1, closed.shape[1]) + closed.unsqueeze(1)).flatten(0, 1), state

        return closing


def attends(model: TranslationModel) -> bool:
    """Whether a model has attention; without it nothing can be said of where it looked."""
    return model.config.attention != "none"


class Sources:
    """Some sentences, as the models have read them.

    Args:
        models: one or several.
        sentences: the ids of each, without the token that ends it.
        shortlist: what their translations may need, if they are not to choose among all tokens.
    """

    def __init__(
        self,
        models: Sequence[TranslationModel],
        sentences: Sequence[np.ndarray],
        shortlist: Shortlist | None = None,
    ) -> None:
        self.sentences, self.shortlist = sentences, shortlist
        self.models, self.end = models, models[0].end
        self.device = models[0].output.weight.device
        self.lengths = [len(ids) + 1 for ids in sentences]
        source_end = models[0].source_end
        source = pad([np.append(ids, source_end) for ids in sentences], source_end).to(self.device)
        with torch.inference_mode():
            self.read = [model.encode(source, torch.tensor(self.lengths)) for model in models]

    @torch.inference_mode()
    def search(
        self,
        steppers: Sequence[Stepper],
        config: TranslationConfig,
        forced: Sequence[Ids],
        bias: Tensor | None,
    ) -> list[list[Hypothesis]]:
        """The likeliest translations of each sentence that beam search finds, best first.

        Args:
            steppers: of the models.
            config: how to search.
            forced: the tokens that each translation must begin with.
            bias: added to the logits of every step, (V+1,).

        Returns:
            Up to ``num_beams`` of each; the search was over when it was content with the first
            ``num_return_sequences``.
        """
        limits = self._limits(config, forced)
        choice = self._choice(steppers, forced, bias)
        places = np.cumsum([len(start) + 1 for _, start in self.read]) - 1  # in the state, of what was looked at
        looked_at = [place for place, model in zip(places, self.models, strict=True) if attends(model)]

        def coverage(state: State) -> Tensor:
            looks = torch.stack([state[place][0] for place in looked_at])  # (attending models, rows, S)
            return config.coverage_penalty * _coverage(looks.mean(dim=0))

        found = beam_search(
            self._step(choice),
            torch.full((len(self.lengths), 1), choice.end, device=self.device),
            self._start(),
            replace(config, max_new_tokens=max(limits)),  # a prefix may want more
            bias=choice.bias,
            end=choice.end,
            min_new_tokens=config.min_new_tokens,
            limits=torch.tensor(limits, device=self.device),
            forced=choice.forced,
            bonus=coverage if config.coverage_penalty else None,
            wanted=config.num_return_sequences,
            narrow=lambda sentences: self._step(choice, sentences),
        )
        return [[replace(one, tokens=tuple(choice.ids(one.tokens))) for one in each] for each in found]

    @torch.inference_mode()
    def draw(
        self,
        steppers: Sequence[Stepper],
        config: TranslationConfig,
        forced: Sequence[Ids],
        bias: Tensor | None,
        generator: torch.Generator,
    ) -> list[list[Hypothesis]]:
        """``num_return_sequences`` translations of each sentence, as chance and the generator have them.

        The arguments are those of ``search``. The score is that of a search without bias or rules.
        """
        count = config.num_return_sequences
        owners = [sentence for sentence in range(len(self.lengths)) for _ in range(count)]
        limits = [limit for limit in self._limits(config, forced) for _ in range(count)]
        choice = self._choice(steppers, forced, bias)
        steps = sample(
            self._step(choice),
            torch.full((len(owners), 1), choice.end, device=self.device),
            tuple(part[:, owners] for part in self._start()),
            replace(config, max_new_tokens=max(limits)),
            generator=generator,
            bias=choice.bias,
            end=choice.end,
            min_new_tokens=config.min_new_tokens,
            limits=torch.tensor(limits, device=self.device),
            forced=[choice.forced[sentence] for sentence in owners],
        )
        rows = [choice.ids(places) for places in torch.stack([*steps], dim=1).tolist()]
        ends = [[*ids, self.end].index(self.end) + 1 for ids in rows]
        written = [ids[: min(limit, end)] for ids, limit, end in zip(rows, limits, ends, strict=True)]
        scores = self._scores(written, owners, config)
        found = [Hypothesis(tuple(ids), score) for ids, score in zip(written, scores, strict=True)]
        return [found[first : first + count] for first in range(0, len(found), count)]

    @torch.inference_mode()
    def log_p(self, written: Sequence[Ids], owners: Sequence[int]) -> list[float]:
        """The log-probability of known translations, in nats.

        Args:
            written: the tokens of each, with the one that ends it if it is to be over there.
            owners: which of the sentences each one translates.
        """
        found: list[float] = []
        for rows, decoded in self._decode(written, owners):
            targets = pad([np.array(ids) for ids in written[rows]], self.end).t().to(self.device)  # (T, N)
            real = np.arange(len(targets))[:, None] < [len(ids) for ids in written[rows]]
            each = torch.stack([_log_p_of(targets, *one) for one in decoded])
            log_p = each.logsumexp(dim=0) - math.log(len(decoded))
            found += np.where(real, log_p.double().cpu().numpy(), 0.0).sum(axis=0).tolist()
        return found

    @torch.inference_mode()
    def attention(self, written: Sequence[Ids], owners: Sequence[int]) -> list[Look]:
        """How much was looked at each source token before each token of known translations, (T, S) each.

        Of several models it is the mean of those that have attention; one at least must. The arguments are those of
        ``log_p``.
        """
        found: list[Look] = []
        for rows, decoded in self._decode(written, owners):
            looks = torch.stack([reading.attention for model, _, reading in decoded if attends(model)]).mean(dim=0)
            arrays = looks.float().cpu().numpy().transpose(1, 0, 2)  # (N, T, S)
            for ids, owner, look in zip(written[rows], owners[rows], arrays, strict=True):
                found.append(look[: len(ids), : self.lengths[owner]].copy())  # or the whole batch would live on
        return found

    def _scores(self, written: Sequence[Ids], owners: Sequence[int], config: TranslationConfig) -> list[float]:
        """What a search would rank known translations by."""
        factors = [((5 + len(ids)) / 6) ** config.length_penalty for ids in written]
        scores = [log_p / factor for log_p, factor in zip(self.log_p(written, owners), factors, strict=True)]
        if config.coverage_penalty:
            looks = self.attention(written, owners)
            covered = [float(_coverage(torch.from_numpy(look.sum(axis=0)))) for look in looks]
            scores = [score + config.coverage_penalty * more for score, more in zip(scores, covered, strict=True)]
        return scores

    def _limits(self, config: TranslationConfig, forced: Sequence[Ids]) -> list[int]:
        """Most tokens of each translation, the end included; after a prefix there is room for that in any case."""
        most = (min(config.max_new_tokens, (length - 1) * config.max_length_ratio + SPARE) for length in self.lengths)
        return [max(int(limit), len(ids) + 1) for limit, ids in zip(most, forced, strict=True)]

    def _choice(self, steppers: Sequence[Stepper], forced: Sequence[Ids], bias: Tensor | None) -> Choice:
        """What is chosen among: all tokens, or by the short list those that any of the sentences may need."""
        if self.shortlist is None:
            return Choice(steppers, None, None, bias, [[*ids] for ids in forced], self.end)
        lists = [self.shortlist.of(ids, more) for ids, more in zip(self.sentences, forced, strict=True)]
        tokens = np.unique(np.concatenate(lists))
        open_to = np.stack([np.isin(tokens, each, assume_unique=True) for each in lists])
        closed = torch.zeros(open_to.shape).masked_fill(torch.from_numpy(~open_to), -torch.inf)
        chosen = torch.from_numpy(tokens).to(self.device)
        return Choice(
            [stepper.among(chosen) for stepper in steppers],
            tokens,
            closed.to(self.device),
            None if bias is None else bias[chosen],
            [np.searchsorted(tokens, ids).tolist() for ids in forced],
            int(np.searchsorted(tokens, self.end)),
        )

    def _step(self, choice: Choice, sentences: Tensor | None = None) -> Step:
        """One step of all the models over the sentences, or over some of them."""
        memories = [memory if sentences is None else memory.select(sentences) for memory, _ in self.read]
        steps = [
            choice.closing(stepper.over(memory), sentences)
            for stepper, memory in zip(choice.steppers, memories, strict=True)
        ]
        return ensemble(steps, [len(start) + 1 for _, start in self.read])

    def _start(self) -> State:
        """The state before the first token: each model's own, and what it has looked at, as which padding counts."""
        state: State = ()
        for memory, start in self.read:
            state += (*start, (memory.padding != 0).to(memory.values.dtype).unsqueeze(0))
        return state

    def _decode(self, written: Sequence[Ids], owners: Sequence[int]) -> Iterator[tuple[slice, list[Decoded]]]:
        """The decoders over known translations, as many at a time as there are sentences: memory is bounded."""
        for first in range(0, len(written), len(self.lengths)):
            rows = slice(first, first + len(self.lengths))
            inputs = pad([np.array([self.end, *ids[:-1]]) for ids in written[rows]], self.end).to(self.device)
            sentences = torch.tensor(owners[rows], device=self.device)
            decoded: list[Decoded] = []
            for model, (memory, start) in zip(self.models, self.read, strict=True):
                state = tuple(part[:, sentences] for part in start)
                decoded.append((model, *model.decode(inputs, memory.select(sentences), state)))
            yield rows, decoded


def batches(lengths: Sequence[int], beams: int = 1) -> Iterator[list[int]]:
    """The numbers of sentences of like length, the longest first, within the limits of a batch; without empty ones.

    Args:
        lengths: of the sentences, in tokens.
        beams: translations of each that are kept side by side.
    """
    batch: list[int] = []
    most, tokens = (max(1, limit * BEAMS // max(beams, BEAMS)) for limit in (BATCH, BATCH_TOKENS))
    for n in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        if lengths[n] == 0:
            break
        if batch and (len(batch) == most or (len(batch) + 1) * (lengths[batch[0]] + 1) > tokens):
            yield batch
            batch = []
        batch.append(n)
    if batch:
        yield batch


def _coverage(looked_at: Tensor) -> Tensor:
    """How much of a source was looked at (Wu et al. 2016, equation 14): (..., S) -> (...), 0 where all of it was."""
    return looked_at.clamp(UNSEEN, 1).log().sum(dim=-1)


def _log_p_of(targets: Tensor, model: TranslationModel, words: Tensor, reading: Reading) -> Tensor:
    """What a model says of every token, (T, N); step by step, for a vocabulary is large."""
    steps = zip(reading.outputs, reading.contexts, words, targets, strict=True)
    return torch.stack(
        [
            model.logits(h, context, word).float().log_softmax(dim=1).gather(1, right.unsqueeze(1)).squeeze(1)
            for h, context, word, right in steps
        ]
    )
