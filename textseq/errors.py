"""The exceptions a user may meet, and what would mend the cause."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LISTED = 60
"""Names that an error lists at most."""

LONGEST = 100
"""Characters of a name that it shows."""


class TextseqError(ValueError):
    """Something the user did and can mend.

    The message is one line and says what was wanted, what was found and what to do. The commands
    print it on stderr and exit with 2; in Python it is a ``ValueError``.
    """


class Interrupted(Exception):
    """The work was asked to stop (Ctrl-C, SIGTERM), and has saved itself.

    Attributes:
        code: exit code of the command: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def unknown(what: str, name: str, known: Iterable[str]) -> TextseqError:
    """The error for a name that stands in no table, with the nearest match offered.

    Args:
        what: the kind of thing, in the singular ("corpus", "author").
        name: what the user wrote.
        known: every name that would have been right.
    """
    choices = sorted(known)
    name = name if len(name) <= LONGEST else f"{name[:LONGEST]}..."
    near = difflib.get_close_matches(name.lower(), choices, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    others = f"... ({len(choices):,} in all)" if len(choices) > LISTED else ""
    shown = ", ".join([*choices[:LISTED], *([others] if others else [])])
    return TextseqError(f"unknown {what} '{name}'; {hint}known: {shown or 'none'}")
