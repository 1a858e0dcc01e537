"""Averages of the weights: a moving one, step by step, and the mean of what several evaluations measured.

Both are often better than the last weights, which go on moving about a good place. Neither changes the training.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from textseq.checkpoints.checkpoint import read_tensors
from textseq.config.training import TrainingConfig
from textseq.errors import TextseqError
from textseq.io.files import replacing

Kept = dict[str, float]
"""The evaluations whose weights are kept: step, and what was found (lower is better), in order of time.
Each lies in a file of the run's folder, ``kept-STEP.safetensors``."""


CHECK = "sha256"
"""Beside the weights in such a file: their hash."""


class Averages:
    """What a run averages.

    The moving average (``ema_decay``): after step t it is d * itself + (1 - d) * the weights, where
    d = min(``ema_decay``, (1 + t) / (10 + t)), so that a short run is not full of the weights that it began with.

    The mean (``average``): the weights of each evaluation, those of the moving average if there is one, go into a
    file once, and at the end the mean of the last or best ``average_count`` is measured like any other weights.

    Args:
        folder: the run's.
        parameters: the weights; the moving average begins where they stand.
        config: what to average.
    """

    def __init__(self, folder: Path, parameters: Sequence[nn.Parameter], config: TrainingConfig) -> None:
        self.folder = folder
        self.parameters: list[Tensor] = list(parameters)
        self.config = config
        self.moving = [parameter.detach().clone() for parameter in parameters] if config.ema_decay else []

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 1."""
        if self.moving:
            decay = min(self.config.ema_decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self.moving, self.parameters, 1 - decay)

    def mean(self, kept: Kept) -> list[Tensor]:
        """The mean of the kept weights, summed in 64 bits, one file after the other.

        Raises:
            TextseqError: a file that is missing or damaged.
        """
        total = [torch.zeros(parameter.shape, dtype=torch.float64) for parameter in self.parameters]
        for step in kept:
            for part, tensor in zip(total, self._read(step), strict=True):
                part += tensor
        return [(part / len(kept)).float() for part in total]

    def keep(self, kept: Kept, step: int, cost: float) -> Kept:
        """Keep the weights of an evaluation, if they are wanted for the mean.

        What they displace stays on disk until ``tidy``: the last checkpoint may still name it.

        Raises:
            TextseqError: the disk is full.
        """
        if self.config.average == "none":
            return {}
        new = str(step)
        known = {**kept, new: cost}
        order = reversed(known) if self.config.average == "last" else sorted(known, key=known.__getitem__)
        chosen = list(order)[: self.config.average_count]
        if new in chosen:
            tensors = {str(i): parameter.detach().cpu().contiguous() for i, parameter in enumerate(self.parameters)}
            with replacing(self._file(new)) as (file,):
                file.write(save({**tensors, CHECK: _hashed(tensors)}))
        return {step: cost for step, cost in known.items() if step in chosen}

    def tidy(self, kept: Kept) -> None:
        """Delete the weights that are kept no more, and what a killed run left."""
        wanted = {self._file(step) for step in kept}
        for path in (*self.folder.glob("kept-*"), *self.folder.glob(".kept-*")):
            if path not in wanted:
                with contextlib.suppress(OSError):
                    path.unlink()

    def tensors(self) -> dict[str, Tensor]:
        """The moving average, to be saved: each tensor under a name."""
        return {f"moving.{index}": value for index, value in enumerate(self.moving)}

    def restore(self, tensors: Mapping[str, Tensor], kept: Kept) -> Kept:
        """Go back to a checkpoint: the moving average, and the files of the weights that it names.

        Args:
            tensors: what ``tensors`` gave; without it the moving average begins where the weights stand.
            kept: what was kept.

        Returns:
            What is kept: nothing if no mean is wanted any more.

        Raises:
            TextseqError: a kept file is missing or damaged.
        """
        if self.moving:
            _fill(self.moving, [tensors.get(f"moving.{i}", own) for i, own in enumerate(self.parameters)])
        if self.config.average == "none":
            kept = {}
        for step in kept:
            if not self._file(step).is_file():
                raise TextseqError(f"{self._file(step)} is missing; restore it, or go on with --average none")
            self._read(step)  # now, not at the end of the run
        self.tidy(kept)
        return kept

    def _read(self, step: str) -> list[Tensor]:
        """The kept weights of a step, checked by their hash, which files of older versions do not have."""
        tensors = read_tensors(self._file(step))
        check = tensors.pop(CHECK, None)
        whole = check is None or torch.equal(check, _hashed(tensors))
        if not whole or tensors.keys() != {str(index) for index in range(len(self.parameters))}:
            raise TextseqError(
                f"{self._file(step)} is damaged: its SHA-256 is not the one in it; restore it, or go on with "
                "--average none"
            )
        return [tensors[str(index)] for index in range(len(tensors))]

    def _file(self, step: str) -> Path:
        return self.folder / f"kept-{step}.safetensors"


def _hashed(tensors: Mapping[str, Tensor]) -> Tensor:
    """The SHA-256 of names, shapes and numbers: (32,), bytes."""
    hashed = hashlib.sha256()
    for name in sorted(tensors):
        hashed.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}\n".encode())
        hashed.update(tensors[name].numpy().data)
    return torch.tensor(list(hashed.digest()), dtype=torch.uint8)


def refuse_unmeasured(config: TrainingConfig) -> None:
    """Refuse, for a run without a validation part, what only that can decide.

    Raises:
        TextseqError: the weights of evaluations are to be averaged, or the best by another measure than the loss is to
            be kept, and there will be no evaluation.
    """
    wanted, instead = (
        (f"--average {config.average}", "average with --ema-decay")
        if config.average != "none"
        else (f"--best-by {config.best_by}", "--best-by loss")
    )
    if config.average != "none" or config.best_by != "loss":
        raise TextseqError(f"{wanted} wants a validation part and found none; set a --validation, or {instead}")


@contextlib.contextmanager
def in_use(model: nn.Module, parameters: Sequence[nn.Parameter], weights: Sequence[Tensor]) -> Iterator[None]:
    """The model as its users will have it, for a while; then it goes on training with its own weights, bit for bit.

    Args:
        model: is put out of training mode.
        parameters: its weights.
        weights: others to have in their place; none to leave them as they are.
    """
    changed = parameters if weights else []
    own = [parameter.detach().clone() for parameter in changed]
    model.eval()
    _fill(changed, weights)
    try:
        yield
    finally:
        _fill(changed, own)
        model.train()


@torch.no_grad()
def _fill(targets: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for target, value in zip(targets, values, strict=True):
        target.copy_(value)
