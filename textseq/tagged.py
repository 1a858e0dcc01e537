"""Tagged sentences to learn tagging from: a corpus by name (a recipe in ``corpora/``), or a user's own files.

Either gives a ``TaggedCorpus``: parts ("train", "validation", "test", as there are), each a series of sentences (words,
tags) that are read from the files as they are asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from textseq.corpus import PARTS, check_encoding, fingerprint_of
from textseq.errors import TextseqError, unknown
from textseq.faults import Treatment, left_out
from textseq.fetch import LocalFile, Recipe, find, read_recipe, recipe_files
from textseq.labelled import Chain, Share, parted
from textseq.labelled_formats import texts_of
from textseq.tagged_files import TAGGED_FORMATS, UNALIGNED, Tagged, TaggedFile, own_tagged_file

TAGGED_VERSION = 1  # to be raised when a corpus's files give other sentences, or other parts, than before
LONGEST = 1000
"""Words of a sentence, unless a user says otherwise; far less than a mishap."""


@dataclass(frozen=True)
class TaggedCorpus:
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
    task: str = "tagger"
    aligned: bool = True
    """Whether each word has a tag; otherwise letters are read, and the tags are a sequence of its own."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts there are, in the order train, validation, test."""
        return tuple(part for part in PARTS if part in self.contents)

    def sentences(self, part: str) -> Iterator[Tagged]:
        """The words of each sentence of a part, with their tags, in the order of the files.

        Raises:
            TextseqError: the corpus has no such part; or, while it is read, a file is gone or has changed.
        """
        if part not in self.contents:
            raise unknown(f"part of corpus '{self.name}':", part, self.parts)
        return iter(self.contents[part])


def load_tagged(name: str, *, data: Path | None = None, download: bool = False) -> TaggedCorpus:
    """A corpus of tagged sentences by name, every file found and verified.

    Args:
        name: one of the corpora for which ``list_corpora()`` names ``tags``.
        data: the folder to look in first; None means the one that ``TEXTSEQ_DATA`` names, if any.
        download: whether to fetch into the cache what is nowhere on this machine.

    Raises:
        TextseqError: the name is unknown, or a file is missing, wrong or unreadable.
    """
    texts = recipe_files()
    if name not in texts:
        raise unknown("corpus", name, texts)
    recipe = read_recipe(name, texts[name])
    if not recipe.tags:
        tagged = [other for other, text in texts.items() if read_recipe(other, text).tags]
        raise TextseqError(f"corpus '{name}' is for a {recipe.task}; of tagged sentences are {', '.join(tagged)}")
    local = find(recipe, data=data, download=download)
    return TaggedCorpus(
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
        contents=_contents(recipe, local),
        aligned=recipe.format not in UNALIGNED,
    )


def _contents(recipe: Recipe, local: Mapping[str, LocalFile]) -> dict[str, Iterable[Tagged]]:
    """The parts: whole documents as the recipe lists them, or shares of all that is read."""
    if not recipe.shares:
        return {part: _RecipeSentences(recipe, local, part) for part in ("train", *recipe.lists)}
    whole = _RecipeSentences(recipe, local, "train")
    sizes = [1 - sum(recipe.shares.values()), *recipe.shares.values()]
    part_of = cache(lambda: parted((("".join(letters), "") for letters, _ in whole), sizes))
    return {part: Share(whole, part_of, place) for place, part in enumerate(("train", *recipe.shares))}


@dataclass(frozen=True)
class _RecipeSentences:
    """The sentences of those documents of a recipe that are of a part."""

    recipe: Recipe
    local: Mapping[str, LocalFile]
    part: str

    def __iter__(self) -> Iterator[Tagged]:
        recipe = self.recipe
        tag_of = {sign: tag for tag, signs in recipe.tags.items() for sign in signs}
        for file, found in self.local.items():
            for _, text in texts_of(found.path, recipe.encoding, recipe.members.get(file), self._wants):
                yield from TAGGED_FORMATS[recipe.format](text, tag_of)

    def _wants(self, document: str) -> bool:
        lists = self.recipe.lists.items()
        listed = (part for part, names in lists if any(fnmatchcase(document, name) for name in names))
        return next(listed, "train") == self.part


def own_tagged(
    paths: Sequence[Path],
    *,
    word_column: int | None = None,
    tag_column: int | None = None,
    encoding: str = "utf-8",
    validation: float = 0.1,
    validation_paths: Sequence[Path] = (),
    longest: int = LONGEST,
    overlong: Treatment = "refuse",
    unreadable: Treatment = "refuse",
    fewest_tags: int = 2,
    aligned: bool = True,
) -> TaggedCorpus:
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
    if not 0 <= validation <= 0.5:
        raise TextseqError(f"validation must be a share between 0 and 0.5, not {validation}; 0.1 is usual")
    if longest < 1:
        raise TextseqError(f"longest must be 1 word or more, not {longest}; {LONGEST:,} is usual")
    check_encoding(encoding)
    drop = left_out(overlong=overlong, unreadable=unreadable)
    notes: list[str] = []
    digests = {part: hashlib.sha256() for part in ("train", "validation")}
    tags: dict[str, set[str]] = {part: set() for part in digests}

    def opened(some: Sequence[Path]) -> list[TaggedFile]:
        columns = word_column, tag_column
        return [
            own_tagged_file(path, columns, encoding=encoding, longest=longest, drop=drop, aligned=aligned)
            for path in some
        ]

    def surveyed(files: Sequence[TaggedFile], part: str) -> Iterator[tuple[str, str]]:
        """Each sentence as one text, without a label."""
        for file in files:
            for words, its in file.surveyed(notes):
                digests[part].update(repr((words, its)).encode())
                tags[part].update(its)
                yield (" " if aligned else "").join(words), ""

    training = opened(paths)
    where = ", ".join(map(str, paths))
    part_of = parted(surveyed(training, "train"), [1 - validation, validation])
    if not part_of:
        raise TextseqError(f"no sentences in {where}: it is empty, or all were left out; name others")
    labels = tuple(sorted(tags["train"]))
    if len(labels) < fewest_tags:
        raise TextseqError(
            f"two tags are wanted or more, found but '{labels[0]}' in {where}; say with --tag-column where the tags are"
        )
    contents: dict[str, Iterable[Tagged]] = {"train": Chain(tuple(training))}
    if validation_paths:
        held_out = opened(validation_paths)
        for _ in surveyed(held_out, "validation"):
            pass
        if strange := sorted(tags["validation"] - tags["train"]):
            raise TextseqError(
                f"validation has the tag '{strange[0]}', which training never saw; training has {', '.join(labels)}"
            )
        contents["validation"] = Chain(tuple(held_out))
    elif validation:
        if len(set(part_of)) < 2:
            raise TextseqError(
                f"{where} has too few sentences to keep some for validation ({len(part_of)}); give validation files of "
                "their own, or --validation 0"
            )
        contents = {part: Share(contents["train"], lambda: part_of, place) for place, part in enumerate(digests)}
        digests["validation"].update(part_of)
    return TaggedCorpus(
        name=" and ".join(path.name for path in paths),
        title=where,
        purpose="your own sentences",
        encoding=encoding,
        labels=labels,
        fingerprint=fingerprint_of(TAGGED_VERSION, [digest.hexdigest() for digest in digests.values()]),
        contents=contents,
        notes=tuple(notes),
        aligned=aligned,
    )
