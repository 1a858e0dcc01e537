"""What the commands share that answer every line with a line: where lines come from and go to, and their flags."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, NoReturn

from tyro.conf import FlagCreatePairsOff, arg

from textseq.checkpoints.registry import ModelEntry
from textseq.commands.command import terminable
from textseq.commands.shards import Answers, Shards, Texts, fingerprint
from textseq.config.base import Settings
from textseq.data.dataset import check_encoding
from textseq.errors import TextseqError
from textseq.io.documents import Document
from textseq.io.files import check_outputs, growing
from textseq.io.lines import LONGEST, Lines
from textseq.training.distributed.environment import DistributedEnvironment, environment, launched
from textseq.version import __version__

if TYPE_CHECKING:
    from tqdm import tqdm


Flag = Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")]

File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]


ON_SCREEN = 64
"""Lines that are read ahead where someone watches the answers."""

FEW_KERNELS = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
"""oneDNN, which torch loads later, keeps the code that it makes for each new shape of a batch, 1,024 by default: of a
large file, whose batches have ever new lengths, that is some 150 MB, though few come again."""

NO_MATTER = ("input", "output", "interactive", "model", "shard", "list_models", "version")
"""Flags that say nothing of what is answered to a line, or are told in more detail."""


@dataclass(frozen=True, kw_only=True)
class LineWork:
    """Lines in and out."""

    input: File = None
    """The lines; a file whose name ends in .gz is unpacked while it is read. Default: stdin."""
    output: File = None
    """Where the answers go, in UTF-8. They are written as they come to FILE.part, which becomes FILE at the end
    and stays where something stops the command. Default: stdout."""
    encoding: str = "utf-8"
    """Encoding of the input."""
    interactive: Flag = False
    """Show a prompt on stderr and answer each line at once, as is done anyway where stdin is a terminal."""
    buffer: Annotated[int | None, arg(metavar="LINES", help_behavior_hint="")] = None
    """Lines that are read ahead and worked on in the order of their length, which is faster; where something stops the
    command, those from the first that is not done on are lost. Default: hundreds; 64 where stdout is a terminal; 1
    (each line at once) where there is a prompt."""
    shard: Annotated[int, arg(metavar="LINES", help_behavior_hint="(default: 4096)")] = 4096
    """With several processes (torchrun --nproc-per-node 2 -m textseq.cli...), each of which answers every other such
    piece of --input: its lines, rounded up to whole buffers. What is done waits in FILE.shards for the others, and for
    the same command again where something stopped it."""

    @property
    def place(self) -> DistributedEnvironment | None:
        """Which process this is, where a launcher started it to answer its share of a file: if it is alone, so that the
        work can be gone on with."""
        own = environment()
        return own if launched() and (own.count > 1 or None not in (self.input, self.output)) else None

    @property
    def asks(self) -> bool:
        """Whether someone types the lines, and is prompted for each."""
        return self.interactive or (self.input is None and sys.stdin.isatty())

    @property
    def on_screen(self) -> bool:
        """Whether the answers go to a terminal."""
        return self.output is None and sys.stdout.isatty()

    def ahead(self, usual: int) -> int:
        """Lines that are read ahead."""
        return self.buffer or (1 if self.asks else ON_SCREEN if self.on_screen else usual)

    def check(self, unit: str, outputs: Mapping[str, Path | None]) -> None:
        """Refuse what makes no sense together, before anything is loaded.

        Args:
            unit: what a line holds, in the plural.
            outputs: further files that are to be written, by their flags.

        Raises:
            TextseqError: such flags.
        """
        if self.interactive and (self.input is not None or self.buffer is not None):
            raise TextseqError("--interactive answers the lines of stdin at once; leave out --input and --buffer")
        for flag, lines in (("--buffer", self.buffer), ("--shard", self.shard)):
            if lines is not None and lines < 1:
                raise TextseqError(f"{flag} must be at least 1, found {lines}")
        check_encoding(self.encoding)
        if self.input is not None and (self.input.is_dir() or not self.input.exists()):
            found = "a folder" if self.input.is_dir() else "nothing"
            raise TextseqError(f"--input wants a file of {unit}, found {found} at {self.input}; name another")
        check_outputs({"--output": self.output, **outputs}, [self.input])
        if self.output is not None and self.output.suffix.lower() == ".gz":
            raise TextseqError(f"--output writes no packed files; leave it out and add: | gzip > {self.output}")
        if self.place is None:
            return
        for flag, path in (("--input", self.input), ("--output", self.output)):
            if path is None or (path.exists() and not path.is_file()):
                found = "none" if path is None else f"{path}, which is none"
                raise TextseqError(f"several processes (torchrun) want a file with {flag}, found {found}; name one")
        for flag, path in outputs.items():
            if path is not None:
                raise TextseqError(
                    f"{flag} is not for what a launcher (torchrun) starts; leave it out, or start without"
                )

    @contextmanager
    def reading(self, longest: int = LONGEST) -> Iterator[Lines]:
        """The lines, of each so many characters at most; SIGTERM ends the block as Ctrl-C does.

        Raises:
            TextseqError: they cannot be read.
        """
        os.environ.setdefault(*FEW_KERNELS)
        with self._file() as file, terminable():
            yield Lines(file, str(self.input or "stdin"), self.encoding, typed=self.asks, longest=longest)

    def writing(self) -> AbstractContextManager[Callable[[str], None]]:
        """What writes a line of the answer."""
        return growing(self.output) if self.output is not None else nullcontext(_print)

    def answer(
        self,
        texts: Texts,
        answers: Answers,
        *,
        unit: str,
        prompt: str,
        usual: int,
        characters: int | None = None,
        models: Callable[[], Iterable[Path]],
    ) -> None:
        """Write what answers the texts, or this process's share of them.

        Args:
            texts: the lines, or the rows of a table.
            answers: see ``shards``.
            unit: what is counted, in the plural.
            prompt: stands before each line that someone types.
            usual: texts that ``answers`` reads ahead unless something else is said, as
            characters: limits them.
            models: finds the folders of what answers.

        Raises:
            TextseqError: the texts cannot be read, or the answers not be written.
        """
        ahead = self.ahead(usual)
        with self.bar(unit) as bar:
            if self.place is not None:
                buffers = -(-self.shard // ahead)
                self._shards(self.place, models(), ahead * buffers).answer(
                    texts, answers, ahead=ahead, characters=characters, buffers=buffers, progress=bar.update
                )
                return
            with self.writing() as write:
                for line in answers(self.prompted(texts, prompt), 0, bar.update):
                    write(line)
                if texts.fault is not None:
                    raise texts.fault

    def _shards(self, own: DistributedEnvironment, models: Iterable[Path], lines: int) -> Shards:
        """This process's share of the work."""
        assert self.input is not None and self.output is not None  # as ``check`` has seen
        about = self.input.stat()
        job: dict[str, object] = {
            "made by": f"textseq-{type(self).__name__.lower()} {__version__}",
            "input": str(self.input.resolve()),
            "its bytes": about.st_size,
            "its time": about.st_mtime_ns,
            "model": [fingerprint(model) for model in models],
            "lines of a shard": lines,
        }
        for name in (item.name for item in fields(self) if item.name not in NO_MATTER):
            value = getattr(self, name)
            settings = {name: value} if not isinstance(value, Settings) else value.to_dict()
            job |= {f"--{one.replace('_', '-')}": setting for one, setting in settings.items()}
        return Shards(self.output, own.rank, own.count, job)

    def prompted(self, lines: Iterable[str], prompt: str) -> Iterable[str]:
        """The lines, with a prompt before each where someone types them."""
        return _asked(lines, prompt) if self.asks else lines

    def bar(self, unit: str) -> tqdm[NoReturn]:
        """A progress bar on stderr, which is not there where someone watches the answers."""
        from tqdm import tqdm

        other = self.place is not None and not self.place.leads  # the first one shows it
        quiet = self.asks or self.on_screen or other or not sys.stderr.isatty()
        return tqdm(total=None if quiet else _count(self.input), unit=f" {unit}", disable=quiet)

    def _file(self) -> AbstractContextManager[IO[bytes]]:
        if self.input is not None:
            return Document(self.input, "").open()
        if sys.stdin is None:
            raise TextseqError("stdin is closed; name a file with --input")
        return nullcontext(sys.stdin.buffer)


def _print(line: str) -> None:
    print(line, flush=True)


def _asked(lines: Iterable[str], prompt: str) -> Iterator[str]:
    """The lines, with a prompt before each: it comes when the answer to the one before has been written."""
    try:
        print(prompt, end="", file=sys.stderr, flush=True)
        for line in lines:
            yield line
            print(prompt, end="", file=sys.stderr, flush=True)
    finally:
        print(file=sys.stderr)


def _count(path: Path | None) -> int | None:
    """The lines of a file, if they can be counted before they are read."""
    if path is None or not path.is_file():
        return None
    with suppress(OSError, EOFError, zlib.error), Document(path, "").open() as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))
    return None


def told_apart(model: ModelEntry) -> str:
    """One-line summary of a classifier or tagger: labels, corpus, accuracy."""
    values = (row.get("accuracy") for row in model.info.results)
    accuracy = next((f", accuracy {value:.1%}" for value in values if isinstance(value, float)), "")
    labels = ", ".join(model.info.labels) or "unknown labels"
    return f"{model.name}  {labels}; {model.info.corpus.title}{accuracy} ({model.origin})"
