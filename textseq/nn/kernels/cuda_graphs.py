"""Functions recorded as CUDA graphs, and replayed with a single launch.

A step of a recurrent network is some dozens of small kernels, each of which finishes before Python has launched the
next. A recording has fixed shapes and fixed places in memory: inputs are copied to its buffers and outputs are cloned,
so that the next replay does not change them.
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
"""A function without arguments -> a function that repeats its work, and the tensors that hold the results."""

SIZE_MULTIPLE = 8
"""Sizes named by a ``Slot`` are rounded up to a multiple of this."""

CALLS_BEFORE_RECORDING = 3
"""A recording takes as long as some dozens of calls, so rare shapes are not recorded."""

MAX_BYTES = 2**31
"""Maximum GPU memory for the inputs and outputs of all recordings of a function."""

WARM_UPS = 2

log = logging.getLogger(__name__)


def on_cuda(work: Callable[[], tuple[Tensor, ...]]) -> tuple[Replay, tuple[Tensor, ...]]:
    """Record on a GPU, after warm-up calls that allocate workspaces and compile kernels."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # The backward pass has its own thread, and other threads may use the GPU meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outputs = work()
    return graph.replay, outputs


@dataclass(frozen=True)
class Slot:
    """The dimensions of an input or output of a recorded function that may be rounded up."""

    axes: str = ""
    """A letter for each dimension that may be rounded up, the same letter for the same size, and "." for any other;
    "T.S" names the first and the third. Further dimensions are exact."""
    fill: float = 0.0
    """The value beyond the real size."""


@dataclass
class _Recording:
    replay: Replay
    inputs: list[Tensor]
    outputs: tuple[Tensor, ...]


class Recorded:
    """A function of tensors, recorded for every shape that it is often called with.

    Sizes named by the slots are rounded up, so that many shapes share a recording: the real part of the outputs must
    not depend on the padding, which has the value ``fill``.

    Args:
        function: takes tensors and returns tensors, without reading their values and without random numbers.
        inputs: a slot for each input.
        outputs: a slot for each output.
        record: records a call; a stand-in in tests.
    """

    def __init__(
        self, function: Function, inputs: Sequence[Slot], outputs: Sequence[Slot], record: Record = on_cuda
    ) -> None:
        self.function, self.inputs, self.outputs = function, inputs, outputs
        self._record: Record | None = record
        self._calls: dict[object, int] = {}
        self._recordings: dict[object, _Recording] = {}
        self._bytes = 0

    def __call__(self, *args: Tensor) -> tuple[Tensor, ...]:
        """The outputs of the function, in tensors of their own."""
        real = _sizes(self.inputs, args)
        rounded = {letter: -(-size // SIZE_MULTIPLE) * SIZE_MULTIPLE for letter, size in real.items()}
        shapes = [_shape(slot, arg.shape, rounded) for slot, arg in zip(self.inputs, args, strict=True)]
        key = (*((tuple(shape), arg.dtype, arg.device) for shape, arg in zip(shapes, args, strict=True)),)
        recording = self._recordings.get(key)
        if recording is None:
            self._calls[key] = self._calls.get(key, 0) + 1
            too_few = self._calls[key] < CALLS_BEFORE_RECORDING
            if self._record is None or too_few or self._bytes >= MAX_BYTES:
                return self.function(*args)
            buffers = [
                arg.new_full(shape, slot.fill) for slot, arg, shape in zip(self.inputs, args, shapes, strict=True)
            ]
            _copy(args, buffers)
            try:
                with torch.cuda.device_of(buffers[0]):  # type: ignore[no-untyped-call]  # with several GPUs
                    replay, outputs = self._record(lambda: self.function(*buffers))
            except RuntimeError as error:
                log.warning("cannot record CUDA graphs; running without them: %s", str(error).splitlines()[0])
                self._record = None
                return self.function(*args)
            recording = self._recordings[key] = _Recording(replay, buffers, outputs)
            self._bytes += sum(tensor.nbytes for tensor in (*buffers, *outputs))
        for slot, arg, buffer in zip(self.inputs, args, recording.inputs, strict=True):
            if arg.shape != buffer.shape:
                buffer.fill_(slot.fill)
        _copy(args, recording.inputs)
        recording.replay()
        return tuple(
            output[tuple(map(slice, _shape(slot, output.shape, real)))].clone()
            for slot, output in zip(self.outputs, recording.outputs, strict=True)
        )


def _sizes(slots: Sequence[Slot], tensors: Sequence[Tensor]) -> dict[str, int]:
    """The size of each letter."""
    sizes: dict[str, int] = {}
    for slot, tensor in zip(slots, tensors, strict=True):
        for letter, size in zip(slot.axes, tensor.shape, strict=False):
            if letter != "." and sizes.setdefault(letter, size) != size:
                raise ValueError(f"{letter} is {sizes[letter]} in one tensor and {size} in another")
    return sizes


def _shape(slot: Slot, shape: torch.Size, sizes: dict[str, int]) -> list[int]:
    """The shape with the sizes of its letters replaced."""
    axes = slot.axes.ljust(len(shape), ".")
    return [size if letter == "." else sizes[letter] for letter, size in zip(axes, shape, strict=True)]


def _copy(args: Sequence[Tensor], buffers: Sequence[Tensor]) -> None:
    for arg, buffer in zip(args, buffers, strict=True):
        buffer[tuple(map(slice, arg.shape))].copy_(arg)
