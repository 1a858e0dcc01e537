"""The engine of a translator: sentences in, translations out, in batches of similar length.

Shapes: S source tokens, T target tokens, both with ``</s>``; V vocabulary.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import accumulate, chain, islice

from torch.nn.functional import pad

from textseq.config.decoding import Precision
from textseq.data.pairs import read_sentence
from textseq.data.readers.glossary import Glossary
from textseq.decoding.logit_bias import token_bias
from textseq.decoding.sampling import random_generator
from textseq.errors import Interrupted, TextseqError
from textseq.tasks.translation.batches import decoding_batches
from textseq.tasks.translation.config import TranslationConfig
from textseq.tasks.translation.inference.copying import Copying, Found
from textseq.tasks.translation.inference.detokenize import TruncationLog, detokenize, unique_texts
from textseq.tasks.translation.inference.request import Request
from textseq.tasks.translation.inference.search import SourceBatch, has_attention
from textseq.tasks.translation.inference.sentence import (
    Sentence,
    tokenize_sentence,
)
from textseq.tasks.translation.model import Stepper, TranslationModel
from textseq.tasks.translation.result import AttentionWeights, Translation, joined
from textseq.tasks.translation.vocabularies import Vocabularies
from textseq.tokenizers.characters import BYTES
from textseq.tokenizers.source_style import SourceStyle
from textseq.tokenizers.words import UNKNOWN

BUFFER = 512
"""Sentences read ahead and sorted by length. 2000 would take 3 % less processor time (captions), but results come later
and an interruption loses more of them."""

Progress = Callable[[int], object]


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
        self.models, self.vocabularies, self._style = models, vocabularies, SourceStyle.from_dict(source_style)
        self._copying = Copying(vocabularies, self._style, self._decoded)
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
        if glossary is not None and glossary.terms and request.samples:
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
        while texts := [
            self._copying.sentences(number, pair, request)
            for number, pair in islice(numbered, min(buffer, sys.maxsize))
        ]:
            sentences = [*chain.from_iterable(texts)]
            ends = {*accumulate(map(len, texts))}
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
                    read = [sentences[n] for n in batch]
                    found = self._decoded(read, request)
                    if not request.samples:
                        self._copying.mend(read, found, request)
                    for n, (_, translations) in zip(batch, found, strict=True):
                        results[n] = translations
                    if progress is not None:
                        progress(sum(n + 1 in ends for n in batch))
            except (KeyboardInterrupt, Interrupted) as error:
                interruption = error
            if progress is not None and 0 in lengths:
                progress(lengths.count(0))
            remaining = iter(results)
            for text in texts:
                parts = [result for result in islice(remaining, len(text)) if result is not None]
                if len(parts) < len(text):  # interrupted: results after a gap would be on the wrong lines
                    break
                ranks = range(max(map(len, parts)))
                result = [joined([several[min(rank, len(several) - 1)] for several in parts]) for rank in ranks]
                cut = [several[0] for several in parts if not several[0].finished]
                if cut and not request.samples:
                    truncated.note(text[0].number, cut[0])
                yield result
            if interruption is not None:
                raise interruption

    def _decoded(self, batch: Sequence[Sentence], request: Request, *, insist: bool = False) -> list[Found]:
        """The best hypothesis and the translations of sentences; see ``Decode``."""
        if not batch:
            return []
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
                pairs += self._copying.known_pairs(*pair, number)
        for rows in decoding_batches([max(len(pair.ids), len(pair.forced_prefix)) for pair in pairs]):
            batch = [pairs[n] for n in rows]
            tokens = [(*pair.forced_prefix, self.vocabularies.target.size) for pair in batch]
            yield batch, SourceBatch(self.models, [pair.ids for pair in batch]), tokens

    @cached_property
    def _inner(self) -> frozenset[int]:
        """The target's tokens that continue a word: letters, digits, bytes, and marks within words."""
        target = self.vocabularies.target
        values = {name: chr(byte) if byte < 0x80 else "x" for byte, name in enumerate(BYTES)}  # 0x80 and up: of letters
        texts = (values.get(name, name) for name in target.vocabulary)
        return frozenset(n for n, text in enumerate(texts) if re.match(r"[\w'-]", text)).union(target.fallback)

    @cached_property
    def _steppers(self) -> list[Stepper]:
        """Built on first use: they hold tables with a row per token."""
        return [model.stepper(self.precision) for model in self.models]

    def __getstate__(self) -> dict[str, object]:
        """Without the steppers, which a copy or another process builds itself."""
        return {name: value for name, value in vars(self).items() if name != "_steppers"}
