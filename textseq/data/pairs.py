"""Sentence pairs to learn translation from: a corpus by name (a recipe in ``corpora/``), or one's own files."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import ClassVar, Literal, Unpack

from textseq.data.corpora.catalog import CorpusRecipe, joined_names, recipe_of
from textseq.data.corpora.download import find
from textseq.data.corpora.phrase_book import PHRASES_VERSION, PhrasePairs
from textseq.data.dataset import (
    ReadOptions,
    RowDataset,
    Survey,
    corpus_fields,
    documents_of,
    fingerprint_of,
)
from textseq.data.readers.pairs import UNKNOWN, PairFile, cleaned, languages_of, read_own_file, with_given
from textseq.data.readers.row_errors import OnError
from textseq.data.rows import Pair, content_of
from textseq.data.splits import SPLIT_VERSION, ConcatDataset, Subset, overlapping, shared, split_pairs
from textseq.errors import TextseqError, unknown
from textseq.io.documents.archives import matches_any
from textseq.tokenizers.source_style import SOURCES, learn_copied, learn_style

Side = Literal["source", "target", "both"]

PAIRS_VERSION = 1  # raise when a corpus's files give other pairs, or sentences are read differently, than before

LONGEST = 1000
"""Default limit on the characters of a sentence; longer ones are mostly mistakes in the file."""

VALIDATION = 0.02
"""Default share of one's own pairs that is kept for validation."""

MOST_VALIDATION = 2000
"""The most of one's own pairs that are kept for validation, whatever the share: enough to compare models."""

FEWEST_VALIDATION = 50
"""The fewest that are kept, whatever the share, unless they are more than a tenth of all."""

FEW_VALIDATION = 100
"""Fewer validation pairs than this cause a note."""


def read_sentence(text: str) -> str:
    """A sentence as a model reads and learns to write it, with a space before it.

    The space gives its first word the same tokens as in the middle of a sentence. White space around the text is
    removed, and line ends within it become spaces; everything else is kept, no-break spaces too.
    """
    return " " + cleaned(text)


def written_sentence(text: str) -> str:
    """A sentence that a model wrote, without the space before it, and on one line."""
    return cleaned(text)


@dataclass(frozen=True, kw_only=True)
class PairDataset(RowDataset[Pair]):
    """Sentence pairs. The languages are codes such as "en", or "source" and "target" if unknown."""

    task: ClassVar[str] = "translation"

    source_language: str = UNKNOWN[0]
    target_language: str = UNKNOWN[1]
    other_names: Mapping[str, str] = field(default_factory=dict)
    """Other names of splits."""

    @property
    def languages(self) -> tuple[str, str]:
        """The languages of source and target."""
        return self.source_language, self.target_language

    @property
    def source_style(self) -> dict[str, object]:
        """How the sources of training are written; see ``SourceStyle``. Reads them."""
        pairs = [*islice(self.pairs("train"), SOURCES)]
        style = learn_style(source for source, _ in pairs)
        return learn_copied(style, pairs).to_dict()

    def pairs(self, split: str) -> Iterator[Pair]:
        """The pairs (source, target) of a split in the order of the file, without white space around the sentences.

        Raises:
            TextseqError: there is no such split; or, while it is read, a file is gone or has changed.
        """
        split = self.other_names.get(split, split)
        if split not in self.contents:
            direction = f"{self.source_language} to {self.target_language}"
            raise unknown(f"split of '{self.name}' ({direction})", split, {*self.splits, *self.other_names})
        return self.rows(split)

    def side(self, side: Side) -> PairSide:
        """The sentences of one side, or of both, as text to train a tokenizer on."""
        return PairSide(self, side)


@dataclass(frozen=True)
class PairSide:
    """The sentences of one side of a dataset, each a document, as ``read_sentence`` gives them.

    With "both", all sources come first. It is a ``token_files.DocumentSet``.
    """

    dataset: PairDataset
    side: Side

    @property
    def name(self) -> str:
        """The dataset's name and the language."""
        languages = {"source": self.dataset.source_language, "target": self.dataset.target_language}
        return f"{self.dataset.name}-{languages.get(self.side, self.side)}"

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of the dataset."""
        return self.dataset.splits

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of everything that determines these sentences."""
        return fingerprint_of(self.dataset.fingerprint, self.side)

    def documents(self, split: str) -> Iterator[tuple[str]]:
        """Each sentence of a split, as a document of one chunk."""
        for place in {"source": [0], "target": [1], "both": [0, 1]}[self.side]:
            for pair in self.dataset.pairs(split):
                yield (read_sentence(pair[place]),)


def load_pairs(
    name: str,
    *,
    source: str | None = None,
    target: str | None = None,
    data_dir: Path | None = None,
    download: bool = False,
) -> PairDataset:
    """Load a corpus of sentence pairs by name; every file that the direction needs is found and verified.

    Args:
        name: one of the corpora for which ``list_corpora()`` names ``languages``; or several, as "first+second", to
            train on all of them: validation and test are the first's, and training pairs that have a sentence of
            these are left out. With a number, "first+3*second", a corpus counts so many times.
        source: the language to translate from; None means the recipe's first that is not the target.
        target: the language to translate into; None means the first that is not the source.
        data_dir: see ``load_corpus``.
        download: see ``load_corpus``.

    Raises:
        TextseqError: see ``load_corpus``; or a language is unknown, or both are the same.
    """
    load = cache(partial(_load_pairs, source=source, target=target, data_dir=data_dir, download=download))
    first, *others = map(load, joined_names(name))
    return replace(_trained_on(first, (first, *others), first.contents), name=name) if others else first


def _trained_on(
    first: PairDataset, corpora: Sequence[PairDataset], splits: Mapping[str, Iterable[Pair]]
) -> PairDataset:
    """The training pairs of some corpora without the sentences of validation and test, with these splits."""
    for other in corpora:
        if (got := other.languages) != first.languages:
            expected = " to ".join(first.languages)
            raise TextseqError(
                f"corpus '{other.name}': expected {expected} as in '{first.name}', got {' to '.join(got)}"
            )
    training = ConcatDataset(tuple(corpus.contents["train"] for corpus in corpora))
    held_out = ConcatDataset(tuple(rows for split, rows in splits.items() if split != "train"))
    apart = cache(lambda: overlapping(training, held_out))  # takes seconds, so only when needed
    return replace(
        first,
        title="; ".join(dict.fromkeys(corpus.title for corpus in corpora)),
        licence="; ".join(dict.fromkeys(corpus.licence for corpus in corpora)),
        fingerprint=fingerprint_of(*(corpus.fingerprint for corpus in corpora)),
        contents={**splits, "train": Subset(training, apart, 0)},
    )


def _load_pairs(
    name: str, *, source: str | None, target: str | None, data_dir: Path | None, download: bool
) -> PairDataset:
    """Load a single corpus; see ``load_pairs``."""
    recipe = recipe_of(name, "pairs", lambda recipe: recipe.languages)
    for language in (source, target):
        if language is not None and language not in recipe.languages:
            raise unknown(f"language of corpus '{name}':", language, recipe.languages)
    source = source or next(language for language in recipe.languages if language != target)
    target = target or next(language for language in recipe.languages if language != source)
    if source == target:
        raise TextseqError(
            f"corpus '{name}': expected two languages to translate between, got '{source}' twice; it has "
            f"{', '.join(recipe.languages)}"
        )
    if (text := recipe.phrase_book) is not None:
        pairs = PhrasePairs(text, source == recipe.languages[1])
        return PairDataset(
            **corpus_fields(recipe, [PAIRS_VERSION, PHRASES_VERSION, text, source]),
            source_language=source,
            target_language=target,
            contents={"train": pairs},
        )
    aligned = _aligned_splits(recipe, source, target) if recipe.lists else {}
    if aligned:  # the other languages are not needed
        recipe = replace(recipe, files={file: recipe.files[file] for pair in aligned.values() for file in pair})
    local = find(recipe, data_dir=data_dir, download=download)
    documents = documents_of(recipe, local)
    contents: dict[str, Iterable[Pair]] = {
        split: PairFile((documents[first], documents[second]), "aligned") for split, (first, second) in aligned.items()
    }
    if not aligned:
        columns = recipe.languages.index(source), recipe.languages.index(target)
        whole = PairFile(tuple(documents.values()), "tab-separated", columns)
        split_of = cache(lambda: split_pairs(whole, recipe.shares))  # takes seconds, so only when needed
        contents = {split: Subset(whole, split_of, number) for number, split in enumerate(("train", *recipe.shares))}
    content = [PAIRS_VERSION, SPLIT_VERSION, recipe.encoding, recipe.members, recipe.split]
    content += [recipe.languages, source, target]
    dataset = PairDataset(
        **corpus_fields(recipe, content, local),
        source_language=source,
        target_language=target,
        contents=contents,
        other_names={files[0].split(".")[0]: split for split, files in aligned.items()},
    )
    if not recipe.held_out:
        return dataset
    older = _load_pairs(recipe.held_out, source=source, target=target, data_dir=data_dir, download=download)
    splits = {split: older.contents[split] for split in ("validation", "test")}
    kept_apart = _trained_on(dataset, (dataset,), splits)
    return replace(
        kept_apart,
        fingerprint=fingerprint_of(dataset.fingerprint, older.fingerprint),
        contents={**kept_apart.contents, "test_own": dataset.contents["test"]},
    )


def _aligned_splits(recipe: CorpusRecipe, source: str, target: str) -> dict[str, tuple[str, str]]:
    """The files of the two languages, for each split that has both."""
    files: dict[tuple[str, str], str] = {}
    for file in recipe.files:
        splits = (split for split, names in recipe.lists.items() if matches_any(file, names))
        files[next(splits, "train"), file.split(".")[1]] = file
    assert len(files) == len(recipe.files), "a split of a recipe has two files of one language"
    return {
        split: (files[split, source], files[split, target])
        for split in ("train", *recipe.lists)
        if (split, source) in files and (split, target) in files
    }


def own_pairs(
    paths: Sequence[Path],
    *,
    source_column: str | None = None,
    target_column: str | None = None,
    source_language: str | None = None,
    target_language: str | None = None,
    empty: OnError = "refuse",
    **options: Unpack[ReadOptions],
) -> PairDataset:
    """Open one's own pairs and check every line. Compressed files are decompressed while read.

    Args:
        paths: two aligned text files (sources and targets, one sentence per line), or one file: .tsv, .tab or .txt
            (columns between tabs, without quotes), .jsonl or .ndjson (one object per line).
        source_column: the source's column in a tab-separated file, by its name in the header or its number from 1; for
            the default see ``readers.pairs.read_own_file``. For JSON the key; without both names "source" and "target"
            or, if these are missing, the languages; objects under the key "translation" are searched too.
        target_column: the same for the target.
        source_language: its code, such as "en"; None means what the endings of two aligned files (a.en, a.fr) or the
            names of the columns ("English", "French") say, or else "source".
        target_language: the same for the target.
        empty: "drop" drops pairs with an empty sentence instead of refusing the file.
        options: see ``ReadOptions``. Validation, by default a share of ``VALIDATION``, has no sentence of training (see
            ``splits.split_pairs``): at most 2,000 pairs, and at least 50, or a tenth of all where that is less.

    Raises:
        TextseqError: an option is invalid; a file is missing, damaged or of an unknown kind; aligned files differ in
            length; rows have errors that are not to be dropped; there are no pairs, or too few that share no sentence.
    """
    options = {"longest": LONGEST, "validation": VALIDATION, **options}
    survey = Survey("pairs", content_of, empty=empty, **options)
    languages = languages_of(paths, source_language, target_language)
    read = partial(
        read_own_file,
        columns=(source_column, target_column),
        encoding=survey.encoding,
        longest=survey.longest,
        drop=survey.drop,
        notes=survey.notes,
    )
    training = read(paths, languages=languages)
    if training.languages is not None:
        languages = with_given(training.languages, source_language, target_language)
    held_out = [read(survey.validation_paths, languages=languages)] if survey.validation_paths else []
    rows, split_of = survey.rows([training], "train"), b""
    if held_out:
        if leaked := shared(rows, survey.rows(held_out, "validation")):
            survey.notes.append(
                f"Validation pairs with a sentence that is also in training, which flatters: {leaked:,}."
            )
    elif survey.validation:
        split_of = split_pairs(
            rows, {"validation": survey.validation}, at_least=FEWEST_VALIDATION, at_most=MOST_VALIDATION
        )
    else:
        deque(rows, maxlen=0)
    fields = survey.result(paths, [training], held_out, split_of, PAIRS_VERSION)
    few = sum(1 for _ in islice(fields["contents"].get("validation", ()), FEW_VALIDATION))
    if "validation" in fields["contents"] and few < FEW_VALIDATION:
        survey.notes.append(f"Validation has only {few} pair{'s' * (few != 1)}; metrics from so few say little.")
    return PairDataset(**fields, source_language=languages[0], target_language=languages[1], notes=tuple(survey.notes))
