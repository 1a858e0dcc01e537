"""The base of every settings class: frozen dataclasses that check their fields and are read from plain data."""

from __future__ import annotations

import dataclasses
import math
import reprlib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self, TypeVar

from textseq.errors import TextseqError, unknown

Value = TypeVar("Value")


LARGEST_SEED = 2**64 - 1
"""What torch's generators take."""

LARGEST = 2**63 - 1
"""What processors count to."""


def ranged(
    default: Value,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Value:
    """A field with a default and the bounds that ``Settings`` holds it to."""
    bounds = {"at_least": at_least, "at_most": at_most, "above": above, "below": below}
    made: Value = field(default=default, metadata={k: v for k, v in bounds.items() if v is not None})
    return made


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The base of every settings class: checks its fields, and reads and writes plain data."""

    def __post_init__(self) -> None:
        """Check choices and ranges.

        Raises:
            TextseqError: a value that is not among the choices or outside its range.
        """
        hints = typing.get_type_hints(type(self))
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            flag = "--" + item.name.replace("_", "-")
            if typing.get_origin(hints[item.name]) is Literal:
                choices = typing.get_args(hints[item.name])
                if value not in choices:
                    raise unknown(f"value of {flag}", str(value), map(str, choices))
            else:
                _check_type(flag, value, hints[item.name])
                _check_range(flag, value, item.metadata)

    @classmethod
    def from_dict(cls, values: Mapping[str, object], *, where: str) -> Self:
        """Make the settings from plain data, such as a recipe's table; what is missing keeps its default.

        Args:
            values: field names and values.
            where: what is being read, for the error.

        Raises:
            TextseqError: a key that is no field (nearest match offered) or a value of the wrong type.
        """
        names = {item.name for item in dataclasses.fields(cls)}
        for key in values:
            if key not in names:
                raise unknown(f"setting in {where}", key, names)
        hints = typing.get_type_hints(cls)
        return cls(**{key: _as_float(value, hints[key]) for key, value in values.items()})

    def to_dict(self) -> dict[str, object]:
        """The settings as plain data, for JSON."""
        return dataclasses.asdict(self)


def _as_float(value: object, hint: object) -> object:
    """A whole number where a fraction is wanted (``dropout = 0`` in a recipe) is no mistake."""
    wants_float = hint is float or float in typing.get_args(hint)
    return float(value) if wants_float and type(value) is int and abs(value) <= LARGEST else value


def _check_type(flag: str, value: object, hint: object) -> None:
    if typing.get_origin(hint) is Mapping:
        _check_numbers(flag, value)
        return
    words = [word for part in typing.get_args(hint) for word in typing.get_args(part)]  # instead of a number: "auto"
    if value in words:
        return
    if typing.get_origin(hint) is tuple:
        wanted: tuple[type, ...] = (tuple,)
    else:
        wanted = tuple(t for t in (typing.get_args(hint) or (hint,)) if isinstance(t, type))
    if float in wanted:
        wanted += (int,)
    is_flag = isinstance(value, bool)
    if (is_flag and bool not in wanted) or not isinstance(value, wanted):
        names = " or ".join([t.__name__ for t in wanted if t is not type(None)] + words)
        raise TextseqError(f"{flag} wants {names}, found {_shown(value)}")
    if isinstance(value, tuple) and not all(isinstance(entry, typing.get_args(hint)[0]) for entry in value):
        raise TextseqError(f"{flag} wants entries of type {typing.get_args(hint)[0].__name__}, found {_shown(value)}")


def _check_numbers(flag: str, value: object) -> None:
    """A mapping from strings to numbers."""
    if not isinstance(value, Mapping):
        raise TextseqError(f"{flag} wants a mapping from strings to numbers, found {_shown(value)}")
    for key, number in value.items():
        if not isinstance(key, str) or isinstance(number, bool) or not isinstance(number, (int, float)):
            raise TextseqError(f"{flag} wants strings with numbers, found {_shown(key)}: {_shown(number)}")


def _check_range(flag: str, value: object, bounds: Mapping[str, float]) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if isinstance(value, int) and value > LARGEST:
        bounds = {**bounds, "at_most": bounds.get("at_most", LARGEST)}
    words = {"at_least": "at least", "at_most": "at most", "above": "more than", "below": "less than"}
    holds = {
        "at_least": lambda limit: value >= limit,
        "at_most": lambda limit: value <= limit,
        "above": lambda limit: value > limit,
        "below": lambda limit: value < limit,
    }
    finite = isinstance(value, int) or math.isfinite(value)
    if not finite or not all(holds[kind](limit) for kind, limit in bounds.items()):
        wanted = " and ".join(
            ["finite"] * (not finite and math.isinf(value)) + [f"{words[k]} {limit}" for k, limit in bounds.items()]
        )
        raise TextseqError(f"{flag} must be {wanted}, found {_shown(value)}")


def _shown(value: object) -> str:
    """A value as an error shows it, in not too many letters."""
    return (
        f"a number of {value.bit_length():,} bits"
        if isinstance(value, int) and abs(value) > 2**64
        else reprlib.repr(value)
    )
