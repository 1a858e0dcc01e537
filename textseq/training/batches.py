"""The protocol of batches for the trainer, and an adapter for plain ones (a list, a ``DataLoader``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from textseq.data.batching import Cursor
from textseq.errors import TextseqError
from textseq.nn.cells import State
from textseq.nn.losses import Loss


class BatchLike(Protocol):
    """A batch of N rows."""

    @property
    def learning_rate_factor(self) -> float:
        """Multiplies the learning rate of its step."""

    @property
    def rows(self) -> int:
        """N."""

    @property
    def count(self) -> int:
        """Predictions in it; the mean loss is over these."""

    def slice_rows(self, rows: slice) -> BatchLike: ...
    def to(self, device: torch.device) -> BatchLike: ...


@runtime_checkable
class Batches(Protocol):
    """A source of batches: a pure function of the position in the data, so that a run can be resumed.

    Example:
        >>> class Squares:
        ...     def batch(self, cursor):
        ...         return PlainBatch(torch.tensor([cursor.position**2])), Cursor(0, cursor.position + 1)
        ...     def epochs(self, cursor):
        ...         return cursor.position / 100
    """

    def batch(self, cursor: Cursor) -> tuple[BatchLike, Cursor]:
        """The batch at a position, and the position of the next one."""

    def epochs(self, cursor: Cursor) -> float:
        """Passes over the data before a position."""


@dataclass(frozen=True)
class PlainBatch:
    """A batch of any type: tensors whose first axis is the rows, or tuples, lists and dicts of them.

    Example:
        >>> PlainBatch((torch.zeros(4, 3), torch.zeros(4))).rows
        4
    """

    data: object
    learning_rate_factor: float = 1.0

    @property
    def rows(self) -> int:
        """N of its first tensor; 1 if it has none."""
        return next((len(tensor) for tensor in _tensors(self.data) if tensor.dim()), 1)

    @property
    def count(self) -> int:
        """Each row counts once."""
        return self.rows

    def slice_rows(self, rows: slice) -> PlainBatch:
        """Some rows of every tensor."""
        return PlainBatch(_map(self.data, lambda tensor: tensor[rows] if tensor.dim() else tensor))

    def to(self, device: torch.device) -> PlainBatch:
        """The batch with its tensors on a device."""
        if hasattr(self.data, "to"):  # a tensor, or a class of batches
            return PlainBatch(self.data.to(device))
        return PlainBatch(_map(self.data, lambda tensor: tensor.to(device)))


class IterableBatches:
    """The batches of a list, a ``DataLoader`` or anything else that can be iterated over once per epoch.

    What the source draws from torch's global generator (or from the ``generator`` of a ``DataLoader``) depends on the
    seed and the epoch alone, so that a resumed run sees the same batches. To resume, earlier batches are read and
    skipped. A source that can be read only once, or has no batch or a batch without rows, raises a TextseqError.

    Example:
        >>> batches = IterableBatches([torch.zeros(4, 3), torch.ones(4, 3)])
        >>> batch, cursor = batches.batch(Cursor())
        >>> batch.rows, batches.epochs(cursor)
        (4, 0.5)
    """

    def __init__(self, source: Iterable[object], seed: int = 1) -> None:
        if isinstance(source, Iterator):
            raise TextseqError(
                f"batches: expected a list, a DataLoader or another source that can be read once per epoch, got a "
                f"{type(source).__name__}, which can be read only once; give list(batches)"
            )
        self.source, self.seed = source, seed
        try:
            self.length = len(source)  # type: ignore[arg-type]
        except TypeError:
            self.length = 0  # unknown
        self._cursor = self._next = Cursor()
        self._batch: PlainBatch | None = None  # the last one, at _cursor; a failed step asks for it again
        self._iterator: Iterator[object] | None = None
        self._ahead: tuple[object] | None = None  # the batch at _next; None after the last of an epoch

    def batch(self, cursor: Cursor) -> tuple[PlainBatch, Cursor]:
        """The batch at a position, and the position of the next one."""
        if self._batch is None or cursor != self._cursor:
            if self._iterator is None or cursor != self._next:
                self._start(cursor)
            assert self._ahead is not None
            self._batch, self._cursor = PlainBatch(self._ahead[0]), cursor
            if not self._batch.rows:
                raise TextseqError(f"batches: expected rows in every batch, got none in batch {cursor.position + 1}")
            self._next, self._ahead = cursor._replace(position=cursor.position + 1), self._read()
            if self._ahead is None:
                self._next, self._iterator = Cursor(cursor.epoch + 1), None
        return self._batch, self._next

    def epochs(self, cursor: Cursor) -> float:
        """Passes over the data before a position; whole ones if the source has no length."""
        return cursor.epoch + (cursor.position / self.length if self.length else 0.0)

    def _start(self, cursor: Cursor) -> None:
        """Begin an epoch and skip the batches before a place."""
        seed = int(np.random.SeedSequence([self.seed, cursor.epoch]).generate_state(1)[0])
        if isinstance(generator := getattr(self.source, "generator", None), torch.Generator):
            generator.manual_seed(seed)
        self._random = torch.Generator().manual_seed(seed).get_state()
        with self._source_random_state():
            self._iterator = iter(self.source)
        for _ in range(cursor.position + 1):
            self._ahead = self._read()
        if self._ahead is None:
            if cursor == Cursor():
                raise TextseqError("batches: expected at least one batch, got none; check what the source gives")
            raise ValueError(f"batches: epoch {cursor.epoch + 1} has no batch {cursor.position + 1}")

    def _read(self) -> tuple[object] | None:
        """The next batch of the epoch; None at its end."""
        assert self._iterator is not None
        with self._source_random_state():
            for data in self._iterator:
                return (data,)
        return None

    @contextmanager
    def _source_random_state(self) -> Iterator[None]:
        """Use the source's random state inside the block."""
        assert self._random is not None
        outside = torch.get_rng_state()
        torch.set_rng_state(self._random)
        try:
            yield
        finally:
            self._random = torch.get_rng_state()
            torch.set_rng_state(outside)


def as_batches(source: Batches | Iterable[object], seed: int) -> Batches:
    """The source itself if it has ``batch(cursor)``, else an adapter."""
    if isinstance(source, Batches):
        return source
    if not isinstance(source, Iterable):
        raise TextseqError(
            f"batches: expected an object with batch(cursor) and epochs(cursor), a list or a DataLoader, got a "
            f"{type(source).__name__}"
        )
    return IterableBatches(source, seed)


class Objective(nn.Module):
    """``model.loss`` as a module's forward, for DistributedDataParallel.

    Some steps leave parameters without a gradient, so DistributedDataParallel must look for unused ones. It then never
    rebuilds its buckets, so the first step after a resume rounds like any other. It warns if every parameter is used;
    ``spare`` adds an unused one.
    """

    def __init__(self, model: nn.Module, *, spare: bool = False) -> None:
        super().__init__()
        self.model = model
        self.spare = nn.Parameter(next(model.parameters()).new_zeros(1)) if spare else None

    def forward(self, batch: BatchLike, state: State | None) -> tuple[Tensor, Tensor | None, State]:
        """The summed loss, the penalty, and the state after the batch, detached."""
        data = batch.data if isinstance(batch, PlainBatch) else batch
        loss: Loss | Tensor = self.model.loss(data, state)  # type: ignore[operator]
        if isinstance(loss, Tensor) and loss.dim() == 0:
            return loss * batch.count, None, ()
        if not isinstance(loss, Loss):
            got = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise TextseqError(f"model.loss(batch, state): expected a scalar tensor or a textseq.nn.Loss, got {got}")
        if isinstance(loss.state, Tensor):  # of torch's GRU and RNN
            raise TextseqError("textseq.nn.Loss: expected a tuple of tensors as state, got one tensor; write (state,)")
        total = loss.nats if data is batch else loss.nats * (batch.count / max(loss.count, 1))
        return total, loss.penalty, tuple(tensor.detach() for tensor in loss.state)


def _tensors(data: object) -> Iterator[Tensor]:
    if isinstance(data, Tensor):
        yield data
    elif isinstance(data, (tuple, list, dict)):
        for part in data.values() if isinstance(data, dict) else data:
            yield from _tensors(part)


def _map(data: object, change: Callable[[Tensor], Tensor]) -> object:
    """Map the tensors of a batch."""
    if isinstance(data, Tensor):
        return change(data)
    if isinstance(data, dict):
        return {key: _map(value, change) for key, value in data.items()}
    if isinstance(data, (tuple, list)):
        parts = [_map(part, change) for part in data]
        return data._make(parts) if hasattr(data, "_make") else type(data)(parts)
    return data
