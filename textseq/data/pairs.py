"""Sentence pairs to learn translation from: a corpus by name (a recipe in ``corpora/``), or a user's own files.

Either gives a ``PairDataset``: parts ("train", "validation", "test", further tests), each a series of pairs
(source sentence, target sentence) that are read from the files as they are asked for.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Literal

from textseq.data.corpora.catalog import CorpusRecipe, recipe_of
from textseq.data.corpora.download import find
from textseq.data.dataset import check_encoding, check_share, documents_of, fingerprint_of
from textseq.data.readers.pairs import UNKNOWN, PairFile, cleaned, languages_of, read_own_file
from textseq.data.readers.row_errors import OnError, left_out
from textseq.data.rows import Pair
from textseq.data.splits import SPLIT_VERSION, shared, split_pairs
from textseq.errors import TextseqError, unknown

Side = Literal["source", "target", "both"]


PAIRS_VERSION = 1  # to be raised when a corpus's files give other pairs, or sentences are read otherwise, than before

LONGEST = 1000
"""Characters of a sentence, unless a user says otherwise; far more than a sentence has, far less than a mishap."""

MOST_VALIDATION = 2000
"""Pairs of a user's that are kept for validation at most, whatever their share: enough to tell models apart."""

FEWEST_VALIDATION = 50
"""Pairs of a user's that are kept at least, whatever their share, where these are no more than a tenth of all."""

FEW_VALIDATION = 100
"""Pairs of validation below which a note says that there are few."""


def read_sentence(text: str) -> str:
    """The sentence as a model reads and learns to write it, with one space before it.

    So its first word has the same tokens as in the middle of a sentence. White space around the text is not part of
    it, and line ends within it are spaces; all else stays, no-break spaces too.
    """
    return " " + cleaned(text)


def written_sentence(text: str) -> str:
    """The sentence that a model wrote, as people read it: without the space before it, and on one line."""
    return cleaned(text)


@dataclass(frozen=True)
class PairDataset:
    """Sentence pairs, and what is known of them.

    ``notes`` are sentences that a user should read. ``fingerprint`` is a hex SHA-256 of all that decides
    the pairs, their parts and their direction. The languages are codes such as "en", or "source" and
    "target" where they are unknown. ``contents`` holds the pairs of each part, ``other_names`` how else
    a part may be called.
    """

    name: str
    title: str
    purpose: str
    fingerprint: str
    contents: Mapping[str, Iterable[Pair]]
    source_language: str = UNKNOWN[0]
    target_language: str = UNKNOWN[1]
    licence: str = "unknown"
    encoding: str = "utf-8"
    notes: tuple[str, ...] = ()
    other_names: Mapping[str, str] = field(default_factory=dict)
    task: str = "translation"

    @property
    def splits(self) -> tuple[str, ...]:
        """The parts there are, in the order train, validation, test, further tests."""
        return tuple(self.contents)

    def pairs(self, split: str) -> Iterator[Pair]:
        """The pairs (source, target) of a part in the order of the file, without white space around the sentences.

        Raises:
            TextseqError: the corpus has no such part; or, while it is read, a file is gone or has changed.
        """
        split = self.other_names.get(split, split)
        if split not in self.contents:
            direction = f"{self.source_language} to {self.target_language}"
            raise unknown(f"part of corpus '{self.name}' ({direction}):", split, {*self.splits, *self.other_names})
        return iter(self.contents[split])

    def side(self, side: Side) -> PairSide:
        """The sentences of one side, or of both, as a text to make tokens of."""
        return PairSide(self, side)


@dataclass(frozen=True)
class PairSide:
    """The sentences of one side of a corpus, each a document of its own; of both sides, all sources come first.

    They are as ``read_sentence`` gives them. It is what ``tokens.token_file`` and ``tokens.tokenizer_for`` want.
    """

    corpus: PairDataset
    side: Side

    @property
    def name(self) -> str:
        """The corpus's name and the language."""
        languages = {"source": self.corpus.source_language, "target": self.corpus.target_language}
        return f"{self.corpus.name}-{languages.get(self.side, self.side)}"

    @property
    def splits(self) -> tuple[str, ...]:
        """The parts of the corpus."""
        return self.corpus.splits

    @property
    def fingerprint(self) -> str:
        """A hex SHA-256 of all that decides these sentences."""
        return fingerprint_of(self.corpus.fingerprint, self.side)

    def documents(self, split: str) -> Iterator[tuple[str]]:
        """Each sentence of a part, as a document of one chunk."""
        for place in {"source": [0], "target": [1], "both": [0, 1]}[self.side]:
            for pair in self.corpus.pairs(split):
                yield (read_sentence(pair[place]),)


@dataclass(frozen=True)
class _Subset:
    """The pairs of one part among all, of which ``part_of()`` tells the numbers of their parts."""

    pairs: Iterable[Pair]
    split_of: Callable[[], bytes]
    split: int

    def __iter__(self) -> Iterator[Pair]:
        numbers, wanted, count = self.split_of(), bytes([self.split]), 0
        for count, pair in enumerate(self.pairs, start=1):
            if numbers[count - 1 : count] == wanted:
                yield pair
        if count != len(numbers):
            found = f"{_counted(count)} where there were {len(numbers):,}"
            raise TextseqError(f"a file of pairs has changed since it was divided: {found}; begin anew")


def load_pairs(
    name: str,
    *,
    source: str | None = None,
    target: str | None = None,
    data_dir: Path | None = None,
    download: bool = False,
) -> PairDataset:
    """A corpus of sentence pairs by name, every file that the direction needs found and verified.

    Args:
        name: one of the corpora for which ``list_corpora()`` names ``languages``.
        source: the language to translate from; None means the first of the recipe's that is not the target.
        target: the language to translate into; None means the first that is not the source.
        data_dir: the folder to look in first; None means the one that ``TEXTSEQ_DATA`` names, if any.
        download: whether to fetch into the cache what is nowhere on this machine.

    Raises:
        TextseqError: the name or a language is unknown, both languages are one, or a file is missing, wrong
            or unreadable.
    """
    recipe = recipe_of(name, "pairs", lambda recipe: recipe.languages)
    for language in (source, target):
        if language is not None and language not in recipe.languages:
            raise unknown(f"language of corpus '{name}':", language, recipe.languages)
    source = source or next(language for language in recipe.languages if language != target)
    target = target or next(language for language in recipe.languages if language != source)
    if source == target:
        raise TextseqError(
            f"corpus '{name}' wants two languages to translate between, found '{source}' twice;"
            f" it has {', '.join(recipe.languages)}"
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
        split_of = cache(lambda: split_pairs(whole, recipe.shares))  # only when it is needed, as it takes some seconds
        contents = {split: _Subset(whole, split_of, number) for number, split in enumerate(("train", *recipe.shares))}
    return PairDataset(
        name=name,
        title=recipe.title,
        purpose=recipe.purpose,
        licence=recipe.licence,
        encoding=recipe.encoding,
        source_language=source,
        target_language=target,
        fingerprint=fingerprint_of(
            *(PAIRS_VERSION, SPLIT_VERSION, recipe.encoding, recipe.members, recipe.split),
            *(recipe.languages, source, target, [(file, found.sha256) for file, found in local.items()]),
        ),
        contents=contents,
        other_names={files[0].split(".")[0]: split for split, files in aligned.items()},
    )


def _aligned_splits(recipe: CorpusRecipe, source: str, target: str) -> dict[str, tuple[str, str]]:
    """The files of the two languages, of each part that has both."""
    files: dict[tuple[str, str], str] = {}
    for file in recipe.files:
        splits = (split for split, names in recipe.lists.items() if any(fnmatchcase(file, name) for name in names))
        files[next(splits, "train"), file.split(".")[1]] = file
    assert len(files) == len(recipe.files), "a part of a recipe has two files of one language"
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
    encoding: str = "utf-8",
    validation: float = 0.02,
    validation_paths: Sequence[Path] = (),
    longest: int = LONGEST,
    empty: OnError = "refuse",
    overlong: OnError = "refuse",
    unreadable: OnError = "refuse",
) -> PairDataset:
    """A user's own pairs, every line of them checked. A file whose name ends in ".gz" is unpacked while it is read.

    Args:
        paths: two aligned text files, of the sources and of the targets, a sentence to a line; or one file: .tsv, .tab
            or .txt (columns between tabs, without quotes), .jsonl or .ndjson (an object to a line).
        source_column: the source's column in the header of a tab-separated file; without both names the first two
            columns count, unless the first line is seen to be a header (see ``pair_files.read_own_file``). Of JSON the
            key; without both names "source" and "target" or, where these are missing, the languages; objects
            under the key "translation" are looked into.
        target_column: the same of the target.
        source_language: its code, such as "en"; None means what the endings of two aligned files say (a.en, a.fr), or
            else "source".
        target_language: the same of the target.
        encoding: any of Python's text encodings.
        validation: the share of the pairs that is the validation part, no sentence of which is in training (see
            ``pair_split.split``). From 0 (no validation part) to 0.5. Whatever the share, they are 2,000 pairs at most,
            and at least 50, or a tenth of all pairs where that is less.
        validation_paths: files of their own for validation, as ``paths``; nothing is then taken from these.
        longest: characters that a sentence has at most.
        empty: "drop" leaves out lines with an empty sentence on one side or both, instead of refusing the file.
        overlong: the same for lines with a sentence that is longer than ``longest``.
        unreadable: the same for lines without a tab, JSON without the keys, bytes that are not text, NUL characters.

    Raises:
        TextseqError: a file is missing, damaged or of an unknown kind; aligned files differ in length; lines have
            faults that are not to be left out; there are no pairs, or too few that share no sentence for validation.
    """
    check_share(validation, usual=0.02)
    if longest < 1:
        raise TextseqError(f"longest must be 1 character or more, not {longest}; {LONGEST} is usual")
    check_encoding(encoding)
    drop = left_out(empty=empty, overlong=overlong, unreadable=unreadable)
    languages = languages_of(paths, source_language, target_language)
    notes: list[str] = []
    digests = {split: hashlib.sha256() for split in ("train", "validation")}

    def opened(some: Sequence[Path]) -> PairFile:
        columns = source_column, target_column
        return read_own_file(
            some, columns, languages=languages, encoding=encoding, longest=longest, drop=drop, notes=notes
        )

    training = opened(paths)
    seen = _hashed(_some(training, notes), digests["train"])
    contents: dict[str, Iterable[Pair]] = {"train": training}
    if validation_paths:
        held_out = opened(validation_paths)
        again = shared(seen, _hashed(_some(held_out, notes), digests["validation"]))
        if again:
            notes.append(f"Validation pairs with a sentence that is in training too, which flatters: {again:,}.")
        contents["validation"] = held_out
    elif validation:
        split_of = split_pairs(seen, {"validation": validation}, at_least=FEWEST_VALIDATION, at_most=MOST_VALIDATION)
        if len(set(split_of)) < 2:
            raise TextseqError(
                f"{training.name} has too few pairs that share no sentence to keep some for validation"
                f" ({_counted(len(split_of))}); give validation files of their own, or --validation 0"
            )
        digests["validation"].update(split_of)
        contents = {split: _Subset(training, lambda: split_of, number) for number, split in enumerate(digests)}
    else:
        deque(seen, maxlen=0)
    if "validation" in contents:
        few = sum(1 for _ in islice(contents["validation"], FEW_VALIDATION))
        if few < FEW_VALIDATION:
            notes.append(f"Validation rests on {_counted(few)}; measures from so few say little.")
    return PairDataset(
        name=" and ".join(path.name for path in paths),
        title=", ".join(map(str, paths)),
        purpose="your own pairs",
        encoding=encoding,
        source_language=languages[0],
        target_language=languages[1],
        fingerprint=fingerprint_of(PAIRS_VERSION, [digest.hexdigest() for digest in digests.values()]),
        contents=contents,
        notes=tuple(notes),
    )


def _counted(pairs: int) -> str:
    return f"{pairs:,} pair" + "s" * (pairs != 1)


def _some(file: PairFile, notes: list[str]) -> Iterator[Pair]:
    """The pairs of a file that is read for the first time; none at all is an error."""
    pairs = file.surveyed(notes)
    first = next(pairs, None)
    if first is None:
        raise TextseqError(f"no pairs in {file.name}: a file is empty, or all lines were left out; name others")
    yield first
    yield from pairs


def _hashed(pairs: Iterable[Pair], digest: hashlib._Hash) -> Iterator[Pair]:
    """The same pairs, which go into the digest on their way."""
    for source, target in pairs:
        digest.update(f"{len(source)} {len(target)} {source}{target}".encode())
        yield source, target
