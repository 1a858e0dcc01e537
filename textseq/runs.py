"""Runs of every task: begun by a function of their own, resumed by one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from textseq.checkpoint import Checkpoint
from textseq.classifier_rounds import train_classifiers as train_classifiers
from textseq.classifier_runs import resume_classifier
from textseq.classifier_runs import train_classifier as train_classifier
from textseq.config import TrainingConfig
from textseq.errors import unknown
from textseq.jobs import Job
from textseq.launch import last_checkpoint
from textseq.shelf import find_run
from textseq.tagger_runs import resume_tagger
from textseq.tagger_runs import train_tagger as train_tagger
from textseq.translation_runs import resume_translator
from textseq.translation_runs import train_translator as train_translator
from textseq.writer_runs import resume_writer, train_writer

log = logging.getLogger("textseq")

train = train_writer


class Resume(Protocol):
    """What goes on with a run from its last checkpoint."""

    def __call__(
        self,
        folder: Path,
        found: Checkpoint,
        *,
        training: TrainingConfig | None,
        data: Path | None,
        download: bool,
        report: Callable[[str], None],
    ) -> Job: ...


RESUME: dict[str, Resume] = {
    "language-model": resume_writer,
    "translator": resume_translator,
    "classifier": resume_classifier,
    "tagger": resume_tagger,
}
"""By the task."""


def resume(
    run: str | Path,
    *,
    training: TrainingConfig | None = None,
    data: Path | None = None,
    download: bool = False,
    report: Callable[[str], None] = log.info,
) -> Job:
    """Go on with a run that was stopped, from its last checkpoint, as if it had never stopped.

    Args:
        run: its name or folder.
        training: other limits or another device than it had; anything else in it would not be the same run.
        data: folder of the corpora; ``TEXTSEQ_DATA`` by default.
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
    return RESUME[task](folder, found, training=training, data=data, download=download, report=report)
