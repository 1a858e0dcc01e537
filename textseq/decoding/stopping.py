"""End a text at the first stop string, while it is still being generated."""

from __future__ import annotations

from collections.abc import Sequence


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
        cut = len(self.held) - max((self._overlap(string) for string in self.strings), default=0)
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
