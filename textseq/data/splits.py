"""Splits of rows: as a recipe lists them, by shares, or by a hash of the text.

A row is one example: a sentence pair, a text with its label, a sentence with its tags.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import accumulate, islice
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from textseq.data.corpora.catalog import CorpusRecipe
from textseq.data.corpora.download import LocalFile
from textseq.data.rows import Example, Pair
from textseq.errors import TextseqError
from textseq.io.documents.archives import matches_any
from textseq.io.documents.document import texts_of

Row = TypeVar("Row")

SPELLING = (0x780, 0x7C0), (0x900, 0x1AB0), (0x1B00, 0x1D00), (0xA800, 0xAC00), (0x11000, 0x12000)
"""Blocks of Unicode whose scripts write vowels as combining marks: of South and Southeast Asia, and Thaana."""

SIGNS = "".join(
    sign for block in SPELLING for sign in map(chr, range(*block)) if unicodedata.category(sign).startswith("M")
)
"""These marks. Accents of other scripts, and those of emoji, are none."""

SIGN = re.compile(f"[{SIGNS}]")

WORDS = re.compile(rf"[^\W_]+(?:[{SIGNS}]+[^\W_]*)*")

WORDLESS = 0
"""The key of a sentence without a letter or digit."""

SPLIT_VERSION = 1  # raise when the same pairs are split differently than before

ZERO = Fraction(0)


# Datasets of datasets


@dataclass(frozen=True)
class ConcatDataset(Generic[Row]):
    """The rows of several sources, one after the other."""

    sources: tuple[Iterable[Row], ...]

    def __iter__(self) -> Iterator[Row]:
        for source in self.sources:
            yield from source


@dataclass(frozen=True)
class Subset(Generic[Row]):
    """The rows of one split among all; ``split_of()`` gives the split number of each row."""

    rows: Iterable[Row]
    split_of: Callable[[], bytes]
    split: int

    def __iter__(self) -> Iterator[Row]:
        numbers, count = self.split_of(), 0
        for count, row in enumerate(self.rows, start=1):
            if count <= len(numbers) and numbers[count - 1] == self.split:
                yield row
        if count != len(numbers):
            raise TextseqError(
                f"a file has changed since it was split: expected {len(numbers):,} rows, got {count:,}; start again"
            )


@dataclass(frozen=True)
class EveryNth(Generic[Row]):
    """The first row and every n-th after it."""

    rows: Iterable[Row]
    n: int

    def __iter__(self) -> Iterator[Row]:
        return islice(self.rows, 0, None, self.n)


@dataclass(frozen=True)
class RecipeRows(Generic[Row]):
    """The rows of a corpus, read from those of its documents that are ``wanted``."""

    recipe: CorpusRecipe
    local: Mapping[str, LocalFile]
    read: Callable[[str, str, str], Iterator[Row]]
    """The rows of a document, from the recipe's file, the document's name and its text."""
    wanted: Callable[[str], bool] = lambda document: True

    def __iter__(self) -> Iterator[Row]:
        recipe = self.recipe
        for file, local in self.local.items():
            for name, text in texts_of(local.path, recipe.encoding, recipe.members.get(file), self.wanted):
                yield from self.read(file, name, text)


def recipe_splits(
    recipe: CorpusRecipe,
    local: Mapping[str, LocalFile],
    read: Callable[[str, str, str], Iterator[Row]],
    key: Callable[[Row], Example],
) -> dict[str, Iterable[Row]]:
    """The rows of each split of a corpus: whole documents as its recipe lists them, or shares of all rows.

    Args:
        recipe: the corpus.
        local: its files.
        read: see ``RecipeRows``.
        key: the text and label by which ``split_by_hash`` assigns a row.
    """
    if recipe.shares:
        whole = RecipeRows(recipe, local, read)
        sizes = [1 - sum(recipe.shares.values()), *recipe.shares.values()]
        split_of = cache(lambda: split_by_hash(map(key, whole), sizes))
        return {split: Subset(whole, split_of, number) for number, split in enumerate(("train", *recipe.shares))}

    def split_with(document: str) -> str:
        lists = recipe.lists.items()
        return next((split for split, names in lists if matches_any(document, names)), "train")

    def is_in(split: str) -> Callable[[str], bool]:
        return lambda document: split_with(document) == split

    return {split: RecipeRows(recipe, local, read, is_in(split)) for split in ("train", *recipe.lists)}


# Labelled texts and tagged sentences


def text_key(text: str) -> bytes:
    """A hash of a text's letters, vowel signs and digits, ignoring case; of a text without any, of all of it."""
    if SIGN.search(text):
        text = unicodedata.normalize("NFC", text)  # some are written as one character or as two
    letters = "".join(WORDS.findall(text)).casefold() or text  # text may be emoji only
    return hashlib.sha256(letters.encode()).digest()[:16]


def split_by_hash(examples: Iterable[Example], sizes: Sequence[float | Fraction], *, start: Fraction = ZERO) -> bytes:
    """Assign examples to splits, stratified by label: the split number of each, the same on every machine.

    The texts of each label are ordered by a hash of their letters, vowel signs and digits, ignoring case (or of the
    whole text, if it has none), and the splits are consecutive ranges of that order. So texts that differ only in case,
    spaces and punctuation are in one split, and every split has its share of each label.

    Args:
        examples: texts and labels.
        sizes: the share of each split; they add up to 1. Fractions, such as folds, leave no gaps.
        start: the share of the order before the first split; the ranges wrap around the end.
    """
    keys: list[bytes] = []
    label_of: dict[bytes, str] = {}
    for text, label in examples:
        digest = text_key(text)
        keys.append(digest)
        label_of.setdefault(digest, label)
    of_label: dict[str, list[bytes]] = {}
    for digest in sorted(label_of):
        of_label.setdefault(label_of[digest], []).append(digest)
    ends = [*accumulate(sizes)][:-1]
    split_of: dict[bytes, int] = {}
    for ordered in of_label.values():
        count, first = len(ordered), round(start * len(ordered))
        bounds = [round((start + end) * count) - first for end in ends]
        for place, digest in enumerate(ordered):
            turned = (place - first) % count
            split_of[digest] = sum(turned >= bound for bound in bounds)
    return bytes(split_of[digest] for digest in keys)


# Sentence pairs


def normalized(sentence: str) -> str:
    """A sentence as it is compared with others: casefolded words with single spaces between them."""
    return " ".join(WORDS.findall(unicodedata.normalize("NFKC", sentence).casefold()))


def key(sentence: str) -> int:
    """The first 64 bits of the SHA-256 of the normalized sentence; ``WORDLESS`` if nothing is left of it."""
    words = normalized(sentence)
    return _number(words.encode("utf-8", "surrogatepass")) if words else WORDLESS


def split_pairs(
    pairs: Iterable[Pair], shares: Mapping[str, float], *, at_least: int = 1, at_most: int | None = None
) -> bytes:
    """Split P pairs so that no sentence is in two splits: P bytes, 0 for training, 1 for the first of ``shares``, etc.

    Pairs that share a sentence form a group. The groups are ordered by the SHA-256 of the smallest of their sentences'
    SHA-256s, and each goes to the first split that it still fits into, or to training when the splits are full.
    Groups with a sentence without letters and digits ("?!") go to training, so that such a sentence is in no other
    split. Memory: about 150 bytes per pair, whatever its length.

    Args:
        pairs: read once.
        shares: the share of all pairs for each split but training, rounded, at least one pair.
        at_least: pairs that each of these splits gets even if its share is less, but no more than a tenth of all.
        at_most: the most pairs that each of these splits gets.
    """
    keys = array("Q")
    for source, target in pairs:
        keys.extend((key(source), key(target)))
    both = np.frombuffer(keys, np.uint64).reshape(-1, 2) if keys else np.empty((0, 2), np.uint64)
    group = _groups(both)
    size = np.bincount(group)
    smallest = np.full(len(size), np.iinfo(np.uint64).max, np.uint64)
    trains = np.zeros(len(size), bool)
    for side in both.T:
        np.minimum.at(smallest, group, side)
        trains[group[side == WORDLESS]] = True

    fewest = max(min(at_least, len(group) // 10), 1)
    most = len(group) if at_most is None else at_most
    wanted = [min(max(round(share * len(group)), fewest), most) for share in shares.values()]
    split_of = np.zeros(len(size), np.uint8)
    order = np.fromiter((_number(int(number).to_bytes(8)) for number in smallest), np.uint64, len(smallest))
    for number in np.argsort(order):
        if trains[number]:
            continue
        split = next((split for split, room in enumerate(wanted) if size[number] <= room), None)
        if split is not None:
            wanted[split] -= int(size[number])
            split_of[number] = split + 1
        elif not any(wanted):
            break
    return split_of[group].tobytes()


def shared(training: Iterable[Pair], held_out: Iterable[Pair]) -> int:
    """Count the held-out pairs with a sentence, on the same side, that is also in training."""
    kept = [(key(source), key(target)) for source, target in held_out]
    wanted = _sentence_keys(kept)
    seen: tuple[set[int], set[int]] = (set(), set())
    for pair in training:
        for sentence, keys, hits in zip(pair, wanted, seen, strict=True):
            if (number := key(sentence)) in keys:
                hits.add(number)
    return sum(source in seen[0] or target in seen[1] for source, target in kept)


def overlapping(pairs: Iterable[Pair], held_out: Iterable[Pair]) -> bytes:
    """1 for each pair with a sentence, on the same side, that is also in a held-out pair, else 0."""
    sources, targets = _sentence_keys([(key(source), key(target)) for source, target in held_out])
    return bytes(key(source) in sources or key(target) in targets for source, target in pairs)


def _sentence_keys(pairs: Sequence[tuple[int, int]]) -> tuple[set[int], set[int]]:
    """The keys of the sources and of the targets, without ``WORDLESS``."""
    return {source for source, _ in pairs} - {WORDLESS}, {target for _, target in pairs} - {WORDLESS}


def _number(content: bytes) -> int:
    """The first 64 bits of a SHA-256."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8])


def _groups(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """For keys (P, 2) the group number of each pair (P,), from 0.

    These are the connected components of a graph whose nodes are the sources and the targets, and whose edges are the
    pairs.
    """
    sources, targets = (np.unique(side, return_inverse=True)[1] for side in keys.T)
    nodes = np.stack([sources, targets + len(keys)], axis=1)
    root = np.arange(2 * len(keys))
    while True:
        source_root, target_root = root[nodes].T
        if np.array_equal(source_root, target_root):
            break
        np.minimum.at(root, np.maximum(source_root, target_root), np.minimum(source_root, target_root))
        while not np.array_equal(root, further := root[root]):
            root = further
    return np.unique(source_root, return_inverse=True)[1]
