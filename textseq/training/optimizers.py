"""Optimizers by name, layer groups, the learning rate over a run, gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from textseq.config.training import OptimizerName, TrainingConfig
from textseq.errors import TextseqError

Parameters = list[nn.Parameter]

Groups = list[dict[str, Any]]
"""Parameters under ``params``, and the factor of their learning rate under ``scale``."""

LONGEST_WARMUP = 0.1
"""Share of a run that the warm-up of a falling schedule takes at most."""


def _fused(groups: Groups) -> bool:
    return groups[0]["params"][0].device.type in {"cpu", "cuda"}


OPTIMIZERS: dict[OptimizerName, Callable[[Groups, TrainingConfig], torch.optim.Optimizer]] = {
    "adamw": lambda groups, c: torch.optim.AdamW(
        groups, c.learning_rate, (c.momentum, c.beta2), weight_decay=c.weight_decay, fused=_fused(groups)
    ),
    "sgd": lambda groups, c: torch.optim.SGD(  # the fused one refuses parameters without a gradient in the first step
        groups, c.learning_rate, c.momentum, weight_decay=c.weight_decay
    ),
    "rmsprop": lambda groups, c: torch.optim.RMSprop(
        groups, c.learning_rate, alpha=c.beta2, momentum=c.momentum, weight_decay=c.weight_decay
    ),
    "adagrad": lambda groups, c: torch.optim.Adagrad(groups, c.learning_rate, weight_decay=c.weight_decay),
}


def grouped(layer_groups: Sequence[Parameters], config: TrainingConfig) -> Groups:
    """Parameter groups for an optimizer, one per layer from the output down, each with its learning rate factor."""
    return [{"params": group, "scale": config.layer_decay**depth} for depth, group in enumerate(layer_groups)]


def learning_rate(config: TrainingConfig, step: int, done: float) -> float:
    """The scheduled learning rate, before rollbacks and plateaus lower it: it rises to the peak, then falls from there.

    Args:
        config: schedule, peak and warm-up.
        step: steps taken.
        done: share of the run that is over, 0 to 1.

    Example:
        >>> learning_rate(TrainingConfig(schedule="linear", learning_rate=1.0, warmup_steps=0), step=50, done=0.5)
        0.5
    """
    warmup, warm, after = max(config.warmup_steps, 1), 0.0, 0.0
    if config.schedule in {"cosine", "linear"}:
        # A run of a few steps would otherwise never leave the warm-up. The other schedules do not depend on the run's
        # length, so that it may be changed later.
        end = min(LONGEST_WARMUP, done * (warmup - 1) / step) if step else LONGEST_WARMUP  # share of the run
        warm, after = done / LONGEST_WARMUP, max(done - end, 0.0) / (1 - end)
    shapes = {"cosine": 0.5 * (1 + math.cos(math.pi * after)), "linear": 1 - after}
    return config.learning_rate * min(1.0, max(warm, (step + 1) / warmup)) * shapes.get(config.schedule, 1.0)


def clip(parameters: Parameters, config: TrainingConfig) -> tuple[Tensor, Tensor]:
    """Clip the entries of the gradient, then scale it as a whole (Pascanu et al. 2013, section 3.2), as configured.

    Returns the norms before clipping and between ``clip_value`` and ``clip_norm``: scalars on the device.
    """
    norm = None if config.clip_norm is not None and config.clip_value is None else _norm(parameters)
    before_scaling = norm
    if config.clip_value is not None:
        nn.utils.clip_grad_value_(parameters, config.clip_value)
    if config.clip_norm is not None:
        before_scaling = nn.utils.clip_grad_norm_(parameters, config.clip_norm)
    elif config.clip_value is not None:
        before_scaling = _norm(parameters)
    assert before_scaling is not None
    return before_scaling if norm is None else norm, before_scaling


def clipped_norm(norm: float, config: TrainingConfig) -> float:
    """The norm after ``clip_norm`` of a gradient of this norm."""
    return norm if config.clip_norm is None else norm * min(1.0, config.clip_norm / (norm + 1e-6))


def _norm(parameters: Parameters) -> Tensor:
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros(())
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    return norm


def layer_groups(model: nn.Module, parameters: Parameters, config: TrainingConfig) -> list[Parameters]:
    """The parameters by layer, from the output down, if the model has ``layer_groups()``; else all in one group."""
    groups: Callable[[], list[Parameters]] | None = getattr(model, "layer_groups", None)
    if groups is not None:
        return groups()
    if config.layer_decay != 1 or config.unfreeze_epochs:
        raise TextseqError(
            f"--layer-decay and --unfreeze-epochs need a model with layer_groups(), which {type(model).__name__} does "
            "not have; leave them out"
        )
    return [parameters]
