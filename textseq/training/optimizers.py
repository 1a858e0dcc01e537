"""Moving the weights: optimizers by name, the learning rate over a run, clipping."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from textseq.config.training import OptimizerName, TrainingConfig

Parameters = list[nn.Parameter]

Groups = list[dict[str, Any]]
"""Parameters under ``params``, and what their learning rate is multiplied by under ``scale``."""


LONGEST_WARMUP = 0.1
"""Share of a run after which a rate that falls towards the run's end is at its peak, however few steps that is."""


def _adamw(groups: Groups, c: TrainingConfig) -> torch.optim.Optimizer:
    betas = (c.momentum, c.beta2)
    fused = _fusable(groups)
    return torch.optim.AdamW(groups, c.learning_rate, betas, weight_decay=c.weight_decay, fused=fused)


def _sgd(groups: Groups, c: TrainingConfig) -> torch.optim.Optimizer:
    fused = _fusable(groups)
    return torch.optim.SGD(groups, c.learning_rate, c.momentum, weight_decay=c.weight_decay, fused=fused)


def _rmsprop(groups: Groups, c: TrainingConfig) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(groups, c.learning_rate, alpha=c.beta2, momentum=c.momentum, weight_decay=c.weight_decay)


def _adagrad(groups: Groups, c: TrainingConfig) -> torch.optim.Optimizer:
    return torch.optim.Adagrad(groups, c.learning_rate, weight_decay=c.weight_decay)


OPTIMIZERS: dict[OptimizerName, Callable[[Groups, TrainingConfig], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "sgd": _sgd,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
}


def grouped(layer_groups: Sequence[Parameters], config: TrainingConfig) -> Groups:
    """The parameters by layer, from the output down, each with its share of the learning rate."""
    return [{"params": stage, "scale": config.layer_decay**depth} for depth, stage in enumerate(layer_groups)]


def _fusable(groups: Groups) -> bool:
    return groups[0]["params"][0].device.type in {"cpu", "cuda"}


def learning_rate(config: TrainingConfig, step: int, done: float) -> float:
    """The scheduled learning rate, before rollbacks and plateaus lower it.

    Args:
        config: schedule, peak and warm-up.
        step: steps taken.
        done: share of the run that is over, 0 to 1.
    """
    warm = (step + 1) / config.warmup_steps if config.warmup_steps else 1.0
    if config.schedule in {"cosine", "linear"}:
        # A run of a few steps would otherwise never leave the warm-up, and learn nothing. The other schedules do not
        # ask for the run's length, so that it may be changed on the way.
        warm = max(warm, done / LONGEST_WARMUP)
    shapes = {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0, "plateau": 1.0}
    return config.learning_rate * min(1.0, warm) * shapes[config.schedule]


def clip(parameters: Parameters, config: TrainingConfig) -> None:
    """Cut the entries of the gradient, then scale it as a whole (Pascanu et al. 2013, section 3.2), as asked for."""
    if config.clip_value is not None:
        nn.utils.clip_grad_value_(parameters, config.clip_value)
    if config.clip_norm is not None:
        nn.utils.clip_grad_norm_(parameters, config.clip_norm)
