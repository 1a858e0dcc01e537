"""Averages of the weights: a moving one, exponential or since a step, and the mean of several evaluated checkpoints.

They are often better than the last weights, which keep moving about an optimum. None changes the training.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from textseq.checkpoints.checkpoint import read_tensors
from textseq.config.training import TrainingConfig
from textseq.errors import TextseqError
from textseq.io.files import replacing
from textseq.training.state import checkpoint_errors

Costs = dict[str, float]
"""Step and cost (lower is better) of the evaluations to average, oldest first. Their weights are in the run folder, as
``averaged-STEP.safetensors``, with a SHA-256 under the key ``CHECK``."""

CHECK = "sha256"


class Averages:
    """The averages of a run.

    The moving average (``ema_decay``): after step t it is d * itself + (1 - d) * the weights, where
    d = min(``ema_decay``, (1 + t) / (10 + t)), so that the initial weights fade in a short run too.

    With ``average_after`` it is instead the mean of the weights after each step since the one at which ``begin`` was
    called, as in averaged SGD (Polyak and Juditsky 1992).

    The mean (``average``): the weights of each evaluation (those of the moving average if there is one) are saved once,
    and at the end the mean of the last or best ``average_count`` is evaluated like any other weights.
    """

    def __init__(self, folder: Path | None, parameters: Sequence[nn.Parameter], config: TrainingConfig) -> None:
        self.folder = folder
        self.parameters: list[Tensor] = list(parameters)
        self.config = config
        self.moving: list[Tensor] = []
        if config.ema_decay:
            self.begin()

    @torch.no_grad()
    def update(self, step: int, since: int = 0) -> None:
        """Update the moving average after a step, counted from 1; ``since``: the step at which ``begin`` was called."""
        if not self.moving:
            return
        if self.config.average_after:
            share = 1 / (step - since + 1)
        else:
            share = 1 - min(self.config.ema_decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.moving, self.parameters, share)

    def begin(self) -> None:
        """Begin the moving average with the current weights."""
        self.moving = [parameter.detach().clone() for parameter in self.parameters]

    def mean(self, costs: Costs) -> list[Tensor]:
        """The mean of the saved weights, summed in 64 bits, one file after the other."""
        total = [torch.zeros(parameter.shape, dtype=torch.float64) for parameter in self.parameters]
        for step in costs:
            for part, tensor in zip(total, self._read(step), strict=True):
                part += tensor
        return [(part / len(costs)).float() for part in total]

    def add(self, costs: Costs, step: int, cost: float) -> Costs:
        """Save the weights of an evaluation, if they are to be averaged; returns what is to be averaged now.

        A file that is no longer needed stays until ``tidy``: the last checkpoint may still name it.
        """
        if self.config.average == "none":
            return {}
        new = str(step)
        known = {**costs, new: cost if math.isfinite(cost) else math.inf}
        order = reversed(known) if self.config.average == "last" else sorted(known, key=known.__getitem__)
        chosen = list(order)[: self.config.average_count]
        if new in chosen:
            tensors = {str(i): parameter.detach().cpu().contiguous() for i, parameter in enumerate(self.parameters)}
            with replacing(self._file(new)) as (file,):
                file.write(save({**tensors, CHECK: _hash(tensors)}))
        return {step: cost for step, cost in known.items() if step in chosen}

    def tidy(self, costs: Costs) -> None:
        """Delete files that are no longer needed, including those of a killed run."""
        if self.folder is None:
            return
        needed = {self._file(step) for step in costs}
        for path in (*self.folder.glob("averaged-*"), *self.folder.glob(".averaged-*")):
            if path not in needed:
                with contextlib.suppress(OSError):
                    path.unlink()

    def tensors(self) -> dict[str, Tensor]:
        """The moving average for a checkpoint."""
        return {f"moving.{index}": value for index, value in enumerate(self.moving)}

    def restore(self, tensors: Mapping[str, Tensor], costs: Costs, since: int = 0) -> Costs:
        """Restore a moving average (by default the weights) and check the saved files; returns those to average.

        With ``average_after`` there is a moving average since the step ``since``, or none yet (0).
        """
        if self.config.average_after:
            self.moving = []
            if since:
                self.begin()
        if self.moving:
            assert self.folder is not None
            with checkpoint_errors(self.folder):
                _copy(self.moving, [tensors.get(f"moving.{i}", weights) for i, weights in enumerate(self.parameters)])
        if self.config.average == "none":
            costs = {}
        for step in costs:
            if not self._file(step).is_file():
                raise TextseqError(f"{self._file(step)} is missing; restore it, or continue with --average none")
            self._read(step)  # fail now, not at the end of the run
        self.tidy(costs)
        return costs

    def _read(self, step: str) -> list[Tensor]:
        """The saved weights of a step, verified by their hash."""
        tensors = read_tensors(self._file(step))
        check = tensors.pop(CHECK, None)
        with checkpoint_errors(self._file(step)):
            valid = check is not None and torch.equal(check, _hash(tensors))
        shapes = {str(index): parameter.shape for index, parameter in enumerate(self.parameters)}
        if not valid or {name: tensor.shape for name, tensor in tensors.items()} != shapes:
            raise TextseqError(
                f"{self._file(step)} is damaged: its SHA-256 is not the one in it; restore it, or continue with "
                "--average none"
            )
        return [tensors[str(index)] for index in range(len(tensors))]

    def _file(self, step: str) -> Path:
        assert self.folder is not None
        return self.folder / f"averaged-{step}.safetensors"


def _hash(tensors: Mapping[str, Tensor]) -> Tensor:
    """The SHA-256 of names, shapes and values: (32,), bytes."""
    hashed = hashlib.sha256()
    for name in sorted(tensors):
        hashed.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}\n".encode())
        hashed.update(tensors[name].numpy().data)
    return torch.tensor(list(hashed.digest()), dtype=torch.uint8)


def refuse_unmeasured(config: TrainingConfig) -> None:
    """Raise a TextseqError for settings that need evaluations, in a run without validation data."""
    if config.average != "none":
        setting, instead = f"--average {config.average}", "average with --ema-decay"
    elif config.average_after:
        setting, instead = f"--average-after {config.average_after}", "average with --ema-decay"
    elif config.best_by != "loss":
        setting, instead = f"--best-by {config.best_by}", "--best-by loss"
    elif config.schedule == "plateau":
        setting, instead = "--schedule plateau", "another schedule"
    elif config.patience is not None:
        setting, instead = f"--patience {config.patience}", "leave it out"
    else:
        return
    raise TextseqError(f"{setting} needs validation data, and there are none; set a --validation, or {instead}")


@contextlib.contextmanager
def swapped_weights(model: nn.Module, parameters: Sequence[nn.Parameter], weights: Sequence[Tensor]) -> Iterator[None]:
    """Put the model into evaluation mode with other weights, if any; then restore training mode and the old weights."""
    changed = parameters if weights else []
    old = [parameter.detach().clone() for parameter in changed]
    model.eval()
    _copy(changed, weights)
    try:
        yield
    finally:
        _copy(changed, old)
        model.train()


@torch.no_grad()
def _copy(targets: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for target, value in zip(targets, values, strict=True):
        target.copy_(value)
