"""Settings of tagging: data, model, training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textseq.config.base import Settings, ranged, rate
from textseq.config.model import RecurrentConfig
from textseq.config.tokenizer import NormalizationName
from textseq.config.training import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class TaggedConfig(Settings):
    """Data: how tagged sentences become batches."""

    normalization: NormalizationName = "text"
    """Normalization of words before they are looked up: none; lines; or text (composed accents (NFC), plain quotes,
    apostrophes, hyphens, spaces, ellipses and ligatures instead of typographic ones, no invisible characters)."""
    vocabulary_size: int = ranged(50_000, at_least=1, at_most=500_000)
    """Number of words in the vocabulary, the most frequent ones; others are represented by their characters only."""
    minimum_count: int = ranged(2, at_least=1)
    """A word must occur this often to be in the vocabulary. Rarer ones teach the model to handle unknown words."""
    batch_size: int | Literal["auto"] = ranged(32, at_least=1)
    """Batch size N, sentences of similar length. auto: the largest that fits the device, as long as doubling it makes
    training faster; the number is saved with the run."""


TagOutput = Literal["auto", "softmax", "crf", "ctc"]


@dataclass(frozen=True, kw_only=True)
class TaggerConfig(RecurrentConfig):
    """Model: word and character embeddings, recurrent layers, output layer."""

    hidden_size: int = ranged(200, at_least=1)
    embedding_size: int = ranged(100, at_least=1)
    """Embedding size E of the words."""
    letter_size: int = ranged(32, at_least=1)
    """Embedding size of the characters."""
    letter_hidden_size: int = ranged(64, at_least=0)
    """Hidden size of each direction of the layer that reads each word character by character, so that the spelling of
    unknown words counts (Lample et al. 2016, section 4.1); 0: no such layer."""
    output: TagOutput = "auto"
    """Output layer: an independent softmax for each word; a linear-chain conditional random field over the sentence
    (crf, Lample et al. 2016); or connectionist temporal classification for tags that are not aligned with the input
    (ctc, Graves et al. 2006). auto: ctc for unaligned tags, otherwise softmax."""
    frames: int = ranged(3, at_least=1, only_with=("output", ("ctc", "auto")))
    """ctc: output steps per input character; more than 1 allows more tags than characters."""
    dropout: float = rate(0.4)
    """Dropout between layers and before the output layer. All dropout acts in training only."""
    embedding_dropout: float = rate(0.3)
    """Dropout of the word's input vector (embedding and character features)."""
    word_dropout: float = rate(0.05)
    """Fraction of the words replaced by the unknown word, so that the model learns to use the characters."""


@dataclass(frozen=True, kw_only=True)
class TaggerTrainingConfig(TrainingConfig):
    """Training: optimizer, schedule, when to stop, what to write."""

    learning_rate: float = ranged(3e-3, above=0)
    evaluate_every: int = ranged(200, at_least=1)
    evaluate_tokens: int = ranged(2_000_000, at_least=1)
    """Words of the validation split that each evaluation during training uses; of a larger split every second sentence,
    every third and so on is used. (The final evaluation uses all.)"""
    best_by: Literal["loss", "bleu", "accuracy", "macro_f1", "f1"] = "accuracy"
    """Metric on the validation split that decides which model is the best: highest accuracy, highest F1 of spans such
    as named entities (f1), or lowest loss."""
