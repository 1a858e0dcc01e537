"""The run of a writer: from a text and settings to a trained language model in its folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from textseq.checkpoints import checkpoint
from textseq.checkpoints.model_card import About
from textseq.checkpoints.registry import Facts
from textseq.checkpoints.size_limits import fitting_memory
from textseq.config.training import TrainingConfig
from textseq.data.labelled import LabelledDataset
from textseq.data.sources import TextData, file_names
from textseq.data.text import TextDataset
from textseq.data.token_files import token_file, tokenizer_for
from textseq.errors import TextseqError
from textseq.io.paths import cache_folder
from textseq.metrics.language_model import LanguageModelMetrics
from textseq.nn.embedding import carry_over
from textseq.tasks.language_model.batches import Streams
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.tasks.language_model.evaluate import measure
from textseq.tasks.language_model.generator import Writer, open_generator
from textseq.tasks.language_model.model import LanguageModel
from textseq.tasks.language_model.spec import describe
from textseq.tokenizers.base import Tokenizer
from textseq.training.events import Evaluation
from textseq.training.provenance import facts_of
from textseq.training.run import TaskRun
from textseq.training.run_folder import (
    going_on,
    load_init_model,
    new_folder,
    same_shape,
    same_text,
    saved,
    saved_fingerprint,
    suited,
)

log = logging.getLogger("textseq")


FINAL_TOKENS = 500_000
"""Tokens of the validation part that the final measure reads at most; ``textseq-evaluate`` reads all."""

SAMPLE_TOKENS = 200
"""Tokens of the text shown after each evaluation."""


def train_language_model(
    corpus: str | None = None,
    *,
    text: Sequence[Path | str] | Path = (),
    encoding: str = "utf-8",
    validation: float = 0.1,
    name: str | None = None,
    model: LanguageModelConfig | None = None,
    batching: DataConfig | None = None,
    training: TrainingConfig | None = None,
    init_from: str | None = None,
    vectors: str | None = None,
    overwrite: bool = False,
    data_dir: Path | None = None,
    download: bool = False,
    report: Callable[[str], None] = log.info,
) -> Writer:
    """Train a language model, and return it as it was at its best.

    Args:
        corpus: a corpus by name; or
        text: one's own files and folders.
        encoding: of these files.
        validation: the share at their end that is kept for validation.
        name: of the run; the corpus's name, or the first file's, by default.
        model: sizes and cell; with ``init_from``, that model's by default.
        batching: tokenizer, streams, windows.
        training: optimizer, schedule, limits.
        init_from: a model whose weights to begin with; tokens that both vocabularies have keep their vectors.
        vectors: word vectors that the token vectors begin with: a file, or a name of ``vector_files.list_vectors()``.
        overwrite: replace a run of this name.
        data_dir: folder of the corpora; ``TEXTSEQ_DATA`` by default.
        download: fetch what is not there.
        report: where lines about the run go.

    Raises:
        TextseqError: anything that the user can mend, told before the first step wherever it can be.
        Interrupted: after Ctrl-C or SIGTERM; the run has saved itself.
    """
    source = TextData(
        corpus=corpus,
        text=tuple(str(Path(path).resolve()) for path in file_names(text)),
        encoding=encoding,
        validation=validation,
        vectors=vectors,
    )
    if name is None:
        name = corpus or (Path(source.text[0]).stem if source.text else "") or "run"
    folder = new_folder(name, overwrite=overwrite)
    base = load_init_model(init_from, "language-model", vectors=vectors)
    if model is None:
        model = open_generator(base).model.config if base else LanguageModelConfig()
    batching, training = batching or DataConfig(), suited(training or TrainingConfig(), "language-model")
    opened = source.open(data_dir=data_dir, download=download)
    for note in opened.notes:
        report(note)
    settings = model, batching, training
    facts = facts_of("language-model", source, opened, (init_from, base), settings, language=opened.language)
    tokenizer = tokenizer_for(opened, batching, cache_folder())
    for note in tokenizer.notes(batching):
        report(note)
    run = LanguageModelRun(folder, facts, opened, tokenizer, model, batching, training, report)
    if base:
        _init_from(run, base)
    table = run.model.embedding.weight
    run.load_vectors(table, tokenizer.vocabulary, vectors, data_dir=data_dir, download=download)
    return run.run(overwrite=overwrite)


def resume_language_model(
    folder: Path,
    found: checkpoint.Checkpoint,
    *,
    training: TrainingConfig | None,
    data_dir: Path | None,
    download: bool,
    report: Callable[[str], None],
) -> Writer:
    """Go on with a run from its last checkpoint, ``found``; see ``runs.resume``."""
    facts, place = found.facts, found.folder
    opened = saved(facts, place, "source", TextData).open(data_dir=data_dir, download=download)
    same_text(folder, saved_fingerprint(facts, place), opened.fingerprint)
    before = saved(facts, place, "training", TrainingConfig)
    training = going_on(training, before, folder, "language-model")
    model, batching = saved(facts, place, "model", LanguageModelConfig), saved(facts, place, "data", DataConfig)
    return LanguageModelRun(folder, facts, opened, found.tokenizer, model, batching, training, report).run(resume=True)


class LanguageModelRun(TaskRun[Writer]):
    """A run of a language model.

    Args:
        folder: the run's.
        facts: for ``config.json``.
        corpus: the text.
        tokenizer: of the text.
        model: sizes and cell.
        batching: streams and windows.
        training: limits, seed and device.
        report: where lines about the run go.

    Raises:
        TextseqError: whatever does not fit together.
    """

    use = "write with: textseq-sample --author"
    tokenizer: Tokenizer
    model: LanguageModel

    def __init__(
        self,
        folder: Path,
        facts: Facts,
        corpus: TextDataset | LabelledDataset,
        tokenizer: Tokenizer,
        model: LanguageModelConfig,
        batching: DataConfig,
        training: TrainingConfig,
        report: Callable[[str], None],
    ) -> None:
        super().__init__(folder, facts, corpus.splits, training, report)
        tokens = token_file(corpus, "train", tokenizer, cache_folder())
        streams = Streams(tokens, batching, training.seed)
        self.held_out = token_file(corpus, "validation", tokenizer, cache_folder()) if self.measured else None
        if self.held_out is not None and len(self.held_out.ids) < 2:
            raise TextseqError(
                f"the validation part must have at least 2 tokens, found {len(self.held_out.ids)}; set a larger "
                "--validation, or 0 for none"
            )
        torch.manual_seed(training.seed)
        self.tokenizer = tokenizer
        with fitting_memory():
            made = LanguageModel(model, tokenizer.size)
        self.model = made.to(self.device)
        self.batches = self.streams = self.settled(streams)
        parameters = sum(p.numel() for p in self.model.parameters())
        self.summary = (
            f"{parameters:,} parameters, vocabulary {tokenizer.size}, {len(tokens.ids):,} training tokens in "
            f"{self.streams.streams} streams"
        )
        self.source = f"corpus:{corpus.name}|split:validation|tokenizer:{tokenizer.signature}"

    def describe(self, facts: Facts, rows: Sequence[Facts]) -> About:
        """What the model card says of it."""
        return describe(self.folder.name, facts, rows)

    def open(self, found: checkpoint.Checkpoint) -> Writer:
        """The writer of a checkpoint."""
        return open_generator(found, str(self.device))

    def measure(self, job: Writer, found: checkpoint.Checkpoint) -> list[Facts]:
        """The loss with the state carried, and by windows."""
        windows = (None, self.streams.config.window)
        measures = [self._measure(job.model, window=window, first=FINAL_TOKENS) for window in windows]
        for measured in measures:
            self.report(f"validation: {measured}\n  {measured.signature}")
        return [measured.to_dict() for measured in measures]

    def evaluate(self) -> Evaluation:
        """The loss on the validation part, or on so much of it as the settings say."""
        n = self.streams.streams
        found = self._measure(self.model, streams=n, first=self.training.evaluate_tokens)
        words = (
            f"{found.nats_per_token:.4f} nats per token, {found.bits_per_character:.4f} bits per character "
            f"(state carried, {n} streams)"
        )
        results: Facts = {"nats_per_token": found.nats_per_token, "signature": found.signature}
        return Evaluation(found.nats_per_token, results, words)

    def sample(self) -> str:
        """A text to look at."""
        writer = Writer(self.model, self.tokenizer, self.facts)
        return writer.generate(max_new_tokens=SAMPLE_TOKENS, seed=self.training.seed)

    def _measure(
        self, model: LanguageModel, *, first: int, window: int | None = None, streams: int = 1
    ) -> LanguageModelMetrics:
        assert self.held_out is not None
        return measure(
            model,
            self.held_out.ids,
            source=self.source,
            characters=self.held_out.characters,
            window=window,
            streams=streams,
            first=first,
        )


def _init_from(run: LanguageModelRun, base: checkpoint.Checkpoint) -> None:
    """Fill the new model with another's weights; rows of the vocabulary go by the tokens' strings."""
    old = open_generator(base).model
    same_shape(base.folder, old.config.shape(), run.model.config.shape())
    new_weights, old_weights = run.model.state_dict(), old.state_dict()
    by_token = {"embedding.weight", "output.weight", "output.bias"}
    with torch.no_grad():
        for name, tensor in old_weights.items():
            if name not in by_token:
                new_weights[name].copy_(tensor)
    for name in sorted(by_token):
        carried = carry_over(new_weights[name], run.tokenizer.vocabulary, old_weights[name], base.tokenizer.vocabulary)
    run.report(f"weights from {base.folder}; {carried} of {run.tokenizer.size} tokens were known there")
