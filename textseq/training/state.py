"""The state of a run besides its weights, and its conversion to the tensors of a checkpoint and back.

It is ``Progress``, the optimizer's state, the carried hidden state and torch's random generators.
"""

from __future__ import annotations

import contextlib
import math
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from textseq.config.training import TrainingConfig
from textseq.data.batching import Cursor
from textseq.errors import TextseqError
from textseq.nn.cells import State
from textseq.training.devices import is_out_of_memory

LARGEST = 1e300
"""Upper limit of the numbers in saved progress."""

SMOOTHING = 0.9
"""Weight of the old value in the smoothed loss, per line of the log."""


class Sums(NamedTuple):
    """Sums over several steps."""

    loss: float
    predictions: int
    steps: int
    norm: float
    clipped: float


@dataclass
class Progress:
    """Progress of a run; saved as ``training.json``.

    Example:
        >>> Trainer(model, batches, TrainingConfig(max_steps=20)).fit().step
        20
    """

    step: int = 0
    """Steps of the optimizer."""
    epoch: int = 0
    position: int = 0
    """With ``epoch``, the place in the data: see ``Cursor``."""
    tokens: int = 0
    """Predictions trained on."""
    seconds: float = 0.0
    """Training time, summed over all parts of an interrupted run."""
    best: float | None = None
    """Lowest criterion of an evaluation (``Evaluation.cost``), with its loss and step below."""
    best_loss: float | None = None
    best_step: int = 0
    evaluations_without_improvement: int = 0
    averaging_since: int = 0
    """The step since which the weights are averaged (``average_after``); 0: not yet."""
    rate_factor: float = 1.0
    """Multiplies the learning rate; halved by rollbacks and plateaus."""
    rollbacks: int = 0
    smoothed: float | None = None
    """Smoothed training loss, with its lowest value below."""
    lowest: float | None = None
    unlogged_steps: int = 0
    """Steps since the last line of the log, with their sums below."""
    unlogged_loss: float = 0.0
    unlogged_count: int = 0
    unlogged_norm: float = 0.0
    unlogged_clipped: float = 0.0
    averaged_checkpoints: dict[str, float] = field(default_factory=dict)
    """Evaluations whose weights are saved to be averaged: see ``averaging.Costs``."""
    rows: int = 0
    """N of the last batch."""
    micro_batches: int = 1
    """Micro-batches per batch since memory ran out."""
    processes: int = 1
    """Number of processes that the state was gathered from."""

    def add_unlogged(self, sums: Sums) -> None:
        """Add the sums of further steps to those for the next line of the log."""
        self.unlogged_loss += sums.loss
        self.unlogged_count += sums.predictions
        self.unlogged_steps += sums.steps
        self.unlogged_norm += sums.norm
        self.unlogged_clipped += sums.clipped

    def clear_unlogged(self) -> dict[str, float]:
        """Set the sums to zero; returns the mean norms of the gradient for the log."""
        norm, clipped = self.unlogged_norm / self.unlogged_steps, self.unlogged_clipped / self.unlogged_steps
        self.unlogged_steps = self.unlogged_count = 0
        self.unlogged_loss = self.unlogged_norm = self.unlogged_clipped = 0.0
        return {"gradient_norm": norm, "gradient_norm_clipped": clipped}

    def smooth(self, loss: float) -> float:
        """Update the smoothed training loss; returns how far it is above its lowest value."""
        old = loss if self.smoothed is None else self.smoothed
        self.smoothed = SMOOTHING * old + (1 - SMOOTHING) * loss
        self.lowest = min(self.smoothed, self.lowest if self.lowest is not None else math.inf)
        return self.smoothed - self.lowest

    def update_best(self, cost: float, loss: float) -> bool:
        """Whether an evaluation at this step is the best so far (lowest finite cost); if so, note it."""
        if not math.isfinite(cost) or (self.best is not None and not cost < self.best):
            return False
        self.best, self.best_loss, self.best_step = cost, loss, self.step
        return True

    def limit(self, config: TrainingConfig, epochs: float) -> tuple[str, float]:
        """The limit nearest to its end, as a flag, and the share of the run that is over, at most 1."""
        epoch_limit = config.epoch_limit
        shares = {
            f"--max-epochs {epoch_limit or 0:g}": epochs / (epoch_limit or math.inf),
            f"--max-steps {config.max_steps}": self.step / (config.max_steps or math.inf),
            f"--max-minutes {config.max_minutes or 0:g}": self.seconds / 60 / (config.max_minutes or math.inf),
        }
        if config.patience is not None:  # says that a run is over, not how far it has come
            shares[f"--patience {config.patience}"] = float(self.evaluations_without_improvement >= config.patience)
        nearest = max(shares, key=shares.__getitem__)
        return nearest, min(1.0, shares[nearest])

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Read saved progress; a ValueError for a wrong type, a value out of range or an unknown key."""
        for item in fields(cls):
            value = values.get(item.name, 0)
            if item.name == "averaged_checkpoints":
                valid = (isinstance(value, dict) and all(map(str.isdecimal, value))) or value == 0
            elif value is None:
                valid = "None" in str(item.type)
            else:
                least = 0 if item.type == "int" else -LARGEST
                valid = isinstance(value, int | float) and not isinstance(value, bool) and least <= value < LARGEST
                valid = valid and (item.type != "int" or isinstance(value, int))
            if not valid:
                raise ValueError(f"{item.name} cannot be {reprlib.repr(value)}")
        if unknown := values.keys() - {item.name for item in fields(cls)}:
            raise ValueError(f"unknown key {min(unknown)}")
        return cls(**values)  # type: ignore[arg-type]

    @property
    def cursor(self) -> Cursor:
        """The place of the next batch."""
        return Cursor(self.epoch, self.position)


@contextlib.contextmanager
def checkpoint_errors(folder: Path) -> Iterator[None]:
    """Name the checkpoint in errors of this block, which come from tensors that are missing or do not fit the model."""
    try:
        yield
    except (LookupError, ValueError, TypeError, RuntimeError) as error:
        if isinstance(error, TextseqError) or is_out_of_memory(error):
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise TextseqError(
            f"{folder} is not a checkpoint of this run ({reason}); restore the folder, or train from the start"
        ) from error


def optimizer_tensors(parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state, each tensor under a name."""
    tensors = {}
    for index, parameter in enumerate(parameters):
        for name, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
    return tensors


def restore_optimizer(
    tensors: Mapping[str, Tensor], parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer
) -> State | None:
    """Restore what ``optimizer_tensors`` saved; returns the hidden state that is saved beside it.

    A ValueError if a tensor does not fit the parameters, or holds no real numbers.
    """
    device = parameters[0].device
    optimizer.state.clear()
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind in ("optimizer", "state") and not tensor.is_floating_point():
            raise ValueError(f"{name} is of type {tensor.dtype}")
        if kind == "optimizer":
            index, _, key = rest.partition(".")
            if int(index) >= len(parameters) or tensor.shape not in (parameters[int(index)].shape, torch.Size()):
                raise ValueError(f"{name} fits no weights")
            optimizer.state[parameters[int(index)]][key] = tensor.to(device)
    names = sorted((int(name.removeprefix("state.")), name) for name in tensors if name.startswith("state."))
    return tuple(tensors[name].to(device) for _, name in names) or None


def random_states(device: torch.device) -> dict[str, Tensor]:
    """The states of torch's random generators: of the CPU and, if it is a GPU, of the device."""
    states = {"random.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["random.cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states: Mapping[str, Tensor], device: torch.device, prefix: str) -> None:
    """Restore what ``random_states`` returned, under names with a prefix."""
    torch.set_rng_state(states[f"{prefix}random.cpu"])
    if device.type == "cuda" and f"{prefix}random.cuda" in states:
        torch.cuda.set_rng_state(states[f"{prefix}random.cuda"], device)


def interleave(parts: Sequence[Tensor]) -> Tensor:
    """Join P tensors along the second axis: rows 0, P, 2P... from the first, rows 1, P + 1... from the second."""
    if len(parts) == 1:
        return parts[0]
    size = list(parts[0].shape)
    size[1] = sum(part.shape[1] for part in parts)
    whole = parts[0].new_empty(size)
    for index, part in enumerate(parts):
        whole[:, index :: len(parts)] = part
    return whole
