"""Commands that answer each line with a line: where lines come from and go to, and the flags for that."""

from __future__ import annotations

import io
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NoReturn, Self

from textseq.checkpoints.hub import is_hub_name
from textseq.checkpoints.registry import find_model
from textseq.commands.command import log_to_stderr, show, terminable, to_json
from textseq.commands.flags import option
from textseq.commands.models import ModelOptions
from textseq.commands.shards import Answers, Shards, Texts, fingerprint
from textseq.config.base import Settings, flag_of
from textseq.data.dataset import check_encoding
from textseq.data.readers.tables import ending_of
from textseq.errors import TextseqError
from textseq.io.compression import OPENERS
from textseq.io.documents.document import Document
from textseq.io.documents.errors import reading
from textseq.io.files import check_outputs, growing, sha256
from textseq.io.lines import LONGEST, Lines
from textseq.training.distributed.environment import DistributedEnvironment, environment, launched
from textseq.version import __version__

if TYPE_CHECKING:
    from tqdm import tqdm

ON_SCREEN = 64
"""Lines read ahead where the answers go to a terminal."""

JSON = (".json", ".jsonl", ".ndjson", ".parquet")
"""Endings of files whose lines are no text."""

FEW_KERNELS = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
"""oneDNN, which torch loads later, caches code for 1,024 shapes of batches by default: some 150 MB for a large file."""

NOT_IN_JOB = {"text", "input", "output", "interactive", "model", "shard", "list_models"}
"""Flags that do not change the answer to a line, or that the job states in more detail."""


@dataclass(frozen=True, kw_only=True)
class LineOptions(ModelOptions):
    """Lines in, lines out."""

    takes_several: ClassVar[bool] = False
    """Whether ``--model`` may name several models."""
    reads_tables: ClassVar[bool] = False
    """Whether ``--input`` may be a table or JSON."""

    text: str | None = option(None, metavar="TEXT", positional=True)
    """A text, in quotes, instead of a file or stdin."""
    input: Path | None = option(None, metavar="FILE", dash=True)
    """File to read; it is decompressed if its name ends in .gz, .bz2, .xz, .zst or .zip. Default, and -: stdin."""
    output: Path | None = option(None, metavar="FILE", dash=True)
    """File to write, in UTF-8. Lines are written to FILE.part, which is renamed to FILE at the end and kept if the
    command is stopped. Default, and -: stdout."""
    encoding: str = option("utf-8", rare=True)
    """Encoding of the input."""
    interactive: bool = option(False, rare=True)
    """Show a prompt on stderr and answer each line at once. On by default when stdin is a terminal."""
    buffer: int | None = option(None, metavar="LINES", rare=True)
    """Lines to read ahead and process in order of length: more is faster, but lines not finished when the command is
    stopped are lost. Default: hundreds; 64 if stdout is a terminal; 1 with a prompt."""
    shard: int = option(4096, metavar="LINES", rare=True)
    """With several processes (torchrun --nproc-per-node 2 -m textseq.cli...): lines of --input per piece; the processes
    take turns. Finished pieces wait in FILE.shards; after a stop the same command continues from there."""

    @property
    def process(self) -> DistributedEnvironment | None:
        """This process, if a launcher started it to answer its share of a file. A single one can be resumed too."""
        process = environment()
        shares = process.count > 1 or (self.input is not None and self.output is not None)
        return process if launched() and shares else None

    @property
    def prompts(self) -> bool:
        """Whether someone types the lines."""
        return self.interactive or (self.text is None and self.input is None and sys.stdin.isatty())

    @property
    def on_screen(self) -> bool:
        """Whether the answers go to a terminal."""
        return self.output is None and sys.stdout.isatty()

    def ahead(self, usual: int) -> int:
        """Lines to read ahead."""
        return self.buffer or (1 if self.prompts else ON_SCREEN if self.on_screen else usual)

    def to_json(self, record: object) -> str:
        """A record as a line of JSON; see ``command.to_json``."""
        return to_json(record, unicode=self.output is not None)

    def with_text(self) -> Self:
        """The options; what follows a model in ``--model`` and is none is the text. "-" is stdin."""
        *models, last = self.model or ("",)
        is_text = " " in last or (len(models) == 1 and not self.takes_several)
        if self.text is None and models and is_text and not _is_model(last):
            return replace(self, model=(*models,), text=last)
        return replace(self, text=None) if self.text == "-" else self

    def check(self, unit: str, outputs: Mapping[str, Path | None]) -> None:
        """Refuse flags that contradict each other, before anything is loaded; ``outputs`` are further files."""
        if self.text is not None and os.path.isfile(self.text):
            raise TextseqError(f"{self.text} is a file; to read it, use --input {shlex.quote(self.text)}")
        if self.text is not None and (self.interactive or self.input is not None):
            raise TextseqError(f"give either a text, got '{self.text:.60}', or --input or --interactive, not both")
        if self.interactive and (self.input is not None or self.buffer is not None):
            raise TextseqError("--interactive reads stdin line by line; leave out --input and --buffer")
        for flag, lines in (("--buffer", self.buffer), ("--shard", self.shard)):
            if lines is not None and lines < 1:
                raise TextseqError(f"{flag}: expected at least 1, got {lines}")
        check_encoding(self.encoding)
        if self.input is not None and (self.input.is_dir() or not self.input.exists()):
            what = f"the folder {self.input}" if self.input.is_dir() else f"{self.input}, which does not exist"
            raise TextseqError(f"--input: expected a file of {unit}, got {what}")
        check_outputs({"--output": self.output, **outputs}, [self.input])
        if self.output is not None and (ending := self.output.suffix.lower()) in OPENERS:
            program = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd"}.get(ending, ending[1:])
            raise TextseqError(
                f"--output writes no compressed files; leave it out and add: | {program} > {self.output}"
            )
        if self.process is None:
            return
        for flag, path in (("--input", self.input), ("--output", self.output)):
            if path is None or (path.exists() and not path.is_file()):
                got = "none" if path is None else f"{path}, which is not one"
                raise TextseqError(f"{flag}: several processes (torchrun) need a file, got {got}")
        for flag, path in outputs.items():
            if path is not None:
                raise TextseqError(f"{flag} works in a single process only; leave it out, or start without torchrun")

    @contextmanager
    def reading(self, longest: int = LONGEST) -> Iterator[Lines]:
        """The lines, cut after so many characters. In this block SIGTERM works as Ctrl-C does."""
        log_to_stderr(every_process=True)  # each has lines of its own
        os.environ.setdefault(*FEW_KERNELS)
        if self.text is not None:
            with terminable():
                yield Lines(
                    io.BytesIO(os.fsencode(self.text or "\n")), "the text", sys.getfilesystemencoding(), longest=longest
                )
            return
        if self.input is None and sys.stdin is None:
            raise TextseqError("stdin is closed; name a file with --input")
        if self.input is not None and not self.reads_tables and ending_of(self.input) in JSON:
            raise TextseqError(
                f"--input: expected a text with a line for each answer, got {self.input}; save it as one"
            )
        opened = nullcontext(sys.stdin.buffer) if self.input is None else Document(self.input, "").open()
        with opened as file, terminable():
            yield Lines(file, str(self.input or "stdin"), self.encoding, typed=self.prompts, longest=longest)

    def answer(
        self, texts: Texts, answers: Answers, *, unit: str, prompt: str, usual: int, characters: int | None = None
    ) -> None:
        """Write the answers to the texts, or to this process's share of them.

        Args:
            texts: the lines, or the rows of a table.
            answers: see ``shards``.
            unit: what the progress bar counts, in the plural.
            prompt: printed before each line that someone types.
            usual: texts that ``answers`` reads ahead by default; ``characters`` limits these further.
        """
        with self._bar(unit) as bar:
            if self.process is not None:
                ahead = self.ahead(usual)
                buffers = -(-self.shard // ahead)
                self._shards(self.process, ahead * buffers).answer(
                    texts, answers, ahead=ahead, characters=characters, buffers=buffers, progress=bar.update
                )
                return
            with growing(self.output) if self.output is not None else nullcontext(show) as write:
                for line in answers(_prompted(texts, prompt) if self.prompts else texts, 0, bar.update):
                    write(line)
                if texts.error is not None:
                    raise texts.error

    def _shards(self, process: DistributedEnvironment, lines: int) -> Shards:
        """This process's share of the work, in shards of so many lines."""
        assert self.input is not None and self.output is not None  # see ``check``
        about = self.input.stat()
        job: dict[str, object] = {
            "made by": f"textseq-{type(self).__name__.lower()} {__version__}",
            "input": str(self.input.resolve()),
            "its bytes": about.st_size,
            "its time": about.st_mtime_ns,
            "model": [fingerprint(find_model(model)) for model in self.model],
            "lines of a shard": lines,
        }
        for name in sorted(vars(self).keys() - NOT_IN_JOB):
            value = getattr(self, name)
            settings = value.to_dict() if isinstance(value, Settings) else {name: value}
            job |= {flag_of(key): sha256(each) if isinstance(each, Path) else each for key, each in settings.items()}
        return Shards(self.output, process.rank, process.count, job)

    def _bar(self, unit: str) -> tqdm[NoReturn]:
        """A progress bar on stderr, hidden if the answers themselves are on the screen."""
        from tqdm import tqdm

        follows = self.process is not None and not self.process.leads
        quiet = self.prompts or self.on_screen or follows or not sys.stderr.isatty()
        return tqdm(total=None if quiet else _count(self.input), unit=f" {unit}", disable=quiet)


def _is_model(name: str) -> bool:
    try:
        return is_hub_name(name) or bool(find_model(name))
    except (TextseqError, OSError):
        return False


def _prompted(lines: Iterable[str], prompt: str) -> Iterator[str]:
    """The lines; a prompt is printed before each, after the answer to the previous one."""
    try:
        print(prompt, end="", file=sys.stderr, flush=True)
        for line in lines:
            yield line
            print(prompt, end="", file=sys.stderr, flush=True)
    finally:
        print(file=sys.stderr)


def _count(path: Path | None) -> int | None:
    """The number of lines in a file, if they can be counted beforehand."""
    if path is None or not path.is_file():
        return None
    with suppress(TextseqError), reading(str(path)), Document(path, "").open() as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))
    return None
