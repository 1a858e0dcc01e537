"""Labelled texts to learn classification from: a corpus by name (a recipe in ``corpora/``), or one's own files."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import ClassVar, Unpack

from textseq.data.corpora.catalog import joined_names, list_corpora, recipe_of
from textseq.data.corpora.download import find
from textseq.data.corpora.labelled_formats import FORMATS, NESTED, LabelledPhrases
from textseq.data.corpora.phrase_book import PHRASES_VERSION
from textseq.data.dataset import (
    VALIDATION,
    ReadOptions,
    RowDataset,
    Survey,
    check_labels,
    corpus_fields,
    fingerprint_of,
    names_of,
)
from textseq.data.readers.labelled import read_own_file
from textseq.data.readers.row_errors import SHOWN, OnError
from textseq.data.rows import Example, content_of, split_labels
from textseq.data.splits import ConcatDataset, Subset, recipe_splits, split_by_hash, text_key
from textseq.data.text import ConditionalDataset, TextDataset, load_authors, load_corpus
from textseq.errors import TextseqError

LABELLED_VERSION = 2  # raise when a corpus's files give other examples, or other splits, than before

FOLD = re.compile(r"-fold\d+of\d+$")
"""The end of the name of a fold."""

MISSING = {"nan", "na", "n/a", "#n/a", "<na>", "nat", "null"}
"""How tables write that a value is missing, in any case."""

MANY_LABELS = 20
"""More labels than these must occur twice on average."""

LONGEST = 1_000_000
"""Default limit on the characters of a text; longer ones are mostly mistakes in the file."""


@dataclass(frozen=True, kw_only=True)
class LabelledDataset(RowDataset[Example]):
    """Labelled texts."""

    task: ClassVar[str] = "classification"

    labels: tuple[str, ...]
    """All labels, in the order of the recipe, or sorted."""
    label_sets: tuple[str, ...] = ()
    """The different sets of labels that texts have, as ``rows.join_labels`` gives them; () if each has one label."""
    overlaps: tuple[str, ...] = ()
    """Corpora that share texts with it."""
    same_split: tuple[str, ...] = ()
    """Those of them that are split in the same way: what they train on is not what is tested here."""
    nested: bool = False
    """Whether some texts are parts of others, such as phrases of sentences."""

    @property
    def threshold(self) -> float | None:
        """Probability from which a classifier that has not been measured gives a label; None if it always gives one."""
        return 0.5 if self.label_sets else None

    def examples(self, split: str) -> Iterator[Example]:
        """The texts of a split with their labels; see ``rows``."""
        return self.rows(split)

    def documents(self, split: str) -> Iterator[tuple[str]]:
        """The texts of a split, each a document of one chunk, as ``token_files.token_file`` needs them."""
        return ((text,) for text, _ in self.rows(split))

    def with_validation(self, share: float) -> LabelledDataset:
        """A copy that has a validation split, taken from the training split if there is none (see ``split_by_hash``).

        With a share of 0 it has none: the rows of an existing validation split go to the training split.
        """
        if ("validation" in self.contents) == bool(share):
            return self
        whole, contents = self.contents["train"], {**self.contents}
        if share:
            split_of = cache(lambda: split_by_hash(whole, [1 - share, share]))
            contents |= {split: Subset(whole, split_of, number) for number, split in enumerate(("train", "validation"))}
        else:
            contents["train"] = ConcatDataset((whole, contents.pop("validation")))
        return replace(self, contents=contents, fingerprint=fingerprint_of(self.fingerprint, share))

    def fold(self, number: int, folds: int, *, validation: float = VALIDATION) -> LabelledDataset:
        """The dataset for one round of cross-validation: all its examples, split again.

        Every example is in the test split of one fold. Texts that differ only in case, spaces and punctuation are in
        one fold, and the folds are stratified by label. The folds are the same on every machine.

        Args:
            number: which fold is the test split, from 0.
            folds: the number of folds.
            validation: the share of the others that is kept for validation.

        Raises:
            TextseqError: there is no such fold, or there are too few texts; or some are parts of others, so that
                folds would share them.
        """
        if self.nested:
            raise TextseqError(
                f"--folds: expected independent texts, got sentences and their phrases in '{self.name}'; use "
                f"'{self.name.removesuffix('-phrases')}'"
            )
        if folds < 2 or not 0 <= number < folds:
            raise TextseqError(f"cross-validation: expected at least 2 folds, and one of them, got {number} of {folds}")
        whole = ConcatDataset(tuple(self.contents.values()))
        kept = (1 - Fraction(1, folds)) * Fraction(validation)
        sizes = [Fraction(1, folds), kept, 1 - Fraction(1, folds) - kept]
        # The test split of each fold is a range of one order of all texts; the other splits follow it, around the end.
        split_of = split_by_hash(whole, sizes, start=Fraction(number, folds))
        names = ("test", "validation", "train") if validation else ("test", "", "train")
        contents = {name: Subset(whole, lambda: split_of, place) for place, name in enumerate(names) if name}
        if lacking := [split for place, split in enumerate(names) if split and place not in split_of]:
            raise TextseqError(
                f"{folds} folds of '{self.name}' need more texts than {len(split_of):,}: fold {number + 1} would have "
                f"none for {lacking[0]}; use fewer folds"
            )
        fingerprint = fingerprint_of(self.fingerprint, number, folds, validation)
        return replace(self, contents=contents, fingerprint=fingerprint, name=f"{self.name}-fold{number + 1}of{folds}")


def load_labelled(name: str, *, data_dir: Path | None = None, download: bool = False) -> LabelledDataset:
    """Load a corpus of labelled texts by name; see ``load_corpus``.

    Names: the corpora for which ``list_corpora()`` gives ``labels``; or several that have the same labels, as
    "first+second": each split is that of all of them, and training texts that are in another split are left out, as
    ``split_by_hash`` compares them. With a number, "first+3*second", a corpus's training texts count so many times.

    Raises:
        TextseqError: see ``load_corpus``; or the corpora have different labels, or one has phrases of sentences that
            another tests.
    """
    load = cache(partial(_load_labelled, data_dir=data_dir, download=download))
    first, *others = map(load, joined_names(name))
    return _joined(name, (first, *others)) if others else first


def _joined(name: str, corpora: Sequence[LabelledDataset]) -> LabelledDataset:
    """Several corpora as one; see ``load_labelled``."""
    once = {corpus.name: corpus for corpus in corpora}
    first = corpora[0]
    for corpus in once.values():
        if {*corpus.labels} != {*first.labels}:
            expected, got = (", ".join(one.labels) for one in (first, corpus))
            raise TextseqError(f"corpus '{corpus.name}': expected the labels of '{first.name}' ({expected}), got {got}")
        shared = [other for other in once if other in {*corpus.overlaps} - {*corpus.same_split}]
        if corpus.nested and shared:  # training would have parts of test sentences, which no hash finds
            raise TextseqError(
                f"corpus '{corpus.name}': expected corpora without sentences in common, got '{shared[0]}', whose test "
                f"sentences have phrases there; use '{corpus.name.removesuffix('-phrases')}'"
            )
    held_out = {
        split: ConcatDataset(tuple(corpus.contents[split] for corpus in once.values() if split in corpus.contents))
        for split in ("validation", "test")
        if any(split in corpus.contents for corpus in once.values())
    }
    training = ConcatDataset(tuple(corpus.contents["train"] for corpus in corpora))

    @cache
    def is_held_out() -> bytes:
        keys = {text_key(text) for text, _ in ConcatDataset(tuple(held_out.values()))}
        return bytes(text_key(text) in keys for text, _ in training)

    return replace(
        first,
        name=name,
        title="; ".join(corpus.title for corpus in once.values()),
        purpose="; ".join(corpus.purpose for corpus in once.values()),
        licence="; ".join(dict.fromkeys(corpus.licence for corpus in once.values())),
        fingerprint=fingerprint_of(*(corpus.fingerprint for corpus in corpora)),
        overlaps=tuple({other: None for corpus in once.values() for other in corpus.overlaps if other not in once}),
        same_split=tuple(dict.fromkeys((*once, *(other for corpus in once.values() for other in corpus.same_split)))),
        nested=any(corpus.nested for corpus in once.values()),
        contents={"train": Subset(training, is_held_out, 0), **held_out},
    )


def _load_labelled(name: str, *, data_dir: Path | None, download: bool) -> LabelledDataset:
    """Load a single corpus; see ``load_labelled``."""
    recipe = recipe_of(name, "labelled texts", lambda recipe: recipe.labels)
    local = find(recipe, data_dir=data_dir, download=download)

    def read(file: str, document: str, text: str) -> Iterator[Example]:
        return FORMATS[recipe.formats.get(file, recipe.format)](text, document, recipe.labels)

    content = [LABELLED_VERSION, recipe.encoding, recipe.format, recipe.formats, recipe.members, recipe.split]
    content.append(list(recipe.labels.items()))
    phrases = recipe.phrase_book
    if phrases is None:
        contents = recipe_splits(recipe, local, read, lambda example: example)
        described = corpus_fields(recipe, content, local)
    else:
        contents = {"train": LabelledPhrases(phrases, recipe.labels)}
        described = corpus_fields(recipe, [*content, [], PHRASES_VERSION, phrases])
    return LabelledDataset(
        **described,
        labels=tuple(recipe.labels),
        overlaps=recipe.overlaps,
        same_split=recipe.same_split,
        nested=NESTED in {recipe.format, *recipe.formats.values()},
        contents=contents,
    )


def load_text(
    name: str, *, data_dir: Path | None = None, download: bool = False
) -> TextDataset | LabelledDataset | ConditionalDataset:
    """Load a corpus for a language model by name: a text, texts of several authors, or labelled texts."""
    recipes = {recipe.name: recipe for recipe in list_corpora()}
    if name in recipes and recipes[name].authors:
        return load_authors(recipes[name], data_dir=data_dir, download=download)
    labelled = {recipe.name for recipe in recipes.values() if recipe.labels}
    load = load_labelled if labelled.issuperset(joined_names(name)) else load_corpus
    return load(name, data_dir=data_dir, download=download)


def own_labelled(
    paths: Sequence[Path],
    *,
    text_column: str | None = None,
    label_column: str | None = None,
    empty: OnError = "refuse",
    fewest_labels: int = 2,
    separator: str | None = None,
    vectors: bool = False,
    **options: Unpack[ReadOptions],
) -> LabelledDataset:
    """Open one's own labelled texts and check all. Compressed files are decompressed while read.

    Args:
        paths: tables with a header (.csv, .tsv), JSON lines (.jsonl), or folders with a folder for each label.
        text_column: column or key of the texts; by default one with a usual name (see ``readers.tables``).
        label_column: the same for the labels.
        empty: "drop" drops empty texts instead of refusing the file.
        fewest_labels: the fewest different labels.
        separator: what separates the labels of a text that has several or none; None: each text has one label.
        vectors: the labels are vectors: lists of numbers, or cells with spaces or commas between them.
        options: see ``ReadOptions``; validation is stratified by label, if texts have one (see ``split_by_hash``).

    Raises:
        TextseqError: an option is invalid; a file is missing, damaged or of an unknown kind; texts have errors that are
            not to be dropped; there are none, or all have one label, or validation has a label that training lacks.
    """
    options = {"longest": LONGEST, **options}
    survey = Survey("texts", content_of, empty=empty, **options)
    columns, notes = (text_column, label_column), survey.notes
    training, held_out = (
        [
            read_own_file(
                path,
                columns,
                encoding=survey.encoding,
                notes=notes,
                longest=survey.longest,
                drop=survey.drop,
                separator=separator,
                vectors=vectors,
            )
            for path in some
        ]
        for some in (paths, survey.validation_paths)
    )
    counts: Counter[str] = Counter()
    sets: set[str] = set()
    trained_on: set[bytes] = set()

    def counted(examples: Iterator[Example]) -> Iterator[Example]:
        for text, label in examples:
            if held_out:
                trained_on.add(text_key(text))
            if separator is not None:
                counts.update(split_labels(label))
                sets.add(label)
                yield text, ""  # most sets of labels are too rare to stratify by
                continue
            counts[label] += 1
            yield text, "" if vectors else label

    split_of = split_by_hash(counted(survey.rows(training, "train")), [1 - survey.validation, survey.validation])
    labels = tuple(sorted(counts, key=_by_number))
    held_out_labels: set[str] = set()
    leaked = 0
    for text, label in survey.rows(held_out, "validation") if held_out else ():
        held_out_labels.add(label)
        leaked += text_key(text) in trained_on
    if leaked:
        notes.append(f"Validation texts that are also in training, which flatters: {leaked:,}.")
    if vectors:
        named = survey.result(paths, training, held_out, split_of, LABELLED_VERSION, key=_key)
        return LabelledDataset(**named, labels=tuple(sorted({*labels, *held_out_labels})), notes=tuple(notes))
    if fewest_labels > 1 and MANY_LABELS < len(labels) > len(split_of) / 2:
        raise TextseqError(
            f"{len(labels):,} labels for {len(split_of):,} texts in {names_of(training)} are too many for classes; say "
            "with --label-column where the labels are, or with --multi-label that texts have several"
        )
    notes += _alike(counts)
    remedy = "name files with other labels too"
    if separator is not None:
        sets |= held_out_labels
        held_out_labels = {label for joined in held_out_labels for label in split_labels(joined)}
    check_labels(labels, held_out_labels, fewest_labels, training, kind="label", remedy=remedy)
    return LabelledDataset(
        **survey.result(paths, training, held_out, split_of, LABELLED_VERSION, key=_key),
        labels=labels,
        label_sets=tuple(sorted(sets)),
        notes=tuple(notes),
    )


def _key(example: Example) -> bytes:
    """``text_key`` of an example's text."""
    return text_key(example[0])


def _by_number(label: str) -> tuple[float, str]:
    """A sort key: labels that are numbers first, in numeric order."""
    try:
        return (float(label) if math.isfinite(float(label)) else math.inf), label
    except ValueError:
        return math.inf, label


def _alike(counts: Mapping[str, int]) -> list[str]:
    """Notes on labels that look the same, such as "Good" and "good" or "1" and "1.0", or like missing values."""
    seen: dict[str, str] = {}
    pairs = []
    for label in sorted(counts, key=_by_number):
        number, _ = _by_number(label)
        folded = unicodedata.normalize("NFKC", label).casefold()
        if (other := seen.setdefault(folded if number == math.inf else repr(number), label)) != label:
            pairs.append(f"'{other}' and '{label}'")
    notes = [f"The label '{label}' ({count:,} texts) may stand for a missing value; remove these rows if it does."
             for label, count in counts.items() if label.casefold() in MISSING]  # fmt: skip
    if pairs:
        shown = ", ".join(pairs[:SHOWN]) + ", ..." * (len(pairs) > SHOWN)
        notes.append(f"The labels {shown} are treated as different; spell them the same if they are one.")
    return notes
