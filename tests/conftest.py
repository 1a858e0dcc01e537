"""What several test files share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def data_file() -> Callable[[str], Path]:
    """Gives the path of a corpus file, such as "tinyshakespeare/input.txt", under ``TEXTSEQ_DATA``.

    Where the file is missing the test is skipped, or fails if ``TEXTSEQ_REQUIRE_DATA`` is 1.
    """

    def find(name: str) -> Path:
        folder = os.environ.get("TEXTSEQ_DATA")
        if folder and (path := Path(folder) / name).exists():
            return path
        missing = f"TEXTSEQ_DATA ({folder or 'not set'}) has no {name}"
        if os.environ.get("TEXTSEQ_REQUIRE_DATA") == "1":
            pytest.fail(missing)
        pytest.skip(missing)

    return find


@pytest.fixture
def data_folder(data_file: Callable[[str], Path]) -> Path:
    """The folder ``TEXTSEQ_DATA`` itself."""
    return data_file(".")
