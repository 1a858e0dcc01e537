"""Decoding of a batch of sentences, and scoring of known translations, by one model or an ensemble.

Works on token ids only. The models of an ensemble share one vocabulary; each token is chosen by the mean of their
probabilities. Shapes: N sentences, S source tokens, T target tokens, V vocabulary, U candidate tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from textseq.data.batching import pad
from textseq.decoding.beam import Hypothesis, beam_search, length_factor
from textseq.decoding.ensemble import ensemble
from textseq.decoding.sampling import sample
from textseq.nn.cells import State, Step
from textseq.tasks.translation.config import TranslationConfig
from textseq.tasks.translation.model import Reading, Stepper, TranslationModel
from textseq.tasks.translation.result import AttentionWeights
from textseq.tasks.translation.shortlist import Shortlist

Ids = Sequence[int]

Decoded = tuple[TranslationModel, Tensor, Reading]
"""A model, the embeddings of its decoder's inputs (T, N, E), and the decoder's outputs."""

EXTRA_TOKENS = 10
"""Tokens that a translation may have beyond ``max_length_ratio``."""

MAX_KEPT = 2**20
"""Attention weights that a search keeps at most; to copy more in each step costs more than a second reading."""

FIT_WEIGHT = 10.0
"""Factor of the logarithm of the attention to the source of a phrase, which is added where the phrase begins. With 3 or
30, more terms of everyday sentences come in the wrong place (tatoeba-en-fr)."""

MIN_COVERAGE = 1e-6
"""Lower bound of a source token's coverage, so that its logarithm is finite."""


@dataclass(frozen=True)
class Candidates:
    """The tokens that a batch of sentences chooses among; decoding steps use their positions in this list.

    The candidates of other sentences in the batch are masked, so a translation does not depend on its batch.
    """

    steppers: Sequence[Stepper]
    tokens: np.ndarray | None
    """(U,) ids, ascending; None: the whole vocabulary, where positions are ids."""
    mask: Tensor | None
    """(N, U), 0 at a sentence's own candidates, minus infinity elsewhere."""
    bias: Tensor | None
    """(U,)."""
    forced: list[list[int]]
    """The positions of each sentence's forced prefix."""
    phrases: list[list[list[int]]]
    """The positions of the phrases that each translation must contain."""
    end: int
    """The position of the end-of-sentence token."""

    def ids(self, positions: Sequence[int]) -> list[int]:
        """The ids at these positions."""
        return [*positions] if self.tokens is None else self.tokens[list(positions)].tolist()

    def positions(self, ids: Container[int]) -> Container[int]:
        """The positions of those that are candidates."""
        return ids if self.tokens is None else {n for n, token in enumerate(self.tokens.tolist()) if token in ids}

    def masked(self, step: Step, sentences: Tensor | None) -> Step:
        """A model's step for some of the sentences, with the mask added to its logits."""
        if self.mask is None:
            return step
        mask = self.mask if sentences is None else self.mask[sentences]

        def masked_step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            logits, state = step(tokens, state)
            return (logits.view(len(mask), -1, mask.shape[1]) + mask.unsqueeze(1)).flatten(0, 1), state

        return masked_step


def has_attention(model: TranslationModel) -> bool:
    """Whether a model has attention."""
    return model.config.attention != "none"


class SourceBatch:
    """A batch of sentences, encoded by the models.

    Args:
        models: one or several.
        sentences: the ids of each, without the end-of-sentence token.
        shortlist: limits the candidates of their translations; None for all tokens.
    """

    def __init__(
        self, models: Sequence[TranslationModel], sentences: Sequence[np.ndarray], shortlist: Shortlist | None = None
    ) -> None:
        self.sentences, self.shortlist = sentences, shortlist
        self.models, self.end = models, models[0].end
        self.device = models[0].output.weight.device
        self.lengths = [len(ids) + 1 for ids in sentences]
        source_end = models[0].source_end
        source = pad([np.append(ids, source_end) for ids in sentences], source_end).to(self.device)
        with torch.inference_mode():
            self.encoded = [model.encode(source, torch.tensor(self.lengths)) for model in models]

    @torch.inference_mode()
    def search(
        self,
        steppers: Sequence[Stepper],
        config: TranslationConfig,
        forced: Sequence[Ids],
        bias: Tensor | None,
        phrases: Sequence[Sequence[Ids]] | None = None,
        inner: Container[int] = (),
        translated: Sequence[Sequence[Ids]] | None = None,
        *,
        attention: bool = False,
    ) -> list[list[Hypothesis]]:
        """Beam search.

        Args:
            steppers: of the models.
            config: of the search.
            forced: the prefix that each translation must begin with.
            bias: added to the logits of every step, (V+1,).
            phrases: token sequences that each translation must contain.
            inner: tokens that continue a word; a phrase that one of them follows does not count.
            translated: the source tokens that each phrase translates, none if unknown. A phrase then begins where the
                models attend to them; see ``FIT_WEIGHT``.
            attention: keep the attention weights of each hypothesis, unless they are very many; see ``weights_of``. At
                least one model must have attention.

        Returns:
            For each sentence up to ``num_beams`` hypotheses, best first; the first ``num_return_sequences`` are final.
        """
        limits = self._limits(config, forced)
        attention &= len(limits) * config.num_beams * max(self.lengths) * max(limits) <= MAX_KEPT
        guided = translated is not None and self._guides(translated)
        candidates = self._candidates(steppers, forced, bias, phrases)
        ends = np.cumsum([len(start) + 1 for _, start in self.encoded])  # of each model's state; its coverage is last
        places = [end - 1 for end, model in zip(ends, self.models, strict=True) if has_attention(model)]

        def coverage(state: State) -> Tensor:
            return torch.stack([state[place][0] for place in places]).mean(dim=0)  # (rows, S)

        def step_of(sentences: Tensor | None = None) -> Step:
            step = self._step(candidates, sentences)
            return _with_weights(step, coverage, all_steps=attention) if attention or guided else step

        sources = self._mask(translated) if guided and translated is not None else None

        def fit(state: State, sentences: Tensor) -> Tensor:
            assert sources is not None
            weights = state[-1][-1].float()  # (rows, S)
            weights = weights.view(len(sentences), -1, weights.shape[1])
            attended = weights @ sources[sentences, :, : weights.shape[2]].transpose(1, 2)
            return FIT_WEIGHT * attended.clamp(MIN_COVERAGE, 1).log()

        start = self._start()
        hypotheses = beam_search(
            step_of(),
            torch.full((len(self.lengths), 1), candidates.end, device=self.device),
            (*start, coverage(start).new_zeros(0, *coverage(start).shape)) if attention or guided else start,
            replace(config, max_new_tokens=max(limits)),  # a prefix may need more
            bias=candidates.bias,
            end=candidates.end,
            min_new_tokens=config.min_new_tokens,
            limits=torch.tensor(limits, device=self.device),
            forced=candidates.forced,
            bonus=(lambda state: config.coverage_penalty * _coverage(coverage(state)))
            if config.coverage_penalty
            else None,
            keep=(lambda state: state[-1].transpose(0, 1)) if attention else None,
            wanted=config.num_return_sequences,
            constraints=candidates.phrases,
            inner=candidates.positions(inner),
            fit=fit if guided else None,
            narrow=step_of,
        )
        return [[replace(h, tokens=tuple(candidates.ids(h.tokens))) for h in beams] for beams in hypotheses]

    def _guides(self, translated: Sequence[Sequence[Ids]]) -> bool:
        """Whether the attention can tell where a phrase fits."""
        return any(map(has_attention, self.models)) and any(map(any, translated))

    def _mask(self, translated: Sequence[Sequence[Ids]]) -> Tensor:
        """Which source tokens each phrase translates, (N, phrases, S), 1 or 0; all if unknown."""
        mask = torch.ones(len(translated), max(map(len, translated)), max(self.lengths), device=self.device)
        for n, several in enumerate(translated):
            for m, tokens in enumerate(several):
                if tokens:
                    mask[n, m] = 0.0
                    mask[n, m, list(tokens)] = 1.0
        return mask

    @torch.inference_mode()
    def sample(
        self,
        steppers: Sequence[Stepper],
        config: TranslationConfig,
        forced: Sequence[Ids],
        bias: Tensor | None,
        generator: torch.Generator,
    ) -> list[list[Hypothesis]]:
        """Sample ``num_return_sequences`` translations of each sentence.

        The arguments are those of ``search``. The score is that of a search without bias or logits processors.
        """
        count = config.num_return_sequences
        owners = [sentence for sentence in range(len(self.lengths)) for _ in range(count)]
        limits = [limit for limit in self._limits(config, forced) for _ in range(count)]
        candidates = self._candidates(steppers, forced, bias)
        steps = sample(
            self._step(candidates),
            torch.full((len(owners), 1), candidates.end, device=self.device),
            tuple(part[:, owners] for part in self._start()),
            replace(config, max_new_tokens=max(limits)),
            generator=generator,
            bias=candidates.bias,
            end=candidates.end,
            min_new_tokens=config.min_new_tokens,
            limits=torch.tensor(limits, device=self.device),
            forced=[candidates.forced[sentence] for sentence in owners],
        )
        rows = [candidates.ids(positions) for positions in torch.stack([*steps], dim=1).tolist()]
        lengths = [[*ids, self.end].index(self.end) + 1 for ids in rows]
        targets = [ids[: min(limit, length)] for ids, limit, length in zip(rows, limits, lengths, strict=True)]
        scores = self.scores(targets, owners, config)
        hypotheses = [Hypothesis(tuple(ids), score) for ids, score in zip(targets, scores, strict=True)]
        return [hypotheses[first : first + count] for first in range(0, len(hypotheses), count)]

    @torch.inference_mode()
    def log_p(self, targets: Sequence[Ids], owners: Sequence[int]) -> list[float]:
        """The log-probabilities of known translations, in nats.

        Args:
            targets: the tokens of each translation, with the end-of-sentence token if it is complete.
            owners: the index of the sentence that each one translates.
        """
        sums: list[float] = []
        for rows, decoded in self._decode(targets, owners):
            tokens = pad([np.array(ids) for ids in targets[rows]], self.end).t().to(self.device)  # (T, N)
            real = np.arange(len(tokens))[:, None] < [len(ids) for ids in targets[rows]]
            log_ps = torch.stack([_target_log_p(tokens, *parts) for parts in decoded])
            log_p = log_ps.logsumexp(dim=0) - math.log(len(decoded))
            sums += np.where(real, log_p.double().cpu().numpy(), 0.0).sum(axis=0).tolist()
        return sums

    @torch.inference_mode()
    def attention(self, targets: Sequence[Ids], owners: Sequence[int]) -> list[AttentionWeights]:
        """The attention weights (T, S) of known translations; for an ensemble the mean of its models with attention.

        The arguments are those of ``log_p``; at least one model must have attention.
        """
        weights: list[AttentionWeights] = []
        for rows, decoded in self._decode(targets, owners):
            stack = torch.stack([reading.attention for model, _, reading in decoded if has_attention(model)])
            arrays = stack.mean(dim=0).float().cpu().numpy().transpose(1, 0, 2)  # (N, T, S)
            for ids, owner, array in zip(targets[rows], owners[rows], arrays, strict=True):
                weights.append(array[: len(ids), : self.lengths[owner]].copy())  # a view would keep the whole batch
        return weights

    def weights_of(self, hypotheses: Sequence[Hypothesis], owners: Sequence[int]) -> list[AttentionWeights]:
        """The attention weights (T, S) of hypotheses: those kept by the search, otherwise read by ``attention``."""
        kept = [
            hypothesis.kept[:, : self.lengths[owner]].float().cpu().numpy().copy()
            for hypothesis, owner in zip(hypotheses, owners, strict=True)
            if hypothesis.kept is not None
        ]
        if len(kept) == len(hypotheses):
            return kept
        return self.attention([hypothesis.tokens for hypothesis in hypotheses], owners)

    def scores(self, targets: Sequence[Ids], owners: Sequence[int], config: TranslationConfig) -> list[float]:
        """The scores that a search would give to known translations; the arguments are those of ``log_p``."""
        factors = [length_factor(len(ids), config.length_penalty) for ids in targets]
        scores = [log_p / factor for log_p, factor in zip(self.log_p(targets, owners), factors, strict=True)]
        if config.coverage_penalty:
            covered = [
                float(_coverage(torch.from_numpy(weights.sum(axis=0)))) for weights in self.attention(targets, owners)
            ]
            scores = [score + config.coverage_penalty * more for score, more in zip(scores, covered, strict=True)]
        return scores

    def _limits(self, config: TranslationConfig, forced: Sequence[Ids]) -> list[int]:
        """Maximum tokens of each translation, the end included; there is always room for the end after a prefix."""
        lengths = ((length - 1) * config.max_length_ratio + EXTRA_TOKENS for length in self.lengths)
        limits = (min(config.max_new_tokens, length) for length in lengths)
        return [max(int(limit), len(ids) + 1) for limit, ids in zip(limits, forced, strict=True)]

    def _candidates(
        self,
        steppers: Sequence[Stepper],
        forced: Sequence[Ids],
        bias: Tensor | None,
        phrases: Sequence[Sequence[Ids]] | None = None,
    ) -> Candidates:
        """All tokens, or those of the sentences' shortlists."""
        phrases = [()] * len(self.sentences) if phrases is None else phrases
        if self.shortlist is None:
            whole = [[[*ids] for ids in several] for several in phrases]
            return Candidates(steppers, None, None, bias, [[*ids] for ids in forced], whole, self.end)
        needed = [[*prefix, *chain(*several)] for prefix, several in zip(forced, phrases, strict=True)]
        lists = [self.shortlist.of(ids, more) for ids, more in zip(self.sentences, needed, strict=True)]
        tokens = np.unique(np.concatenate(lists))
        listed = np.stack([np.isin(tokens, ids, assume_unique=True) for ids in lists])
        mask = torch.zeros(listed.shape).masked_fill(torch.from_numpy(~listed), -torch.inf)
        ids = torch.from_numpy(tokens).to(self.device)
        return Candidates(
            [stepper.among(ids) for stepper in steppers],
            tokens,
            mask.to(self.device),
            None if bias is None else bias[ids],
            [np.searchsorted(tokens, prefix).tolist() for prefix in forced],
            [[np.searchsorted(tokens, ids).tolist() for ids in several] for several in phrases],
            int(np.searchsorted(tokens, self.end)),
        )

    def _step(self, candidates: Candidates, sentences: Tensor | None = None) -> Step:
        """One decoding step of all the models for the sentences, or for some of them."""
        memories = [memory if sentences is None else memory.select(sentences) for memory, _ in self.encoded]
        steps = [
            candidates.masked(stepper.over(memory), sentences)
            for stepper, memory in zip(candidates.steppers, memories, strict=True)
        ]
        return ensemble(steps, [len(start) + 1 for _, start in self.encoded])

    def _start(self) -> State:
        """The initial state of all models: each one's own and its coverage, where padding counts as covered."""
        state: State = ()
        for memory, start in self.encoded:
            state += (*start, (memory.padding != 0).to(memory.values.dtype).unsqueeze(0))
        return state

    def _decode(self, targets: Sequence[Ids], owners: Sequence[int]) -> Iterator[tuple[slice, list[Decoded]]]:
        """Run the decoders over known translations, in batches of as many as there are sentences."""
        for first in range(0, len(targets), len(self.lengths)):
            rows = slice(first, first + len(self.lengths))
            inputs = pad([np.array([self.end, *ids[:-1]]) for ids in targets[rows]], self.end).to(self.device)
            sentences = torch.tensor(owners[rows], device=self.device)
            decoded: list[Decoded] = []
            for model, (memory, start) in zip(self.models, self.encoded, strict=True):
                state = tuple(part[:, sentences] for part in start)
                decoded.append((model, *model.decode(inputs, memory.select(sentences), state)))
            yield rows, decoded


def _with_weights(step: Step, coverage: Callable[[State], Tensor], *, all_steps: bool) -> Step:
    """The step with its attention weights as the last part of the state, (1, rows, S).

    With ``all_steps`` those of the steps before it come first, (t, rows, S).
    """

    def step_with_weights(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        *before, weights = state
        logits, after = step(tokens, tuple(before))
        covered = coverage(after)
        length = covered.shape[1]  # shorter where long sentences have been finished
        added = covered - coverage(tuple(before))[:, :length]
        earlier = weights[:, :, :length] if all_steps else weights[:0, :, :length]
        return logits, (*after, torch.cat([earlier, added.unsqueeze(0)]))

    return step_with_weights


def _coverage(weights: Tensor) -> Tensor:
    """The coverage term of Wu et al. (2016, equation 14): summed weights (..., S) -> (...), 0 for full coverage."""
    return weights.clamp(MIN_COVERAGE, 1).log().sum(dim=-1)


def _target_log_p(targets: Tensor, model: TranslationModel, embedded: Tensor, reading: Reading) -> Tensor:
    """The log-probability of every target token, (T, N); step by step, because the vocabulary is large."""
    steps = zip(reading.outputs, reading.contexts, embedded, targets, strict=True)
    return torch.stack(
        [
            model.logits(h, context, word).float().log_softmax(dim=1).gather(1, target.unsqueeze(1)).squeeze(1)
            for h, context, word, target in steps
        ]
    )
