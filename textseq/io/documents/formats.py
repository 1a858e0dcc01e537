"""What a file is, by its first bytes: another format than text, or text in another encoding."""

from __future__ import annotations

import codecs
import re

from textseq.io.documents.errors import NotText

BEGINNING = 2**13  # bytes from which other formats and UTF-16 are recognized, and line ends if they have any

OTHER_FORMATS = re.compile(
    rb"(?P<zip>PK\x03\x04)|(?P<pdf>%PDF-)|(?P<gzip>\x1f\x8b)|(?P<xz>\xfd7zXZ\0)|(?P<zstd>\x28\xb5\x2f\xfd)"
    rb"|(?P<bzip2>BZh[1-9]1AY&SY)|(?P<_7z>7z\xbc\xaf\x27\x1c)|(?P<rtf>\{\\rtf)|(?P<doc>\xd0\xcf\x11\xe0)"
    rb"|(?P<parquet>PAR1\x15)|(?P<png>\x89PNG)|(?P<jpeg>\xff\xd8\xff)|(?P<sqlite>SQLite format 3\0)"
)
"""First bytes of formats that people take for text."""

COMPRESSED = {"gzip": "gz", "bzip2": "bz2", "xz": "xz", "zstd": "zst", "zip": "zip", "7z": ""}
"""Compressions among them, and the endings by which they are read."""

ZIP_FORMATS = {b"word/": "docx", b"epub+zip": "epub", b"xl/": "xlsx", b"ppt/": "pptx", b"opendocument": "odt"}
"""Formats that are ZIP archives, by what their beginning contains."""


def check_beginning(data: bytes, name: str, encoding: str) -> None:
    """Raise NotText for the first bytes of a file in one of ``OTHER_FORMATS``, or in Unicode not asked for."""
    if match := OTHER_FORMATS.match(data):
        kind = str(match.lastgroup).removeprefix("_")
        if kind == "zip":
            kind = next((office for part, office in ZIP_FORMATS.items() if part in data), kind)
        how = "save it as plain text first"
        if kind in COMPRESSED:
            how = f"give it a name that ends in .{COMPRESSED[kind]}" if COMPRESSED[kind] else "decompress it first"
        raise NotText(f"{name} is a file of the format {kind}, not text; {how}")
    _check_not_utf_8(data, name, encoding)
    even, odd = data[::2].count(0), data[1::2].count(0)
    if max(even, odd) < max(2, len(data) // 50) or re.match("utf.?(16|32)", encoding, re.IGNORECASE):
        return
    width = 32 if even and odd and even + odd > len(data) / 2 else 16
    if width == 32 or min(even, odd) * 20 < max(even, odd):
        order = (
            ""
            if data[:2] in (b"\xff\xfe", b"\xfe\xff")
            else "-be"
            if data[:1] == b"\0"
            else "-le"
            if width == 32 or odd > even
            else "-be"
        )
        raise NotText(f"{name} is not {encoding} text but seems to be UTF-{width}: set --encoding utf-{width}{order}")


def _check_not_utf_8(data: bytes, name: str, encoding: str) -> None:
    """Raise NotText if an encoding of one byte per character is set for what is UTF-8.

    Two characters at least must be beyond ASCII: one alone may be an accent before a quotation mark.
    """
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return
    letters = [letter for letter in text if not letter.isascii()]
    if len(letters) < 2 and not text.startswith("\ufeff"):
        return
    first = letters[0].encode()
    seen = first.decode(encoding, "replace")
    if len(seen) == len(first):
        raise NotText(
            f"{name} is UTF-8 text, not {encoding}, which would read '{letters[0]}' as '{seen}'; leave out --encoding"
        )
