"""Files and folders that get their name only once they are complete and on disk."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import secrets
import shutil
import stat
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from textseq.errors import Interrupted, TextseqError

Value = TypeVar("Value")


def check_picture(picture: Path, what: str = "a picture") -> None:
    """Raise a TextseqError unless the file name ends in .png; ``what`` names the option in the message."""
    if picture.suffix.lower() != ".png":
        ending = f"{picture.suffix or 'no ending'} in {picture}"
        raise TextseqError(f"{what} is drawn as a PNG: expected a name that ends in .png, got {ending}; rename it")


def real(path: Path) -> Path:
    """The absolute path without links, of a file that may not exist; a TextseqError if links form a loop."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        raise TextseqError(f"{path} is a link that leads to itself; remove it, or name another file") from None


def is_stream(path: Path) -> bool:
    """Whether a path is a device, a pipe, or stdout or stderr by name: something to write to, not to replace."""
    mode = _mode(path)
    return (mode is not None and not stat.S_ISREG(mode)) or _descriptor(path) is not None


def _descriptor(path: Path) -> int | None:
    """The number of stdout or stderr, if the path is one of them."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(os.stat(path), os.fstat(descriptor)):
                return descriptor
    return None


def _open_stream(path: Path) -> BinaryIO:
    """Open a device or pipe to write to; stdout and stderr continue where they are, also if they are files."""
    if (descriptor := _descriptor(path)) is None:
        return open(path, "wb", buffering=0)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return os.fdopen(os.dup(descriptor), "wb", buffering=0)


def _write_all(file: BinaryIO, data: bytes) -> None:
    """Write all bytes to an unbuffered file."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


@contextmanager
def replacing(*paths: Path) -> Iterator[tuple[BinaryIO, ...]]:
    """Temporary files that become ``paths``, in this order, when the block succeeds.

    On failure nothing is left behind, and no reader ever sees a half-written file. A link stays a link: the file that
    it points to is replaced. Devices and pipes are written to at the end of the block.

    Raises:
        TextseqError: the disk is full, or the folder cannot be created or written to.
    """
    targets = [path if is_stream(path) else real(path) for path in paths]
    asides = [None if is_stream(path) else path.with_name(f".{path.name}.{secrets.token_hex(8)}") for path in targets]
    try:
        targets[0].parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            files = tuple(stack.enter_context(_temporary(aside)) for aside in asides)
            yield files
            for file, aside, target in zip(files, asides, targets, strict=True):
                file.flush()
                if aside is not None:
                    os.fsync(file.fileno())
                    continue
                file.seek(0)
                with _open_stream(target) as stream:
                    for block in iter(partial(file.read, 2**20), b""):
                        _write_all(stream, block)
        for aside, target in zip(asides, targets, strict=True):
            if aside is not None:
                os.replace(aside, target)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_write(paths[0], error) from error
    finally:
        for aside in filter(None, asides):
            with suppress(OSError):
                aside.unlink()


def _temporary(aside: Path | None) -> BinaryIO:
    """A new file under a name, or a nameless one."""
    return open(aside, "xb") if aside else cast(BinaryIO, tempfile.TemporaryFile())


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that is synced and renamed to ``target``, which must not exist, when the block succeeds.

    Raises:
        TextseqError: the disk is full, or the parent folder cannot be written to.
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
    """A UTF-8 text file to write line by line; it is ``path`` plus ".part" until the block succeeds.

    If the block is stopped, complete lines stay in the part, and the error or ``Interrupted`` says so; without any, it
    is removed. Pipes and devices are written to directly.

    Yields:
        A function that writes a line, unbuffered.

    Raises:
        TextseqError: the part exists already, the disk is full, or the parent folder cannot be written to.
    """
    plain = not is_stream(path)
    if plain:
        path = real(path)  # write to the target of a link
    aside = path.with_name(path.name + ".part") if plain else path
    count = end = 0

    def write(line: str) -> None:
        nonlocal count, end
        data = (line + "\n").encode()
        with _writing(aside):
            try:
                _write_all(file, data)
            except OSError:
                with suppress(OSError):
                    file.truncate(end)  # drop the incomplete line
                raise
        count, end = count + 1, end + len(data)

    if plain and aside.exists():
        raise TextseqError(f"{aside} exists, from a run that was stopped or is still going on; rename it or remove it")
    with _writing(aside):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = cast(BinaryIO, open(aside, "xb", buffering=0)) if plain else _open_stream(path)  # noqa: SIM115
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
    """Convert write errors to TextseqError, except a broken pipe."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error


def check_outputs(outputs: Mapping[str, Path | None], read: Iterable[Path | None]) -> None:
    """Check in advance that the outputs can be written.

    Args:
        outputs: the files to write, by flag.
        read: the files that are read meanwhile; no output may replace one of these or another output.

    Raises:
        TextseqError: an output is a folder, is in a folder that does not exist, or is in use.
    """
    taken = {real(path): path for path in read if path is not None}  # the names that the user gave
    for flag, path in outputs.items():
        if path is None:
            continue
        if path.is_dir():
            raise TextseqError(f"{flag}: expected a file to write, got the folder {path}; name another")
        if is_stream(path):
            continue
        if not (folder := real(path).parent).is_dir():
            raise TextseqError(f"{flag}: expected a file in an existing folder, got no folder at {folder}; create it")
        if (other := taken.setdefault(real(path), path)) is not path:
            raise TextseqError(f"{flag} would overwrite {other}, which is in use; name another file")


def cannot_write(path: Path, error: Exception) -> TextseqError:
    """The one-line error for a path that could not be written."""
    reason = " ".join(str(error).split())
    full = (isinstance(error, OSError) and error.errno == errno.ENOSPC) or "No space left" in reason
    what = "the disk is full; free some space" if full else f"{reason}; use a place that can be written to"
    return TextseqError(f"cannot write {path}: {what}")


def sha256(path: Path) -> str:
    """The hex SHA-256 of a file's bytes."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file to read; a ValueError for a pipe or device, which may block or never end."""
    if _is_special(path):
        raise ValueError("it is a pipe or a device instead of a file")
    return path.open("rb")


def refuse_special(folder: Path) -> None:
    """Raise a TextseqError if a folder has a pipe or device in it, which may block or never end."""
    for path in folder.iterdir():
        if _is_special(path):
            raise TextseqError(f"{path} is a pipe or a device; expected files that textseq wrote, remove it")


def _is_special(path: Path) -> bool:
    mode = _mode(path)
    return mode is not None and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _mode(path: Path) -> int | None:
    """What is at a path, asked once (another process may remove it between two questions); None for nothing."""
    try:
        return path.stat().st_mode
    except OSError:
        return None


def _sync(path: Path) -> None:
    """Flush a file or folder to disk; Windows cannot do this for folders."""
    if os.name == "nt" and path.is_dir():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


LARGEST = 2**24
"""Default limit in bytes on files of settings; parsed they take about twenty times as much memory."""


def read_text(path: Path, largest: int = LARGEST) -> str:
    """The text of a whole UTF-8 file.

    Raises:
        OSError: it is missing or cannot be read.
        ValueError: it is a pipe or device, is not UTF-8, or has more than ``largest`` bytes.
    """
    data = bytearray()
    with open_regular(path) as file:
        while len(data) <= largest and (block := file.read(2**16)):  # a read of so much would allocate it first
            data += block
    if len(data) > largest:
        raise ValueError(f"it has more than {largest:,} bytes")
    return data.decode()


def json_of(text: str) -> object:
    """Parse JSON; an error in the text, such as too deep nesting, is a ValueError."""
    return _parsed(json.loads, text)


def toml_of(text: str) -> dict[str, object]:
    """Parse TOML; an error in the text, such as too deep nesting, is a ValueError."""
    return _parsed(tomllib.loads, text)


def _parsed(parse: Callable[[str], Value], text: str) -> Value:
    try:
        return parse(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
