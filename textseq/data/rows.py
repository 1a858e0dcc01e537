"""One row of a dataset: a sentence pair, a labelled text, a tagged sentence."""

from __future__ import annotations

Pair = tuple[str, str]
"""A source sentence and a target sentence."""

Example = tuple[str, str]
"""A text and its label."""

Tagged = tuple[tuple[str, ...], tuple[str, ...]]
"""The words of a sentence, at least one, and a tag for each; or a text's letters, and tags not aligned with them."""


def content_of(row: tuple[str, str]) -> str:
    """Both strings as one, which differs for different rows."""
    first, second = row
    return f"{len(first)} {len(second)} {first}{second}"
