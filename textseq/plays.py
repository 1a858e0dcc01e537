"""Shakespeare's pieces as the Moby edition typesets them -> plain text in the form of tinyshakespeare."""

from __future__ import annotations

import re
from collections.abc import Iterator

# How the Moby edition of Shakespeare is typeset, as seen in its 42 files.
_BODY = re.compile(r"^(ACT I|\t(THE )?PROLOGUE|\tINDUCTION)[. ]*$", re.MULTILINE)
# A direction ends at its bracket or, where that was forgotten, with its paragraph.
_DIRECTION = re.compile(r" *\[(?:[^][\n]|\n(?![ \t]*\n))*(?:\] *|(?=\n[ \t]*\n)|\Z)")
_SECTION = re.compile(r"(ACT|SCENE)\b|\t[0-9]+\. ")  # also the numbered order of a procession
_TITLE = re.compile(r" *\t{1,2}[A-Z0-9][A-Z0-9 ,'.]{2,}$|[IVXLC]+\.$")
_LAYOUT = re.compile(r" *\t[\t ]*| {3,}")
_SPEAKERS = (  # to the form "SPEAKER\twords"
    (re.compile(r"^([^\t\n:]+):[ \t]*", re.MULTILINE), r"\1\t"),  # "Servant: words"
    (re.compile(r"^([^\s|][^\t\n]*)\n(?=[^\s|][^\t\n]*\t)", re.MULTILINE), r"\1 "),  # broken over two lines
    (re.compile(r"^([A-Z]+)(\t.*)\n([A-Z][A-Z ]+)$", re.MULTILINE), r"\1 \3\2"),  # ... beside the words
)


def untypeset(raw: str) -> str:
    """A piece in the form of tinyshakespeare: "SPEAKER:", the lines, a blank line.

    Lines that nobody is named for (a prologue, a song) are a block without a speaker; of several who
    speak together the first is named. A file without acts is verse: stanzas between blank lines.
    """
    body = _BODY.search(raw)
    text, found = raw[body.start() if body else 0 :], 1
    while found:  # a direction may stand inside another
        text, found = _DIRECTION.subn(" ", text)
    text = text.replace("]", "")
    for pattern, form in _SPEAKERS if body else ():
        text = pattern.sub(form, text)
    blocks = _speeches(text.splitlines()) if body else _stanzas(text.splitlines())
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _tidy(line: str) -> str:
    return _LAYOUT.sub(" ", line.strip(" \t|"))


def _stanzas(lines: list[str]) -> Iterator[list[str]]:
    stanza: list[str] = []
    for line in [*lines, ""]:
        if line.strip() and not _TITLE.match(line):
            stanza.append(_tidy(line))
        elif stanza:
            yield stanza
            stanza = []


def _speeches(lines: list[str]) -> Iterator[list[str]]:
    speaker: list[str] = []
    said: list[str] = []
    heading = together = False  # of the paragraph so far: is it one; do several speakers share it
    for line in [*lines, "ACT"]:  # a heading ends the last speech too
        name, tab, words = line.partition("\t")
        section, title = _SECTION.match(line), _TITLE.match(line)
        speaks = bool(tab) and any(map(str.isalpha, name)) and not section
        if section or title or (speaks and not together):
            if said:
                yield speaker + said
            speaker, said = [" ".join(name.split()) + ":"] * speaks, []
        if not line.strip():
            heading = together = False
        elif section:
            heading = True
        elif speaks:
            heading, together = False, "|" in words
        if not (heading or title) and (spoken := _tidy(words)):
            said.append(spoken)
