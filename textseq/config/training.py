"""Settings of training: optimizer, schedule, limits, checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from textseq.config.base import LARGEST_SEED, Settings, ranged
from textseq.errors import TextseqError

BatchSize = int | Literal["auto"]

FIRST_BATCH = 16
"""Batch size that ``auto`` tries first."""


def rows_of(batch_size: BatchSize) -> int:
    """A batch size as a number; for ``auto`` the first one that is tried."""
    return FIRST_BATCH if batch_size == "auto" else batch_size


OptimizerName = Literal["adamw", "sgd", "rmsprop", "adagrad"]

ScheduleName = Literal["cosine", "linear", "constant", "plateau"]

TrainingPrecision = Literal["auto", "float32", "bfloat16"]


Tool = Literal["tensorboard", "wandb", "trackio"]
"""Tools that track runs."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Settings):
    """Training: optimizer, schedule, when to stop, what to write."""

    optimizer: OptimizerName = "adamw"
    """Optimizer."""
    learning_rate: float = ranged(4e-3, above=0)
    """Peak learning rate, reached at the end of the warm-up."""
    weight_decay: float = ranged(0.0, at_least=0)
    """Weight decay (decoupled in AdamW)."""
    momentum: float = ranged(0.9, at_least=0, below=1, only_with=("optimizer", ("adamw", "sgd", "rmsprop")))
    """Momentum of SGD and RMSprop; beta1 of AdamW."""
    beta2: float = ranged(0.99, at_least=0, below=1, only_with=("optimizer", ("adamw", "rmsprop")))
    """Decay of the average of squared gradients in AdamW and RMSprop."""
    schedule: ScheduleName = "linear"
    """Learning rate after warm-up: cosine or linear decay to zero, constant, or halved when the validation loss stops
    improving (plateau)."""
    warmup_steps: int = ranged(100, at_least=0)
    """Steps of linear warm-up to the peak learning rate; with cosine and linear at most a tenth of the run."""
    plateau_patience: int = ranged(2, at_least=1, only_with=("schedule", ("plateau",)))
    """plateau: evaluations without improvement (see --best-by) before the learning rate is halved."""
    clip_norm: float | None = ranged(1.0, above=0)
    """Clip the norm of the whole gradient to this."""
    clip_value: float | None = ranged(None, above=0)
    """Clip each entry of the gradient to this absolute value. Default: no clipping by value."""
    layer_decay: float = ranged(1.0, above=0, at_most=1)
    """Discriminative fine-tuning: each layer's learning rate divided by that of the layer above it (Howard and Ruder
    2018, section 3.2: 1/2.6). For models that start from another's weights."""
    unfreeze_epochs: float = ranged(0.0, at_least=0)
    """Gradual unfreezing: epochs between the layers' starts of training, from the output layer down (Howard and Ruder
    2018, section 3.3: 1). 0: all layers train from the start."""
    frozen_steps: int = ranged(0, at_least=0)
    """Keep the embedding fixed for this many steps, for example to train the other layers around pretrained
    --vectors first."""
    accumulate: int = ranged(1, at_least=1)
    """Gradient accumulation: batches per optimizer step."""
    micro_batches: int = ranged(1, at_least=1)
    """Split each batch into this many micro-batches: the same gradient with less memory, but slower. Doubled
    automatically when memory runs out."""
    max_epochs: float | None = ranged(None, above=0)
    """Stop after this many epochs. The first limit that is reached ends the run. Default: 10 (translation 15,
    classification 6), but at least 1,000 steps; or no such limit if --max-steps or --max-minutes is given."""
    max_steps: int | None = ranged(None, at_least=1)
    """Stop after this many optimizer steps."""
    max_minutes: float | None = ranged(None, above=0)
    """Stop after this many minutes; the schedule follows the clock."""
    patience: int | None = ranged(None, at_least=1)
    """Early stopping: stop after this many evaluations without improvement (see --best-by)."""
    evaluate_every: int = ranged(1000, at_least=1)
    """Steps between evaluations on the validation split; the best model is kept."""
    evaluate_tokens: int = ranged(200_000, at_least=1)
    """Tokens of the validation split that each evaluation during training uses; for translation, target tokens. (The
    final evaluation uses all; of a text up to 500,000.)"""
    save_every: int = ranged(500, at_least=1)
    """Steps between checkpoints."""
    max_rollbacks: int = ranged(3, at_least=0)
    """When a run diverges it returns to its last checkpoint with half the learning rate, at most this often."""
    best_by: Literal["loss", "bleu", "accuracy", "macro_f1", "f1"] = "loss"
    """Metric that decides which model is the best: lowest validation loss, highest BLEU (translation only), highest
    accuracy (classification and tagging only), highest mean F1 of the labels (macro_f1, classification only), or
    highest F1 of spans (f1, tagging of named entities only)."""
    ema_decay: float = ranged(0.0, at_least=0, below=1)
    """Keep an exponential moving average of the weights with this decay (0.999 is usual; after t steps at most (1 + t)
    / (10 + t)), and evaluate and save the average as the best model. 0: no average."""
    average_after: int = ranged(0, at_least=0)
    """Once the validation loss has not improved for so many evaluations, keep the mean of the weights of all steps from
    there on, and evaluate and save the mean as the best model. 0: never. 5 with --optimizer sgd --schedule constant is
    averaged SGD with a non-monotonic trigger (NT-ASGD, Merity et al. 2018, section 4)."""
    average: Literal["none", "last", "best"] = "none"
    """At the end of the run also evaluate the average of the weights at the last or best evaluations; it becomes the
    best model if it is better than each of them."""
    average_count: int = ranged(5, at_least=2, only_with=("average", ("last", "best")))
    """Number of checkpoints for --average; that many copies of the weights are kept in the run's folder."""
    precision: TrainingPrecision = "auto"
    """Number format of the matrix products in training. auto: bfloat16 where the device has units for it (two to three
    times as fast on GPUs since 2020 and on CPUs with AMX or AVX-512-BF16), otherwise float32. Weights and losses are
    always float32."""
    device: str = "auto"
    """Where to train: auto (a GPU if there is one), cpu, cuda, cuda:1, mps."""
    seed: int = ranged(1, at_least=0, at_most=LARGEST_SEED)
    """Random seed."""
    deterministic: bool = True
    """Use deterministic algorithms only, so that a resumed run equals an uninterrupted one bit for bit."""
    log_to: Tool | None = None
    """Send what is logged to a tool that tracks runs as well: tensorboard (into the run's folder), wandb or trackio (to
    the project textseq). Each needs the extra of its name, such as textseq[wandb]."""

    DEFAULT_EPOCHS: ClassVar[float] = 10.0

    def __post_init__(self) -> None:
        """Check the ranges and combinations."""
        super().__post_init__()
        if self.average_after and self.ema_decay:
            raise TextseqError(
                f"--average-after: expected --ema-decay 0, got {self.ema_decay:g}; use one of the two averages"
            )

    @property
    def epoch_limit(self) -> float | None:
        """``max_epochs``, or its default; None if there is no such limit."""
        if self.max_epochs is None and self.max_steps is None and self.max_minutes is None:
            return self.DEFAULT_EPOCHS
        return self.max_epochs


@dataclass(frozen=True, kw_only=True)
class DistillationConfig(TrainingConfig):
    """Training of the tasks whose models can learn from other models."""

    distil_from: tuple[str, ...] = ()
    """Distillation: learn from these models, the teachers, as well as from the data: the mean of the probabilities that
    they give to every next token (Hinton et al. 2015). Their tokenizer is kept; sizes may differ."""
    distil_share: float = ranged(0.5, above=0, at_most=1, not_with=("distil_from", ((),)))
    """Share of the teachers in what the model is trained on; the rest is the correct token."""
