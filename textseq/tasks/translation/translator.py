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
from typing import Unpack

import torch
from torch import Tensor
from torch.nn.functional import pad

from textseq.checkpoints import checkpoint
from textseq.checkpoints.model_card import save_with_card
from textseq.checkpoints.registry import Facts
from textseq.config.decoding import Precision
from textseq.data.pairs import PairDataset
from textseq.decoding.logit_bias import token_bias
from textseq.errors import Interrupted, TextseqError
from textseq.metrics.signature import data_signature
from textseq.metrics.translation import TranslationScore, measure_translations
from textseq.tasks.translation.config import TranslationConfig, TranslationModelConfig, TranslationSettings
from textseq.tasks.translation.model import Stepper, TranslationModel
from textseq.tasks.translation.processing import Look, Sentence, Translation, Unfinished, different, read, written
from textseq.tasks.translation.search import Sources, attends, batches
from textseq.tasks.translation.spec import describe
from textseq.tasks.translation.vocabularies import Vocabularies, load_vocabularies
from textseq.tokenizers.words import UNKNOWN
from textseq.training.devices import pick_device
from textseq.training.distributed.group import ALONE, ProcessGroup

BUFFER = 512
"""Sentences that are sorted by length together. With 2000 captions instead, the processor works 3 % less; but they come
all at once, and what stops the work in between loses those behind the first that is not done."""

Progress = Callable[[int], object]


@dataclass(frozen=True)
class _Task:
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


class Translator:
    """Models with their tokenizers: translates, and scores translations.

    Args:
        models: one, or several of one vocabulary that choose every token together; in evaluation mode from here on.
        vocabularies: the tokenizers that they were trained with.
        facts: what ``config.json`` says of the first.
        precision: of the products when it writes; it scores in float32.

    Raises:
        TextseqError: a precision that is unknown or that the device has not.
    """

    def __init__(
        self,
        models: Sequence[TranslationModel],
        vocabularies: Vocabularies,
        facts: Facts,
        precision: Precision = "float32",
    ) -> None:
        self.models = [model.eval() for model in models]
        self.vocabularies = vocabularies
        self.facts = facts
        self.precision = precision
        self.device = next(models[0].parameters()).device
        if precision != "float32":
            _ = self._steppers  # what cannot be done is refused here

    def __repr__(self) -> str:
        """Languages and size, as a person wants to see them."""
        models = f"{len(self.models)} models, " if len(self.models) > 1 else ""
        parameters = sum(parameter.numel() for model in self.models for parameter in model.parameters())
        return f"Translator({self.languages[0]} to {self.languages[1]}, {models}{parameters:,} parameters)"

    @property
    def languages(self) -> tuple[str, str]:
        """The codes of source and target, which are "source" and "target" where no one said more of them."""
        return str(self.facts.get("source_language", "source")), str(self.facts.get("target_language", "target"))

    @property
    def attends(self) -> bool:
        """Whether any of the models has attention; without it nothing can be said of where they looked."""
        return any(map(attends, self.models))

    @cached_property
    def _steppers(self) -> list[Stepper]:
        """Made when they are first needed: they hold tables as large as the vocabulary."""
        return [model.stepper(self.precision) for model in self.models]

    def translate(
        self,
        sentences: Sequence[str],
        *,
        attention: bool = True,
        prefixes: Sequence[str] | None = None,
        **settings: Unpack[TranslationSettings],
    ) -> list[Translation]:
        """The best translation of each sentence; of an empty one it is empty.

        Where a search cuts one off at the limit of its length, a warning with the number of the sentence is logged.

        Args:
            sentences: any text, each is translated on its own.
            attention: whether to give where the model looked, if it has attention; it costs one more look at each
                translation.
            prefixes: how each translation must begin, "" for no matter.
            settings: the fields of ``TranslationConfig``.

        Raises:
            TextseqError: an unknown setting or one outside its range, a sentence that is no text, or more than one
                translation asked for.
        """
        count = _config(settings).num_return_sequences
        if count != 1:
            raise TextseqError(
                f"one translation of each sentence is given here, found num_return_sequences = {count}; "
                "translate_all() gives several"
            )
        return [found[0] for found in self.translate_all(sentences, attention=attention, prefixes=prefixes, **settings)]

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
        return list(self._stream(zip(sentences, prefixes, strict=True), self._task(settings, attention)))

    def stream(
        self,
        sentences: Iterable[str],
        *,
        attention: bool = False,
        buffer: int = BUFFER,
        prefix: str = "",
        progress: Progress | None = None,
        first: int = 1,
        unfinished: Unfinished | None = None,
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
            unfinished: notes what was cut off, where that has begun with other sentences.
            settings: as ``translate_all``.

        Raises:
            TextseqError: as ``translate``, of the settings before any sentence is read.
        """
        if buffer < 1:
            raise TextseqError(f"buffer wants at least 1 sentence, found {buffer}; 1 answers each at once")
        pairs = ((text, prefix) for text in sentences)
        return self._stream(pairs, self._task(settings, attention), buffer, progress, first, unfinished)

    def _task(self, settings: TranslationSettings, attention: bool) -> _Task:
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
        return _Task(config, attention, bias, generator)

    def _stream(
        self,
        pairs: Iterable[tuple[str, str]],
        task: _Task,
        buffer: int = BUFFER,
        progress: Progress | None = None,
        first: int = 1,
        unfinished: Unfinished | None = None,
    ) -> Iterator[list[Translation]]:
        """Translations of sentences, each with how its translation must begin."""
        numbered, unfinished = enumerate(pairs, start=first), unfinished or Unfinished()
        while sentences := [
            read(self.vocabularies, *pair, number) for number, pair in islice(numbered, min(buffer, sys.maxsize))
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
                    unfinished.note(sentence.number, best[0])
                yield best
            if stopped is not None:
                raise stopped

    def _batch(self, batch: Sequence[Sentence], task: _Task) -> list[list[Translation]]:
        """The translations of some sentences, none of them empty."""
        config = task.config
        shortlist = self.vocabularies.shortlist if config.shortlist else None
        sources = Sources(self.models, [sentence.ids for sentence in batch], shortlist)
        forced = [sentence.forced for sentence in batch]
        if task.draws:
            found = sources.draw(self._steppers, config, forced, task.bias, task.generator)
        else:
            found = sources.search(self._steppers, config, forced, task.bias)
            found = [different(self.vocabularies, each)[: config.num_return_sequences] for each in found]
        owners = [n for n, each in enumerate(found) for _ in each]
        every = [hypothesis for each in found for hypothesis in each]
        looks: list[Look | None] = [None] * len(every)
        if self.attends and (task.attention or config.replace_unknown):
            looks = [*sources.attention([hypothesis.tokens for hypothesis in every], owners)]
        translations: list[list[Translation]] = [[] for _ in batch]
        for n, hypothesis, look in zip(owners, every, looks, strict=True):
            made = written(self.vocabularies, batch[n], hypothesis, look, replace_unknown=config.replace_unknown)
            shown = made.attention if task.attention else None
            translations[n].append(replace(made, attention=shown, attends=self.attends))
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
            read(self.vocabularies, *pair, number) for number, pair in enumerate(zip(sources, targets, strict=True), 1)
        ]
        if empty := [number for number, pair in enumerate(pairs, 1) if len(pair.ids) == 0]:
            raise TextseqError(f"scoring wants sentences to translate, found an empty one (number {empty[0]})")
        scores = [0.0] * len(pairs)
        for batch in batches([max(len(pair.ids), len(pair.forced)) for pair in pairs]):
            known = [(*pairs[n].forced, self.vocabularies.target.size) for n in batch]
            log_p = Sources(self.models, [pairs[n].ids for n in batch]).log_p(known, range(len(batch)))
            for n, score in zip(batch, log_p, strict=True):
                scores[n] = score
        return scores

    def measure(
        self,
        corpus: PairDataset,
        split: str,
        *,
        metrics: Sequence[str] = ("bleu", "chrf", "ter"),
        tokenize: str = "13a",
        progress: Progress | None = None,
        process_group: ProcessGroup = ALONE,
        **settings: Unpack[TranslationSettings],
    ) -> tuple[list[TranslationScore], list[str]]:
        """Translate a part of a corpus and measure the translations; see ``translation_metrics``.

        Args:
            corpus: in the languages of the model, if it is known which these are.
            split: of the corpus.
            metrics: see ``measure_translations``.
            tokenize: see ``measure_translations``.
            progress: told of every batch how many sentences it was.
            process_group: those that measure together, all with the same models and corpus.
            settings: the fields of ``TranslationConfig``; the signature has those that are not the default.

        Returns:
            The measures with their signatures, and the translations.

        Raises:
            TextseqError: a part that the corpus lacks, or languages that are not the model's.
        """
        languages = (corpus.source_language, corpus.target_language)
        if self.languages not in {languages, ("source", "target")}:
            raise TextseqError(
                f"this model translates {self.languages[0]} to {self.languages[1]}, found {languages[0]} to "
                f"{languages[1]}; say --source {self.languages[0]} --target {self.languages[1]}"
            )
        pairs = list(corpus.pairs(split))
        task = self._task(settings, False)
        if task.draws and process_group.count > 1:
            raise TextseqError("drawing at random wants one process, so that a seed gives the same; start one")
        found, unfinished = {}, Unfinished()
        for turn, first in enumerate(range(0, len(pairs), BUFFER)):
            some = [(source, "") for source, _ in pairs[first : first + BUFFER]]
            if process_group.turn(turn):
                lines = [best[0].text for best in self._stream(some, task, BUFFER, progress, first + 1, unfinished)]
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
            f"{data_signature(corpus.name, corpus.splits, corpus.other_names.get(split, split))}|"
            f"direction:{languages[0]}-{languages[1]}|tokens:{self.vocabularies.signature}|"
            f"models:{len(self.models)}|precision:{self.precision}|beams:{config.num_beams}|"
            f"length-penalty:{config.length_penalty:g}{''.join(unusual)}"
        )
        references = [target for _, target in pairs]
        measured = measure_translations(translations, references, metrics=metrics, tokenize=tokenize, how=how)
        return measured, translations

    def save(self, folder: Path | str, *, half: bool = False, results: Sequence[TranslationScore] = ()) -> None:
        """Write the model as a folder that ``load`` reads, to keep or to give away.

        Args:
            folder: must not exist yet.
            half: write the weights in 16 bits: half the size.
            results: further measurements for the model card, before those that the training made.

        Raises:
            TextseqError: the folder exists or cannot be written, or these are several models.
        """
        if len(self.models) > 1:
            raise TextseqError("several models cannot be saved as one; save each by itself")
        rows = [result.to_dict() for result in results]
        save_with_card(Path(folder), self.models[0], self.vocabularies, self.facts, describe, half=half, results=rows)


def _config(settings: TranslationSettings) -> TranslationConfig:
    """The settings, checked; the nearest match is offered for an unknown one."""
    return TranslationConfig.from_dict(settings, where="translating")


def open_translator(found: checkpoint.Checkpoint, device: str = "cpu", precision: Precision = "float32") -> Translator:
    """The translator that a checkpoint holds.

    Raises:
        TextseqError: weights or settings that do not fit one another, or as ``Translator``.
    """
    settings = found.facts.get("model")
    if not isinstance(settings, dict):
        raise TextseqError(f"{found.folder / 'config.json'} is damaged: it lacks 'model'; restore the folder")
    config = TranslationModelConfig.from_dict(settings, where=str(found.folder / "config.json"))
    vocabularies = load_vocabularies(found.folder, found.tokenizer)
    sizes = vocabularies.source.size, vocabularies.target.size
    model = checkpoint.filled(lambda: TranslationModel(config, *sizes), found.weights, found.folder)
    return Translator([model.to(pick_device(device))], vocabularies, found.facts, precision)


def together(translators: Sequence[Translator]) -> Translator:
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
    return Translator(models, first.vocabularies, first.facts, first.precision)
