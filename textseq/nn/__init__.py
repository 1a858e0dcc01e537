"""Layers to build recurrent networks with.

The names are loaded when they are first used, so that ``from textseq import nn`` is quick::

    from textseq import nn

    encoder = nn.Recurrent("lstm", input_size=256, hidden_size=512, num_layers=2, bidirectional=True)
    y, state = encoder(x, lengths=lengths)                         # (N, T, 2H)
    attention = nn.AdditiveAttention(query_size=512, value_size=1024, attention_size=512)
    context, weights = attention(query, nn.Memory(y, lengths))     # (N, 2H), (N, T)

``nn.reference`` has the same networks in NumPy, step by step.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textseq.nn import reference as reference
    from textseq.nn.attention import AdditiveAttention as AdditiveAttention
    from textseq.nn.attention import DotAttention as DotAttention
    from textseq.nn.attention import GeneralAttention as GeneralAttention
    from textseq.nn.attention import Memory as Memory
    from textseq.nn.attention_decoder import AttentionDecoder as AttentionDecoder
    from textseq.nn.cell_registry import CELLS as CELLS
    from textseq.nn.cell_registry import Cell as Cell
    from textseq.nn.cell_registry import register_cell as register_cell
    from textseq.nn.cells import Weights as Weights
    from textseq.nn.crf import ConditionalRandomField as ConditionalRandomField
    from textseq.nn.dropout import Dropout as Dropout
    from textseq.nn.dropout import DropoutMasks as DropoutMasks
    from textseq.nn.embedding import Embedding as Embedding
    from textseq.nn.kernels.linear_cross_entropy import OutputLayer as OutputLayer
    from textseq.nn.kernels.linear_cross_entropy import Teachers as Teachers
    from textseq.nn.kernels.linear_cross_entropy import linear_cross_entropy as linear_cross_entropy
    from textseq.nn.losses import Loss as Loss
    from textseq.nn.pooling import Pooling as Pooling
    from textseq.nn.recurrent import Recurrent as Recurrent
    from textseq.nn.trace import RecurrentTrace as RecurrentTrace

_NAMES = {
    "attention": ("AdditiveAttention", "DotAttention", "GeneralAttention", "Memory"),
    "attention_decoder": ("AttentionDecoder",),
    "cell_registry": ("CELLS", "Cell", "register_cell"),
    "cells": ("Weights",),
    "crf": ("ConditionalRandomField",),
    "dropout": ("Dropout", "DropoutMasks"),
    "embedding": ("Embedding",),
    "kernels.linear_cross_entropy": ("OutputLayer", "Teachers", "linear_cross_entropy"),
    "losses": ("Loss",),
    "pooling": ("Pooling",),
    "recurrent": ("Recurrent",),
    "reference": ("reference",),
    "trace": ("RecurrentTrace",),
}

_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'textseq.nn' has no attribute '{name}'")
    module = import_module(f"textseq.nn.{_MODULES[name]}")
    return module if name == _MODULES[name] else getattr(module, name)


def __dir__() -> list[str]:
    return __all__
