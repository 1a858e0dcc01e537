"""What the runs of every task share: a folder of their own, the loop with its signals and curve, the way back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

from textseq import checkpoint
from textseq.config import Task, TrainingConfig
from textseq.devices import deterministic, pick_precision
from textseq.errors import Interrupted, TextseqError
from textseq.files import replacing
from textseq.model_card import model_card
from textseq.plots import learning_curve
from textseq.settings import Settings
from textseq.shelf import Facts, find_model, newest, runs_folder
from textseq.training import Batches, Evaluation, Run, Training
from textseq.version import __version__


@dataclass(frozen=True)
class Plan:
    """Everything that stands before the first step."""

    folder: Path
    facts: Facts
    tokenizer: checkpoint.Savable
    model: nn.Module
    batches: Batches
    summary: str
    """What is trained on what, in a line."""
    evaluate: Callable[[], Evaluation] | None
    sample: Callable[[], str]


def new_folder(name: str, *, overwrite: bool) -> Path:
    """The folder of a new run.

    Raises:
        TextseqError: a name that cannot be one, or a run of this name that is not to be replaced.
    """
    if name in {"", ".", ".."} or "/" in name or "\\" in name or not name.isprintable() or len(name) > 100:
        raise TextseqError(f"--name wants a plain name without slashes, of 1 to 100 characters, found {name!r}")
    folder = runs_folder() / name
    if folder.exists() and not overwrite:
        raise TextseqError(
            f"the run {folder} exists; go on with --resume {folder}, replace it with --overwrite, "
            "or choose another --name"
        )
    return folder


class Opened(Protocol):
    """What is known of any corpus."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def licence(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...


def facts_of(
    task: Task,
    origin: Settings,
    corpus: Opened,
    start_from: str | None,
    settings: tuple[Settings, Settings, Settings],
    **further: object,
) -> Facts:
    """What ``config.json`` says of a new run.

    Args:
        task: of the model.
        origin: what it learns from, as the user named it.
        corpus: the same, opened.
        start_from: the model whose weights it begins with.
        settings: of model, data and training.
        further: what only this task has to say.
    """
    tables = (one.to_dict() for one in settings)
    return {
        "task": task,
        "textseq": __version__,
        "source": origin.to_dict(),
        "corpus": {key: getattr(corpus, key) for key in ("name", "title", "licence", "fingerprint")},
        **further,
        "start_from": start_from,
        **dict(zip(("model", "data", "training"), tables, strict=True)),
    }


def labels_of(facts: Facts) -> tuple[str, ...]:
    """The names of the labels that a model knows."""
    labels = facts.get("labels")
    return tuple(map(str, labels)) if isinstance(labels, list) else ()


def last_checkpoint(folder: Path) -> checkpoint.Checkpoint:
    """What a run is resumed from.

    Raises:
        TextseqError: there is none.
    """
    last = newest(folder, "last")
    if last is None:
        raise TextseqError(f"there is no run to resume at {folder}: it holds no checkpoint; train it with --name")
    return checkpoint.load(last)


def going_on(training: TrainingConfig, before: TrainingConfig, folder: Path) -> TrainingConfig:
    """The settings that a run goes on with, ``auto`` precision decided.

    Raises:
        TextseqError: what would make another run of it.
    """
    if training.optimizer != before.optimizer:
        raise TextseqError(
            f"{folder} goes on with the optimizer that it began with, {before.optimizer}; found "
            f"--optimizer {training.optimizer}; leave it out"
        )
    if training.best_by != before.best_by:
        raise TextseqError(
            f"{folder} goes on with the measure of its best checkpoint, {before.best_by}; found "
            f"--best-by {training.best_by}; leave it out"
        )
    return pick_precision(training)


def begun_with(name: str | None, *tasks: str) -> checkpoint.Checkpoint | None:
    """The model whose weights a run begins with, if there is one.

    Raises:
        TextseqError: there is no such model, or it does something else than one of the tasks.
    """
    if name is None:
        return None
    base = checkpoint.load(find_model(name))
    if base.facts.get("task") not in tasks:
        wanted = " or a ".join(tasks)
        raise TextseqError(f"--from wants a {wanted}, found a {base.facts.get('task')} in {base.folder}; name another")
    return base


def same_shape(folder: Path, found: Settings, asked: Settings) -> None:
    """Raise a TextseqError if the weights of the model in a folder do not fit the one that the flags ask for."""
    have, want = found.to_dict(), asked.to_dict()
    others = [name for name in want if have[name] != want[name]]
    if others:
        there, here = (", ".join(f"{name} {sizes[name]}" for name in others) for sizes in (have, want))
        raise TextseqError(
            f"--from wants a model of the same shape: {folder} has {there}, the flags ask for {here}; leave the flags "
            "out"
        )


def same_text(folder: Path, before: object, now: str) -> None:
    """Raise a TextseqError if the fingerprint of the text has changed since the run began."""
    if before != now:
        raise TextseqError(
            f"the text of {folder} is not the one that the run began with; bring that back, or train anew "
            f"(--from {folder.name} begins with these weights)"
        )


def launch(
    plan: Plan, training: TrainingConfig, report: Callable[[str], None], *, resume: bool
) -> checkpoint.Checkpoint:
    """Train to the end.

    Returns:
        The best model, to be measured and described.

    Raises:
        Interrupted: after Ctrl-C or SIGTERM; the run has saved itself.
        TextseqError: whatever the loop cannot mend.
    """
    if not resume:
        shutil.rmtree(plan.folder, ignore_errors=True)
    device = next(plan.model.parameters()).device
    report(f"{plan.folder}: {plan.summary}, on {device}")
    loop = Training(
        plan.model,
        plan.batches,
        training,
        Run(plan.folder, plan.tokenizer, plan.facts),
        evaluate=plan.evaluate,
        report=report,
        sample=plan.sample,
        resume=resume,
    )
    try:
        with deterministic(loop.device, training.deterministic):
            loop.train()
    except Interrupted as stop:
        raise Interrupted(f"{stop}; go on with: textseq-train --resume {plan.folder}", stop.code) from None
    finally:
        if loop.log.path.exists():
            learning_curve(loop.log.path, plan.folder / "curve.png")
    return checkpoint.load(find_model(str(plan.folder.resolve())))


def describe(folder: Path, found: checkpoint.Checkpoint, model: nn.Module, results: Sequence[Facts] | None) -> None:
    """Keep the results of the last measurements, if there were any, with the model, and write its card."""
    if results is not None:
        found.facts["results"] = list(results)
        checkpoint.set_facts(found.folder, found.facts)
    with replacing(folder / "README.md") as (file,):
        file.write(model_card(folder.name, found.facts, model).encode())
