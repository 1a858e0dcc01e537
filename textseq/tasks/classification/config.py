"""Settings of classification: data, model, training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from textseq.config.base import Settings, ranged
from textseq.config.names import CellName, PoolingName
from textseq.config.tokenizer import TokenizerConfig, TokenizerName
from textseq.config.training import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class LabelledConfig(TokenizerConfig):
    """Data: how labelled texts become batches."""

    tokenizer: TokenizerName = "word"
    """What a token is: a word with the space before it (see --words; the rare ones are spelled), a subword
    (SentencePiece, with byte fallback), a character (with byte fallback) or a byte."""
    vocabulary_size: int = ranged(20_000, at_least=1, at_most=500_000)
    """word: so many words at most are tokens, the most frequent ones; characters and white space come on top.
    subword: so many tokens at most, all counted."""
    batch_size: int | Literal["auto"] = ranged(32, at_least=1)
    """Texts N in a batch, of like length. auto: as many as the device has room for, as long as twice as many make
    training faster; the number is kept with the run."""
    longest: int | None = ranged(None, at_least=1)
    """Read of every training text so many tokens at most, from its beginning. Default: all of them."""


ExplanationMethod = Literal["integrated", "gradient"]


@dataclass(frozen=True, kw_only=True)
class ClassifierConfig(Settings):
    """Model: embedding, recurrent stack, pooling, output layer."""

    cell: CellName = "lstm"
    """Recurrent cell, as of language models."""
    num_layers: int = ranged(1, at_least=1)
    """Recurrent layers, one upon the other."""
    hidden_size: int = ranged(256, at_least=1)
    """Width H of every layer and direction."""
    embedding_size: int = ranged(128, at_least=1)
    """Width E of the token vectors."""
    bidirectional: bool = True
    """Read the text from both ends. Of a text of several windows the second direction begins anew at the end of each,
    while the first carries its state over all of them."""
    pooling: PoolingName = "all"
    """What stands for the text: the state after its last token, the mean or the maximum of the outputs over all
    tokens, all three side by side (Howard and Ruder 2018, section 3.3), or a mean weighted by attention (Yang et al.
    2016, section 2.2)."""
    readout_size: int = ranged(0, at_least=0)
    """Units of a layer with relu between pooling and output; 0: none."""
    window: int = ranged(400, at_least=1)
    """Tokens T that gradients reach back: longer texts are read in several windows, with the state carried over
    (truncated back-propagation through time), and pooled as a whole."""
    dropout: float = ranged(0.3, at_least=0, below=1)
    """Share of the activations dropped between layers, of what was pooled and of the readout. All dropout is in
    training only."""
    embedding_dropout: float = ranged(0.3, at_least=0, below=1)
    """Share of the token vectors' entries dropped."""
    word_dropout: float = ranged(0.0, at_least=0, below=1)
    """Share of the tokens whose vectors are dropped whole."""
    weight_dropout: float = ranged(0.0, at_least=0, below=1)
    """Share of the recurrent weights dropped, the same ones for the whole text (AWD-LSTM)."""
    locked_dropout: bool = False
    """Drop the same activations between layers at every token (variational dropout, Gal and Ghahramani 2016)."""
    label_smoothing: float = ranged(0.0, at_least=0, below=1)
    """Share of the probability that training wants spread evenly over the labels (Szegedy et al. 2016)."""
    adversarial: float = ranged(0.0, at_least=0, below=1)
    """Learn from every text a second time, with its vectors moved to where the loss grows most, by this share of their
    length (adversarial training, Miyato et al. 2017, whose 5 for a review is about 0.02), which takes two to three
    times as long; sentences want less. 0: not."""
    class_weights: Literal["none", "balanced"] = "none"
    """What an example counts in training: the same (none), or the more the rarer its label is (balanced), so that all
    labels count alike together."""

    def shape(self) -> Self:
        """The same model with the defaults for all that only acts in training: equal where weights fit one another."""
        kept = ["cell", "num_layers", "hidden_size", "embedding_size", "bidirectional", "pooling", "readout_size"]
        return type(self)(**{name: getattr(self, name) for name in kept})


@dataclass(frozen=True, kw_only=True)
class ClassifierTrainingConfig(TrainingConfig):
    """Training: optimizer, schedule, when to stop, what to write."""

    learning_rate: float = ranged(1e-3, above=0)
    """Peak learning rate."""
    max_epochs: float | None = ranged(6.0, above=0)
    """Stop after so many passes over the training texts. The first limit that is reached counts."""
    evaluate_every: int = ranged(200, at_least=1)
    """Steps between evaluations on the validation part; the best model is kept."""
    evaluate_tokens: int = ranged(2_000_000, at_least=1)
    """Tokens of the validation part that an evaluation reads during training: of more every second text is read, or
    every third, and so on. (The final one reads all.)"""
    best_by: Literal["loss", "bleu", "accuracy"] = "accuracy"
    """What makes an evaluation the best: the highest accuracy, or the lowest loss, on the validation part."""
