"""Formats of labelled corpora: one label per document, signs beside lines, ratings, trees, phrase books."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from textseq.data.corpora.phrase_book import PhrasePairs
from textseq.data.rows import Example
from textseq.io.documents.archives import matches_any

Labels = Mapping[str, Sequence[str]]
"""For each label patterns of its documents, or the signs for it in the files."""


def _of_document(name: str, labels: Labels) -> str | None:
    """The label of a whole document."""
    return next((label for label, patterns in labels.items() if matches_any(name, patterns)), None)


def _read_lines(text: str, name: str, labels: Labels) -> Iterator[Example]:
    """A text per line; the document's name determines the label."""
    label = _of_document(name, labels)
    if label is not None:
        yield from ((line.strip(), label) for line in text.split("\n") if line.strip())


def _read_word_list(text: str, name: str, labels: Labels) -> Iterator[Example]:
    """The same after a heading, whose lines begin with a semicolon."""
    yield from _read_lines(re.sub("(?m)^;.*", "", text), name, labels)


def _read_marked_lines(text: str, name: str, labels: Labels) -> Iterator[Example]:
    """The same between marks (<Pros>easy to use</Pros>), with HTML's entities.

    A remark with line ends among the entities (&#10;) gives a text for each of its lines.
    """
    yield from _read_lines("\n".join(map(html.unescape, re.findall(r"<\w+>(.*)</\w+>", text))), name, labels)


def _read_whole(text: str, name: str, labels: Labels) -> Iterator[Example]:
    """The document is one text; its name determines the label. HTML's line breaks become line ends."""
    label = _of_document(name, labels)
    if label is not None and text.strip():
        yield text.replace("<br />", "\n").strip(), label


def _read_signs(text: str, name: str, labels: Labels) -> Iterator[Example]:
    """A sign for the label, a space and a text per line."""
    parts = (line.strip().partition(" ") for line in text.split("\n"))
    yield from _labelled(((rest.strip(), sign) for sign, _, rest in parts if rest), labels)


def _read_signs_last(text: str, name: str, labels: Labels) -> Iterator[Example]:
    """A text, a tab and a sign for the label per line."""
    parts = (line.rpartition("\t") for line in text.split("\n"))
    yield from _labelled(((rest.strip(), sign.strip()) for rest, _, sign in parts if rest.strip()), labels)


def _read_valences(text: str, name: str, labels: Labels) -> Iterator[Example]:
    """A text, a tab, its mean rating and further columns per line; those below 1 on either side are left out."""
    rated = (line.split("\t")[:2] for line in text.split("\n") if "\t" in line)
    signs = ((entry.strip(), float(rating)) for entry, rating in rated)
    yield from _labelled(((entry, "+-"[rating < 0]) for entry, rating in signs if abs(rating) >= 1), labels)


def _labelled(signed: Iterable[tuple[str, str]], labels: Labels) -> Iterator[Example]:
    """The texts with the labels that their signs stand for: none, one or several."""
    for text, sign in signed:
        yield from ((text, label) for label, signs in labels.items() if sign in signs)


@dataclass(frozen=True)
class LabelledPhrases:
    """The sentences of a phrase book whose other side is a sign for the label, or for several."""

    text: str
    labels: Labels

    def __iter__(self) -> Iterator[Example]:
        yield from _labelled(PhrasePairs(self.text), self.labels)


def _read_trees(text: str, name: str, labels: Labels, *, phrases: bool = False) -> Iterator[Example]:
    """A tree in the Penn Treebank's notation per line, whose nodes' names are the signs for labels.

    Sentences without a label are skipped. With ``phrases``, all different phrases of a sentence are texts too.
    """
    label_of = {sign: label for label, signs in labels.items() for sign in signs}
    for line in text.split("\n"):
        for sign, words in dict.fromkeys(_nodes(line) if phrases else [*_nodes(line)][-1:]):
            if sign in label_of:
                yield words, label_of[sign]


ESCAPES = {
    **{"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}"},
    **{"\\/": "/", "\\*": "*", "``": '"', "''": '"'},
}
"""The Penn Treebank's escapes."""


def unescaped(word: str) -> str:
    """A word as in running text."""
    return ESCAPES.get(word, word.replace("\\/", "/").replace("\\*", "*"))


NODE = re.compile(r"\(([^\s()]+)|([^\s()]+)(?=\))|\)", re.ASCII)
"""The beginning of a node and its name, a word (which may have a no-break space), or the end of a node."""


def _nodes(line: str) -> Iterator[tuple[str, str]]:
    """The sign and the words of every node of a tree, the root last."""
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
"""The format in which some texts are parts of others."""

FORMATS: dict[str, Callable[[str, str, Labels], Iterator[Example]]] = {
    "lines": _read_lines,
    "text": _read_whole,
    "marked-lines": _read_marked_lines,
    "word-list": _read_word_list,
    "signs": _read_signs,
    "lines-then-signs": _read_signs_last,
    "valences": _read_valences,
    "trees": _read_trees,
    NESTED: lambda text, name, labels: _read_trees(text, name, labels, phrases=True),
}
"""By the format's name, how a document becomes examples."""
