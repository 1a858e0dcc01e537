"""textseq-train: train a model on a corpus or on your own files.

The flags depend on the task, and the task on what is named: it is determined first, with the defaults of a run, a model
or a recipe; then the command line is read into the options of that task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from textseq.commands.command import log_to_stderr, parse, run
from textseq.commands.stdin import with_stdin
from textseq.commands.train import HIDDEN, PROG, changed_flags, elsewhere, named_defaults
from textseq.data.sources import LabelledData
from textseq.errors import TextseqError


def train(arguments: Sequence[str]) -> None:
    """Parse, train, and print where the model is."""
    task, reason, base = named_defaults(arguments)
    hint = partial(elsewhere, task=task, reason=reason)
    options = parse(base, PROG, arguments, hidden=HIDDEN, elsewhere=hint)
    if options.resume is None and options.corpus is None and not options.source.files:
        own = task.source.own_files
        raise TextseqError(f"name a corpus, or your own files with --{own}; '{PROG} --list-corpora' lists the corpora")
    if options.json:
        raise TextseqError("--json is for the lists, such as --list-corpora; leave it out")
    source, name = with_stdin(options.source), options.name
    if source != options.source and name is None:
        name = "stdin"
    log_to_stderr()
    if options.resume is not None and (changed := changed_flags(options, base)):
        raise TextseqError(f"--resume continues a run as it is; leave out {', '.join(changed)}")
    from textseq.tasks import run as runs
    from textseq.tasks.classification import cross_validation

    where: Any = {"data_dir": options.data, "download": options.download}
    if options.resume is not None:
        runs.resume(options.resume, training=options.training, **where)
        return
    learn: Callable[..., object] = partial(runs.train, task)
    if isinstance(source, LabelledData) and (source.folds or source.seeds):
        learn = cross_validation.train_classifiers
    learn(
        source,
        name=name,
        model=options.model,
        data=options.batches,
        training=options.training,
        init_from=options.from_,
        new_vocabulary=options.new_vocabulary,
        overwrite=options.overwrite,
        **where,
    )


main = partial(run, PROG, train)

if __name__ == "__main__":
    main()
