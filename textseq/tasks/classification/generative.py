"""A conditional language model as a classifier: which of its labels a text is likeliest under, by Bayes' rule.

p(label | text) is proportional to p(text | label) p(label) (Yogatama et al. 2017, section 2.2): the language model
gives the first factor, and the second, the prior, is the same for all labels. The log-probabilities are divided by the
temperature that was fitted when the model was trained; 1 for a model without validation texts.

Shapes: N texts, T tokens, C labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self, get_args

import numpy as np
from torch import Tensor

from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.model_card import CardText
from textseq.checkpoints.model_info import ModelInfo
from textseq.config.decoding import Precision
from textseq.errors import TextseqError, unknown
from textseq.tasks.classification.config import ExplanationMethod
from textseq.tasks.classification.explain import Explanation
from textseq.tasks.classification.label_classifier import LabelClassifier, check_temperature, stripped_text
from textseq.tasks.language_model.by_label import log_p_by_label
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.language_model.model import LanguageModel
from textseq.tokenizers.base import align_to_text


class GenerativeClassifier(LabelClassifier):
    """A language model that is conditioned on labels, which says which of them a text was written under.

    Args:
        generator: the model.

    Raises:
        TextseqError: its condition is not a label of several, or it was not loaded in float32, in which it is scored.

    Example:
        >>> who = textseq.load_classifier("poets")  # a run of a language model, trained with --condition label
        >>> who.classify("Tyger tyger, burning bright").label
        'Blake'
    """

    noun = "a language model conditioned on labels"
    model: LanguageModel

    def __init__(self, generator: TextGenerator) -> None:
        if len(generator.info.labels) < 2:
            raise TextseqError(
                "expected a classifier, or a language model conditioned on two labels or more; got a language model "
                "without; use it with textseq-sample"
            )
        check_temperature(generator.info, "config.json")
        super().__init__(generator.model, generator.tokenizer, generator.info, precision=generator.precision)
        self.generator = generator

    @classmethod
    def open(cls, saved: Checkpoint, *, device: str = "cpu", precision: Precision = "float32") -> Self:
        return cls(TextGenerator.open(saved, device=device, precision=precision))

    @staticmethod
    def describe(name: str, info: ModelInfo) -> CardText:
        return TextGenerator.describe(name, info)

    def word_table(self) -> tuple[Sequence[str], Tensor]:
        return self.generator.word_table()

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Log-probability of each text under each label, in nats, (N, C)."""
        return np.array([self._nats(text).sum(axis=1) for text in texts]).reshape(len(texts), len(self.labels))

    def explain(self, text: str, *, label: str | None = None, method: ExplanationMethod = "integrated") -> Explanation:
        """What each word changes in the log odds of a label: how much less surprising the label makes it.

        The changes add up to the log odds.

        Args:
            text: the text.
            label: the label to explain; None: the most probable one.
            method: as ``Classifier.explain``; of no effect, for these changes need no gradients.

        Raises:
            TextseqError: the text is not a string, or the label or method is unknown.
        """
        if method not in get_args(ExplanationMethod):
            raise unknown("explanation", method, get_args(ExplanationMethod))
        if label is not None and label not in self.labels:
            raise unknown("label", label, self.labels)
        nats = self._nats(text) / self.temperature
        so_far = np.concatenate([np.zeros((len(self.labels), 1)), nats.cumsum(axis=1)], axis=1)  # (C, T+1)
        number = int(so_far[:, -1].argmax()) if label is None else self.labels.index(label)
        log_odds = so_far[number] - np.logaddexp.reduce(np.delete(so_far, number, axis=0), axis=0)
        score, prior = float(log_odds[-1]), float(log_odds[0])
        pieces = align_to_text(self.tokenizer, text, np.diff(log_odds).tolist()) if nats.shape[1] else []
        probability = 1 / (1 + math.exp(-min(max(score, -700), 700)))
        return Explanation(self.labels[number], probability, score, prior, tuple(pieces))

    def _nats(self, text: str) -> np.ndarray:
        """Log-probability of each token of a text under each label, (C, T), from the initial state."""
        ids = self.tokenizer.encode(stripped_text(text))
        return log_p_by_label(self.generator.model, self.generator.start_token(), ids)
