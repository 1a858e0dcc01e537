"""How labelled corpora lie in their files: one label to a document, signs before lines, trees; archives in one pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from textseq.data.rows import Example

Labels = Mapping[str, Sequence[str]]
"""By each label's name the documents that it is of, as patterns, or the signs that files write for it."""


def _of_document(name: str, labels: Labels) -> str | None:
    """The label of all that a document holds."""
    return next((label for label, names in labels.items() if any(fnmatchcase(name, one) for one in names)), None)


def _read_lines(text: str, name: str, labels: Labels) -> Iterator[Example]:
    """Every line is a text; the document's name tells its label."""
    label = _of_document(name, labels)
    if label is not None:
        yield from ((line.strip(), label) for line in text.split("\n") if line.strip())


def _read_whole(text: str, name: str, labels: Labels) -> Iterator[Example]:
    """The document is one text; its name tells the label. HTML's line breaks become line ends."""
    label = _of_document(name, labels)
    if label is not None and text.strip():
        yield text.replace("<br />", "\n").strip(), label


def _read_signs(text: str, name: str, labels: Labels) -> Iterator[Example]:
    """Every line is a sign for the label, a space and a text."""
    label_of = {sign: label for label, signs in labels.items() for sign in signs}
    for line in text.split("\n"):
        sign, _, rest = line.strip().partition(" ")
        if sign in label_of and rest:
            yield rest.strip(), label_of[sign]


def _read_trees(text: str, name: str, labels: Labels, *, phrases: bool = False) -> Iterator[Example]:
    """Every line is a tree as the Penn Treebank writes them, whose nodes' names are the signs for labels.

    Args:
        text: of the document.
        name: likewise.
        labels: a sentence or phrase whose sign is of none is left out.
        phrases: give every phrase of a sentence too, and each just once.
    """
    label_of = {sign: label for label, signs in labels.items() for sign in signs}
    for line in text.split("\n"):
        for sign, words in dict.fromkeys(_nodes(line) if phrases else [*_nodes(line)][-1:]):
            if sign in label_of:
                yield words, label_of[sign]


ESCAPES = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "\\/": "/", "\\*": "*", "``": '"', "''": '"'}
"""What the Penn Treebank writes for characters that mean something in its trees, or that typewriters lack."""


def unescaped(word: str) -> str:
    """A word as it stands in running text."""
    return ESCAPES.get(word, word.replace("\\/", "/").replace("\\*", "*"))


NODE = re.compile(r"\(([^\s()]+)|([^\s()]+)(?=\))|\)")
"""The beginning of a node and its name, a word, or the end of a node."""


def _nodes(line: str) -> Iterator[tuple[str, str]]:
    """The sign and the words of every node of a tree, a node after those in it, so that the root is the last."""
    open_nodes: list[tuple[str, list[str]]] = []
    for opened, word in NODE.findall(line):
        if opened:
            open_nodes.append((opened, []))
        elif word:
            open_nodes[-1][1].append(unescaped(word))
        else:
            sign, words = open_nodes.pop()
            if open_nodes:
                open_nodes[-1][1].extend(words)
            yield sign, " ".join(words)


NESTED = "tree-phrases"
"""The format whose texts are parts of one another."""

FORMATS: dict[str, Callable[[str, str, Labels], Iterator[Example]]] = {
    "lines": _read_lines,
    "text": _read_whole,
    "signs": _read_signs,
    "trees": _read_trees,
    NESTED: lambda text, name, labels: _read_trees(text, name, labels, phrases=True),
}
"""How the document of a recipe becomes examples, by the format's name."""
