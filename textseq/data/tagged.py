"""Tagged sentences to learn tagging from: a corpus by name (a recipe in ``corpora/``), or a user's own files.

Either gives a ``TaggedDataset``: parts ("train", "validation", "test", as there are), each a series of sentences
(words, tags) that are read from the files as they are asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from textseq.data.corpora.catalog import recipe_of
from textseq.data.corpora.download import find
from textseq.data.corpora.tagged_formats import TAGGED_FORMATS, UNALIGNED
from textseq.data.dataset import SPLITS, check_encoding, check_share, fingerprint_of
from textseq.data.readers.row_errors import OnError, left_out
from textseq.data.readers.tagged import TaggedFile, own_tagged_file
from textseq.data.rows import Tagged
from textseq.data.splits import ConcatDataset, own_splits, recipe_splits, split_by_hash
from textseq.errors import TextseqError, unknown

TAGGED_VERSION = 1  # to be raised when a corpus's files give other sentences, or other parts, than before

LONGEST = 1000
"""Words of a sentence, unless a user says otherwise; far less than a mishap."""


@dataclass(frozen=True)
class TaggedDataset:
    """Tagged sentences, and what is known of them.

    ``labels`` are all tags that there are, in the order of the recipe, or sorted. ``notes`` are sentences that a user
    should read. ``fingerprint`` is a hex SHA-256 of all that decides the sentences and their parts.
    """

    name: str
    title: str
    purpose: str
    fingerprint: str
    labels: tuple[str, ...]
    contents: Mapping[str, Iterable[Tagged]]
    language: str = "unknown"
    licence: str = "unknown"
    encoding: str = "utf-8"
    notes: tuple[str, ...] = ()
    task: str = "tagging"
    aligned: bool = True
    """Whether each word has a tag; otherwise letters are read, and the tags are a sequence of its own."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The parts there are, in the order train, validation, test."""
        return tuple(split for split in SPLITS if split in self.contents)

    def sentences(self, split: str) -> Iterator[Tagged]:
        """The words of each sentence of a part, with their tags, in the order of the files.

        Raises:
            TextseqError: the corpus has no such part; or, while it is read, a file is gone or has changed.
        """
        if split not in self.contents:
            raise unknown(f"part of corpus '{self.name}':", split, self.splits)
        return iter(self.contents[split])


def load_tagged(name: str, *, data_dir: Path | None = None, download: bool = False) -> TaggedDataset:
    """A corpus of tagged sentences by name, every file found and verified.

    Args:
        name: one of the corpora for which ``list_corpora()`` names ``tags``.
        data_dir: the folder to look in first; None means the one that ``TEXTSEQ_DATA`` names, if any.
        download: whether to fetch into the cache what is nowhere on this machine.

    Raises:
        TextseqError: the name is unknown, or a file is missing, wrong or unreadable.
    """
    recipe = recipe_of(name, "tagged sentences", lambda recipe: recipe.tags)
    local = find(recipe, data_dir=data_dir, download=download)
    tag_of = {sign: tag for tag, signs in recipe.tags.items() for sign in signs}

    def read(file: str, document: str, text: str) -> Iterator[Tagged]:
        return TAGGED_FORMATS[recipe.format](text, tag_of)

    return TaggedDataset(
        name=name,
        title=recipe.title,
        purpose=recipe.purpose,
        language=recipe.language,
        licence=recipe.licence,
        encoding=recipe.encoding,
        labels=tuple(recipe.tags),
        fingerprint=fingerprint_of(
            *(TAGGED_VERSION, recipe.encoding, recipe.format, recipe.members, recipe.split),
            *(list(recipe.tags.items()), [(file, found.sha256) for file, found in local.items()]),
        ),
        contents=recipe_splits(recipe, local, read, lambda tagged: ("".join(tagged[0]), "")),
        aligned=recipe.format not in UNALIGNED,
    )


def own_tagged(
    paths: Sequence[Path],
    *,
    word_column: int | None = None,
    tag_column: int | None = None,
    encoding: str = "utf-8",
    validation: float = 0.1,
    validation_paths: Sequence[Path] = (),
    longest: int = LONGEST,
    overlong: OnError = "refuse",
    unreadable: OnError = "refuse",
    fewest_tags: int = 2,
    aligned: bool = True,
) -> TaggedDataset:
    """A user's own tagged sentences, every one of them checked. A file whose name ends in ".gz" is unpacked meanwhile.

    Args:
        paths: files with a word and its tag to a line and an empty line after each sentence (see ``TaggedFile``).
        word_column: the column of the word, from 1, or from -1 backwards; see ``tagged_files.own_tagged_file``.
        tag_column: the same of the tag.
        encoding: any of Python's text encodings.
        validation: the share of the sentences that is the validation part, from 0 (no validation part) to 0.5; equal
            sentences are in one part.
        validation_paths: files of their own for validation, as ``paths``; nothing is then taken from these.
        longest: words that a sentence has at most.
        overlong: "drop" leaves out longer sentences instead of refusing the file.
        unreadable: the same for sentences with a line of too few columns, or bytes that are not text.
        fewest_tags: that there must be.
        aligned: False where every line is a text, a tab and tags between spaces, not aligned with the text's letters.

    Raises:
        TextseqError: a file is missing or damaged; sentences have faults that are not to be left out; there are none,
            or all words have one tag, or validation has a tag that training has not.
    """
    check_share(validation)
    if longest < 1:
        raise TextseqError(f"longest must be 1 word or more, not {longest}; {LONGEST:,} is usual")
    check_encoding(encoding)
    drop = left_out(overlong=overlong, unreadable=unreadable)
    notes: list[str] = []
    digests = {split: hashlib.sha256() for split in ("train", "validation")}
    tags: dict[str, set[str]] = {split: set() for split in digests}

    def opened(some: Sequence[Path]) -> list[TaggedFile]:
        columns = word_column, tag_column
        return [
            own_tagged_file(path, columns, encoding=encoding, longest=longest, drop=drop, aligned=aligned)
            for path in some
        ]

    def surveyed(files: Sequence[TaggedFile], split: str) -> Iterator[tuple[str, str]]:
        """Each sentence as one text, without a label."""
        for file in files:
            for words, its in file.surveyed(notes):
                digests[split].update(repr((words, its)).encode())
                tags[split].update(its)
                yield (" " if aligned else "").join(words), ""

    training, held_out = opened(paths), opened(validation_paths)
    where = ", ".join(map(str, paths))
    split_of = split_by_hash(surveyed(training, "train"), [1 - validation, validation])
    if not split_of:
        raise TextseqError(f"no sentences in {where}: it is empty, or all were left out; name others")
    labels = tuple(sorted(tags["train"]))
    if len(labels) < fewest_tags:
        raise TextseqError(
            f"two tags are wanted or more, found but '{labels[0]}' in {where}; say with --tag-column where the tags are"
        )
    if held_out:
        for _ in surveyed(held_out, "validation"):
            pass
        if not tags["validation"]:
            raise TextseqError(
                f"no sentences for validation in {', '.join(map(str, validation_paths))}; name other files"
            )
        if strange := sorted(tags["validation"] - tags["train"]):
            raise TextseqError(
                f"validation has the tag '{strange[0]}', which training never saw; training has {', '.join(labels)}"
            )
    elif validation:
        digests["validation"].update(split_of)
    splits = ConcatDataset(tuple(training)), ConcatDataset(tuple(held_out)) if held_out else None
    return TaggedDataset(
        name=" and ".join(path.name for path in paths),
        title=where,
        purpose="your own sentences",
        encoding=encoding,
        labels=labels,
        fingerprint=fingerprint_of(TAGGED_VERSION, [digest.hexdigest() for digest in digests.values()]),
        contents=own_splits(*splits, split_of, validation, what=f"sentences in {where}"),
        notes=tuple(notes),
        aligned=aligned,
    )
