"""textseq-evaluate: how well a model predicts a text, translates, classifies or tags, with the recipe of the number."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from textseq.checkpoints.model_info import read_info
from textseq.checkpoints.registry import find_model
from textseq.commands.command import parse, run
from textseq.commands.evaluate_flags import Evaluate, _alone, _last_split, _tell, _together
from textseq.commands.evaluate_translation import _check, _measure_translations
from textseq.config.base import Settings
from textseq.config.decoding import Precision
from textseq.data.text import corpus_names
from textseq.errors import TextseqError
from textseq.training.distributed.environment import environment

if TYPE_CHECKING:
    from textseq.metrics.classification import ClassificationMetrics
    from textseq.metrics.tagging import SequenceMetrics


PROG = "textseq-evaluate"


def main() -> None:
    """The entry point."""
    run(PROG, evaluate)


def evaluate(arguments: Sequence[str]) -> None:
    """Parse, measure, print."""
    options = parse(Evaluate, PROG, arguments)
    if not options.model:
        raise TextseqError(
            "name the --model to measure; 'textseq-sample --list-authors' shows those that write, and --list-models of "
            "textseq-translate, textseq-classify and textseq-tag the others"
        )
    own = options.translators
    files_of: Mapping[str, tuple[str, Sequence[Path]]] = {
        "language-model": ("--text", options.language_models.text),
        "translation": ("--pairs", own.pairs),
        "classification": ("--labelled", options.classifiers.labelled),
        "tagging": ("--tagged", options.taggers.tagged),
    }
    if options.corpus is None and not any(files for _, files in files_of.values()):
        raise TextseqError(
            f"nothing to measure on; name a corpus before the flags ({PROG} CORPUS --model NAME), or give your own "
            "files: --pairs for a translator, --text for a language model, --labelled for a classifier, --tagged for a "
            "tagging"
        )
    if "--compare" in arguments and not own.compare:
        raise TextseqError("--compare wants a model, found none; name one, or leave it out")
    level = logging.WARNING if environment().leads else logging.CRITICAL
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    folders = {name: find_model(name) for name in (*options.model, *own.compare)}
    tasks = {name: read_info(folder).task for name, folder in folders.items()}
    if len(set(tasks.values())) > 1:
        found = ", ".join(f"{name} (a {task})" for name, task in tasks.items())
        raise TextseqError(f"models of one kind are measured at a time, found {found}; leave some out")
    (task,) = set(tasks.values())
    groups: dict[str, tuple[str, tuple[Settings, ...]]] = {
        "language-model": ("language models", (options.language_models,)),
        "translation": ("translators", (own, options.translating)),
        "classification": ("classifiers", (options.classifiers,)),
        "tagging": ("taggers", (options.taggers,)),
    }
    for kind, (many, settings) in groups.items():
        for one in settings:
            if kind != task:
                _refuse(one, many, options.model[0])
    flag, files = files_of[task]
    if options.plot_confusion is not None and task not in {"classification", "tagging"}:
        raise TextseqError(
            f"--plot-confusion is for classifiers and taggers, found it with {options.model[0]}; leave it out"
        )
    if options.corpus is not None and files:
        raise TextseqError(f"name a corpus or give {flag} to measure on, one of the two")
    if options.corpus is not None and options.corpus not in corpus_names() and Path(options.corpus).exists():
        raise TextseqError(f"{options.corpus} is no corpus but a file; to measure on your own, give {flag}")
    if files and options.split is not None:
        raise TextseqError(f"--split is of a corpus, and {flag} is measured whole; leave it out")
    if task == "translation":
        _check(options, folders)
        _measure_translations(options, folders)
    elif len(options.model) > 1:
        what = task.replace("-", " ")
        raise TextseqError(f"one {what} is measured at a time, found {len(options.model)}; leave some out")
    elif task in {"classification", "tagging"}:
        _measure_labels(options, task, folders[options.model[0]])
    else:
        _measure_text(options, folders[options.model[0]])


def _measure_labels(options: Evaluate, task: str, folder: Path) -> None:
    from textseq.io.files import check_outputs, check_picture
    from textseq.metrics.confusion_plot import confusion_plot
    from textseq.metrics.tagging import SequenceMetrics

    check_outputs(
        {"--plot-confusion": options.plot_confusion}, [*options.classifiers.labelled, *options.taggers.tagged]
    )
    if options.plot_confusion is not None:
        check_picture(options.plot_confusion, "--plot-confusion")
    found = (_measure_classes if task == "classification" else _measure_tags)(options, folder)
    if not environment().leads:
        return
    print(found)
    print(found.signature)
    if isinstance(found, SequenceMetrics):
        return
    print(found.table())
    if options.plot_confusion is not None:
        confusion_plot(found.confusion, found.labels, options.plot_confusion)


def _measure_classes(options: Evaluate, folder: Path) -> ClassificationMetrics:
    from textseq.data.labelled import load_labelled, own_labelled
    from textseq.tasks.classification.leakage import leak, leak_warning
    from textseq.tasks.registry import load_classifier

    own = options.classifiers
    if options.corpus is not None:
        if own.text_column or own.label_column:
            raise TextseqError("--text-column and --label-column are of --labelled; leave them out with a corpus")
        corpus = load_labelled(options.corpus, data_dir=options.data, download=options.download)
    else:
        corpus = own_labelled(
            own.labelled,
            text_column=own.text_column,
            label_column=own.label_column,
            encoding=options.encoding,
            validation=0,
            empty=options.empty,
            overlong=options.overlong,
            unreadable=options.unreadable,
            fewest_labels=1,
        )
    _tell(*corpus.notes)
    precision: Precision = "bfloat16" if options.classifiers.bfloat16 else "float32"
    classifier = load_classifier(folder, device=options.device, precision=precision)
    if (known := leak(classifier.info, corpus)) is not None:
        _tell(f"note: {leak_warning(folder, known, corpus)}")
    return classifier.evaluate(corpus, options.split or _last_split(corpus.splits), process_group=_together(options))


def _measure_tags(options: Evaluate, folder: Path) -> ClassificationMetrics | SequenceMetrics:
    from textseq.data.tagged import load_tagged, own_tagged
    from textseq.tasks.registry import load_tagger

    own, tagger = options.taggers, load_tagger(folder, device=options.device)
    if options.corpus is not None:
        if own.word_column is not None or own.tag_column is not None:
            raise TextseqError("--word-column and --tag-column are of --tagged; leave them out with a corpus")
        corpus = load_tagged(options.corpus, data_dir=options.data, download=options.download)
    else:
        corpus = own_tagged(
            own.tagged,
            word_column=own.word_column,
            tag_column=own.tag_column,
            encoding=options.encoding,
            validation=0,
            overlong=options.overlong,
            unreadable=options.unreadable,
            fewest_tags=1,
            aligned=tagger.aligned,
        )
    _tell(*corpus.notes)
    split = options.split or _last_split(corpus.splits)
    if tagger.aligned:
        return tagger.evaluate_words(corpus, split, process_group=_together(options))
    _alone("sequences that are not aligned are")
    if options.plot_confusion is not None:
        raise TextseqError("--plot-confusion wants a tag for each word, which this model does not give; leave it out")
    return tagger.evaluate_sequences(corpus, split)


def _measure_text(options: Evaluate, folder: Path) -> None:
    from textseq.data.labelled import load_text
    from textseq.data.text import own_text
    from textseq.tasks.registry import load_generator

    own = options.language_models
    _alone("a text, which a language model reads from its beginning to its end, is")
    if options.corpus is not None:
        corpus = load_text(options.corpus, data_dir=options.data, download=options.download)
        split = options.split or ("test" if "test" in corpus.splits else "validation")
    else:
        corpus, split = own_text(own.text, encoding=options.encoding, validation=0), "train"
    writer = load_generator(folder, device=options.device)
    found = writer.evaluate(corpus, split, window=own.window, streams=own.streams)
    print(found)
    print(found.signature)


def _refuse(settings: Settings, kind: str, model: str) -> None:
    """Refuse flags that are for models of another kind."""
    for item in fields(settings):
        if getattr(settings, item.name) != getattr(type(settings)(), item.name):
            flag = item.name.replace("_", "-")
            raise TextseqError(f"--{flag} is for {kind}, and {model} is none; leave it out")


if __name__ == "__main__":
    main()
