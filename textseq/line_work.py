"""What the commands share that answer every line with a line: where lines come from and go to, and their flags."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, NoReturn

from tyro.conf import FlagCreatePairsOff, arg

from textseq.command import terminable
from textseq.corpus import check_encoding
from textseq.documents import Document
from textseq.errors import TextseqError
from textseq.files import check_outputs, growing
from textseq.lines import LONGEST, Lines

if TYPE_CHECKING:
    from tqdm import tqdm

Flag = Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")]
File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]

ON_SCREEN = 64
"""Lines that are read ahead where someone watches the answers."""


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
        if self.buffer is not None and self.buffer < 1:
            raise TextseqError(f"--buffer must be at least 1, found {self.buffer}")
        check_encoding(self.encoding)
        if self.input is not None and (self.input.is_dir() or not self.input.exists()):
            found = "a folder" if self.input.is_dir() else "nothing"
            raise TextseqError(f"--input wants a file of {unit}, found {found} at {self.input}; name another")
        check_outputs({"--output": self.output, **outputs}, [self.input])
        if self.output is not None and self.output.suffix.lower() == ".gz":
            raise TextseqError(f"--output writes no packed files; leave it out and add: | gzip > {self.output}")

    @contextmanager
    def reading(self, longest: int = LONGEST) -> Iterator[Lines]:
        """The lines, of each so many characters at most; SIGTERM ends the block as Ctrl-C does.

        Raises:
            TextseqError: they cannot be read.
        """
        with self._file() as file, terminable():
            yield Lines(file, str(self.input or "stdin"), self.encoding, typed=self.asks, longest=longest)

    def writing(self) -> AbstractContextManager[Callable[[str], None]]:
        """What writes a line of the answer."""
        return growing(self.output) if self.output is not None else nullcontext(_print)

    def prompted(self, lines: Iterable[str], prompt: str) -> Iterable[str]:
        """The lines, with a prompt before each where someone types them."""
        return _asked(lines, prompt) if self.asks else lines

    def bar(self, unit: str) -> tqdm[NoReturn]:
        """A progress bar on stderr, which is not there where someone watches the answers."""
        from tqdm import tqdm

        quiet = self.asks or self.on_screen or not sys.stderr.isatty()
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
