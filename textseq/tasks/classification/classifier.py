"""Text classification with a trained model.

Shapes: N texts, T tokens, C labels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from shlex import quote
from typing import Self

import numpy as np
import torch
from torch import Tensor

from textseq.checkpoints import checkpoint
from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.model_card import CardText, label_results, label_text
from textseq.checkpoints.model_info import ModelInfo
from textseq.config.decoding import Precision
from textseq.errors import TextseqError, unknown
from textseq.tasks.classification.batches import text_batch
from textseq.tasks.classification.config import ClassifierConfig, ExplanationMethod
from textseq.tasks.classification.explain import Explanation, contributions
from textseq.tasks.classification.label_classifier import LabelClassifier, check_temperature, stripped_text
from textseq.tasks.classification.model import ClassifierModel
from textseq.tasks.label_predictor import labelled_info
from textseq.tasks.predictor import batches_by_length
from textseq.tokenizers.base import align_to_text
from textseq.training.devices import pick_device

TOKENS = 5000
"""Tokens of a batch, padding included; batches of four times as many are slower, because they fit no cache."""


class Classifier(LabelClassifier):
    """A classifier with its tokenizer and labels.

    Args: as ``Predictor``. ``precision`` is that of classification; explanations are computed in float32.

    Example:
        >>> textseq.load("sentiment").classify(["a masterpiece", "a waste of time"])[0].label
        'positive'
    """

    noun = "a classifier"
    precisions = ("float32", "bfloat16")
    model: ClassifierModel

    @classmethod
    def open(cls, saved: Checkpoint, *, device: str = "cpu", precision: Precision = "float32") -> Self:
        where, info = labelled_info(saved)
        check_temperature(info, where)
        if not 0 < (0.5 if info.threshold is None else info.threshold) <= 1:
            raise TextseqError(f"{where} is damaged: 'threshold' must be above 0 and at most 1; restore the folder")
        config, sizes = ClassifierConfig.from_dict(info.model, where=where), (saved.tokenizer.size, len(info.labels))
        model = checkpoint.build_with_weights(
            lambda: ClassifierModel(config, *sizes, multi_label=info.threshold is not None), saved.weights, saved.folder
        )
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

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Uncalibrated logits of the labels, (N, C)."""
        return self.logits_of([self.tokenizer.encode(padded_text(text)) for text in texts])

    def logits_of(
        self, encoded: Sequence[np.ndarray], progress: Callable[[int], object] = lambda count: None
    ) -> np.ndarray:
        """``logits`` of encoded texts; ``progress`` is called with the number of texts of each batch."""
        logits = np.zeros((len(encoded), len(self.labels)))
        for numbers in batches_by_length({n: len(ids) for n, ids in enumerate(encoded)}, TOKENS):
            batch = text_batch([encoded[number] for number in numbers], np.zeros(len(numbers), np.int64)).to(
                self.device
            )
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


def padded_text(text: str) -> str:
    """The text with one space before it, so that its first word is tokenized as inside a text.

    Raises:
        TextseqError: not a string.
    """
    return " " + stripped_text(text)
