"""textseq-train: from a text to a model that writes like it, from sentence pairs to one that translates, from labelled
texts to one that classifies, from tagged sentences to one that tags.

The flags differ by task, and the task follows from what is named: so it is found out first, with the defaults that a
run, a model or a recipe sets, and then the command line is read into the dataclass of that task.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import textseq
from textseq.commands.command import parse, run
from textseq.commands.train_flags import (
    OPTIONS,
    OWN,
    WORDS,
    Options,
    TrainTranslation,
)
from textseq.config.names import Task
from textseq.data.sources import LabelledData
from textseq.errors import TextseqError
from textseq.training.distributed.environment import environment

if TYPE_CHECKING:
    from textseq.checkpoints.model_info import ModelInfo
    from textseq.config.recipes import TrainingRecipe
    from textseq.data.corpora.catalog import CorpusRecipe as CorpusRecipe


PROG = "textseq-train"


def main() -> None:
    """The entry point."""
    run(PROG, train)


def train(arguments: Sequence[str]) -> None:
    """Parse, train, and say where the model is."""
    named = _named(arguments)
    task, reason = _task(named)
    base = _defaults(named, task)
    try:
        options = parse(type(base), PROG, arguments, base)
    except SystemExit as stop:
        if stop.code and environment().count == 1:
            why = f", as {reason} says" if reason else ""
            others = " or ".join(f"--task {other}" for other in WORDS if other != task)
            print(
                f"{PROG}: read as the flags of {WORDS[task]}{why}; see {PROG} --task {task} --help, and {others} "
                "--help for those of other models",
                file=sys.stderr,
            )
        raise
    for asked, show in (
        (options.list_corpora, _corpora),
        (options.list_vectors, _vectors),
        (options.list_recipes, _recipes),
    ):
        if asked:
            print(show())
            return
    if options.resume is None and options.corpus is None and not getattr(options.origin, OWN[task]):
        raise TextseqError(f"name a corpus, or give your own --{OWN[task]}; '{PROG} --list-corpora' shows the corpora")
    logging.basicConfig(
        level=logging.WARNING if environment().leads else logging.CRITICAL, format="%(message)s", stream=sys.stderr
    )

    where: dict[str, Any] = {"data_dir": options.data, "download": options.download, "report": _report}
    if options.resume is not None:
        if changed := _changed(options, base):
            raise TextseqError(f"--resume goes on with a run as it is; leave out {', '.join(changed)}")
        textseq.resume(options.resume, training=options.training, **where)
        return
    from textseq.tasks.classification.cross_validation import train_classifiers
    from textseq.tasks.registry import task_named
    from textseq.tasks.run import train as train_task

    source = replace(options.origin, corpus=options.corpus)
    where |= {"name": options.name, "init_from": options.from_, "overwrite": options.overwrite}
    where |= {"model": options.model, "data": options.batching, "training": options.training}
    if isinstance(source, LabelledData) and (source.folds or source.seeds):
        train_classifiers(source, **where)
    else:
        train_task(task_named(task), source, **where)


def _report(line: str) -> None:
    """A line between the updates of the progress bar; of several processes the first speaks."""
    from tqdm import tqdm

    if not environment().leads:
        return

    tqdm.write(line, file=sys.stderr)


def _named(arguments: Sequence[str]) -> argparse.Namespace:
    """What a command line names, as far as its task and its defaults depend on it; the rest is for the parser."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for flag in ("task", "resume", "recipe", "source", "target", "name", "data"):  # the last two may look like a corpus
        early.add_argument(f"--{flag}", nargs="?")
    early.add_argument("--from", nargs="?", dest="from_")
    for flag in OWN.values():
        early.add_argument(f"--{flag}", nargs="*")
    named, rest = early.parse_known_args(arguments)
    tasks = _tasks()
    named.corpus = next((word for word in rest if word in tasks), None)
    if named.from_ is None and named.resume is None:
        named.from_ = _recipe(named).get("from")
    return named


def _tasks() -> dict[str, Task]:
    """What each corpus is for in this command: of any text one can learn to write."""
    from textseq.data.corpora.catalog import list_corpora

    tasks: dict[str, Task] = {}
    for corpus in list_corpora():
        others: dict[Task, bool] = {
            "translation": bool(corpus.languages),
            "classification": bool(corpus.labels),
            "tagging": corpus.task == "tagging",
        }
        tasks[corpus.name] = next((task for task, fits in others.items() if fits), "language-model")
    return tasks


def _model(named: argparse.Namespace) -> ModelInfo | None:
    """Metadata of the run to resume, or of the model to initialize from."""
    from textseq.checkpoints.model_info import read_info
    from textseq.checkpoints.registry import find_model, find_run, newest

    if named.resume is not None:
        last = newest(find_run(named.resume), "last")  # that there is none is told later
        return None if last is None else read_info(last)
    if named.from_ is None:
        return None
    try:
        return read_info(find_model(named.from_))
    except TextseqError as error:
        if named.from_ != _recipe(named).get("from"):
            raise
        raise TextseqError(
            f"the recipe {named.recipe} begins with the model '{named.from_}' ({error}); make it first: "
            f"{PROG} --recipe {named.from_} --name {named.from_}"
        ) from error


def _recipe(named: argparse.Namespace) -> TrainingRecipe:
    from textseq.config.recipes import read_recipe

    return {} if named.recipe is None else read_recipe(named.recipe)


def _task(named: argparse.Namespace) -> tuple[Task, str | None]:
    """The task that a command line is for, and what says so (None: nothing, it is the default).

    Raises:
        TextseqError: what it names is for different tasks.
    """
    tasks = _tasks()
    begun = f"--from {named.from_}" if named.resume is None else f"--resume {named.resume}"
    corpus = f"corpus '{named.corpus}'"
    asked = {
        f"--task {named.task}": named.task,
        begun: info.task if (info := _model(named)) else None,
        f"--recipe {named.recipe}": _recipe(named).get("task") or tasks.get(str(_recipe(named).get("corpus"))),
        corpus: tasks.get(named.corpus),
        **{f"--{flag}": task for task, flag in OWN.items() if getattr(named, flag) is not None},
        **{f"--{flag}": "translation" for flag in ("source", "target") if getattr(named, flag) is not None},
    }
    written, tagged = asked[corpus] == "classification", asked[corpus] == "language-model"
    stated = {named.task, _recipe(named).get("task")}
    if ("language-model" in stated and written) or ("tagging" in stated and tagged):
        del asked[corpus]  # one can learn to write from any text, whatever labels it has, and some texts have tags
    if named.resume is None and asked[begun] == "language-model" and "classification" in asked.values():
        del asked[begun]  # a classifier may begin with its stack
    found: dict[Task, str] = {}
    for what, wanted in asked.items():
        for task in WORDS:
            if task == wanted:
                found.setdefault(task, what)
    if len(found) > 1:
        (first, here), (second, there), *_ = found.items()
        raise TextseqError(f"{here} asks for {WORDS[first]}, {there} for {WORDS[second]}; leave one of them out")
    return next(iter(found.items()), ("language-model", None))


def _defaults(named: argparse.Namespace, task: Task) -> Options:
    """The defaults that the flags are read over: a resumed run's, a starting model's or a recipe's settings."""
    options: Options = OPTIONS[task]()
    info, recipe = _model(named), _recipe(named)
    if info is not None and named.resume is not None:
        tables = {"model": info.model, "data": info.data, "training": info.training}
        return options.over(tables, f"the run {named.resume}")
    if info is not None:
        from textseq.tasks.registry import task_named

        model, data = task_named(task).run_class().init_settings(info)
        options = options.over({"model": model, "data": data}, f"the model {named.from_}")
    options = replace(options.over(recipe, f"recipe {named.recipe}"), from_=recipe.get("from"))
    corpus, own = recipe.get("corpus"), any(getattr(named, flag) is not None for flag in OWN.values())
    if corpus is not None and (own or named.corpus not in (None, corpus)):
        return options  # something else to learn from, with the settings of this recipe
    options = replace(options, corpus=corpus)
    if isinstance(options, TrainTranslation):
        options = replace(
            options, origin=replace(options.origin, source=recipe.get("source"), target=recipe.get("target"))
        )
    return options


def _changed(options: Options, base: Options) -> list[str]:
    """What differs from a run's own settings and cannot differ when it goes on, as flags."""
    ours, theirs = asdict(options), asdict(base)
    for part in ("origin", "model", "batching"):  # their flags have no prefix
        ours, theirs = ours.pop(part) | ours, theirs.pop(part) | theirs
    kept = {"task", "resume", "training", "data", "download"}
    changed = [name for name in ours if name not in kept and ours[name] != theirs[name]]
    return ["the corpus" if name == "corpus" else "--" + name.strip("_").replace("_", "-") for name in changed]


def _corpora() -> str:
    from textseq.data.corpora.catalog import list_corpora

    return "\n".join(map(_shown, list_corpora()))


def _vectors() -> str:
    from textseq.data.readers.word_vectors import list_vectors

    return "\n".join(map(_shown, list_vectors()))


def _shown(recipe: CorpusRecipe) -> str:
    return (
        f"{recipe.name}  ({recipe.language}, {recipe.bytes / 1e6:,.1f} MB, {recipe.task})\n"
        f"    {recipe.title}\n"
        f"    for: {recipe.purpose}\n"
        f"    licence: {recipe.licence}\n"
        f"    from: {recipe.homepage}"
    )


def _recipes() -> str:
    from textseq.config.recipes import recipes

    return "\n".join(f"{name}  {title}" for name, title in recipes().items())


if __name__ == "__main__":
    main()
