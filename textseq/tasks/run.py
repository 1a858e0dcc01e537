"""A training run of any task: ``train`` begins one, ``resume`` continues one.

What a task supplies for it is its ``base.Run``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TypedDict, TypeVar, cast

from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.model_info import CorpusInfo, ModelInfo
from textseq.checkpoints.registry import find_run
from textseq.config.base import Settings, flag_of
from textseq.config.training import TrainingConfig
from textseq.data.sources import DataSource
from textseq.errors import TextseqError
from textseq.io.counting import showing_counts
from textseq.io.progress import write_line
from textseq.tasks.base import Report
from textseq.tasks.distillation import load_teacher, teacher_names
from textseq.tasks.initialization import (
    fill_with_vectors,
    keep_labels,
    keep_tokenizer,
    load_init_model,
    tokenizer_settings,
)
from textseq.tasks.predictor import AnyPredictor
from textseq.tasks.registry import task_named
from textseq.tasks.task import Task
from textseq.tokenizers.base import counted
from textseq.training.devices import pick_precision
from textseq.training.distributed.environment import environment
from textseq.training.run_folder import last_checkpoint, new_folder
from textseq.version import __version__

log = logging.getLogger("textseq")


SourceT = TypeVar("SourceT", bound=DataSource)

SAME_RUN = frozenset({"max_epochs", "max_steps", "max_minutes", "device", "save_every", "log_to", "distil_from"})
"""Settings of training that may change when a run is resumed without making another run of it."""


class TrainOptions(TypedDict, total=False):
    """Keywords of ``train`` that every task shares; its docstring explains them."""

    name: str | None
    training: TrainingConfig | None
    init_from: str | None
    new_vocabulary: bool
    overwrite: bool
    data_dir: Path | None
    download: bool
    progress: bool
    report: Report | None


def train(
    task: Task,
    source: DataSource,
    *,
    name: str | None = None,
    model: Settings | None = None,
    data: Settings | None = None,
    training: TrainingConfig | None = None,
    init_from: str | None = None,
    new_vocabulary: bool = False,
    overwrite: bool = False,
    data_dir: Path | None = None,
    download: bool = False,
    progress: bool = True,
    report: Report | None = None,
) -> AnyPredictor:
    """Train a model of any task, and return the best one.

    Args:
        task: a row of ``registry.TASKS``.
        source: what to learn from: a corpus by name, or one's own files.
        name: of the run; default: the corpus's name or the first file's.
        model: sizes and kinds; default: those of ``init_from``, or the task's.
        data: tokenizer and batches.
        training: optimizer, schedule, limits.
        init_from: a model whose weights to begin with. Its tokenizer and labels are kept, and what is new in the data
            is added.
        new_vocabulary: make a new tokenizer and new labels even so; tokens and labels in both keep their weights.
        overwrite: replace a run of this name.
        data_dir: folder of the corpora; default: ``TEXTSEQ_DATA``.
        download: fetch what is not there.
        progress: show a progress bar and lines about the run on stderr; False: nothing (the lines go to the log
            "textseq", level INFO).
        report: receives the lines instead.

    Raises:
        TextseqError: whatever the user can fix, before the first step wherever possible.
        Interrupted: after Ctrl-C or SIGTERM; the run was saved.
    """
    report = reporter(report, progress=progress)
    with showing_counts(report, show=progress and environment().leads):
        run_class = task.run_class()
        source = source.resolved()
        dataset = source.open(data_dir=data_dir, download=download)
        folder = new_folder(source.default_name(dataset) if name is None else name, overwrite=overwrite)
        vectors: str | None = getattr(source, "vectors", None)
        init = load_init_model(init_from, (task.name, *run_class.init_tasks), vectors=vectors)
        if new_vocabulary and init is None:
            raise TextseqError("--new-vocabulary: expected --from MODEL, got none; leave it out")
        training = checked_training(task, training or task.training_config())
        teachers = teacher_names(training)
        first = load_teacher(teachers[0], task) if teachers and not init else None
        if first:
            asked = data or task.data_config()
            data = keep_tokenizer(first.folder, tokenizer_settings(first.info.data), asked, flag="--distil-from")
        model, data = run_class.settings(task, dataset, init, model, data, new_vocabulary=new_vocabulary)
        kept = None if new_vocabulary else init or first
        if kept:
            dataset = keep_labels(dataset, kept.info)
        for note in dataset.notes:
            report(note)
        for settings in (model, data, training):
            for sentence in settings.without_effect():
                report(f"note: {sentence}")
        info = ModelInfo(
            task=task.name,
            textseq=__version__,
            source=source.to_dict(),
            corpus=CorpusInfo(
                name=dataset.name, title=dataset.title, licence=dataset.licence, fingerprint=dataset.fingerprint
            ),
            init_from=init_from,
            init_corpora=init.info.corpora if init else (),
            model=model.to_dict(),
            data=data.to_dict(),
            training=training.to_dict(),
            **run_class.info_of(dataset),
        )
        if kept is None:
            tokenizer, added = run_class.make_tokenizer(dataset, data, report), ""
        else:
            tokenizer, added = run_class.extend_tokenizer(dataset, data, kept)
        if first and added:
            raise TextseqError(
                f"--distil-from: expected data that {first.folder} knows, got {added}; train it further on your data "
                "first (--from), or leave it out"
            )
        run = run_class(task, folder, info, dataset, tokenizer, report, progress=progress)
        if teachers:
            kept_too = f"; the tokenizer of {teachers[0]} is kept" if first else ""
            report(f"learning from {' and '.join(teachers)} as well as from the data{kept_too}")
        if init:
            known = run.init_weights(init)
            if kept:
                added = ", ".join(filter(None, (added, _new_labels(run.info.labels, kept.info.labels))))
                known = f"its tokenizer is kept; your data add {added or 'nothing'}"
            report(f"weights from {init.folder}; {known}")
        elif not source.corpus and vectors is None and (start := run.suggested_start()):
            report(
                f"note: this is little data; --from {start.name}, which ships with textseq, is mostly a better start"
            )
        if vectors is not None:
            for line in fill_with_vectors(run.predictor(), vectors, data_dir, download=download):
                report(line)
    return cast(AnyPredictor, run.run(overwrite=overwrite))


def resume(
    run: str | Path,
    *,
    training: TrainingConfig | None = None,
    data_dir: Path | None = None,
    download: bool = False,
    progress: bool = True,
    report: Report | None = None,
) -> AnyPredictor:
    """Continue a stopped run from its last checkpoint, as if it had never stopped.

    Args:
        run: its name or folder.
        training: other limits or another device. Other settings may change too, which is reported, as it makes another
            run of it.
        data_dir: folder of the corpora; default: ``TEXTSEQ_DATA``.
        download: fetch what is not there.
        progress: as of ``train``.
        report: as of ``train``.

    Raises:
        TextseqError: a folder that is not a run, a text that has changed since, or damaged files.
        Interrupted: after Ctrl-C or SIGTERM; the run was saved.
    """
    report = reporter(report, progress=progress)
    with showing_counts(report, show=progress and environment().leads):
        folder = find_run(str(run))
        saved = last_checkpoint(folder)
        where = str(saved.folder / "config.json")
        task = task_named(saved.info.task, where=where)
        dataset = saved_source(task, saved).open(data_dir=data_dir, download=download)
        if saved.info.corpus.fingerprint != dataset.fingerprint:
            raise TextseqError(
                f"the text of {folder} is not the one that the run was started with; restore it, or start a new run "
                f"(--from {folder.name} initializes it with these weights)"
            )
        before = task.training_config.from_dict(saved.info.training, where=where)
        training = checked_training(task, training or before)
        for setting in ("optimizer", "best_by", "seed"):
            value, asked = getattr(before, setting), getattr(training, setting)
            if value != asked:
                flag = setting.replace("_", "-")
                raise TextseqError(f"--{flag}: {folder} was started with {value}, got {asked}; leave it out")
        for item in fields(training):
            was, now = getattr(before, item.name, None), getattr(training, item.name)
            if now != was and item.name not in SAME_RUN:
                report(f"note: {flag_of(item.name)} is {now} from here on; it was {was}")
        names = teacher_names(training)
        if len(names) != len(saved.info.teachers):  # others must have the same weights
            was, got = " ".join(teacher_names(before)) or "none", " ".join(names) or "none"
            raise TextseqError(f"--distil-from: {folder} was started with {was}, got {got}; leave it out")
        run_class = task.run_class()
        dataset = keep_labels(dataset, saved.info)
        info = replace(saved.info, training=training.to_dict())
        tokenizer = run_class.load_tokenizer(saved)
        continued = run_class(task, folder, info, dataset, tokenizer, report, progress=progress)
    return cast(AnyPredictor, continued.run(resume=True))


def reporter(report: Report | None, *, progress: bool) -> Report:
    """What receives the lines about a run; of several processes only the first prints them."""
    if report is not None:
        return report
    return write_line if progress and environment().leads else log.info


def _new_labels(labels: Sequence[str], known: Sequence[str]) -> str:
    """How many labels a model that is initialized from another has besides those of that one."""
    if not known or not labels:
        return ""
    phrase = counted(label=len({*labels} - {*known}))
    return phrase if {*labels} & {*known} else f"{phrase} in place of its own"


def data_source(given: SourceT | None, named: SourceT) -> SourceT:
    """The data source that a caller gives whole, or names by single arguments.

    Raises:
        TextseqError: both.
    """
    if given is not None and named != type(named)():
        raise TextseqError("data_source: expected it alone, got the corpus or files beside it; leave them out")
    return named if given is None else given


def saved_source(task: Task, saved: Checkpoint) -> DataSource:
    """The data source that a run was started with.

    Raises:
        TextseqError: it is missing or damaged.
    """
    where = str(saved.folder / "config.json")
    if not saved.info.source:
        raise TextseqError(f"{where} is damaged: it lacks 'source'; restore the folder")
    return task.source.from_dict(saved.info.source, where=where)


def checked_training(task: Task, training: TrainingConfig) -> TrainingConfig:
    """The training settings, with the precision that ``auto`` means on this machine.

    Raises:
        TextseqError: a criterion of the best checkpoint that the task does not have.
    """
    if training.best_by not in task.best_by:
        raise TextseqError(
            f"--best-by: expected {' or '.join(task.best_by)} for {task.noun}, got {training.best_by}; choose one, or "
            "leave it out"
        )
    return pick_precision(training)
