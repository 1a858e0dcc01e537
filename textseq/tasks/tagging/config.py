"""Settings of tagging: data, model, training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from textseq.config.base import Settings, ranged
from textseq.config.names import CellName
from textseq.config.training import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class TaggedConfig(Settings):
    """Data: how tagged sentences become batches."""

    vocabulary_size: int = ranged(50_000, at_least=1, at_most=500_000)
    """So many words at most are known, the most frequent ones; the others are told by their letters."""
    minimum_count: int = ranged(2, at_least=1)
    """Times that a word must occur to be known. Those that occur once teach the model what to do with unknown ones."""
    batch_size: int | Literal["auto"] = ranged(32, at_least=1)
    """Sentences N in a batch, of like length. auto: as many as the device has room for, as long as twice as many make
    training faster; the number is kept with the run."""


TagOutput = Literal["auto", "softmax", "crf", "ctc"]


@dataclass(frozen=True, kw_only=True)
class TaggerConfig(Settings):
    """Model: word vectors, letters, recurrent stack, output layer."""

    cell: CellName = "lstm"
    """Recurrent cell, as of language models."""
    num_layers: int = ranged(1, at_least=1)
    """Recurrent layers, one upon the other."""
    hidden_size: int = ranged(200, at_least=1)
    """Width H of every layer and direction."""
    embedding_size: int = ranged(100, at_least=1)
    """Width E of the word vectors."""
    bidirectional: bool = True
    """Read the sentence from both ends."""
    letter_size: int = ranged(32, at_least=1)
    """Width of the letters' vectors."""
    letter_hidden_size: int = ranged(64, at_least=0)
    """Units, of each direction, of the layer that reads every word letter by letter, so that words never seen tell by
    their looks what they are (Lample et al. 2016, section 4.1); 0: none."""
    output: TagOutput = "auto"
    """How tags are chosen: each by itself (softmax); a whole sentence's together, by which tag follows which too (crf,
    Lample et al. 2016: a conditional random field); or as a sequence that is not aligned with the letters that are read
    (ctc, connectionist temporal classification, Graves et al. 2006). auto: ctc for tags that are not aligned, or else
    softmax."""
    frames: int = ranged(3, at_least=1)
    """ctc: steps that each letter is given, so that there may be more tags than letters."""
    dropout: float = ranged(0.4, at_least=0, below=1)
    """Share of the activations dropped between layers and before the output. All dropout is in training only."""
    embedding_dropout: float = ranged(0.3, at_least=0, below=1)
    """Share dropped of what stands for a word: its vector, and what was read of its letters."""
    word_dropout: float = ranged(0.05, at_least=0, below=1)
    """Share of the words that are read as unknown ones, so that their letters must tell."""

    def shape(self) -> Self:
        """The same model with the defaults for all that only acts in training: equal where weights fit one another."""
        kept = [
            "cell",
            "num_layers",
            "hidden_size",
            "embedding_size",
            "bidirectional",
            "letter_size",
            "letter_hidden_size",
        ]
        kept += ["output", "frames"]
        return type(self)(**{name: getattr(self, name) for name in kept})


@dataclass(frozen=True, kw_only=True)
class TaggerTrainingConfig(TrainingConfig):
    """Training: optimizer, schedule, when to stop, what to write."""

    learning_rate: float = ranged(3e-3, above=0)
    """Peak learning rate."""
    max_epochs: float | None = ranged(10.0, above=0)
    """Stop after so many passes over the training sentences. The first limit that is reached counts."""
    evaluate_every: int = ranged(200, at_least=1)
    """Steps between evaluations on the validation part; the best model is kept."""
    evaluate_tokens: int = ranged(2_000_000, at_least=1)
    """Words of the validation part that an evaluation reads during training: of more every second sentence is read, or
    every third, and so on. (The final one reads all.)"""
    best_by: Literal["loss", "bleu", "accuracy"] = "accuracy"
    """What makes an evaluation the best: the highest accuracy, or the lowest loss, on the validation part."""
