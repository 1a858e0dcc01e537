"""A conditional language model as a classifier: which of its labels a text is likeliest under, by Bayes' rule.

p(label | text) is proportional to p(text | label) p(label) (Yogatama et al. 2017, section 2.2): the language model
gives the first factor, and the second, the prior, is the same for all labels. The log-probabilities are divided by the
temperature that was fitted when the model was trained; 1 for a model without validation texts.

Shapes: N texts, T tokens, C labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np

from textseq.checkpoints.checkpoint import Checkpoint
from textseq.config.decoding import Precision
from textseq.errors import TextseqError, unknown
from textseq.tasks.classification.classifier import Classifier, check_temperature
from textseq.tasks.classification.config import ExplanationMethod
from textseq.tasks.classification.explain import Explanation
from textseq.tasks.language_model.by_label import log_p_by_label
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tokenizers.base import align_to_text


class GenerativeClassifier(Classifier):
    """A language model that is conditioned on labels, which says which of them a text was written under.

    Args:
        generator: the model.

    Raises:
        TextseqError: its condition is not a label of several.

    Example:
        >>> who = textseq.load_classifier("poets")  # a run of a language model, trained with --condition label
        >>> who.classify("Tyger tyger, burning bright").label
        'Blake'
    """

    noun = "a language model conditioned on labels"

    def __init__(self, generator: TextGenerator) -> None:
        if len(generator.info.labels) < 2:
            raise TextseqError(
                "expected a classifier, or a language model conditioned on two labels or more; got a language model "
                "without; use it with textseq-sample"
            )
        check_temperature(generator.info, "config.json")
        self.generator = generator
        self.model, self.tokenizer, self.info = generator.model, generator.tokenizer, generator.info  # type: ignore[assignment]
        self.precision: Precision = "float32"
        self.device = generator.device

    @classmethod
    def open(cls, saved: Checkpoint, *, device: str = "cpu", precision: Precision = "float32") -> Self:
        return cls(TextGenerator.open(saved, device=device, precision=precision))

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Log-probability of each text under each label, in nats, (N, C)."""
        return np.stack([self._nats(text).sum(axis=1) for text in texts])

    def explain(self, text: str, *, label: str | None = None, method: ExplanationMethod = "integrated") -> Explanation:
        """What each word changes in the log odds of a label: how much less surprising the label makes it.

        The changes add up to the log odds.

        Args:
            text: the text.
            label: the label to explain; None: the most probable one.
            method: of no effect.

        Raises:
            TextseqError: the label is unknown.
        """
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
        if not isinstance(text, str):
            raise TextseqError(f"texts: expected strings, got {type(text).__name__}; convert them first")
        ids = self.tokenizer.encode(text.strip())
        return log_p_by_label(self.generator.model, self.generator.start_token(), ids)
