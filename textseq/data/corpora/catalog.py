"""What is known of a corpus: a recipe in ``corpora/``, one TOML file each. It names files, and holds none."""

from __future__ import annotations

import fnmatch
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from textseq.errors import TextseqError, unknown
from textseq.io.files import toml_of


@dataclass(frozen=True)
class Source:
    """One copy of a file in the world: where it lies, its size in bytes, its SHA-256 in hex."""

    url: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class DataFile:
    """A file that a corpus needs: its path under a data folder, and the sources to try in turn.

    ``also`` are hashes of files that lie nowhere in the world, but will do where a user has them.
    """

    path: str
    sources: tuple[Source, ...]
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class CorpusRecipe:
    """What a corpus is and which files it is made of, as its TOML file says.

    ``format`` says how a file becomes text, ``formats`` so of the files that differ; ``strips`` what is
    lost on the way. ``members`` gives the documents in a ZIP archive, by patterns such as "*.txt"; any
    other file is one document. ``split`` gives each part but "train" as a list of documents (of an
    archive, patterns), or as a share of the characters, the last of every document: validation, then
    test. ``files`` is in the order of the recipe.

    A corpus of sentence pairs names its ``languages``, the first two of them the usual direction. Its files
    are aligned and called PART.LANGUAGE..., and ``split`` says which are which part, by patterns; further
    parts are called "test_..." there. Or it is one document of tab-separated columns in the order of the
    languages, and ``split`` gives shares of the pairs.

    A corpus of labelled texts names its ``labels``, and for each the documents that it is of, as patterns, or the signs
    that its files write for it; ``split`` may give shares of the texts.

    It names the corpora with which it ``overlaps``: a model that learnt from one of them has seen texts that this one
    tests, unless it is parted in the ``same_split``.

    A corpus of tagged sentences names its ``tags``, and for each the signs that its files write for it; a text that was
    tagged may be for a language model as well.
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
    labels: Mapping[str, list[str]] = field(default_factory=dict)
    tags: Mapping[str, list[str]] = field(default_factory=dict)
    overlaps: tuple[str, ...] = ()
    same_split: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """The size of all files together."""
        return sum(file.sources[0].bytes for file in self.files.values())

    @property
    def is_text(self) -> bool:
        """Whether it is a text, rather than pairs, labelled texts or tags alone."""
        return not self.languages and not self.labels and self.task != "tagging"

    @property
    def shares(self) -> dict[str, float]:
        """The parts that are shares of the characters, in the order of the text."""
        ordered = ((part, self.split.get(part)) for part in ("validation", "test"))
        return {part: share for part, share in ordered if isinstance(share, float)}

    @property
    def lists(self) -> dict[str, list[str]]:
        """The parts that are lists of documents."""
        return {part: names for part, names in self.split.items() if isinstance(names, list)}


SHAPES: dict[str, object] = {
    "split": {str: (float, int, [str])},
    "formats": {str: str},
    "members": {str: [str]},
    "languages": [str],
    "labels": {str: [str]},
    "tags": {str: [str]},
    "overlaps": [str],
    "same_split": [str],
    "sources": [dict],
    "urls": [str],
    "files": {str: dict},
}
"""What the keys of a recipe hold that hold no string: tables, lists, and either of two kinds."""


def recipe_files(folder: str = "") -> dict[str, str]:
    """The text of every recipe, by name: from the installed package, or from the clone it runs in.

    Args:
        folder: "vectors" for recipes of word vectors, else of corpora.
    """
    try:
        root = resources.files("textseq.corpora")
    except ModuleNotFoundError:
        root = Path(__file__).parents[3] / "corpora"
    found = (root / folder).iterdir() if folder else root.iterdir()
    files = {file.name.removesuffix(".toml"): file for file in found if file.name.endswith(".toml")}
    return {name: files[name].read_text("utf-8") for name in sorted(files)}


def read_recipe(name: str, text: str) -> CorpusRecipe:
    """The recipe that a TOML text holds.

    Raises:
        TextseqError: a key is missing or unknown or says something else than it should, or a part names a file that
            the recipe has not.
    """
    try:
        table: dict[str, Any] = toml_of(text)
    except ValueError as error:
        raise TextseqError(f"recipe '{name}' is not TOML: {error}") from error
    optional = ("formats", "members", "languages", "labels", "tags", "overlaps", "same_split")
    words = [item.name for item in fields(CorpusRecipe) if item.name not in {*optional, "split", "files"}]
    _check_keys(name, table, (*words, "folder", "split", "sources"), optional)
    for key, value in table.items():
        _check_shape(name, key, value, SHAPES.get(key, str))
    split, formats, members = table["split"], table.get("formats", {}), table.get("members", {})
    languages = tuple(table.get("languages", ()))
    further = [part for part in split if languages and part.startswith("test_")]
    _check_keys(name, split, (), ("validation", "test", *further))
    files: dict[str, DataFile] = {}
    for source in table["sources"]:
        _check_keys(name, source, ("urls", "files"))
        for key, value in source.items():
            _check_shape(name, key, value, SHAPES[key])
        for file, facts in source["files"].items():
            _check_keys(name, facts, ("bytes", "sha256"), ("remote",))
            for key, value in facts.items():
                _check_shape(name, key, value, int if key == "bytes" else str)
            _check_place(name, table["folder"], file)
            remote = urllib.parse.quote(facts.get("remote", file))
            copies = tuple(Source(url + remote, facts["bytes"], facts["sha256"]) for url in source["urls"])
            before = files.get(file, DataFile(f"{table['folder']}/{file}", ()))
            also = before.also if copies else (*before.also, facts["sha256"])
            files[file] = replace(before, sources=before.sources + copies, also=also)
    if nowhere := [file for file, found in files.items() if not found.sources]:
        raise TextseqError(f"recipe '{name}' says nowhere where {nowhere[0]} comes from; a file wants a url")
    _check_keys(name, formats, (), files)
    _check_keys(name, members, (), files)
    given = {word: table[word] for word in words}
    recipe = CorpusRecipe(
        **given,
        split=split,
        formats=formats,
        members=members,
        files=files,
        languages=languages,
        labels=table.get("labels", {}),
        tags=table.get("tags", {}),
        overlaps=tuple(table.get("overlaps", ())),
        same_split=tuple(table.get("same_split", ())),
    )
    if len(languages) != len(set(languages)) or len(languages) == 1:
        raise TextseqError(f"recipe '{name}' wants languages that differ, two or more of them: {languages}")
    shares = recipe.shares.values()
    small = sum(shares) <= 0.5 and min(shares, default=1) > 0  # so NaN is not
    if len(split) not in (len(shares), len(recipe.lists)) or not small:
        raise TextseqError(f"recipe '{name}' wants a split in lists, or in shares of 0.5 at most together: {split}")
    for document in (document for part in recipe.lists.values() for document in part):
        if not members and not fnmatch.filter(files, document):  # in an archive, its members are not known here
            raise unknown(f"file in the split of recipe '{name}':", document, files)
    return recipe


def recipe_of(name: str, what: str, fits: Callable[[CorpusRecipe], object]) -> CorpusRecipe:
    """The recipe of a corpus of one kind, by name.

    Args:
        name: of the corpus.
        what: its kind, in the plural, for the message.
        fits: whether a recipe is of this kind.

    Raises:
        TextseqError: the name is unknown, or the corpus is of another kind.
    """
    texts = recipe_files()
    if name not in texts:
        raise unknown("corpus", name, texts)
    recipe = read_recipe(name, texts[name])
    if not fits(recipe):
        others = ", ".join(other for other, text in texts.items() if fits(read_recipe(other, text)))
        raise TextseqError(f"corpus '{name}' is for {recipe.task}; of {what} are {others}")
    return recipe


def list_corpora() -> list[CorpusRecipe]:
    """Every recipe, sorted by name: its name, language, licence, bytes, purpose... needs no corpus file."""
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
        raise TextseqError(f"recipe '{name}' says something else for '{key}' than it should; compare it with another")


def _has_shape(value: object, shape: object) -> bool:
    """Whether data is of a type, a list of what has a shape, a table of such, or has one of some shapes."""
    if isinstance(shape, tuple):
        return any(_has_shape(value, one) for one in shape)
    if isinstance(shape, list):
        return isinstance(value, list) and all(_has_shape(entry, shape[0]) for entry in value)
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(_has_shape(entry, shape[str]) for entry in value.values())
    return type(value) is shape


def _check_place(name: str, folder: str, file: str) -> None:
    """Refuse a file that would lie outside the folder of the corpora."""
    place = PurePosixPath(f"{folder}/{file}")  # as it is read: below an empty folder it is absolute
    if place.is_absolute() or ".." in place.parts or "\\" in str(place) or not str(place).isprintable():
        raise TextseqError(f"recipe '{name}' wants files in a folder below that of the corpora, found {str(place)!r}")
