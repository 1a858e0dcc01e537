"""Settings of language models: data, model, generation."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, TypedDict

from textseq.config.base import Settings, flag_of, ranged, rate
from textseq.config.decoding import DecodingConfig, DecodingSettings
from textseq.config.model import RecurrentConfig
from textseq.config.names import CELL_STATES
from textseq.config.tokenizer import NormalizationName, TokenizerConfig
from textseq.config.training import DistillationConfig
from textseq.errors import TextseqError


@dataclass(frozen=True, kw_only=True)
class DataConfig(TokenizerConfig):
    """Data: how text becomes batches."""

    normalization: NormalizationName = "lines"
    batch_size: int | Literal["auto"] = ranged(32, at_least=1)
    """Batch size N: the text is read as N parallel streams. auto: the largest that fits the device, as long as doubling
    it makes training faster; the number is saved with the run."""
    window: int = ranged(64, at_least=1)
    """Length T of truncated back-propagation through time, in tokens."""
    stride: int | None = ranged(None, at_least=1)
    """Tokens from the start of one window to the next. Default: the window, so that each token is read once. With less
    (1 is the strictest), only the loss of the last STRIDE tokens counts, and its gradient always reaches back over a
    whole window."""
    random_window: bool = False
    """Vary the length of the windows randomly (around T, sometimes T/2; the learning rate is scaled), as in
    AWD-LSTM."""
    reset_probability: float = ranged(0.03, at_least=0, at_most=1)
    """Probability per window of resetting a stream's state, so that the model also works from the initial state. The
    state is always reset at the start of a document."""
    shuffle_block: int | None = ranged(None, at_least=1)
    """Read the text in blocks of so many tokens, in another random order in every epoch, each from the initial state.
    Default: in order. For a text of many documents, such as those of several authors."""

    def __post_init__(self) -> None:
        """Check the ranges, and that stride and window are compatible."""
        super().__post_init__()
        if self.stride is not None and self.stride > self.window:
            raise TextseqError(f"--stride: expected at most --window ({self.window}), got {self.stride}")
        if self.stride is not None and self.random_window:
            raise TextseqError("--stride and --random-window exclude one another; leave one out")
        if self.shuffle_block is not None and self.shuffle_block < self.window:
            raise TextseqError(f"--shuffle-block: expected at least --window ({self.window}), got {self.shuffle_block}")


@dataclass(frozen=True, kw_only=True)
class GenerationConfig(DecodingConfig):
    """Generation: names and meanings of sampling as in Hugging Face's GenerationConfig.

    The defaults suit small recurrent models, whose distribution has a heavier tail of nonsense than a large model's: a
    temperature below 1, and min-p. Hugging Face's are 1.0 and top_k 50.
    """

    stop_strings: tuple[str, ...] = ()
    """End the text before the first of these strings. On the command line a string of \\n and \\t alone means line ends
    and tabs."""

    def without_effect(self) -> list[str]:
        """Also what sampling alone reads, with beams."""
        unread = [
            f"{flag_of(item.name)} has no effect with --num-beams {self.num_beams}"
            for item in dataclasses.fields(self)
            if item.name in ("temperature", "seed") and getattr(self, item.name) != item.default
        ]
        return super().without_effect() + (unread if self.num_beams > 1 else [])


class GenerationSettings(DecodingSettings, total=False):
    """The fields of ``GenerationConfig`` as keyword arguments; see ``DecodingSettings``."""

    stop_strings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig(RecurrentConfig):
    """Model: embedding, recurrent layers and output layer."""

    hidden_size: int = ranged(640, at_least=1)
    """Hidden size H of each layer."""
    embedding_size: int = ranged(64, at_least=1)
    condition_size: int = ranged(32, at_least=1)
    """Size of the vector of a condition, such as a label's embedding (see --condition)."""
    bidirectional: bool = False
    """Train a backward language model too: a second stack of layers that reads the text from its end (Peters et al.
    2018, section 3.1). Generation and all metrics use the forward stack only; a classifier that starts from such a
    model with one layer reads in both directions with both stacks' weights."""
    residual: bool = False
    """Add a residual connection around every layer but the first."""
    layer_norm: bool = False
    """Layer normalization of each gate's input and recurrent product, and of the LSTM's cell before its tanh (Ba et al.
    2016)."""
    dropout: float = rate(0.1)
    """Dropout between layers and before the output layer. All dropout acts in training only."""
    embedding_dropout: float = rate(0.0)
    """Dropout of the embedding's output."""
    word_dropout: float = rate(0.0)
    """Fraction of the vocabulary whose whole embeddings are dropped, everywhere in the window."""
    weight_dropout: float = rate(0.0)
    """Dropout of the recurrent weights, one mask per window (AWD-LSTM)."""
    locked_dropout: bool = ranged(False, training_only=True)
    """Use the same dropout mask at every step of a window (variational dropout, Gal and Ghahramani 2016)."""
    zoneout: float = rate(0.0)
    """Zoneout: probability of each unit of the hidden state h to keep its previous value (Krueger et al. 2017)."""
    zoneout_cell: float = rate(0.0)
    """The same for the cell state c of an LSTM."""
    activation_penalty: float = ranged(0.0, at_least=0, training_only=True)
    """Activation regularization (AR): weight of the mean square of the output after dropout, in nats (alpha of Merity
    et al. 2017)."""
    temporal_penalty: float = ranged(0.0, at_least=0, training_only=True)
    """Temporal activation regularization (TAR): weight of the mean square of the output's change from step to step, in
    nats (beta of Merity et al. 2017)."""
    tie_embeddings: bool = False
    """Share the weights of embedding and output layer (needs --embedding-size equal to --hidden-size)."""
    learn_initial_state: bool = False
    """Learn the initial state; otherwise it is zero."""
    sampled_softmax: int = ranged(0, at_least=0, training_only=True)
    """Sampled softmax: train against this many sampled tokens besides the window's targets, sampled for each window and
    weighted to represent the rest (Bengio and Senecal 2008). Several times as fast with a large vocabulary. 0: full
    softmax."""

    def __post_init__(self) -> None:
        """Check the ranges and combinations."""
        super().__post_init__()
        if self.tie_embeddings and self.embedding_size != self.hidden_size:
            raise TextseqError(
                f"--tie-embeddings: expected --embedding-size equal to --hidden-size, "
                f"got {self.embedding_size} and {self.hidden_size}; set both to one number"
            )
        if self.zoneout_cell and CELL_STATES[self.cell] < 2:
            raise TextseqError(f"--zoneout-cell: expected an LSTM, got --cell {self.cell}; use --zoneout for its state")


@dataclass(frozen=True, kw_only=True)
class LanguageModelTrainingConfig(DistillationConfig):
    """Training: optimizer, schedule, when to stop, what to write."""


@dataclass(frozen=True, kw_only=True)
class AdaptationConfig(Settings):
    """Adaptation of a language model to the text that it has just read."""

    dynamic: bool = False
    """Dynamic evaluation (Krause et al. 2018): take a training step on each window of the text after reading it. It is
    a copy that learns; the model stays as it is. textseq-sample learns from the prompt in this way, then writes."""
    dynamic_method: Literal["sgd", "rms"] = "sgd"
    """The step: sgd, or rms, which divides the gradient of each weight by its usual size, the root mean square over
    text that the model samples first. rms may gain more, and may diverge where the text is unlike those samples."""
    dynamic_learning_rate: float | None = ranged(None, at_least=0)
    """Learning rate of these steps. Default: 0.3 for sgd, 0.0001 for rms."""
    dynamic_decay: float = ranged(0.002, at_least=0, at_most=1)
    """Share of the way back to the trained weights that each step goes; with rms on average over the weights."""
    dynamic_window: int = ranged(50, at_least=1)
    """Tokens of a window. Fewer adapt sooner and take longer."""
    cache: bool = False
    """Neural cache (Grave et al. 2017): the tokens that came after similar outputs of the network, in the text just
    read, become more likely. textseq-sample keeps the prompt and its own text in the cache."""
    cache_size: int = ranged(2000, at_least=1)
    """Tokens in the cache, the last ones that were read."""
    cache_theta: float = ranged(0.5, at_least=0)
    """How much more the most similar places count (theta of the paper); with 0 all count alike. The best value depends
    on the model: 0.3 to 0.8 for those that ship."""
    cache_lambda: float = ranged(0.1, at_least=0, below=1)
    """Share of the cache in the probability (lambda of the paper); the rest is the model's."""

    def __post_init__(self) -> None:
        """Check the ranges, and that no setting is without effect."""
        super().__post_init__()
        for item in dataclasses.fields(AdaptationConfig):
            owner = item.name.partition("_")[0]
            if not getattr(self, owner) and getattr(self, item.name) != item.default:
                raise TextseqError(f"{flag_of(item.name)} is for {flag_of(owner)}; add that, or leave it out")

    @property
    def learning_rate(self) -> float:
        """Of dynamic evaluation."""
        usual = {"sgd": 0.3, "rms": 0.0001}[self.dynamic_method]
        return usual if self.dynamic_learning_rate is None else self.dynamic_learning_rate

    @property
    def signature(self) -> str:
        """Fields of a signature, each with a bar before it; "" without adaptation."""
        fields = ""
        if self.dynamic:
            settings = f"rate-{self.learning_rate:g}-decay-{self.dynamic_decay:g}-window-{self.dynamic_window}"
            fields += f"|dynamic:{self.dynamic_method}-{settings}"
        if self.cache:
            fields += f"|cache:{self.cache_size}-theta-{self.cache_theta:g}-lambda-{self.cache_lambda:g}"
        return fields


class AdaptationSettings(TypedDict, total=False):
    """The fields of ``AdaptationConfig`` as keyword arguments; see ``DecodingSettings``."""

    dynamic: bool
    dynamic_method: Literal["sgd", "rms"]
    dynamic_learning_rate: float | None
    dynamic_decay: float
    dynamic_window: int
    cache: bool
    cache_size: int
    cache_theta: float
    cache_lambda: float


@dataclass(frozen=True, kw_only=True)
class LanguageEvaluationConfig(AdaptationConfig):
    """Evaluation of language models."""

    window: int | None = ranged(None, at_least=1)
    """Evaluate windows of so many tokens, each from a zero state. Default: one pass over the split, with the state
    carried over."""
    streams: int = ranged(1, at_least=1)
    """Read the split in so many equal parts side by side, each from a zero state: faster, slightly worse."""
    condition: str | None = None
    """Condition under which a conditional model reads a text without labels: a label, shares of several
    (austen=0.7,poe=0.3), or a vector (0.5,-1,2). --model with such a label or shares finds the model itself. Of
    --labelled files: label, vector or none, as in textseq-train."""

    def __post_init__(self) -> None:
        """Check the ranges, and that dynamic evaluation reads one text from beginning to end."""
        super().__post_init__()
        if self.window is not None and self.streams != 1:
            raise TextseqError(f"--streams: expected none with --window, got {self.streams}; leave one of them out")
        for name, usual in (("window", None), ("streams", 1)):
            if self.dynamic and getattr(self, name) != usual:
                raise TextseqError(
                    f"{flag_of(name)}: expected none with --dynamic, which reads one text from beginning "
                    f"to end, got {getattr(self, name)}; leave one of them out"
                )
