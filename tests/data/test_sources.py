"""What the data sources of all tasks share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import pytest

from textseq.config.base import flag_of
from textseq.data.dataset import Dataset
from textseq.data.sources import DataSource, LabelledData, TextData
from textseq.errors import TextseqError
from textseq.tasks.registry import TASKS
from textseq.tasks.task import Task

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


def test_a_folder_of_novels_is_for_a_language_model(tmp_path: Path) -> None:
    for name in ("anna", "bert"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "novel.txt").write_text(name * 300_000)
    dataset = TextData(labelled=(str(tmp_path),), condition="label", validation=0).open()
    assert [sum(map(len, chunks)) for chunks in dataset.documents("train")] == [1_200_001] * 2


@pytest.mark.parametrize("source", [TextData, LabelledData])
def test_too_few_texts_for_validation_name_only_flags_that_there_are(source: type[DataSource], tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text("text,label\none,a\ntwo,b\n")
    remedy = "give separate validation files" if hasattr(source, "validation_labelled") else "add more texts"
    with pytest.raises(TextseqError, match=rf"few.csv to keep some for validation \(2\); {remedy}, or --validation 0$"):
        source.from_dict({"labelled": [str(tmp_path / "few.csv")]}, where="test").open()
    source.from_dict({"labelled": [str(tmp_path / "few.csv")], "validation": 0}, where="test").open()


@pytest.mark.parametrize("source", [TextData, LabelledData])
@pytest.mark.parametrize("form", ["folder", "table"])
@pytest.mark.parametrize("row", [b"", b"\xff", b"long"])
def test_what_an_error_about_rows_offers_can_be_said(
    source: type[DataSource], form: str, row: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textseq.data.readers.labelled.LONGEST_LINE", 10)
    row = row * 4
    for label in ("a", "b"):
        (tmp_path / "folder" / label).mkdir(parents=True)
        (tmp_path / "folder" / label / "1.txt").write_text(label)
    (tmp_path / "folder" / "a" / "2.txt").write_bytes(row)
    (tmp_path / "table.csv").write_bytes(b"text,label\na,a\nb,b\n" + row + b",a\n")
    files = {"labelled": [str(tmp_path / ("folder" if form == "folder" else "table.csv"))], "validation": 0}
    files |= {"condition": "label"} if source is TextData else {"longest_text": 10}
    try:
        source.from_dict(files, where="test").open()
    except TextseqError as error:
        offered = re.findall(r"--(\w+) drop", str(error))
        assert offered
        dataset = source.from_dict({**files, **dict.fromkeys(offered, "drop")}, where="test").open()
        assert "ropped" in dataset.notes[-1]
    else:
        assert row == b"long" * 4 and source is TextData and form == "table"


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my.novel.txt", "my.novel"),
        ("data/reviews.CSV.gz", "reviews"),
        (".hidden", ".hidden"),
        ("texts.literal-0123456789abcdef.jsonl", "texts"),
        ("hf://user/poems:small@train", "poems"),
    ],
)
def test_the_default_name_of_a_run_is_that_of_its_file_whatever_the_task(task: Task, file: str, name: str) -> None:
    source = task.source.from_dict({task.source.own_files: [file]}, where="test")
    assert source.default_name(cast(Dataset, None)) == name
