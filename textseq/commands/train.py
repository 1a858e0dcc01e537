"""The options of textseq-train, which depend on the task, and the task, which depends on what is named."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any, Self

from textseq.commands.command import help_flag
from textseq.commands.flags import Listing, flags_of, option, scan
from textseq.commands.renamed import TASKS as OTHER_NAMES
from textseq.config.base import Settings, flag_of
from textseq.config.recipes import read_recipe, recipes
from textseq.config.training import DistillationConfig, TrainingConfig
from textseq.data.corpora.catalog import JOINED, CorpusRecipe, list_corpora
from textseq.data.corpora.download import on_disk
from textseq.data.readers.exported import EXPORTED, HUB
from textseq.data.readers.tables import ENDINGS, ending_of
from textseq.data.readers.word_vectors import list_vectors
from textseq.data.sources import DataSource, TextData
from textseq.errors import TextseqError, unknown
from textseq.tasks import registry
from textseq.tasks.task import Task

if TYPE_CHECKING:
    from textseq.checkpoints.model_info import ModelInfo
    from textseq.config.recipes import TrainingRecipe

PROG = "textseq-train"

HIDDEN = frozenset({"fold"})
"""Fields of a data source that only the library sets."""

MAY_CHANGE = frozenset({"task", "resume", "training", "data", "download"})
"""What may differ when a run is resumed."""


def _corpora(options: Train) -> Listing:
    """The corpora in a table for each task; all about the one that is named."""
    recipes = list_corpora()
    if options.corpus is not None:
        for recipe in recipes:
            if recipe.name == options.corpus:
                described, record = _described(recipe)
                return [(described, {**record, "on_disk": on_disk(recipe, data_dir=options.data)})]
        raise unknown("corpus", options.corpus, [recipe.name for recipe in recipes])
    width = max(len(recipe.name) for recipe in recipes)
    rows: list[tuple[str, Mapping[str, object]]] = []
    for task in registry.TASKS:
        rows.append((f"{task.name}:", {}))
        for recipe in recipes:
            if recipe.task == task.name:
                here = on_disk(recipe, data_dir=options.data)
                line = f"{'*' if here else ' '} {recipe.name:{width}} {recipe.bytes / 1e6:6,.1f} MB  {recipe.title}"
                rows.append((line, {**_record(recipe), "on_disk": here}))
        rows.append(("", {}))
    return [*rows, (f"(*: on this machine) {PROG} NAME --list-corpora tells all about one, also its licence", {})]


def _record(recipe: CorpusRecipe) -> dict[str, object]:
    """A corpus, or public word vectors, for ``--json``."""
    names = ("name", "task", "language", "bytes", "title", "purpose", "licence", "homepage")
    return {name: getattr(recipe, name) for name in names}


def _described(recipe: CorpusRecipe) -> tuple[str, dict[str, object]]:
    """All about a corpus, or about public word vectors."""
    return (
        f"{recipe.name}  ({recipe.language}, {recipe.bytes / 1e6:,.1f} MB, {recipe.task})\n"
        f"    {recipe.title}\n"
        f"    for: {recipe.purpose}\n"
        f"    licence: {recipe.licence}\n"
        f"    from: {recipe.homepage}",
        _record(recipe),
    )


@dataclass(frozen=True, kw_only=True)
class Train:
    """The flags of every task."""

    corpus: str | None = option(None, metavar="CORPUS", positional=True)
    """A corpus by name (see --list-corpora). Several corpora of sentence pairs or of labelled texts are trained on
    together: A+B, or "A+3*B" to count B three times. Validation and test are those of A (of labelled texts, those of
    all), and none of their texts is in training."""
    task: str | None = option(None, metavar="TASK")
    """What to train: language-model, translation, classification, tagging. Default: what the corpus, files, run, model
    or recipe is for."""
    name: str | None = option(None, metavar="NAME")
    """Name of the new run. Default: the name of the corpus or of the first file."""
    overwrite: bool = option(False, rare=True)
    """Replace the run of this name."""
    resume: str | None = option(None, metavar="RUN")
    """Continue this run, by name or folder. Its data and model stay as they are; limits (--max-...), --device and other
    settings of training may change."""
    from_: str | None = option(None, metavar="MODEL")
    """Start from the weights of this model. Its sizes, tokenizer and labels are kept; characters, words and labels that
    are new in your data are added. A classifier may start from a language model: it takes its tokenizer, embedding and
    layers. A language model may start from one author of a model that knows several: --from austen."""
    new_vocabulary: bool = option(False, rare=True)
    """With --from: make a new tokenizer, and labels, from your data; only tokens and labels in both keep their
    weights."""
    recipe: str | None = option(None, metavar="RECIPE")
    """Take settings from a recipe, by name (see --list-recipes) or file; flags override it."""
    data: Path | None = option(None, metavar="FOLDER", rare=True)
    """Folder of the corpora. Default: the one that TEXTSEQ_DATA names, then the cache."""
    download: bool = False
    """Download and verify a corpus that is not on this machine."""
    list_corpora: bool = option(False, show=_corpora)
    """List the corpora by task, or all about CORPUS, and exit."""
    list_vectors: bool = option(False, show=lambda _: [*map(_described, list_vectors())], rare=True)
    """List the word vectors that --vectors knows by name, and exit."""
    list_recipes: bool = option(
        False,
        show=lambda _: [(f"{name}  {title}", {"name": name, "title": title}) for name, title in recipes().items()],
    )
    """List the recipes, and exit."""
    json: bool = option(False, rare=True)
    """With a list: write a JSON object per line."""

    # the groups; a task has its own classes
    source: DataSource = field(default_factory=TextData)
    model: Settings = field(default_factory=Settings)
    batches: Settings = field(default_factory=Settings)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def over(self, tables: Mapping[str, object], where: str) -> Self:
        """The options with the settings of a run, a model or a recipe, named by ``where`` in errors."""
        changes: dict[str, Any] = {}
        for name, key in (("model", "model"), ("batches", "data"), ("training", "training")):
            table, settings = tables.get(key, {}), getattr(self, name)
            if not isinstance(table, dict):
                raise TextseqError(f"{where}: expected a table for '{key}', got {table!r}")
            changes[name] = settings.from_dict({**settings.to_dict(), **table}, where=where)
        return replace(self, **changes)


def options_for(task: Task) -> Train:
    """The options of a task, with its defaults."""
    groups = {"source": task.source, "model": task.model_config, "batches": task.data_config}
    groups |= {"training": task.training_config}
    rows = [(name, kind, field(default_factory=kind)) for name, kind in groups.items()]
    others = [f"  {PROG} --task {other.name} --help" for other in registry.TASKS if other is not task]
    made: type[Train] = make_dataclass("Train", rows, bases=(Train,), frozen=True, kw_only=True)
    made.__doc__ = f"""Train {task.noun}.

Examples:
{indent(task.examples.rstrip(), "  ")}
  {PROG} --resume mine    continue a run that was stopped
  {PROG} --list-corpora   the corpora that have a name

The run is written to runs/NAME (in TEXTSEQ_HOME, if set): the last and the best checkpoint, log.jsonl, curve.png and a
model card. Ctrl-C saves it and prints how to continue. To use the model: {task.command} NAME

Other tasks have other flags:
{chr(10).join(others)}"""
    return made()


def named_defaults(arguments: Sequence[str]) -> tuple[Task, str | None, Train]:
    """The task of a command line, what determines it, and the defaults for the flags.

    Raises:
        TextseqError: what is named is unknown or contradicts itself, unless the command line asks for help.
    """
    try:
        named = Named(arguments)
        task, reason = named.task()
        return task, reason, named.defaults(task)
    except TextseqError:
        if help_flag(arguments) is None:
            raise
        return registry.TASKS[0], None, options_for(registry.TASKS[0])


class Named:
    """What a command line names, as far as its task and its defaults depend on it."""

    def __init__(self, arguments: Sequence[str]) -> None:
        flags = [flag for task in registry.TASKS for flag in flags_of(options_for(task)).values()]
        flags.sort(key=lambda flag: flag.hint is bool)  # what takes no value in one task takes none here
        names = {name: flag for flag in flags for name in flag.names}
        self.help = help_flag(arguments) is not None
        given = list(scan(arguments, names))
        self.values: dict[str, list[str]] = {}
        for written, flag, values in given:
            if flag:
                before = self.values.get(flag.name, []) if flag.several else []
                self.values[flag.name] = before + (values or [written.replace("_", "-")])
        corpora = {recipe.name: recipe for recipe in list_corpora()}
        words = [word for word, flag, _ in given if flag is None]
        if words and words[0].startswith(HUB):
            uses = ", ".join(f"--{task.source.own_files} {words[0]}" for task in registry.TASKS)
            raise TextseqError(f"{words[0]} is a dataset of the Hugging Face Hub; say what to train: {uses}")
        if words and _first(words[0]) not in corpora and os.path.exists(words[0]):
            raise TextseqError(f"{words[0]} is {_own_files(words)}")
        self.corpus_name = next((word for word in words if _first(word) in corpora), None)
        self.corpus = corpora[_first(self.corpus_name)] if self.corpus_name else None
        self.recipe: TrainingRecipe = {} if (name := self.value("--recipe")) is None else read_recipe(name)
        self.recipe_corpus = corpora.get(_first(str(self.recipe.get("corpus"))))
        self.resume, self.from_ = self.value("--resume"), self.value("--from")
        if self.from_ is None and self.resume is None:
            self.from_ = self.recipe.get("from")

    def value(self, flag: str) -> str | None:
        """The value of a flag; of one without a value the flag as it is written."""
        return self.values.get(flag, [None])[-1]

    def info(self) -> ModelInfo | None:
        """Metadata of the run to resume, or of the model to start from."""
        from textseq.checkpoints.model_info import read_info
        from textseq.checkpoints.registry import find_model_or_labels, find_run, newest

        if self.resume is not None:
            last = newest(find_run(self.resume), "last")
            return None if last is None else read_info(last)  # ``resume`` reports that there is none
        if self.from_ is None:
            return None
        try:
            return read_info(find_model_or_labels(self.from_)[0])
        except TextseqError as error:
            if self.help:  # that of the recipe
                return None
            if self.from_ != self.recipe.get("from"):
                raise
            raise TextseqError(
                f"the recipe {self.value('--recipe')} starts from the model '{self.from_}' ({error}); train that "
                f"first: {PROG} --recipe {self.from_} --name {self.from_}"
            ) from error

    def task(self) -> tuple[Task, str | None]:
        """The task, and what determines it; None: nothing, it is the default."""
        info, stated = self.info(), self.value("--task")
        asked: dict[str, str] = {}
        if stated is not None:
            if stated in OTHER_NAMES:
                raise TextseqError(f"--task: expected a task, got '{stated}'; use --task {OTHER_NAMES[stated]}")
            asked[f"--task {stated}"] = registry.task_named(stated).name
        if info is not None:
            asked[f"--from {self.from_}" if self.resume is None else f"--resume {self.resume}"] = info.task
        if self.recipe:
            default = self.recipe_corpus.task if self.recipe_corpus else None
            if named := self.recipe.get("task") or default:
                asked[f"--recipe {self.value('--recipe')}"] = named
        if self.corpus is not None:
            wanted = [task for task in registry.TASKS if task.name in (stated, self.recipe.get("task"))]
            if not any(task.name == self.corpus.task or task.accepts(self.corpus) for task in wanted):
                asked[f"corpus '{self.corpus.name}'"] = self.corpus.task
        for task in registry.TASKS:
            asked |= {flag: task.name for flag in _own_flags(task) if flag in self.values}
        owners = {f"--{task.source.own_files}": task for task in registry.TASKS}
        own_files = next((flag for flag in owners if flag in self.values), None)
        conditional = info is not None and info.task == registry.TASKS[0].name and (info.labels or info.vector_size)
        if own_files is not None and not conditional and [*asked] == [f"--from {self.from_}"]:
            asked[own_files] = owners[own_files].name
        if self.resume is None and info is not None:
            tasks = [registry.task_named(task) for task in asked.values() if task != info.task]
            if any(info.task in task.run_class().init_tasks for task in tasks):
                del asked[f"--from {self.from_}"]
        if not asked:
            return (registry.TASKS[0] if own_files is None else owners[own_files]), own_files
        (why, name), *others = asked.items()
        for other, second in others:
            if second != name:
                nouns = [registry.task_named(task).noun for task in (name, second)]
                raise TextseqError(f"{why} asks for {nouns[0]}, {other} for {nouns[1]}; leave one of them out")
        return registry.task_named(name), why

    def teacher(self) -> str | None:
        """The first model to learn from."""
        named = self.values.get("--distil-from") or self.recipe.get("training", {}).get("distil_from")
        return str(named[0]) if isinstance(named, list) and named else None

    def _check_tokenizer_flags(self, kept: Mapping[str, object], model: str | None, kept_by: str) -> None:
        """Raise a TextseqError if a flag asks for another tokenizer than that which is kept."""
        from textseq.tasks.initialization import other_tokenizer

        for name, value in kept.items():
            flag = flag_of(name)
            written = str(value) if not isinstance(value, bool) else flag if value else f"--no-{flag[2:]}"
            if (asked := self.value(flag)) not in (None, written):
                raise other_tokenizer(flag, model, value, asked, kept_by=kept_by)

    def defaults(self, task: Task) -> Train:
        """The defaults for the flags: settings of a run to resume, of a model to start from, of a recipe.

        Where the tokenizer of a model is kept, that of the recipe gives way to it.

        Raises:
            TextseqError: a flag asks for another tokenizer than that of the model to start from.
        """
        options, info = options_for(task), self.info()
        kept: Mapping[str, object] = {}
        if info is not None and self.resume is not None:
            tables = {"model": info.model, "data": info.data, "training": info.training}
            return options.over(tables, f"the run {self.resume}")
        if info is not None:
            model, kept = task.run_class().init_settings(info)
            if "--new-vocabulary" in self.values:
                kept = {}
            self._check_tokenizer_flags(kept, self.from_, "--from")
            options = options.over({"model": model, "data": kept}, f"the model {self.from_}")
        elif issubclass(task.training_config, DistillationConfig) and (teacher := self.teacher()) is not None:
            from textseq.tasks.distillation import load_teacher
            from textseq.tasks.initialization import tokenizer_settings

            kept = tokenizer_settings(load_teacher(teacher, task).info.data)
            self._check_tokenizer_flags(kept, teacher, "--distil-from")
            options = options.over({"data": kept}, f"the model {teacher}")
        recipe: dict[str, Any] = {**self.recipe}
        if isinstance(data := recipe.get("data"), dict):
            recipe["data"] = {name: value for name, value in data.items() if name not in kept}
        options = replace(options.over(recipe, f"recipe {self.value('--recipe')}"), from_=self.recipe.get("from"))
        corpus = self.recipe.get("corpus")
        own_files = any(f"--{task.source.own_files}" in self.values for task in registry.TASKS)
        if corpus is None or own_files or self.corpus_name not in (None, corpus):
            return options  # the recipe's settings for other data
        named: Any = {name: value for name in ("source", "target") if (value := self.recipe.get(name)) is not None}
        return replace(options, corpus=corpus, source=replace(options.source, corpus=corpus, **named))


def _first(corpus: str) -> str:
    """The first of several corpora that are joined by +."""
    return corpus.split(JOINED)[0]


def _own_files(words: Sequence[str]) -> str:
    """The end of an error: files that are given as a corpus, and the flag that they are probably for."""
    paths = [Path(word) for word in words if os.path.exists(word)]
    ending, folder = ending_of(paths[0]), paths[0].is_dir()
    flags = ("--text", "--labelled") if folder else OWN_FILES.get(ending, ("--text",))
    if len(paths) == 2 and flags == ("--text",):
        flags = ("--pairs",)
    names = shlex.join(map(str, paths))
    return f"a {'folder' if folder else 'file'}, not a corpus; use {' or '.join(f'{flag} {names}' for flag in flags)}"


OWN_FILES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys((".conll", ".conllu", ".iob", ".bio"), ("--tagged",)),
    **dict.fromkeys((*ENDINGS, *EXPORTED), ("--labelled", "--pairs")),
    ".csv": ("--labelled",),
}
"""The flags for own files by their ending."""


def _own_flags(task: Task) -> list[str]:
    """Flags of a task's data source that no other task has."""
    others = {name for other in registry.TASKS if other is not task for name in flags_of(other.source())}
    return [flag for flag in flags_of(task.source(), HIDDEN) if flag not in others]


def elsewhere(flag: str, task: Task, reason: str | None) -> str | None:
    """The error for a flag that only other tasks have."""
    others = [other for other in registry.TASKS if other is not task and flag in flags_of(options_for(other), HIDDEN)]
    why = f" (as {reason} says)" if reason else ""
    names = " or ".join(f"--task {other.name}" for other in others)
    return f"{flag} is not a flag of {task.noun}{why}; {PROG} {names} has it" if others else None


def changed_flags(options: Train, base: Train) -> list[str]:
    """What differs from the settings of a run and may not change when it is resumed, as flags."""
    before = flags_of(base, HIDDEN)
    changed = [flag for name, flag in flags_of(options, HIDDEN).items() if flag.default != before[name].default]
    return [
        "the corpus" if flag.name == "CORPUS" else flag.name for flag in changed if flag.paths[0][0] not in MAY_CHANGE
    ]
