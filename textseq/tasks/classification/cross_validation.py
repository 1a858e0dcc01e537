"""Several classifiers of the same texts: one for each fold, or each of several seeds, and what they reach."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev

from textseq.checkpoints.checkpoint import Checkpoint
from textseq.config.training import TrainingConfig
from textseq.data.sources import LabelledData
from textseq.errors import Interrupted, TextseqError
from textseq.io.paths import runs_folder
from textseq.metrics.classification import ClassificationMetrics, combine
from textseq.tasks.classification.config import ClassifierConfig, LabelledConfig
from textseq.tasks.classification.run import STARTS, resume_classifier, settled, train_classifier
from textseq.training.distributed.environment import environment
from textseq.training.provenance import shared_texts
from textseq.training.run_folder import last_checkpoint, load_init_model, saved

log = logging.getLogger("textseq")


FEW_TEXTS = 100
"""Texts for each fold with which none can be empty, however they are dealt out."""


def train_classifiers(
    origin: LabelledData,
    *,
    name: str | None = None,
    model: ClassifierConfig | None = None,
    batching: LabelledConfig | None = None,
    training: TrainingConfig | None = None,
    init_from: str | None = None,
    overwrite: bool = False,
    data_dir: Path | None = None,
    download: bool = False,
    report: Callable[[str], None] = log.info,
) -> list[ClassificationMetrics]:
    """Train a classifier for each fold, for each of several seeds, or for both, and measure every one.

    With ``origin.folds`` it is measured on its fold, whose texts neither it nor its tokenizer saw; else on the test
    part, or where there is none on the validation part. Runs are called NAME-fold1of10, NAME-seed2 and so on. What is
    there is gone on with, or only measured if it is finished: the same call takes up what was stopped.

    Args:
        origin: the texts, and how many ``folds`` or ``seeds``.
        name: the beginning of the runs' names; the corpus's name, or the first file's, by default.
        model: as of ``train_classifier``, and so are the others.
        batching: likewise.
        training: likewise; its seed is the first.
        init_from: likewise.
        overwrite: replace runs of these names.
        data_dir: likewise.
        download: likewise.
        report: likewise.

    Returns:
        The measure of each.

    Raises:
        TextseqError: as ``train_classifier``; or a run of such a name was made otherwise.
        Interrupted: after Ctrl-C or SIGTERM; the run has saved itself.
    """
    if origin.folds is None and origin.seeds is None:
        raise TextseqError("several classifiers want --folds or --seeds, found neither; 10 and 3 are usual")
    if environment().count > 1:
        raise TextseqError(
            "--folds and --seeds train one model after the other, and with one process; start it without torchrun"
        )
    base = load_init_model(init_from, *STARTS, vectors=origin.vectors)
    model, batching, training = settled(model, batching, training, base)
    if batching.batch_size == "auto":
        raise TextseqError("--folds and --seeds want the same --batch-size for all, found auto; set a number")
    if name is None:
        name = origin.corpus or (Path(origin.labelled[0]).name.split(".")[0] if origin.labelled else "run")
    origin = origin.resolved()
    _check_folds(origin, base, data_dir, download)
    measured: list[ClassificationMetrics] = []
    for ending, own, seed in _rounds(origin, training.seed):
        folder, seeded = runs_folder() / f"{name}{ending}", replace(training, seed=seed)
        try:
            if folder.exists() and not overwrite:
                found = last_checkpoint(folder)
                tables = {"model": model, "data": batching, "training": seeded}
                asked = {"init_from": init_from, **{name: one.to_dict() for name, one in tables.items()}}
                if any(found.facts.get(what) != settings for what, settings in asked.items()):
                    raise TextseqError(f"the run {folder} was made with other settings; --overwrite replaces it")
                if saved(found.facts, found.folder, "source", LabelledData) != own:
                    raise TextseqError(f"the run {folder} learnt from other texts; --overwrite replaces it")
                how = {"training": None, "data_dir": data_dir, "download": download, "report": report}
                classifier = resume_classifier(folder, found, **how)  # type: ignore[arg-type]
            else:
                classifier = train_classifier(
                    origin=own,
                    name=folder.name,
                    model=model,
                    batching=batching,
                    training=seeded,
                    init_from=init_from,
                    overwrite=overwrite,
                    data_dir=data_dir,
                    download=download,
                    report=report,
                )
        except Interrupted as stop:
            done, _, _ = str(stop).partition("; go on with")
            raise Interrupted(f"{done}; the same command goes on with it, and with the others", stop.code) from None
        corpus = own.open(data_dir=data_dir, download=download)
        split = next((split for split in ("test", "validation") if split in corpus.splits), "train")
        measured.append(classifier.measure(corpus, split))
        report(f"{folder.name}: {measured[-1]}\n  {measured[-1].signature}")
    scores, counts = [one.accuracy for one in measured], {"folds": origin.folds, "seeds": origin.seeds}
    what = " x ".join(f"{count} {unit}" for unit, count in counts.items() if count)
    report(
        f"{what}: accuracy {mean(scores):.2%} +- {stdev(scores):.2%}, macro F1 "
        f"{mean(one.macro_f1 for one in measured):.4f}\nall of them together:\n{combine(measured).table()}"
    )
    return measured


def _rounds(origin: LabelledData, first_seed: int) -> Iterator[tuple[str, LabelledData, int]]:
    """The end of each run's name, what it learns from, and its seed."""
    for fold in range(1, origin.folds + 1) if origin.folds else [None]:
        for seed in range(first_seed, first_seed + (origin.seeds or 1)):
            ending = f"-fold{fold}of{origin.folds}" * (fold is not None) + f"-seed{seed}" * (origin.seeds is not None)
            yield ending, replace(origin, fold=fold, seeds=None), seed


def _check_folds(origin: LabelledData, base: Checkpoint | None, data_dir: Path | None, download: bool) -> None:
    """Raise a TextseqError if a fold would be empty, or is known to the model that all begin with."""
    if origin.folds is None:
        return
    rounds = [own for _, own, _ in _rounds(replace(origin, seeds=None), 0)]
    whole = rounds[0].open(data_dir=data_dir, download=download)
    if sum(1 for split in whole.splits for _ in whole.examples(split)) < FEW_TEXTS * origin.folds:
        for own in rounds[1:]:  # all are large enough where there are many texts
            own.open(data_dir=data_dir, download=download)
    if base is not None and (known := shared_texts(base.facts, origin, whole)):
        raise TextseqError(
            f"--folds measures on texts that the model has not seen, and {base.folder} has read {known}; begin with "
            "another model, or with none"
        )
