"""Text classification with a trained model.

Shapes: N texts, T tokens, C labels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from shlex import quote
from typing import Self, overload

import numpy as np
import torch
from torch import Tensor

from textseq.checkpoints import checkpoint
from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.model_card import CardText, label_results, label_text
from textseq.checkpoints.model_info import ModelInfo
from textseq.config.decoding import Precision
from textseq.data.labelled import LabelledDataset
from textseq.data.readers.exported import row_file
from textseq.data.readers.labelled import remembered_column
from textseq.data.sources import DataSource, LabelledData
from textseq.errors import TextseqError, unknown
from textseq.metrics.classification import ClassificationMetrics, measure_labels
from textseq.metrics.signature import data_signature
from textseq.tasks.classification.batches import text_batch
from textseq.tasks.classification.config import ClassifierConfig, ExplanationMethod
from textseq.tasks.classification.explain import Explanation, contributions
from textseq.tasks.classification.leakage import leak, leak_warning
from textseq.tasks.classification.model import ClassifierModel
from textseq.tasks.label_predictor import BUFFER, LabelPredictor, labelled_info, row_blocks, text_blocks
from textseq.tasks.predictor import batches_by_length, each
from textseq.tokenizers.base import Tokenizer, align_to_text
from textseq.training.devices import pick_device
from textseq.training.distributed.group import SINGLE_PROCESS, ProcessGroup

CHARACTERS = 2**24
"""Characters read ahead, not counting the last text; bounds the memory."""

MAX_TEMPERATURE = 1000
"""Upper bound of a valid temperature; calibration gives at most 20."""

UNSURE = "unsure"
"""The answer instead of a label that is too improbable."""

TOKENS = 5000
"""Tokens of a batch, padding included; batches of four times as many are slower, because they fit no cache."""


@dataclass(frozen=True)
class Classification:
    """The label of a text, with the probabilities of all labels."""

    label: str
    """The most probable label, or "unsure" if it is less probable than asked for."""
    probabilities: dict[str, float]
    """Calibrated on the validation split; they sum to 1."""

    @property
    def probability(self) -> float:
        """Probability of the most probable label."""
        return max(self.probabilities.values())


class Classifier(LabelPredictor[LabelledDataset]):
    """A classifier with its tokenizer and labels.

    Args: as ``Predictor``. ``precision`` is that of classification; explanations are computed in float32.

    Example:
        >>> textseq.load("sentiment").classify(["a masterpiece", "a waste of time"])[0].label
        'positive'
    """

    noun = "a classifier"
    precisions = ("float32", "bfloat16")
    model: ClassifierModel
    tokenizer: Tokenizer

    @classmethod
    def open(cls, saved: Checkpoint, *, device: str = "cpu", precision: Precision = "float32") -> Self:
        where, info = labelled_info(saved)
        if not 0 < info.temperature <= MAX_TEMPERATURE:
            raise TextseqError(
                f"{where} is damaged: 'temperature' must be above 0 and at most {MAX_TEMPERATURE}; restore the folder"
            )
        config, sizes = ClassifierConfig.from_dict(info.model, where=where), (saved.tokenizer.size, len(info.labels))
        model = checkpoint.build_with_weights(lambda: ClassifierModel(config, *sizes), saved.weights, saved.folder)
        return cls(model.to(pick_device(device)), saved.tokenizer, info, precision=precision)

    @staticmethod
    def describe(name: str, info: ModelInfo) -> CardText:
        return CardText(
            pipeline="text-classification",
            title=f"A recurrent text classifier ({label_text(info)})",
            command=f"textseq-classify --model {quote(name)} < texts.txt",
            python=f'print(textseq.load({json.dumps(name)}).classify("A text.").label)',
            trained_on=(f"- Language: {info.language or 'not stated'}.",),
            results=label_results(info, "text"),
            limits=(
                "It assigns one of its labels to any text and works only on texts like its training texts: other",
                "subjects, other languages and irony cause errors. It repeats the prejudices of its sources.",
            ),
        )

    def word_table(self) -> tuple[Sequence[str], Tensor]:
        return self.tokenizer.vocabulary, self.model.embedding.weight

    @property
    def temperature(self) -> float:
        """Calibration: logits are divided by it."""
        return self.info.temperature

    @overload
    def classify(self, texts: str, *, unsure_below: float = ...) -> Classification: ...  # type: ignore[overload-overlap]
    @overload
    def classify(self, texts: Sequence[str], *, unsure_below: float = ...) -> list[Classification]: ...
    def classify(
        self, texts: str | Sequence[str], *, unsure_below: float = 0.0
    ) -> Classification | list[Classification]:
        """Classify texts; a text without words gets the label of an empty text.

        Args:
            texts: a text or several.
            unsure_below: the label is "unsure" if none is as probable as this.

        Raises:
            TextseqError: a text is not a string, or ``unsure_below`` is no probability.

        Example:
            >>> textseq.load("sentiment").classify("Berlin", unsure_below=0.65).label
            'unsure'
        """
        return each(texts, lambda several: list(self.stream(several, unsure_below=unsure_below)))

    __call__ = classify

    def stream(
        self,
        texts: Iterable[str],
        *,
        unsure_below: float = 0.0,
        buffer: int = BUFFER,
        progress: Callable[[int], object] = lambda count: None,
    ) -> Iterator[Classification]:
        """Classify a stream of texts of any length, in order and in constant memory.

        Args:
            texts: the texts.
            unsure_below: see ``classify``.
            buffer: texts read ahead and sorted by length; fewer if they are long.
            progress: called with the number of texts of each finished block.
        """
        if not 0 <= unsure_below <= 1:
            raise TextseqError(f"unsure_below: expected a probability from 0 to 1, got {unsure_below}")
        for block in text_blocks(texts, buffer, CHARACTERS, progress):
            for row in self.log_probabilities(block):
                p = np.exp(row)
                label = self.labels[int(row.argmax())] if p.max() >= unsure_below else UNSURE
                yield Classification(label, dict(zip(self.labels, p.tolist(), strict=True)))

    def log_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Calibrated log-probabilities of the labels in nats, (N, C)."""
        return self._calibrated(self.logits(texts))

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Uncalibrated logits of the labels, (N, C)."""
        return self.logits_of([self.tokenizer.encode(padded_text(text)) for text in texts])

    def logits_of(
        self, encoded: Sequence[np.ndarray], progress: Callable[[int], object] = lambda count: None
    ) -> np.ndarray:
        """``logits`` of encoded texts; ``progress`` is called with the number of texts of each batch."""
        logits = np.zeros((len(encoded), len(self.labels)))
        for numbers in batches_by_length({n: len(ids) for n, ids in enumerate(encoded)}, TOKENS):
            batch = text_batch([encoded[number] for number in numbers], [0] * len(numbers)).to(self.device)
            autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
            with torch.inference_mode(), autocast:
                output: Tensor = self.model(batch.ids, batch.lengths)
            logits[numbers] = output.double().cpu().numpy()
            progress(len(numbers))
        return logits

    def explain(self, text: str, *, label: str | None = None, method: ExplanationMethod = "integrated") -> Explanation:
        """The contribution of each word of a text to the score of a label.

        Args:
            text: the text.
            label: the label to explain; None: the most probable one.
            method: "integrated" gradients, whose contributions sum to the score, or "gradient" times input, which is
                fast and whose contributions do not.

        Raises:
            TextseqError: the text is not a string, or the label or method is unknown.
        """
        ids = self.tokenizer.encode(padded_text(text))
        log_p = self._calibrated(self.logits_of([ids]))[0]
        if label is not None and label not in self.labels:
            raise unknown("label", label, self.labels)
        number = int(log_p.argmax()) if label is None else self.labels.index(label)
        inputs = ids if len(ids) else np.zeros(1, np.int64)  # as in ``text_batch``
        amounts, score, baseline = contributions(self.model, inputs, number, self.temperature, method)
        pieces = align_to_text(self.tokenizer, padded_text(text), amounts.tolist()) if len(ids) else []
        return Explanation(self.labels[number], float(np.exp(log_p[number])), score, baseline, tuple(pieces))

    def evaluation_source(self, source: DataSource) -> DataSource:
        """With the columns of the training table that the given one has too, unless others are named."""
        if not isinstance(source, LabelledData) or not source.labelled:
            return source
        text, label = (
            remembered_column(row_file(source.labelled[0]), self.info.source.get(name), source.encoding)
            for name in ("text_column", "label_column")
        )
        return replace(source, text_column=source.text_column or text, label_column=source.label_column or label)

    def warnings(self, dataset: LabelledDataset) -> list[str]:
        """A warning if the model was trained on texts of the dataset."""
        corpus = leak(self.info, dataset)
        return [] if corpus is None else [leak_warning(corpus, dataset)]

    def evaluate(
        self,
        dataset: LabelledDataset,
        split: str = "test",
        *,
        progress: Callable[[int], object] = lambda count: None,
        process_group: ProcessGroup = SINGLE_PROCESS,
    ) -> ClassificationMetrics:
        """Measure the classifier on a split of a dataset.

        Args:
            dataset: labelled texts.
            split: of the dataset.
            progress: called with the number of texts of each finished block.
            process_group: processes that share the work, all with the same model and dataset.

        Raises:
            TextseqError: the model knows no label of the split; where it knows some, the others count as wrong.
        """
        rows, truth = {}, []
        for turn, block in row_blocks(dataset.examples(split), progress):
            if process_group.turn(turn):
                rows[turn] = torch.from_numpy(self.log_probabilities([text for text, _ in block]))
            truth += [label for _, label in block]
        log_p = torch.cat([torch.zeros(0, len(self.labels)), *process_group.collect(rows)]).numpy()
        setup = f"{data_signature(dataset.name, dataset.splits, split)}|tokens:{self.tokenizer.signature}"
        setup += f"|precision:{self.precision}" if self.precision != "float32" else ""
        labels, targets = self.with_unseen("label", truth, f"{split} split of '{dataset.name}'")
        return measure_labels(log_p, targets, labels, setup=setup)

    def _calibrated(self, logits: np.ndarray) -> np.ndarray:
        """Logits (N, C) -> log-probabilities in nats, (N, C)."""
        scaled = logits / self.temperature
        log_p: np.ndarray = scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)
        return log_p


def padded_text(text: str) -> str:
    """The text with one space before it, so that its first word is tokenized as inside a text.

    Raises:
        TextseqError: not a string.
    """
    if not isinstance(text, str):
        raise TextseqError(f"texts: expected strings, got {type(text).__name__}; convert them first")
    return " " + text.strip()
