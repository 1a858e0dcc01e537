"""Recipes of corpora: one TOML file each, in ``corpora/``, which names the corpus's files."""

from __future__ import annotations

import fnmatch
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import Any

from textseq.errors import TextseqError, unknown
from textseq.io.files import toml_of

JOINED = "+"
"""Between the names of several corpora."""


@dataclass(frozen=True)
class Source:
    """One copy of a file on the web: its address, size in bytes and hex SHA-256."""

    url: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class DataFile:
    """A file of a corpus: its path under a data folder, and the sources to try in turn.

    ``also`` are hashes of other versions, which cannot be downloaded but are accepted in a user's folder.
    """

    path: str
    sources: tuple[Source, ...]
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class CorpusRecipe:
    """A corpus: its metadata, files, format and splits, as in its TOML file.

    ``format`` is the files' format, ``formats`` that of files that differ; ``strips`` is what reading removes.
    ``members`` are the documents in a ZIP archive, as patterns such as "*.txt"; any other file is one document.
    ``split`` gives each split but "train" as a list of documents (in an archive, patterns), or as a share of the
    characters: the last of every document, validation before test.

    Sentence pairs have ``languages``; the first two are the usual direction. Their files are aligned and called
    SPLIT.LANGUAGE..., and ``split`` assigns them by patterns; further splits are called "test_...". Or they are one
    document of tab-separated columns in the order of the languages, and ``split`` gives shares of the pairs. With
    ``held_out``, the name of another corpus, validation and test are that corpus's, and training has no sentence of
    theirs.

    Labelled texts have ``labels``: for each label patterns of its documents, or the signs for it in the files;
    ``split`` may give shares of the texts. ``overlaps`` are corpora with texts in common: a model trained on one of
    them has seen test texts of this one, unless that corpus is in ``same_split``.

    Tagged sentences have ``tags``: for each tag the signs for it in the files.

    Texts of several ``authors`` are those of other corpora: for each author a list of a corpus, which keeps its own
    split, or of documents in it as CORPUS/PATTERN, whose shares ``split`` gives. "3*" before one lets it count three
    times in training. ``files`` are those corpora's; ``formats`` are in place of theirs.

    Sentence pairs or labelled texts whose ``format`` is "phrase-book" are templates in NAME.txt beside the recipe.
    """

    name: str
    title: str
    task: str
    language: str
    purpose: str
    licence: str
    homepage: str
    encoding: str
    format: str
    strips: str
    split: Mapping[str, float | list[str]]
    formats: Mapping[str, str]
    members: Mapping[str, list[str]]
    files: Mapping[str, DataFile]
    languages: tuple[str, ...] = ()
    held_out: str = ""
    labels: Mapping[str, list[str]] = field(default_factory=dict)
    tags: Mapping[str, list[str]] = field(default_factory=dict)
    authors: Mapping[str, list[str]] = field(default_factory=dict)
    overlaps: tuple[str, ...] = ()
    same_split: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """The total size of the files."""
        return sum(file.sources[0].bytes for file in self.files.values())

    @property
    def phrase_book(self) -> str | None:
        """The text of its phrase book, if it is one."""
        return (recipe_folder() / f"{self.name}.txt").read_text("utf-8") if self.format == "phrase-book" else None

    @property
    def is_text(self) -> bool:
        """Whether it is plain text, not pairs, labelled texts or tags, nor several authors'."""
        return not self.languages and not self.labels and not self.authors and self.task != "tagging"

    @property
    def shares(self) -> dict[str, float]:
        """The splits that are shares of the characters, in the order of the text."""
        ordered = ((split, self.split.get(split)) for split in ("validation", "test"))
        return {split: share for split, share in ordered if isinstance(share, float)}

    @property
    def lists(self) -> dict[str, list[str]]:
        """The splits that are lists of documents."""
        return {split: names for split, names in self.split.items() if isinstance(names, list)}


SHAPES: dict[str, object] = {
    "split": {str: (float, int, [str])},
    "formats": {str: str},
    "members": {str: [str]},
    "languages": [str],
    "labels": {str: [str]},
    "tags": {str: [str]},
    "authors": {str: [str]},
    "overlaps": [str],
    "same_split": [str],
    "sources": [dict],
    "urls": [str],
    "files": {str: dict},
}
"""The types of the keys of a recipe that are not strings; a tuple gives alternatives."""


def recipe_folder() -> Traversable:
    """The folder of the recipes."""
    try:
        return resources.files("textseq.corpora")
    except ModuleNotFoundError:
        return Path(__file__).parents[3] / "corpora"


def recipe_files(folder: str = "") -> dict[str, str]:
    """The text of every recipe by name: of corpora or, in the folder "vectors", of word vectors."""
    paths = (recipe_folder() / folder).iterdir()
    files = {path.name.removesuffix(".toml"): path for path in paths if path.name.endswith(".toml")}
    return {name: files[name].read_text("utf-8") for name in sorted(files)}


def read_recipe(name: str, text: str) -> CorpusRecipe:
    """Parse a recipe from TOML; invalid keys or values, or an unknown file in a split, are a TextseqError."""
    try:
        table: dict[str, Any] = toml_of(text)
    except ValueError as error:
        raise TextseqError(f"recipe '{name}' is not TOML: {error}") from error
    optional = ("formats", "members", "languages", "held_out", "labels", "tags", "authors", "overlaps", "same_split")
    words = [item.name for item in fields(CorpusRecipe) if item.name not in {*optional, "split", "files"}]
    _check_keys(name, table, (*words, "folder", "split", "sources"), optional)
    for key, value in table.items():
        _check_shape(name, key, value, SHAPES.get(key, str))
    split, formats, members = table["split"], table.get("formats", {}), table.get("members", {})
    languages = tuple(table.get("languages", ()))
    further = [key for key in split if languages and key.startswith("test_")]
    _check_keys(name, split, (), ("validation", "test", *further))
    files: dict[str, DataFile] = {}
    for source in table["sources"]:
        _check_keys(name, source, ("urls", "files"))
        for key, value in source.items():
            _check_shape(name, key, value, SHAPES[key])
        for file, entry in source["files"].items():
            _check_keys(name, entry, ("bytes", "sha256"), ("remote",))
            for key, value in entry.items():
                _check_shape(name, key, value, int if key == "bytes" else str)
            _check_place(name, table["folder"], file)
            remote = urllib.parse.quote(entry.get("remote", file))
            copies = tuple(Source(url + remote, entry["bytes"], entry["sha256"]) for url in source["urls"])
            before = files.get(file, DataFile(f"{table['folder']}/{file}", ()))
            also = before.also if copies else (*before.also, entry["sha256"])
            files[file] = replace(before, sources=before.sources + copies, also=also)
    for corpus, _, _ in (part for parts in table.get("authors", {}).values() for part in map(author_part, parts)):
        files |= recipe_of(corpus, "texts", lambda recipe: recipe.is_text).files
    if missing := [file for file, data_file in files.items() if not data_file.sources]:
        raise TextseqError(f"recipe '{name}' has no url for {missing[0]}; add one")
    _check_keys(name, formats, (), files)
    _check_keys(name, members, (), files)
    recipe = CorpusRecipe(
        **{word: table[word] for word in words},
        split=split,
        formats=formats,
        members=members,
        files=files,
        languages=languages,
        held_out=table.get("held_out", ""),
        labels=table.get("labels", {}),
        tags=table.get("tags", {}),
        authors=table.get("authors", {}),
        overlaps=tuple(table.get("overlaps", ())),
        same_split=tuple(table.get("same_split", ())),
    )
    if len(languages) != len(set(languages)) or len(languages) == 1:
        raise TextseqError(f"recipe '{name}': expected two or more different languages, got {languages}")
    shares = recipe.shares.values()
    small = sum(shares) <= 0.5 and min(shares, default=1) > 0  # NaN fails
    if len(split) not in (len(shares), len(recipe.lists)) or not small:
        raise TextseqError(f"recipe '{name}': expected a split of lists, or of shares up to 0.5 in total, got {split}")
    for document in (document for documents in recipe.lists.values() for document in documents):
        if not members and not fnmatch.filter(files, document):  # the members of an archive are unknown here
            raise unknown(f"file in the split of recipe '{name}':", document, files)
    return recipe


def recipe_of(name: str, what: str, fits: Callable[[CorpusRecipe], object]) -> CorpusRecipe:
    """The recipe of a corpus by name; a TextseqError if it is unknown or does not fit.

    Args:
        name: of the corpus.
        what: the expected kind of corpus, in the plural, for the error.
        fits: whether a recipe is of this kind.
    """
    texts = recipe_files()
    if name not in texts:
        raise unknown("corpus", name, texts)
    recipe = read_recipe(name, texts[name])
    if not fits(recipe):
        others = ", ".join(other for other, text in texts.items() if fits(read_recipe(other, text)))
        raise TextseqError(f"corpus '{name}' is for {recipe.task}; corpora of {what} are {others}")
    return recipe


def joined_names(name: str) -> list[str]:
    """The corpora of a name such as "first+3*second", each as often as it counts.

    Raises:
        TextseqError: a number is none from 1 to 1000.
    """
    return [part for times, part in map(_counted, name.split(JOINED)) for _ in range(times)]


def _counted(part: str) -> tuple[int, str]:
    """How many times a corpus counts, and its name."""
    times, _, name = part.rpartition("*")
    if not times:
        return 1, name
    if not times.isdecimal() or not 0 < int(times) <= 1000:
        raise TextseqError(f"corpus '{part}': expected a number from 1 to 1000 before *, got '{times}'")
    return int(times), name


def author_part(part: str) -> tuple[str, str, int]:
    """A text in ``CorpusRecipe.authors``: its corpus, the pattern of its documents ("": all), and how often it counts.

    Example:
        >>> author_part("3*gutenberg/blake-*.txt")
        ('gutenberg', 'blake-*.txt', 3)
    """
    counted, _, pattern = part.partition("/")
    times, corpus = _counted(counted)
    return corpus, pattern, times


def list_corpora() -> list[CorpusRecipe]:
    """All recipes, sorted by name; needs no corpus files."""
    return [read_recipe(name, text) for name, text in recipe_files().items()]


def _check_keys(name: str, table: Mapping[str, object], needed: Iterable[str], optional: Iterable[str] = ()) -> None:
    known = [*needed, *optional]
    for key in table:
        if key not in known:
            raise unknown(f"key in recipe '{name}':", key, known)
    for key in needed:
        if key not in table:
            raise TextseqError(f"recipe '{name}' lacks the key '{key}'; every recipe needs {', '.join(needed)}")


def _check_shape(name: str, key: str, value: object, shape: object) -> None:
    if not _has_shape(value, shape):
        raise TextseqError(f"recipe '{name}' has a value of the wrong type for '{key}'; compare it with another recipe")


def _has_shape(value: object, shape: object) -> bool:
    """Whether a value fits one of the ``SHAPES``."""
    if isinstance(shape, tuple):
        return any(_has_shape(value, option) for option in shape)
    if isinstance(shape, list):
        return isinstance(value, list) and all(_has_shape(entry, shape[0]) for entry in value)
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(_has_shape(entry, shape[str]) for entry in value.values())
    return type(value) is shape


def _check_place(name: str, folder: str, file: str) -> None:
    """Raise a TextseqError for a file outside the data folder."""
    place = PurePosixPath(f"{folder}/{file}")  # absolute if the folder is empty
    if place.is_absolute() or ".." in place.parts or "\\" in str(place) or not str(place).isprintable():
        raise TextseqError(f"recipe '{name}': expected files below the data folder, got {str(place)!r}")
