"""Training of a classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Unpack, cast

import numpy as np
import torch
from torch import Tensor

from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.model_info import ModelInfo, Table
from textseq.data.in_memory import Column, is_list, labelled_files
from textseq.data.labelled import LabelledDataset
from textseq.data.rows import split_labels
from textseq.data.sources import LabelledData, file_names
from textseq.data.token_files import TokenFile, labelled_token_file, tokenizer_for
from textseq.errors import TextseqError
from textseq.io.paths import cache_folder
from textseq.metrics.classification import fit_temperature, measure_labels
from textseq.metrics.multi_label import choose_threshold, marks_of
from textseq.tasks import run
from textseq.tasks.base import Report, Run
from textseq.tasks.classification.batches import TextBatches
from textseq.tasks.classification.classifier import Classifier, padded_text
from textseq.tasks.classification.config import ClassifierConfig, LabelledConfig
from textseq.tasks.classification.leakage import leak, leak_warning
from textseq.tasks.classification.model import ClassifierModel
from textseq.tasks.classification.spec import CLASSIFICATION
from textseq.tasks.initialization import Rows, check_shape, copy_weights, tokenizer_settings
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.predictor import Metrics
from textseq.tokenizers.base import Tokenizer
from textseq.training.events import Evaluation

SHOWN = 3
"""Texts whose labels are shown after each evaluation."""
WIDTH = 70
"""Characters of them."""
EMBEDDING = "embedding.weight"
STACK = ("cell", "num_layers", "hidden_size", "embedding_size")
"""Settings that a classifier shares with the language model that it is initialized from."""


def train_classifier(
    corpus: str | None = None,
    *,
    labelled: Sequence[Path | str] | Path = (),
    texts: Column | None = None,
    labels: Iterable[object] = (),
    data_source: LabelledData | None = None,
    model: ClassifierConfig | None = None,
    data: LabelledConfig | None = None,
    **options: Unpack[run.TrainOptions],
) -> Classifier:
    """Train a classifier on a corpus of labelled texts by name or on one's own texts.

    With ``init_from`` it takes over that model's tokenizer, and a classifier's labels and weights, or the embedding and
    layers of a language model (Howard and Ruder 2018).

    Args:
        corpus: a corpus of labelled texts by name; or
        labelled: one's own files or folders; or
        texts: one's own texts in memory: a list, an array, a column of pandas, polars or Hugging Face datasets.
        labels: of each text: strings, whole numbers or truth values; or lists of them, as with ``multi_label``.
        data_source: either of these, with all settings of how files are read.
        model: sizes and kinds; default: those of ``init_from``, or ``ClassifierConfig()``.
        data: tokenizer and batches.
        options: name, training, init_from and so on, as of ``textseq.tasks.run.train``; its errors too.

    Example:
        >>> classifier = textseq.train_classifier(labelled="reviews.csv", name="mine")
        >>> classifier.classify("a masterpiece").label
        >>> classifier = textseq.train_classifier(texts=table["text"], labels=table["stars"], name="mine")
    """
    labels = [*labels]
    several = any(is_list(label) for label in labels[:1])
    files = file_names(labelled) if texts is None else (*file_names(labelled), *labelled_files(texts, labels))
    source = run.data_source(data_source, LabelledData(corpus=corpus, labelled=files, multi_label=several))
    predictor = run.train(CLASSIFICATION, source, model=model, data=data, **options)
    return cast(Classifier, predictor)


class ClassificationRun(Run[LabelledDataset, Classifier]):
    """A run of a classifier."""

    dataset_info = ("language", "labels", "threshold")
    unit = "text"
    init_tasks = ("language-model",)
    tokenizer: Tokenizer
    model: ClassifierModel
    batches: TextBatches

    @classmethod
    def init_settings(cls, info: ModelInfo) -> tuple[Table, Table]:
        return compatible_config(info).to_dict(), tokenizer_settings(info.data)

    @classmethod
    def make_tokenizer(cls, dataset: LabelledDataset, data: LabelledConfig, report: Report) -> Tokenizer:
        return tokenizer_for(_PaddedTexts(dataset), data, cache_folder(), report)

    @classmethod
    def extend_tokenizer(
        cls, dataset: LabelledDataset, data: LabelledConfig, saved: Checkpoint
    ) -> tuple[Tokenizer, str]:
        return saved.tokenizer.extended(_PaddedTexts(dataset).documents("train"), data)

    @cached_property
    def data(self) -> LabelledConfig:
        """Settings of the batches."""
        return self.config(LabelledConfig, self.info.data)

    def make_model(self) -> ClassifierModel:
        config = self.config(ClassifierConfig, self.info.model)
        several = self.info.threshold is not None
        if several and config.class_weights != "none":
            raise TextseqError("--class-weights: expected none with --multi-label, got balanced; leave it out")
        if several and self.training.best_by == "macro_f1":
            raise TextseqError("--best-by: expected accuracy or loss with --multi-label, got macro_f1; choose one")
        weights = _class_weights(config, self.counts)
        return ClassifierModel(config, self.tokenizer.size, len(self.info.labels), weights, multi_label=several)

    def texts(self) -> Iterator[str]:
        return (text for text, _ in self.dataset.examples("train"))

    def make_batches(self, rows: int) -> TextBatches:
        return self._batches("train", rows, self.data.longest)

    def prepare_validation(self, rows: int) -> None:
        self.validation = self._batches("validation", rows)

    def _tokens(self, split: str) -> TokenFile:
        return labelled_token_file(_PaddedTexts(self.dataset), split, self.tokenizer, cache_folder())

    def _batches(self, split: str, rows: int, longest: int | None = None) -> TextBatches:
        texts = self._tokens(split)
        return TextBatches(texts, self._targets(texts), rows, self.training.seed, longest)

    def _targets(self, texts: TokenFile) -> np.ndarray:
        """The labels of each text as ``TextBatch`` has them: numbers (D,), or marks (D, C)."""
        if not self.dataset.label_sets:
            return texts.labels
        marks = marks_of(map(split_labels, self.dataset.label_sets), self.dataset.labels)
        return np.asarray(marks[texts.labels], np.float32)

    @cached_property
    def counts(self) -> np.ndarray:
        """Training texts of each label, (C,)."""
        targets = self._targets(self._tokens("train"))
        return targets.sum(axis=0) if targets.ndim > 1 else np.bincount(targets, minlength=len(self.dataset.labels))

    @property
    def summary(self) -> str:
        pairs = zip(self.dataset.labels, self.counts.tolist(), strict=True)
        counts = ", ".join(f"{label} {count:,.0f}" for label, count in pairs)
        return f"vocabulary {self.tokenizer.size}, {len(self._tokens('train').labels):,} texts ({counts})"

    def predictor(self) -> Classifier:
        return Classifier(self.model, self.tokenizer, self.info)

    def final_metrics(self, predictor: Classifier) -> list[Metrics]:
        """Calibrates the classifier, then measures it."""
        with self.measuring(2 * len(self.validation.labels)) as bar:
            logits, labels = self._validation_logits(predictor, progress=bar.update)
            if predictor.threshold is None:
                predictor.info = replace(predictor.info, temperature=fit_temperature(logits, labels))
                calibrated = f"calibrated: logits are divided by {predictor.temperature:.3f}"
            else:
                predictor.info = replace(predictor.info, threshold=_best_threshold(logits, labels)[0])
                calibrated = f"labels are given from a probability of {predictor.threshold:.3f}"
            metrics = predictor.evaluate(self.dataset, "validation", progress=bar.update)
        self.report(f"validation: {metrics}\n  {metrics.signature}\n{metrics.table()}\n{calibrated}")
        return [metrics]

    def evaluate(self) -> Evaluation:
        """Loss and accuracy; with several labels for each text the micro F1."""
        logits, labels = self._validation_logits(self.predictor(), all_texts=False)
        best_by = self.training.best_by
        if self.info.threshold is not None:
            nats = float(np.logaddexp(0, np.where(labels > 0, -logits, logits)).sum(axis=1).mean())
            _, f1 = _best_threshold(logits, labels)
            said = f"micro F1 {f1:.2%}, {nats:.4f} nats per text"
            return Evaluation(nats, {"micro_f1": f1}, said, criterion=None if best_by == "loss" else -f1)
        log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        metrics = measure_labels(log_p, labels, self.dataset.labels)
        text = f"accuracy {metrics.accuracy:.2%}, macro F1 {metrics.macro_f1:.4f}, {metrics.nats:.4f} nats per text"
        criteria = {"accuracy": metrics.accuracy, "macro_f1": metrics.macro_f1}
        criterion = None if best_by == "loss" else -criteria[best_by]
        return Evaluation(metrics.nats, criteria, text, criterion=criterion)

    def sample(self) -> str:
        """Some texts with their predicted and true labels."""
        split = "validation" if self.measured else "train"
        examples = list(islice(self.dataset.examples(split), SHOWN))
        predictions = self.predictor().classify([text for text, _ in examples])
        lines = []
        for (text, label), prediction in zip(examples, predictions, strict=True):
            line = " ".join(text.split())
            dots = "..." * (len(line) > WIDTH)
            given = ", ".join(f"{name} ({prediction.probabilities[name]:.0%})" for name in prediction.labels) or "none"
            true = ", ".join(split_labels(label)) or "none"
            lines.append(f"  {given}; true: {true}: {line[:WIDTH]}{dots}")
        return "\n".join(lines)

    def _validation_logits(
        self,
        classifier: Classifier,
        *,
        all_texts: bool = True,
        progress: Callable[[int], object] = lambda count: None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Logits and labels of the validation split, or of as much as ``evaluate_tokens`` allows."""
        step = 1 if all_texts else -(-int(self.validation.lengths.sum()) // self.training.evaluate_tokens)
        numbers = range(0, len(self.validation.labels), step)
        logits = classifier.logits_of([*map(self.validation.tokens, numbers)], progress)
        return logits, self.validation.labels[::step]

    def init_weights(self, init: Checkpoint) -> str:
        if (corpus := leak(init.info, self.dataset)) is not None:
            self.report(f"note: {init.folder} {leak_warning(corpus, self.dataset)}")
        asked, config = self.model.config.shape(), compatible_config(init.info).shape()
        from_language_model = init.info.task == "language-model"
        (TextGenerator if from_language_model else Classifier).open(init)  # checks that its parts fit
        weights = init.weights
        if from_language_model:
            # Embedding and layers are taken over; the second direction of a single layer may be new.
            second = asked.bidirectional and asked.num_layers == 1
            config = replace(config, pooling=asked.pooling, readout_size=asked.readout_size, bidirectional=second)
            weights = {_name_in_classifier(name): tensor for name, tensor in weights.items()}
        check_shape(init.folder, config, asked)
        own: tuple[str, ...] = ("embedding.", "recurrent.")
        own += () if from_language_model else ("pooling.", "readout.", "output.")
        parameters = self.model.state_dict()
        weights = {name: tensor for name, tensor in weights.items() if name.startswith(own) and name in parameters}
        labels = Rows(self.dataset.labels, init.info.labels)
        tables = dict.fromkeys(("output.weight", "output.bias"), labels)
        tokens = Rows(self.tokenizer.vocabulary, init.tokenizer.vocabulary, init.tokenizer.encode)
        copied = copy_weights(self.model, weights, {**tables, EMBEDDING: tokens})
        return f"{copied[EMBEDDING]:,} of {self.tokenizer.size:,} tokens are known there"


def _name_in_classifier(name: str) -> str:
    """A language model's parameter in a classifier; its backward stack becomes the second direction."""
    return f"recurrent.{name.removeprefix('reverse.')}_reverse" if name.startswith("reverse.") else name


class _PaddedTexts:
    """The texts of a dataset as the model reads them, for the tokenizer and the token files."""

    def __init__(self, dataset: LabelledDataset) -> None:
        self.name, self.splits, self.fingerprint = dataset.name, dataset.splits, dataset.fingerprint
        self.dataset, self.labels = dataset, dataset.label_sets or dataset.labels

    def documents(self, split: str) -> Iterator[tuple[str]]:
        """Each text of a split, as a document of one chunk."""
        return (document for document, _ in self.labelled_documents(split))

    def labelled_documents(self, split: str) -> Iterator[tuple[tuple[str], str]]:
        """The same with the label of each text."""
        return (((padded_text(text),), label) for text, label in self.dataset.examples(split))


def _best_threshold(logits: np.ndarray, marks: np.ndarray) -> tuple[float, float]:
    """``choose_threshold`` from logits (N, C)."""
    return choose_threshold(np.exp(-np.logaddexp(0, -logits)), marks > 0)


def _class_weights(config: ClassifierConfig, counts: np.ndarray) -> Tensor | None:
    """Weights (C,) with which all labels count equally in total; None if they are not balanced."""
    if config.class_weights == "none":
        return None
    return torch.from_numpy(counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))).float()


def compatible_config(info: ModelInfo) -> ClassifierConfig:
    """The classifier that a model's weights fit: a classifier's own settings, or the stack of a language model.

    Raises:
        TextseqError: a language model with features that a classifier lacks.
    """
    if info.task == "classification":
        return ClassifierConfig.from_dict(info.model, where="--from")
    if info.labels or info.vector_size:
        raise TextseqError("--from: expected a language model without a condition, got one with; name another")
    for name in ("residual", "layer_norm", "learn_initial_state"):
        if info.model.get(name):
            flag = name.replace("_", "-")
            raise TextseqError(
                f"--from: expected a language model without --{flag}, which classifiers do not have; name another"
            )
    stack = {name: info.model[name] for name in STACK if name in info.model}
    # The upper layers of a deeper bidirectional classifier read both directions; those of a language model do not.
    both = bool(info.model.get("bidirectional")) and info.model.get("num_layers") == 1
    return ClassifierConfig.from_dict({**stack, "bidirectional": both}, where="--from")
