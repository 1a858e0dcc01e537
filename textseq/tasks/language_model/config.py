"""Settings of language models: data, model, generation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from textseq.config.base import Settings, ranged
from textseq.config.decoding import DecodingConfig, DecodingSettings
from textseq.config.names import CellName
from textseq.config.tokenizer import TokenizerConfig
from textseq.errors import TextseqError


@dataclass(frozen=True, kw_only=True)
class DataConfig(TokenizerConfig):
    """Data: how text becomes batches."""

    batch_size: int | Literal["auto"] = ranged(32, at_least=1)
    """Streams N of the text that are read side by side. auto: as many as the device has room for, as long as twice as
    many make training faster; the number is kept with the run."""
    window: int = ranged(64, at_least=1)
    """Tokens T that gradients reach back: the length of truncated back-propagation through time."""
    stride: int | None = ranged(None, at_least=1)
    """Tokens from one window to the next. Default: the window, so that each token is read once. With less
    (1 for the strictest), the loss of the last STRIDE tokens alone counts and its gradient always reaches
    back over a whole window."""
    random_window: bool = False
    """Draw each window's length (around T, now and then around T/2; the learning rate follows), as AWD-LSTM."""
    reset_probability: float = ranged(0.03, at_least=0, at_most=1)
    """Chance per window that a stream's state starts afresh, so that the model is good from a fresh state too.
    Documents always start afresh."""

    def __post_init__(self) -> None:
        """Check the ranges, and that strides and windows go together."""
        super().__post_init__()
        if self.stride is not None and self.stride > self.window:
            raise TextseqError(f"--stride must be at most --window ({self.window}), found {self.stride}")
        if self.stride is not None and self.random_window:
            raise TextseqError("--stride and --random-window exclude one another; leave one out")


@dataclass(frozen=True, kw_only=True)
class GenerationConfig(DecodingConfig):
    """Writing: names and meanings as in Hugging Face's GenerationConfig.

    The defaults suit small recurrent models: a temperature below 1 and no truncation of the distribution,
    for their distribution has a heavier tail of nonsense than a large model's; Hugging Face's are 1.0 and top_k 50.
    """

    stop_strings: tuple[str, ...] = ()
    """End a text before the first of these strings that it comes to."""


class GenerationSettings(DecodingSettings, total=False):
    """The fields of ``GenerationConfig``, as keywords."""

    stop_strings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig(Settings):
    """Model: embedding, recurrent stack and output layer."""

    cell: CellName = "lstm"
    """Recurrent cell: the Elman network with tanh or relu; the LSTM, also with peepholes; the GRU with its reset gate
    after the matrix product (as torch and cuDNN have it) or before. The peephole LSTM, the GRU with the reset before,
    layer normalisation and zoneout have no fused kernel and train more slowly."""
    num_layers: int = ranged(1, at_least=1)
    """Recurrent layers, one upon the other."""
    hidden_size: int = ranged(640, at_least=1)
    """Width H of every layer."""
    embedding_size: int = ranged(64, at_least=1)
    """Width E of the token vectors."""
    bidirectional: bool = False
    """Learn the other way round too: a second stack reads the text from its end and predicts each token from those
    after it (Peters et al. 2018, section 3.1). Writing needs the first stack alone, and so does every figure; a
    classifier that begins with such a model of one layer reads both ways with what both have learnt."""
    residual: bool = False
    """Add to the output of every layer but the first what that layer read."""
    layer_norm: bool = False
    """Normalise each gate's input and recurrent product, and the LSTM's cell before its tanh (Ba et al. 2016)."""
    dropout: float = ranged(0.1, at_least=0, below=1)
    """Share of the activations dropped between layers and before the output. All dropout is in training only."""
    embedding_dropout: float = ranged(0.0, at_least=0, below=1)
    """Share of the embedding's activations dropped."""
    word_dropout: float = ranged(0.0, at_least=0, below=1)
    """Share of the vocabulary whose vectors are dropped whole, wherever they stand in the window."""
    weight_dropout: float = ranged(0.0, at_least=0, below=1)
    """Share of the recurrent weights dropped, the same ones for the whole window (AWD-LSTM)."""
    locked_dropout: bool = False
    """Drop the same activations at every step of a window (variational dropout, Gal and Ghahramani 2016)."""
    zoneout: float = ranged(0.0, at_least=0, below=1)
    """Share of the hidden state h that keeps its old value at each step (Krueger et al. 2017)."""
    zoneout_cell: float = ranged(0.0, at_least=0, below=1)
    """The same for the cell c of an LSTM."""
    activation_penalty: float = ranged(0.0, at_least=0)
    """Weight of the mean square of the dropped output (AR, alpha of Merity et al. 2017), in nats."""
    temporal_penalty: float = ranged(0.0, at_least=0)
    """Weight of the mean square of the output's change from step to step (TAR, beta of Merity et al. 2017), in nats."""
    tie_embeddings: bool = False
    """Use one matrix for the embedding and the output layer (wants embedding size = hidden size)."""
    learn_initial_state: bool = False
    """Learn the state that a text begins with; otherwise it is zero."""
    sampled_softmax: int = ranged(0, at_least=0)
    """Tokens, besides those that are right somewhere in the window, that training weighs against the right one, drawn
    anew for each window and standing for all others (Bengio and Senecal 2008): several times as fast where the
    vocabulary is large. 0: the whole vocabulary."""

    def __post_init__(self) -> None:
        """Check the ranges, and that the parts fit one another."""
        super().__post_init__()
        if self.tie_embeddings and self.embedding_size != self.hidden_size:
            raise TextseqError(
                f"--tie-embeddings wants --embedding-size equal to --hidden-size, "
                f"found {self.embedding_size} and {self.hidden_size}; set both to one number"
            )
        if self.zoneout_cell and not self.cell.startswith("lstm"):
            raise TextseqError(f"--zoneout-cell wants an LSTM, found --cell {self.cell}; use --zoneout for its state")

    def shape(self) -> Self:
        """The same model with the defaults for all that only acts in training: equal where weights fit one another."""
        kept = ["cell", "num_layers", "hidden_size", "embedding_size", "bidirectional", "residual", "layer_norm"]
        kept += ["tie_embeddings", "learn_initial_state"]
        return type(self)(**{name: getattr(self, name) for name in kept})
