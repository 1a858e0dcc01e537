"""Compressed files: what the ending of a name says, read without a copy on disk."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, cast

from textseq.errors import TextseqError
from textseq.io.extras import optional

ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"

ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Supported compressions of members of ZIP archives."""


def open_zstd(path: Path) -> IO[bytes]:
    """Open a Zstandard file with Python's own module (3.14), or with its backport."""
    zstd = optional(ZSTD, "zstd", needed_for=f"reading {path}")
    return cast(IO[bytes], zstd.open(path))


def open_zip(path: Path) -> IO[bytes]:
    """Open the only file of a ZIP archive."""
    with zipfile.ZipFile(path) as archive:  # stays open as long as the member
        files = [item for item in archive.infolist() if not item.is_dir()]
        members = [item for item in files if not item.filename.startswith("__MACOSX/")]  # metadata of macOS
        if len(members) != 1:
            raise TextseqError(f"{path}: expected an archive of one file, got {len(members)}; decompress it first")
        if members[0].compress_type not in ZIP_METHODS:
            raise TextseqError(f"{path} has an unsupported compression; compress it with deflate")
        try:
            return archive.open(members[0])
        except RuntimeError as error:  # it is encrypted
            raise TextseqError(f"cannot read {path}: {error}; decompress it first") from error


OPENERS: Mapping[str, Callable[[Path], IO[bytes]]] = {
    ".gz": lambda path: cast(IO[bytes], gzip.GzipFile(path)),
    ".bz2": lambda path: cast(IO[bytes], bz2.BZ2File(path)),
    ".xz": lambda path: cast(IO[bytes], lzma.LZMAFile(path)),  # noqa: SIM115
    ".zst": open_zstd,
    ".zip": open_zip,
}
"""How to open a compressed file, by the last ending of its name."""


def damage() -> tuple[type[Exception], ...]:
    """What reading a damaged file raises; for bzip2 an ``OSError`` without a number."""
    zstd = [module.ZstdError for module in [sys.modules.get(ZSTD)] if module]
    return (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, *zstd)


def plain_name(path: Path) -> str:
    """The name without the ending of a compression: "a.TSV" for "a.TSV.gz"."""
    return path.name[: -len(path.suffix)] if path.suffix.lower() in OPENERS else path.name


def open_plain(path: Path) -> IO[bytes]:
    """Open a file to read its bytes, decompressed if its name ends in one of ``OPENERS``."""
    opener = OPENERS.get(path.suffix.lower())
    file = path.open("rb") if opener is None else opener(path)
    return file if opener in (None, open_zip) else cast(IO[bytes], io.BufferedReader(cast(io.RawIOBase, file)))
