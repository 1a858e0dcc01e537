"""Answering the lines of one file with several processes, started by a launcher such as torchrun.

The file is cut into shards; shard i belongs to process i % processes. The answers to a shard appear whole as
``OUTPUT.shards/000012``, beside ``job.json``, which describes the job: the same command, started again with any number
of processes, skips finished shards. Process 0 joins them to OUTPUT and removes the folder.

Each process holds a lock while it runs, so that waiting processes detect a crashed one by its released lock.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain, count, islice
from pathlib import Path
from typing import Protocol

from textseq.errors import Interrupted, TextseqError
from textseq.io.files import cannot_write, json_of, read_text, real, refuse_special, replacing, sha256
from textseq.io.lines import read_ahead
from textseq.io.locks import take

log = logging.getLogger("textseq")

AWAY = 120.0
"""Seconds that a process may be missing before the others give up: machines do not start at the same time."""

LOOKS = 0.1
"""Seconds between two checks of what other processes do."""

OURS = re.compile(r"\d{6,}|process-\d+|joined|\.(\d{6,}|joined|job\.json)\..*")
"""Files that a finished job may leave in its folder."""


Progress = Callable[[int], object]

Answers = Callable[[Iterable[str], int, Progress], Iterator[str]]
"""Answers texts with lines; takes the texts, the number of the first, from 0, and a callback for how many are done."""


class Texts(Protocol):
    """Texts of a file. An error that ended the reading early is in ``error`` afterwards."""

    error: TextseqError | None

    def __iter__(self) -> Iterator[str]: ...


def fingerprint(model: Path) -> str:
    """The hashes of a model's files."""
    return ",".join(f"{path.name}:{sha256(path)}" for path in sorted(model.iterdir()) if path.is_file())


class Shards:
    """One process's share of the work on a file; ``job`` is everything that the answers depend on, as plain data."""

    def __init__(self, output: Path, process: int, processes: int, job: Mapping[str, object]) -> None:
        self.output = real(output)  # the file that a link points to
        self.folder = self.output.with_name(self.output.name + ".shards")
        self.process, self.processes, self.job = process, processes, json.loads(json.dumps(job, default=str))

    def answer(
        self,
        texts: Texts,
        answers: Answers,
        *,
        ahead: int,
        characters: int | None = None,
        buffers: int,
        progress: Progress,
    ) -> None:
        """Answer this process's shards that are not done, and wait until all are joined.

        Args:
            texts: of the whole file; those of other processes are skipped.
            answers: called once per shard; must read to its end.
            ahead: texts that ``answers`` reads ahead.
            characters: limits these further; see ``read_ahead``.
            buffers: shard size in multiples of ``ahead``, so that nothing is read ahead past the end of a shard.
            progress: called with the number of texts done or skipped.
        """
        waiting, done = iter(texts), 0

        def read() -> Iterator[list[str]]:
            nonlocal done
            while some := read_ahead(waiting, ahead, characters):
                done += len(some)
                yield some

        with ExitStack() as locks:
            self._begin(locks)
            with self._resumable(texts):
                for shard in count():
                    first, texts_of = done, islice(read(), buffers)
                    if shard % self.processes != self.process or self._path(shard).exists():
                        with _silent():  # another process logs about these
                            for some in texts_of:
                                progress(len(some))
                    elif (start := next(texts_of, None)) is not None:
                        with replacing(self._path(shard)) as (file,):
                            for line in answers(chain(start, chain.from_iterable(texts_of)), first, progress):
                                file.write(f"{line}\n".encode())
                            if texts.error is not None:
                                raise texts.error
                    if texts.error is not None:
                        raise texts.error
                    if done == first:
                        break
                self._end(shard)

    def _path(self, shard: int) -> Path:
        return self.folder / f"{shard:06d}"

    @contextmanager
    def _resumable(self, texts: Texts) -> Iterator[None]:
        """Errors in this block say how to continue."""
        try:
            yield
        except (TextseqError, Interrupted, KeyboardInterrupt) as stop:
            if self.process or stop is texts.error:  # process 0 reports it; a corrected text is another job
                raise
            kept = f"; finished work stays in {self.folder}, and the same command continues from there"
            if isinstance(stop, TextseqError):
                raise TextseqError(f"{stop}{kept}") from stop
            raise Interrupted(f"{str(stop) or 'stopped'}{kept}", getattr(stop, "code", 130)) from None

    def _begin(self, locks: ExitStack) -> None:
        """Enter the folder; process 0 describes the job, and the others wait for that."""
        file = self.folder / "job.json"
        if self.process == 0:
            try:
                self.folder.mkdir(exist_ok=True)
            except OSError as error:
                raise cannot_write(self.folder, error) from error
            refuse_special(self.folder)
            self._lock(locks)
            if not file.exists():
                self._clear()
                with replacing(file) as (new,):
                    new.write(json.dumps(self.job, indent=1).encode())
        self._await(file.exists, 0)
        refuse_special(self.folder)
        try:
            table = json_of(read_text(file))
        except (OSError, ValueError):
            table = None
        there = table if isinstance(table, dict) else {}
        if other := [key for key in self.job | there if there.get(key) != self.job.get(key)]:
            raise TextseqError(
                f"{self.folder} belongs to another job, which differs in {', '.join(other)}; remove that folder, or "
                "name another --output"
            )
        if self.process:
            self._lock(locks)

    def _clear(self) -> None:
        """Remove leftovers of a job that was killed after its end."""
        if strange := [path.name for path in self.folder.iterdir() if not OURS.fullmatch(path.name)]:
            raise TextseqError(f"{self.folder}: expected only files of this job, got {strange[0]}; move it away")
        for path in self.folder.iterdir():
            if path.name != f"process-{self.process}":
                path.unlink()

    def _end(self, shards: int) -> None:
        """Process 0 joins the shards; the others wait for that."""
        job, joined = self.folder / "job.json", self.folder / "joined"
        if self.process:
            self._await(lambda: not job.exists(), 0)
            return
        for shard in range(shards):
            self._await(self._path(shard).exists, shard % self.processes)
        late = time.monotonic() + AWAY  # a process that starts after the folder is gone would start over
        while not all(map(self._lives, range(1, self.processes))) and time.monotonic() < late:
            time.sleep(LOOKS)
        try:
            with replacing(joined) as (file,):
                for shard in range(shards):
                    with open(self._path(shard), "rb") as part:
                        shutil.copyfileobj(part, file)
            os.replace(joined, self.output)
            job.unlink()
        except OSError as error:
            raise cannot_write(self.output, error) from error
        shutil.rmtree(self.folder, ignore_errors=True)

    def _await(self, done: Callable[[], bool], process: int) -> None:
        """Wait until a process has done something, as long as it is running."""
        seen = time.monotonic()
        while not done():
            if process == self.process or self._lives(process):
                seen = time.monotonic()
            elif time.monotonic() - seen > AWAY:
                raise TextseqError(
                    f"process {process} of {self.processes} is not running; see its output, and start all of them again"
                )
            time.sleep(LOOKS)

    def _lock(self, locks: ExitStack) -> None:
        """Hold this process's lock until the block of ``locks`` ends."""
        path = self.folder / f"process-{self.process}"
        try:
            file = locks.enter_context(open(path, "ab"))  # noqa: SIM115
        except OSError as error:
            raise cannot_write(path, error) from error
        late = time.monotonic() + 10 * LOOKS  # another process may be checking
        while take(file.fileno()) is False:
            if time.monotonic() > late:
                raise TextseqError(f"another command is working in {self.folder}; wait for it, or stop it")
            time.sleep(LOOKS / 10)

    def _lives(self, process: int) -> bool:
        """Whether a process holds its lock."""
        try:
            with open(self.folder / f"process-{process}", "r+b") as file:
                return take(file.fileno()) is not True  # without locks every process counts as running
        except OSError:
            return False


@contextmanager
def _silent() -> Iterator[None]:
    """Log nothing in this block."""
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before
