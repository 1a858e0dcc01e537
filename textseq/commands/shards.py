"""The lines of one file answered by several processes, as a launcher such as torchrun starts them.

The file is cut into shards, of which the i-th is for process i % processes. Answers to a shard appear whole as
``OUTPUT.shards/000012``, beside ``job.json``, which says what they are answers to: the same command takes them as done
when it is started again, by however many processes. Process 0 joins them to OUTPUT, and the folder is gone.

No one waits for the dead: every process holds a lock as long as it lives, and who waits for it looks.
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
from textseq.io.files import cannot_write, replacing, sha256
from textseq.io.lines import read_ahead
from textseq.io.locks import take

log = logging.getLogger("textseq")


AWAY = 120.0
"""Seconds that a process may be missing before it is given up: those of several machines do not start at once."""

LOOKS = 0.1
"""Seconds between two looks for what others do."""

OURS = re.compile(r"\d{6,}|process-\d+|part-\d+|joined|\.job\.json\..*")
"""What may be left in a folder of shards whose job has ended."""


Progress = Callable[[int], object]

Answers = Callable[[Iterable[str], int, Progress], Iterator[str]]
"""What answers texts with lines, given the number of the first text, from 0, and what is to be told how many are
done."""


class Texts(Protocol):
    """Texts of a file; what ended the reading too soon is in ``fault`` afterwards."""

    fault: TextseqError | None

    def __iter__(self) -> Iterator[str]: ...


def fingerprint(model: Path) -> str:
    """What tells a model's folder from every other: the hashes of its files."""
    return ",".join(f"{path.name}:{sha256(path)}" for path in sorted(model.iterdir()) if path.is_file())


class Shards:
    """One process's share of the work on a file.

    Args:
        output: the file for all answers; ``output`` with ".shards" after it is the folder.
        process: its number.
        processes: how many there are.
        job: all that the answers depend on, as JSON has it.
    """

    def __init__(self, output: Path, process: int, processes: int, job: Mapping[str, object]) -> None:
        self.output = output.resolve()  # the file that a link names is meant, not the link
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
            texts: of the whole file; those of others are read past.
            answers: is called once for each shard, to whose end it must read.
            ahead: texts that it reads ahead, as
            characters: limits them; see ``read_ahead``.
            buffers: so many times that is a shard: where it ends, no one has read ahead of it.
            progress: told how many texts are done or passed.

        Raises:
            TextseqError: the texts cannot be read, the folder is of another job, the disk is full, or a process that
                is waited for has ended.
        """
        with ExitStack() as locks:
            self._begin(locks)
            try:
                shards = self._work(texts, answers, ahead, characters, buffers, progress)
                self._end(shards)
            except (TextseqError, Interrupted, KeyboardInterrupt) as stop:
                if self.process or stop is texts.fault:  # the first one says it; a text that is mended is another
                    raise
                kept = f"; what is done stays in {self.folder}, and the same command goes on from there"
                if isinstance(stop, TextseqError):
                    raise TextseqError(f"{stop}{kept}") from stop
                raise Interrupted(f"{str(stop) or 'stopped'}{kept}", getattr(stop, "code", 130)) from None

    def _work(
        self,
        texts: Texts,
        answers: Answers,
        ahead: int,
        characters: int | None,
        buffers: int,
        progress: Progress,
    ) -> int:
        """The answers to this process's shards; returns how many shards there are."""
        waiting, done = iter(texts), 0

        def read() -> Iterator[list[str]]:
            """The texts of the next shard."""
            nonlocal done
            while some := read_ahead(waiting, ahead, characters):
                done += len(some)
                yield some

        for shard in count():
            first, texts_of = done, islice(read(), buffers)
            if shard % self.processes != self.process or self._path(shard).exists():
                with _silent():  # what there is to say of them another says, or has said
                    for some in texts_of:
                        progress(len(some))
            elif (start := next(texts_of, None)) is not None:
                with self._whole(shard) as write:
                    for line in answers(chain(start, chain.from_iterable(texts_of)), first, progress):
                        write(line)
                    if texts.fault is not None:
                        raise texts.fault
            if texts.fault is not None:
                raise texts.fault
            if done == first:
                return shard
        raise AssertionError("unreachable")

    def _path(self, shard: int) -> Path:
        return self.folder / f"{shard:06d}"

    @contextmanager
    def _whole(self, shard: int) -> Iterator[Callable[[str], object]]:
        """What writes the lines of a shard, which is there when the block ends well."""
        part = self.folder / f"part-{self.process}"  # which the lock keeps from others
        try:
            with open(part, "w", encoding="utf-8", newline="\n") as file:
                yield lambda line: file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self._path(shard))
        except OSError as error:
            raise cannot_write(part, error) from error

    def _begin(self, locks: ExitStack) -> None:
        """Come to work; process 0 says what the job is, and the others wait for that.

        Raises:
            TextseqError: the folder is of another job, or someone is at this one already.
        """
        file = self.folder / "job.json"
        if self.process == 0:
            try:
                self.folder.mkdir(exist_ok=True)
            except OSError as error:
                raise cannot_write(self.folder, error) from error
            self._lock(locks)
            if not file.exists():
                self._clear()
                with replacing(file) as (new,):
                    new.write(json.dumps(self.job, indent=1).encode())
        self._await(file.exists, 0)
        self._check(file)
        if self.process:
            self._lock(locks)

    def _check(self, file: Path) -> None:
        """Refuse to mix the answers of two jobs."""
        try:
            there = json.loads(file.read_bytes())
        except (OSError, ValueError):
            there = {}
        if other := [key for key in self.job | there if there.get(key) != self.job.get(key)]:
            raise TextseqError(
                f"{self.folder} holds answers of another job, which differs in {', '.join(other)}; remove that folder, "
                "or name another --output"
            )

    def _clear(self) -> None:
        """Remove what a job has left that was killed when all was done.

        Raises:
            TextseqError: there is something else.
        """
        mine = f"process-{self.process}"
        if strange := [path.name for path in self.folder.iterdir() if not OURS.fullmatch(path.name)]:
            raise TextseqError(f"{self.folder} is for the answers of this job, found {strange[0]} in it; move it away")
        for path in self.folder.iterdir():
            if path.name != mine:
                path.unlink()

    def _end(self, shards: int) -> None:
        """Process 0 joins what all have done; the others wait for that."""
        job = self.folder / "job.json"
        if self.process:
            self._await(lambda: not job.exists(), 0)
            return
        for shard in range(shards):
            self._await(self._path(shard).exists, shard % self.processes)
        late = time.monotonic() + AWAY  # one that comes when the folder is gone would begin anew
        while not all(map(self._lives, range(1, self.processes))) and time.monotonic() < late:
            time.sleep(LOOKS)
        joined = self.folder / "joined"
        try:
            with open(joined, "wb") as file:
                for shard in range(shards):
                    with open(self._path(shard), "rb") as part:
                        shutil.copyfileobj(part, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(joined, self.output)
            job.unlink()
        except OSError as error:
            raise cannot_write(self.output, error) from error
        shutil.rmtree(self.folder, ignore_errors=True)

    def _await(self, done: Callable[[], bool], process: int) -> None:
        """Wait for what a process is to do, as long as it lives.

        Raises:
            TextseqError: it does not.
        """
        seen = time.monotonic()
        while not done():
            if process == self.process or self._lives(process):
                seen = time.monotonic()
            elif time.monotonic() - seen > AWAY:
                raise TextseqError(
                    f"process {process} of {self.processes} is not at work; see what it said, and start all of them "
                    "again"
                )
            time.sleep(LOOKS)

    def _lock(self, locks: ExitStack) -> None:
        """Show that this process lives, until the block of ``locks`` ends.

        Raises:
            TextseqError: another one of the same number lives.
        """
        path = self.folder / f"process-{self.process}"
        try:
            file = locks.enter_context(open(path, "ab"))  # noqa: SIM115
        except OSError as error:
            raise cannot_write(path, error) from error
        late = time.monotonic() + 10 * LOOKS  # someone may be looking
        while take(file.fileno()) is False:
            if time.monotonic() > late:
                raise TextseqError(f"another command is at work in {self.folder}; let it end, or end it")
            time.sleep(LOOKS / 10)

    def _lives(self, process: int) -> bool:
        """Whether a process holds its lock."""
        try:
            with open(self.folder / f"process-{process}", "r+b") as file:
                return take(file.fileno()) is not True  # without locks every process is taken to live
        except OSError:
            return False


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing is logged in the block."""
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before
