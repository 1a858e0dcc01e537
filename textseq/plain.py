"""Plain data in files, JSON and TOML, whoever wrote them: what is no such data, or too much of it, is a ValueError."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

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
