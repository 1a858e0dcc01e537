"""Translation with trained models.

Shapes: N sentences, S source tokens, T target tokens, both with ``</s>``; V vocabulary.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import Self, Unpack, overload

import torch
from torch import Tensor
from torch.nn.functional import pad

from textseq.checkpoints import checkpoint
from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.model_card import CardText, interval, result_table
from textseq.checkpoints.model_info import ModelInfo
from textseq.config.decoding import Precision
from textseq.data.pairs import PairDataset
from textseq.data.readers.glossary import Glossary
from textseq.decoding.beam import Hypothesis
from textseq.decoding.logit_bias import token_bias
from textseq.decoding.sampling import random_generator
from textseq.errors import Interrupted, TextseqError
from textseq.metrics.signature import data_signature
from textseq.metrics.translation import TranslationMetrics, measure_translations
from textseq.tasks.predictor import Metrics, Predictor, each
from textseq.tasks.translation.config import TranslationConfig, TranslationModelConfig, TranslationSettings
from textseq.tasks.translation.model import Stepper, TranslationModel
from textseq.tasks.translation.processing import (
    AttentionWeights,
    Sentence,
    Translation,
    TruncationLog,
    detokenize,
    tokenize_sentence,
    unique_texts,
)
from textseq.tasks.translation.search import SourceBatch, batches, has_attention
from textseq.tasks.translation.vocabularies import Vocabularies, load_vocabularies
from textseq.tokenizers.characters import BYTES
from textseq.tokenizers.source_style import SourceStyle
from textseq.tokenizers.words import UNKNOWN
from textseq.training.devices import pick_device
from textseq.training.distributed.group import SINGLE_PROCESS, ProcessGroup

BUFFER = 512
"""Sentences read ahead and sorted by length. 2000 would take 3 % less processor time (captions), but results come later
and an interruption loses more of them."""

Progress = Callable[[int], object]


@dataclass(frozen=True)
class _Request:
    """Settings of a call, checked."""

    config: TranslationConfig
    attention: bool
    bias: Tensor | None
    """(V+1,)."""
    generator: torch.Generator
    glossary: Glossary | None = None

    @property
    def samples(self) -> bool:
        """Whether tokens are sampled instead of searched for."""
        return self.config.num_beams == 1 and self.config.temperature > 0

    @property
    def scored(self) -> bool:
        """Whether scores are log-probabilities per token, which can be compared with those of other sentences."""
        return not self.samples and self.config.length_penalty == 1 and not self.config.coverage_penalty


class TranslateOptions(TranslationSettings, total=False):
    """Keywords of ``Translator.translate``, with the fields of ``TranslationConfig``."""

    attention: bool
    """Return the attention weights (T, S), if the model has attention; on by default."""
    prefixes: Sequence[str] | None
    """How each translation must begin; "" for no constraint."""
    glossary: Glossary | None
    """Terms and their translations, which the translations of sentences with these terms contain."""


class Translator(Predictor[PairDataset]):
    """One or several translation models with their tokenizers.

    Args:
        models: one, or an ensemble with one vocabulary; set to evaluation mode.
        vocabularies: their tokenizers.
        info: metadata of the first model.
        precision: number format of the matrix products of translation; scores are computed in float32.

    Raises:
        TextseqError: a precision that is unknown or that the device does not support.

    Example:
        >>> result = textseq.load("tatoeba-en-fr").translate("How are you?", num_beams=5)
        >>> result.text, result.score, result.attention
    """

    noun = "a translator"
    unit = "sentences"
    precisions = ("float32", "int8")
    model: TranslationModel

    def __init__(
        self,
        models: Sequence[TranslationModel],
        vocabularies: Vocabularies,
        info: ModelInfo,
        *,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(models[0], vocabularies, info, precision=precision)
        self.models = [model.eval() for model in models]
        self.vocabularies = vocabularies
        if precision != "float32":
            _ = self._steppers  # raises if the device does not support it

    @classmethod
    def open(cls, saved: Checkpoint, *, device: str = "cpu", precision: Precision = "float32") -> Self:
        config = TranslationModelConfig.from_dict(saved.info.model, where=str(saved.folder / "config.json"))
        vocabularies = load_vocabularies(saved.folder, saved.tokenizer)
        sizes = vocabularies.source.size, vocabularies.target.size
        model = checkpoint.build_with_weights(lambda: TranslationModel(config, *sizes), saved.weights, saved.folder)
        return cls([model.to(pick_device(device))], vocabularies, saved.info, precision=precision)

    @staticmethod
    def describe(name: str, info: ModelInfo) -> CardText:
        attention, corpus = info.model.get("attention"), info.corpus
        direction = f"from {info.source_language} to {info.target_language}"
        how = "without attention" if attention == "none" else f"with {attention} attention"
        credit = f"- To be credited with the model: {corpus.title}; {corpus.licence}."
        return CardText(
            pipeline="translation",
            title=f"A recurrent encoder-decoder {how} that translates {direction},",
            command=f"textseq-translate --model {quote(name)}",
            python=f'print(textseq.load({json.dumps(name)}).translate("A sentence.").text)',
            trained_on=(f"- Direction: {direction}.", *([credit] if corpus.licence != "unknown" else [])),
            results=result_table(
                ("metric", "score", "95 % interval"),
                info,
                lambda row: (str(row["measure"]), f"{row['score']:.2f}", interval(row["interval_95"])),
            ),
            limits=(
                "It translates sentence by sentence and works only on sentences like its training data. Errors can",
                "be fluent: words omitted, added or reversed in meaning. It repeats the prejudices of its sources.",
            ),
        )

    def word_table(self) -> tuple[Sequence[str], Tensor]:
        return self.vocabularies.target.vocabulary, self.model.embedding.weight

    @property
    def about(self) -> str:
        models = f", {len(self.models)} models" if len(self.models) > 1 else ""
        return f"{' to '.join(self.languages)}{models}"

    def _parameter_count(self) -> int:
        """The parameters of all models of the ensemble."""
        return sum(parameter.numel() for model in self.models for parameter in model.parameters())

    @property
    def languages(self) -> tuple[str, str]:
        """Codes of source and target language; "source" and "target" if unknown."""
        return self.info.source_language or "source", self.info.target_language or "target"

    @property
    def attends(self) -> bool:
        """Whether any of the models has attention."""
        return any(map(has_attention, self.models))

    @cached_property
    def _inner(self) -> frozenset[int]:
        """The target's tokens that continue a word: letters, digits, bytes, and marks within words."""
        target = self.vocabularies.target
        values = {name: chr(byte) if byte < 0x80 else "x" for byte, name in enumerate(BYTES)}  # 0x80 and up: of letters
        texts = (values.get(name, name) for name in target.vocabulary)
        return frozenset(n for n, text in enumerate(texts) if re.match(r"[\w'-]", text)).union(target.fallback)

    @cached_property
    def _style(self) -> SourceStyle:
        return SourceStyle.from_dict(self.info.source_style)

    @cached_property
    def _stand_ins(self) -> tuple[str, ...]:
        """The names that stand for codes: each one token of both vocabularies, so that tokens keep their meaning."""
        sides = (self.vocabularies.source.vocabulary, self.vocabularies.target.vocabulary)
        return tuple(name for name in self._style.stand_ins if all(f" {name}" in side for side in sides))

    @cached_property
    def _steppers(self) -> list[Stepper]:
        """Built on first use: they hold tables with a row per token."""
        return [model.stepper(self.precision) for model in self.models]

    @overload
    def translate(self, sentences: str, **options: Unpack[TranslateOptions]) -> Translation: ...  # type: ignore[overload-overlap]
    @overload
    def translate(self, sentences: Sequence[str], **options: Unpack[TranslateOptions]) -> list[Translation]: ...
    def translate(
        self, sentences: str | Sequence[str], **options: Unpack[TranslateOptions]
    ) -> Translation | list[Translation]:
        """The best translation of each sentence; an empty sentence gives an empty translation.

        Logs a warning with the number of each sentence whose translation was cut off at the length limit.

        Args:
            sentences: each is translated independently; a single string is one sentence.
            options: the fields of ``TranslateOptions``.

        Raises:
            TextseqError: an unknown setting or one outside its range, a sentence that is not a string, or several
                translations per sentence (use ``translate_all``).
        """
        count = options.get("num_return_sequences", 1)
        if isinstance(count, int) and count > 1:
            raise TextseqError(
                f"num_return_sequences: translate gives one translation for each sentence, got {count}; use "
                "translate_all for several"
            )
        return each(sentences, lambda several: [best for best, *_ in self.translate_all(several, **options)])

    __call__ = translate

    def translate_all(
        self,
        sentences: Sequence[str],
        *,
        attention: bool = True,
        prefixes: Sequence[str] | None = None,
        glossary: Glossary | None = None,
        **settings: Unpack[TranslationSettings],
    ) -> list[list[Translation]]:
        """Up to ``num_return_sequences`` translations of each sentence, best first; those of a search differ."""
        if isinstance(sentences, str):
            raise TextseqError("translate: expected a list of sentences, got one string; put it into a list")
        if prefixes is None:
            prefixes = [""] * len(sentences)
        if len(prefixes) != len(sentences):
            raise TextseqError(f"prefixes: expected {len(sentences)}, one per sentence, got {len(prefixes)}")
        return list(self._stream(zip(sentences, prefixes, strict=True), self._request(settings, attention, glossary)))

    def stream(
        self,
        sentences: Iterable[str],
        *,
        attention: bool = False,
        buffer: int = BUFFER,
        prefix: str = "",
        progress: Progress | None = None,
        first: int = 1,
        truncated: TruncationLog | None = None,
        glossary: Glossary | None = None,
        **settings: Unpack[TranslationSettings],
    ) -> Iterator[list[Translation]]:
        """Translate a stream of sentences of any length, in order and in constant memory.

        Args:
            sentences: the sentences.
            attention: as ``translate``; off by default.
            buffer: sentences read ahead and sorted by length, for speed; 1 answers each at once.
            prefix: how every translation must begin.
            progress: called with the number of sentences of each finished batch, before they are yielded.
            first: number of the first sentence, for messages.
            truncated: continues the log of earlier sentences.
            glossary: as ``translate``.
            settings: as ``translate_all``.

        Raises:
            TextseqError: as ``translate``; for settings before any sentence is read.
        """
        if buffer < 1:
            raise TextseqError(f"buffer: expected at least 1 sentence, got {buffer}; 1 answers each at once")
        pairs = ((text, prefix) for text in sentences)
        return self._stream(pairs, self._request(settings, attention, glossary), buffer, progress, first, truncated)

    def _request(self, settings: TranslationSettings, attention: bool, glossary: Glossary | None = None) -> _Request:
        config, target = _config(settings), self.vocabularies.target
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
        request = _Request(config, attention, bias, generator, glossary)
        if glossary is not None and request.samples:
            raise TextseqError("a glossary needs beam search, got a temperature; leave one out")
        return request

    def _stream(
        self,
        pairs: Iterable[tuple[str, str]],
        request: _Request,
        buffer: int = BUFFER,
        progress: Progress | None = None,
        first: int = 1,
        truncated: TruncationLog | None = None,
    ) -> Iterator[list[Translation]]:
        """Translations of pairs of a sentence and the prefix of its translation."""
        numbered, truncated = enumerate(pairs, start=first), truncated or TruncationLog()
        while sentences := [
            tokenize_sentence(
                *(self.vocabularies, *pair, number, request.glossary),
                self._style if request.config.tidy else None,
                self._stand_ins if request.config.copy_codes else (),
            )
            for number, pair in islice(numbered, min(buffer, sys.maxsize))
        ]:
            lengths = [len(sentence.ids) for sentence in sentences]
            empty = [Translation("", 0.0)] * request.config.num_return_sequences
            results = [None if length else empty for length in lengths]
            interruption: BaseException | None = None
            try:
                for batch in batches(lengths, max(request.config.num_beams, request.config.num_return_sequences)):
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

    def _batch(self, batch: Sequence[Sentence], request: _Request, *, insist: bool = False) -> list[list[Translation]]:
        """The translations of sentences, none of them empty; ``insist`` makes the search contain the stand-ins."""
        config = request.config
        shortlist = self.vocabularies.shortlist if config.shortlist else None
        sources = SourceBatch(self.models, [sentence.ids for sentence in batch], shortlist)
        prefixes = [sentence.forced_prefix for sentence in batch]
        if request.samples:
            lists = sources.sample(self._steppers, config, prefixes, request.bias, request.generator)
        else:
            target = self.vocabularies.target
            phrases = [sentence.all_phrases(target) if insist else sentence.phrases for sentence in batch]
            inner = self._inner if any(phrases) else ()
            lists = sources.search(self._steppers, config, prefixes, request.bias, phrases, inner)
            lists = [unique_texts(self.vocabularies, best)[: config.num_return_sequences] for best in lists]
        owners = [n for n, hypotheses in enumerate(lists) for _ in hypotheses]
        flat = [hypothesis for hypotheses in lists for hypothesis in hypotheses]
        attentions: list[AttentionWeights | None] = [None] * len(flat)
        if self.attends and (request.attention or config.replace_unknown):
            attentions = [*sources.attention([hypothesis.tokens for hypothesis in flat], owners)]
        translations: list[list[Translation]] = [[] for _ in batch]
        for n, hypothesis, weights in zip(owners, flat, attentions, strict=True):
            translation = detokenize(
                self.vocabularies, batch[n], hypothesis, weights, replace_unknown=config.replace_unknown
            )
            shown = weights if request.attention else None
            doubtful = request.scored and self._doubtful(translation.score)
            translations[n].append(replace(translation, attention=shown, has_attention=self.attends, doubtful=doubtful))
        lacking = [n for n, (best, *_) in enumerate(translations) if not batch[n].copied(best.text)]
        if lacking and not (insist or request.samples):
            for n, found in zip(lacking, self._batch([batch[n] for n in lacking], request, insist=True), strict=True):
                translations[n] = found
        return translations

    def _doubtful(self, score: float) -> bool:
        return score < (self.info.doubtful_below or -math.inf)

    def score(self, sources: Sequence[str], targets: Sequence[str]) -> list[float]:
        """Log-probability of each text as the translation of its sentence in nats, ``</s>`` included.

        The text is segmented in the most probable way; a beam search may score another segmentation of it.

        Raises:
            TextseqError: unequal numbers, or an empty source.
        """
        scores = [0.0] * len(sources)
        for pairs, batch, tokens in self._known("score", sources, targets):
            for pair, score in zip(pairs, batch.log_p(tokens, range(len(pairs))), strict=True):
                scores[pair.number - 1] = score
        return scores

    def align(self, sources: Sequence[str], targets: Sequence[str]) -> list[Translation]:
        """Each text as the translation of its sentence: its score, attention weights and word alignment.

        The results are those that ``translate`` would give if it had found these texts, ``doubtful`` included. The
        text is segmented in the most probable way.

        Raises:
            TextseqError: unequal numbers, or an empty source.

        Example:
            >>> [result] = textseq.load_translator("tatoeba-en-fr").align(["Good night."], ["Bonne nuit."])
            >>> result.score, result.alignment()
        """
        results: dict[int, Translation] = {}
        for pairs, batch, tokens in self._known("align", sources, targets):
            rows = range(len(pairs))
            weights = batch.attention(tokens, rows) if self.attends else [None] * len(pairs)
            scores = batch.scores(tokens, rows, TranslationConfig())
            for pair, ids, score, array in zip(pairs, tokens, scores, weights, strict=True):
                pair_read = replace(pair, prefix="", forced_prefix=())  # all of the target is the translation
                result = detokenize(self.vocabularies, pair_read, Hypothesis(ids, score), array)
                results[pair.number] = replace(result, has_attention=self.attends, doubtful=self._doubtful(score))
        return [results[number] for number in sorted(results)]

    def _known(
        self, use: str, sources: Sequence[str], targets: Sequence[str]
    ) -> Iterator[tuple[list[Sentence], SourceBatch, list[tuple[int, ...]]]]:
        """Batches of known translations: their sentences, those encoded, and the tokens of the targets."""
        if isinstance(sources, str) or isinstance(targets, str):
            raise TextseqError(f"{use}: expected two lists of sentences, got one string; put each text into a list")
        if len(sources) != len(targets):
            raise TextseqError(f"{use}: expected a target for each source, got {len(targets)} for {len(sources)}")
        pairs = [
            tokenize_sentence(self.vocabularies, *pair, number)
            for number, pair in enumerate(zip(sources, targets, strict=True), 1)
        ]
        if empty := [pair.number for pair in pairs if len(pair.ids) == 0]:
            raise TextseqError(f"{use}: expected sentences to translate, got an empty one (number {empty[0]})")
        for rows in batches([max(len(pair.ids), len(pair.forced_prefix)) for pair in pairs]):
            batch = [pairs[n] for n in rows]
            tokens = [(*pair.forced_prefix, self.vocabularies.target.size) for pair in batch]
            yield batch, SourceBatch(self.models, [pair.ids for pair in batch]), tokens

    def evaluate(
        self,
        dataset: PairDataset,
        split: str = "test",
        *,
        metrics: Sequence[str] = ("bleu", "chrf", "ter"),
        tokenize: str = "13a",
        progress: Progress | None = None,
        process_group: ProcessGroup = SINGLE_PROCESS,
        **settings: Unpack[TranslationSettings],
    ) -> TranslationMetrics:
        """Translate a split of a dataset and measure the translations.

        Args:
            dataset: in the languages of the model, if these are known.
            split: of the dataset.
            metrics: see ``measure_translations``.
            tokenize: see ``measure_translations``.
            progress: called with the number of sentences of each batch.
            process_group: processes that share the work, all with the same models and dataset.
            settings: the fields of ``TranslationConfig``; the signature has those that differ from the default.

        Raises:
            TextseqError: the dataset lacks the split, or its languages are not the model's.
        """
        languages = (dataset.source_language, dataset.target_language)
        if self.languages not in {languages, ("source", "target")}:
            raise TextseqError(
                f"this model translates {self.languages[0]} to {self.languages[1]}, got {languages[0]} to "
                f"{languages[1]}; use --source {self.languages[0]} --target {self.languages[1]}"
            )
        pairs = list(dataset.pairs(split))
        request = self._request(settings, False)
        if request.samples and process_group.count > 1:
            raise TextseqError("sampling: expected one process, so that a seed gives the same; start without torchrun")
        encoded, truncated = {}, TruncationLog()
        for turn, first in enumerate(range(0, len(pairs), BUFFER)):
            block = [(source, "") for source, _ in pairs[first : first + BUFFER]]
            if process_group.turn(turn):
                lines = [best[0].text for best in self._stream(block, request, BUFFER, progress, first + 1, truncated)]
                encoded[turn] = torch.tensor(list(json.dumps(lines).encode()), dtype=torch.uint8)
            elif progress is not None:
                progress(len(block))
        translations = [line for data in process_group.collect(encoded) for line in json.loads(bytes(data.tolist()))]
        config, defaults = request.config, TranslationConfig().to_dict()
        other_settings = [
            f"|{'drawing-' * (name == 'seed')}{name.replace('_', '-')}:{value}"  # sacreBLEU's signature has a seed too
            for name, value in config.to_dict().items()
            if value != defaults[name] and name not in {"num_beams", "length_penalty"}
        ]
        setup = (
            f"{data_signature(dataset.name, dataset.splits, dataset.other_names.get(split, split))}|"
            f"direction:{languages[0]}-{languages[1]}|tokens:{self.vocabularies.signature}|"
            f"models:{len(self.models)}|precision:{self.precision}|beams:{config.num_beams}|"
            f"length-penalty:{config.length_penalty:g}{''.join(other_settings)}"
        )
        references = [target for _, target in pairs]
        scores = measure_translations(translations, references, metrics=metrics, tokenize=tokenize, setup=setup)
        return TranslationMetrics(tuple(scores), tuple(translations))

    def save(self, folder: Path | str, *, half: bool = False, results: Sequence[Metrics] = ()) -> None:
        if len(self.models) > 1:
            raise TextseqError("an ensemble cannot be saved as one model; save each model separately")
        super().save(folder, half=half, results=results)


def _config(settings: TranslationSettings) -> TranslationConfig:
    return TranslationConfig.from_dict(settings, where="translate")
