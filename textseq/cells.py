"""One step of each recurrent cell, as in the papers; the table CELLS.

A cell owns no weights. It says how many gates and state tensors it has, which of torch's fused kernels computes
it over time, and what one step is. Shapes: N batch, H hidden, G gates. Weights are laid out as in ``torch.nn``:
the G blocks of H rows of ``weight_hh`` stand one under the other in the order that ``gates`` names.

Every step receives the input's share of the pre-activations already computed, ``x_gates = x W_ih^T + b_ih``:
for a known window that is one product for all its steps, and for token inputs a row of a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from textseq.config import CellName

State = tuple[Tensor, ...]
"""The state of a cell or a stack: one tensor for RNN and GRU (h), two for the LSTM (h, c)."""


class Step(Protocol):
    """One step of a cell.

    Args:
        x_gates: the input's share of the pre-activations, (N, G*H).
        state: the state of the step before; each tensor (N, H).
        weight_hh: recurrent weights, (G*H, H).
        bias_hh: recurrent bias, (G*H,).

    Returns:
        The new state, whose first tensor is the output h, (N, H).
    """

    def __call__(self, x_gates: Tensor, state: State, weight_hh: Tensor, bias_hh: Tensor) -> State: ...


def rnn_step(x_gates: Tensor, state: State, weight_hh: Tensor, bias_hh: Tensor) -> State:
    """Elman (1990): h' = tanh(W x + U h + b)."""
    (h,) = state
    return (torch.tanh(torch.addmm(x_gates + bias_hh, h, weight_hh.t())),)


def rnn_relu_step(x_gates: Tensor, state: State, weight_hh: Tensor, bias_hh: Tensor) -> State:
    """Elman's network with a rectifier, as in Le, Jaitly and Hinton (2015): h' = max(0, W x + U h + b)."""
    (h,) = state
    return (torch.relu(torch.addmm(x_gates + bias_hh, h, weight_hh.t())),)


def lstm_step(x_gates: Tensor, state: State, weight_hh: Tensor, bias_hh: Tensor) -> State:
    """LSTM with a forget gate (Gers, Schmidhuber and Cummins 2000), without peepholes.

    i, f, o = sigmoid(W x + U h + b) each, g = tanh(W x + U h + b); c' = f c + i g; h' = o tanh(c').
    """
    h, c = state
    i, f, g, o = torch.addmm(x_gates + bias_hh, h, weight_hh.t()).chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru_step(x_gates: Tensor, state: State, weight_hh: Tensor, bias_hh: Tensor) -> State:
    """GRU with the reset gate after the matrix product (Cho et al. 2014, arXiv 1406.1078, version 1).

    r, z = sigmoid(W x + U h + b) each; n = tanh(W x + b + r (U h + b_hh)); h' = (1 - z) n + z h.
    The update gate z keeps the OLD state, as in torch and cuDNN.
    """
    (h,) = state
    x_r, x_z, x_n = x_gates.chunk(3, dim=1)
    h_r, h_z, h_n = torch.addmm(bias_hh, h, weight_hh.t()).chunk(3, dim=1)
    z = torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
    return (n + z * (h - n),)


@dataclass(frozen=True)
class Cell:
    """What a recurrent stack must know of a cell."""

    gates: str
    """The papers' letter of each block of rows in the weight matrices, in order."""
    states: int
    """State tensors: 1 (h) or 2 (h, c)."""
    step: Step
    """The plain twin: one step, in tensor operations."""
    fused: type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]
    """torch's kernel over all the steps of a window."""
    nonlinearity: str | None = None
    """What torch calls the activation, where its kernel asks for one."""


CELLS: dict[CellName, Cell] = {
    "rnn": Cell(gates="h", states=1, step=rnn_step, fused=nn.RNN, nonlinearity="tanh"),
    "rnn-relu": Cell(gates="h", states=1, step=rnn_relu_step, fused=nn.RNN, nonlinearity="relu"),
    "lstm": Cell(gates="ifgo", states=2, step=lstm_step, fused=nn.LSTM),
    "gru": Cell(gates="rzn", states=1, step=gru_step, fused=nn.GRU),
}
