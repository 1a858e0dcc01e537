"""What every command shares: flags from a dataclass, one-line errors, exit codes.

Exit codes: 0 done; 2 the user can mend it (one line on stderr); 130 Ctrl-C; 143 SIGTERM. A closed output pipe
(``textseq-sample | head``) ends quietly.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import NoReturn, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from textseq.config.names import REGISTERED
from textseq.errors import Interrupted, TextseqError
from textseq.training.distributed.environment import DistributedEnvironment, environment, first_to_fail
from textseq.version import __version__

Options = TypeVar("Options")


def parse(options: type[Options], prog: str, arguments: Sequence[str], default: Options | None = None) -> Options:
    """Read a command line into a dataclass: its fields are the flags, their docstrings the help.

    ``--version`` prints the version and exits.

    Args:
        options: the dataclass.
        prog: the command's name.
        arguments: the command line without the command.
        default: other defaults than the dataclass's own, such as a recipe's.

    Raises:
        TextseqError: a value that the dataclass itself refuses.
        SystemExit: after help (0) or flags that cannot be parsed (2).
    """
    if "--version" in arguments:
        print(f"{prog} {__version__}")
        raise SystemExit(0)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), _constructors():
            made = tyro.cli(
                options,
                prog=prog,
                description=inspect.getdoc(options),
                args=list(arguments),
                default=default,
                config=(tyro.conf.OmitArgPrefixes,),
            )
            assert made is not None
            return made
    except SystemExit as stop:
        refused = _cause(stop)
        if refused is not None:
            raise refused from None
        if first_to_fail(environment()):
            sys.stderr.write(said.getvalue())
        raise


def _constructors() -> ConstructorRegistry:
    """Flags for mappings from tokens to numbers (TOKEN=BIAS ...) and for names that a registry holds."""

    def read(arguments: list[str]) -> dict[str, float]:
        biases = {}
        for argument in arguments:
            token, _, bias = argument.rpartition("=")
            try:
                biases[token] = float(bias)
            except ValueError:
                raise TextseqError(f"--logit-bias wants TOKEN=NUMBER, found {argument!r}") from None
        return biases

    def rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Mapping[str, float]] | None:
        if info.type_origin is not Mapping:
            return None
        return PrimitiveConstructorSpec(
            nargs="*",
            metavar="TOKEN=BIAS...",
            instance_from_str=read,
            is_instance=lambda value: isinstance(value, Mapping),
            str_from_instance=lambda biases: [f"{token}={bias:g}" for token, bias in biases.items()],
        )

    def named(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[str] | None:
        if info.type not in REGISTERED:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar=f"{{{','.join(REGISTERED[info.type])}}}",
            instance_from_str=lambda arguments: arguments[0],
            is_instance=lambda value: isinstance(value, str),
            str_from_instance=lambda name: [name],
        )

    constructors = ConstructorRegistry()
    constructors.primitive_rule(rule)
    constructors.primitive_rule(named)
    return constructors


def _cause(error: BaseException | None) -> TextseqError | None:
    """The settings' own refusal, which the parser has wrapped, is told in one line like any other."""
    while error is not None and not isinstance(error, TextseqError):
        error = error.__cause__ or error.__context__
    return error


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """For the while SIGTERM stops a command as Ctrl-C does: what it opened is closed, and its exit code is 143."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted("stopped", 143)

    try:
        previous = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: signals stay whose they are
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def run(prog: str, command: Callable[[Sequence[str]], None], arguments: Sequence[str] | None = None) -> NoReturn:
    """Call a command and leave with its exit code.

    Args:
        prog: the command's name, which begins every error line.
        command: takes the command line's arguments.
        arguments: those; the process's own by default.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # letters that the terminal has not are shown by their numbers
            stream.reconfigure(errors="backslashreplace")
    own = DistributedEnvironment()
    try:
        own = environment()
        if sys.stdout is None:
            raise TextseqError("stdout is closed; send it to a file or to /dev/null")
        command(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except TextseqError as error:
        if first_to_fail(own):
            which = "" if own.leads else f" (process {own.rank})"
            print(f"{prog}{which}: {' '.join(str(error).splitlines())}", file=sys.stderr)
        sys.exit(2)
    except Interrupted as stop:
        if str(stop):
            print(f"{prog}: {stop}", file=sys.stderr)
        sys.exit(stop.code)
    except KeyboardInterrupt:
        print(f"{prog}: stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # Python flushes stdout once more at exit; give it somewhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        print(f"{prog}: {error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        with contextlib.suppress(OSError):  # as above
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(2)
    sys.exit(0)
