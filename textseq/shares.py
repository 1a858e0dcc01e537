"""Rows of data -> parts: as a recipe lists them, as shares of all, or in a user's files of their own.

A row is whatever a task learns from: a text with its label, a sentence with its tags.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from functools import cache
from itertools import accumulate, islice
from typing import Generic, TypeVar

from textseq.corpus_recipes import Recipe
from textseq.errors import TextseqError
from textseq.fetch import LocalFile
from textseq.labelled_files import Example
from textseq.labelled_formats import texts_of

ZERO = Fraction(0)
NO_LETTERS = re.compile(r"[\W_]+")

Row = TypeVar("Row")


def parted(examples: Iterable[Example], sizes: Sequence[float | Fraction], *, start: Fraction = ZERO) -> bytes:
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
    part_of: dict[bytes, int] = {}
    for ordered in of_label.values():
        count, first = len(ordered), round(start * len(ordered))
        bounds = [round((start + end) * count) - first for end in ends]
        for place, key in enumerate(ordered):
            turned = (place - first) % count
            part_of[key] = sum(turned >= bound for bound in bounds)
    return bytes(part_of[key] for key in keys)


@dataclass(frozen=True)
class Chain(Generic[Row]):
    """The examples of several sources, one after the other."""

    sources: tuple[Iterable[Row], ...]

    def __iter__(self) -> Iterator[Row]:
        for source in self.sources:
            yield from source


@dataclass(frozen=True)
class Share(Generic[Row]):
    """The examples of one part among all, of which ``part_of()`` tells the numbers of their parts."""

    examples: Iterable[Row]
    part_of: Callable[[], bytes]
    part: int

    def __iter__(self) -> Iterator[Row]:
        numbers, count = self.part_of(), 0
        for count, example in enumerate(self.examples, start=1):
            if count <= len(numbers) and numbers[count - 1] == self.part:
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

    recipe: Recipe
    local: Mapping[str, LocalFile]
    read: Callable[[str, str, str], Iterator[Row]]
    """The rows of a document: of the recipe's file, the document's name, and its text."""
    wanted: Callable[[str], bool] = lambda document: True

    def __iter__(self) -> Iterator[Row]:
        recipe = self.recipe
        for file, found in self.local.items():
            for name, text in texts_of(found.path, recipe.encoding, recipe.members.get(file), self.wanted):
                yield from self.read(file, name, text)


def recipe_parts(
    recipe: Recipe,
    local: Mapping[str, LocalFile],
    read: Callable[[str, str, str], Iterator[Row]],
    key: Callable[[Row], Example],
) -> dict[str, Iterable[Row]]:
    """The parts of a corpus: whole documents as its recipe lists them, or shares of all rows.

    Args:
        recipe: says which.
        local: its files.
        read: as ``RecipeRows`` has it.
        key: the text and the label by which ``parted`` deals a row out.
    """
    if recipe.shares:
        whole = RecipeRows(recipe, local, read)
        sizes = [1 - sum(recipe.shares.values()), *recipe.shares.values()]
        part_of = cache(lambda: parted(map(key, whole), sizes))
        return {part: Share(whole, part_of, place) for place, part in enumerate(("train", *recipe.shares))}

    def is_of(wanted: str) -> Callable[[str], bool]:
        def fits(document: str) -> bool:
            lists = recipe.lists.items()
            return wanted == next(
                (part for part, names in lists if any(fnmatchcase(document, name) for name in names)), "train"
            )

        return fits

    return {part: RecipeRows(recipe, local, read, is_of(part)) for part in ("train", *recipe.lists)}


def own_parts(
    whole: Iterable[Row], held_out: Iterable[Row] | None, part_of: bytes, validation: float, *, what: str
) -> dict[str, Iterable[Row]]:
    """The parts of a user's own rows.

    Args:
        whole: all rows but those of
        held_out: the files for validation alone; None without such files.
        part_of: the number of each row's part, as ``parted`` gives it.
        validation: the share that is the second part; 0: all rows are the first.
        what: the rows are, and where they come from, for the message.

    Raises:
        TextseqError: there are too few rows to keep some for validation.
    """
    if held_out is not None:
        return {"train": whole, "validation": held_out}
    if not validation:
        return {"train": whole}
    if len(set(part_of)) < 2:
        raise TextseqError(
            f"too few {what} to keep some for validation ({len(part_of)}); give validation files of their own, or "
            "--validation 0"
        )
    return {part: Share(whole, lambda: part_of, place) for place, part in enumerate(("train", "validation"))}
