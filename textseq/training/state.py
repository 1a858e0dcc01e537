"""How far a run has come: all that decides what comes next, on its way into a checkpoint and back.

Beside the weights that is ``Progress``, the optimizer's memory, the carried state and torch's random generators.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Self

import torch
from torch import Tensor, nn

from textseq.data.batching import Cursor
from textseq.nn.cells import State

LARGEST = 1e300
"""No figure of a run is as large."""

SMOOTHING = 0.9
"""Share of the old value in the smoothed loss, per look."""


@dataclass
class Progress:
    """How far a run has come. Plain data: it is saved as ``training.json``."""

    step: int = 0
    """Steps of the optimizer."""
    epoch: int = 0
    position: int = 0
    """With ``epoch``, the place in the data: see ``batches.Cursor``."""
    tokens: int = 0
    """Predictions trained on."""
    seconds: float = 0.0
    """Time spent, over all the pieces of an interrupted run."""
    best: float | None = None
    """Lowest criterion: the validation loss in nats per token, or what ``training.Evaluation`` has in its place."""
    best_nats: float | None = None
    """Validation loss of the same evaluation, nats per token."""
    best_step: int = 0
    evaluations_without_improvement: int = 0
    """Evaluations since the best one."""
    rate_factor: float = 1.0
    """What rollbacks and plateaus have left of the learning rate."""
    rollbacks: int = 0
    smoothed: float | None = None
    lowest: float | None = None
    """Lowest smoothed training loss, nats per token."""
    unlogged_nats: float = 0.0
    unlogged_count: int = 0
    """Summed loss and predictions since the last look at the loss, where the run was stopped between two looks."""
    kept: dict[str, float] = field(default_factory=dict)
    """Evaluations whose weights are kept for their mean: see ``averaging.Kept``."""
    rows: int = 0
    """N of the last batch."""
    micro_batches: int = 1
    """Pieces that batches are cut into since memory ran out: see ``learner``."""
    processes: int = 1
    """ProcessGroup that the state was gathered from."""

    def __post_init__(self) -> None:
        """A run of an older version had no other criterion than the loss."""
        if self.best_nats is None:
            self.best_nats = self.best

    def smooth(self, nats: float) -> float:
        """Take a training loss into the smoothed one; returns how far that has risen above its lowest."""
        old = nats if self.smoothed is None else self.smoothed
        self.smoothed = SMOOTHING * old + (1 - SMOOTHING) * nats
        self.lowest = min(self.smoothed, self.lowest if self.lowest is not None else math.inf)
        return self.smoothed - self.lowest

    @classmethod
    def of(cls, plain: Mapping[str, object]) -> Self:
        """What was saved.

        Raises:
            ValueError: it is something else.
        """
        for item in fields(cls):
            value = plain.get(item.name, 0)
            if item.name == "kept":
                sound = (isinstance(value, dict) and all(map(str.isdecimal, value))) or value == 0
            elif value is None:
                sound = "None" in str(item.type)
            else:
                least = 0 if item.type == "int" else -LARGEST
                sound = isinstance(value, int | float) and not isinstance(value, bool) and least <= value < LARGEST
                sound = sound and (item.type != "int" or isinstance(value, int))
            if not sound:
                raise ValueError(f"{item.name} cannot be {reprlib.repr(value)}")
        if unknown := plain.keys() - {item.name for item in fields(cls)}:
            raise ValueError(f"it has no {min(unknown)}")
        return cls(**plain)  # type: ignore[arg-type]

    @property
    def cursor(self) -> Cursor:
        """The place of the next batch."""
        return Cursor(self.epoch, self.position)


def gather(parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory, each tensor under a name."""
    tensors = {}
    for index, parameter in enumerate(parameters):
        for name, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
    return tensors


def spread(
    tensors: Mapping[str, Tensor], parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer
) -> State | None:
    """Put what ``gather`` named where it was; returns the carried state that is among the tensors.

    Raises:
        ValueError: it does not fit the parameters.
    """
    device = parameters[0].device
    optimizer.state.clear()
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "optimizer":
            index, _, key = rest.partition(".")
            if int(index) >= len(parameters) or tensor.shape not in (parameters[int(index)].shape, torch.Size()):
                raise ValueError(f"{name} fits no weights")
            optimizer.state[parameters[int(index)]][key] = tensor.to(device)
    return tuple(tensors[name].to(device) for name in sorted(tensors) if name.startswith("state.")) or None


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Where torch's random generators stand, those of the CPU and of the device that is computed on."""
    states = {"random.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["random.cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Put them where ``random_states`` found them."""
    torch.set_rng_state(states["random.cpu"])
    on_device = states.get("random.cuda", states.get("random.cuda.0"))  # the second: as older versions wrote it
    if device.type == "cuda" and on_device is not None:
        torch.cuda.set_rng_state(on_device, device)
