"""The weights of one recurrent layer, and what is made of them: gates, steps' weights, fused kernels.

A layer is torch's own module where torch has one, else a ``Layer``; both name their weights alike. ``side`` is the
ending of these names for one direction: a key of torch's, "_l0" or "_l0_reverse".

Shapes: N batch, E input size, H hidden, G gates.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from textseq.nn.cells import Cell, Weights, normalised

SIDES = ("_l0", "_l0_reverse")


class Layer(nn.Module):
    """The weights of one layer that torch has no module for, under the names that torch would give them.

    ``gain_ih``, ``gain_hh``, ``gain_c`` and ``bias_c`` are those of layer normalisation, ``weight_ch`` the peepholes'.
    """

    def __init__(self, cell: Cell, input_size: int, hidden_size: int, *, bidirectional: bool, layer_norm: bool) -> None:
        super().__init__()
        rows = len(cell.gates) * hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, input_size),
            "weight_hh": (rows, hidden_size),
            "bias_ih": (rows,),
            "bias_hh": (rows,),
        }
        if cell.peepholes:
            shapes["weight_ch"] = (3, hidden_size)
        if layer_norm:
            shapes |= {"gain_ih": (rows,), "gain_hh": (rows,)}
            if cell.states == 2:
                shapes |= {"gain_c": (hidden_size,), "bias_c": (hidden_size,)}
        for side in SIDES[: 1 + bidirectional]:
            for name, shape in shapes.items():
                self.register_parameter(name + side, nn.Parameter(torch.empty(shape)))
        for name, parameter in self.named_parameters():
            if name.startswith("gain"):
                nn.init.ones_(parameter)
            elif name.startswith("bias_c"):
                nn.init.zeros_(parameter)
            else:
                nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)


def make_layer(cell: Cell, input_size: int, hidden_size: int, *, bidirectional: bool, layer_norm: bool) -> nn.Module:
    """A layer of a cell, its weights drawn as torch draws them, U(-1, 1) / sqrt(H), but for open forget gates.

    Their bias is 1 (Gers et al. 2000; Jozefowicz et al. 2015, section 4), so that a new LSTM remembers.
    """
    if cell.fused is None or layer_norm:
        layer: nn.Module = Layer(cell, input_size, hidden_size, bidirectional=bidirectional, layer_norm=layer_norm)
    else:
        extra = {"nonlinearity": cell.nonlinearity} if cell.nonlinearity else {}
        layer = cell.fused(input_size, hidden_size, bidirectional=bidirectional, **extra)
    if "f" in cell.gates:
        start = cell.gates.index("f") * hidden_size
        with torch.no_grad():
            for side in SIDES[: 1 + bidirectional]:
                layer.get_parameter("bias_ih" + side)[start : start + hidden_size] = 1.0
                layer.get_parameter("bias_hh" + side)[start : start + hidden_size] = 0.0
    return layer


def input_gates(layer: nn.Module, side: str, x: Tensor) -> Tensor:
    """The input's share of the pre-activations, (..., E) -> (..., G*H); in the weights' number format."""
    weight, bias = layer.get_parameter("weight_ih" + side), layer.get_parameter("bias_ih" + side)
    gain = layer._parameters.get("gain_ih" + side)
    if gain is None:
        return linear(x, weight, bias).to(bias.dtype)
    hidden_size = layer.get_parameter("weight_hh" + side).shape[1]
    return normalised(linear(x, weight).to(bias.dtype), gain, hidden_size) + bias


def input_weights(layer: nn.Module, side: str) -> Weights:
    """What makes the gates' input share from the output of a layer of the same width H, by ``Weights.product``."""
    return Weights(
        hh=layer.get_parameter("weight_ih" + side),
        bias=layer.get_parameter("bias_ih" + side),
        gain=layer._parameters.get("gain_ih" + side),
    )


def step_weights(layer: nn.Module, side: str, mask: Tensor | None = None) -> Weights:
    """What a step computes with; ``mask`` (G*H, H) drops recurrent weights."""
    found = layer._parameters
    hh = layer.get_parameter("weight_hh" + side)
    return Weights(
        hh=hh if mask is None else hh * mask,
        bias=layer.get_parameter("bias_hh" + side),
        peephole=found.get("weight_ch" + side),
        gain=found.get("gain_hh" + side),
        cell_gain=found.get("gain_c" + side),
        cell_bias=found.get("bias_c" + side),
    )


def with_other_weights(layer: nn.RNNBase, masks: Sequence[Tensor], dtype: torch.dtype) -> nn.RNNBase:
    """torch's module of a layer, computing with some of its recurrent weights dropped, or in another number format.

    It is a copy that shares all else: the gradient reaches the layer's own parameters.

    Args:
        layer: stays as it is.
        masks: one for each direction, (G*H, H); none where nothing is dropped.
        dtype: the number format that it is to compute in.
    """
    ahead = iter(masks)
    kernel = copy.copy(layer)
    kernel._flat_weights = [
        (weight * next(ahead) if masks and name.startswith("weight_hh") else weight).to(dtype)
        for name, weight in zip(layer._flat_weights_names, layer._flat_weights, strict=True)
        if weight is not None
    ]
    return kernel
