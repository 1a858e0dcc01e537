"""Numbers of the running server, in Prometheus's text format (version 0.0.4)."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")

COUNTERS: Mapping[str, str] = {
    "textseq_requests_total": "Requests by path and status.",
    "textseq_texts_total": "Texts begun, by model.",
    "textseq_tokens_total": "Tokens generated, by model.",
    "textseq_cancelled_total": "Texts that ended because their client went away or their time was over, by model.",
    "textseq_items_total": "Sentences translated, texts classified and so on, by model.",
    "textseq_truncated_total": "Sentences whose translation was cut off at its length limit, by model.",
    "textseq_batches_total": "Batches in which these were computed, by model.",
}
"""What only grows, with its help."""

HISTOGRAMS: Mapping[str, str] = {
    "textseq_request_seconds": "Seconds from a request to the end of its answer.",
    "textseq_first_token_seconds": "Seconds from a request to the first token of a text, by model.",
}

GAUGES: Mapping[str, str] = {
    "textseq_running": "Texts in computation, by model.",
    "textseq_waiting": "Texts that wait, by model.",
}

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histograms, in seconds."""

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters and histograms, from any thread.

    Example:
        >>> metrics = Metrics()
        >>> metrics.add("textseq_tokens_total", 3, model="shakespeare")
        >>> print(metrics.text({}).splitlines()[-1])
        textseq_tokens_total{model="shakespeare"} 3
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, Labels], float] = {}
        self._histograms: dict[tuple[str, Labels], tuple[list[int], float]] = {}

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        key = name, tuple(sorted(labels.items()))
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + amount

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Add to a histogram."""
        key = name, tuple(sorted(labels.items()))
        with self._lock:
            counts, total = self._histograms.get(key, ([0] * (len(BUCKETS) + 1), 0.0))
            counts[bisect_left(BUCKETS, seconds)] += 1
            self._histograms[key] = counts, total + seconds

    def text(self, gauges: Mapping[tuple[str, str], float]) -> str:
        """Everything as text; ``gauges`` are values of now, by name and model."""
        lines: list[str] = []
        with self._lock:
            for name, about in COUNTERS.items():
                rows = [f"{name}{_shown(labels)} {value:g}" for (_, labels), value in _of(self._counts, name)]
                lines += _head(name, about, "counter", rows)
            for name, about in HISTOGRAMS.items():
                rows = []
                for (_, labels), (counts, total) in _of(self._histograms, name):
                    below = 0
                    for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
                        below += count
                        rows.append(f"{name}_bucket{_shown((*labels, ('le', bound)))} {below}")
                    rows += [f"{name}_sum{_shown(labels)} {total:.6f}", f"{name}_count{_shown(labels)} {below}"]
                lines += _head(name, about, "histogram", rows)
        for name, about in GAUGES.items():
            rows = [
                f"{key}{_shown((('model', model),))} {value:g}" for (key, model), value in gauges.items() if key == name
            ]
            lines += _head(name, about, "gauge", rows)
        return "".join(line + "\n" for line in lines)


def _of(table: Mapping[tuple[str, Labels], Value], name: str) -> list[tuple[tuple[str, Labels], Value]]:
    return sorted(((key, value) for key, value in table.items() if key[0] == name), key=lambda item: item[0])


def _head(name: str, about: str, kind: str, rows: list[str]) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}", *rows] if rows else []


def _shown(labels: Labels) -> str:
    """Labels as Prometheus writes them."""
    escaped = ((name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) for name, value in labels)
    pairs = ",".join(f'{name}="{value}"' for name, value in escaped)
    return f"{{{pairs}}}" if pairs else ""
