"""Where a text ends while it is still being generated: at a stop string, or where a line or sentence does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

SENTENCE_END = re.compile(r"[.!?…][\"'”’»)]*\Z")


class StopStrings:
    """Passes text on, except for what may be the beginning of a stop string.

    Args:
        strings: the text ends before the first that is complete (the longest of several); empty ones are ignored.

    Example:
        >>> stop = StopStrings(["END"])
        >>> [stop.feed(piece) for piece in ("some text E", "N", "D more")], stop.stopped
        (['some text ', '', ''], True)
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self.strings = [string for string in strings if string]
        self.held = ""
        self.stopped = False

    def feed(self, piece: str) -> str:
        """Add the next piece of text; returns what can be shown."""
        if not self.strings:
            return piece
        if self.stopped:
            return ""
        self.held += piece
        places = ((self.held.find(string), len(string)) for string in self.strings)
        hits = [(start + length, start) for start, length in places if start >= 0]
        if hits:
            _, start = min(hits)  # the first to be complete, however the text is split into pieces
            self.stopped = True
            shown, self.held = self.held[:start], ""
            return shown
        cut = len(self.held) - max(self._overlap(string) for string in self.strings)
        shown, self.held = self.held[:cut], self.held[cut:]
        return shown

    def finish(self) -> str:
        """Returns the text held back, after the last piece."""
        shown, self.held = self.held, ""
        return shown

    def _overlap(self, string: str) -> int:
        """Length of the longest beginning of a stop string that the held text ends with."""
        longest = min(len(string) - 1, len(self.held))
        return next((n for n in range(longest, 0, -1) if self.held.endswith(string[:n])), 0)


def ended_well(pieces: Iterable[str], count: int) -> Iterator[str]:
    """The pieces of a text up to where it may end well: a line end in the last fifth, a sentence end in the last tenth.

    Args:
        pieces: of the text, in order.
        count: how many there are, at most.

    Example:
        >>> "".join(ended_well("What is done is done. S", 23))
        'What is done is done.'
    """
    before = ""
    for number, piece in enumerate(pieces):
        line, line_end, _ = piece.partition("\n")
        if line_end and number >= 0.8 * count:
            yield line
            return
        if piece[:1].isspace() and number >= 0.9 * count and SENTENCE_END.search(before):
            return
        yield piece
        before = (before + piece)[-8:]
