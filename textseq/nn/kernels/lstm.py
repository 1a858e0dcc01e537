"""An LSTM over rows of different lengths, or that start afresh, by torch's fused kernel for rows that are all alike.

On a CPU torch computes packed sequences step by step, which is far slower, above all backward; and a row that starts
afresh within a window wants a call of its own. Here further inputs, flags, shut and open the gates instead, by weights
so large that a gate becomes exactly 0 or 1:

- a step of padding shuts the input gate and opens the forget gate: the cell stays as it is, to the bit;
- a step put in between, before a row starts afresh, shuts both: the cell becomes zero, and with it the hidden state.

No gradient comes from such steps, for the gates that they set do not move. A second direction begins in the padding:
from a zero state, which stays zero.

Shapes: N batch, T time, E input size, H hidden, D directions.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from textseq.nn.cells import State

SHUT = 1e4
"""What shuts or opens a gate: its exponential is infinite in every number format."""

ALIGNED = 8
"""The input's width becomes a multiple of this, or the products of bfloat16 take twice as long."""


def lstm_over_padding(kernel: nn.LSTM, x: Tensor, state: State, lengths: Tensor) -> tuple[Tensor, State]:
    """The LSTM over the real steps of each row.

    Args:
        kernel: one layer, in the number format of ``x``.
        x: (T, N, E).
        state: h and c before the first step, (D, N, H) each; of a second direction zero.
        lengths: real steps of each row, (N,), from 1 to T, on the CPU.

    Returns:
        Outputs (T, N, H*D), zero in the padding, and the state after the last real step.
    """
    steps, hidden_size = len(x), kernel.hidden_size
    h, c = (part.contiguous() for part in state)
    if int(lengths.min()) == steps:
        y, after = kernel(x, (h, c))
        return y, after
    padding = (torch.arange(steps).unsqueeze(1) >= lengths).unsqueeze(2).to(x.device)  # (T, N, 1)
    y, c = _flagged(kernel, x.masked_fill(padding, 0.0), (h, c), padding, torch.zeros_like(padding))
    y = y.masked_fill(padding, 0.0)
    last = (lengths - 1).to(x.device).view(1, -1, 1).expand(1, -1, hidden_size)
    ends = [y[..., :hidden_size].gather(0, last), y[:1, :, hidden_size:]][: 1 + kernel.bidirectional]
    return y, (torch.cat(ends), c)


def lstm_with_resets(kernel: nn.LSTM, x: Tensor, state: State, resets: Tensor) -> tuple[Tensor, State]:
    """The LSTM over rows of which some start afresh, from a zero state, within the window.

    Args:
        kernel: one layer of one direction, in the number format of ``x``.
        x: (T, N, E).
        state: h and c before the first step, (1, N, H) each.
        resets: (N, T) booleans on the CPU, true where a row starts afresh before that step.

    Returns:
        Outputs (T, N, H), and the state after the last step.
    """
    steps, rows, _ = x.shape
    place = torch.arange(steps).unsqueeze(1) + resets.t().cumsum(dim=0)  # (T, N): where each step goes
    longer = int(place[-1].max()) + 1
    afresh = torch.zeros(longer, rows, dtype=torch.bool)
    afresh[(place - 1)[resets.t()], resets.t().nonzero()[:, 1]] = True
    padding = torch.ones_like(afresh).scatter(0, place, torch.zeros_like(resets.t())) & ~afresh
    flat = (place * rows + torch.arange(rows)).flatten().to(x.device)  # (T*N,)
    spread = x.new_zeros(longer * rows, x.shape[2]).index_copy(0, flat, x.reshape(steps * rows, -1))
    flags = (flag.unsqueeze(2).to(x.device) for flag in (padding, afresh))
    h, c = (part.contiguous() for part in state)
    y, c = _flagged(kernel, spread.view(longer, rows, -1), (h, c), *flags)
    y = y.reshape(longer * rows, -1).index_select(0, flat).view(steps, rows, -1)
    return y, (y[-1:], c)


def _flagged(
    kernel: nn.LSTM, x: Tensor, state: tuple[Tensor, Tensor], padding: Tensor, afresh: Tensor
) -> tuple[Tensor, Tensor]:
    """Outputs, of any value at the flagged steps (T, N, 1), where ``x`` is zero; and the cell after the last step."""
    extra = 1 + ALIGNED - (x.shape[2] + 1) % ALIGNED
    read = torch.cat([x, padding.to(x.dtype), afresh.to(x.dtype), x.new_zeros(*x.shape[:2], extra - 2)], dim=2)
    weights = [
        torch.cat([weight, _columns(weight, extra)], dim=1) if name.startswith("weight_ih") else weight
        for name, weight in zip(kernel._flat_weights_names, kernel._flat_weights, strict=True)
        if weight is not None
    ]
    with warnings.catch_warnings():
        # cuDNN's, that it copies weights together: these are new every time.
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
        y, _, c = torch.lstm(read, state, weights, True, 1, 0.0, kernel.training, kernel.bidirectional, False)
    return y, c


def _columns(weight: Tensor, extra: int) -> Tensor:
    """What the further inputs, of which the first two are the flags, add to the gates i, f, g and o: (4*H, extra)."""
    columns = weight.new_zeros(4, len(weight) // 4, extra)
    columns[0, :, :2] = -SHUT  # the input gate, by either flag
    columns[1, :, 0], columns[1, :, 1] = SHUT, -SHUT  # the forget gate
    return columns.flatten(0, 1)
