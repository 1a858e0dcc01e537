"""torch's fused LSTM kernel for rows of different lengths, or with restarts within the window.

On a CPU torch computes packed sequences step by step, which is far slower, above all backward, and a row that restarts
within a window would need a call of its own. Here two extra input features control the gates, with weights so large
that a gate becomes exactly 0 or 1:

- at a padding step the input gate is 0 and the forget gate 1: the cell keeps its value bit for bit;
- at a step inserted before a restart both are 0: the cell becomes zero, and with it the hidden state.

Such steps add no gradient, as saturated gates have none. A second direction starts in the padding from a zero state,
which remains zero.

Shapes: N batch, T time, E input size, H hidden, D directions.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from textseq.nn.cells import State

SATURATING = 1e4
"""A weight that sets a gate to exactly 0 or 1: its exponential is infinite in every dtype."""

ALIGNED = 8
"""The input is padded to a multiple of this width; otherwise bfloat16 products take twice as long."""


def lstm_over_padding(kernel: nn.LSTM, x: Tensor, state: State, lengths: Tensor) -> tuple[Tensor, State]:
    """Run an LSTM over the real steps of each row.

    Args:
        kernel: one layer, in the dtype of ``x``.
        x: (T, N, E).
        state: h and c before the first step, (D, N, H) each; zero for a second direction.
        lengths: real steps of each row, (N,), from 1 to T, on the CPU.

    Returns:
        Outputs (T, N, H*D), zero at padding, and the state after the last real step.
    """
    steps, hidden_size = len(x), kernel.hidden_size
    h, c = (part.contiguous() for part in state)
    if int(lengths.min()) == steps:
        y, after = kernel(x, (h, c))
        return y, after
    padding = (torch.arange(steps).unsqueeze(1) >= lengths).unsqueeze(2).to(x.device)  # (T, N, 1)
    y, c = _run_with_flags(kernel, x.masked_fill(padding, 0.0), (h, c), padding, torch.zeros_like(padding))
    y = y.masked_fill(padding, 0.0)
    last = (lengths - 1).to(x.device).view(1, -1, 1).expand(1, -1, hidden_size)
    ends = [y[..., :hidden_size].gather(0, last), y[:1, :, hidden_size:]][: 1 + kernel.bidirectional]
    return y, (torch.cat(ends), c)


def lstm_with_resets(kernel: nn.LSTM, x: Tensor, state: State, resets: Tensor) -> tuple[Tensor, State]:
    """Run an LSTM over rows of which some restart from a zero state within the window.

    Args:
        kernel, x, state: as for ``lstm_over_padding``, of one direction.
        resets: (N, T) booleans on the CPU, true where a row restarts before that step.

    Returns:
        Outputs (T, N, H), and the state after the last step.
    """
    steps, rows, _ = x.shape
    target = torch.arange(steps).unsqueeze(1) + resets.t().cumsum(dim=0)  # (T, N): the step's index after insertion
    longer = int(target[-1].max()) + 1
    inserted = torch.zeros(longer, rows, dtype=torch.bool)
    inserted[(target - 1)[resets.t()], resets.t().nonzero()[:, 1]] = True
    padding = torch.ones_like(inserted).scatter(0, target, torch.zeros_like(resets.t())) & ~inserted
    flat = (target * rows + torch.arange(rows)).flatten().to(x.device)  # (T*N,)
    spread = x.new_zeros(longer * rows, x.shape[2]).index_copy(0, flat, x.reshape(steps * rows, -1))
    flags = (flag.unsqueeze(2).to(x.device) for flag in (padding, inserted))
    h, c = (part.contiguous() for part in state)
    y, c = _run_with_flags(kernel, spread.view(longer, rows, -1), (h, c), *flags)
    y = y.reshape(longer * rows, -1).index_select(0, flat).view(steps, rows, -1)
    return y, (y[-1:], c)


def _run_with_flags(
    kernel: nn.LSTM, x: Tensor, state: tuple[Tensor, Tensor], padding: Tensor, inserted: Tensor
) -> tuple[Tensor, Tensor]:
    """Outputs, arbitrary at flagged steps (T, N, 1), where ``x`` is zero; and the cell after the last step."""
    extra = 1 + ALIGNED - (x.shape[2] + 1) % ALIGNED
    x = torch.cat([x, padding.to(x.dtype), inserted.to(x.dtype), x.new_zeros(*x.shape[:2], extra - 2)], dim=2)
    weights = [
        torch.cat([weight, _flag_weights(weight, extra)], dim=1) if name.startswith("weight_ih") else weight
        for name, weight in zip(kernel._flat_weights_names, kernel._flat_weights, strict=True)
        if weight is not None
    ]
    with warnings.catch_warnings():
        # cuDNN warns that it copies the weights into one chunk: these are new at every call.
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
        y, _, c = torch.lstm(x, state, weights, True, 1, 0.0, kernel.training, kernel.bidirectional, False)
    return y, c


def _flag_weights(weight: Tensor, extra: int) -> Tensor:
    """Weights of the extra inputs, the two flags first, for the gates i, f, g and o: (4*H, extra)."""
    columns = weight.new_zeros(4, len(weight) // 4, extra)
    columns[0, :, :2] = -SATURATING  # the input gate, by either flag
    columns[1, :, 0], columns[1, :, 1] = SATURATING, -SATURATING  # the forget gate
    return columns.flatten(0, 1)
