"""One row of a dataset: a sentence pair, a labelled text, a tagged sentence."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

Pair = tuple[str, str]
"""A source sentence and a target sentence."""

Example = tuple[str, str]
"""A text and its label; or its labels, as ``join_labels`` gives them."""

Tagged = tuple[tuple[str, ...], tuple[str, ...]]
"""The words of a sentence, at least one, and a tag for each; or a text's letters, and tags not aligned with them."""


def content_of(row: tuple[str, str]) -> str:
    """Both strings as one, which differs for different rows."""
    first, second = row
    return f"{len(first)} {len(second)} {first}{second}"


def normal_label(label: str) -> str:
    """A label in Unicode's normal form NFC: a Mac writes the names of files with accents as characters of their own.

    Example:
        >>> normal_label("C\u030capek") == "\u010capek"
        True
    """
    return unicodedata.normalize("NFC", label)


def join_labels(labels: Iterable[str]) -> str:
    """Several labels of a text as one string; "" for none. No label has a tab in it."""
    return "\t".join(sorted(set(labels)))


def split_labels(joined: str) -> list[str]:
    """The labels that ``join_labels`` has joined."""
    return joined.split("\t") if joined else []
