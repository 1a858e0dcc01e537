"""textseq-evaluate: how well a model predicts a text, translates, classifies or tags, with signed numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from textseq.checkpoints.registry import find_model_or_labels
from textseq.commands.command import log_to_stderr, parse, run, show, to_json
from textseq.commands.evaluate import HIDDEN, PROG, check, evaluate_model, evaluate_options, tasks_of
from textseq.errors import TextseqError
from textseq.tasks import registry
from textseq.tasks.translation.spec import TRANSLATION
from textseq.training.distributed.environment import environment


def evaluate(arguments: Sequence[str]) -> None:
    """Parse, evaluate, print."""
    options = parse(evaluate_options(), PROG, arguments, hidden=HIDDEN)
    if not options.model:
        raise TextseqError(
            "--model: expected the name of a model, got nothing; textseq-sample, -translate, -classify and -tag list "
            "theirs with --list-models"
        )
    if options.corpus is None and not any(options.source(task).files for task in registry.TASKS):
        own = ", ".join(f"--{task.source.own_files} for {task.noun}" for task in registry.TASKS)
        raise TextseqError(
            f"nothing to evaluate on; name a corpus before the flags ({PROG} CORPUS --model NAME), or your own files: "
            f"{own}"
        )
    log_to_stderr()
    found = {name: find_model_or_labels(name) for name in (*options.model, *options.comparison.compare)}
    folders = {name: folder for name, (folder, _) in found.items()}
    task = tasks_of(folders)
    check(options, task)
    if task is TRANSLATION:
        from textseq.commands.evaluate_translation import evaluate_translators

        if options.plot_confusion is not None:
            raise TextseqError("--plot-confusion needs a model that predicts labels; leave it out")
        evaluate_translators(options, folders)
        return
    if len(options.model) > 1:
        raise TextseqError(f"--model: expected {task.noun}, got {len(options.model)}; leave some out")
    _, labels = found[options.model[0]]
    options = options.under(labels) if labels is not None else options
    from textseq.io.files import check_outputs, check_picture
    from textseq.metrics.classification import ClassificationMetrics
    from textseq.metrics.confusion_plot import confusion_plot
    from textseq.metrics.multi_label import MultiLabelMetrics

    check_outputs({"--plot-confusion": options.plot_confusion}, map(Path, options.source(task).files))
    if options.plot_confusion is not None:
        check_picture(options.plot_confusion, "--plot-confusion")
    metrics = evaluate_model(options, task, folders[options.model[0]])
    if not environment().leads:
        return
    show(to_json(metrics.to_dict()) if options.json else f"{metrics}\n{metrics.signature}")
    if isinstance(metrics, ClassificationMetrics | MultiLabelMetrics) and not options.json:
        show(metrics.table())
    if isinstance(metrics, ClassificationMetrics) and options.plot_confusion is not None:
        title = f"confusion of {Path(options.model[0]).name}"
        confusion_plot(metrics.confusion, metrics.labels, options.plot_confusion, title)


main = partial(run, PROG, evaluate)

if __name__ == "__main__":
    main()
