"""Several classifiers of the same texts: one for each fold of a cross-validation, or for each of several seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import TypedDict, Unpack, cast

from textseq.checkpoints.checkpoint import Checkpoint
from textseq.config.base import Settings
from textseq.data.sources import LabelledData
from textseq.errors import Interrupted, TextseqError
from textseq.io.paths import runs_folder
from textseq.metrics.classification import ClassificationMetrics, combine
from textseq.tasks import run
from textseq.tasks.classification.classifier import Classifier
from textseq.tasks.classification.config import ClassifierConfig, LabelledConfig
from textseq.tasks.classification.leakage import shared_texts
from textseq.tasks.classification.run import ClassificationRun
from textseq.tasks.classification.spec import CLASSIFICATION
from textseq.tasks.initialization import load_init_model
from textseq.training.distributed.environment import environment
from textseq.training.run_folder import last_checkpoint


class _Where(TypedDict):
    data_dir: Path | None
    download: bool


FEW_TEXTS = 100
"""Texts for each fold from which on no fold can be empty."""


def train_classifiers(
    data_source: LabelledData,
    *,
    model: ClassifierConfig | None = None,
    data: LabelledConfig | None = None,
    **options: Unpack[run.TrainOptions],
) -> list[ClassificationMetrics]:
    """Train a classifier for each fold, for each of several seeds, or for both, and measure every one.

    With ``data_source.folds`` each is measured on its fold, whose texts neither it nor its tokenizer has read; else on
    the test split, or without one on the validation split. Runs are called NAME-fold1of10, NAME-seed2 and so on; runs
    that exist are resumed, or only measured if they are finished.

    Args:
        data_source: the texts, and how many ``folds`` or ``seeds``.
        model: as of ``train_classifier``.
        data: as of ``train_classifier``.
        options: as of ``train_classifier``; ``name`` begins the names of the runs, ``training.seed`` is the first seed.

    Returns:
        The metrics of each.

    Raises:
        TextseqError: as ``train_classifier``; or a run of such a name has other settings.
        Interrupted: after Ctrl-C or SIGTERM; the run was saved.
    """
    source, progress = data_source.resolved(), options.get("progress", True)
    report = run.reporter(options.get("report"), progress=progress)
    if source.folds is None and source.seeds is None:
        raise TextseqError("expected --folds or --seeds for several classifiers, got neither; 10 and 3 are usual")
    if environment().count > 1:
        raise TextseqError("--folds and --seeds train one model after the other in one process; start without torchrun")
    where = _Where(data_dir=options.get("data_dir"), download=options.get("download", False))
    init_from = options.get("init_from")
    init = load_init_model(init_from, ("classification", "language-model"), vectors=source.vectors)
    fresh = options.get("new_vocabulary", False)
    settings = ClassificationRun.settings(CLASSIFICATION, None, init, model, data, new_vocabulary=fresh)
    if settings[1].to_dict()["batch_size"] == "auto":
        raise TextseqError("--batch-size: expected a number with --folds and --seeds, got auto; set one for all")
    training = run.checked_training(CLASSIFICATION, options.get("training") or CLASSIFICATION.training_config())
    name = options.get("name") or source.default_name(source.open(**where))
    _check_folds(source, init, **where)
    metrics: list[ClassificationMetrics] = []
    for suffix, part, seed in _rounds(source, training.seed):
        folder, seeded = runs_folder() / f"{name}{suffix}", replace(training, seed=seed)
        try:
            if folder.exists() and not options.get("overwrite"):
                _check_same(folder, part, (*settings, seeded), init_from)
                predictor = run.resume(folder, progress=progress, report=report, **where)
            else:
                options |= {"name": folder.name, "training": seeded}
                predictor = run.train(CLASSIFICATION, part, model=settings[0], data=settings[1], **options)
        except Interrupted as stop:
            done, _, _ = str(stop).partition("; continue with")
            raise Interrupted(f"{done}; the same command continues it, and the others", stop.code) from None
        dataset = part.open(**where)
        split = next((split for split in ("test", "validation") if split in dataset.splits), "train")
        metrics.append(cast(ClassificationMetrics, cast(Classifier, predictor).evaluate(dataset, split)))
        report(f"{folder.name}: {metrics[-1]}\n  {metrics[-1].signature}")
    accuracies, counts = [one.accuracy for one in metrics], {"folds": source.folds, "seeds": source.seeds}
    what = " x ".join(f"{count} {unit}" for unit, count in counts.items() if count)
    report(
        f"{what}: accuracy {mean(accuracies):.2%} +- {stdev(accuracies):.2%}, macro F1 "
        f"{mean(one.macro_f1 for one in metrics):.4f}\nall together:\n{combine(metrics).table()}"
    )
    return metrics


def _rounds(source: LabelledData, first_seed: int) -> Iterator[tuple[str, LabelledData, int]]:
    """The end of each run's name, its data source and its seed."""
    for fold in range(1, source.folds + 1) if source.folds else [None]:
        for seed in range(first_seed, first_seed + (source.seeds or 1)):
            suffix = f"-fold{fold}of{source.folds}" * (fold is not None) + f"-seed{seed}" * (source.seeds is not None)
            yield suffix, replace(source, fold=fold, seeds=None), seed


def _check_same(folder: Path, source: LabelledData, settings: tuple[Settings, ...], init_from: str | None) -> None:
    """Raise a TextseqError if a run was made with other settings or from other texts."""
    saved = last_checkpoint(folder)
    tables = [one.to_dict() for one in settings]
    if [saved.info.model, saved.info.data, saved.info.training] != tables or saved.info.init_from != init_from:
        raise TextseqError(f"the run {folder} was made with other settings; --overwrite replaces it")
    if run.saved_source(CLASSIFICATION, saved) != source:
        raise TextseqError(f"the run {folder} was trained on other texts; --overwrite replaces it")


def _check_folds(source: LabelledData, init: Checkpoint | None, data_dir: Path | None, download: bool) -> None:
    """Raise a TextseqError if a fold would be empty, or has texts that the initial model was trained on."""
    if source.folds is None:
        return
    parts = [part for _, part, _ in _rounds(replace(source, seeds=None), 0)]
    whole = parts[0].open(data_dir=data_dir, download=download)
    if sum(1 for split in whole.splits for _ in whole.examples(split)) < FEW_TEXTS * source.folds:
        for part in parts[1:]:  # opening a fold checks that it is not empty
            part.open(data_dir=data_dir, download=download)
    if init is not None and (shared := shared_texts(init.info, source, whole)):
        raise TextseqError(
            f"--folds measures on texts that the model has not seen, but {init.folder} was trained on {shared}; "
            "initialize from another model, or from none"
        )
