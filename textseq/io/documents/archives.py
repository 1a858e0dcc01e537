"""ZIP and tar archives: opened, and their members selected by name."""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from fnmatch import translate
from functools import cache
from pathlib import Path

from textseq.errors import TextseqError
from textseq.io.documents.errors import damaged, reading, unreadable


def archive_of(path: Path) -> zipfile.ZipFile:
    """Open a ZIP archive; a TextseqError if it is damaged, unreadable or another file."""
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:  # unknown version or bad names
        raise TextseqError(f"{path} is not an intact ZIP archive ({error}); remove it and download it again") from error
    except OSError as error:
        raise unreadable(path, error) from error


def matches_any(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name matches one of these shell patterns in all its letters, such as ``train/*.txt``."""
    return _compiled(tuple(patterns)).match(name) is not None


@cache
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)) or "(?!)")


def members_of(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """The names and contents of the files in a ZIP or tar.gz archive that ``wanted`` selects."""
    opened = _zip_members if zipfile.is_zipfile(path) else _tar_members
    try:
        with reading(str(path)):
            yield from opened(path, wanted)
    except (tarfile.TarError, UnicodeDecodeError) as error:  # a name in the archive is not the UTF-8 it claims to be
        raise damaged(path, error) from error


def _zip_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if wanted(name) and not name.endswith("/"):
                yield name, archive.read(name)


def _tar_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r|gz") as archive:
        for member in archive:
            if member.isfile() and wanted(member.name) and (file := archive.extractfile(member)) is not None:
                yield member.name, file.read()
