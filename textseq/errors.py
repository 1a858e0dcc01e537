"""The package's exceptions."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LISTED = 60
"""Names that an error lists at most."""

LONGEST = 100
"""Characters of a name that an error shows at most."""


class TextseqError(ValueError):
    """An error that the user can correct.

    The message is one line: what was expected, what was got and what to do. The commands print it on stderr and exit
    with 2; in Python it is a ``ValueError``.
    """


class Interrupted(Exception):
    """The work was interrupted (Ctrl-C, SIGTERM) and has saved its state.

    Attributes:
        code: exit code of the command: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def unknown(what: str, name: str, known: Iterable[str]) -> TextseqError:
    """The error for an unknown name, with the nearest match.

    Args:
        what: the kind of thing, in the singular ("corpus", "author").
        name: the name that was given.
        known: all valid names.
    """
    choices = sorted(known)
    name = name if len(name) <= LONGEST else f"{name[:LONGEST]}..."
    near = difflib.get_close_matches(name.lower(), choices, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    more = [f"... ({len(choices):,} in all)"] if len(choices) > LISTED else []
    return TextseqError(f"unknown {what} '{name}'; {hint}known: {', '.join(choices[:LISTED] + more) or 'none'}")
