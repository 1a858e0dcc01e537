"""A queue with a thread for one model; and a gatherer: calls that wait in its queue are computed in one batch."""

from __future__ import annotations

import asyncio
import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, Generic, Protocol, TypeVar, cast

from textseq.errors import TextseqError
from textseq.serve.errors import RequestError, stopping, too_busy
from textseq.serve.metrics import Metrics
from textseq.serve.settings import Limits

log = logging.getLogger("textseq")

Result = TypeVar("Result", covariant=True)
R = TypeVar("R")
Item = TypeVar("Item")


class Worker(ABC, Generic[Item]):
    """Computes with one model, in a thread, what waits in a queue.

    Args:
        name: of the model, in metrics.
        limits: of the batch and of the queue.
        metrics: counts what is computed.
    """

    def __init__(self, name: str, limits: Limits, metrics: Metrics) -> None:
        self._name, self._limits, self._metrics = name, limits, metrics
        self._changed = threading.Condition()
        """Guards the queue, the flags and the thread."""
        self._waiting: deque[Item] = deque()
        self._retired = self._stopped = False
        self._start()

    @property
    @abstractmethod
    def running(self) -> int:
        """Texts that are being computed."""

    @abstractmethod
    def _work(self) -> None:
        """Compute, in the thread, until it is stopped, or retired with nothing left; ``_ended`` is then set."""

    @property
    def load(self) -> tuple[int, int]:
        """Texts that are being computed, and that wait."""
        return self.running, len(self._waiting)

    def retire(self) -> None:
        """End the thread when nothing is computed and nothing waits; it is started again for what still comes."""
        with self._changed:
            self._retired = True
            self._changed.notify()

    def stop(self) -> None:
        """End the thread after the current step, without waiting for it; what is not finished gets an error."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def join(self, timeout: float) -> None:
        """Wait, for so many seconds at most, until the thread has ended."""
        self._thread.join(timeout)

    def _enqueue(self, items: Sequence[Item], free: int, *, admitted: bool = False) -> None:
        """Add to the queue; ``free`` of its items do not count as waiting. An empty queue takes any number.

        Args:
            items: what waits from now on.
            free: how many of them are computed at once.
            admitted: they belong to a call whose first items were taken, and are added to a full queue too.

        Raises:
            RequestError: too many texts wait, or the server shuts down.
        """
        with self._changed:
            if self._stopped:
                raise stopping()
            full = len(self._waiting) + len(items) - free > self._limits.max_waiting
            if self._waiting and full and not admitted:
                raise too_busy(len(self._waiting))
            self._waiting += items
            self._changed.notify()
            if self._ended:
                self._start()

    def _withdraw(self, items: Sequence[Item]) -> None:
        """Take out of the queue what no one waits for any more."""
        gone = set(map(id, items))
        with self._changed:
            self._waiting = deque(item for item in self._waiting if id(item) not in gone)

    def _start(self) -> None:
        self._ended = False
        self._thread = threading.Thread(target=self._work, name=f"textseq-{self._name}", daemon=True)
        self._thread.start()


class Operation(Protocol[Result]):
    """What to do with texts; equal operations are done together (a frozen dataclass)."""

    batched: ClassVar[bool] = True
    """Whether texts are computed together; otherwise each is a call of its own, between which work can be ended."""

    def __call__(self, texts: Sequence[str]) -> Sequence[Result]:
        """A result for each text."""
        ...


@dataclass(eq=False)
class _Waiting(Generic[R]):
    """A text, and where its result goes."""

    text: str
    operation: Operation[R]
    result: asyncio.Future[R]
    loop: asyncio.AbstractEventLoop

    def send(self, what: R | Exception) -> None:
        """Give the result, or the error, to the waiting request."""

        def arrive() -> None:
            if self.result.done():  # cancelled
                return
            if isinstance(what, Exception):
                self.result.set_exception(what)
            else:
                self.result.set_result(what)

        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(arrive)


class Gatherer(Worker[_Waiting[object]]):
    """Computes with one model what many calls ask for, in batches.

    Args:
        name: of the model, in metrics.
        limits: of a batch and of the queue.
        metrics: counts texts and batches.
    """

    def __init__(self, name: str, limits: Limits, metrics: Metrics) -> None:
        self._running = 0
        super().__init__(name, limits, metrics)

    @property
    def running(self) -> int:
        return self._running

    async def compute(self, texts: Sequence[str], operation: Operation[R]) -> list[R]:
        """The results of texts, in order; cancelling the call takes out those that still wait.

        A long list is fed into the queue batch by batch, so that other calls are computed between.

        Raises:
            RequestError: too many texts wait, or the server shuts down.
            TextseqError: a text that the model cannot read.
        """
        results, size = list[R](), self._limits.max_running
        for begin in range(0, len(texts), size):
            results += await self._computed(texts[begin : begin + size], operation, admitted=begin > 0)
        return results

    async def _computed(self, texts: Sequence[str], operation: Operation[R], *, admitted: bool) -> list[R]:
        """The results of a part of a call's texts."""
        loop = asyncio.get_running_loop()
        calls = [_Waiting(text, operation, loop.create_future(), loop) for text in texts]
        items = cast("list[_Waiting[object]]", calls)
        self._enqueue(items, self._limits.max_running, admitted=admitted)
        try:
            results = await asyncio.gather(*(call.result for call in calls), return_exceptions=True)
        finally:
            for call in calls:
                call.result.cancel()
            if any(call.result.cancelled() for call in calls):
                self._withdraw(items)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [call.result.result() for call in calls]

    def _work(self) -> None:
        while batch := self._next_batch():
            for call, result in zip(batch, self._results(batch), strict=True):
                call.send(result)
            self._metrics.add("textseq_batches_total", model=self._name)
            self._metrics.add("textseq_items_total", len(batch), model=self._name)
            self._running = 0

    def _next_batch(self) -> list[_Waiting[object]]:
        """Texts with the operation of the one that has waited longest, if it is batched, or else that one alone.

        None when the thread is to end.
        """
        with self._changed:
            while True:
                waiting = [call for call in self._waiting if not call.result.cancelled()]
                if self._stopped or (self._retired and not waiting):
                    for call in waiting:
                        call.send(stopping())
                    self._waiting.clear()
                    self._ended = True
                    return []
                same = [call for call in waiting if call.operation == waiting[0].operation]
                batch = same[: self._limits.max_running if same and same[0].operation.batched else 1]
                taken = set(map(id, batch))
                self._waiting = deque(call for call in waiting if id(call) not in taken)
                self._running = len(batch)
                if batch:
                    return batch
                self._changed.wait()

    def _results(self, batch: Sequence[_Waiting[object]]) -> Sequence[object]:
        """The result of each text, or its error."""
        try:
            return batch[0].operation([call.text for call in batch])
        except TextseqError as error:
            if len(batch) == 1:
                return [error]
            return [self._result_alone(call) for call in batch]  # the error of one is not that of all
        except Exception:
            log.exception("computing with %s failed", self._name)
            return [RequestError(500, "the computation failed; the server's log says why") for _ in batch]

    def _result_alone(self, call: _Waiting[object]) -> object:
        """The result of a text, or its error; not computed if no one waits for it any more."""
        if self._stopped or call.result.cancelled():
            return stopping()
        return self._results([call])[0]
