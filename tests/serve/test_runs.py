"""Runs are shown as they are, and one training at a time is started, stopped and resumed."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving import Running

from textseq.errors import TextseqError
from textseq.serve.errors import RequestError
from textseq.serve.training import MOST_POINTS, MOST_SAID, Trainings

BUSY = ["--hidden-size=8", "--max-minutes=5", "--window=8", "--batch-size=2", "--save-every=20", "--evaluate-every=20"]


@pytest.fixture
def trainings(empty_home: Path) -> Iterator[Trainings]:
    trainings = Trainings(read_only=False)
    yield trainings
    trainings.close()


def wait(until: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.usefixtures("forked_trainings")
def test_a_training_is_started_stopped_and_resumed(trainings: Trainings) -> None:
    trainings.start("mine", "one two three four five six seven,\n" * 200, BUSY)
    with pytest.raises(RequestError, match="mine is being trained; stop it"):
        trainings.start("other", "text", [])
    wait(lambda: any("validation_loss" in row for row in trainings.log("mine").points) and bool(trainings.names()))
    assert trainings.state("mine")[0]
    trainings.stop("mine")
    wait(lambda: not trainings.state("mine")[0])
    before = trainings.log("mine")
    assert "loss" in before.points[0]
    assert "step 20: validation" in trainings.state("mine")[1]
    with pytest.raises(RequestError, match="is not being trained"):
        trainings.stop("mine")
    trainings.resume("mine")
    wait(lambda: trainings.log("mine").points[-1]["step"] > before.points[-1]["step"])
    trainings.close()
    with pytest.raises(RequestError, match="a run is called mine already"):
        trainings.start("mine", "text", [])


def test_what_a_training_says_is_shown(trainings: Trainings) -> None:
    trainings.start("short", "ab", BUSY)
    wait(lambda: not trainings.state("short")[0])
    assert trainings.state("short")[1].splitlines()[-1].startswith("textseq-train: ")


def test_what_is_said_is_read_while_it_is_written(trainings: Trainings) -> None:
    code = "import os\nfor number in range(50_000): os.write(1, b'%05d\\n' % number)"
    trainings._said, trainings._name = tempfile.TemporaryFile(), "mine"  # noqa: SIM115
    trainings._child = subprocess.Popen([sys.executable, "-c", code], stdout=trainings._said)
    while trainings.state("mine")[0]:
        pass
    lines = os.pread(trainings._said.fileno(), 1_000_000, 0).decode().split()
    assert lines == [f"{number:05}" for number in range(50_000)]
    said = trainings.state("mine")[1]
    assert len(said) == MOST_SAID and said.endswith("49999\n")


def test_what_is_said_waits_for_the_next_training_to_begin(trainings: Trainings) -> None:
    reader = threading.Thread(target=trainings.state, args=("mine",))
    with trainings._lock:  # as _spawn does, which closes the file
        reader.start()
        reader.join(0.2)
        assert reader.is_alive()
    reader.join(20)
    assert not reader.is_alive()


def test_a_file_of_the_user_is_never_replaced(trainings: Trainings, empty_home: Path) -> None:
    mine = empty_home / "texts" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("my own text")
    with pytest.raises(RequestError, match=r"mine\.txt exists and has another text; choose another name"):
        trainings.start("mine", "text", BUSY)
    assert mine.read_text() == "my own text"
    (mine.parent / "folder.txt").mkdir()
    with pytest.raises(RequestError, match=r"folder\.txt exists and is a folder; choose another name"):
        trainings.start("folder", "text", BUSY)
    trainings.start("mine", "my own text", BUSY)


def test_a_home_that_cannot_be_used_is_said(
    trainings: Trainings, empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    (empty_home / "texts").touch()
    with pytest.raises(TextseqError, match=r"mine\.txt"):
        trainings.start("mine", "text", BUSY)
    (empty_home / "texts").unlink()
    monkeypatch.setattr("textseq.serve.training.tempfile.TemporaryFile", fail)
    with pytest.raises(RequestError, match=r"temporary file: .*Permission denied; set TMPDIR"):
        trainings.start("mine", "text", BUSY)
    monkeypatch.setattr("textseq.serve.training.sha256", fail)
    with pytest.raises(RequestError, match=r"cannot read .*mine\.txt: .*Permission denied; choose another name"):
        trainings.start("mine", "text", BUSY)


@pytest.mark.usefixtures("forked_trainings")
def test_the_text_of_a_training_that_failed_can_be_corrected(trainings: Trainings, empty_home: Path) -> None:
    kept = empty_home / "texts" / "mine.txt"
    (empty_home / "runs" / "mine").mkdir(parents=True)  # of a run that was killed before it saved anything
    for text in ("ab", "abc", "one two three four five six seven,\n" * 200):
        trainings.start("mine", text, BUSY)
        assert kept.read_text() == text
        wait(lambda: not trainings.state("mine")[0] or bool(trainings.names()))
    assert trainings.names() == ["mine"]


@pytest.mark.usefixtures("forked_trainings")
def test_a_text_of_the_user_is_kept_when_a_training_failed(trainings: Trainings, empty_home: Path) -> None:
    before, edited = empty_home / "texts" / "before.txt", empty_home / "texts" / "edited.txt"
    before.parent.mkdir()
    before.write_text("ab")
    for path in (before, edited):
        trainings.start(path.stem, "ab", BUSY)
        assert trainings._child is not None and trainings._child.wait() == 2
        if path == edited:
            path.write_text("abcd")
        with pytest.raises(RequestError, match="exists and has another text; choose another name"):
            trainings.start(path.stem, "abc", BUSY)
    assert (before.read_text(), edited.read_text()) == ("ab", "abcd")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-x", "a" * 51, "ż", "a.b", "con\n"])
def test_names_stay_in_the_folder(trainings: Trainings, name: str) -> None:
    with pytest.raises(RequestError, match=r"expected 1 to 50 letters .*, the first a letter or digit, got"):
        trainings.start(name, "text", [])
    for use in (trainings.log, trainings.resume):
        with pytest.raises(RequestError, match="no run is called"):
            use(name)


def test_long_logs_are_thinned_and_damaged_lines_left_out(trainings: Trainings, empty_home: Path) -> None:
    folder = empty_home / "runs" / "long"
    folder.mkdir(parents=True)
    rows = [json.dumps({"step": step, "loss": 1.0, "note": "x"}) for step in range(5 * MOST_POINTS)]
    rows += ["[]", '{"step": "x"}', '{"loss"', json.dumps({"step": 9_999, "validation_loss": 2.0})]
    (folder / "log.jsonl").write_text("\n".join(rows), encoding="utf-8")
    (folder / "README.md").write_text("# A card", encoding="utf-8")
    log = trainings.log("long")
    assert MOST_POINTS <= len(log.points) <= 2 * MOST_POINTS
    assert log.points[0] == {"step": 0, "loss": 1.0} and log.points[-1] == {"step": 9_999, "validation_loss": 2.0}
    assert log.card == "# A card"


def test_a_read_only_server_starts_nothing(empty_home: Path) -> None:
    with pytest.raises(RequestError, match="read-only"):
        Trainings(read_only=True).start("mine", "text", [])


def test_only_servers_of_this_machine_train(monkeypatch: pytest.MonkeyPatch, empty_home: Path) -> None:
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    from textseq.serve.app import create_app

    hosts = {"127.0.0.1": False, "localhost": False, "0.0.0.0": True, "192.168.1.2": True}
    for host, read_only in hosts.items():
        assert create_app(host=host).state.server.trainings.read_only == read_only


def test_the_addresses(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    assert running.ask("/runs") == {"read_only": False, "names": []}
    assert "no run is called 'mine'" in running.refusal("/runs/mine/resume", {}, 404)
    assert "name: expected" in running.refusal("/runs", {"name": "../x", "text": "a"})
    assert "cell" in running.refusal("/runs", {"name": "x", "text": "a", "cell": "--x"})
    monkeypatch.setattr(sys, "executable", "/bin/true")
    assert running.call("/runs", {"name": "begun", "text": "a"})[0] == 202
    run = running.ask("/runs/begun")
    assert (run["points"], run["said"], run["card"]) == ([], "", "")
