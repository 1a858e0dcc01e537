"""What all datasets share: splits, notes and fingerprint, and how a corpus or one's own files are opened."""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypedDict, TypeVar

from textseq.data.corpora.catalog import CorpusRecipe
from textseq.data.corpora.download import LocalFile
from textseq.data.corpora.text_formats import CorpusDocument, members
from textseq.data.readers.row_errors import OnError, RowFile, kinds_to_drop
from textseq.data.splits import ConcatDataset, Subset
from textseq.errors import TextseqError, unknown
from textseq.io.counting import counted
from textseq.io.documents.document import Document, shown_name

SPLITS = ("train", "validation", "test")

VALIDATION = 0.1
"""Default share of one's own rows or text that is kept for validation."""

Row = TypeVar("Row", covariant=True)

Checked = TypeVar("Checked")


class Dataset(Protocol):
    """What every task needs of its dataset."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def licence(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def splits(self) -> tuple[str, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, kw_only=True)
class RowDataset(Generic[Row]):
    """Rows in splits, read from the files each time, and their metadata."""

    name: str
    title: str
    purpose: str
    fingerprint: str
    """Hex SHA-256 of everything that determines the rows and their splits."""
    contents: Mapping[str, Iterable[Row]]
    """The rows of each split."""
    language: str = "unknown"
    licence: str = "unknown"
    encoding: str = "utf-8"
    notes: tuple[str, ...] = ()
    """Sentences that the user should read."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits, in the order train, validation, test, further ones."""
        return tuple(sorted(self.contents, key=(*SPLITS, *self.contents).index))

    def rows(self, split: str) -> Iterator[Row]:
        """The rows of a split, in the order of the files.

        Raises:
            TextseqError: there is no such split; or, while it is read, a file is gone or has changed.
        """
        if split not in self.contents:
            raise unknown(f"split of '{self.name}'", split, self.splits)
        return iter(self.contents[split])


# Corpora


class _CorpusFields(TypedDict):
    name: str
    title: str
    purpose: str
    language: str
    licence: str
    encoding: str
    fingerprint: str


def corpus_fields(
    recipe: CorpusRecipe, content: Sequence[object], local: Mapping[str, LocalFile] | None = None
) -> _CorpusFields:
    """The fields of a dataset that its recipe states, and its fingerprint.

    Args:
        recipe: the corpus.
        content: what determines the rows and their splits, besides the files.
        local: the files, if there are any.
    """
    return {
        "name": recipe.name,
        "title": recipe.title,
        "purpose": recipe.purpose,
        "language": recipe.language,
        "licence": recipe.licence,
        "encoding": recipe.encoding,
        "fingerprint": fingerprint_of(*content, *([] if local is None else [_hashes(local)])),
    }


def documents_of(recipe: CorpusRecipe, local: Mapping[str, LocalFile]) -> dict[str, Document]:
    """The documents of a recipe by name: a file's own name or, in an archive, the members' names."""
    documents: dict[str, Document] = {}
    for name, file in local.items():
        whole = CorpusDocument(file.path, recipe.encoding, format=recipe.formats.get(name, recipe.format))
        if name in recipe.members:
            names = members(file.path, recipe.members[name])
            documents |= {member: replace(whole, member=member) for member in names}
        else:
            documents[name] = whole
    return documents


def _hashes(local: Mapping[str, LocalFile]) -> list[tuple[str, str]]:
    """The name and SHA-256 of each file."""
    return [(name, file.sha256) for name, file in local.items()]


def fingerprint_of(*content: object) -> str:
    """The hex SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


# One's own files


def check_encoding(encoding: str) -> None:
    """Raise a TextseqError unless it is one of Python's text encodings."""
    try:
        codecs.getincrementaldecoder(encoding)
        "a".encode(encoding)  # refuses codecs that are not for text, such as hex
    except (LookupError, ValueError) as error:
        raise TextseqError(f"unknown encoding '{encoding}'; usual are utf-8, latin-1, cp1252") from error


def check_options(encoding: str, validation: float) -> None:
    """Raise a TextseqError unless the encoding is known and validation is a valid share."""
    if not 0 <= validation <= 0.5:
        raise TextseqError(f"validation: expected a share between 0 and 0.5, got {validation}")
    check_encoding(encoding)


class ReadOptions(TypedDict, total=False):
    """How one's own files are read, checked and split."""

    encoding: str
    """Any of Python's text encodings; by default UTF-8."""
    validation: float
    """The share of the rows for validation, from 0 (none) to 0.5."""
    validation_paths: Sequence[Path] | None
    """Separate files for validation, in the same form; ``validation`` is then ignored. None: no flag names any."""
    longest: int
    """The longest row: characters of a text or sentence, or words of a tagged sentence."""
    overlong: OnError
    """"drop" drops longer rows instead of refusing the file."""
    unreadable: OnError
    """The same for rows with too few columns or fields, damaged JSON, bytes that are not text."""


class _OwnRows(TypedDict, Generic[Checked]):
    name: str
    title: str
    purpose: str
    encoding: str
    contents: Mapping[str, Iterable[Checked]]
    fingerprint: str


class Survey(Generic[Checked]):
    """The first reading of one's own files: checks and hashes all rows and collects notes.

    Args:
        unit: what a row is, in the plural.
        content: everything that determines a row, as a string.
        empty: what to do with empty rows, as in ``ReadOptions``, which the other arguments are.

    Raises:
        TextseqError: an option is invalid.
    """

    def __init__(
        self,
        unit: str,
        content: Callable[[Checked], str],
        *,
        encoding: str = "utf-8",
        validation: float = VALIDATION,
        validation_paths: Sequence[Path] | None = (),
        longest: int = 1,
        empty: OnError = "refuse",
        overlong: OnError = "refuse",
        unreadable: OnError = "refuse",
    ) -> None:
        check_options(encoding, validation)
        if longest < 1:
            raise TextseqError(f"longest: expected at least 1, got {longest}")
        self.unit, self.content, self.encoding, self.longest = unit, content, encoding, longest
        self.validation, self.validation_paths = validation, validation_paths or ()
        self.may_name_validation = validation_paths is not None
        self.drop = kinds_to_drop(empty=empty, overlong=overlong, unreadable=unreadable)
        self.notes: list[str] = []
        self.digests = {split: hashlib.sha256() for split in SPLITS[:2]}

    def rows(self, files: Sequence[RowFile[Checked]], split: str) -> Iterator[Checked]:
        """The rows of the files of a split.

        Raises:
            TextseqError: there are none, or a file cannot be read or has row errors that are not to be dropped.
        """
        empty = True
        for file in files:
            for row in counted(file.surveyed(self.notes), f"{self.unit} read of {file.name}"):
                self.digests[split].update(self.content(row).encode())
                empty = False
                yield row
        if empty:
            purpose = " for validation" if split == "validation" else ""
            raise TextseqError(
                f"no {self.unit}{purpose} in {names_of(files)}: it is empty, or all rows were dropped; name other files"
            )

    def result(
        self,
        paths: Sequence[Path],
        training: Sequence[RowFile[Checked]],
        held_out: Sequence[RowFile[Checked]],
        split_of: bytes,
        version: int,
        *,
        key: Callable[[Checked], object] | None = None,
    ) -> _OwnRows[Checked]:
        """The fields of the dataset, once all rows are read.

        Args:
            paths: the files as the user names them.
            training: all files but
            held_out: separate files for validation, if any.
            split_of: the split number of each row of ``training``, 1 for validation.
            version: of the splits and rows, for the fingerprint.
            key: equal for rows that are kept in one split as they differ in case and punctuation only, for the error.

        Raises:
            TextseqError: there are too few rows to keep some for validation.
        """
        contents: dict[str, Iterable[Checked]] = {"train": (whole := ConcatDataset(tuple(training)))}
        if held_out:
            contents["validation"] = ConcatDataset(tuple(held_out))
        elif self.validation:
            if len(set(split_of)) < 2:
                count = f"{len(split_of)}"
                if key is not None and (different := len(set(map(key, whole)))) < len(split_of):
                    count += f", but only {different} without those that differ in case and punctuation at most"
                remedy = f"add more {self.unit}"
                if len(split_of) > 1:
                    remedy = "give separate validation files" if self.may_name_validation else remedy
                    remedy += ", or --validation 0"
                raise TextseqError(
                    f"too few {self.unit} in {names_of(training)} to keep some for validation ({count}); {remedy}"
                )
            self.digests["validation"].update(split_of)
            contents = {
                split: Subset(whole, partial(bytes, split_of), number) for number, split in enumerate(SPLITS[:2])
            }
        names = [Path(shown_name(path)).name for path in paths]
        return {
            "name": " and ".join(names),
            "title": ", ".join(names),
            "purpose": f"your own {self.unit}",
            "encoding": self.encoding,
            "contents": contents,
            "fingerprint": fingerprint_of(version, [digest.hexdigest() for digest in self.digests.values()]),
        }


def names_of(files: Sequence[RowFile[object]]) -> str:
    """How an error names some files."""
    return ", ".join(file.name for file in files)


def check_labels(
    labels: Sequence[str],
    held_out: Collection[str],
    fewest: int,
    training: Sequence[RowFile[object]],
    *,
    kind: str,
    remedy: str,
) -> None:
    """Raise a TextseqError if training has fewer labels than it must, or validation has one that training lacks."""
    if len(labels) < fewest:
        got = f"only '{labels[0]}'" if labels else "none"
        raise TextseqError(f"expected at least {fewest} {kind}s, got {got} in {names_of(training)}; {remedy}")
    if unseen := sorted(set(held_out) - set(labels)):
        raise TextseqError(
            f"validation has the {kind} '{unseen[0]}', which training lacks; training has {', '.join(labels)}"
        )
