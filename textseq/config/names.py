"""Names that settings choose from: tasks, cells, attention, pooling."""

from __future__ import annotations

from typing import Literal

Task = Literal["language-model", "translation", "classification", "tagging"]

CellName = Literal["rnn", "rnn-relu", "lstm", "lstm-peephole", "gru", "gru-reset-before"]

AttentionName = Literal["additive", "general", "dot", "none"]

PoolingName = Literal["last", "mean", "max", "all", "attention"]
