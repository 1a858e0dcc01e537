"""load(name) -> an object with the job's verb.

A name is looked up as a path, then among the user's runs, then among the models that ship with the package.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from textseq import checkpoint
from textseq.classifying import Classifier, open_classifier
from textseq.config import ReadingPrecision, WritingPrecision
from textseq.errors import TextseqError, unknown
from textseq.shelf import find_model
from textseq.tagging import Tagger, open_tagger
from textseq.translating import Translator, open_translator
from textseq.writing import Writer, open_writer

Job = Writer | Translator | Classifier | Tagger

Precision = WritingPrecision | ReadingPrecision

JOBS: dict[str, Callable[[checkpoint.Checkpoint, str, Any], Job]] = {
    "language-model": open_writer,
    "translator": open_translator,
    "classifier": open_classifier,
    "tagger": open_tagger,
}
"""What opens a checkpoint, by its task."""


def load(name: str | Path, *, device: str = "cpu", precision: Precision = "float32") -> Job:
    """Load a model by its path, its run's name or the name that it ships under.

    Args:
        name: such as ``"shakespeare"``, ``"mine"`` or ``"runs/mine"``.
        device: where to compute. One text at a time is fastest on a CPU; ``"auto"`` takes a GPU if there is one.
        precision: of the products: with ``"int8"`` writers and translators write faster on the CPU, with
            ``"bfloat16"`` classifiers classify faster on what has units for it, with next to the same probabilities.

    Raises:
        TextseqError: an unknown name or precision (nearest match offered), or a folder that is damaged, incomplete
            or newer.
    """
    found = checkpoint.load_found(lambda: find_model(str(name)))
    task = str(found.facts.get("task"))
    if task not in JOBS:
        raise unknown(f"task in {found.folder / 'config.json'}", task, JOBS)
    return JOBS[task](found, device, precision)


def load_writer(name: str | Path, *, device: str = "cpu", precision: WritingPrecision = "float32") -> Writer:
    """``load``, for a model that must be a language model; any other is a TextseqError too."""
    loaded = load(name, device=device, precision=precision)
    if not isinstance(loaded, Writer):
        raise _other("a language model", name, loaded)
    return loaded


def load_translator(name: str | Path, *, device: str = "cpu", precision: WritingPrecision = "float32") -> Translator:
    """``load``, for a model that must be a translator; any other is a TextseqError too."""
    loaded = load(name, device=device, precision=precision)
    if not isinstance(loaded, Translator):
        raise _other("a translator", name, loaded)
    return loaded


def load_classifier(name: str | Path, *, device: str = "cpu", precision: ReadingPrecision = "float32") -> Classifier:
    """``load``, for a model that must be a classifier; any other is a TextseqError too."""
    loaded = load(name, device=device, precision=precision)
    if not isinstance(loaded, Classifier):
        raise _other("a classifier", name, loaded)
    return loaded


def load_tagger(name: str | Path, *, device: str = "cpu") -> Tagger:
    """``load``, for a model that must be a tagger; any other is a TextseqError too."""
    loaded = load(name, device=device)
    if not isinstance(loaded, Tagger):
        raise _other("a tagger", name, loaded)
    return loaded


def _other(wanted: str, name: str | Path, found: Job) -> TextseqError:
    """The error for a model that does something else."""
    what, command = {
        Writer: ("a language model", "textseq-sample"),
        Translator: ("a translator", "textseq-translate"),
        Classifier: ("a classifier", "textseq-classify"),
        Tagger: ("a tagger", "textseq-tag"),
    }[type(found)]
    return TextseqError(f"{wanted} is wanted, {name} is {what}; use it with {command}")
