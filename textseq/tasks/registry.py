"""load(name) -> an object with the job's verb.

A name is looked up as a path, then among the user's runs, then among the models that ship with the package.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from textseq.checkpoints import checkpoint
from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.registry import find_model, find_run
from textseq.config.decoding import Precision
from textseq.config.training import TrainingConfig
from textseq.errors import TextseqError, unknown
from textseq.tasks.classification.classifier import Classifier, open_classifier
from textseq.tasks.classification.run import resume_classifier
from textseq.tasks.language_model.generator import Writer, open_generator
from textseq.tasks.language_model.run import resume_language_model, train_language_model
from textseq.tasks.tagging.run import resume_tagger
from textseq.tasks.tagging.tagger import Tagger, open_tagger
from textseq.tasks.translation.run import resume_translator
from textseq.tasks.translation.translator import Translator, open_translator
from textseq.training.run_folder import last_checkpoint

Job = Writer | Translator | Classifier | Tagger


JOBS: dict[str, Callable[[checkpoint.Checkpoint, str, Any], Job]] = {
    "language-model": open_generator,
    "translation": open_translator,
    "classification": open_classifier,
    "tagging": open_tagger,
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


def load_generator(name: str | Path, *, device: str = "cpu", precision: Precision = "float32") -> Writer:
    """``load``, for a model that must be a language model; any other is a TextseqError too."""
    loaded = load(name, device=device, precision=precision)
    if not isinstance(loaded, Writer):
        raise _other("a language model", name, loaded)
    return loaded


def load_translator(name: str | Path, *, device: str = "cpu", precision: Precision = "float32") -> Translator:
    """``load``, for a model that must be a translator; any other is a TextseqError too."""
    loaded = load(name, device=device, precision=precision)
    if not isinstance(loaded, Translator):
        raise _other("a translator", name, loaded)
    return loaded


def load_classifier(name: str | Path, *, device: str = "cpu", precision: Precision = "float32") -> Classifier:
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


log = logging.getLogger("textseq")


train = train_language_model


class Resume(Protocol):
    """What goes on with a run from its last checkpoint."""

    def __call__(
        self,
        folder: Path,
        found: Checkpoint,
        *,
        training: TrainingConfig | None,
        data_dir: Path | None,
        download: bool,
        report: Callable[[str], None],
    ) -> Job: ...


RESUME: dict[str, Resume] = {
    "language-model": resume_language_model,
    "translation": resume_translator,
    "classification": resume_classifier,
    "tagging": resume_tagger,
}
"""By the task."""


def resume(
    run: str | Path,
    *,
    training: TrainingConfig | None = None,
    data_dir: Path | None = None,
    download: bool = False,
    report: Callable[[str], None] = log.info,
) -> Job:
    """Go on with a run that was stopped, from its last checkpoint, as if it had never stopped.

    Args:
        run: its name or folder.
        training: other limits or another device than it had; anything else in it would not be the same run.
        data_dir: folder of the corpora; ``TEXTSEQ_DATA`` by default.
        download: fetch what is not there.
        report: where lines about the run go.

    Raises:
        TextseqError: a folder that is no run, a text that has changed since, whatever is wrong with the files.
        Interrupted: after Ctrl-C or SIGTERM; the run has saved itself.
    """
    folder = find_run(str(run))
    found = last_checkpoint(folder)
    task = str(found.facts.get("task"))
    if task not in RESUME:
        raise unknown(f"task in {found.folder / 'config.json'}", task, RESUME)
    return RESUME[task](folder, found, training=training, data_dir=data_dir, download=download, report=report)
