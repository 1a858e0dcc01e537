"""Tagged sentences to learn tagging from: a corpus by name (a recipe in ``corpora/``), or one's own files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Unpack

from textseq.data.corpora.catalog import recipe_of
from textseq.data.corpora.download import find
from textseq.data.corpora.tagged_formats import TAGGED_FORMATS, UNALIGNED
from textseq.data.dataset import ReadOptions, RowDataset, Survey, check_labels, corpus_fields
from textseq.data.readers.tagged import own_tagged_file
from textseq.data.rows import Example, Tagged
from textseq.data.spans import find_scheme
from textseq.data.splits import recipe_splits, split_by_hash, text_key

TAGGED_VERSION = 2  # raise when a corpus's files give other sentences, or other splits, than before

LONGEST = 1000
"""Default limit on the words of a sentence; longer ones are mostly mistakes in the file."""


@dataclass(frozen=True, kw_only=True)
class TaggedDataset(RowDataset[Tagged]):
    """Tagged sentences."""

    task: ClassVar[str] = "tagging"

    labels: tuple[str, ...]
    """All tags, in the order of the recipe, or sorted."""
    aligned: bool = True
    """Whether each word has a tag; otherwise the letters of a text are read, and its tags are a separate sequence."""

    @property
    def scheme(self) -> str:
        """The scheme of tags that mark spans, as the training sentences show it; "" for other tags."""
        return self.scheme_found[0]

    @cached_property
    def scheme_found(self) -> tuple[str, int]:
        """The scheme, and how many training sentences fit none; see ``find_scheme``."""
        return find_scheme(self.labels, self.sentences("train")) if self.aligned else ("", 0)

    def sentences(self, split: str) -> Iterator[Tagged]:
        """The words of each sentence of a split, with their tags; see ``rows``."""
        return self.rows(split)


def load_tagged(name: str, *, data_dir: Path | None = None, download: bool = False) -> TaggedDataset:
    """Load a corpus of tagged sentences by name; see ``load_corpus``.

    Names: the corpora for which ``list_corpora()`` gives ``tags``.
    """
    recipe = recipe_of(name, "tagged sentences", lambda recipe: recipe.tags)
    local = find(recipe, data_dir=data_dir, download=download)
    tag_of = {sign: tag for tag, signs in recipe.tags.items() for sign in signs}

    def read(file: str, document: str, text: str) -> Iterator[Tagged]:
        return TAGGED_FORMATS[recipe.format](text, tag_of)

    content = [TAGGED_VERSION, recipe.encoding, recipe.format, recipe.members, recipe.split, list(recipe.tags.items())]
    return TaggedDataset(
        **corpus_fields(recipe, content, local),
        labels=tuple(recipe.tags),
        contents=recipe_splits(recipe, local, read, lambda tagged: ("".join(tagged[0]), "")),
        aligned=recipe.format not in UNALIGNED,
    )


def own_tagged(
    paths: Sequence[Path],
    *,
    word_column: int | None = None,
    tag_column: int | None = None,
    fewest_tags: int = 2,
    aligned: bool = True,
    **options: Unpack[ReadOptions],
) -> TaggedDataset:
    """Open one's own tagged sentences and check all. Compressed files are decompressed while read.

    Args:
        paths: files with one word and its tag per line and an empty line after each sentence (see ``TaggedFile``).
        word_column: the column of the word, from 1, or from -1 backwards; see ``readers.tagged.own_tagged_file``.
        tag_column: the same for the tag.
        fewest_tags: the fewest different tags.
        aligned: False if every line is a text, a tab and tags between spaces, not aligned with the text's letters.
        options: see ``ReadOptions``; equal sentences stay in one split.

    Raises:
        TextseqError: an option is invalid; a file is missing or damaged; sentences have errors that are not to be
            dropped; there are none, or all words have one tag, or validation has a tag that training lacks.
    """
    options = {"longest": LONGEST, **options}
    survey: Survey[Tagged] = Survey("sentences", repr, **options)
    tags: dict[str, set[str]] = {"train": set(), "validation": set()}
    training, held_out = (
        [
            own_tagged_file(
                path,
                (word_column, tag_column),
                encoding=survey.encoding,
                longest=survey.longest,
                drop=survey.drop,
                aligned=aligned,
            )
            for path in some
        ]
        for some in (paths, survey.validation_paths)
    )

    def text_of(sentence: Tagged) -> str:
        return (" " if aligned else "").join(sentence[0])

    def texts(split: str) -> Iterator[str]:
        for sentence in survey.rows(training if split == "train" else held_out, split):
            tags[split].update(sentence[1])
            yield text_of(sentence)

    trained_on: set[bytes] = set()

    def examples() -> Iterator[Example]:
        """The texts of training, without a label."""
        for text in texts("train"):
            if held_out:
                trained_on.add(text_key(text))
            yield text, ""

    split_of = split_by_hash(examples(), [1 - survey.validation, survey.validation])
    if held_out and (leaked := sum(text_key(text) in trained_on for text in texts("validation"))):
        survey.notes.append(f"Validation sentences that are also in training, which flatters: {leaked:,}.")
    labels = tuple(sorted(tags["train"]))
    remedy = "say with --tag-column where the tags are"
    check_labels(labels, tags["validation"], fewest_tags, training, kind="tag", remedy=remedy)
    return TaggedDataset(
        **survey.result(paths, training, held_out, split_of, TAGGED_VERSION, key=lambda row: text_key(text_of(row))),
        labels=labels,
        notes=tuple(survey.notes),
        aligned=aligned,
    )
