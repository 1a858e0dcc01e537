"""Two trainings in a folder, full disks, clocks that jump, numbers that are none: nothing is lost, and all is told."""

from __future__ import annotations

import builtins
import errno
import io
import itertools
import math
import os
import random
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from killable import outcome, write_texts

import textseq
from textseq.checkpoints import checkpoint
from textseq.checkpoints.registry import newest
from textseq.config.training import TrainingConfig
from textseq.data.token_files import tokenizer_for
from textseq.errors import TextseqError
from textseq.io.files import sha256
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.training.run_folder import LOCK
from textseq.training.trainer import Trainer

Command = Callable[..., tuple[int, str, str]]
Change = Callable[[Trainer], None]
FLAGS = (
    "--text text.txt --hidden-size 8 --embedding-size 8 --window 10 --batch-size 3 --max-steps 30 --save-every 5 "
    "--evaluate-every 15 --ema-decay 0.9"
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_texts(tmp_path)
    return tmp_path


def settings(steps: int = 30, minutes: float | None = None) -> TrainingConfig:
    return TrainingConfig(max_steps=steps, max_minutes=minutes, save_every=5, evaluate_every=15, ema_decay=0.9)


def train(name: str, *, training: TrainingConfig | None = None, overwrite: bool = False) -> list[str]:
    """A run as those of ``FLAGS``; returns what it said."""
    said: list[str] = []
    textseq.train(
        text="text.txt",
        name=name,
        model=LanguageModelConfig(hidden_size=8, embedding_size=8),
        data=DataConfig(window=10, batch_size=3),
        training=training or settings(),
        overwrite=overwrite,
        report=said.append,
    )
    return said


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Change], None]:
    """Do something once to the loop, right after a step of its."""
    step = Trainer.step

    def plant(number: int, change: Change) -> None:
        waiting = [change]

        def changed(loop: Trainer) -> tuple[torch.Tensor, int]:
            done = step(loop)
            if loop.progress.step == number and waiting:
                waiting.pop()(loop)
            return done

        monkeypatch.setattr(Trainer, "step", changed)

    return plant


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != LOCK}


# Two trainings in one folder


def test_a_second_training_in_a_folder_is_refused_and_disturbs_nothing(
    home: Path, command: Command, at_step: Callable[[int, Change], None]
) -> None:
    train("alone")
    refused = r"^another process trains in \S+twice; wait until it ends, stop it, or choose another --name$"

    def others(loop: Trainer) -> None:
        before = content(home / "runs" / "twice")
        with torch.random.fork_rng():  # which is another's in another process
            with pytest.raises(TextseqError, match=refused):
                textseq.resume("twice")
            with pytest.raises(TextseqError, match=refused):
                train("twice", overwrite=True)
            code, _, err = command("train", "--name", "twice", "--overwrite", *FLAGS.split())
        assert code == 2
        assert err.splitlines()[-1].startswith("textseq-train: another process trains in ")
        assert content(home / "runs" / "twice") == before

    at_step(12, others)
    train("twice")
    found, wanted = outcome(home / "runs" / "twice"), outcome(home / "runs" / "alone")
    for what in wanted:
        assert found[what] == wanted[what], what
    assert not (home / "runs" / "twice" / LOCK).exists()
    textseq.resume("twice")


def test_of_two_that_begin_under_one_name_the_later_finds_the_run(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looked for the name when there was no such run yet, and took longer to prepare."""
    prepare = tokenizer_for
    slower = [True]

    def slow(*arguments: object) -> object:
        if slower:
            slower.clear()
            train("same", training=settings(7))
        return prepare(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("textseq.tasks.language_model.run.tokenizer_for", slow)
    with pytest.raises(TextseqError, match=r"^the run \S+same exists; resume it \(--resume"):
        train("same")
    last = newest(home / "runs" / "same", "last")
    assert last is not None
    assert checkpoint.load(last).info.step == 7


def test_overwriting_leaves_nothing_of_the_run_before(home: Path) -> None:
    train("old")
    folder = home / "runs" / "old"
    (folder / "mine.txt").write_text("x")
    (folder / "link").symlink_to(home / "text.txt")
    (folder / "folder").symlink_to(home / "elsewhere")
    (home / "elsewhere").mkdir()
    train("new")
    train("old", overwrite=True)
    assert outcome(folder) == outcome(home / "runs" / "new")
    assert (home / "text.txt").exists()
    assert (home / "elsewhere").is_dir()


def test_what_is_left_of_a_run_without_a_checkpoint_is_no_run(home: Path) -> None:
    """Neither could it be resumed."""
    folder = home / "runs" / "young"
    (folder / ".last-1.partial").mkdir(parents=True)
    (folder / ".last-1.partial" / "model.safetensors").write_bytes(b"half")
    (folder / LOCK).touch()
    with pytest.raises(TextseqError, match="it holds no checkpoint; train it with --name"):
        textseq.resume("young")
    train("young")
    train("other")
    assert outcome(folder) == outcome(home / "runs" / "other")
    (home / "runs" / "mine").mkdir()
    (home / "runs" / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(TextseqError, match=r"the run \S+mine exists"):
        train("mine")
    assert (home / "runs" / "mine" / "notes.txt").exists()


@pytest.mark.parametrize("read", [textseq.resume, textseq.load])
@pytest.mark.parametrize("moment", ["before", "between"])
def test_a_checkpoint_that_goes_while_it_is_read_is_no_damage(
    home: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[str], object], moment: str
) -> None:
    """Another process has written the next one, and deleted it."""
    train("busy")
    going = [True]

    def overtaken(path: Path) -> str:
        if going:
            going.clear()
            folder = path.parent
            shutil.copytree(folder, folder.with_name(f"{folder.name.split('-')[0]}-99"))
            shutil.rmtree(folder)
            if moment == "between":
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
            return ""
        return sha256(path)

    monkeypatch.setattr("textseq.checkpoints.checkpoint.sha256", overtaken)
    assert read("busy")
    assert not going


def test_two_that_prepare_and_train_at_once_share_the_cache(home: Path) -> None:
    train("alone")
    shutil.rmtree(home / "cache")
    barrier = threading.Barrier(2, timeout=60)

    def prepare(name: str) -> None:
        barrier.wait()
        train(name, training=settings(1))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(prepare, ["one", "other"]))
    assert sorted(path.suffix for path in (home / "cache" / "tokens").iterdir()) == sorted(
        [".ids", ".documents", ".json"] * 2
    )


# Damage


@pytest.mark.parametrize("file", ["training.safetensors", "model.safetensors", "config.json"])
@pytest.mark.parametrize("damage", ["cut in half", "gone", "a byte flipped"])
def test_what_to_do_about_a_damaged_checkpoint_is_told(home: Path, command: Command, file: str, damage: str) -> None:
    train("hurt", training=settings(15))
    folder = home / "runs" / "hurt"
    last = newest(folder, "last")
    assert last is not None
    data = (last / file).read_bytes()
    flipped = bytearray(data)
    flipped[-1] ^= 1
    if damage == "gone":
        (last / file).unlink()
    else:
        (last / file).write_bytes(data[: len(data) // 2] if damage == "cut in half" else flipped)
    code, _, err = command("train", "--resume", "hurt")
    assert code == 2
    assert f"{last / file} is " in err
    assert "restore the folder" in err
    assert len(err.splitlines()) == 1
    with pytest.raises(TextseqError, match=rf"\(--from {folder} starts from the best weights of the run\)$"):
        textseq.resume("hurt")
    assert textseq.train(text="text.txt", name="after", init_from=str(folder), training=TrainingConfig(max_steps=1))


# Disks


@pytest.mark.parametrize("size", [1, 2500, 6000])
def test_a_full_disk_stops_a_run_that_can_be_resumed(
    home: Path, at_step: Callable[[int, Change], None], size: int
) -> None:
    """The kernel lets no file grow: the nearest to a full disk that a test can have."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    train("whole")
    at_step(12, lambda loop: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1])))
    try:
        with pytest.raises(TextseqError, match=r"^cannot write \S+full/\S+: .*; use a place that can be") as told:
            train("full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(told.value)
    folder = home / "runs" / "full"
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
    textseq.resume("full")
    found, wanted = outcome(folder), outcome(home / "runs" / "whole")
    for what in wanted:
        assert found[what] == wanted[what], what


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Let nothing be written below a folder, as a file system that is mounted so: root heeds no permissions."""

    def make(folder: Path) -> None:
        def refusing(call: Callable[..., object], writes: Callable[..., bool]) -> Callable[..., object]:
            def checked(path: object, *arguments: object, **named: object) -> object:
                if str(path).startswith(str(folder)) and writes(*arguments, **named):
                    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
                return call(path, *arguments, **named)

            return checked

        def opens(mode: str = "r", *_: object, **__: object) -> bool:
            return mode not in {"r", "rb"}

        def makes(flags: int, *_: object, **__: object) -> bool:
            return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))

        def always(*_: object, **__: object) -> bool:
            return True

        monkeypatch.setattr(builtins, "open", refusing(builtins.open, opens))
        monkeypatch.setattr(io, "open", refusing(io.open, opens))
        monkeypatch.setattr(os, "open", refusing(os.open, makes))
        for name in ("mkdir", "rename", "replace", "unlink", "rmdir"):
            monkeypatch.setattr(os, name, refusing(getattr(os, name), always))

    return make


def test_a_read_only_folder_is_told(home: Path, command: Command, read_only: Callable[[Path], None]) -> None:
    train("there", training=settings(5))
    before = content(home / "runs")
    read_only(home / "runs")
    for arguments in (["--resume", "there"], ["--name", "there", "--overwrite", *FLAGS.split()], FLAGS.split()):
        code, _, err = command("train", *arguments)
        assert code == 2
        assert len([line for line in err.splitlines() if not line.startswith("note: ")]) == 1
        assert "textseq-train: cannot write " in err
        assert "Read-only file system" in err
    assert content(home / "runs") == before


def test_a_read_only_cache_is_told_and_serves_what_it_has(
    home: Path, command: Command, read_only: Callable[[Path], None]
) -> None:
    train("first", training=settings(1))
    read_only(home / "cache")
    train("second", training=settings(1))
    (home / "text.txt").write_text("another text " * 100)
    code, _, err = command("train", *FLAGS.split())
    assert code == 2
    assert "textseq-train: cannot write " in err
    assert len(err.splitlines()) == 1


# Clocks


def test_a_clock_that_jumps_and_the_times_of_files_change_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    ever = 1e5  # the run would end sooner by a clock that jumps on
    train("calm", training=settings(minutes=ever))
    dice = random.Random(5)
    monkeypatch.setattr("sys.stderr", Terminal())  # so that there is a progress bar too
    for name in ("time.time", "tqdm.std.time"):
        monkeypatch.setattr(name, lambda: dice.uniform(-1e10, 1e10))
    monkeypatch.setattr("time.time_ns", lambda: dice.randrange(-(10**18), 10**18))
    train("wild", training=settings(15, ever))
    moments = itertools.cycle([0, 2**33, time.monotonic()])
    for path in [*home.rglob("*")]:
        moment = next(moments)
        os.utime(path, (moment, moment))
    textseq.resume("wild", training=settings(30, ever))
    train("other", training=settings(minutes=ever))
    found, wanted = outcome(home / "runs" / "other"), outcome(home / "runs" / "calm")
    for what in wanted:
        assert found[what] == wanted[what], what
    last = newest(home / "runs" / "wild", "last")
    assert last is not None
    assert checkpoint.load(last).info.step == 30


# Numbers that are none


def in_weights(loop: Trainer) -> None:
    with torch.no_grad():
        loop.train_step.token_vectors[0][3, 2] = math.nan


def in_optimizer(loop: Trainer) -> None:
    loop.train_step.optimizer.state[loop.parameters[-1]]["exp_avg"][0] = math.nan


def in_average(loop: Trainer) -> None:
    in_weights(loop)
    loop.averages.moving[0][0] = math.nan


def in_state(loop: Trainer) -> None:
    assert loop.train_step.state is not None
    loop.train_step.state[0][0] = math.inf


def in_batch(loop: Trainer) -> None:
    """The next batch alone, whose factor of the learning rate is none."""
    batch = loop.train_step.batches.batch

    def spoilt(cursor: object) -> object:
        loop.train_step.batches.batch = batch  # type: ignore[method-assign]
        found, after = batch(cursor)  # type: ignore[arg-type]
        object.__setattr__(found, "learning_rate_factor", math.nan)
        return found, after

    loop.train_step.batches.batch = spoilt  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("plant", [in_weights, in_optimizer, in_average, in_state, in_batch])
def test_numbers_that_are_none_are_rewound_and_reported(
    home: Path, at_step: Callable[[int, Change], None], plant: Change
) -> None:
    at_step(12, plant)
    said = train("spoilt")
    wanted = r"back to step 10 with half the learning rate"
    assert [line for line in said if "diverged" in line and wanted in line and "(rollback 1 of 3)" in line], said
    assert len([line for line in said if "diverged" in line]) == 1
    folder = home / "runs" / "spoilt"
    for kind in ("last", "best"):
        place = newest(folder, kind)
        assert place is not None
        for file in place.glob("*.safetensors"):
            for name, tensor in checkpoint.read_tensors(file).items():
                assert tensor.isfinite().all(), (kind, name)
