"""Find the files of a recipe in the user's data folder or the cache, or download them.

The SHA-256 of every file is checked. A download goes to ``FILE.part`` beside its target, resumes where it stopped, and
is renamed when it is complete and verified. If several processes need a file, one downloads it and the others wait.
"""

from __future__ import annotations

import http.client
import os
import shutil
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from textseq.data.corpora.catalog import CorpusRecipe, DataFile, Source
from textseq.errors import TextseqError
from textseq.io.files import sha256
from textseq.io.locks import locked
from textseq.io.paths import cache_folder, expanded, named_folder

TIMEOUT = 30.0  # seconds without data

BLOCK = 2**16  # bytes per read, so that the progress bar moves


@dataclass(frozen=True)
class LocalFile:
    """A verified file."""

    path: Path
    sha256: str


class _Unreachable(Exception):
    """A source that did not deliver the whole file."""


def find(recipe: CorpusRecipe, *, data_dir: Path | None = None, download: bool = False) -> dict[str, LocalFile]:
    """Find and verify every file of a recipe, in its order.

    Args:
        recipe: of a corpus or word vectors.
        data_dir: the folder to look in first; None means the one that ``TEXTSEQ_DATA`` names, if any.
        download: whether to download missing files into the cache.

    Raises:
        TextseqError: a file is missing, unreadable, has the wrong content, or no source delivers it.
    """
    folders = _folders(data_dir)
    cache = folders[-1]
    replaceable = cache if download else None
    files = {name: _look(file, folders, replaceable) for name, file in recipe.files.items()}
    missing = [recipe.files[name] for name, local in files.items() if local is None]
    size = sum(file.sources[0].bytes for file in missing)
    if missing and not download:
        raise TextseqError(
            f"'{recipe.name}' lacks {len(missing)} of {len(files)} files, the first {missing[0].path}:"
            f" looked in {' and '.join(map(str, folders))}; --download fetches {_readable(size)} from"
            f" {missing[0].sources[0].url}, or put it by hand at {folders[0] / missing[0].path}"
        )
    if missing:
        with tqdm(total=size, desc=recipe.name, unit="B", unit_scale=True, disable=None) as bar:
            fetched = {file: _download(file, cache, bar.update) for file in missing}
    return {name: local or fetched[recipe.files[name]] for name, local in files.items()}


def on_disk(recipe: CorpusRecipe, *, data_dir: Path | None = None) -> bool:
    """Whether every file of a recipe is in the folders that ``find`` looks in; their content is not checked."""
    folders = _folders(data_dir)
    return all(any(os.path.exists(folder / file.path) for folder in folders) for file in recipe.files.values())


def _folders(data_dir: Path | None) -> list[Path]:
    """The user's folder of corpora, if any, and the cache."""
    named = expanded(data_dir, "--data") if data_dir else named_folder("TEXTSEQ_DATA")
    return [*([named] if named else []), cache_folder() / "corpora"]


def _look(file: DataFile, folders: Sequence[Path], replaceable: Path | None) -> LocalFile | None:
    """The file in the first folder that has it; a wrong one in ``replaceable`` counts as missing."""
    expected = {source.sha256 for source in file.sources} | {*file.also}
    for folder in folders:
        path = folder / file.path
        if not os.path.exists(path):  # unlike Path.exists, False without permission
            continue
        digest = _hash(path)
        if digest in expected:
            return LocalFile(path, digest)
        if folder != replaceable:
            raise TextseqError(
                f"{path} is not the file of this corpus: expected SHA-256 {' or '.join(sorted(expected))}, got"
                f" {digest}; remove it, then --download fetches the right one"
            )
    return None


def _hash(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise TextseqError(f"cannot read {path}: {error.strerror or error}; make it a readable file") from error


def _download(file: DataFile, cache: Path, progress: Callable[[int], object]) -> LocalFile:
    """Download the file into the cache, unless another process does."""
    target = cache / file.path
    part = target.with_name(target.name + ".part")
    failures = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target.with_name(target.name + ".lock")):
            if (local := _look(file, [cache], cache)) is not None:
                return local
            for source in file.sources:
                try:
                    _fetch(source, part, progress)
                except _Unreachable as failure:
                    failures.append(f"{source.url}: {failure}")
                    continue
                digest = _hash(part)
                if digest == source.sha256:
                    os.replace(part, target)
                    return LocalFile(target, digest)
                part.unlink()
                failures.append(f"{source.url}: SHA-256 {digest} instead of {source.sha256}")
    except OSError as error:
        raise TextseqError(
            f"cannot write {part}: {error.strerror or error}; free some space, or set TEXTSEQ_HOME to a"
            " folder that can be written"
        ) from error
    raise TextseqError(
        f"could not download {file.path} ({'; '.join(failures)}); try again later, or put it by hand at {target}"
    )


def _fetch(source: Source, part: Path, progress: Callable[[int], object]) -> None:
    """Download the rest of ``part``; on ``_Unreachable`` it keeps what has arrived."""
    have = part.stat().st_size if part.exists() else 0
    if have == source.bytes:  # stopped before the check
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
        raise _Unreachable(f"the connection ended after {arrived} of {source.bytes} bytes; run again to resume")


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
        raise _Unreachable(f"{error or type(error).__name__}; run again to resume") from error


def _readable(size: int) -> str:
    """A size in kB, MB or GB."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"
