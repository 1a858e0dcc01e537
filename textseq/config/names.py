"""Names that settings choose from: tasks, cells, attention, pooling."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Literal

Task = Literal["language-model", "translation", "classification", "tagging"]

if TYPE_CHECKING:
    CellName = str
else:

    class AnyString(type):
        """Makes every string an instance of ``CellName``."""

        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, str)

    class CellName(metaclass=AnyString):
        """Name of a recurrent cell: built in, or registered with ``textseq.nn.register_cell``."""


CELL_STATES: dict[str, int] = {
    "rnn": 1,
    "rnn-relu": 1,
    "lstm": 2,
    "lstm-peephole": 2,
    "lstm-mogrifier": 2,
    "gru": 1,
    "gru-reset-before": 1,
    "mingru": 1,
    "minlstm": 1,
}
"""State tensors of every cell that settings accept: 1 (h) or 2 (h, c). ``textseq.nn.register_cell`` adds to it."""

REGISTERED: Mapping[object, Collection[str]] = {CellName: CELL_STATES}
"""Types of settings whose choices can grow, and the names accepted now."""

AttentionName = Literal["additive", "general", "dot", "none"]

PoolingName = Literal["last", "mean", "max", "all", "attention"]
