"""Settings of classification: data, model, training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from textseq.config.base import ranged, rate
from textseq.config.model import RecurrentConfig
from textseq.config.names import PoolingName
from textseq.config.tokenizer import NormalizationName, TokenizerConfig, TokenizerName
from textseq.config.training import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class LabelledConfig(TokenizerConfig):
    """Data: how labelled texts become batches."""

    tokenizer: TokenizerName = "word"
    normalization: NormalizationName = "text"
    vocabulary_size: int = ranged(20_000, at_least=1, at_most=500_000)
    batch_size: int | Literal["auto"] = ranged(32, at_least=1)
    """Batch size N, texts of similar length. auto: the largest that fits the device, as long as doubling it makes
    training faster; the number is saved with the run."""
    longest: int | None = ranged(None, at_least=1)
    """Truncate training texts to this many tokens. Default: no truncation."""


ExplanationMethod = Literal["integrated", "gradient"]


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(RecurrentConfig):
    """Model: embedding, recurrent layers, pooling, output layer."""

    bidirectional: bool = True
    """Read the text in both directions. In a text of several windows the backward direction restarts at the end of
    each; the forward state is carried through all of them."""
    pooling: PoolingName = "all"
    """How the outputs become one vector: last (the state after the last token), mean, max, all (these three
    concatenated; Howard and Ruder 2018, section 3.3), or attention (a weighted mean; Yang et al. 2016, section 2.2)."""
    readout_size: int = ranged(0, at_least=0)
    """Units of a ReLU layer between pooling and output layer; 0: none."""
    window: int = ranged(400, at_least=1, training_only=True)
    """Length T of truncated back-propagation through time, in tokens: longer texts are read in several windows, with
    the state carried over, and pooled as a whole."""
    dropout: float = rate(0.3)
    """Dropout between layers, after pooling and after the ReLU layer. All dropout acts in training only."""
    embedding_dropout: float = rate(0.3)
    """Dropout of the embeddings."""
    word_dropout: float = rate(0.0)
    """Fraction of the tokens whose whole embeddings are dropped."""
    weight_dropout: float = rate(0.0)
    """Dropout of the recurrent weights, one mask per text (AWD-LSTM)."""
    locked_dropout: bool = ranged(False, training_only=True)
    """Use the same dropout mask between layers at every token (variational dropout, Gal and Ghahramani 2016)."""
    label_smoothing: float = rate(0.0)
    """Label smoothing: share of the target probability spread evenly over all labels (Szegedy et al. 2016)."""
    adversarial: float = rate(0.0)
    """Adversarial training: also learn from each text with its embeddings moved in the direction of the largest loss,
    by this fraction of their norm (Miyato et al. 2017, whose 5 for a review is about 0.02; use less for sentences).
    Takes two to three times as long. 0: off."""
    class_weights: Literal["none", "balanced"] = ranged("none", training_only=True)
    """Weight of the examples in the loss: all equal (none), or inversely proportional to the frequency of their label
    (balanced)."""


@dataclass(frozen=True, kw_only=True)
class ClassifierTrainingConfig(TrainingConfig):
    """Training: optimizer, schedule, when to stop, what to write."""

    learning_rate: float = ranged(1e-3, above=0)
    DEFAULT_EPOCHS: ClassVar[float] = 6.0
    evaluate_every: int = ranged(200, at_least=1)
    evaluate_tokens: int = ranged(2_000_000, at_least=1)
    """Tokens of the validation split that each evaluation during training uses; of a larger split every second text,
    every third and so on is used. (The final evaluation uses all.)"""
    best_by: Literal["loss", "bleu", "accuracy", "macro_f1", "f1"] = "accuracy"
    """Metric on the validation split that decides which model is the best: highest accuracy (of several labels for
    a text the micro F1), highest mean F1 of the labels (macro_f1; one label for a text only), or lowest loss."""
