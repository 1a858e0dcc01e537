"""The tasks, and models opened by name: ``load``. No torch is imported before a model is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from textseq.config.decoding import Precision
from textseq.errors import TextseqError, unknown
from textseq.tasks.classification.spec import CLASSIFICATION
from textseq.tasks.language_model.spec import LANGUAGE_MODEL
from textseq.tasks.tagging.spec import TAGGING
from textseq.tasks.task import Task
from textseq.tasks.translation.spec import TRANSLATION

if TYPE_CHECKING:
    from textseq.tasks.classification.label_classifier import LabelClassifier
    from textseq.tasks.language_model.generator import TextGenerator
    from textseq.tasks.predictor import AnyPredictor
    from textseq.tasks.tagging.tagger import Tagger
    from textseq.tasks.translation.translator import Translator

P = TypeVar("P", bound="AnyPredictor")

TASKS: tuple[Task, ...] = (LANGUAGE_MODEL, TRANSLATION, CLASSIFICATION, TAGGING)
"""All tasks, in the order of lists and help; the first is the default."""


def task_named(name: str, *, where: str = "--task") -> Task:
    """The task of a name.

    Raises:
        TextseqError: unknown; the nearest match is offered.
    """
    for task in TASKS:
        if task.name == name:
            return task
    raise unknown(f"task in {where}", name, [task.name for task in TASKS])


def load(name: str | Path, *, device: str = "cpu", precision: Precision = "float32") -> AnyPredictor:
    """Load a model by its path, its run's name, the name that it ships under, or that on the Hub.

    Args:
        name: such as ``"shakespeare"``, ``"mine"``, ``"runs/mine"``, or ``"hf://user/model"`` for one on the Hugging
            Face Hub, which needs the extra ``textseq[hub]``; or a label that a language model is conditioned on, such
            as ``"austen"``, or shares of several, such as ``"austen=0.7,poe=0.3"``.
        device: where to compute. One text at a time is fastest on a CPU; ``"auto"`` takes a GPU if there is one.
        precision: number format of the matrix products: ``"int8"`` makes text generators and translators faster on a
            CPU, ``"bfloat16"`` classifiers on hardware with units for it.

    Raises:
        TextseqError: an unknown name or precision (nearest match offered), or a folder that is damaged, incomplete
            or of a newer version.

    Example:
        >>> import textseq
        >>> textseq.load("sentiment").classify("a masterpiece").label
        'positive'
    """
    return _load(name, device, precision)


def load_generator(name: str | Path, *, device: str = "cpu", precision: Precision = "float32") -> TextGenerator:
    """``load`` for a language model; any other model is a TextseqError."""
    from textseq.tasks.language_model.generator import TextGenerator

    return _of_class(TextGenerator, LANGUAGE_MODEL, name, _load(name, device, precision, LANGUAGE_MODEL))


def load_translator(name: str | Path, *, device: str = "cpu", precision: Precision = "float32") -> Translator:
    """``load`` for a translator; any other model is a TextseqError."""
    from textseq.tasks.translation.translator import Translator

    return _of_class(Translator, TRANSLATION, name, _load(name, device, precision, TRANSLATION))


def load_classifier(name: str | Path, *, device: str = "cpu", precision: Precision = "float32") -> LabelClassifier:
    """``load`` for a classifier, or a language model that is conditioned on labels; any other is a TextseqError."""
    from textseq.tasks.classification.classifier import Classifier
    from textseq.tasks.classification.generative import GenerativeClassifier
    from textseq.tasks.language_model.generator import TextGenerator

    predictor = _load(name, device, precision, CLASSIFICATION)
    if isinstance(predictor, TextGenerator) and predictor.info.labels:
        return GenerativeClassifier(predictor)
    return _of_class(Classifier, CLASSIFICATION, name, predictor)


def load_tagger(name: str | Path, *, device: str = "cpu", precision: Precision = "float32") -> Tagger:
    """``load`` for a tagger; any other model is a TextseqError."""
    from textseq.tasks.tagging.tagger import Tagger

    return _of_class(Tagger, TAGGING, name, _load(name, device, precision, TAGGING))


def _load(name: str | Path, device: str, precision: Precision, wanted: Task | None = None) -> AnyPredictor:
    """``load``; an error lists the models of the task that is wanted."""
    from textseq.checkpoints import checkpoint
    from textseq.checkpoints.registry import find_labels, find_model

    writes = wanted in (None, LANGUAGE_MODEL)

    def find() -> Path:
        return find_model(str(name), wanted.name if wanted else None, labels=writes)

    try:
        first = iter([find()])
    except TextseqError:
        folder = find_labels(str(name)) if writes else None
        if folder is None:
            raise
        return load_generator(folder, device=device, precision=precision).under(str(name))
    saved = checkpoint.load_latest(lambda: next(first, None) or find())
    task = task_named(saved.info.task, where=str(saved.folder / "config.json"))
    return task.predictor_class().open(saved, device=device, precision=precision)


def _of_class(cls: type[P], task: Task, name: str | Path, predictor: AnyPredictor) -> P:
    """The predictor, which must be of one task."""
    if isinstance(predictor, cls):
        return predictor
    other = task_named(predictor.info.task)
    raise TextseqError(f"expected {task.noun}, got {name}, which is {other.noun}; use it with {other.command}")
