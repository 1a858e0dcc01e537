"""Training of any module with ``loss(batch, state)``: trainer, batches, callbacks, automatic batch size.

The names are loaded when they are first used: commands import parts of this wing before torch.

Example:
    >>> config = TrainingConfig(max_steps=500)
    >>> textseq.training.Trainer(model, batches, config, callbacks=[print]).fit()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textseq.training.batch_size import auto_batch_size as auto_batch_size
    from textseq.training.batches import Batches as Batches
    from textseq.training.batches import IterableBatches as IterableBatches
    from textseq.training.batches import PlainBatch as PlainBatch
    from textseq.training.devices import pick_device as pick_device
    from textseq.training.distributed.group import ProcessGroup as ProcessGroup
    from textseq.training.distributed.group import join_process_group as join_process_group
    from textseq.training.events import Evaluation as Evaluation
    from textseq.training.events import Event as Event
    from textseq.training.log import Tracker as Tracker
    from textseq.training.log import learning_curve as learning_curve
    from textseq.training.optimizers import learning_rate as learning_rate
    from textseq.training.state import Progress as Progress
    from textseq.training.step import TrainStep as TrainStep
    from textseq.training.trainer import Trainer as Trainer

_MODULES = {
    "Batches": "batches", "Evaluation": "events", "Event": "events", "IterableBatches": "batches",
    "PlainBatch": "batches", "ProcessGroup": "distributed.group", "Progress": "state", "Tracker": "log",
    "TrainStep": "step", "Trainer": "trainer", "auto_batch_size": "batch_size",
    "join_process_group": "distributed.group", "learning_curve": "log", "learning_rate": "optimizers",
    "pick_device": "devices",
}  # fmt: skip

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return getattr(import_module(f"textseq.training.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'textseq.training' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
