"""torch's fused kernel for one layer and one window, with weight dropout, padding, resets and autocast.

Shapes: N batch, T time, E input size, H hidden, D directions, G gates; time comes first here.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from textseq.nn.cells import State
from textseq.nn.kernels.autograd import product_dtype
from textseq.nn.kernels.gru import gru_layer
from textseq.nn.kernels.lstm import lstm_over_padding, lstm_with_resets
from textseq.nn.rnn_layer import weight_of


def fused_layer(
    layer: nn.RNNBase, x: Tensor, state: State, *, lengths: Tensor | None = None, masks: Sequence[Tensor] = (),
    resets: Tensor | None = None,
) -> tuple[Tensor, State]:  # fmt: skip
    """Run one layer over a window.

    Args:
        layer: torch's module.
        x: (T, N, E).
        state: before the first step, each tensor (D, N, H).
        lengths: real steps of each row, (N,), on the CPU; None: all steps.
        masks: of the recurrent weights, one per direction, (G*H, H); empty: no dropout.
        resets: (N, T) booleans on the CPU, true where a row restarts from zero before that step; LSTMs only.

    Returns:
        Outputs (T, N, H*D), zero at padding, and the state after the last real step.
    """
    dtype = product_dtype(weight_of(layer, "weight_hh_l0"))
    if isinstance(layer, nn.GRU) and x.device.type == "cpu" and torch.is_grad_enabled():
        y, final = gru_layer(layer, x, state[0], lengths, masks)  # where torch has no fused kernel
        return y, (final,)
    layer._update_flat_weights()  # its list of weights is otherwise stale within torch.func.functional_call, and after
    if not masks and dtype == state[0].dtype:
        return run_kernel(layer, x.to(dtype), state, lengths, resets)
    kernel = _with_weights(layer, masks, dtype)
    narrow = tuple(part.to(dtype) for part in state)
    # Without autocast, which converts any format to float16 for cuDNN.
    with torch.autocast(x.device.type, enabled=False), warnings.catch_warnings():
        # cuDNN warns that it copies the weights into one chunk: these are new at every call.
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")
        y, after = run_kernel(kernel, x.to(dtype), narrow, lengths, resets)
    # The state is carried from window to window and must not lose precision each time.
    return y, tuple(part.to(state[0].dtype) for part in after)


def run_kernel(
    kernel: nn.RNNBase, x: Tensor, state: State, lengths: Tensor | None, resets: Tensor | None
) -> tuple[Tensor, State]:
    """Run torch's module over a window, (T, N, E) -> (T, N, H*D), with every state as a tuple."""
    if isinstance(kernel, nn.LSTM) and resets is not None:
        return lstm_with_resets(kernel, x, state, resets)
    if isinstance(kernel, nn.LSTM) and lengths is not None and x.device.type == "cpu":
        reverse = [part[1] for part in state if kernel.bidirectional]
        if not any(part.requires_grad or part.any() for part in reverse):
            return lstm_over_padding(kernel, x, state, lengths)
    parts = tuple(part.contiguous() for part in state)
    start = parts if len(parts) > 1 else parts[0]
    if lengths is None:
        y, after = kernel(x, start)
    else:
        packed, after = kernel(pack_padded_sequence(x, lengths, enforce_sorted=False), start)
        y, _ = pad_packed_sequence(packed, total_length=x.shape[0])
    return y, after if isinstance(after, tuple) else (after,)


def _with_weights(layer: nn.RNNBase, masks: Sequence[Tensor], dtype: torch.dtype) -> nn.RNNBase:
    """A copy of the layer in another dtype, with masked recurrent weights; gradients reach the original parameters."""
    remaining = iter(masks)
    kernel = copy.copy(layer)
    kernel._flat_weights = [
        (weight * next(remaining) if masks and name.startswith("weight_hh") else weight).to(dtype)
        for name, weight in zip(layer._flat_weights_names, layer._flat_weights, strict=True)
        if weight is not None
    ]
    return kernel
