"""Labelled texts to learn classification from: a corpus by name (a recipe in ``corpora/``), or a user's own files.

Either gives a ``LabelledDataset``: parts ("train", "validation", "test", as there are), each a series of examples
(text, label) that are read from the files as they are asked for.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path

from textseq.data.corpora.catalog import list_corpora, recipe_of
from textseq.data.corpora.download import find
from textseq.data.corpora.labelled_formats import FORMATS, NESTED
from textseq.data.dataset import SPLITS, check_encoding, check_share, fingerprint_of
from textseq.data.readers.labelled import LabelledFile, LabelledFolder, read_own_file
from textseq.data.readers.row_errors import OnError, left_out
from textseq.data.rows import Example
from textseq.data.splits import ConcatDataset, Subset, own_splits, recipe_splits, split_by_hash
from textseq.data.text import TextDataset, load_corpus
from textseq.errors import TextseqError, unknown

LABELLED_VERSION = 1  # to be raised when a corpus's files give other examples, or other parts, than before

FOLD = re.compile(r"-fold\d+of\d+$")
"""The end of the name of a corpus that was parted anew."""

MANY_LABELS = 20
"""More labels than these must come twice on average."""

LONGEST = 1_000_000
"""Characters of a text, unless a user says otherwise; far less than a mishap."""


@dataclass(frozen=True)
class LabelledDataset:
    """Labelled texts, and what is known of them.

    ``labels`` are all that there are, in the order of the recipe, or sorted. ``notes`` are sentences that a user should
    read. ``fingerprint`` is a hex SHA-256 of all that decides the examples and their parts.
    """

    name: str
    title: str
    purpose: str
    fingerprint: str
    labels: tuple[str, ...]
    contents: Mapping[str, Iterable[Example]]
    language: str = "unknown"
    licence: str = "unknown"
    encoding: str = "utf-8"
    notes: tuple[str, ...] = ()
    task: str = "classification"
    overlaps: tuple[str, ...] = ()
    """Corpora that share texts with it."""
    same_split: tuple[str, ...] = ()
    """Those of them that are parted in the same way: what they train on is not what is tested here."""
    nested: bool = False
    """Whether there are texts that are parts of others, such as phrases of sentences."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The parts there are, in the order train, validation, test."""
        return tuple(split for split in SPLITS if split in self.contents)

    def examples(self, split: str) -> Iterator[Example]:
        """The texts of a part with their labels, in the order of the files.

        Raises:
            TextseqError: the corpus has no such part; or, while it is read, a file is gone or has changed.
        """
        if split not in self.contents:
            raise unknown(f"part of corpus '{self.name}':", split, self.splits)
        return iter(self.contents[split])

    def documents(self, split: str) -> Iterator[tuple[str]]:
        """The texts of a part, each a document of one chunk: what ``tokens.token_file`` wants."""
        return ((text,) for text, _ in self.examples(split))

    def with_validation(self, share: float) -> LabelledDataset:
        """The same corpus; where it has no validation part, a share of the training part is that (see
        ``split_by_hash``).

        With a share of 0 there is none: what the corpus keeps for validation is in the training part.
        """
        if ("validation" in self.contents) == bool(share):
            return self
        whole = self.contents["train"]
        if not share:
            contents = {split: rows for split, rows in self.contents.items() if split != "validation"}
            contents["train"] = ConcatDataset((whole, self.contents["validation"]))
            return replace(self, contents=contents, fingerprint=fingerprint_of(self.fingerprint, share))
        split_of = cache(lambda: split_by_hash(whole, [1 - share, share]))
        divided = {split: Subset(whole, split_of, place) for place, split in enumerate(("train", "validation"))}
        return replace(self, contents={**self.contents, **divided}, fingerprint=fingerprint_of(self.fingerprint, share))

    def fold(self, number: int, folds: int, *, validation: float = 0.1) -> LabelledDataset:
        """The corpus for one round of cross-validation: all its examples, parted anew.

        Every example is in the test part of one fold. Texts that differ in case, spaces and marks alone are in one
        fold, and the labels are spread over the folds alike. The folds are the same on every machine.

        Args:
            number: of the fold that is the test, from 0.
            folds: how many there are.
            validation: share of the others that is kept for validation.

        Raises:
            TextseqError: there is no such fold, or there are too few texts; or some are parts of others, so that
                folds would share them.
        """
        if self.nested:
            raise TextseqError(
                f"--folds wants texts that stand by themselves, found sentences and their phrases in '{self.name}'; "
                f"take '{self.name.removesuffix('-phrases')}'"
            )
        if folds < 2 or not 0 <= number < folds:
            raise TextseqError(f"cross-validation wants 2 folds or more, and one of them; found {number} of {folds}")
        whole = ConcatDataset(tuple(self.contents.values()))
        kept = (1 - Fraction(1, folds)) * Fraction(validation)
        sizes = [Fraction(1, folds), kept, 1 - Fraction(1, folds) - kept]
        # The test of each fold is a stretch of one order of all texts; what follows it, round the end, is the others.
        split_of = split_by_hash(whole, sizes, start=Fraction(number, folds))
        names = ("test", "validation", "train") if validation else ("test", "", "train")
        contents = {name: Subset(whole, lambda: split_of, place) for place, name in enumerate(names) if name}
        if lacking := [split for place, split in enumerate(names) if split and place not in split_of]:
            raise TextseqError(
                f"{folds} folds of '{self.name}' want more texts than {len(split_of):,}: fold {number + 1} would have "
                f"none for {lacking[0]}; ask for fewer"
            )
        fingerprint = fingerprint_of(self.fingerprint, number, folds, validation)
        return replace(self, contents=contents, fingerprint=fingerprint, name=f"{self.name}-fold{number + 1}of{folds}")


def load_labelled(name: str, *, data_dir: Path | None = None, download: bool = False) -> LabelledDataset:
    """A corpus of labelled texts by name, every file found and verified.

    Args:
        name: one of the corpora for which ``list_corpora()`` names ``labels``.
        data_dir: the folder to look in first; None means the one that ``TEXTSEQ_DATA`` names, if any.
        download: whether to fetch into the cache what is nowhere on this machine.

    Raises:
        TextseqError: the name is unknown, or a file is missing, wrong or unreadable.
    """
    recipe = recipe_of(name, "labelled texts", lambda recipe: recipe.labels)
    local = find(recipe, data_dir=data_dir, download=download)

    def read(file: str, document: str, text: str) -> Iterator[Example]:
        return FORMATS[recipe.formats.get(file, recipe.format)](text, document, recipe.labels)

    return LabelledDataset(
        name=name,
        title=recipe.title,
        purpose=recipe.purpose,
        language=recipe.language,
        licence=recipe.licence,
        encoding=recipe.encoding,
        labels=tuple(recipe.labels),
        overlaps=recipe.overlaps,
        same_split=recipe.same_split,
        nested=NESTED in {recipe.format, *recipe.formats.values()},
        fingerprint=fingerprint_of(
            *(LABELLED_VERSION, recipe.encoding, recipe.format, recipe.formats, recipe.members, recipe.split),
            *(list(recipe.labels.items()), [(file, found.sha256) for file, found in local.items()]),
        ),
        contents=recipe_splits(recipe, local, read, lambda example: example),
    )


def load_text(name: str, *, data_dir: Path | None = None, download: bool = False) -> TextDataset | LabelledDataset:
    """A corpus to learn to write from, by name: a text, or labelled texts, of which the labels do not matter.

    Raises:
        TextseqError: as ``corpus.load_corpus``.
    """
    labelled = {recipe.name for recipe in list_corpora() if recipe.labels}
    return (load_labelled if name in labelled else load_corpus)(name, data_dir=data_dir, download=download)


def own_labelled(
    paths: Sequence[Path],
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    encoding: str = "utf-8",
    validation: float = 0.1,
    validation_paths: Sequence[Path] = (),
    longest: int = LONGEST,
    empty: OnError = "refuse",
    overlong: OnError = "refuse",
    unreadable: OnError = "refuse",
    fewest_labels: int = 2,
) -> LabelledDataset:
    """A user's own labelled texts, every one of them checked. A file whose name ends in ".gz" is unpacked meanwhile.

    Args:
        paths: tables with a header (.csv, .tsv), JSON lines (.jsonl), or folders with a folder for each label.
        text_column: the texts' column or key; without it one that is known by its name (see ``labelled_files``).
        label_column: the same of the labels.
        encoding: any of Python's text encodings.
        validation: the share of the texts that is the validation part, of every label alike (see
            ``split_by_hash``), from 0 (no validation part) to 0.5.
        validation_paths: files of their own for validation, as ``paths``; nothing is then taken from these.
        longest: characters that a text has at most.
        empty: "drop" leaves out empty texts instead of refusing the file.
        overlong: the same for texts that are longer than ``longest``.
        unreadable: the same for rows with too few columns, no label, damaged JSON, bytes that are not text.
        fewest_labels: that there must be.

    Raises:
        TextseqError: a file is missing, damaged or of an unknown kind; texts have faults that are not to be left out;
            there are none, or all have one label, or validation has a label that training has not.
    """
    check_share(validation)
    if longest < 1:
        raise TextseqError(f"longest must be 1 character or more, not {longest}; {LONGEST:,} is usual")
    check_encoding(encoding)
    drop = left_out(empty=empty, overlong=overlong, unreadable=unreadable)
    notes: list[str] = []
    digests = {split: hashlib.sha256() for split in ("train", "validation")}
    counts: dict[str, dict[str, int]] = {split: {} for split in digests}

    def opened(some: Sequence[Path]) -> list[LabelledFile | LabelledFolder]:
        columns = text_column, label_column
        return [
            read_own_file(path, columns, encoding=encoding, notes=notes, longest=longest, drop=drop) for path in some
        ]

    def surveyed(files: Sequence[LabelledFile | LabelledFolder], split: str) -> Iterator[Example]:
        for file in files:
            for text, label in file.surveyed(notes):
                digests[split].update(f"{len(text)} {len(label)} {text}{label}".encode())
                counts[split][label] = counts[split].get(label, 0) + 1
                yield text, label

    training, held_out = opened(paths), opened(validation_paths)
    split_of = split_by_hash(surveyed(training, "train"), [1 - validation, validation])
    where = ", ".join(map(str, paths))
    if not split_of:
        raise TextseqError(f"no texts in {where}: it is empty, or all were left out; name others")
    labels = tuple(sorted(counts["train"], key=_by_number))
    if len(labels) < fewest_labels:
        raise TextseqError(f"two labels are wanted or more, found but '{labels[0]}' in {where}; name what has others")
    if fewest_labels > 1 and MANY_LABELS < len(labels) > len(split_of) / 2:
        raise TextseqError(
            f"{len(labels):,} labels for {len(split_of):,} texts in {where} are no classes but names; say with "
            "--label-column where the labels are"
        )
    notes += _alike(labels)
    if held_out:
        for _ in surveyed(held_out, "validation"):
            pass
        if not counts["validation"]:
            raise TextseqError(f"no texts for validation in {', '.join(map(str, validation_paths))}; name other files")
        if strange := sorted(set(counts["validation"]) - set(labels)):
            raise TextseqError(
                f"validation has the label '{strange[0]}', which training never saw; training has {', '.join(labels)}"
            )
    elif validation:
        digests["validation"].update(split_of)
    splits = ConcatDataset(tuple(training)), ConcatDataset(tuple(held_out)) if held_out else None
    return LabelledDataset(
        name=" and ".join(path.name for path in paths),
        title=where,
        purpose="your own texts",
        encoding=encoding,
        labels=labels,
        fingerprint=fingerprint_of(LABELLED_VERSION, [digest.hexdigest() for digest in digests.values()]),
        contents=own_splits(*splits, split_of, validation, what=f"texts in {where}"),
        notes=tuple(notes),
    )


def _by_number(label: str) -> tuple[float, str]:
    """Labels that are numbers come first, in their order, and then the others."""
    try:
        return (float(label) if math.isfinite(float(label)) else math.inf), label
    except ValueError:
        return math.inf, label


def _alike(labels: Sequence[str]) -> list[str]:
    """A note on labels that only look different, such as "Good" and "good"."""
    seen: dict[str, str] = {}
    for label in labels:
        other = seen.setdefault(unicodedata.normalize("NFKC", label).casefold(), label)
        if other != label:
            return [f"The labels '{other}' and '{label}' are taken for two; write them alike if they are one."]
    return []
