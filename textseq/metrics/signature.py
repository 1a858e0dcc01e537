"""Signatures and bootstrap intervals, which all metrics share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from textseq.version import __version__

RESAMPLES = 1000
"""Bootstrap resamples of an interval."""

SEED = 12345
"""Seed of the resampling; sacreBLEU's."""


def data_signature(corpus: str, splits: Sequence[str], split: str) -> str:
    """The first fields of a signature: corpus and split; "whole" for one's own files, which have a single split."""
    return f"corpus:{corpus}|split:{split if len(splits) > 1 else 'whole'}"


def signature_of(setup: str, *fields: str) -> str:
    """A signature: the caller's fields, the metric's fields and the version."""
    return "|".join((*filter(None, [setup]), *fields, f"textseq:{__version__}"))


def bootstrap_signature(setup: str, *fields: str) -> str:
    """A signature of a metric with a bootstrap interval."""
    return signature_of(setup, *fields, f"bs:{RESAMPLES}", f"seed:{SEED}")


def resampled(count: int) -> Iterator[npt.NDArray[np.int64]]:
    """The numbers of the examples in each bootstrap resample of ``count`` examples, (count,)."""
    rng = np.random.default_rng(SEED)
    return (rng.integers(count, size=count) for _ in range(RESAMPLES))


def percentile_interval(values: Iterable[float]) -> tuple[float, float]:
    """The interval that holds the middle 95 % of the values."""
    low, high = np.quantile(np.fromiter(values, np.float64), (0.025, 0.975))
    return float(low), float(high)


def proportion_interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % bootstrap interval of a proportion of ``count`` examples.

    Of all or none the resamples are alike, whatever the ``count``; there it is the exact interval (Clopper and Pearson
    1934).
    """
    if share in (0, 1):
        least = 0.025 ** (1 / count)  # the share at which so many successes in a row have a probability of 2.5 %
        return (least, 1.0) if share else (0.0, 1 - least)
    # The successes in a resample of N examples are binomial: the same distribution as resampling the examples.
    return percentile_interval(np.random.default_rng(SEED).binomial(count, share, RESAMPLES) / count)
