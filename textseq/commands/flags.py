"""Flags from a dataclass: its fields are the flags, their types say what a value may be, their docstrings are the help.

A field that is itself a dataclass is a group of flags. A field name that several groups have is one flag, which sets it
in all of them.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, reduce
from pathlib import Path
from typing import TypeVar

from textseq.commands.renamed import renamed
from textseq.config.base import choices_of
from textseq.errors import TextseqError

Value = TypeVar("Value")

Options = TypeVar("Options")

Elsewhere = Callable[[str], str | None]

Listing = Sequence[tuple[str, Mapping[str, object]]]
"""The lines of a list, each with its record for ``--json``; empty for lines that are no entries."""

KINDS: Mapping[type, tuple[str, str]] = {
    int: ("INT", "a whole number"),
    float: ("FLOAT", "a number"),
    Path: ("PATH", "a path"),
    str: ("TEXT", "a text"),
}
"""What a value is called in help and in errors; types are tried in this order."""

METAVARS: Mapping[str, str] = {
    "device": "DEVICE",
    "source": "LANGUAGE",
    "target": "LANGUAGE",
    "vectors": "FILE|NAME",
    "labelled": "PATH...",
    "encoding": "ENCODING",
    "distil_from": "MODEL...",
}
"""What values of settings are called, where the type does not say enough."""


def option(
    default: Value,
    *,
    metavar: str = "",
    alias: str = "",
    positional: bool = False,
    rare: bool = False,
    dash: bool = False,
    show: Callable[..., Listing] | None = None,
) -> Value:
    """A field with more to say about its flag than name, type and default.

    Args:
        default: the field's default.
        metavar: name of the value in the help.
        alias: a second name of the flag.
        positional: the value is given without the flag.
        rare: only ``--help-all`` shows it.
        dash: the value "-" is None, which means stdin or stdout.
        show: the flag prints the list that this makes of the options, and ends the command.
    """
    about = {"metavar": metavar, "alias": alias, "positional": positional, "rare": rare, "dash": dash, "show": show}
    made: Value = field(default=default, metadata={key: value for key, value in about.items() if value})
    return made


@dataclass(frozen=True)
class Flag:
    """A flag of a command."""

    name: str
    paths: tuple[tuple[str, ...], ...]
    """The fields that it sets, from the options down."""
    owner: type
    """The dataclass whose field it is."""
    hint: object
    default: object
    about: Mapping[str, typing.Any]

    @property
    def names(self) -> list[str]:
        """All names that are accepted."""
        if self.about.get("positional"):
            return [f"--{self.paths[0][-1]}"]  # with its flag it is understood too
        aliases = [str(self.about["alias"])] if "alias" in self.about else []
        return [self.name, *aliases] + [f"--no-{self.name[2:]}"] * (self.hint is bool)

    @property
    def several(self) -> bool:
        """Whether it takes any number of values."""
        return typing.get_origin(self.hint) in (tuple, Mapping, types.MappingProxyType)

    @property
    def types(self) -> list[type]:
        """Types that a value may have."""
        return [kind for kind in KINDS if kind in _parts(self.hint)]

    @property
    def words(self) -> list[str]:
        """Words that a value may be."""
        return [str(word) for part in _parts(self.hint) for word in choices_of(part) or ()]

    @property
    def metavar(self) -> str:
        """The value as the help shows it."""
        if typing.get_origin(self.hint) is Mapping:
            return "TOKEN=BIAS..."
        if self.paths[0][-1].endswith(getattr(self.owner, "own_files", "-")):
            return "PATH..."
        words = [f"{{{','.join(self.words)}}}"] if len(self.words) > 1 else self.words
        kinds = "|".join([KINDS[kind][0] for kind in self.types] + words)
        usual = METAVARS.get(self.paths[0][-1], kinds + "..." * self.several)
        return str(self.about.get("metavar", usual))

    def value(self, texts: Sequence[str]) -> object:
        """The value that a command line gives."""
        if typing.get_origin(self.hint) is Mapping:
            return dict(map(self._bias, texts))
        return tuple(map(self._single, texts)) if self.several else self._single(texts[0])

    def _single(self, text: str) -> object:
        if text in self.words:
            return text
        if (text == "None" and type(None) in _parts(self.hint)) or (text == "-" and self.about.get("dash")):
            return None
        for kind in self.types:
            try:
                return kind(text)
            except ValueError:
                continue
        expected = [KINDS[kind][1] for kind in self.types] + self.words
        near = difflib.get_close_matches(text.lower(), self.words, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise TextseqError(f"{self.name}: expected {_either(expected)}, got {_quoted(text)}{hint}")

    def _bias(self, text: str) -> tuple[str, float]:
        token, _, bias = text.rpartition("=")
        try:
            return token, float(bias)
        except ValueError:
            raise TextseqError(f"{self.name}: expected TOKEN=NUMBER, got {_quoted(text)}") from None


def _parts(hint: object) -> tuple[object, ...]:
    """The alternatives of a type, such as ``int | None``; of a tuple those of its entries."""
    if typing.get_origin(hint) is tuple:
        return _parts(typing.get_args(hint)[0])
    return typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)


def _either(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1])] * (len(words) > 1) + list(words[-1:]))


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 100 else f"{text[:100]}...")


def flags_of(options: object, hidden: Container[str] = ()) -> dict[str, Flag]:
    """The flags of a dataclass instance, by name, except fields that are ``hidden``: by their name, its first word, or
    their path, such as "source.condition"."""
    flags: dict[str, Flag] = {}
    for path, owner, item in _fields(options, ()):
        if any(name in hidden for name in (item.name, item.name.split("_")[0], ".".join(path))):
            continue
        hint = _hints(owner)[item.name]
        positional = item.metadata.get("positional")
        name = str(item.metadata["metavar"]) if positional else "--" + item.name.strip("_").replace("_", "-")
        same = next((flag for flag in flags.values() if flag.paths[0][-1] == item.name), None)
        if same is None:
            flags[name] = Flag(name, (path,), owner, hint, reduce(getattr, path, options), item.metadata)
        else:
            flags[same.name] = replace(same, paths=(*same.paths, path))
    return flags


def _fields(
    options: object, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], type, dataclasses.Field[object]]]:
    assert dataclasses.is_dataclass(options) and not isinstance(options, type)
    for item in dataclasses.fields(options):
        value = getattr(options, item.name)
        if dataclasses.is_dataclass(value):
            yield from _fields(value, (*path, item.name))
        else:
            yield (*path, item.name), type(options), item


@cache
def _hints(owner: type) -> dict[str, object]:
    return typing.get_type_hints(owner)


def is_flag(argument: str) -> bool:
    """Whether an argument is a flag rather than a value."""
    return re.match(r"--[^\W\d_]|-h$", argument) is not None


def scan(arguments: Sequence[str], names: Mapping[str, Flag]) -> Iterator[tuple[str, Flag | None, list[str]]]:
    """Walk through a command line: each flag or word as written, the flag that it is, if known, and its values."""
    waiting = list(arguments)
    while waiting:
        written, equals, text = waiting.pop(0), "", ""
        if not is_flag(written):
            yield written, None, []
            continue
        written, equals, text = written.partition("=")
        flag = names.get(written.replace("_", "-"))
        values = [text] if equals else []
        if flag is None or flag.hint is bool:
            if flag and equals:
                raise TextseqError(f"{written} takes no value, got {_quoted(text)}; leave it out")
        else:
            while waiting and not is_flag(waiting[0]) and (flag.several or not values):
                values.append(waiting.pop(0))
            if not values:
                got = f"the flag {waiting[0]}; write {written}=VALUE if that is meant" if waiting else "nothing"
                raise TextseqError(f"{flag.name}: expected a value ({flag.metavar}), got {got}")
        yield written, flag, values


def read(
    options: Options, flags: Mapping[str, Flag], arguments: Sequence[str], *, prog: str, elsewhere: Elsewhere
) -> tuple[Options, list[Flag]]:
    """The options with what a command line sets, and the flags that it names; for an unknown one the right one is
    offered."""
    names = {name: flag for flag in flags.values() for name in flag.names}
    positional = [flag for flag in flags.values() if flag.about.get("positional")]
    changes: dict[tuple[str, ...], object] = {}
    lists: dict[str, list[str]] = {}
    named: list[Flag] = []
    for written, flag, values in scan(arguments, names):
        name = written.replace("_", "-")
        if flag is None and is_flag(written):
            raise _unknown(written, names, prog, elsewhere)
        if flag is None:
            if not positional or (written.startswith("-") and written != "-" and " " not in written):
                if hint := elsewhere(written):
                    raise TextseqError(f"unexpected {_quoted(written)}; {hint}")
                before = [flag.name for flag in named if flag.about.get("positional")]
                several = ", several texts in lines of stdin or of --input FILE" if "--input" in names else ""
                rule = f"put a value that has spaces in quotes{several}" if before else "a value comes after its flag"
                raise TextseqError(f"unexpected {_quoted(written)}; {rule}, see {prog} --help")
            flag, values = positional.pop(0), [written]
        if flag.several:  # given twice, it has the values of both
            values = lists[flag.name] = lists.get(flag.name, []) + values
        value = flag.value(values) if flag.hint is not bool else name in (flag.name, flag.about.get("alias"))
        named.append(flag)
        changes |= dict.fromkeys(flag.paths, value)
    return _changed(options, changes), named


def _unknown(written: str, names: Mapping[str, Flag], prog: str, elsewhere: Elsewhere) -> TextseqError:
    name = written.replace("_", "-")
    if hint := renamed(name, lambda flag: flag in names):
        return TextseqError(f"unknown flag {written}; use {hint}")
    if hint := elsewhere(name):
        return TextseqError(hint)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"{prog} --help-all shows all flags"
    return TextseqError(f"unknown flag {written}; {hint}")


def _changed(options: Options, changes: Mapping[tuple[str, ...], object]) -> Options:
    """The options with other values in some fields; each changed group checks itself."""
    values: dict[str, object] = {}
    for name in dict.fromkeys(path[0] for path in changes):
        below = {path[1:]: value for path, value in changes.items() if path[0] == name}
        values[name] = below[()] if () in below else _changed(getattr(options, name), below)
    return replace(options, **values) if values else options  # type: ignore[type-var]
