"""A translator at work: sentences in, translations out, with what it looked at.

Shapes: N sentences, S source tokens, T target tokens, both with the token that ends a text; V vocabulary.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Self, Unpack, overload

import torch
from torch import Tensor
from torch.nn.functional import pad

from textseq.checkpoints import checkpoint
from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.model_card import CardText, interval, result_table
from textseq.checkpoints.model_info import ModelInfo, Table
from textseq.config.decoding import Precision
from textseq.data.pairs import PairDataset
from textseq.decoding.logit_bias import token_bias
from textseq.errors import Interrupted, TextseqError
from textseq.metrics.signature import data_signature
from textseq.metrics.translation import TranslationScore, measure_translations
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
from textseq.tokenizers.words import UNKNOWN
from textseq.training.devices import pick_device
from textseq.training.distributed.group import ALONE, ProcessGroup

BUFFER = 512
"""Sentences that are sorted by length together. With 2000 captions instead, the processor works 3 % less; but they come
all at once, and what stops the work in between loses those behind the first that is not done."""

Progress = Callable[[int], object]


@dataclass(frozen=True)
class _Request:
    """What is asked of every sentence."""

    config: TranslationConfig
    attention: bool
    bias: Tensor | None
    """(V+1,)."""
    generator: torch.Generator

    @property
    def draws(self) -> bool:
        """Whether chance chooses, where otherwise there is a search."""
        return self.config.num_beams == 1 and self.config.temperature > 0


class Translator(Predictor[PairDataset]):
    """One or several translation models with their tokenizers.

    Args:
        models: one, or several of one vocabulary that choose every token together; set to evaluation mode.
        vocabularies: the tokenizers that they were trained with.
        info: metadata of the first.
        precision: number format of the products when it translates; it scores in float32.

    Raises:
        TextseqError: a precision that is unknown or that the device does not support.

    Example:
        >>> result = textseq.load("tatoeba-en-fr").translate("How are you?", num_beams=5)
        >>> result.text, result.score, result.attention
    """

    noun = "a translator"
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
            _ = self._steppers  # refuses here what the device does not support

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
            title=f"A recurrent encoder-decoder {how} that translates {direction},",
            command=f"textseq-translate --model {name}",
            python=f'print(textseq.load("{name}").translate("A sentence.").text)',
            trained_on=(f"- Direction: {direction}.", *([credit] if corpus.licence != "unknown" else [])),
            results=result_table(
                ("metric", "score", "95 % interval"),
                info,
                lambda row: (str(row["measure"]), f"{row['score']:.2f}", interval(row["interval_95"])),
            ),
            limits=(
                "It translates sentence by sentence, and well only what is like its training sentences. Its errors may",
                "read well: words left out, added or turned into their opposite. It repeats the prejudices of its",
                "sources.",
            ),
        )

    def word_table(self) -> tuple[Sequence[str], Tensor]:
        return self.vocabularies.target.vocabulary, self.model.embedding.weight

    @property
    def about(self) -> str:
        models = f", {len(self.models)} models" if len(self.models) > 1 else ""
        return f"{' to '.join(self.languages)}{models}"

    @property
    def languages(self) -> tuple[str, str]:
        """The codes of source and target, which are "source" and "target" where no one said more of them."""
        return self.info.source_language or "source", self.info.target_language or "target"

    @property
    def attends(self) -> bool:
        """Whether any of the models has attention; without it nothing can be said of where they looked."""
        return any(map(has_attention, self.models))

    @cached_property
    def _steppers(self) -> list[Stepper]:
        """Made when they are first needed: they hold tables as large as the vocabulary."""
        return [model.stepper(self.precision) for model in self.models]

    @overload
    def translate(  # type: ignore[overload-overlap]
        self,
        sentences: str,
        *,
        attention: bool = True,
        prefixes: Sequence[str] | None = None,
        **settings: Unpack[TranslationSettings],
    ) -> Translation: ...
    @overload
    def translate(
        self,
        sentences: Sequence[str],
        *,
        attention: bool = True,
        prefixes: Sequence[str] | None = None,
        **settings: Unpack[TranslationSettings],
    ) -> list[Translation]: ...
    def translate(
        self,
        sentences: str | Sequence[str],
        *,
        attention: bool = True,
        prefixes: Sequence[str] | None = None,
        **settings: Unpack[TranslationSettings],
    ) -> Translation | list[Translation]:
        """The best translation of each sentence; an empty one gives an empty one.

        Logs a warning with the number of each sentence whose translation was cut off at the length limit.

        Args:
            sentences: each is translated independently; a single string is one sentence.
            attention: return the attention weights (T, S), if the model has attention.
            prefixes: how each translation must begin; "" for no constraint.
            settings: the fields of ``TranslationConfig``.

        Raises:
            TextseqError: an unknown setting or one outside its range, a sentence that is not a string, or several
                translations for one sentence; see ``translate_all``.
        """
        count = _config(settings).num_return_sequences
        if count != 1:
            raise TextseqError(
                f"num_return_sequences: translate gives one translation for each sentence, got {count}; use "
                "translate_all for several"
            )

        def best(several: Sequence[str]) -> list[Translation]:
            lists = self.translate_all(several, attention=attention, prefixes=prefixes, **settings)
            return [translations[0] for translations in lists]

        return each(sentences, best)

    __call__ = translate

    def translate_all(
        self,
        sentences: Sequence[str],
        *,
        attention: bool = True,
        prefixes: Sequence[str] | None = None,
        **settings: Unpack[TranslationSettings],
    ) -> list[list[Translation]]:
        """``num_return_sequences`` translations of each sentence; see ``translate``.

        Those of a search are different texts, best first, and fewer where it found fewer.
        """
        if isinstance(sentences, str):
            raise TextseqError("translate wants a list of sentences, found one string; put it into a list")
        if prefixes is None:
            prefixes = [""] * len(sentences)
        if len(prefixes) != len(sentences):
            raise TextseqError(f"give a prefix for each sentence: {len(sentences)} wanted, {len(prefixes)} found")
        return list(self._stream(zip(sentences, prefixes, strict=True), self._request(settings, attention)))

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
        **settings: Unpack[TranslationSettings],
    ) -> Iterator[list[Translation]]:
        """Translations of sentences that come one by one, in their order; memory does not grow with their number.

        Args:
            sentences: they may be endless.
            attention: as ``translate``.
            buffer: so many are read ahead and sorted by length, which is faster, and come together; with 1 each is
                answered at once.
            prefix: how every translation must begin.
            progress: told of every batch how many sentences it was, before they come in their order.
            first: the number of the first sentence, for what is said of it.
            truncated: notes what was cut off, where that has begun with other sentences.
            settings: as ``translate_all``.

        Raises:
            TextseqError: as ``translate``, of the settings before any sentence is read.
        """
        if buffer < 1:
            raise TextseqError(f"buffer wants at least 1 sentence, found {buffer}; 1 answers each at once")
        pairs = ((text, prefix) for text in sentences)
        return self._stream(pairs, self._request(settings, attention), buffer, progress, first, truncated)

    def _request(self, settings: TranslationSettings, attention: bool) -> _Request:
        config, target = _config(settings), self.vocabularies.target
        bias = token_bias(config.logit_bias, target, self.device)
        if bias is not None:
            bias = pad(bias, (0, 1))  # for the end
        if config.coverage_penalty and not self.attends:
            raise TextseqError("--coverage-penalty wants a model with attention, found one without; leave it out")
        if config.shortlist and self.vocabularies.shortlist is None:
            raise TextseqError(
                "--shortlist wants a model with a short list, found one without, which was trained before there were "
                "any; leave it out, or train again"
            )
        if config.replace_unknown:
            if "rare words" not in target.loses or not self.attends:
                found = f"a {target.kind} model" if self.attends else "a model without attention"
                raise TextseqError(
                    "--replace-unknown wants a model with attention that writes <unk> (--tokenizer word --rare-words "
                    f"unknown), found {found}; leave it out"
                )
            assert bias is not None  # it bans <unk>
            bias[[target.vocabulary.index(name) for name in UNKNOWN]] = 0.0
        generator = torch.Generator(self.device)
        if config.seed is None:
            generator.seed()
        else:
            generator.manual_seed(config.seed)
        return _Request(config, attention, bias, generator)

    def _stream(
        self,
        pairs: Iterable[tuple[str, str]],
        task: _Request,
        buffer: int = BUFFER,
        progress: Progress | None = None,
        first: int = 1,
        truncated: TruncationLog | None = None,
    ) -> Iterator[list[Translation]]:
        """Translations of sentences, each with how its translation must begin."""
        numbered, truncated = enumerate(pairs, start=first), truncated or TruncationLog()
        while sentences := [
            tokenize_sentence(self.vocabularies, *pair, number)
            for number, pair in islice(numbered, min(buffer, sys.maxsize))
        ]:
            nothing = [Translation("", 0.0)] * task.config.num_return_sequences
            found = [None if len(sentence.ids) else nothing for sentence in sentences]
            lengths = [len(sentence.ids) for sentence in sentences]
            stopped: BaseException | None = None
            try:
                for batch in batches(lengths, max(task.config.num_beams, task.config.num_return_sequences)):
                    for n, translations in zip(batch, self._batch([sentences[n] for n in batch], task), strict=True):
                        found[n] = translations
                    if progress is not None:
                        progress(len(batch))
            except (KeyboardInterrupt, Interrupted) as stop:
                stopped = stop
            if progress is not None and (empty := lengths.count(0)):
                progress(empty)
            for sentence, best in zip(sentences, found, strict=True):
                if best is None:  # the work was stopped, and what follows would stand at the wrong line
                    break
                if not (task.draws or best[0].finished):
                    truncated.note(sentence.number, best[0])
                yield best
            if stopped is not None:
                raise stopped

    def _batch(self, batch: Sequence[Sentence], task: _Request) -> list[list[Translation]]:
        """The translations of some sentences, none of them empty."""
        config = task.config
        shortlist = self.vocabularies.shortlist if config.shortlist else None
        sources = SourceBatch(self.models, [sentence.ids for sentence in batch], shortlist)
        forced = [sentence.forced_prefix for sentence in batch]
        if task.draws:
            found = sources.sample(self._steppers, config, forced, task.bias, task.generator)
        else:
            found = sources.search(self._steppers, config, forced, task.bias)
            found = [unique_texts(self.vocabularies, each)[: config.num_return_sequences] for each in found]
        owners = [n for n, each in enumerate(found) for _ in each]
        every = [hypothesis for each in found for hypothesis in each]
        attentions: list[AttentionWeights | None] = [None] * len(every)
        if self.attends and (task.attention or config.replace_unknown):
            attentions = [*sources.attention([hypothesis.tokens for hypothesis in every], owners)]
        translations: list[list[Translation]] = [[] for _ in batch]
        for n, hypothesis, attention in zip(owners, every, attentions, strict=True):
            made = detokenize(
                self.vocabularies, batch[n], hypothesis, attention, replace_unknown=config.replace_unknown
            )
            shown = made.attention if task.attention else None
            translations[n].append(replace(made, attention=shown, has_attention=self.attends))
        return translations

    def score(self, sources: Sequence[str], targets: Sequence[str]) -> list[float]:
        """How likely each text is as the translation of its sentence: log-probabilities in nats, its end included.

        The text is cut into its likeliest pieces; a beam search may have written it in others, with another score.

        Raises:
            TextseqError: unequal numbers, or an empty source.
        """
        if isinstance(sources, str) or isinstance(targets, str):
            raise TextseqError("score wants two lists of sentences, found one string; put each text into a list")
        if len(sources) != len(targets):
            raise TextseqError(f"give a target for each source: {len(sources)} wanted, {len(targets)} found")
        pairs = [
            tokenize_sentence(self.vocabularies, *pair, number)
            for number, pair in enumerate(zip(sources, targets, strict=True), 1)
        ]
        if empty := [number for number, pair in enumerate(pairs, 1) if len(pair.ids) == 0]:
            raise TextseqError(f"scoring wants sentences to translate, found an empty one (number {empty[0]})")
        scores = [0.0] * len(pairs)
        for batch in batches([max(len(pair.ids), len(pair.forced_prefix)) for pair in pairs]):
            known = [(*pairs[n].forced_prefix, self.vocabularies.target.size) for n in batch]
            log_p = SourceBatch(self.models, [pairs[n].ids for n in batch]).log_p(known, range(len(batch)))
            for n, score in zip(batch, log_p, strict=True):
                scores[n] = score
        return scores

    def evaluate(
        self,
        dataset: PairDataset,
        split: str = "test",
        *,
        metrics: Sequence[str] = ("bleu", "chrf", "ter"),
        tokenize: str = "13a",
        progress: Progress | None = None,
        process_group: ProcessGroup = ALONE,
        **settings: Unpack[TranslationSettings],
    ) -> TranslationMetrics:
        """Translate a split of a dataset and measure the translations; see ``metrics.translation``.

        Args:
            dataset: in the languages of the model, if it is known which these are.
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
                f"this model translates {self.languages[0]} to {self.languages[1]}, found {languages[0]} to "
                f"{languages[1]}; say --source {self.languages[0]} --target {self.languages[1]}"
            )
        pairs = list(dataset.pairs(split))
        task = self._request(settings, False)
        if task.draws and process_group.count > 1:
            raise TextseqError("drawing at random wants one process, so that a seed gives the same; start one")
        found, truncated = {}, TruncationLog()
        for turn, first in enumerate(range(0, len(pairs), BUFFER)):
            some = [(source, "") for source, _ in pairs[first : first + BUFFER]]
            if process_group.turn(turn):
                lines = [best[0].text for best in self._stream(some, task, BUFFER, progress, first + 1, truncated)]
                found[turn] = torch.tensor(list(json.dumps(lines).encode()), dtype=torch.uint8)
            elif progress is not None:
                progress(len(some))
        translations = [line for some in process_group.collect(found) for line in json.loads(bytes(some.tolist()))]
        config, usual = task.config, TranslationConfig().to_dict()
        unusual = [
            f"|{'drawing-' * (name == 'seed')}{name.replace('_', '-')}:{value}"  # sacreBLEU has a seed of its own
            for name, value in config.to_dict().items()
            if value != usual[name] and name not in {"num_beams", "length_penalty"}
        ]
        how = (
            f"{data_signature(dataset.name, dataset.splits, dataset.other_names.get(split, split))}|"
            f"direction:{languages[0]}-{languages[1]}|tokens:{self.vocabularies.signature}|"
            f"models:{len(self.models)}|precision:{self.precision}|beams:{config.num_beams}|"
            f"length-penalty:{config.length_penalty:g}{''.join(unusual)}"
        )
        references = [target for _, target in pairs]
        scores = measure_translations(translations, references, metrics=metrics, tokenize=tokenize, how=how)
        return TranslationMetrics(tuple(scores), tuple(translations))

    def save(self, folder: Path | str, *, half: bool = False, results: Sequence[Metrics] = ()) -> None:
        if len(self.models) > 1:
            raise TextseqError("an ensemble cannot be saved as one model; save each model by itself")
        super().save(folder, half=half, results=results)


@dataclass(frozen=True)
class TranslationMetrics:
    """Scores of translations, and the translations."""

    scores: tuple[TranslationScore, ...]
    translations: tuple[str, ...]

    @property
    def signature(self) -> str:
        """Signatures of the scores, a line each."""
        return "\n".join(score.signature for score in self.scores)

    def to_dict(self) -> Table:
        return {"scores": [score.to_dict() for score in self.scores]}

    def __str__(self) -> str:
        return "\n".join(map(str, self.scores))


def _config(settings: TranslationSettings) -> TranslationConfig:
    """The settings, checked; the nearest match is offered for an unknown one."""
    return TranslationConfig.from_dict(settings, where="translating")


def ensemble_of(translators: Sequence[Translator]) -> Translator:
    """Several translators as one: their models choose every token together.

    Raises:
        TextseqError: none at all, or their languages, vocabularies, devices or precisions differ.
    """
    if not translators:
        raise TextseqError("models that translate together want at least one, found none")
    first = translators[0]
    for other in translators[1:]:
        for what, one, two in (
            ("the same languages", " to ".join(first.languages), " to ".join(other.languages)),
            ("one device", first.device, other.device),
            ("one precision", first.precision, other.precision),
        ):
            if one != two:
                raise TextseqError(f"models that translate together want {what}, found {one} and {two}")
        for side in ("source", "target"):
            if getattr(first.vocabularies, side).fingerprint != getattr(other.vocabularies, side).fingerprint:
                raise TextseqError(
                    f"models that translate together want one {side} vocabulary, found different ones; train them on "
                    "the same pairs with the same tokenizer, each with another --seed"
                )
    models = [model for translator in translators for model in translator.models]
    return Translator(models, first.vocabularies, first.info, precision=first.precision)
