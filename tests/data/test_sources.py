"""What the data sources of all tasks share."""

from __future__ import annotations

import pytest

from textseq.config.base import flag_of
from textseq.data.sources import DataSource
from textseq.errors import TextseqError
from textseq.tasks.registry import TASKS

PATHS = [
    (task.source, name)
    for task in TASKS
    for name in (task.source.own_files, f"validation_{task.source.own_files}", "labelled")
    if hasattr(task.source, name)
]


@pytest.mark.parametrize(("source", "name"), PATHS)
def test_an_empty_name_is_not_the_current_folder(source: type[DataSource], name: str) -> None:
    with pytest.raises(TextseqError, match=f"^{flag_of(name)}: expected a file or folder, got an empty name; name one"):
        source.from_dict({name: ["a.txt", ""]}, where="a recipe")
