"""Training of a language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, Unpack, cast

from torch import Tensor

from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.registry import ModelEntry, label_names
from textseq.data.in_memory import Column, text_files
from textseq.data.labelled import LabelledDataset
from textseq.data.sources import TextData, file_names
from textseq.data.text import ConditionalDataset, TextDataset
from textseq.data.token_files import TokenFile, tokenizer_for
from textseq.errors import TextseqError
from textseq.io.paths import cache_folder
from textseq.metrics.language_model import LanguageModelMetrics
from textseq.metrics.signature import data_signature
from textseq.tasks import run
from textseq.tasks.base import Report, Run
from textseq.tasks.distillation import check_tokenizer
from textseq.tasks.initialization import Rows, check_shape, copy_weights
from textseq.tasks.language_model.batches import Streams
from textseq.tasks.language_model.by_label import PASSAGE, label_temperature, passage_count
from textseq.tasks.language_model.condition import Conditioned, condition_count, condition_numbers
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.tasks.language_model.encoded import EncodedText, encoded
from textseq.tasks.language_model.evaluate import measure
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.language_model.model import LanguageModel
from textseq.tasks.language_model.spec import LANGUAGE_MODEL
from textseq.tasks.language_model.transfer import with_condition, without_condition
from textseq.tasks.predictor import Metrics
from textseq.tokenizers.base import Tokenizer, counted
from textseq.tokenizers.registry import load_tokenizer
from textseq.training.events import Evaluation

FINAL_TOKENS = 500_000
"""Tokens of the validation split that the final measurement reads at most; ``textseq-evaluate`` reads all."""
CONDITIONS_SHOWN = 3
"""Conditions of the texts shown after each evaluation of a conditional model."""
SHOWN_WIDTH = 60
"""Characters of a condition that are shown."""
SAMPLE_TOKENS = 200
"""Tokens of the text shown after each evaluation."""
LETTERS_READ = 20_000
"""Characters of a text that show whether a model knows its letters."""
KNOWN_LETTERS = 0.995
"""Share of these letters that a model must know."""
PROSE = 0.9
"""Least share of letters in the visible characters of a text in a language; source code has less."""
TABLES = ("embedding.weight", "output.weight", "output.bias")
"""Parameters with a row for each token."""


def train(
    corpus: str | None = None,
    *,
    text: Sequence[Path | str] | Path = (),
    labelled: Sequence[Path | str] | Path = (),
    texts: Column | None = None,
    condition: str | None = None,
    encoding: str | None = None,
    validation: float | None = None,
    vectors: str | None = None,
    data_source: TextData | None = None,
    model: LanguageModelConfig | None = None,
    data: DataConfig | None = None,
    **options: Unpack[run.TrainOptions],
) -> TextGenerator:
    """Train a language model on a corpus by name or on one's own text.

    Args:
        corpus: a corpus by name; or
        text: one's own files and folders; or
        labelled: one's own texts with labels or vectors, which the model is conditioned on, files or folders; or
        texts: one's own texts in memory: a list, an array, a column of pandas, polars or Hugging Face datasets. Each is
            a document: the state is reset before it.
        condition: what the model is conditioned on: "label", "vector" or "none"; default: as ``TextData``.
        encoding: of these files; default: UTF-8.
        validation: share at their end that is kept for validation; default: ``TextData.validation``.
        vectors: word vectors that the token vectors begin with: a file or a name.
        data_source: all of these.
        model: sizes and cell; default: those of ``init_from``, or ``LanguageModelConfig()``.
        data: tokenizer, streams, windows.
        options: name, training, init_from and so on, as of ``textseq.tasks.run.train``; its errors too.

    Example:
        >>> writer = textseq.train(text="novel.txt", name="mine")
        >>> writer.generate("It was")
    """
    given = {"corpus": corpus, "condition": condition, "encoding": encoding, "validation": validation}
    set_ = {name: value for name, value in {**given, "vectors": vectors}.items() if value is not None}
    files = file_names(text) if texts is None else (*file_names(text), *text_files(texts))
    named = TextData.from_dict({**set_, "text": files, "labelled": file_names(labelled)}, where="train")
    predictor = run.train(LANGUAGE_MODEL, run.data_source(data_source, named), model=model, data=data, **options)
    return cast(TextGenerator, predictor)


Text = TextDataset | LabelledDataset | ConditionalDataset
"""What a language model is trained on."""


class LanguageModelRun(Run[Text, TextGenerator]):
    """A run of a language model."""

    tokenizer: Tokenizer
    model: LanguageModel
    batches: Streams

    @classmethod
    def info_of(cls, dataset: Text) -> dict[str, Any]:
        """Language and condition; labels that the model is not conditioned on are none of it."""
        conditional = isinstance(dataset, ConditionalDataset)
        names = ("language", "labels", "vector_size") if conditional else ("language",)
        return {name: getattr(dataset, name) for name in names}

    @classmethod
    def make_tokenizer(cls, dataset: Text, data: DataConfig, report: Report) -> Tokenizer:
        return tokenizer_for(dataset, data, cache_folder(), report)

    @classmethod
    def extend_tokenizer(cls, dataset: Text, data: DataConfig, saved: Checkpoint) -> tuple[Tokenizer, str]:
        return saved.tokenizer.extended(dataset.documents("train"), data)

    @cached_property
    def text(self) -> EncodedText:
        """The training text."""
        return encoded(self.dataset, "train", self.tokenizer, cache_folder())

    @property
    def tokens(self) -> TokenFile:
        """Its tokens."""
        return self.text.tokens

    def make_model(self) -> LanguageModel:
        config = self.config(LanguageModelConfig, self.info.model)
        return LanguageModel(config, self.tokenizer.size, condition_count(self.info))

    def fitting(self, models: Sequence[ModelEntry]) -> ModelEntry | None:
        """The one with the smallest alphabet of those that know the letters of the text; None for source code."""
        chunks = chain.from_iterable(self.dataset.documents("train"))
        visible = [character for character in "".join(islice(chunks, 1))[:LETTERS_READ] if not character.isspace()]
        letters = [character for character in visible if character.isalpha()]
        if len(letters) < PROSE * len(visible):
            return None
        alphabets = {model.name: {*"".join(load_tokenizer(model.folder).vocabulary)} for model in models}
        fitting = [
            model
            for model in models
            if sum(letter in alphabets[model.name] for letter in letters) > KNOWN_LETTERS * len(letters)
        ]
        return min(fitting, key=lambda model: len(alphabets[model.name]), default=None)

    def make_batches(self, rows: int) -> Streams:
        data = replace(self.config(DataConfig, self.info.data), batch_size=rows)
        return Streams(self.tokens, data, self.training.seed, self.text.conditions)

    def prepare_validation(self, rows: int) -> None:
        self.validation = encoded(self.dataset, "validation", self.tokenizer, cache_folder())
        if (count := len(self.validation.tokens.ids)) < 2:
            raise TextseqError(
                f"--validation: expected a validation split of at least 2 tokens, got {count}; "
                "set a larger share, or 0 for none"
            )

    @property
    def summary(self) -> str:
        tokens, streams = len(self.tokens.ids), self.batches.streams
        told = f" with {counted(label=len(self.info.labels))}" if self.info.labels else ""
        return f"vocabulary {self.tokenizer.size}, {tokens:,} training tokens{told} in {streams} streams"

    def predictor(self) -> TextGenerator:
        return TextGenerator(self.model, self.tokenizer, self.info)

    def final_metrics(self, predictor: TextGenerator) -> list[Metrics]:
        """The loss with the state carried, and by windows; with labels also calibrates what is said of their texts."""
        most = len(self.validation.tokens.ids) - 1
        first = most if self.validation.conditions else FINAL_TOKENS  # whose beginning has only some of the conditions
        count = min(most, first)
        labels = len(self.info.labels)
        with self.measuring(2 * count + (passage_count(labels) * PASSAGE if labels > 1 else 0)) as bar:
            metrics = [
                self._measure(predictor.model, window=window, first=first, progress=bar.update)
                for window in (None, self.batches.config.window)
            ]
            if labels > 1:
                start = predictor.start_token()
                temperature = label_temperature(predictor.model, start, self.validation, progress=bar.update)
                predictor.info = replace(predictor.info, temperature=temperature or 1.0)
        for one in metrics:
            self.report(f"validation: {one}\n  {one.signature}")
        if labels > 1 and temperature:
            self.report(f"calibrated for textseq-classify: log-probabilities are divided by {temperature:.3f}")
        return [*metrics]

    def evaluate(self) -> Evaluation:
        metrics = self._measure(self.model, streams=self.batches.streams, first=self.training.evaluate_tokens)
        text = (
            f"{metrics.nats_per_token:.4f} nats per token, {metrics.bits_per_character:.4f} bits per character "
            f"(state carried, {self.batches.streams} streams)"
        )
        return Evaluation(metrics.nats_per_token, {"signature": metrics.signature}, text)

    def sample(self) -> str:
        """A text; of a conditional model one for each of the first conditions."""
        generator, seed = self.predictor(), self.training.seed
        if not isinstance(self.dataset, ConditionalDataset):
            return generator.generate("", max_new_tokens=SAMPLE_TOKENS, seed=seed)
        lines = []
        for name in self.dataset.conditions[:CONDITIONS_SHOWN]:
            condition: Conditioned = [*map(float, name.split())] if self.dataset.vectors else name
            text = generator.generate("", condition=condition, max_new_tokens=SAMPLE_TOKENS, seed=seed)
            lines.append(f"--- {name[:SHOWN_WIDTH]}\n{text.strip()}")
        return "\n".join(lines)

    def _measure(
        self,
        model: LanguageModel,
        *,
        first: int,
        window: int | None = None,
        streams: int = 1,
        progress: Callable[[int], object] = lambda count: None,
    ) -> LanguageModelMetrics:
        place = data_signature(self.dataset.name, self.dataset.splits, "validation")
        return measure(
            model,
            self.validation.tokens.ids,
            setup=f"{place}|tokens:{self.tokenizer.signature}",
            characters=self.validation.tokens.characters,
            words=self.validation.tokens.words,
            conditions=self.validation.conditions,
            window=window,
            streams=streams,
            first=first,
            progress=progress,
        )

    def check_teacher(self, teacher: Checkpoint) -> None:
        """One with the run's tokenizer, and without a condition or with the run's."""
        check_tokenizer(teacher, teacher.tokenizer.fingerprint, self.tokenizer.fingerprint)
        if self.model.config.sampled_softmax:
            raise TextseqError("--distil-from and --sampled-softmax exclude one another; leave one out")
        theirs, ours = ((info.labels, info.vector_size) for info in (teacher.info, self.info))
        if condition_count(teacher.info) and theirs != ours:
            raise TextseqError(
                f"--distil-from: expected models without a condition or with that of your data, got {teacher.folder} "
                "with another; leave it out"
            )

    def init_weights(self, init: Checkpoint) -> str:
        other = TextGenerator.open(init)
        here, there = self.model.config.shape(), other.model.config.shape()
        if not (condition_count(init.info) and condition_count(self.info)):
            there = replace(there, condition_size=here.condition_size)
        check_shape(init.folder, there, here)
        tables = dict.fromkeys(TABLES, Rows(self.tokenizer.vocabulary, init.tokenizer.vocabulary))
        if self.info.labels and init.info.labels:
            tables["condition.table"] = Rows(self.info.labels, init.info.labels)
        copied = copy_weights(self.model, self._under_own_condition(other, init.folder), tables)
        return f"{copied[TABLES[-1]]} of {self.tokenizer.size} tokens are known there"

    def _under_own_condition(self, other: TextGenerator, folder: Path) -> dict[str, Tensor]:
        """The weights of a model, without its condition or with a new one if this run has none or another."""
        have, want, vector_size = condition_count(other.info), condition_count(self.info), other.info.vector_size
        if have and not want:
            labels, named = other.info.labels, (self.info.init_from or "", self.dataset.name)
            shares: Conditioned = [0.0] * vector_size
            start = "a vector of zeros"
            if labels:
                label = next((name for name in named if name in labels or {*label_names(name)} <= {*labels}), None)
                shares, start = dict.fromkeys(labels, 1.0), "the mean of its labels"
                if label is not None:
                    shares, start = label, f"'{label}'"
            self.report(
                f"note: {folder} has a condition and your data have none: {start} is where the new model begins"
            )
            return without_condition(other.model, condition_numbers(shares, labels, vector_size))
        if want and not have:
            self.report(f"note: {folder} has no condition and your data have one: it is new")
            return with_condition(self.model, other.model.state_dict())
        if vector_size != self.info.vector_size:
            kinds = (
                f"a vector of {size} numbers" if size else "a label" for size in (vector_size, self.info.vector_size)
            )
            raise TextseqError(
                "--from: expected a model with the same kind of condition, got {}, whose condition is {}, where that "
                "of your data is {}; name another".format(folder, *kinds)
            )
        weights: dict[str, Tensor] = other.model.state_dict()
        return weights
