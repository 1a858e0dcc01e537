"""What every command does: parse its flags, run, print errors in one line, exit with a code.

Exit codes: 0 done; 2 the user can fix it (one line on stderr); 130 Ctrl-C; 143 SIGTERM. A closed output pipe
(``textseq-sample | head``) ends quietly.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import inspect
import io
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Container, Iterator, Sequence
from types import FrameType
from typing import NoReturn, TextIO, TypeVar

from textseq.commands.flags import Elsewhere, flags_of, read
from textseq.config.base import Settings
from textseq.errors import Interrupted, TextseqError, unknown
from textseq.io.colored_text import visible
from textseq.training.distributed.environment import DistributedEnvironment, environment, first_to_fail
from textseq.version import __version__

Options = TypeVar("Options")

OUT_OF_MEMORY = (
    "memory ran out; give shorter texts or fewer at a time, choose a smaller model, or use a machine with more memory"
)


def parse(
    default: Options,
    prog: str,
    arguments: Sequence[str],
    *,
    hidden: Container[str] = (),
    elsewhere: Elsewhere = lambda flag: None,
) -> Options:
    """Read a command line over the defaults. Help, version, lists and completion are printed, and end the command.

    ``hidden`` are fields that are not flags; ``elsewhere`` gives the error for a flag of another task or command, and
    what to do with a value without a flag.
    """
    flags = flags_of(default, hidden)
    shown = help_flag(arguments)
    if shown == "--version":
        _print_and_exit(f"{prog} {__version__}")
    if shown:
        from textseq.commands.help import help_text

        _print_and_exit(help_text(inspect.getdoc(default) or "", flags, prog, everything=shown == "--help-all"))
    if arguments[:1] == ["--print-completion"]:
        from textseq.commands.help import completions

        shell, scripts = "".join(arguments[1:2]), completions(flags, prog)
        if shell not in scripts:
            raise unknown("shell for --print-completion:", shell, scripts)
        _print_and_exit(scripts[shell])
    options, named = read(default, flags, arguments, prog=prog, elsewhere=elsewhere)
    for flag in named:
        if show := flag.about.get("show"):
            rows = show(options)
            if getattr(options, "json", False):
                _print_and_exit("\n".join(to_json(record) for _, record in rows if record))
            _print_and_exit("\n".join(line for line, _ in rows))
    return options


def help_flag(arguments: Sequence[str]) -> str | None:
    """The flag that asks for help or the version, if there is one; no other flag is then an error."""
    return next((argument for argument in arguments if argument in ("-h", "--help", "--help-all", "--version")), None)


def to_json(record: object, *, unicode: bool = False) -> str:
    """A record as a line of JSON, in ASCII where stdout has no Unicode; ``unicode`` if it goes to a file."""
    unicode = unicode or sys.stdout.encoding.lower().startswith("utf")
    return json.dumps(record, ensure_ascii=not unicode)


def _print_and_exit(text: str) -> NoReturn:
    show(text, end="\n" * bool(text))
    raise SystemExit(0)


def show(text: object, *, end: str = "\n", file: TextIO | None = None) -> None:
    """Print a text at once; on a terminal control characters are symbols, as they would move the cursor and more.

    Everything that models, files or their names may contain is printed here.
    """
    file = file or sys.stdout
    print(visible(str(text)) if file.isatty() else text, end=end, file=file, flush=True)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """The message, without characters that control a terminal."""
        return visible(super().format(record))


def log_to_stderr(*, every_process: bool = False) -> None:
    """Print the library's warnings on stderr; of several processes only the first prints by default."""
    level = logging.WARNING if every_process or environment().leads else logging.CRITICAL
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


def note_without_effect(settings: Settings) -> None:
    """Warn of settings that do nothing."""
    for sentence in settings.without_effect():
        logging.getLogger("textseq").warning("note: %s", sentence)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """In this block SIGTERM ends a command as Ctrl-C does: what is open is closed; the exit code is 143."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted("stopped", 143)

    try:
        previous = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # only the main thread may handle signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def run(prog: str, command: Callable[[Sequence[str]], None], arguments: Sequence[str] | None = None) -> NoReturn:
    """Call a command and exit with its code; ``prog`` begins every error line."""
    atexit.register(gc.freeze)  # at its end Python would search all objects of torch for garbage, a third of a second
    if sys.stderr is None:  # closed by 2>&-
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # characters that the terminal lacks are printed as escapes
            stream.reconfigure(errors="backslashreplace")
    process = DistributedEnvironment()
    try:
        process = environment()
        if sys.stdout is None:
            raise TextseqError("stdout is closed; redirect it to a file or to /dev/null")
        command(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except (TextseqError, MemoryError, RuntimeError) as error:
        if not isinstance(error, TextseqError) and not _is_out_of_memory(error):
            raise
        if first_to_fail(process):
            which = "" if process.leads else f" (process {process.rank})"
            _complain(f"{prog}{which}: {error if isinstance(error, TextseqError) else OUT_OF_MEMORY}")
        sys.exit(2)
    except (Interrupted, KeyboardInterrupt) as stop:
        if message := str(stop) if isinstance(stop, Interrupted) else "stopped":
            _complain(f"{prog}: {message}")
        sys.exit(getattr(stop, "code", 130))
    except BrokenPipeError:
        _discard_stdout()
        sys.exit(0)
    except OSError as error:
        _complain(f"{prog}: {error.filename or 'output'}: {error.strerror or error}")
        with contextlib.suppress(OSError):
            _discard_stdout()
        sys.exit(2)
    sys.exit(0)


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    from textseq.training.devices import is_out_of_memory

    return is_out_of_memory(error)


def _complain(message: str) -> None:
    """Print an error in one line, wherever stderr goes."""
    print(visible(" ".join(message.splitlines())), file=sys.stderr)


def _discard_stdout() -> None:
    """Python flushes stdout once more at exit; send that to /dev/null."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
