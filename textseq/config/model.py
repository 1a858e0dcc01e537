"""Settings that the models of several tasks share."""

from __future__ import annotations

from dataclasses import dataclass

from textseq.config.base import Settings, ranged
from textseq.config.names import CellName


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig(Settings):
    """Embedding and recurrent layers."""

    cell: CellName = "lstm"
    """Recurrent cell: the Elman network with tanh (rnn) or relu (rnn-relu); the LSTM, also with peepholes or as a
    Mogrifier (Melis et al. 2020); the GRU with its reset gate after the matrix product (gru, as in torch and cuDNN) or
    before it; minGRU and minLSTM, whose gates do not see the state and which train in parallel over time (Feng et al.
    2024). lstm-peephole, lstm-mogrifier, gru-reset-before, layer normalization and zoneout have no fused kernel and
    train more slowly."""
    num_layers: int = ranged(1, at_least=1, at_most=1000)
    """Number of stacked recurrent layers."""
    hidden_size: int = ranged(256, at_least=1)
    """Hidden size H of each layer and direction."""
    embedding_size: int = ranged(128, at_least=1)
    """Embedding size E."""
    bidirectional: bool = True
    """Read the text in both directions."""
