"""A queue with a thread of its own: what the engine of a language model and the gatherer of other calls share."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

from textseq.serve.errors import stopping, too_busy
from textseq.serve.metrics import Metrics
from textseq.serve.settings import Limits

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
        """Guards the queue and the two flags."""
        self._waiting: deque[Item] = deque()
        self._retired = self._stopped = False
        self._thread = threading.Thread(target=self._work, name=f"textseq-{name}", daemon=True)
        self._thread.start()

    @property
    @abstractmethod
    def running(self) -> int:
        """Texts that are being computed."""

    @abstractmethod
    def _work(self) -> None:
        """Compute, in the thread, until it is stopped, or retired with nothing left."""

    @property
    def load(self) -> tuple[int, int]:
        """Texts that are being computed, and that wait."""
        return self.running, len(self._waiting)

    def retire(self) -> None:
        """End the thread when nothing is computed and nothing waits."""
        with self._changed:
            self._retired = True
            self._changed.notify()

    def stop(self) -> None:
        """End the thread after the current step; what is not finished gets an error."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _enqueue(self, items: Sequence[Item], free: int) -> None:
        """Add to the queue; ``free`` of its items do not count as waiting.

        Raises:
            RequestError: too many texts wait, or the server shuts down.
        """
        with self._changed:
            if self._stopped:
                raise stopping()
            if len(self._waiting) + len(items) - free > self._limits.max_waiting:
                raise too_busy(len(self._waiting))
            self._waiting += items
            self._changed.notify()
