"""An LSTM over rows of different lengths, by torch's fused kernel for rows of one length.

On a CPU torch computes packed sequences step by step, which costs up to 37 times as much. The fused kernel reads the
padding as well, so it must do no harm there: one more input, which is 1 in the padding alone, shuts the input gate and
opens the forget gate, by weights so large that they become exactly 0 and 1. The cell then stays as it is, to the bit,
and no gradient comes from the padding. A second direction begins in the padding: from a zero state, which stays zero.

Shapes: N batch, T time, E input size, H hidden, D directions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from textseq.cells import State

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
    extra = ALIGNED - x.shape[2] % ALIGNED
    flags = padding.to(x.dtype), x.new_zeros(steps, len(lengths), extra - 1)
    flagged, weights = torch.cat([x.masked_fill(padding, 0.0), *flags], dim=2), _with_flag(kernel, extra)
    y, _, c = torch.lstm(flagged, (h, c), weights, True, 1, 0.0, kernel.training, kernel.bidirectional, False)
    y = y.masked_fill(padding, 0.0)
    last = (lengths - 1).to(x.device).view(1, -1, 1).expand(1, -1, hidden_size)
    ends = [y[..., :hidden_size].gather(0, last), y[:1, :, hidden_size:]][: 1 + kernel.bidirectional]
    return y, (torch.cat(ends), c)


def _with_flag(kernel: nn.LSTM, extra: int) -> list[Tensor]:
    """The weights of a layer with so many inputs more, of which the first is the flag of the padding."""
    return [
        torch.cat([weight, _columns(weight, extra)], dim=1) if name.startswith("weight_ih") else weight
        for name, weight in zip(kernel._flat_weights_names, kernel._flat_weights, strict=True)
        if weight is not None
    ]


def _columns(weight: Tensor, extra: int) -> Tensor:
    """What the further inputs add to the gates i, f, g and o, (4*H, extra)."""
    columns = weight.new_zeros(len(weight), extra)
    shut, opened, *_ = columns[:, 0].chunk(4)
    shut.fill_(-SHUT)
    opened.fill_(SHUT)
    return columns
