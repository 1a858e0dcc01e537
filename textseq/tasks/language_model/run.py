"""Training of a language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Unpack, cast

from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.registry import ModelEntry
from textseq.data.in_memory import Column, text_files
from textseq.data.labelled import LabelledDataset
from textseq.data.sources import TextData, file_names
from textseq.data.text import TextDataset
from textseq.data.token_files import TokenFile, token_file, tokenizer_for
from textseq.errors import TextseqError
from textseq.io.paths import cache_folder
from textseq.metrics.language_model import LanguageModelMetrics
from textseq.tasks import run
from textseq.tasks.base import Report, Run
from textseq.tasks.initialization import Rows, check_shape, copy_weights
from textseq.tasks.language_model.batches import Streams
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.tasks.language_model.evaluate import measure
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.language_model.model import LanguageModel
from textseq.tasks.language_model.spec import LANGUAGE_MODEL
from textseq.tasks.predictor import Metrics
from textseq.tokenizers.base import Tokenizer
from textseq.tokenizers.registry import load_tokenizer
from textseq.training.events import Evaluation

FINAL_TOKENS = 500_000
"""Tokens of the validation split that the final measurement reads at most; ``textseq-evaluate`` reads all."""
SAMPLE_TOKENS = 200
"""Tokens of the text shown after each evaluation."""
LETTERS_READ = 20_000
"""Characters of a text that show whether a model knows its letters."""
KNOWN_LETTERS = 0.995
"""Share of these letters that a model must know."""
TABLES = ("embedding.weight", "output.weight", "output.bias")
"""Parameters with a row for each token."""


def train(
    corpus: str | None = None,
    *,
    text: Sequence[Path | str] | Path = (),
    texts: Column | None = None,
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
        texts: one's own texts in memory: a list, an array, a column of pandas, polars or Hugging Face datasets. Each is
            a document: the state is reset before it.
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
    given = {"corpus": corpus, "encoding": encoding, "validation": validation, "vectors": vectors}
    set_ = {name: value for name, value in given.items() if value is not None}
    files = file_names(text) if texts is None else (*file_names(text), *text_files(texts))
    named = TextData.from_dict({**set_, "text": files}, where="train")
    predictor = run.train(LANGUAGE_MODEL, run.data_source(data_source, named), model=model, data=data, **options)
    return cast(TextGenerator, predictor)


class LanguageModelRun(Run[TextDataset | LabelledDataset, TextGenerator]):
    """A run of a language model."""

    tokenizer: Tokenizer
    model: LanguageModel
    batches: Streams

    @classmethod
    def make_tokenizer(cls, dataset: TextDataset | LabelledDataset, data: DataConfig, report: Report) -> Tokenizer:
        return tokenizer_for(dataset, data, cache_folder(), report)

    @classmethod
    def extend_tokenizer(
        cls, dataset: TextDataset | LabelledDataset, data: DataConfig, saved: Checkpoint
    ) -> tuple[Tokenizer, str]:
        return saved.tokenizer.extended(dataset.documents("train"), data)

    @cached_property
    def tokens(self) -> TokenFile:
        """The training text."""
        return token_file(self.dataset, "train", self.tokenizer, cache_folder())

    def make_model(self) -> LanguageModel:
        return LanguageModel(self.config(LanguageModelConfig, self.info.model), self.tokenizer.size)

    def fitting(self, models: Sequence[ModelEntry]) -> ModelEntry | None:
        """The one with the smallest alphabet of those that know the letters of the text."""
        chunks = chain.from_iterable(self.dataset.documents("train"))
        letters = [character for character in "".join(islice(chunks, 1))[:LETTERS_READ] if character.isalpha()]
        alphabets = {model.name: {*"".join(load_tokenizer(model.folder).vocabulary)} for model in models}
        fitting = [
            model
            for model in models
            if sum(letter in alphabets[model.name] for letter in letters) > KNOWN_LETTERS * len(letters)
        ]
        return min(fitting, key=lambda model: len(alphabets[model.name]), default=None)

    def make_batches(self, rows: int) -> Streams:
        data = replace(self.config(DataConfig, self.info.data), batch_size=rows)
        return Streams(self.tokens, data, self.training.seed)

    def prepare_validation(self, rows: int) -> None:
        self.validation = token_file(self.dataset, "validation", self.tokenizer, cache_folder())
        if len(self.validation.ids) < 2:
            raise TextseqError(
                f"--validation: expected a validation split of at least 2 tokens, got {len(self.validation.ids)}; "
                "set a larger share, or 0 for none"
            )

    @property
    def summary(self) -> str:
        tokens, streams = len(self.tokens.ids), self.batches.streams
        return f"vocabulary {self.tokenizer.size}, {tokens:,} training tokens in {streams} streams"

    def predictor(self) -> TextGenerator:
        return TextGenerator(self.model, self.tokenizer, self.info)

    def final_metrics(self, predictor: TextGenerator) -> list[Metrics]:
        """The loss with the state carried, and by windows."""
        count = min(len(self.validation.ids) - 1, FINAL_TOKENS)
        with self.measuring(2 * count) as bar:
            metrics = [
                self._measure(predictor.model, window=window, first=FINAL_TOKENS, progress=bar.update)
                for window in (None, self.batches.config.window)
            ]
        for one in metrics:
            self.report(f"validation: {one}\n  {one.signature}")
        return [*metrics]

    def evaluate(self) -> Evaluation:
        metrics = self._measure(self.model, streams=self.batches.streams, first=self.training.evaluate_tokens)
        text = (
            f"{metrics.nats_per_token:.4f} nats per token, {metrics.bits_per_character:.4f} bits per character "
            f"(state carried, {self.batches.streams} streams)"
        )
        results = {"nats_per_token": metrics.nats_per_token, "signature": metrics.signature}
        return Evaluation(metrics.nats_per_token, results, text)

    def sample(self) -> str:
        return self.predictor().generate("", max_new_tokens=SAMPLE_TOKENS, seed=self.training.seed)

    def _measure(
        self,
        model: LanguageModel,
        *,
        first: int,
        window: int | None = None,
        streams: int = 1,
        progress: Callable[[int], object] = lambda count: None,
    ) -> LanguageModelMetrics:
        return measure(
            model,
            self.validation.ids,
            setup=f"corpus:{self.dataset.name}|split:validation|tokenizer:{self.tokenizer.signature}",
            characters=self.validation.characters,
            window=window,
            streams=streams,
            first=first,
            progress=progress,
        )

    def init_weights(self, init: Checkpoint) -> str:
        other = TextGenerator.open(init)
        check_shape(init.folder, other.model.config.shape(), self.model.config.shape())
        tables = dict.fromkeys(TABLES, Rows(self.tokenizer.vocabulary, init.tokenizer.vocabulary))
        copied = copy_weights(self.model, other.model.state_dict(), tables)
        return f"{copied[TABLES[-1]]} of {self.tokenizer.size} tokens are known there"
