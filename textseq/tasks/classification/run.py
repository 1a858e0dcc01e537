"""The run of a classifier: from labelled texts and settings to a trained model in its folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from textseq.checkpoints import checkpoint
from textseq.checkpoints.model_card import About, labels_of
from textseq.checkpoints.registry import Facts
from textseq.checkpoints.size_limits import fitting_memory
from textseq.config.tokenizer import TokenizerConfig
from textseq.config.training import TrainingConfig, rows_of
from textseq.data.labelled import LabelledDataset
from textseq.data.sources import LabelledData, file_names
from textseq.data.token_files import labelled_token_file, tokenizer_for
from textseq.errors import TextseqError
from textseq.io.paths import cache_folder
from textseq.metrics.classification import fit_temperature, measure_labels
from textseq.nn.embedding import carry_over
from textseq.tasks.classification.batches import TextBatches
from textseq.tasks.classification.classifier import Classifier, open_classifier, read_text
from textseq.tasks.classification.config import ClassifierConfig, ClassifierTrainingConfig, LabelledConfig
from textseq.tasks.classification.model import ClassifierModel
from textseq.tasks.classification.spec import describe
from textseq.tasks.language_model.generator import open_generator
from textseq.tokenizers.base import Tokenizer
from textseq.training.events import Evaluation
from textseq.training.provenance import facts_of, overlap, spoiled
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


SHOWN = 3
"""Texts whose labels are shown after each evaluation."""

WIDE = 70
"""Characters of them."""

STARTS = "classification", "language-model"
"""The tasks of models that a classifier may begin with."""

STACK = ("cell", "num_layers", "hidden_size", "embedding_size")
"""What a classifier that begins with a language model's weights has as that has it."""


def train_classifier(
    corpus: str | None = None,
    *,
    labelled: Sequence[Path | str] | Path = (),
    origin: LabelledData | None = None,
    name: str | None = None,
    model: ClassifierConfig | None = None,
    batching: LabelledConfig | None = None,
    training: TrainingConfig | None = None,
    init_from: str | None = None,
    overwrite: bool = False,
    data_dir: Path | None = None,
    download: bool = False,
    report: Callable[[str], None] = log.info,
) -> Classifier:
    """Train a classifier, and return it as it was at its best.

    Args:
        corpus: a corpus of labelled texts by name; or
        labelled: one's own files or folders.
        origin: either of these at once, and how one's own files are read.
        name: of the run; the corpus's name, or the first file's, by default.
        model: sizes and kinds; with ``init_from``, that model's by default.
        batching: tokenizer, batches.
        training: optimizer, schedule, limits.
        init_from: a model whose weights and tokens to begin with: a classifier (labels that both have keep theirs), or
            a language model, whose embedding and layers it takes over (Howard and Ruder 2018).
        overwrite: replace a run of this name.
        data_dir: folder of the corpora; ``TEXTSEQ_DATA`` by default.
        download: fetch what is not there.
        report: where lines about the run go.

    Raises:
        TextseqError: anything that the user can mend, told before the first step wherever it can be.
        Interrupted: after Ctrl-C or SIGTERM; the run has saved itself.
    """
    if origin is None:
        origin = LabelledData(corpus=corpus, labelled=file_names(labelled))
    elif corpus or labelled:
        raise TextseqError("origin says all of the texts; leave out corpus and labelled beside it")
    origin = origin.resolved()
    opened = origin.open(data_dir=data_dir, download=download)
    folder = new_folder(origin.default_name(opened) if name is None else name, overwrite=overwrite)
    base = load_init_model(init_from, *STARTS, vectors=origin.vectors)
    settings = model, batching, training = settled(model, batching, training, base)
    if base and (known := overlap(base.facts, opened)) is not None:
        report(f"note: {spoiled(base.folder, known, opened)}")
    for note in opened.notes:
        report(note)
    facts = facts_of(
        "classification", origin, opened, (init_from, base), settings, language=opened.language, labels=[*opened.labels]
    )
    tokenizer = base.tokenizer if base else tokenizer_for(_Read(opened), batching, cache_folder())
    for note in tokenizer.notes(batching):
        report(note)
    run = ClassificationRun(folder, facts, opened, tokenizer, model, batching, training, report)
    if base:
        _init_from(run, base)
    table = run.model.embedding.weight
    run.load_vectors(table, tokenizer.vocabulary, origin.vectors, data_dir=data_dir, download=download)
    return run.run(overwrite=overwrite)


def resume_classifier(
    folder: Path,
    found: checkpoint.Checkpoint,
    *,
    training: TrainingConfig | None,
    data_dir: Path | None,
    download: bool,
    report: Callable[[str], None],
) -> Classifier:
    """Go on with a run from its last checkpoint, ``found``; see ``runs.resume``."""
    facts, place = found.facts, found.folder
    opened = saved(facts, place, "source", LabelledData).open(data_dir=data_dir, download=download)
    same_text(folder, saved_fingerprint(facts, place), opened.fingerprint)
    before = saved(facts, place, "training", ClassifierTrainingConfig)
    training = going_on(training, before, folder, "classification")
    model, batching = saved(facts, place, "model", ClassifierConfig), saved(facts, place, "data", LabelledConfig)
    return ClassificationRun(folder, facts, opened, found.tokenizer, model, batching, training, report).run(resume=True)


def settled(
    model: ClassifierConfig | None,
    batching: LabelledConfig | None,
    training: TrainingConfig | None,
    base: checkpoint.Checkpoint | None,
) -> tuple[ClassifierConfig, LabelledConfig, TrainingConfig]:
    """The settings, with those of the model to begin with, or the defaults, for what is not given."""
    if model is None:
        model = like(base.facts.get("task"), base.facts.get("model")) if base else ClassifierConfig()
    batching = batching or LabelledConfig()
    if base:  # whose tokens are the ones that it knows
        batching = _with_tokens_of(base, batching)
    return model, batching, suited(training or ClassifierTrainingConfig(), "classification")


def _with_tokens_of(base: checkpoint.Checkpoint, batching: LabelledConfig) -> LabelledConfig:
    """The settings with the tokenizer of a model.

    Raises:
        TextseqError: they ask for another.
    """
    tokens, asked, usual = tokens_of(base.facts), batching.to_dict(), LabelledConfig().to_dict()
    if other := [name for name, value in tokens.items() if asked[name] not in (value, usual[name])]:
        flag = other[0].replace("_", "-")
        raise TextseqError(
            f"--from takes over the tokens of {base.folder}, with --{flag} {tokens[other[0]]}; found --{flag} "
            f"{asked[other[0]]}; leave it out"
        )
    return LabelledConfig.from_dict({**asked, **tokens}, where=str(base.folder))


class _Read:
    """The texts of a corpus as a model reads them, for the tokenizer and the token files."""

    def __init__(self, corpus: LabelledDataset) -> None:
        self.name, self.splits, self.fingerprint = corpus.name, corpus.splits, corpus.fingerprint
        self.corpus, self.labels = corpus, corpus.labels

    def documents(self, split: str) -> Iterator[tuple[str]]:
        """Each text of a split, as a document of one chunk."""
        return (document for document, _ in self.labelled_documents(split))

    def labelled_documents(self, split: str) -> Iterator[tuple[tuple[str], str]]:
        """Each text of a split, as a document of one chunk, with its label."""
        return (((read_text(text),), label) for text, label in self.corpus.examples(split))


class ClassificationRun(TaskRun[Classifier]):
    """A run of a classifier.

    Args:
        folder: the run's.
        facts: for ``config.json``.
        corpus: the texts.
        tokenizer: of the texts.
        model: sizes and kinds.
        batching: batches.
        training: limits, seed and device.
        report: where lines about the run go.

    Raises:
        TextseqError: whatever does not fit together.
    """

    use = "classify with: textseq-classify --model"
    unit = "text"
    tokenizer: Tokenizer
    model: ClassifierModel

    def __init__(
        self,
        folder: Path,
        facts: Facts,
        corpus: LabelledDataset,
        tokenizer: Tokenizer,
        model: ClassifierConfig,
        batching: LabelledConfig,
        training: TrainingConfig,
        report: Callable[[str], None],
    ) -> None:
        super().__init__(folder, facts, corpus.splits, training, report)
        self.corpus, self.tokenizer = corpus, tokenizer
        labelled = self._batches("train", rows_of(batching.batch_size), batching.longest)
        self.held_out: TextBatches | None = None
        if self.measured:
            self.held_out = self._batches("validation", rows_of(batching.batch_size))
        counts = np.bincount(labelled.labels, minlength=len(corpus.labels))
        torch.manual_seed(training.seed)
        with fitting_memory():
            made = ClassifierModel(model, tokenizer.size, len(corpus.labels), _weights(model, counts))
        self.model = made.to(self.device)
        self.batches = self.settled(labelled)
        parameters = sum(p.numel() for p in self.model.parameters())
        each = ", ".join(f"{label} {count:,}" for label, count in zip(corpus.labels, counts.tolist(), strict=True))
        self.summary = f"{parameters:,} parameters, vocabulary {tokenizer.size}, {int(counts.sum()):,} texts ({each})"

    def _batches(self, split: str, batch_size: int, longest: int | None = None) -> TextBatches:
        texts = labelled_token_file(_Read(self.corpus), split, self.tokenizer, cache_folder())
        return TextBatches(texts, texts.labels, batch_size, self.training.seed, longest)

    def describe(self, facts: Facts, rows: Sequence[Facts]) -> About:
        """What the model card says of it."""
        return describe(self.folder.name, facts, rows)

    def open(self, found: checkpoint.Checkpoint) -> Classifier:
        """The classifier of a checkpoint."""
        return open_classifier(found, str(self.device))

    def measure(self, job: Classifier, found: checkpoint.Checkpoint) -> list[Facts]:
        """Calibrate it first."""
        logits, right = self._held_out(job)
        found.facts["temperature"] = job.facts["temperature"] = fit_temperature(logits, right)
        measured = job.measure(self.corpus, "validation")
        self.report(
            f"validation: {measured}\n  {measured.signature}\n{measured.table()}\n"
            f"calibrated: logits over {job.temperature:.3f}"
        )
        return [measured.to_dict()]

    def evaluate(self) -> Evaluation:
        """Loss and accuracy on the validation part."""
        logits, right = self._held_out(Classifier(self.model, self.tokenizer, self.facts), some=True)
        log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        found = measure_labels(log_p, right, self.corpus.labels)
        self.model.eval()
        results: Facts = {"nats_per_token": found.nats, "accuracy": found.accuracy}
        words = f"accuracy {found.accuracy:.2%}, {found.nats:.4f} nats per text"
        criterion = -found.accuracy if self.training.best_by == "accuracy" else None
        return Evaluation(found.nats, results, words, criterion=criterion)

    def sample(self) -> str:
        """Some texts of the validation part, and their labels."""
        split = "validation" if self.measured else "train"
        examples = list(islice(self.corpus.examples(split), SHOWN))
        found = Classifier(self.model, self.tokenizer, self.facts).classify([text for text, _ in examples])
        shown = (" ".join(text.split()) for text, _ in examples)
        return "\n".join(
            f"  {one.label} ({one.probability:.0%}; it is {label}): {text[:WIDE]}{'...' * (len(text) > WIDE)}"
            for one, (_, label), text in zip(found, examples, shown, strict=True)
        )

    def _held_out(self, classifier: Classifier, *, some: bool = False) -> tuple[np.ndarray, list[int]]:
        """The logits of the validation part, or of so much as the settings say, and the numbers of the labels."""
        assert self.held_out is not None
        step = -(-int(self.held_out.lengths.sum()) // self.training.evaluate_tokens) if some else 1
        numbers = range(0, len(self.held_out.labels), step)
        return classifier.logits_of([*map(self.held_out.tokens, numbers)]), self.held_out.labels[::step].tolist()


def _weights(model: ClassifierConfig, counts: np.ndarray) -> Tensor | None:
    """What an example of each label counts, so that all labels count alike together."""
    if model.class_weights == "none":
        return None
    return torch.from_numpy(counts.sum() / (len(counts) * np.maximum(counts, 1))).float()


def like(task: object, settings: object) -> ClassifierConfig:
    """The classifier that the weights of a model fit: of a classifier its own settings, of a language model its stack.

    Raises:
        TextseqError: a language model with what a classifier has not.
    """
    table = settings if isinstance(settings, dict) else {}
    if task == "classification":
        return ClassifierConfig.from_dict(table, where="--from")
    for name in ("residual", "layer_norm", "learn_initial_state"):
        if table.get(name):
            flag = name.replace("_", "-")
            raise TextseqError(
                f"--from wants a language model without --{flag}, which a classifier has not; name another"
            )
    kept = {name: table[name] for name in STACK if name in table}
    both = bool(table.get("bidirectional")) and table.get("num_layers") == 1  # upper layers would read what both found
    return ClassifierConfig.from_dict({**kept, "bidirectional": both}, where="--from")


def tokens_of(facts: Mapping[str, object]) -> Facts:
    """The settings of the tokenizer that a model was trained with."""
    table = facts.get("data")
    names = {item.name for item in fields(TokenizerConfig)}
    return {name: value for name, value in table.items() if name in names} if isinstance(table, dict) else {}


def _init_from(run: ClassificationRun, base: checkpoint.Checkpoint) -> None:
    """Fill the new model with another's weights: a classifier's, or the embedding and the stack of a language model."""
    asked, old = run.model.config.shape(), like(base.facts.get("task"), base.facts.get("model")).shape()
    writes = base.facts.get("task") == "language-model"
    (open_generator if writes else open_classifier)(base)  # what does not fit together is told
    if writes:  # what is read is as it was, what is made of it is the classifier's own
        second = (
            asked.bidirectional and asked.num_layers == 1
        )  # a direction that is drawn anew; layers above would read it
        old = replace(old, pooling=asked.pooling, readout_size=asked.readout_size, bidirectional=second)
    same_shape(base.folder, old, asked)
    new_weights = run.model.state_dict()
    splits = ("embedding.", "recurrent.") if writes else ("embedding.", "recurrent.", "pooling.", "readout.")
    with torch.no_grad():
        for name, tensor in base.weights.items():
            if writes and name.startswith("reverse."):  # the stack that reads the other way round
                name = f"recurrent.{name.removeprefix('reverse.')}_reverse"
            if name.startswith(splits) and name in new_weights:
                new_weights[name].copy_(tensor)
    if not writes:
        for name in ("output.weight", "output.bias"):
            carry_over(new_weights[name], run.corpus.labels, base.weights[name], labels_of(base.facts))
    run.report(f"weights from {base.folder}; the tokens are those of that model")
