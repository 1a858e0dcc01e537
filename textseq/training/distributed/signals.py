"""Ctrl-C and SIGTERM while training."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from textseq.errors import TextseqError


@contextlib.contextmanager
def signal_handler(
    handler: Callable[[int, FrameType | None], None] | signal.Handlers, processes: int
) -> Iterator[None]:
    """Handle Ctrl-C and SIGTERM inside the block; outside the main thread nothing is changed.

    After a TextseqError in a job of several processes the handler stays: the launcher is about to end this process too,
    which needs the time to report the error.
    """
    previous = {}
    with contextlib.suppress(ValueError):  # not the main thread
        previous = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except TextseqError:
        if processes > 1:
            previous.clear()
        raise
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
