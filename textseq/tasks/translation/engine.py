"""The engine of a translator: sentences in, translations out, in batches of similar length.

Shapes: S source tokens, T target tokens, both with ``</s>``; V vocabulary.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

import torch
from torch import Tensor
from torch.nn.functional import pad

from textseq.config.decoding import Precision
from textseq.data.pairs import read_sentence
from textseq.data.readers.glossary import Glossary
from textseq.decoding.beam import Hypothesis
from textseq.decoding.logit_bias import token_bias
from textseq.decoding.sampling import random_generator
from textseq.errors import Interrupted, TextseqError
from textseq.tasks.translation.batches import decoding_batches
from textseq.tasks.translation.config import TranslationConfig
from textseq.tasks.translation.model import Stepper, TranslationModel
from textseq.tasks.translation.processing import (
    AttentionWeights,
    Sentence,
    Translation,
    TruncationLog,
    detokenize,
    tokenize_sentence,
    unique_texts,
    with_alternatives,
    with_other_amounts,
)
from textseq.tasks.translation.search import SourceBatch, has_attention
from textseq.tasks.translation.vocabularies import Vocabularies
from textseq.tokenizers.characters import BYTES
from textseq.tokenizers.copied import unused_names
from textseq.tokenizers.source_style import WORD, SourceStyle
from textseq.tokenizers.words import UNKNOWN

BUFFER = 512
"""Sentences read ahead and sorted by length. 2000 would take 3 % less processor time (captions), but results come later
and an interruption loses more of them."""

FAR_MORE_LIKELY = 3.0
"""Nats by which well-known names in the place of rare ones must make a translation more likely; none for names that
training always copies. With less, more words that the model translates rightly ("Romania") would be copied too."""

REMAINS = 0.5
"""Share of the nats that may remain then; more have other reasons than the names."""

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Request:
    """Settings of a call, checked."""

    config: TranslationConfig
    attention: bool
    bias: Tensor | None
    """(V+1,)."""
    generator: torch.Generator
    glossary: Glossary | None = None
    doubtful_below: float = -math.inf
    """Translations with a lower score are doubtful."""

    @property
    def samples(self) -> bool:
        """Whether tokens are sampled instead of searched for."""
        return self.config.num_beams == 1 and self.config.temperature > 0

    @property
    def scored(self) -> bool:
        """Whether scores are log-probabilities per token, which can be compared with those of other sentences."""
        return not self.samples and self.config.length_penalty == 1 and not self.config.coverage_penalty

    @property
    def signature(self) -> str:
        """The settings that differ from the defaults, for signatures of metrics."""
        config, defaults = self.config.to_dict(), TranslationConfig().to_dict()
        return f"beams:{self.config.num_beams}|length-penalty:{self.config.length_penalty:g}" + "".join(
            f"|{'drawing-' * (name == 'seed')}{name.replace('_', '-')}:{value}"  # sacreBLEU's signature has a seed too
            for name, value in config.items()
            if value != defaults[name] and name not in {"num_beams", "length_penalty"}
        )

    def is_doubtful(self, score: float) -> bool:
        """Whether a translation with this score is doubtful."""
        return self.scored and score < self.doubtful_below


class TranslationEngine:
    """Translates streams of sentences with one model or an ensemble.

    Args:
        models: in evaluation mode, on one device.
        vocabularies: their tokenizers.
        source_style: how the training writes its sources: see ``SourceStyle.to_dict``.
        precision: number format of the matrix products.

    Raises:
        TextseqError: a precision that the device does not support.
    """

    def __init__(
        self,
        models: Sequence[TranslationModel],
        vocabularies: Vocabularies,
        source_style: Mapping[str, object],
        precision: Precision,
    ) -> None:
        self.models, self.vocabularies, self.source_style = models, vocabularies, source_style
        self.precision: Precision = precision
        self.device = next(models[0].parameters()).device
        if precision != "float32":
            _ = self._steppers  # raises if the device does not support it

    @property
    def attends(self) -> bool:
        """Whether any of the models has attention."""
        return any(map(has_attention, self.models))

    def request(
        self, config: TranslationConfig, attention: bool, glossary: Glossary | None, doubtful_below: float | None
    ) -> Request:
        """The request for a call.

        Args:
            config: its settings.
            attention: return the attention weights, if the models have attention.
            glossary: terms and their translations.
            doubtful_below: as in ``Request``; None if unknown.

        Raises:
            TextseqError: settings that do not fit the models or one another.
        """
        target = self.vocabularies.target
        bias = token_bias(config.logit_bias, target, self.device)
        if bias is not None:
            bias = pad(bias, (0, 1))  # for </s>
        if config.coverage_penalty and not self.attends:
            raise TextseqError("--coverage-penalty: expected a model with attention, got one without; leave it out")
        if config.shortlist and self.vocabularies.shortlist is None:
            raise TextseqError(
                "--shortlist: expected a model with a shortlist, got one without; train again or leave it out"
            )
        if config.replace_unknown:
            if "rare words" not in target.loses or not self.attends:
                kind = f"a {target.kind} model" if self.attends else "a model without attention"
                raise TextseqError(
                    "--replace-unknown: expected an attentional model that writes <unk> (--tokenizer word --rare-words "
                    f"unknown), got {kind}; leave it out"
                )
            assert bias is not None  # bans <unk>
            bias[[target.vocabulary.index(name) for name in UNKNOWN]] = 0.0
        generator = random_generator(self.device, config.seed)
        doubtful_below = -math.inf if doubtful_below is None else doubtful_below
        request = Request(config, attention, bias, generator, glossary, doubtful_below)
        if glossary is not None and request.samples:
            raise TextseqError("a glossary needs beam search, got a temperature; leave one out")
        return request

    def stream(
        self,
        pairs: Iterable[tuple[str, str]],
        request: Request,
        buffer: int = BUFFER,
        progress: Progress | None = None,
        first: int = 1,
        truncated: TruncationLog | None = None,
    ) -> Iterator[list[Translation]]:
        """Translations of pairs of a sentence and the prefix of its translation; see ``Translator.stream``."""
        numbered, truncated = enumerate(pairs, start=first), truncated or TruncationLog()
        while sentences := [
            self._sentence(number, pair, request) for number, pair in islice(numbered, min(buffer, sys.maxsize))
        ]:
            lengths = [len(sentence.ids) for sentence in sentences]
            results = [
                None if length else [Translation(sentence.before.rstrip(), 0.0)] * request.config.num_return_sequences
                for length, sentence in zip(lengths, sentences, strict=True)
            ]
            interruption: BaseException | None = None
            try:
                for batch in decoding_batches(
                    lengths, max(request.config.num_beams, request.config.num_return_sequences)
                ):
                    for n, translations in zip(batch, self._batch([sentences[n] for n in batch], request), strict=True):
                        results[n] = translations
                    if progress is not None:
                        progress(len(batch))
            except (KeyboardInterrupt, Interrupted) as error:
                interruption = error
            if progress is not None and 0 in lengths:
                progress(lengths.count(0))
            for sentence, result in zip(sentences, results, strict=True):
                if result is None:  # interrupted: results after a gap would be on the wrong lines
                    break
                if not (request.samples or result[0].finished):
                    truncated.note(sentence.number, result[0])
                yield result
            if interruption is not None:
                raise interruption

    def _sentence(self, number: int, pair: tuple[str, str], request: Request) -> Sentence:
        """A sentence and the prefix of its translation, in tokens."""
        config, glossary = request.config, request.glossary
        style = self._style if config.tidy else None
        stand_ins = self._stand_ins if config.copy_codes else ()
        sentence = tokenize_sentence(self.vocabularies, *pair, number, glossary, style, stand_ins)
        if not (config.copy_names and self._style.names) or request.samples:
            return sentence
        return with_alternatives(sentence, self.vocabularies.source, self._style, self._stand_ins, glossary)

    def _batch(self, batch: Sequence[Sentence], request: Request) -> list[list[Translation]]:
        """The translations of sentences, none of them empty."""
        results, read = self._decoded(batch, request), [*batch]
        if request.samples:
            return [translations for _, translations in results]
        lacking = [n for n, (_, (best, *_)) in enumerate(results) if not batch[n].copied(best.text)]
        again = self._decoded([batch[n] for n in lacking], request, insist=True) if lacking else []
        for n, result in zip(lacking, again, strict=True):
            results[n] = result
        rare = [n for n, (_, (best, *_)) in enumerate(results) if batch[n].lacks_names(best.text)]
        if rare:
            others = self._likeliest([batch[n] for n in rare], [results[n][0] for n in rare])
            for n, sentence, result in zip(rare, others, self._decoded(others, request), strict=True):
                before, after = (best.log_p(request.config.length_penalty) for best, _ in (results[n], result))
                needed = before if self._surely(sentence) else max(before + FAR_MORE_LIKELY, REMAINS * before)
                if after > needed and sentence.copied_once(result[1][0].text):
                    results[n], read[n] = result, sentence
        if request.config.copy_codes and self._numbers:
            self._copy_amounts(read, results, request)
        return [translations for _, translations in results]

    def _copy_amounts(
        self, read: Sequence[Sentence], results: list[tuple[Hypothesis, list[Translation]]], request: Request
    ) -> None:
        """Translate again, with numbers that training always copies, what lacks an amount; the likeliest way counts."""
        source = self.vocabularies.source
        lacking = [
            (n, other)
            for n, (sentence, (_, (best, *_))) in enumerate(zip(read, results, strict=True))
            if sentence.lacks_amounts(best.text, source.vocabulary)
            for other in with_other_amounts(sentence, source, self._numbers, request.glossary)
        ]
        again = self._decoded([other for _, other in lacking], request, insist=True) if lacking else []
        likeliest: dict[int, float] = {}
        for (n, other), result in zip(lacking, again, strict=True):
            score = result[0].score
            if other.copied_once(result[1][0].text) and score > likeliest.get(n, -math.inf):
                results[n], likeliest[n] = result, score

    def _surely(self, sentence: Sentence) -> bool:
        """Whether training always copies the names that others stand for in a sentence."""
        return self._style.copied.issuperset(part for name in sentence.codes.values() for part in WORD.findall(name))

    def _likeliest(self, batch: Sequence[Sentence], hypotheses: Sequence[Hypothesis]) -> list[Sentence]:
        """For each sentence the alternative that makes its best hypothesis most likely: a person or a town, say."""
        pairs = [
            (other, best.tokens)
            for sentence, best in zip(batch, hypotheses, strict=True)
            for other in sentence.alternatives
        ]
        sources = SourceBatch(self.models, [other.ids for other, _ in pairs])
        log_p = iter(sources.log_p([tokens for _, tokens in pairs], range(len(pairs))))
        nats = [[next(log_p) for _ in sentence.alternatives] for sentence in batch]
        return [sentence.alternatives[some.index(max(some))] for sentence, some in zip(batch, nats, strict=True)]

    def _decoded(
        self, batch: Sequence[Sentence], request: Request, *, insist: bool = False
    ) -> list[tuple[Hypothesis, list[Translation]]]:
        """The best hypothesis and the translations of sentences; ``insist`` makes the search contain the stand-ins."""
        config = request.config
        shortlist = self.vocabularies.shortlist if config.shortlist else None
        sources = SourceBatch(self.models, [sentence.ids for sentence in batch], shortlist)
        prefixes = [sentence.forced_prefix for sentence in batch]
        attention = self.attends and (request.attention or config.replace_unknown)
        if request.samples:
            lists = sources.sample(self._steppers, config, prefixes, request.bias, request.generator)
        else:
            target = self.vocabularies.target
            phrases = [sentence.all_phrases(target) if insist else sentence.phrases for sentence in batch]
            inner = self._inner if any(phrases) else ()
            places = [self._places(*pair, request.glossary) for pair in zip(batch, phrases, strict=True)]
            lists = sources.search(
                self._steppers, config, prefixes, request.bias, phrases, inner, places, attention=attention
            )
            lists = [unique_texts(self.vocabularies, best)[: config.num_return_sequences] for best in lists]
        owners = [n for n, hypotheses in enumerate(lists) for _ in hypotheses]
        flat = [hypothesis for hypotheses in lists for hypothesis in hypotheses]
        attentions: list[AttentionWeights | None] = [None] * len(flat)
        if attention:
            attentions = [*sources.weights_of(flat, owners)]
        translations: list[list[Translation]] = [[] for _ in batch]
        for n, hypothesis, weights in zip(owners, flat, attentions, strict=True):
            translation = detokenize(
                self.vocabularies, batch[n], hypothesis, weights, replace_unknown=config.replace_unknown
            )
            shown = weights if request.attention else None
            doubtful = request.is_doubtful(translation.score)
            translations[n].append(replace(translation, attention=shown, has_attention=self.attends, doubtful=doubtful))
        return [(hypotheses[0], results) for hypotheses, results in zip(lists, translations, strict=True)]

    def _places(
        self, sentence: Sentence, phrases: Sequence[Sequence[int]], glossary: Glossary | None
    ) -> list[list[int]]:
        """The source tokens of the term that each different phrase translates; none for those of no term."""
        places: dict[tuple[int, ...], list[int]] = {tuple(phrase): [] for phrase in phrases}
        terms = glossary.places(read_sentence(sentence.text)) if glossary and sentence.phrases else []
        if len(terms) == len(sentence.phrases):
            spans = self.vocabularies.source.spans(read_sentence(sentence.read))[: len(sentence.ids)]
            for phrase, ((first, last), _) in zip(sentence.phrases, terms, strict=True):
                places[phrase] += [n for n, (start, end) in enumerate(spans) if start < last and first < end]
        return [*places.values()]

    def known(
        self, use: str, sources: Sequence[str], targets: Sequence[str], *, tidy: bool = False
    ) -> Iterator[tuple[list[Sentence], SourceBatch, list[tuple[int, ...]]]]:
        """Batches of known translations: their sentences, those encoded, and the tokens of the targets.

        ``tidy`` sentences are read as ``translate`` reads them, in all ways that it may choose from: as the sentences
        of the training are written, and with well-known names in the place of codes and rare ones.
        """
        if isinstance(sources, str) or isinstance(targets, str):
            raise TextseqError(f"{use}: expected two lists of sentences, got one string; put each text into a list")
        if len(sources) != len(targets):
            raise TextseqError(f"{use}: expected a target for each source, got {len(targets)} for {len(sources)}")
        style = self._style if tidy else None
        pairs = [
            tokenize_sentence(self.vocabularies, *pair, number, style=style, known=True)
            for number, pair in enumerate(zip(sources, targets, strict=True), 1)
        ]
        if empty := [pair.number for pair in pairs if len(pair.ids) == 0]:
            raise TextseqError(f"{use}: expected sentences to translate, got an empty one (number {empty[0]})")
        if tidy:
            for number, pair in enumerate(zip(sources, targets, strict=True), 1):
                pairs += self._with_names(*pair, number)
        for rows in decoding_batches([max(len(pair.ids), len(pair.forced_prefix)) for pair in pairs]):
            batch = [pairs[n] for n in rows]
            tokens = [(*pair.forced_prefix, self.vocabularies.target.size) for pair in batch]
            yield batch, SourceBatch(self.models, [pair.ids for pair in batch]), tokens

    def _with_names(self, source: str, target: str, number: int) -> Iterator[Sentence]:
        """A sentence and its translation with others in the place of codes, rare names and amounts that both have."""
        source_tokens, target_tokens = self.vocabularies.source, self.vocabularies.target
        names = unused_names(self._stand_ins, target)
        sentence = tokenize_sentence(self.vocabularies, source, "", number, style=self._style, stand_ins=names)
        several = [sentence, *with_alternatives(sentence, source_tokens, self._style, names).alternatives]
        numbers = unused_names(self._numbers, target)
        several += [other for one in several for other in with_other_amounts(one, source_tokens, numbers)]
        for one in several:
            if one.codes and (pair := one.with_translation(target, target_tokens)) is not None:
                yield pair

    @cached_property
    def _inner(self) -> frozenset[int]:
        """The target's tokens that continue a word: letters, digits, bytes, and marks within words."""
        target = self.vocabularies.target
        values = {name: chr(byte) if byte < 0x80 else "x" for byte, name in enumerate(BYTES)}  # 0x80 and up: of letters
        texts = (values.get(name, name) for name in target.vocabulary)
        return frozenset(n for n, text in enumerate(texts) if re.match(r"[\w'-]", text)).union(target.fallback)

    @cached_property
    def _style(self) -> SourceStyle:
        return SourceStyle.from_dict(self.source_style)

    @cached_property
    def _stand_ins(self) -> tuple[str, ...]:
        """The names that stand for codes."""
        return self._single_tokens(self._style.stand_ins)

    @cached_property
    def _numbers(self) -> tuple[str, ...]:
        """The numbers that stand for others."""
        return self._single_tokens(self._style.numbers)

    def _single_tokens(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those that are one token of both vocabularies, so that tokens keep their meaning."""
        sides = (self.vocabularies.source.vocabulary, self.vocabularies.target.vocabulary)
        return tuple(name for name in names if all(f" {name}" in side for side in sides))

    @cached_property
    def _steppers(self) -> list[Stepper]:
        """Built on first use: they hold tables with a row per token."""
        return [model.stepper(self.precision) for model in self.models]
