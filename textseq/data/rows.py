"""One row of a dataset: a sentence pair, a labelled text, a tagged sentence."""

from __future__ import annotations

Example = tuple[str, str]
"""A text and its label."""


Pair = tuple[str, str]


Tagged = tuple[tuple[str, ...], tuple[str, ...]]
"""The words of a sentence, one or more, and a tag for each; or a text's letters, and tags not aligned with them."""
