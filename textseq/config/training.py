"""How a model is trained: optimizer, schedule, limits, what is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textseq.config.base import LARGEST_SEED, Settings, ranged
from textseq.errors import TextseqError

BatchSize = int | Literal["auto"]


FIRST_BATCH = 16
"""Rows that ``auto`` tries first."""


def rows_of(batch_size: BatchSize) -> int:
    """A batch size as a number; for ``auto`` the first that is tried."""
    return FIRST_BATCH if batch_size == "auto" else batch_size


OptimizerName = Literal["adamw", "sgd", "rmsprop", "adagrad"]

ScheduleName = Literal["cosine", "linear", "constant", "plateau"]

Precision = Literal["auto", "float32", "bfloat16"]


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
    """Steps over which the learning rate rises to its peak; at most a tenth of a run with a cosine or a line."""
    plateau_patience: int = ranged(2, at_least=1)
    """Evaluations without a better one (see --best-by) before the plateau schedule halves the learning rate."""
    clip_norm: float | None = ranged(1.0, above=0)
    """Largest norm of the whole gradient; a larger one is scaled down."""
    clip_value: float | None = ranged(None, above=0)
    """Largest absolute value of each entry of the gradient; a larger one is cut."""
    layer_decay: float = ranged(1.0, above=0, at_most=1)
    """Learning rate of a layer over that of the layer above it (Howard and Ruder 2018, section 3.2: 1/2.6): for models
    that begin with the weights of another."""
    unfreeze_epochs: float = ranged(0.0, at_least=0)
    """Passes over the training text after which one more layer begins to learn, from the output layer down (Howard and
    Ruder 2018, section 3.3: 1); 0: all learn from the beginning."""
    frozen_steps: int = ranged(0, at_least=0)
    """Steps at the beginning during which the token vectors stay as they are, such as those of --vectors, while the
    rest learns to use them."""
    accumulate: int = ranged(1, at_least=1)
    """Batches whose gradients are added up before each step of the optimizer."""
    micro_batches: int = ranged(1, at_least=1)
    """Pieces that each batch is cut into, taken one after the other: with the same gradient it takes longer and needs
    less memory. Doubled where memory runs out."""
    max_epochs: float | None = ranged(10.0, above=0)
    """Stop after so many passes over the training text. The first limit that is reached counts."""
    max_steps: int | None = ranged(None, at_least=1)
    """Stop after so many steps of the optimizer."""
    max_minutes: float | None = ranged(None, above=0)
    """Stop after so many minutes; the schedule follows the clock."""
    patience: int | None = ranged(None, at_least=1)
    """Stop early after so many evaluations without a better one (see --best-by)."""
    evaluate_every: int = ranged(1000, at_least=1)
    """Steps between evaluations on the validation part; the best model is kept."""
    evaluate_tokens: int = ranged(200_000, at_least=1)
    """Tokens of the validation part that an evaluation reads during training, of a translator's the targets. (The
    final one reads all; of a text up to 500,000.)"""
    save_every: int = ranged(500, at_least=1)
    """Steps between checkpoints."""
    max_rollbacks: int = ranged(3, at_least=0)
    """Times that a diverged run goes back to its last checkpoint with half the learning rate before it gives up."""
    best_by: Literal["loss", "bleu", "accuracy"] = "loss"
    """What makes an evaluation the best: the lowest validation loss, or the highest BLEU (translators only) or accuracy
    (classifiers and taggers only)."""
    ema_decay: float = ranged(0.0, at_least=0, below=1)
    """Keep an exponential moving average of the weights with this decay (0.999 is usual; less after t steps while
    (1 + t) / (10 + t) is less), and evaluate, show and keep as the best model that instead. 0: none."""
    average: Literal["none", "last", "best"] = "none"
    """At the end of the run measure also the mean of the weights of the last or the best evaluations; it becomes the
    best model if it is better than each of them."""
    average_count: int = ranged(5, at_least=2)
    """Evaluations that --average takes the mean of, at most. So many copies of the weights lie in the run's folder."""
    precision: Precision = "auto"
    """Number format of the products in training. auto: bfloat16 where the device has units for it (two to three times
    as fast on GPUs since 2020 and on CPUs with AMX or AVX-512-BF16), else float32. Weights and losses are float32 in
    any case."""
    device: str = "auto"
    """Where to train: auto (a GPU if there is one), cpu, cuda, cuda:1, mps."""
    seed: int = ranged(1, at_least=0, at_most=LARGEST_SEED)
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
