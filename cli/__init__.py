"""The commands: parse, call, print; nothing else lives here."""

from __future__ import annotations

import sys
from types import TracebackType


def _print_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an uncaught error; Ctrl-C before ``commands.command.run`` can catch it, while modules load, in one line."""
    if issubclass(kind, KeyboardInterrupt):
        print("textseq: stopped", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


sys.excepthook = _print_error
