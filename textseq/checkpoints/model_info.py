"""Model metadata: what ``config.json`` says of a model, typed and checked once."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Self

from textseq.errors import TextseqError, unknown
from textseq.io.files import json_of, read_text

Table = dict[str, object]
"""Plain data, as JSON has it."""
BESIDE = ("format", "sha256")
"""Keys of ``config.json`` that belong to the folder, not to the model."""
REQUIRED = ("task", "model")


@dataclass(frozen=True, kw_only=True)
class CorpusInfo:
    """The text that a model was trained on."""

    name: str = "unknown"
    title: str = "unknown"
    licence: str = "unknown"
    fingerprint: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What is known of a model besides its weights and its tokenizer.

    Example:
        >>> info = ModelInfo(task="classification", model={"cell": "gru"}, labels=("bad", "good"))
        >>> ModelInfo.from_dict(info.to_dict(), where="config.json") == info
        True
    """

    task: str
    textseq: str = ""
    """Version that trained it."""
    model: Table = field(default_factory=dict)
    """Settings of the model, the data and the training."""
    data: Table = field(default_factory=dict)
    training: Table = field(default_factory=dict)
    source: Table = field(default_factory=dict)
    """Settings of the data source; only the names of columns in a model that was saved to be given away."""
    corpus: CorpusInfo = CorpusInfo()
    language: str | None = None
    source_language: str | None = None
    target_language: str | None = None
    labels: tuple[str, ...] = ()
    """In the order of the model's outputs; of a language model the labels that it is conditioned on."""
    vector_size: int = 0
    """Numbers of the vector that a language model is conditioned on; 0 without one."""
    scheme: str = ""
    """How the tags of a tagger mark spans: a name in ``textseq.data.spans.SCHEMES``; "" if they do not."""
    temperature: float = 1.0
    """Calibration: logits are divided by it."""
    threshold: float | None = None
    """Probability from which a classifier gives a label, if it gives several or none; None if it always gives one."""
    source_style: Table = field(default_factory=dict)
    """How the sources of a translator's training are written (``SourceStyle``); empty if in no common style."""
    doubtful_below: float | None = None
    """Score below which a translator's translation is doubtful: 5 % of those of the validation split are."""
    init_from: str | None = None
    """Model whose weights the training began with."""
    init_corpora: tuple[str, ...] = ()
    """Corpora that this model, or one that it was distilled from, was trained on."""
    teachers: tuple[str, ...] = ()
    """SHA-256 of the weights of the models that it was distilled from."""
    made_with: Table = field(default_factory=dict)
    """Versions, machine and command of the training."""
    resumed_with: Table = field(default_factory=dict)
    """The same of the process that resumed it, where they differ."""
    step: int | None = None
    best_validation_loss: float | None = None
    average_of: tuple[int, ...] = ()
    """Steps whose weights were averaged."""
    results: tuple[Table, ...] = ()
    """Metrics, each with its signature."""

    @property
    def corpora(self) -> tuple[str, ...]:
        """Names of all corpora that the weights were trained on, a cross-validation fold as such."""
        return (self.corpus.name, *self.init_corpora) if self.corpus != CorpusInfo() else self.init_corpora

    def to_dict(self) -> Table:
        """Plain data for JSON; fields at their defaults are left out, settings excepted."""
        table: Table = {}
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            default = item.default if item.default_factory is dataclasses.MISSING else item.default_factory()
            if value != default or item.name in REQUIRED:
                table[item.name] = dataclasses.asdict(value) if isinstance(value, CorpusInfo) else value
        return table

    @classmethod
    def from_dict(cls, values: Mapping[str, object], *, where: str) -> Self:
        """Check and convert plain data.

        Args:
            values: such as ``to_dict`` gives.
            where: the file, for errors.

        Raises:
            TextseqError: a key is missing or unknown, or a value has the wrong type.
        """
        hints = typing.get_type_hints(cls)
        for key in REQUIRED:
            if key not in values:
                raise TextseqError(f"{where} is damaged: it lacks '{key}'; restore the folder")
        for key in values:
            if key not in hints:
                raise unknown(f"key in {where}", key, hints)
        return cls(**{key: _converted(key, value, hints[key], where) for key, value in values.items()})


def _converted(key: str, value: object, hint: object, where: str) -> typing.Any:
    """A value of the type that a hint asks for."""
    if isinstance(hint, UnionType):
        if value is None and NoneType in typing.get_args(hint):
            return None
        (hint,) = (kind for kind in typing.get_args(hint) if kind is not NoneType)
    if hint is CorpusInfo and isinstance(value, dict):
        names = typing.get_type_hints(CorpusInfo)
        return CorpusInfo(
            **{name: _converted(f"corpus.{name}", value[name], str, where) for name in names if name in value}
        )
    kind, entries = typing.get_origin(hint) or hint, typing.get_args(hint)
    if kind is tuple and isinstance(value, list | tuple):
        return tuple(_converted(key, entry, entries[0], where) for entry in value)
    if kind is float and type(value) is int and abs(value) < 2**53:
        value = float(value)
    if not isinstance(kind, type) or not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        name = kind.__name__ if isinstance(kind, type) else str(kind)
        raise TextseqError(f"{where} is damaged: '{key}' must be of type {name}, got {value!r:.60}; restore the folder")
    if isinstance(value, float) and not math.isfinite(value):
        raise TextseqError(f"{where} is damaged: '{key}' must be finite, got {value}; restore the folder")
    return value


def read_json(path: Path) -> Table:
    """Read a JSON object.

    Raises:
        TextseqError: the file is missing, unreadable or not a JSON object.
    """
    try:
        table = json_of(read_text(path))
    except FileNotFoundError:
        raise TextseqError(f"{path} is missing; restore the folder or train the model again") from None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise TextseqError(f"{path} is damaged ({reason}); restore the folder or train the model again") from None
    if not isinstance(table, dict):
        raise TextseqError(f"{path} is damaged: expected a JSON object, got {type(table).__name__}; restore it")
    return table


def config_hash(table: Table) -> str:
    """The SHA-256 of the content of ``config.json``, without this hash itself."""
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def read_info(folder: Path) -> ModelInfo:
    """The metadata of a model folder.

    Raises:
        TextseqError: ``config.json`` is missing or damaged.
    """
    path = folder / "config.json"
    table = {key: value for key, value in read_json(path).items() if key not in BESIDE}
    return ModelInfo.from_dict(table, where=str(path))
