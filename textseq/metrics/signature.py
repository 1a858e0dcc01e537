"""The first fields of a metric's signature."""

from __future__ import annotations

from collections.abc import Sequence


def measured_on(corpus: str, parts: Sequence[str], part: str) -> str:
    """The first fields of a signature: the corpus and its part; of one's own files, which are but one, the whole."""
    return f"corpus:{corpus}|part:{part if len(parts) > 1 else 'whole'}"
