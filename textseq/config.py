"""Every setting, once: frozen dataclasses whose fields are the flags, the recipes' keys and the defaults.

The line under a field is its help text. ``ranged`` states the values that make sense; they are checked
whenever a settings object is made, from Python, a flag or a recipe alike. Nothing heavy is imported here.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self, TypeVar

from textseq.errors import TextseqError, unknown

Task = Literal["language-model"]
TokenizerName = Literal["char", "byte"]
CellName = Literal["rnn", "rnn-relu", "lstm", "gru"]
OptimizerName = Literal["adamw", "sgd", "rmsprop", "adagrad"]
ScheduleName = Literal["cosine", "linear", "constant", "plateau"]
Precision = Literal["float32", "bfloat16"]

Value = TypeVar("Value")


def ranged(
    default: Value,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Value:
    """A field with a default and the bounds that ``Settings`` holds it to."""
    bounds = {"at_least": at_least, "at_most": at_most, "above": above, "below": below}
    made: Value = field(default=default, metadata={k: v for k, v in bounds.items() if v is not None})
    return made


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The base of every settings class: checks its fields, and reads and writes plain data."""

    def __post_init__(self) -> None:
        """Check choices and ranges.

        Raises:
            TextseqError: a value that is not among the choices or outside its range.
        """
        hints = typing.get_type_hints(type(self))
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            flag = "--" + item.name.replace("_", "-")
            if typing.get_origin(hints[item.name]) is Literal:
                choices = typing.get_args(hints[item.name])
                if value not in choices:
                    raise unknown(f"value of {flag}", str(value), map(str, choices))
            else:
                _check_type(flag, value, hints[item.name])
                _check_range(flag, value, item.metadata)

    @classmethod
    def from_dict(cls, values: Mapping[str, object], *, where: str) -> Self:
        """Make the settings from plain data, such as a recipe's table; what is missing keeps its default.

        Args:
            values: field names and values.
            where: what is being read, for the error.

        Raises:
            TextseqError: a key that is no field (nearest match offered) or a value of the wrong type.
        """
        names = {item.name for item in dataclasses.fields(cls)}
        for key in values:
            if key not in names:
                raise unknown(f"setting in {where}", key, names)
        hints = typing.get_type_hints(cls)
        return cls(**{key: _as_float(value, hints[key]) for key, value in values.items()})

    def to_dict(self) -> dict[str, object]:
        """The settings as plain data, for JSON."""
        return dataclasses.asdict(self)


def _as_float(value: object, hint: object) -> object:
    """A whole number where a fraction is wanted (``dropout = 0`` in a recipe) is no mistake."""
    wants_float = hint is float or float in typing.get_args(hint)
    return float(value) if wants_float and type(value) is int else value


def _check_type(flag: str, value: object, hint: object) -> None:
    if typing.get_origin(hint) is tuple:
        wanted: tuple[type, ...] = (tuple,)
    else:
        wanted = tuple(t for t in (typing.get_args(hint) or (hint,)) if isinstance(t, type))
    if float in wanted:
        wanted += (int,)
    is_flag = isinstance(value, bool)
    if (is_flag and bool not in wanted) or not isinstance(value, wanted):
        names = " or ".join(t.__name__ for t in wanted if t is not type(None))
        raise TextseqError(f"{flag} wants {names}, found {value!r}")


def _check_range(flag: str, value: object, bounds: Mapping[str, float]) -> None:
    if not bounds or not isinstance(value, (int, float)):
        return
    words = {"at_least": "at least", "at_most": "at most", "above": "more than", "below": "less than"}
    holds = {
        "at_least": lambda limit: value >= limit,
        "at_most": lambda limit: value <= limit,
        "above": lambda limit: value > limit,
        "below": lambda limit: value < limit,
    }
    if not math.isfinite(value) or not all(holds[kind](limit) for kind, limit in bounds.items()):
        wanted = " and ".join(["finite"] * math.isinf(value) + [f"{words[k]} {limit:g}" for k, limit in bounds.items()])
        raise TextseqError(f"{flag} must be {wanted}, found {value}")


@dataclass(frozen=True, kw_only=True)
class LanguageModelConfig(Settings):
    """Model: embedding, recurrent stack and output layer."""

    cell: CellName = "lstm"
    """Recurrent cell: the Elman network with tanh or relu, the LSTM, or the GRU."""
    layers: int = ranged(1, at_least=1)
    """Recurrent layers, one upon the other."""
    hidden_size: int = ranged(640, at_least=1)
    """Width H of every layer."""
    embedding_size: int = ranged(64, at_least=1)
    """Width E of the token vectors."""
    dropout: float = ranged(0.1, at_least=0, below=1)
    """Share of the activations dropped between layers and before the output, in training only."""
    tie_embeddings: bool = False
    """Use one matrix for the embedding and the output layer (wants embedding size = hidden size)."""
    learn_initial_state: bool = False
    """Learn the state that a text begins with; otherwise it is zero."""

    def __post_init__(self) -> None:
        """Check the ranges, and that tied matrices fit one another."""
        super().__post_init__()
        if self.tie_embeddings and self.embedding_size != self.hidden_size:
            raise TextseqError(
                f"--tie-embeddings wants --embedding-size equal to --hidden-size, "
                f"found {self.embedding_size} and {self.hidden_size}; set both to one number"
            )


@dataclass(frozen=True, kw_only=True)
class DataConfig(Settings):
    """Data: how text becomes batches."""

    tokenizer: TokenizerName = "char"
    """What a token is: a character (with byte fallback for characters never seen) or a byte."""
    batch_size: int = ranged(32, at_least=1)
    """Streams N of the text that are read side by side."""
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
class TrainingConfig(Settings):
    """Training: optimizer, schedule, when to stop, what to write."""

    optimizer: OptimizerName = "adamw"
    """Optimizer."""
    learning_rate: float = ranged(4e-3, above=0)
    """Peak learning rate."""
    weight_decay: float = ranged(0.0, at_least=0)
    """Weight decay (decoupled in AdamW)."""
    momentum: float = ranged(0.9, at_least=0, below=1)
    """Momentum of SGD and RMSprop, and AdamW's beta1."""
    beta2: float = ranged(0.99, at_least=0, below=1)
    """Decay of the squared gradient's average in AdamW and RMSprop."""
    schedule: ScheduleName = "linear"
    """Learning rate after the warm-up: to zero along a cosine or a line, constant, or halved on a plateau of
    the validation loss."""
    warmup_steps: int = ranged(100, at_least=0)
    """Steps over which the learning rate rises to its peak."""
    plateau_patience: int = ranged(2, at_least=1)
    """Evaluations without a better validation loss before the plateau schedule halves the learning rate."""
    clip_norm: float | None = ranged(1.0, above=0)
    """Largest norm of the whole gradient; a larger one is scaled down."""
    clip_value: float | None = ranged(None, above=0)
    """Largest absolute value of each entry of the gradient; a larger one is cut."""
    accumulate: int = ranged(1, at_least=1)
    """Batches whose gradients are added up before each step of the optimizer."""
    max_epochs: float | None = ranged(10.0, above=0)
    """Stop after so many passes over the training text. The first limit that is reached counts."""
    max_steps: int | None = ranged(None, at_least=1)
    """Stop after so many steps of the optimizer."""
    max_minutes: float | None = ranged(None, above=0)
    """Stop after so many minutes; the schedule follows the clock."""
    patience: int | None = ranged(None, at_least=1)
    """Stop early after so many evaluations without a better validation loss."""
    evaluate_every: int = ranged(1000, at_least=1)
    """Steps between evaluations on the validation part; the best model is kept."""
    evaluate_tokens: int = ranged(200_000, at_least=1)
    """Tokens of the validation part that an evaluation reads during training (the final one reads up to 500,000)."""
    save_every: int = ranged(500, at_least=1)
    """Steps between checkpoints."""
    max_rewinds: int = ranged(3, at_least=0)
    """Times that a diverged run goes back to its last checkpoint with half the learning rate before it gives up."""
    precision: Precision = "float32"
    """Number format of the forward pass; bfloat16 is for GPUs."""
    device: str = "auto"
    """Where to train: auto (a GPU if there is one), cpu, cuda, cuda:1, mps."""
    seed: int = ranged(1, at_least=0)
    """Seed of all that is random."""
    deterministic: bool = True
    """Only algorithms that give the same bits every time, so that a resumed run equals one never stopped."""
    tensorboard: bool = False
    """Write TensorBoard events into the run's folder (wants the extra textseq[tensorboard])."""

    def __post_init__(self) -> None:
        """Check the ranges, and that there is an end."""
        super().__post_init__()
        if self.max_epochs is None and self.max_steps is None and self.max_minutes is None:
            raise TextseqError("a run needs an end: give --max-epochs, --max-steps or --max-minutes")


@dataclass(frozen=True, kw_only=True)
class GenerationConfig(Settings):
    """Writing: names and meanings as in Hugging Face's GenerationConfig.

    The defaults suit small recurrent models: a temperature below 1 and no truncation of the distribution,
    for their distribution has a heavier tail of nonsense than a large model's; Hugging Face's are 1.0 and top_k 50.
    """

    max_new_tokens: int = ranged(500, at_least=0)
    """Tokens to write after the prompt."""
    temperature: float = ranged(0.7, at_least=0)
    """Divides the logits: below 1 bolder words become rarer, 0 always takes the likeliest token."""
    top_k: int | None = ranged(None, at_least=1)
    """Draw from the k likeliest tokens only."""
    top_p: float = ranged(1.0, above=0, at_most=1)
    """Draw from the smallest set of tokens that holds this share of the probability."""
    num_return_sequences: int = ranged(1, at_least=1)
    """Texts to write side by side in one batch."""
    seed: int | None = ranged(None, at_least=0)
    """The same seed writes the same text. Default: a new one every time."""
    stop_strings: tuple[str, ...] = ()
    """End a text before the first of these strings that it comes to."""
