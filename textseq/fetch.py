"""From a corpus recipe to verified files: in a folder of the user's, in the cache, or downloaded.

A recipe is a file ``corpora/NAME.toml``. A file that it names is used only after its SHA-256 has been
checked. A download goes to ``FILE.part`` beside its target, resumes where it stopped, and gets its name
only when it is complete and verified.
"""

from __future__ import annotations

import fnmatch
import hashlib
import http.client
import os
import shutil
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from pathlib import Path

import platformdirs
from tqdm import tqdm

from textseq.errors import TextseqError, unknown

TIMEOUT = 30.0  # seconds without an answer, or without one more byte
BLOCK = 2**16  # bytes per read, so that the progress bar moves


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
class LocalFile:
    """A file on this machine whose SHA-256 is one of those wanted."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Recipe:
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

    @property
    def bytes(self) -> int:
        """The size of all files together."""
        return sum(file.sources[0].bytes for file in self.files.values())

    @property
    def shares(self) -> dict[str, float]:
        """The parts that are shares of the characters, in the order of the text."""
        ordered = ((part, self.split.get(part)) for part in ("validation", "test"))
        return {part: share for part, share in ordered if isinstance(share, float)}

    @property
    def lists(self) -> dict[str, list[str]]:
        """The parts that are lists of documents."""
        return {part: names for part, names in self.split.items() if isinstance(names, list)}


class _Unreachable(Exception):
    """A source that gave no (or no whole) file; the next one may."""


def cache_folder() -> Path:
    """Where textseq keeps what it can make again: ``$TEXTSEQ_HOME/cache``, or the user's cache folder."""
    home = os.environ.get("TEXTSEQ_HOME")
    return Path(home).expanduser() / "cache" if home else platformdirs.user_cache_path("textseq")


def recipe_files(folder: str = "") -> dict[str, str]:
    """The text of every recipe, by name: from the installed package, or from the clone it runs in.

    Args:
        folder: "vectors" for recipes of word vectors, else of corpora.
    """
    try:
        root = resources.files("textseq.corpora")
    except ModuleNotFoundError:
        root = Path(__file__).parent.parent / "corpora"
    found = (root / folder).iterdir() if folder else root.iterdir()
    files = {file.name.removesuffix(".toml"): file for file in found if file.name.endswith(".toml")}
    return {name: files[name].read_text("utf-8") for name in sorted(files)}


def read_recipe(name: str, text: str) -> Recipe:
    """The recipe that a TOML text holds.

    Raises:
        TextseqError: a key is missing or unknown, or a part names a file that the recipe has not.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TextseqError(f"recipe '{name}' is not TOML: {error}") from error
    optional = ("formats", "members", "languages", "labels", "tags")
    words = [item.name for item in fields(Recipe) if item.name not in {*optional, "split", "files"}]
    _check_keys(name, table, (*words, "folder", "split", "sources"), optional)
    split, formats, members = table["split"], table.get("formats", {}), table.get("members", {})
    languages = tuple(table.get("languages", ()))
    further = [part for part in split if languages and part.startswith("test_")]
    _check_keys(name, split, (), ("validation", "test", *further))
    files: dict[str, DataFile] = {}
    for source in table["sources"]:
        _check_keys(name, source, ("urls", "files"))
        for file, facts in source["files"].items():
            _check_keys(name, facts, ("bytes", "sha256"), ("remote",))
            remote = urllib.parse.quote(facts.get("remote", file))
            copies = tuple(Source(url + remote, facts["bytes"], facts["sha256"]) for url in source["urls"])
            before = files.get(file, DataFile(f"{table['folder']}/{file}", ()))
            also = before.also if copies else (*before.also, facts["sha256"])
            files[file] = replace(before, sources=before.sources + copies, also=also)
    _check_keys(name, formats, (), files)
    _check_keys(name, members, (), files)
    given = {word: table[word] for word in words}
    recipe = Recipe(
        **given,
        split=split,
        formats=formats,
        members=members,
        files=files,
        languages=languages,
        labels=table.get("labels", {}),
        tags=table.get("tags", {}),
    )
    if len(languages) != len(set(languages)) or len(languages) == 1:
        raise TextseqError(f"recipe '{name}' wants languages that differ, two or more of them: {languages}")
    shares = recipe.shares.values()
    if len(split) not in (len(shares), len(recipe.lists)) or sum(shares) > 0.5 or min(shares, default=1) <= 0:
        raise TextseqError(f"recipe '{name}' wants a split in lists, or in shares of 0.5 at most together: {split}")
    for document in (document for part in recipe.lists.values() for document in part):
        if not members and not fnmatch.filter(files, document):  # in an archive, its members are not known here
            raise unknown(f"file in the split of recipe '{name}':", document, files)
    return recipe


def _check_keys(name: str, table: Mapping[str, object], needed: Iterable[str], optional: Iterable[str] = ()) -> None:
    known = [*needed, *optional]
    for key in table:
        if key not in known:
            raise unknown(f"key in recipe '{name}':", key, known)
    for key in needed:
        if key not in table:
            raise TextseqError(f"recipe '{name}' lacks the key '{key}'; every recipe needs {', '.join(needed)}")


def find(recipe: Recipe, *, data: Path | None = None, download: bool = False) -> dict[str, LocalFile]:
    """Find and verify every file of a recipe, in its order.

    Args:
        recipe: says what is wanted.
        data: a folder to look in first; None means the folder that ``TEXTSEQ_DATA`` names, if any.
        download: whether to fetch into the cache what neither folder has.

    Raises:
        TextseqError: a file is missing and ``download`` is False, has the wrong content, cannot be
            read, or no source delivers it.
    """
    cache = cache_folder() / "corpora"
    named = data or os.environ.get("TEXTSEQ_DATA")
    folders = [Path(named).expanduser(), cache] if named else [cache]
    replaceable = cache if download else None
    found = {name: _look(file, folders, replaceable) for name, file in recipe.files.items()}
    missing = [recipe.files[name] for name, local in found.items() if local is None]
    size = sum(file.sources[0].bytes for file in missing)
    if missing and not download:
        raise TextseqError(
            f"'{recipe.name}' lacks {len(missing)} of {len(found)} files, the first {missing[0].path}:"
            f" looked in {' and '.join(map(str, folders))}; --download fetches {_readable(size)} from"
            f" {missing[0].sources[0].url}, or put it by hand at {folders[0] / missing[0].path}"
        )
    if missing:
        with tqdm(total=size, desc=recipe.name, unit="B", unit_scale=True, disable=None) as bar:
            fetched = {file: _download(file, cache / file.path, bar.update) for file in missing}
    return {name: local or fetched[recipe.files[name]] for name, local in found.items()}


def _look(file: DataFile, folders: Sequence[Path], replaceable: Path | None) -> LocalFile | None:
    """The file in the first folder that has it; a wrong one in ``replaceable`` counts as missing."""
    wanted = {source.sha256 for source in file.sources} | {*file.also}
    for folder in folders:
        path = folder / file.path
        if not os.path.exists(path):  # unlike Path.exists, False too for a folder closed to us
            continue
        sha256 = _sha256(path)
        if sha256 in wanted:
            return LocalFile(path, sha256)
        if folder != replaceable:
            raise TextseqError(
                f"{path} is not the file this corpus was made from: its SHA-256 is {sha256}, wanted was"
                f" {' or '.join(sorted(wanted))}; remove it, then --download fetches the right one"
            )
    return None


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TextseqError(f"cannot read {path}: {error.strerror or error}; it must be a readable file") from error


def _download(file: DataFile, target: Path, progress: Callable[[int], object]) -> LocalFile:
    part = target.with_name(target.name + ".part")
    failures = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for source in file.sources:
            try:
                _fetch(source, part, progress)
            except _Unreachable as failure:
                failures.append(f"{source.url}: {failure}")
                continue
            sha256 = _sha256(part)
            if sha256 == source.sha256:
                os.replace(part, target)
                return LocalFile(target, sha256)
            part.unlink()
            failures.append(f"{source.url}: SHA-256 {sha256} instead of {source.sha256}")
    except OSError as error:
        raise TextseqError(
            f"cannot write {part}: {error.strerror or error}; free some space, or set TEXTSEQ_HOME to a"
            " folder that can be written"
        ) from error
    raise TextseqError(
        f"could not download {file.path} ({'; '.join(failures)}); try again later, or put it by hand at {target}"
    )


def _fetch(source: Source, part: Path, progress: Callable[[int], object]) -> None:
    """Bring ``part`` to the length of the source, going on from what is there already.

    Raises:
        _Unreachable: the network or the server failed; what has arrived stays in ``part``.
        OSError: ``part`` cannot be written.
    """
    have = part.stat().st_size if part.exists() else 0
    if have == source.bytes:  # stopped between the last byte and the check
        return
    free = shutil.disk_usage(part.parent).free
    if free < source.bytes - have:
        raise TextseqError(
            f"{source.url} needs {_readable(source.bytes - have)} in {part.parent}, where {_readable(free)}"
            " are free; free some space, or set TEXTSEQ_HOME to another folder"
        )
    try:
        response = _open(source.url, have)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise _Unreachable(f"HTTP {error.code} {error.reason}") from error
        part.unlink()
        return _fetch(source, part, progress)
    with response:
        resumed = response.status == http.client.PARTIAL_CONTENT
        start = have if resumed else 0
        with part.open("ab" if resumed else "wb") as file:
            progress(start)
            arrived = start
            while arrived <= source.bytes and (block := _read(response)):
                file.write(block)
                arrived += len(block)
                progress(len(block))
            file.flush()
            os.fsync(file.fileno())
    if arrived < source.bytes:
        raise _Unreachable(
            f"the connection ended after {arrived} of {source.bytes} bytes; run again to go on from there"
        )


def _open(url: str, start: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "textseq"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise _Unreachable(str(getattr(error, "reason", error)) or type(error).__name__) from error
    assert isinstance(response, http.client.HTTPResponse)  # recipes name http(s) sources only
    return response


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _Unreachable(f"{error or type(error).__name__}; run again to go on from where it stopped") from error


def _readable(size: int) -> str:
    """Bytes as people say them, in powers of ten."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"
