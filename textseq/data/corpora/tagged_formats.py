"""Formats of tagged corpora: trees, Brown tags, columns, pronunciations."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from textseq.data.corpora.labelled_formats import unescaped
from textseq.data.rows import Tagged

LEAF = re.compile(r"\(([^\s()]+) +([^\s()]+)\)|([()])", re.ASCII)
"""The sign and word of a leaf of a tree, or a bracket."""


def _read_trees(text: str, tag_of: Mapping[str, str]) -> Iterator[Tagged]:
    """The leaves of the Penn Treebank's trees, except traces, whose signs have no tag."""
    words: list[str] = []
    tags: list[str] = []
    depth = 0
    for sign, word, bracket in LEAF.findall(text):
        depth += {"(": 1, ")": -1}.get(bracket, 0)
        if sign in tag_of:
            words.append(unescaped(word))
            tags.append(tag_of[sign])
        elif depth == 0 and words:
            yield tuple(words), tuple(tags)
            words, tags = [], []


def _read_brown(text: str, tag_of: Mapping[str, str]) -> Iterator[Tagged]:
    """A sentence per line: word/sign, with signs in lower case."""
    for line in text.split("\n"):
        pairs = [token.rpartition("/") for token in line.split()]
        if pairs:
            words = tuple(unescaped(word) for word, _, _ in pairs)
            yield words, tuple(tag_of[sign.upper()] for _, _, sign in pairs)


def _read_pronunciations(text: str, tag_of: Mapping[str, str]) -> Iterator[Tagged]:
    """A word, a number and the signs of its sounds per line; the letters are the input."""
    for line in text.splitlines():
        word, _, *signs = line.split()
        yield tuple(word.lower()), tuple(tag_of[sign] for sign in signs)


def _read_columns(text: str, tag_of: Mapping[str, str]) -> Iterator[Tagged]:
    """A word, a tab and its sign per line; a blank line after each sentence."""
    for lines in re.split(r"\n\s*\n", text.strip()):
        words, signs = zip(*(line.split("\t") for line in lines.split("\n")), strict=True)
        yield words, tuple(tag_of[sign] for sign in signs)


TAGGED_FORMATS: dict[str, Callable[[str, Mapping[str, str]], Iterator[Tagged]]] = {
    "trees": _read_trees,
    "nltk-tagged": _read_brown,
    "columns": _read_columns,
    "pronunciations": _read_pronunciations,
}
"""By the format's name, how a document becomes sentences."""

UNALIGNED = frozenset({"pronunciations"})
"""Formats whose tags are not aligned with the input."""
