"""The weights of one recurrent layer, and views of them: input gates, weights of a step.

A layer is torch's own module where torch has one, else a ``Layer``; both name their weights alike. ``suffix`` ends
these names and selects a direction, as in torch: "_l0" or "_l0_reverse".

Shapes: N batch, E input size, H hidden, G gates.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from textseq.nn.cell_registry import Cell
from textseq.nn.cells import State, Weights, normalized

SUFFIXES = ("_l0", "_l0_reverse")


class Layer(nn.Module):
    """The weights of a layer for which torch has no module, named as in torch.

    The cell's further weights are ``weight_NAME``; ``gain_ih``, ``gain_hh``, ``gain_c`` and ``bias_c`` belong to layer
    normalization.
    """

    def __init__(self, cell: Cell, input_size: int, hidden_size: int, *, bidirectional: bool, layer_norm: bool) -> None:
        super().__init__()
        self.cell = cell
        self.hidden_size = hidden_size
        rows = len(cell.gates) * hidden_size
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, input_size), "weight_hh": (rows, hidden_size)}
        shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        shapes |= {f"weight_{name}": shape for name, shape in cell.extra_shapes(input_size, hidden_size).items()}
        if layer_norm:
            shapes |= {"gain_ih": (rows,), "gain_hh": (rows,)}
            if cell.states == 2:
                shapes |= {"gain_c": (hidden_size,), "bias_c": (hidden_size,)}
        if not cell.recurrent:
            shapes = {name: shape for name, shape in shapes.items() if not name.endswith("_hh")}
        for suffix in SUFFIXES[: 1 + bidirectional]:
            for name, shape in shapes.items():
                self.register_parameter(name + suffix, nn.Parameter(torch.empty(shape)))
        for name, parameter in self.named_parameters():
            if name.startswith("gain"):
                nn.init.ones_(parameter)
            elif name.startswith("bias_c"):
                nn.init.zeros_(parameter)
            else:
                nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)

    def extra_repr(self) -> str:
        """The sizes and options for ``print``, written as by torch's modules."""
        names = {"bidirectional": "weight_ih_l0_reverse", "layer_norm": "gain_ih_l0"}
        options = "".join(f", {option}=True" for option, name in names.items() if name in self._parameters)
        return f"{weight_of(self, 'weight_ih_l0').shape[1]}, {self.hidden_size}{options}"


def make_layer(cell: Cell, input_size: int, hidden_size: int, *, bidirectional: bool, layer_norm: bool) -> nn.Module:
    """A layer of a cell, initialized as in torch, U(-1, 1) / sqrt(H), but with a forget bias of 1.

    So a new LSTM remembers (Gers et al. 2000; Jozefowicz et al. 2015, section 4).
    """
    if cell.fused is None or layer_norm:
        layer: nn.Module = Layer(cell, input_size, hidden_size, bidirectional=bidirectional, layer_norm=layer_norm)
    else:
        options = {"nonlinearity": cell.nonlinearity} if cell.nonlinearity else {}
        layer = cell.fused(input_size, hidden_size, bidirectional=bidirectional, **options)
    if "f" in cell.gates:
        start = cell.gates.index("f") * hidden_size
        with torch.no_grad():
            for suffix in SUFFIXES[: 1 + bidirectional]:
                layer.get_parameter("bias_ih" + suffix)[start : start + hidden_size] = 1.0
                if cell.recurrent:
                    layer.get_parameter("bias_hh" + suffix)[start : start + hidden_size] = 0.0
    return layer


def check_steps(steps: int) -> None:
    """Raise a ValueError for a window without a step, of which torch's kernels make nothing either."""
    if steps == 0:
        raise ValueError("expected a window of at least one step, got none (T = 0); leave it out")


def check_state(state: State | Tensor, count: int, shape: tuple[int, int, int]) -> None:
    """Raise a ValueError for a state that is not so many tensors of the shape (L*D, N, H).

    The state of torch's GRU is a tensor alone; that of a bidirectional encoder has twice the rows of its decoder's.
    """
    if isinstance(state, Tensor) or len(state) != count:
        got = "one tensor; write (state,)" if isinstance(state, Tensor) else len(state)
        raise ValueError(f"state: expected a tuple of {count} tensors (L*D, N, H), got {got}")
    for part in state:
        if part.shape != shape:
            raise ValueError(f"state: expected tensors (L*D, N, H) of shape {shape}, got {tuple(part.shape)}")


def check_lengths(lengths: Tensor | Sequence[int], rows: int, steps: int) -> Tensor:
    """The lengths of N rows of T steps as a tensor (N,).

    Those on a GPU are not looked at, which would wait for it.

    Raises:
        ValueError: not N whole numbers, or one that is not from 1 to T.
    """
    lengths = torch.as_tensor(lengths)
    if lengths.shape != (rows,) or lengths.dtype.is_floating_point or lengths.dtype == torch.bool:
        kind = str(lengths.dtype).removeprefix("torch.")
        raise ValueError(f"lengths: expected {rows} whole numbers, one for each row, got {kind} {tuple(lengths.shape)}")
    if rows and lengths.device.type == "cpu" and not (1 <= int(lengths.min()) <= int(lengths.max()) <= steps):
        raise ValueError(f"lengths: expected 1 to {steps}, the steps of the window, got {lengths.tolist()}")
    return lengths


def check_resets(resets: Tensor, rows: int, steps: int) -> None:
    """Raise a ValueError for resets that are not a truth value for each step of each row, (N, T)."""
    if resets.shape != (rows, steps) or resets.dtype != torch.bool:
        kind = str(resets.dtype).removeprefix("torch.")
        raise ValueError(f"resets: expected bool (N, T) of shape {(rows, steps)}, got {kind} {tuple(resets.shape)}")


def weight_of(layer: nn.Module, name: str) -> Tensor:
    """A parameter of a layer, or the tensor that ``torch.func.functional_call`` puts in its place."""
    weight: Tensor = getattr(layer, name)
    return weight


def input_gates(layer: nn.Module, suffix: str, x: Tensor) -> Tensor:
    """The input's share of the pre-activations, (..., E) -> (..., G*H), or the input, in the weights' dtype."""
    weight, bias = weight_of(layer, "weight_ih" + suffix), weight_of(layer, "bias_ih" + suffix)
    if isinstance(layer, Layer) and layer.cell.reads_input:
        return x.to(bias.dtype)
    gain = layer._parameters.get("gain_ih" + suffix)
    if gain is None:
        return linear(x, weight, bias).to(bias.dtype)
    assert isinstance(layer, Layer)
    return normalized(linear(x, weight).to(bias.dtype), gain, layer.hidden_size) + bias


def input_weights(layer: nn.Module, suffix: str) -> Weights:
    """The input weights as ``Weights``: ``product`` then computes the input gates from the output of a layer below."""
    return Weights(
        hh=weight_of(layer, "weight_ih" + suffix),
        bias=weight_of(layer, "bias_ih" + suffix),
        gain=layer._parameters.get("gain_ih" + suffix),
        hidden_size=layer.hidden_size if isinstance(layer, Layer) else None,
    )


def step_weights(layer: nn.Module, suffix: str, mask: Tensor | None = None) -> Weights:
    """The weights of a step; ``mask`` (G*H, H) drops recurrent weights."""
    parameters = layer._parameters
    cell = layer.cell if isinstance(layer, Layer) else None
    if cell is not None and not cell.recurrent:
        none = weight_of(layer, "bias_ih" + suffix)[:0]
        return Weights(hh=none.view(0, 1), bias=none)
    hh = weight_of(layer, "weight_hh" + suffix)
    return Weights(
        hh=hh if mask is None else hh * mask,
        bias=weight_of(layer, "bias_hh" + suffix),
        extra={name: weight_of(layer, f"weight_{name}{suffix}") for name in (cell.extra_weights if cell else ())},
        input=input_weights(layer, suffix) if cell and cell.reads_input else None,
        gain=parameters.get("gain_hh" + suffix),
        cell_gain=parameters.get("gain_c" + suffix),
        cell_bias=parameters.get("bias_c" + suffix),
        hidden_size=layer.hidden_size if isinstance(layer, Layer) else None,
    )
