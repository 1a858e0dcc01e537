"""Functions whose operations a GPU has recorded (CUDA graphs), to be played again without the processor.

A step of a recurrent network is some dozens of small kernels: a GPU is done with each before Python has launched the
next. Recorded, they are one launch. A record holds for fixed shapes and fixed places in memory, so inputs are copied to
where the record reads them, and what it wrote is copied away, so that it does not change when the record is played
again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Function = Callable[..., tuple[Tensor, ...]]

Replay = Callable[[], None]

Record = Callable[[Callable[[], tuple[Tensor, ...]]], tuple[Replay, tuple[Tensor, ...]]]
"""Work to do -> what does it again, and the tensors where the results then lie."""


ROUND = 8
"""A bucketed size is rounded up to a multiple of this."""

AFTER = 3
"""Calls of a shape before it is recorded: a recording takes as long as some dozens of calls."""

MOST_BYTES = 2**31
"""What the inputs and outputs of a function's records may take of the GPU's memory together."""

WARM_UPS = 2


log = logging.getLogger(__name__)


def on_cuda(work: Callable[[], tuple[Tensor, ...]]) -> tuple[Replay, tuple[Tensor, ...]]:
    """Record on a GPU, after what is only done the first times: workspaces, compilers."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # The backward pass runs in a thread of its own, and others may be at work meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outputs = work()
    return graph.replay, outputs


@dataclass(frozen=True)
class Slot:
    """What is known of one input or output of a recorded function."""

    axes: str = ""
    """A letter for each dimension that may be rounded up, equal letters for equal sizes, and "." for one that may not,
    such as "T.S"; all that follow stay as they are, too."""
    fill: float = 0.0
    """What stands beyond the real size."""


@dataclass
class _Recorded:
    replay: Replay
    inputs: list[Tensor]
    outputs: tuple[Tensor, ...]


class Recorded:
    """A function of tensors that is recorded for every shape it is often called with.

    Sizes whose letters the slots name are rounded up, so that many shapes share a record: the function must give the
    same in the real part of its outputs whatever stands behind, with ``fill`` there.

    Args:
        function: takes tensors, gives tensors; it asks no tensor for its values, and uses no chance.
        inputs: a slot for each of its inputs.
        outputs: and for each of its outputs.
        record: how.
    """

    def __init__(
        self, function: Function, inputs: Sequence[Slot], outputs: Sequence[Slot], record: Record = on_cuda
    ) -> None:
        self.function, self.inputs, self.outputs = function, inputs, outputs
        self._record: Record | None = record
        self._seen: dict[object, int] = {}
        self._records: dict[object, _Recorded] = {}
        self._bytes = 0

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        """The function's outputs; the caller owns them."""
        real = _sizes(self.inputs, given)
        rounded = {letter: -(-size // ROUND) * ROUND for letter, size in real.items()}
        shapes = [_shape(slot, part.shape, rounded) for slot, part in zip(self.inputs, given, strict=True)]
        key = (*((tuple(shape), part.dtype, part.device) for shape, part in zip(shapes, given, strict=True)),)
        found = self._records.get(key)
        if found is None:
            self._seen[key] = self._seen.get(key, 0) + 1
            if self._record is None or self._seen[key] < AFTER or self._bytes >= MOST_BYTES:
                return self.function(*given)
            places = [
                part.new_full(shape, slot.fill) for slot, part, shape in zip(self.inputs, given, shapes, strict=True)
            ]
            _copy(given, places)
            try:
                with torch.cuda.device_of(places[0]):  # type: ignore[no-untyped-call]  # of several GPUs
                    replay, outputs = self._record(lambda: self.function(*places))
            except RuntimeError as error:
                log.warning("cannot record on this GPU, and goes on without: %s", str(error).splitlines()[0])
                self._record = None
                return self.function(*given)
            found = self._records[key] = _Recorded(replay, places, outputs)
            self._bytes += sum(part.nbytes for part in (*places, *outputs))
        for slot, part, place in zip(self.inputs, given, found.inputs, strict=True):
            if part.shape != place.shape:
                place.fill_(slot.fill)
        _copy(given, found.inputs)
        found.replay()
        return tuple(
            part[tuple(map(slice, _shape(slot, part.shape, real)))].clone()
            for slot, part in zip(self.outputs, found.outputs, strict=True)
        )


def _sizes(slots: Sequence[Slot], tensors: Sequence[Tensor]) -> dict[str, int]:
    """The size of each letter."""
    sizes: dict[str, int] = {}
    for slot, part in zip(slots, tensors, strict=True):
        for letter, size in zip(slot.axes, part.shape, strict=False):
            if letter != "." and sizes.setdefault(letter, size) != size:
                raise ValueError(f"{letter} is {sizes[letter]} in one tensor and {size} in another")
    return sizes


def _shape(slot: Slot, shape: torch.Size, sizes: dict[str, int]) -> list[int]:
    """A shape with other sizes for its letters."""
    axes = slot.axes.ljust(len(shape), ".")
    return [size if letter == "." else sizes[letter] for letter, size in zip(axes, shape, strict=True)]


def _copy(given: Sequence[Tensor], places: Sequence[Tensor]) -> None:
    for part, place in zip(given, places, strict=True):
        place[tuple(map(slice, part.shape))].copy_(part)
