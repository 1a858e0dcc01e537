"""Translation with trained models.

Shapes: N sentences, S source tokens, T target tokens, both with ``</s>``; V vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Self, Unpack, overload

import torch
from torch import Tensor

from textseq.checkpoints import checkpoint
from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.model_card import CardText, interval, result_table
from textseq.checkpoints.model_info import ModelInfo
from textseq.checkpoints.weight_formats import Bits
from textseq.config.decoding import Precision
from textseq.data.pairs import PairDataset
from textseq.data.readers.glossary import Glossary, Terms
from textseq.decoding.beam import Hypothesis
from textseq.errors import TextseqError
from textseq.metrics.signature import data_signature
from textseq.metrics.translation import TranslationMetrics, measure_translations, with_all_references
from textseq.tasks.predictor import Metrics, Predictor, check_dataset, each
from textseq.tasks.translation.config import (
    TranslateOptions,
    TranslationConfig,
    TranslationModelConfig,
    TranslationSettings,
)
from textseq.tasks.translation.inference.detokenize import TruncationLog, detokenize
from textseq.tasks.translation.inference.engine import BUFFER, Progress, TranslationEngine
from textseq.tasks.translation.inference.request import Request
from textseq.tasks.translation.model import TranslationModel
from textseq.tasks.translation.result import Translation
from textseq.tasks.translation.vocabularies import Vocabularies, load_vocabularies
from textseq.training.devices import pick_device
from textseq.training.distributed.group import SINGLE_PROCESS, ProcessGroup


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
        self.engine = TranslationEngine(self.models, vocabularies, info.source_style, precision)

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
        return self.engine.attends

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
        glossary: Terms | None = None,
        truncated: TruncationLog | None = None,
        **settings: Unpack[TranslationSettings],
    ) -> list[list[Translation]]:
        """Up to ``num_return_sequences`` translations of each sentence, best first; those of a search differ."""
        if isinstance(sentences, str):
            raise TextseqError("translate: expected a list of sentences, got one string; put it into a list")
        if prefixes is None:
            prefixes = [""] * len(sentences)
        if len(prefixes) != len(sentences):
            raise TextseqError(f"prefixes: expected {len(sentences)}, one per sentence, got {len(prefixes)}")
        pairs, request = zip(sentences, prefixes, strict=True), self._request(settings, attention, glossary)
        return list(self.engine.stream(pairs, request, truncated=truncated))

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
        glossary: Terms | None = None,
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
        request = self._request(settings, attention, glossary)
        return self.engine.stream(pairs, request, buffer, progress, first, truncated)

    def _request(
        self,
        settings: TranslationSettings,
        attention: bool = False,
        glossary: Terms | None = None,
    ) -> Request:
        config = TranslationConfig.from_dict(settings, where="translate")
        if isinstance(glossary, Mapping):
            glossary = Glossary(dict(glossary))
        return self.engine.request(config, attention, glossary, self.info.doubtful_below)

    def score(self, sources: Sequence[str], targets: Sequence[str]) -> list[float]:
        """Log-probability of each text as the translation of its sentence in nats, ``</s>`` included.

        The text is segmented in the most probable way; a beam search may score another segmentation of it. The
        sentence is read exactly as given, not as ``translate`` and ``align`` read it, which write it as the training's
        sentences are and replace rare names: ``align`` gives the score that ``translate`` would for a sentence.

        Raises:
            TextseqError: unequal numbers, or an empty source.
        """
        scores = [0.0] * len(sources)
        for pairs, batch, tokens in self.engine.known("score", sources, targets):
            for pair, score in zip(pairs, batch.log_p(tokens, range(len(pairs))), strict=True):
                scores[pair.number - 1] = score
        return scores

    def align(self, sources: Sequence[str], targets: Sequence[str]) -> list[Translation]:
        """Each text as the translation of its sentence: its score, attention weights and word alignment.

        The results are those that ``translate`` would give if it had found these texts, ``doubtful`` included; several
        sentences are read as one. The text is segmented in the most probable way. Names and codes that both have are
        read as copied ones if the text is likelier so.

        Raises:
            TextseqError: unequal numbers, or an empty source.

        Example:
            >>> [result] = textseq.load_translator("tatoeba-en-fr").align(["Good night."], ["Bonne nuit."])
            >>> result.score, result.alignment()
        """
        results: dict[int, Translation] = {}
        request = self._request({})
        for pairs, batch, tokens in self.engine.known("align", sources, targets, tidy=True):
            rows = range(len(pairs))
            weights = batch.attention(tokens, rows) if self.attends else [None] * len(pairs)
            scores = batch.scores(tokens, rows, TranslationConfig())
            for pair, ids, score, array in zip(pairs, tokens, scores, weights, strict=True):
                if pair.number in results and results[pair.number].score >= score:
                    continue
                pair_read = replace(pair, prefix="", forced_prefix=())  # all of the target is the translation
                result = detokenize(self.vocabularies, pair_read, Hypothesis(ids, score), array)
                results[pair.number] = replace(result, has_attention=self.attends, doubtful=request.is_doubtful(score))
        return [results[number] for number in sorted(results)]

    def evaluate(
        self,
        dataset: PairDataset,
        split: str = "test",
        *,
        metrics: Sequence[str] = ("bleu", "chrf", "ter"),
        tokenize: str = "13a",
        all_references: bool = False,
        progress: Progress | None = None,
        process_group: ProcessGroup = SINGLE_PROCESS,
        truncated: TruncationLog | None = None,
        **settings: Unpack[TranslationSettings],
    ) -> TranslationMetrics:
        """Translate a split of a dataset and measure the translations.

        Args:
            dataset: in the languages of the model, if these are known.
            split: of the dataset.
            metrics: see ``measure_translations``.
            tokenize: see ``measure_translations``.
            all_references: translate each different source once, and compare it with all its targets in the split
                (see ``with_all_references``); otherwise each pair counts alone.
            progress: called with the number of sentences of each batch.
            process_group: processes that share the work, all with the same models and dataset.
            truncated: logs the numbers of truncated translations; by default one of this evaluation.
            settings: the fields of ``TranslationConfig``; the signature has those that differ from the default.

        Raises:
            TextseqError: not a dataset of pairs, one that lacks the split, or its languages are not the model's.
        """
        check_dataset(dataset, "pairs", 'PairData(pairs=("a.en", "a.fr")).open_whole()')
        languages = (dataset.source_language, dataset.target_language)
        if self.languages not in {languages, ("source", "target")}:
            raise TextseqError(
                f"this model translates {self.languages[0]} to {self.languages[1]}, got {languages[0]} to "
                f"{languages[1]}; use --source {self.languages[0]} --target {self.languages[1]}"
            )
        given = dataset.pairs(split)
        pairs = with_all_references(given) if all_references else list(given)
        request = self._request(settings)
        if request.samples and process_group.count > 1:
            raise TextseqError("sampling: expected one process, so that a seed gives the same; start without torchrun")
        encoded, truncated = {}, truncated or TruncationLog()
        for turn, first in enumerate(range(0, len(pairs), BUFFER)):
            block = [(source, "") for source, _ in pairs[first : first + BUFFER]]
            if process_group.turn(turn):
                lines = [
                    best[0].text for best in self.engine.stream(block, request, BUFFER, progress, first + 1, truncated)
                ]
                encoded[turn] = torch.tensor(list(json.dumps(lines).encode()), dtype=torch.uint8)
            elif progress is not None:
                progress(len(block))
        translations = [line for data in process_group.collect(encoded) for line in json.loads(bytes(data.tolist()))]
        setup = (
            f"{data_signature(dataset.name, dataset.splits, dataset.other_names.get(split, split))}|"
            f"direction:{languages[0]}-{languages[1]}|{'references:all|' * all_references}"
            f"tokens:{self.vocabularies.signature}|models:{len(self.models)}|precision:{self.precision}|{request.signature}"
        )
        references = [target for _, target in pairs]
        scores = measure_translations(translations, references, metrics=metrics, tokenize=tokenize, setup=setup)
        return TranslationMetrics(tuple(scores), tuple(translations))

    def save(self, folder: Path | str, *, bits: Bits = 32, results: Sequence[Metrics] = ()) -> None:
        if len(self.models) > 1:
            raise TextseqError("an ensemble cannot be saved as one model; save each model separately")
        super().save(folder, bits=bits, results=results)


def ensemble_of(translators: Sequence[Translator]) -> Translator:
    """A translator that combines the models of several at every token; of one, that one.

    Raises:
        TextseqError: none are given, or their languages, vocabularies, devices or precisions differ.
    """
    if not translators:
        raise TextseqError("an ensemble: expected at least one model, got none")
    first = translators[0]
    if len(translators) == 1:
        return first
    for other in translators[1:]:
        for what, expected, actual in (
            ("the same languages", " to ".join(first.languages), " to ".join(other.languages)),
            ("one device", first.device, other.device),
            ("one precision", first.precision, other.precision),
        ):
            if expected != actual:
                raise TextseqError(f"an ensemble: expected {what}, got {expected} and {actual}")
        for side in ("source", "target"):
            if getattr(first.vocabularies, side).fingerprint != getattr(other.vocabularies, side).fingerprint:
                raise TextseqError(
                    f"an ensemble: expected one {side} vocabulary, got different ones; train the models on the same "
                    "pairs with the same tokenizer, each with another --seed"
                )
    models = [model for translator in translators for model in translator.models]
    return Translator(models, first.vocabularies, first.info, precision=first.precision)
