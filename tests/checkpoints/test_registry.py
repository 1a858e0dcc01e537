"""Models are found by path, run and shipped name; checkpoints by their numbers."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from textseq.checkpoints import registry
from textseq.checkpoints.model_info import ModelInfo, read_json
from textseq.checkpoints.registry import (
    find_labels,
    find_model,
    find_model_or_labels,
    list_authors,
    list_models,
    model_folder,
    newest,
    numbered,
)  # fmt: skip
from textseq.errors import TextseqError
from textseq.io.paths import runs_folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, which is also the current folder, and an empty shelf of shipped models."""
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(registry, "SHIPPED", tmp_path / "shipped")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def model(place: Path, **facts: object) -> Path:
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps({"task": "language-model", "model": {}, **facts}))
    return place


def test_runs_live_under_home_or_here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs_folder() == home / "home" / "runs"
    monkeypatch.delenv("TEXTSEQ_HOME")
    assert runs_folder().resolve() == home / "here" / "runs"


def test_checkpoints_are_told_by_their_numbers(home: Path) -> None:
    run = home / "run"
    for name in ("last-9", "last-10", "best-3", "last-x", "last-", ".last-11.partial", "last-11.old", "best"):
        (run / name).mkdir(parents=True)
    (run / "last-12").write_text("a file is no checkpoint")
    assert numbered(run, "last") == {9: run / "last-9", 10: run / "last-10"}
    assert newest(run, "last") == run / "last-10"
    assert newest(run, "best") == run / "best-3"
    assert newest(home / "nowhere", "last") is None


def test_a_run_is_its_best_checkpoint_or_its_last(home: Path) -> None:
    run = home / "run"
    last = model(run / "last-7")
    assert model_folder(run) == last
    best = model(run / "best-2")
    assert model_folder(run) == best
    assert model_folder(last) == last
    assert model_folder(home / "here") is None


def test_a_path_comes_before_a_run_and_a_run_before_what_ships(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    shipped = model(registry.SHIPPED / "bard")
    assert find_model("bard") == shipped
    assert caplog.messages == []
    run = model(runs_folder() / "bard" / "best-1")
    with caplog.at_level(logging.WARNING, "textseq"):
        assert find_model("bard") == run
    assert "shadows the model 'bard' that ships with textseq" in caplog.text
    model(home / "here" / "bard")
    assert find_model("bard").resolve() == home / "here" / "bard"
    assert find_model(str(shipped)) == shipped


def test_a_folder_without_a_model_hides_none(home: Path) -> None:
    (home / "here" / "bard").mkdir()  # such as the corpus that the run was trained on
    with pytest.raises(TextseqError, match=r"bard is not a model: it holds neither config\.json nor a checkpoint"):
        find_model("bard")
    shipped = model(registry.SHIPPED / "bard")
    assert find_model("bard") == shipped
    (runs_folder() / "bard").mkdir(parents=True)
    assert find_model("bard") == shipped


def test_unknown_names_are_refused_with_the_nearest_match() -> None:
    model(registry.SHIPPED / "shakespeare")
    model(runs_folder() / "mine" / "last-1")
    with pytest.raises(TextseqError, match=r"unknown model 'shakespear'; did you mean 'shakespeare'.* mine, shakes"):
        find_model("shakespear")
    with pytest.raises(TextseqError, match="no model folder at runs/other; give a run's name"):
        find_model("runs/other")
    with pytest.raises(TextseqError, match="unknown model ''"):
        find_model("")
    where = rf"known: mine, shakespeare \(searched: this folder, {runs_folder()}, what ships with textseq\)$"
    model(runs_folder() / "tags" / "last-1", task="tagging")
    with pytest.raises(TextseqError, match=where):
        find_model("nobody", "language-model")


def test_labels_may_have_commas_and_signs_of_equality(home: Path) -> None:
    odd = model(home / "shipped" / "odd", labels=["Keats, John", "Ann=Lee"])
    names = ("Keats, John", "Ann=Lee", "Keats, John=0.5,Ann=Lee=0.5")
    assert [find_labels(name) for name in names] == [odd] * len(names)


def test_ones_own_model_of_a_label_goes_before_one_that_ships(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    model(home / "shipped" / "english", labels=["austen", "poe"])
    mine = model(runs_folder() / "mine" / "last-1", labels=["austen"])
    assert find_labels("austen") == mine.parent
    assert "'austen' is read as a label of the model mine; known too: english" in caplog.text
    assert {author.name: author.folder for author in list_authors()}["austen"] == mine.parent


def test_labels_find_their_model_and_unknown_ones_the_nearest(home: Path) -> None:
    english = model(home / "shipped" / "english", labels=["austen", "poe"])
    model(home / "shipped" / "russian", labels=["pushkin"])
    assert find_labels("austen") == find_labels("poe=0.3, austen=0.7") == english
    assert find_labels("austin") is None
    for labels, message in (
        ("austin=0.7,poe=0.3", "unknown author 'austin'; did you mean 'austen'. known: austen, poe, pushkin"),
        ("austen=0.5,pushkin=0.5", "expected shares of authors whom one model knows, got 'austen=0.5,pushkin=0.5'"),
    ):
        with pytest.raises(TextseqError, match=message):
            find_labels(labels)
    with pytest.raises(TextseqError, match="unknown model 'austin'; did you mean 'austen'"):
        find_model("austin", "language-model", labels=True)
    with pytest.raises(TextseqError, match="known: english, russian "):
        find_model("austin", "language-model")
    with pytest.raises(TextseqError, match="known: english, russian "):
        find_model("austin", "classification")  # who wrote a text
    (home / "here" / "austen").mkdir()  # his texts
    (home / "here" / "pushkin").write_text("his verses")
    assert find_model_or_labels("austen") == (english, "austen")
    assert find_model_or_labels("pushkin")[0].name == "russian" and find_model_or_labels("english") == (english, None)


def test_recipes_and_corpora_that_are_no_models_yet_say_how_to_train_one() -> None:
    with pytest.raises(
        TextseqError, match=r"known: none .*'treebank' trains one: .*--recipe treebank --name treebank$"
    ):
        find_model("treebank", "tagging")
    with pytest.raises(TextseqError, match=r"'trec' is a corpus to train one on: textseq-train trec$"):
        find_model("trec")
    for name, task in (("trec", "language-model"), ("treebank", "translation"), ("tatoeba-fr-en", "tagging")):
        with pytest.raises(TextseqError, match=r"what ships with textseq\)$"):
            find_model(name, task)


def test_a_run_that_cannot_be_read_hides_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ant", "bee", "cow"):
        model(runs_folder() / name / "last-1")
    (runs_folder() / "ant" / "last-1" / "config.json").write_text("{")
    (runs_folder() / "loop").symlink_to("loop")
    is_file = Path.is_file

    def closed(path: Path) -> bool:  # as without permission, which root always has
        if path.parent.name == "bee":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", closed)
    lines: list[str] = []
    assert [entry.name for entry in list_models(report=lines.append)] == ["cow"]
    assert [line.split(" is left out")[0] for line in lines] == [
        f"note: {runs_folder() / name}" for name in ("ant", "bee")
    ]


def test_the_list_shows_shipped_models_then_runs_and_no_damaged_ones() -> None:
    model(registry.SHIPPED / "bard", task="shipped")
    model(registry.SHIPPED / "bee")
    model(runs_folder() / "bee" / "best-1", task="mine")
    model(runs_folder() / "ant" / "last-1")
    model(runs_folder() / ".hidden" / "last-1")
    model(runs_folder() / "damaged" / "last-1")
    (runs_folder() / "damaged" / "last-1" / "config.json").write_text("{")
    (runs_folder() / "empty").mkdir()
    (runs_folder() / "file").write_text("")
    found = list_models()
    assert [(one.name, one.shipped) for one in found] == [("bard", True), ("bee", False), ("ant", False)]
    assert found[1].info == ModelInfo(task="mine")
    assert found[1].folder == runs_folder() / "bee"
    assert [one.name for one in list_models("language-model")] == ["ant"]


def test_there_need_be_no_models_at_all() -> None:
    assert list_models() == []
    with pytest.raises(TextseqError, match=r"unknown model 'any'; known: none \(searched"):
        find_model("any")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing; restore the folder"),
        (b"{", "is damaged .*; restore the folder"),
        (b'{"a": "\xff"}', "is damaged .*; restore the folder"),
        (b"[1]", "is damaged: expected a JSON object, got list"),
    ],
)
def test_json_that_cannot_be_read_is_told_in_one_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TextseqError, match=rf"^\S*config\.json {message}") as told:
        read_json(path)
    assert "\n" not in str(told.value)


def test_json_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"ż": [1, 2.5, null]}', encoding="utf-8")
    assert read_json(path) == {"ż": [1, 2.5, None]}


def test_the_list_needs_no_torch() -> None:
    code = "import sys; import textseq; textseq.list_models(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
