"""From a corpus recipe to verified files: in a folder of the user's, in the cache, or downloaded.

A file that a recipe names is used only after its SHA-256 has been checked. A download goes to ``FILE.part`` beside its
target, resumes where it stopped, and gets its name only when it is complete and verified. Of several processes that
want a file at once one downloads it, and the others wait.
"""

from __future__ import annotations

import hashlib
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
from textseq.io.locks import locked
from textseq.io.paths import cache_folder

TIMEOUT = 30.0  # seconds without an answer, or without one more byte

BLOCK = 2**16  # bytes per read, so that the progress bar moves


@dataclass(frozen=True)
class LocalFile:
    """A file on this machine whose SHA-256 is one of those wanted."""

    path: Path
    sha256: str


class _Unreachable(Exception):
    """A source that gave no (or no whole) file; the next one may."""


def find(recipe: CorpusRecipe, *, data_dir: Path | None = None, download: bool = False) -> dict[str, LocalFile]:
    """Find and verify every file of a recipe, in its order.

    Args:
        recipe: says what is wanted.
        data_dir: a folder to look in first; None means the folder that ``TEXTSEQ_DATA`` names, if any.
        download: whether to fetch into the cache what neither folder has.

    Raises:
        TextseqError: a file is missing and ``download`` is False, has the wrong content, cannot be
            read, or no source delivers it.
    """
    cache = cache_folder() / "corpora"
    named = data_dir or os.environ.get("TEXTSEQ_DATA")
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
            fetched = {file: _download(file, cache, bar.update) for file in missing}
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


def _download(file: DataFile, cache: Path, progress: Callable[[int], object]) -> LocalFile:
    """The file, downloaded into the cache by this process, or by another that does so already."""
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
