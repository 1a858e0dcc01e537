"""Files and folders that appear under their name only once they are whole and on disk."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import secrets
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from textseq.errors import Interrupted, TextseqError


def check_picture(picture: Path, what: str = "a picture") -> None:
    """Refuse a file name that does not end in .png, whatever else it ends in: the name says what is in the file.

    Args:
        picture: where a picture is to go.
        what: what asks for it, such as the flag.

    Raises:
        TextseqError: it ends otherwise.
    """
    if picture.suffix.lower() != ".png":
        found = f"{picture.suffix or 'no ending'} in {picture}"
        raise TextseqError(f"{what} is drawn as a PNG: wanted a name that ends in .png, found {found}; name it so")


if sys.platform == "win32":
    pass
else:
    pass


log = logging.getLogger("textseq")


@contextmanager
def replacing(*paths: Path) -> Iterator[tuple[BinaryIO, ...]]:
    """Files of one folder to write aside: when the block ends well they become ``paths``, in this order.

    Whatever fails, nothing is left behind, and no reader ever sees a file half-written.

    Raises:
        TextseqError: the disk is full, or the folder cannot be made or written to.
    """
    asides = [path.with_name(f".{path.name}.{secrets.token_hex(8)}") for path in paths]
    try:
        paths[0].parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            files = tuple(stack.enter_context(open(aside, "xb")) for aside in asides)
            yield files
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        for aside, path in zip(asides, paths, strict=True):
            os.replace(aside, path)
    except OSError as error:
        raise cannot_write(paths[0], error) from error
    finally:
        for aside in asides:
            with suppress(OSError):
                aside.unlink()


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A folder to fill aside: when the block ends well it is on disk and becomes ``target``, which must be free.

    Raises:
        TextseqError: the disk is full, or the place cannot be written to.
    """
    aside = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(aside, ignore_errors=True)  # left by a run that was killed
        aside.mkdir()
        yield aside
        for path in (*aside.iterdir(), aside):
            _sync(path)
        aside.rename(target)
        _sync(target.parent)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def growing(path: Path) -> Iterator[Callable[[str], None]]:
    """A text to write line by line, in UTF-8: when the block ends well it becomes ``path``.

    Until then it is ``path`` with ".part" after it. Whatever stops the block, the lines that have been written stay
    there, whole, and the error or ``Interrupted`` says so; where there are none, nothing stays. A pipe or a device is
    written to as it is.

    Yields:
        What writes a line, which is in the file when it returns.

    Raises:
        TextseqError: there is such a part already, the disk is full, or the place cannot be written to.
    """
    plain = path.is_file() or not path.exists()
    if plain:
        path = path.resolve()  # the file that a link names is meant, not the link
    aside = path.with_name(path.name + ".part") if plain else path
    count = end = 0

    def write(line: str) -> None:
        nonlocal count, end
        data = (line + "\n").encode()
        with _writing(aside):
            try:
                written = 0
                while written < len(data):
                    written += file.write(data[written:])
            except OSError:
                with suppress(OSError):
                    file.truncate(end)  # half a line would look like a whole one
                raise
        count, end = count + 1, end + len(data)

    if plain and aside.exists():
        raise TextseqError(f"{aside} exists, from a run that was stopped or still goes on; rename it or remove it")
    with _writing(aside):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(aside, "xb" if plain else "wb", buffering=0)  # noqa: SIM115
    try:
        with file:
            yield write
            if plain:
                with _writing(aside):
                    os.fsync(file.fileno())
        if plain:
            with _writing(path):
                os.replace(aside, path)
    except (TextseqError, Interrupted, KeyboardInterrupt) as stop:
        kept = f"; what was written until then is in {aside}" if count and plain else ""
        if isinstance(stop, TextseqError):
            raise TextseqError(f"{stop}{kept}") from stop
        raise Interrupted(f"{str(stop) or 'stopped'}{kept}", getattr(stop, "code", 130)) from None
    finally:
        if plain and count == 0:
            aside.unlink(missing_ok=True)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What fails in the block is said in our words, but for a pipe that no one reads any more."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error


def check_outputs(outputs: Mapping[str, Path | None], read: Iterable[Path | None]) -> None:
    """Refuse, before anything is done, files that cannot be written in the end.

    Args:
        outputs: by the flag that names it what is to be written, if it was given.
        read: what is read meanwhile, if it is a file; neither that nor another output may be written over.

    Raises:
        TextseqError: a folder where a file is wanted, a folder that does not exist, a file that is in use.
    """
    taken = {path.resolve(): path for path in read if path is not None}  # under the name that the user knows
    for flag, path in outputs.items():
        if path is None:
            continue
        if path.is_dir():
            raise TextseqError(f"{flag} wants a file to write, found the folder {path}; name another")
        if not (folder := path.resolve().parent).is_dir():
            raise TextseqError(f"{flag} wants a file in a folder that exists, found none at {folder}; make it first")
        if (other := taken.setdefault(path.resolve(), path)) is not path:
            raise TextseqError(f"{flag} would write over {other}, which is in use; name another file")


def cannot_write(path: Path, error: Exception) -> TextseqError:
    """The one-line error for what could not be written."""
    reason = " ".join(str(error).split())
    full = (isinstance(error, OSError) and error.errno == errno.ENOSPC) or "No space left" in reason
    what = "the disk is full; free some space" if full else f"{reason}; use a place that can be written to"
    return TextseqError(f"cannot write {path}: {what}")


def sha256(path: Path) -> str:
    """The hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Wait until a file or folder is on disk (Windows cannot open folders; there nothing can be done)."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


LARGEST = 2**24
"""Bytes of a file of settings; none of ours has a hundredth. Its data takes some twenty times as many in memory."""


def read_text(path: Path, largest: int = LARGEST) -> str:
    """The text of a whole file, in UTF-8.

    Raises:
        OSError: it is missing or cannot be read.
        ValueError: it is no text, or has more bytes than ``largest``.
    """
    with path.open("rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise ValueError(f"it has more than {largest:,} bytes")
    return data.decode()


def json_of(text: str) -> object:
    """What a JSON text says.

    Raises:
        ValueError: it is no JSON, or nested too deeply, or has a number of too many digits.
    """
    try:
        found: object = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return found


def toml_of(text: str) -> dict[str, object]:
    """What a TOML text says.

    Raises:
        ValueError: it is no TOML, or nested too deeply, or has a number of too many digits.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
