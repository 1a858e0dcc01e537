"""Runs of the user's folder: what they have learnt so far, and one training at a time from the page.

A training is a process of its own, ``textseq-train``; SIGTERM saves and ends it, as on the command line.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from textseq.checkpoints.registry import model_folder
from textseq.errors import TextseqError
from textseq.io.files import json_of, read_text, replacing, sha256
from textseq.io.paths import runs_folder
from textseq.serve.errors import RequestError
from textseq.training.run_folder import is_free

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}")

NAME_RULE = "1 to 50 letters without accents, digits, - or _, the first a letter or digit"
"""The same in words."""

MOST_POINTS = 500
"""Points of a curve that are given; of longer ones every so manieth."""

MOST_SAID = 20_000
"""Characters of what a training has said that are given, the last ones."""


@dataclass(frozen=True)
class RunLog:
    """What a run has written so far."""

    points: tuple[dict[str, int | float], ...]
    """Rows of its log that have numbers."""
    card: str
    """The model card, in Markdown; "" as long as there is none."""


class Trainings:
    """Runs, and the one training that this server has started.

    Args:
        read_only: start none.
    """

    def __init__(self, *, read_only: bool) -> None:
        self.read_only = read_only
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._name: str | None = None
        self._text_hash: str | None = None
        """SHA-256 of the text that was written for this training; None if its file was there before."""
        self._said: IO[bytes] | None = None

    def names(self) -> list[str]:
        """All runs, by name."""
        folder = runs_folder()
        found = folder.iterdir() if folder.is_dir() else ()
        return sorted(path.name for path in found if (path / "log.jsonl").is_file())

    def state(self, name: str) -> tuple[bool, str]:
        """Whether a run is being trained by this server, and what its training has said, samples too."""
        with self._lock:
            if name != self._name or self._child is None or self._said is None:
                return False, ""
            running, said = self._child.poll() is None, _end_of(self._said)
        return running, said.decode(errors="replace")[-MOST_SAID:]

    def log(self, name: str) -> RunLog:
        """The log of a run. A run that has just been started may have none yet.

        Raises:
            RequestError: no run of this name.
        """
        if name not in self.names() and name != self._name:
            raise RequestError(404, f"no run is called '{name:.60}'", param="name")
        folder, rows = runs_folder() / name, []
        with suppress(FileNotFoundError):
            for line in (folder / "log.jsonl").read_text(encoding="utf-8", errors="replace").splitlines():
                with suppress(ValueError):  # a line that is being written
                    row = json_of(line)
                    if isinstance(row, dict) and isinstance(row.get("step"), int):
                        rows.append(row)
        numbers: list[dict[str, int | float]]
        numbers = [{key: value for key, value in row.items() if isinstance(value, int | float)} for row in rows]
        evaluated = [row for row in numbers if "validation_loss" in row]
        others = [row for row in numbers if "validation_loss" not in row]
        thin = max(1, len(others) // MOST_POINTS)
        points = sorted([*others[::thin], *evaluated[-MOST_POINTS:]], key=lambda row: row["step"])
        return RunLog(tuple(points), _card(folder))

    def start(self, name: str, text: str, flags: Sequence[str]) -> None:
        """Train a language model on a text.

        If the last training had this name and failed before there was a run, its text is replaced.

        Raises:
            RequestError: trainings are off, one is running, the name is taken or not allowed, or a file of that name in
                ``texts`` has another text or cannot be read.
            TextseqError: the home cannot be written.
        """
        if NAME.fullmatch(name) is None:
            raise RequestError(400, f"name: expected {NAME_RULE}, got {name!r:.60}", param="name")
        if not is_free(runs_folder() / name):
            raise RequestError(409, f"name: a run is called {name} already; choose another name", param="name")
        with self._lock:
            self._check()
            path, data = runs_folder().parent / "texts" / f"{name}.txt", text.encode()
            existing, text_hash = _hash_of(path), hashlib.sha256(data).hexdigest()
            failed = self._child is not None and self._name == name and self._child.poll() != 0
            written = existing is None or (failed and existing == self._text_hash)
            if written:
                with replacing(path) as (file,):
                    file.write(data)
            elif existing != text_hash:
                raise RequestError(409, f"name: {path} exists and has another text; choose another name", param="name")
            self._spawn(name, ["--text", str(path), "--name", name, *flags])
            self._text_hash = text_hash if written else None

    def resume(self, name: str) -> None:
        """Continue a run from its last checkpoint.

        Raises:
            RequestError: trainings are off, one is running, or there is no such run.
        """
        if name not in self.names():
            raise RequestError(404, f"no run is called '{name:.60}'", param="name")
        with self._lock:
            self._check()
            self._spawn(name, ["--resume", str(runs_folder() / name)])

    def stop(self, name: str) -> None:
        """Save and end the training of a run; it may take until the end of its step.

        Raises:
            RequestError: it is not being trained by this server.
        """
        with self._lock:
            if name != self._name or self._child is None or self._child.poll() is not None:
                raise RequestError(409, f"{name:.60} is not being trained by this server")
            self._child.terminate()

    def close(self) -> None:
        """End the training, and wait until it is saved."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()
            self._child.wait()
        if self._said is not None:
            self._said.close()
        self._child, self._said, self._name, self._text_hash = None, None, None, None

    def _check(self) -> None:
        if self.read_only:
            raise RequestError(403, "this server is read-only; start it on 127.0.0.1 and without --read-only")
        if self._child is not None and self._child.poll() is None:
            raise RequestError(409, f"{self._name} is being trained; stop it, or wait until it ends")

    def _spawn(self, name: str, arguments: Sequence[str]) -> None:
        self._close()
        try:
            self._said = tempfile.TemporaryFile()  # noqa: SIM115
        except OSError as error:
            raise RequestError(500, f"temporary file: {error}; set TMPDIR to another folder") from None
        command = [sys.executable, "-u", "-m", "textseq.cli.train", *arguments]
        self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._said, stderr=self._said)
        self._name = name


def _hash_of(path: Path) -> str | None:
    """The SHA-256 of a file; None if there is none."""
    try:
        if path.is_dir():
            raise RequestError(409, f"name: {path} exists and is a folder; choose another name", param="name")
        return sha256(path) if path.exists() else None
    except (OSError, ValueError) as error:
        raise RequestError(409, f"name: cannot read {path}: {error}; choose another name", param="name") from None


def _card(run: Path) -> str:
    """The card of a run, or of its best checkpoint; "" if neither is written yet."""
    for folder in filter(None, (run, model_folder(run))):
        with suppress(OSError, ValueError, TextseqError):
            return read_text(folder / "README.md")
    return ""


def _end_of(file: IO[bytes]) -> bytes:
    """The last bytes of a file that another process writes."""
    most, number = 4 * MOST_SAID, file.fileno()
    begin = max(0, os.fstat(number).st_size - most)
    if sys.platform == "win32":  # where reading moves the place at which the other process writes
        file.seek(begin)
        return file.read()
    return os.pread(number, most, begin)
