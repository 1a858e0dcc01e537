"""Rows of data -> parts: as a recipe lists them, as shares of all, or in a user's files of their own.

A row is whatever a task learns from: a text with its label, a sentence with its tags.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
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
from textseq.io.documents import texts_of

WORDS = re.compile(r"[^\W_]+")

WORDLESS = 0
"""The key of a sentence without a letter or a digit."""

SPLIT_VERSION = 1  # to be raised when the same pairs are divided otherwise than before


def normalised(sentence: str) -> str:
    """What counts where sentences are compared: letters and digits, without case, one space for all between them."""
    return " ".join(WORDS.findall(unicodedata.normalize("NFKC", sentence).casefold()))


def key(sentence: str) -> int:
    """The start of the SHA-256 of the normalised sentence, 64 bits; ``WORDLESS`` where nothing is left of it."""
    words = normalised(sentence)
    return _number(words.encode("utf-8", "surrogatepass")) if words else WORDLESS


def split_pairs(
    pairs: Iterable[Pair], shares: Mapping[str, float], *, at_least: int = 1, at_most: int | None = None
) -> bytes:
    """The part of each of P pairs, as P bytes: 0 is training, 1 the first part of ``shares``, and so on.

    The groups come in the order of the SHA-256 of the smallest of their sentences' SHA-256s. Each goes to the first
    part that it still fits into, and to training when the parts are full. Sentences without a letter or digit ("?!")
    join no groups: every group that has one is for training, so that none of them can be in two parts. Memory: about
    150 bytes for each pair, whatever its length.

    Args:
        pairs: read once.
        shares: the share of all pairs that each part but training gets, rounded, at least one pair.
        at_least: pairs that each of these parts is to get even where its share is less, as long as they are no more
            than a tenth of all.
        at_most: pairs that each of these parts gets at most.
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
    places = np.fromiter((_number(int(one).to_bytes(8)) for one in smallest), np.uint64, len(smallest))
    for one in np.argsort(places):
        if trains[one]:
            continue
        split = next((split for split, room in enumerate(wanted) if size[one] <= room), None)
        if split is not None:
            wanted[split] -= int(size[one])
            split_of[one] = split + 1
        elif not any(wanted):
            break
    return split_of[group].tobytes()


def _number(content: bytes) -> int:
    """The first 64 bits of a SHA-256."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8])


def shared(training: Iterable[Pair], held_out: Iterable[Pair]) -> int:
    """How many of the held-out pairs have a sentence, on the same side, that is also in training."""
    kept = [(key(source), key(target)) for source, target in held_out]
    wanted = tuple(set(side) - {WORDLESS} for side in zip(*kept, strict=True)) or (set(), set())
    met: tuple[set[int], set[int]] = (set(), set())
    for pair in training:
        for sentence, some, found in zip(pair, wanted, met, strict=True):
            if (one := key(sentence)) in some:
                found.add(one)
    return sum(source in met[0] or target in met[1] for source, target in kept)


def _groups(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """For keys (P, 2) the number of the group of each pair (P,), counted from 0.

    A graph of two kinds of nodes, the sources and the targets, whose edges are the pairs; its connected components.
    """
    sources, targets = (np.unique(side, return_inverse=True)[1] for side in keys.T)
    nodes = np.stack([sources, targets + len(keys)], axis=1)
    root = np.arange(2 * len(keys))
    while True:
        one, other = root[nodes].T
        if np.array_equal(one, other):
            break
        np.minimum.at(root, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(root, further := root[root]):
            root = further
    return np.unique(one, return_inverse=True)[1]


ZERO = Fraction(0)

NO_LETTERS = re.compile(r"[\W_]+")


Row = TypeVar("Row")


def split_by_hash(examples: Iterable[Example], sizes: Sequence[float | Fraction], *, start: Fraction = ZERO) -> bytes:
    """Deal examples out to parts, the same on every machine: the number of the part of each example.

    The texts of each label are put in the order of a hash of their letters and digits, without case (of a text that has
    none, of all of it), and the parts are stretches of that order. So texts that are alike in these are in one part,
    and every part has its share of each label.

    Args:
        examples: texts and labels.
        sizes: the share of each part; they add up to 1. Fractions of one whole, such as folds, meet without a gap.
        start: where in the order the first part begins, as a share; the order is a ring.
    """
    keys: list[bytes] = []
    label_of: dict[bytes, str] = {}
    for text, label in examples:
        letters = NO_LETTERS.sub("", text).casefold() or text  # of emoji alone, all that there is
        key = hashlib.sha256(letters.encode()).digest()[:16]
        keys.append(key)
        label_of.setdefault(key, label)
    of_label: dict[str, list[bytes]] = {}
    for key in sorted(label_of):
        of_label.setdefault(label_of[key], []).append(key)
    ends = [*accumulate(sizes)][:-1]
    split_of: dict[bytes, int] = {}
    for ordered in of_label.values():
        count, first = len(ordered), round(start * len(ordered))
        bounds = [round((start + end) * count) - first for end in ends]
        for place, key in enumerate(ordered):
            turned = (place - first) % count
            split_of[key] = sum(turned >= bound for bound in bounds)
    return bytes(split_of[key] for key in keys)


@dataclass(frozen=True)
class ConcatDataset(Generic[Row]):
    """The examples of several sources, one after the other."""

    sources: tuple[Iterable[Row], ...]

    def __iter__(self) -> Iterator[Row]:
        for source in self.sources:
            yield from source


@dataclass(frozen=True)
class Subset(Generic[Row]):
    """The examples of one part among all, of which ``part_of()`` tells the numbers of their parts."""

    examples: Iterable[Row]
    split_of: Callable[[], bytes]
    split: int

    def __iter__(self) -> Iterator[Row]:
        numbers, count = self.split_of(), 0
        for count, example in enumerate(self.examples, start=1):
            if count <= len(numbers) and numbers[count - 1] == self.split:
                yield example
        if count != len(numbers):
            raise TextseqError(
                f"a file of texts has changed since it was divided: {count:,} texts where there were {len(numbers):,}; "
                "begin anew"
            )


@dataclass(frozen=True)
class EveryNth(Generic[Row]):
    """The first of some rows, and every n-th after it."""

    rows: Iterable[Row]
    n: int

    def __iter__(self) -> Iterator[Row]:
        return islice(self.rows, 0, None, self.n)


@dataclass(frozen=True)
class RecipeRows(Generic[Row]):
    """The rows of those documents of a recipe that are wanted."""

    recipe: CorpusRecipe
    local: Mapping[str, LocalFile]
    read: Callable[[str, str, str], Iterator[Row]]
    """The rows of a document: of the recipe's file, the document's name, and its text."""
    wanted: Callable[[str], bool] = lambda document: True

    def __iter__(self) -> Iterator[Row]:
        recipe = self.recipe
        for file, found in self.local.items():
            for name, text in texts_of(found.path, recipe.encoding, recipe.members.get(file), self.wanted):
                yield from self.read(file, name, text)


def recipe_splits(
    recipe: CorpusRecipe,
    local: Mapping[str, LocalFile],
    read: Callable[[str, str, str], Iterator[Row]],
    key: Callable[[Row], Example],
) -> dict[str, Iterable[Row]]:
    """The parts of a corpus: whole documents as its recipe lists them, or shares of all rows.

    Args:
        recipe: says which.
        local: its files.
        read: as ``RecipeRows`` has it.
        key: the text and the label by which ``split_by_hash`` deals a row out.
    """
    if recipe.shares:
        whole = RecipeRows(recipe, local, read)
        sizes = [1 - sum(recipe.shares.values()), *recipe.shares.values()]
        split_of = cache(lambda: split_by_hash(map(key, whole), sizes))
        return {split: Subset(whole, split_of, place) for place, split in enumerate(("train", *recipe.shares))}

    def is_of(wanted: str) -> Callable[[str], bool]:
        def fits(document: str) -> bool:
            lists = recipe.lists.items()
            return wanted == next(
                (split for split, names in lists if any(fnmatchcase(document, name) for name in names)), "train"
            )

        return fits

    return {split: RecipeRows(recipe, local, read, is_of(split)) for split in ("train", *recipe.lists)}


def own_splits(
    whole: Iterable[Row], held_out: Iterable[Row] | None, split_of: bytes, validation: float, *, what: str
) -> dict[str, Iterable[Row]]:
    """The parts of a user's own rows.

    Args:
        whole: all rows but those of
        held_out: the files for validation alone; None without such files.
        split_of: the number of each row's part, as ``split_by_hash`` gives it.
        validation: the share that is the second part; 0: all rows are the first.
        what: the rows are, and where they come from, for the message.

    Raises:
        TextseqError: there are too few rows to keep some for validation.
    """
    if held_out is not None:
        return {"train": whole, "validation": held_out}
    if not validation:
        return {"train": whole}
    if len(set(split_of)) < 2:
        raise TextseqError(
            f"too few {what} to keep some for validation ({len(split_of)}); give validation files of their own, or "
            "--validation 0"
        )
    return {split: Subset(whole, lambda: split_of, place) for place, split in enumerate(("train", "validation"))}
