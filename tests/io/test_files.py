"""Files and folders are there whole or not at all, whatever fails while they are written."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

from textseq.errors import Interrupted, TextseqError
from textseq.io import locks
from textseq.io.files import (
    cannot_write,
    check_outputs,
    growing,
    is_stream,
    refuse_special,
    replacing,
    sha256,
    whole_folder,
)
from textseq.io.locks import clear_leavings, locked


def full_disk(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_file(place: Path) -> None:
    with replacing(place / "a.txt", place / "b.txt") as (a, b):
        a.write(b"new a")
        b.write(b"new b")


def write_folder(place: Path) -> None:
    with whole_folder(place / "folder") as aside:
        (aside / "a.txt").write_bytes(b"new a")


WRITERS = pytest.mark.parametrize("write", [write_file, write_folder])


def test_files_appear_when_the_block_ends(tmp_path: Path) -> None:
    old, new = tmp_path / "old.txt", tmp_path / "deep" / "new.txt"
    old.write_bytes(b"before")
    with replacing(old) as (file,):
        file.write(b"after")
        file.flush()
        assert old.read_bytes() == b"before"
    assert old.read_bytes() == b"after"
    with replacing(new, new.with_name("second.txt")) as (first, second):
        first.write(b"1")
        second.write(b"2")
        assert not new.exists()
    assert {path.name: path.read_bytes() for path in new.parent.iterdir()} == {"new.txt": b"1", "second.txt": b"2"}


def test_a_folder_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "folder"
    with whole_folder(target) as aside:
        (aside / "a.txt").write_bytes(b"a")
        assert not target.exists()
        assert aside.name.startswith(".")
    assert [path.name for path in target.parent.iterdir()] == ["folder"]
    assert (target / "a.txt").read_bytes() == b"a"


def test_everything_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[int] = set()
    renamed: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        real(handle)
        synced.add(os.fstat(handle).st_ino)

    def checked(rename: Callable[..., object]) -> Callable[..., object]:
        def check(source: Path, target: Path) -> object:
            inside = list(source.iterdir()) if source.is_dir() else []
            assert {path.stat().st_ino for path in (source, *inside)} <= synced
            renamed.append(target.name)
            return rename(source, target)

        return check

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", checked(os.replace))
    monkeypatch.setattr(Path, "rename", checked(Path.rename))
    write_file(tmp_path)
    write_folder(tmp_path)
    assert renamed == ["a.txt", "b.txt", "folder"]  # the folder in one step, whole


@pytest.mark.parametrize(
    ("write", "call"),
    [
        (write_file, "os.fsync"),
        (write_file, "os.replace"),
        (write_file, "pathlib.Path.mkdir"),
        (write_folder, "os.fsync"),
        (write_folder, "pathlib.Path.rename"),
        (write_folder, "pathlib.Path.mkdir"),
    ],
)
def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None], call: str
) -> None:
    (tmp_path / "a.txt").write_bytes(b"old")
    monkeypatch.setattr(call, full_disk)
    with pytest.raises(TextseqError, match=r"^cannot write .*(a\.txt|folder): the disk is full; free some space$"):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_bytes() == b"old"


@WRITERS
def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path, write: Callable[[Path], None]) -> None:
    (tmp_path / "file").write_bytes(b"no folder")
    with pytest.raises(TextseqError, match=r"^cannot write .*; use a place that can be written to$"):
        write(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def replace(path: Path, line: str) -> None:
    with replacing(path) as (file,):
        file.write(f"{line}\n".encode())


def grow(path: Path, line: str) -> None:
    with growing(path) as write:
        write(line)


BOTH = pytest.mark.parametrize("write", [replace, grow])


@BOTH
def test_a_link_stays_a_link(tmp_path: Path, write: Callable[[Path, str], None]) -> None:
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "folder" / "there.txt", tmp_path / "folder" / "not yet.txt"):
        link = tmp_path / f"link to {target.name}"
        link.symlink_to(target)
        (tmp_path / "folder" / "there.txt").write_bytes(b"before")
        write(link, "after")
        assert link.is_symlink()
        assert target.read_bytes() == b"after\n"
    assert len(list((tmp_path / "folder").iterdir())) == 2


@BOTH
def test_pipes_and_devices_are_written_to(tmp_path: Path, write: Callable[[Path, str], None]) -> None:
    (tmp_path / "nothing").symlink_to(os.devnull)
    write(tmp_path / "nothing", "lost")
    assert (tmp_path / "nothing").is_symlink()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        received = pool.submit(pipe.read_bytes)
        write(pipe, "a line")
        assert received.result(20) == b"a line\n"
    assert pipe.is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nothing", "pipe"]


def test_a_file_that_another_process_removes_is_no_pipe(tmp_path: Path) -> None:
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            (tmp_path / "file").touch()
            (tmp_path / "file").unlink()

    with ThreadPoolExecutor() as pool:
        coming = pool.submit(come_and_go)
        try:
            for _ in range(5000):
                refuse_special(tmp_path)
                assert not is_stream(tmp_path / "file")
        finally:
            ended.set()
        coming.result(20)


@BOTH
def test_stdout_by_name_continues_where_it_is(
    tmp_path: Path, write: Callable[[Path, str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    print("before")
    write(Path("/dev/stdout"), "between")
    print("after", flush=True)
    assert capfd.readouterr().out == "before\nbetween\nafter\n"


@BOTH
def test_links_in_a_loop_are_refused(tmp_path: Path, write: Callable[[Path, str], None]) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(TextseqError, match="is a link that leads to itself; remove it"):
        write(tmp_path / "a", "lost")
    with pytest.raises(TextseqError, match="is a link that leads to itself; remove it"):
        check_outputs({"--output": tmp_path / "a"}, [])


def test_one_device_may_be_two_outputs() -> None:
    check_outputs({"--output": Path(os.devnull), "--explain-html": Path(os.devnull)}, [])


def test_leavings_of_killed_processes_are_removed(tmp_path: Path) -> None:
    leaving, other = tmp_path / f".log.jsonl.{'0f' * 8}", tmp_path / ".hidden"
    for path in (leaving, other):
        path.write_bytes(b"half")
    clear_leavings(tmp_path, "other.txt")
    assert leaving.exists()
    clear_leavings(tmp_path)
    assert list(tmp_path.iterdir()) == [other]


@pytest.mark.parametrize("kind", [replacing, whole_folder])
def test_what_goes_wrong_in_the_block_passes_through(tmp_path: Path, kind: Callable[[Path], object]) -> None:
    target = tmp_path / "target"
    with pytest.raises(KeyError), kind(target):  # type: ignore[attr-defined]
        raise KeyError("ours")
    assert list(tmp_path.iterdir()) == []


def test_a_leftover_of_a_killed_run_is_cleaned_away(tmp_path: Path) -> None:
    leftover = tmp_path / ".folder.partial"
    leftover.mkdir()
    (leftover / "half.txt").write_bytes(b"half")
    write_folder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["a.txt"]


def test_a_folder_that_is_taken_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_bytes(b"mine")
    with pytest.raises(TextseqError, match=r"cannot write .*folder"):
        write_folder(tmp_path)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["mine.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_errors_are_one_line() -> None:
    error = cannot_write(Path("x"), OSError("first\n  second"))
    assert str(error) == "cannot write x: first second; use a place that can be written to"
    assert "the disk is full" in str(cannot_write(Path("x"), RuntimeError("I/O error: No space left on device")))


@pytest.mark.parametrize("content", [b"", b"abc", bytes(range(256)) * 1000])
def test_sha256(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


# What grows line by line


def test_a_file_grows_beside_its_place_and_takes_it_at_the_end(tmp_path: Path) -> None:
    path, part = tmp_path / "new" / "out.txt", tmp_path / "new" / "out.txt.part"
    for lines in (["a", "żółć"], ["b"], []):
        before = path.read_bytes() if path.exists() else None
        with growing(path) as write:
            for number, line in enumerate(lines, 1):
                write(line)
                assert part.read_text(encoding="utf-8").splitlines() == lines[:number]
            assert (path.read_bytes() if path.exists() else None) == before
        assert path.read_text(encoding="utf-8") == "".join(f"{line}\n" for line in lines)
        assert [path.name for path in path.parent.iterdir()] == ["out.txt"]


@pytest.mark.parametrize(
    ("stop", "wanted", "message"),
    [
        (TextseqError("no more"), TextseqError, "^no more; what was written until then is in .*out.part$"),
        (KeyboardInterrupt(), Interrupted, "^stopped; what was written until then is in .*out.part$"),
        (Interrupted("enough", 143), Interrupted, "^enough; what was written until then is in .*out.part$"),
        (ZeroDivisionError("ours"), ZeroDivisionError, "^ours$"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_was_written_survives(
    tmp_path: Path, stop: BaseException, wanted: type[BaseException], message: str
) -> None:
    path, part = tmp_path / "out", tmp_path / "out.part"
    path.write_text("before")
    with pytest.raises(wanted) as nothing, growing(path):
        raise stop
    assert "out.part" not in str(nothing.value)
    assert not part.exists()
    with pytest.raises(wanted, match=message) as told, growing(path) as write:
        write("a")
        raise stop
    if isinstance(told.value, Interrupted):
        assert told.value.code == getattr(stop, "code", 130)
    assert (path.read_text(), part.read_text()) == ("before", "a\n")
    with pytest.raises(TextseqError, match=r"out\.part exists.*rename it or remove it"), growing(path):
        pass
    assert part.read_text() == "a\n"


def test_no_half_line_is_left_where_the_disk_is_full(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2500, limits[1]))
    try:
        with (
            pytest.raises(TextseqError, match=r"cannot write .*out\.part.*until then"),
            growing(tmp_path / "out") as write,
        ):
            for _ in range(3):
                write("x" * 999)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "out.part").read_text() == ("x" * 999 + "\n") * 2
    assert not (tmp_path / "out").exists()


# What one process has at a time

HOLD = """
import sys
from pathlib import Path
from textseq.io.locks import locked
with locked(Path(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""


def holding(path: Path) -> subprocess.Popen[str]:
    """Another process that is in the block, until its input is closed."""
    command = [sys.executable, "-c", HOLD, str(path)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "mine\n"
    return other


def test_a_second_process_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    lock = tmp_path / "new" / "lock"
    with holding(lock) as other:
        for _ in range(2):
            with pytest.raises(TextseqError, match="taken"), locked(lock, "taken"):
                raise AssertionError("two are in the block")
        other.communicate("")
    with locked(lock, "taken"):
        assert lock.exists()
    assert list(lock.parent.iterdir()) == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="wants SIGKILL")
def test_a_killed_process_leaves_nothing_locked(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with holding(lock) as other:
        other.kill()
        other.communicate()
    assert lock.exists()
    with locked(lock, "taken"):
        pass
    assert not lock.exists()


@pytest.mark.parametrize("end", ["well", "killed"])
def test_a_second_process_waits_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture, end: str) -> None:
    lock = tmp_path / "thing.lock"
    told, let_go = threading.Event(), threading.Event()
    caplog.handler.addFilter(lambda record: told.set() or True)  # type: ignore[func-returns-value]
    with holding(lock) as other, ThreadPoolExecutor(1) as pool, caplog.at_level(logging.WARNING, "textseq"):

        def wait() -> bool:
            with locked(lock):
                return let_go.is_set()

        waiting = pool.submit(wait)
        assert told.wait(60)
        assert not waiting.done()
        let_go.set()
        if end == "killed":
            other.kill()
        other.communicate("")
        assert waiting.result()
    assert caplog.messages == [f"note: another process is making {tmp_path / 'thing'}; waiting for its end"]
    assert not lock.exists()


def test_threads_are_in_the_block_one_at_a_time(tmp_path: Path) -> None:
    """Each time the file is made and removed: none may hold one that is no longer there."""
    inside, most = [], []

    def enter(number: int) -> None:
        with locked(tmp_path / "lock"):
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enter, range(200)))
    assert most == [1] * 200


def test_a_file_that_was_removed_before_it_was_locked_stands_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was the one before's, who left between the two."""
    lock, take = tmp_path / "lock", locks.take

    def late(handle: int) -> bool | None:
        monkeypatch.setattr(locks, "take", take)
        lock.unlink()
        return take(handle)

    monkeypatch.setattr(locks, "take", late)
    with locked(lock, "taken"):
        with pytest.raises(TextseqError, match="taken"), locked(lock, "taken"):
            pass
        assert lock.exists()


@pytest.mark.parametrize("number", sorted(locks.NO_LOCKS))
def test_without_locks_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    fcntl = pytest.importorskip("fcntl")

    def none(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    inside = 0
    monkeypatch.setattr(fcntl, "flock", none)
    with locked(tmp_path / "lock", "taken"), locked(tmp_path / "lock", "taken"):
        inside += 1
    assert inside == 1


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"no folder")
    with pytest.raises(TextseqError, match=r"^cannot write .*lock"), locked(tmp_path / "file" / "lock"):
        pass


def test_an_error_in_the_block_unlocks(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), locked(tmp_path / "lock", "taken"):
            raise KeyError
    assert list(tmp_path.iterdir()) == []
