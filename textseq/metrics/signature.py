"""The first fields of a metric's signature."""

from __future__ import annotations

from collections.abc import Sequence


def data_signature(corpus: str, splits: Sequence[str], split: str) -> str:
    """The first fields of a signature: the corpus and its part; of one's own files, which are but one, the whole."""
    return f"corpus:{corpus}|split:{split if len(splits) > 1 else 'whole'}"
