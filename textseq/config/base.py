"""The base of every settings class: frozen dataclasses that check their fields and convert from and to plain data."""

from __future__ import annotations

import dataclasses
import math
import operator
import reprlib
import typing
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self, TypeVar

from textseq.config.names import REGISTERED
from textseq.errors import TextseqError, unknown

Value = TypeVar("Value")

LARGEST_SEED = 2**64 - 1
"""Largest seed of torch's generators."""

LARGEST = 2**63 - 1
"""Largest 64-bit integer."""

BOUNDS = {
    "at_least": ("at least", operator.ge),
    "at_most": ("at most", operator.le),
    "above": ("more than", operator.gt),
    "below": ("less than", operator.lt),
}
"""Kinds of bounds in a field's metadata: their words in errors, and the comparison that must hold."""


def ranged(
    default: Value,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    training_only: bool = False,
    only_with: tuple[str, tuple[object, ...]] | None = None,
    not_with: tuple[str, tuple[object, ...]] | None = None,
) -> Value:
    """A field of ``Settings``.

    Args:
        default: its default.
        at_least: a bound that ``Settings`` checks, as are the next three.
        at_most: another.
        above: another.
        below: another.
        training_only: whether it acts in training only.
        only_with: another field, and its values with which alone this one has an effect.
        not_with: another field, and its values with which this one has none.
    """
    metadata: dict[str, object] = {"at_least": at_least, "at_most": at_most, "above": above, "below": below}
    metadata |= {"training_only": training_only or None, "only_with": only_with, "not_with": not_with}
    item: Value = field(default=default, metadata={k: v for k, v in metadata.items() if v is not None})
    return item


def rate(default: float) -> float:
    """A field of a regularizer that acts in training only: a share from 0 to below 1."""
    return ranged(default, at_least=0, below=1, training_only=True)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The base of every settings class: checks its fields, and reads and writes plain data."""

    def __post_init__(self) -> None:
        """Make tuples of lists where they are meant, and check types, choices and ranges.

        Raises:
            TextseqError: a value of the wrong type, not among the choices, or out of range.
        """
        hints = _hints(type(self))
        for item in dataclasses.fields(self):
            value, flag = getattr(self, item.name), flag_of(item.name)
            if isinstance(value, list) and typing.get_origin(hints[item.name]) is tuple:
                value = tuple(value)
                object.__setattr__(self, item.name, value)
            choices = choices_of(hints[item.name])
            if choices is not None:
                if not isinstance(value, Hashable) or value not in choices:
                    raise unknown(f"value of {flag}", str(value), map(str, choices))
            else:
                _check_type(flag, value, hints[item.name])
                _check_range(flag, value, item.metadata)

    @classmethod
    def from_dict(cls, values: Mapping[str, object], *, where: str) -> Self:
        """Make the settings from plain data, such as a recipe's table; missing keys keep their defaults.

        Args:
            values: field names and values.
            where: what is being read, for the error.

        Raises:
            TextseqError: an unknown key (nearest match offered), a value of the wrong type, or a cell that is not
                registered.
        """
        names = {item.name for item in dataclasses.fields(cls)}
        for key in values:
            if key not in names:
                raise unknown(f"setting in {where}", key, names)
        hints = _hints(cls)
        for key, value in values.items():
            if typing.get_origin(hints[key]) is tuple and not isinstance(value, (list, tuple)):
                raise TextseqError(f"{flag_of(key)} in {where}: expected a list, got {_shown(value)}")
            known = REGISTERED.get(hints[key])
            if known is not None and value not in [*known]:
                raise TextseqError(
                    f"{flag_of(key)} in {where}: expected one of {', '.join(known)}, got {_shown(value)}; register one "
                    f"of your own first, in the same program (textseq.nn.register_{key})"
                )
        return cls(**{key: _as_float(value, hints[key]) for key, value in values.items()})

    def to_dict(self) -> dict[str, object]:
        """The settings as plain data, for JSON."""
        return dataclasses.asdict(self)

    def without_effect(self) -> list[str]:
        """What was changed and does nothing, as another setting is not as it would have to be; a sentence for each."""
        sentences = []
        for item in dataclasses.fields(self):
            for rule, acts in (("only_with", True), ("not_with", False)):
                if rule not in item.metadata or getattr(self, item.name) == item.default:
                    continue
                other, values = item.metadata[rule]
                flag, got = flag_of(other), getattr(self, other)
                if (got in values) == acts:
                    continue
                if acts and None not in values:
                    why = "without " + " or ".join(f"{flag} {value}" for value in values)
                else:
                    given = got or got != type(self).__dataclass_fields__[other].default
                    why = f"with {flag} {got}" if given else f"without {flag}"
                sentences.append(f"{flag_of(item.name)} has no effect {why}")
        return sentences

    def shape(self) -> Self:
        """The settings with training-only fields at their defaults: equal if the weights have equal shapes."""
        items = (item for item in dataclasses.fields(self) if item.metadata.get("training_only"))
        return dataclasses.replace(self, **{item.name: item.default for item in items})


def _hints(settings: type[Settings]) -> Mapping[str, object]:
    """The types of the fields, evaluated once: that takes longer than all checks."""
    if settings not in _HINTS:
        _HINTS[settings] = typing.get_type_hints(settings)
    return _HINTS[settings]


_HINTS: dict[type[Settings], Mapping[str, object]] = {}


def flag_of(name: str) -> str:
    """The flag of a field."""
    return "--" + name.replace("_", "-")


def choices_of(hint: object) -> Collection[object] | None:
    """The values that a type of settings names one by one; None if it names none."""
    return typing.get_args(hint) if typing.get_origin(hint) is Literal else REGISTERED.get(hint)


def _as_float(value: object, hint: object) -> object:
    """The float for an integer where a float is meant, such as ``dropout = 0`` in a recipe."""
    wants_float = hint is float or float in typing.get_args(hint)
    return float(value) if wants_float and type(value) is int and abs(value) <= LARGEST else value


def _check_type(flag: str, value: object, hint: object) -> None:
    if typing.get_origin(hint) is Mapping:
        _check_numbers(flag, value)
        return
    words: list[str] = []
    if typing.get_origin(hint) is tuple:
        types: tuple[type, ...] = (tuple,)
    else:
        words = [word for part in typing.get_args(hint) for word in typing.get_args(part)]  # "auto" for a number
        if value in words:
            return
        types = tuple(t for t in (typing.get_args(hint) or (hint,)) if isinstance(t, type))
    if float in types:
        types += (int,)
    if (isinstance(value, bool) and bool not in types) or not isinstance(value, types):
        names = " or ".join([t.__name__ for t in types if t is not type(None)] + words)
        raise TextseqError(f"{flag}: expected {names}, got {_shown(value)}")
    if isinstance(value, tuple) and (choices := choices_of(typing.get_args(hint)[0])) is not None:
        for entry in value:
            if entry not in choices:
                raise unknown(f"value of {flag}", str(entry), map(str, choices))
    elif isinstance(value, tuple) and not all(isinstance(entry, typing.get_args(hint)[0]) for entry in value):
        raise TextseqError(f"{flag}: expected {typing.get_args(hint)[0].__name__} entries, got {_shown(value)}")


def _check_numbers(flag: str, value: object) -> None:
    if not isinstance(value, Mapping):
        raise TextseqError(f"{flag}: expected a mapping from strings to numbers, got {_shown(value)}")
    for key, number in value.items():
        if not isinstance(key, str) or isinstance(number, bool) or not isinstance(number, (int, float)):
            raise TextseqError(f"{flag}: expected strings with numbers, got {_shown(key)}: {_shown(number)}")


def _check_range(flag: str, value: object, metadata: Mapping[str, float]) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    bounds = {kind: limit for kind, limit in metadata.items() if kind in BOUNDS}
    if isinstance(value, int) and value > LARGEST:
        bounds.setdefault("at_most", LARGEST)
    finite = isinstance(value, int) or math.isfinite(value)
    if not finite or not all(BOUNDS[kind][1](value, limit) for kind, limit in bounds.items()):
        expected = ["finite"] * (not finite and math.isinf(value))
        expected += [f"{BOUNDS[kind][0]} {limit}" for kind, limit in bounds.items()]
        raise TextseqError(f"{flag}: expected {' and '.join(expected)}, got {_shown(value)}")


def _shown(value: object) -> str:
    """A value in an error, abbreviated."""
    if isinstance(value, int) and abs(value) > 2**64:
        return f"a number of {value.bit_length():,} bits"
    return reprlib.repr(value)
