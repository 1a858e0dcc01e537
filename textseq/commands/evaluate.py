"""The options of textseq-evaluate, made from the tasks, and the evaluation that all tasks share."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast, get_args

from textseq.commands.command import show
from textseq.commands.flags import flags_of, option
from textseq.commands.stdin import with_stdin
from textseq.config.base import Settings, flag_of
from textseq.config.decoding import Precision
from textseq.data.sources import ConditionKind, DataSource, TextData
from textseq.data.text import corpus_names
from textseq.errors import TextseqError
from textseq.io.counting import counting, showing_counts
from textseq.tasks import registry
from textseq.tasks.language_model.spec import LANGUAGE_MODEL
from textseq.tasks.task import Task
from textseq.tasks.translation.spec import TRANSLATION
from textseq.training.distributed.environment import environment

if TYPE_CHECKING:
    from textseq.tasks.predictor import Metrics
    from textseq.training.distributed.group import ProcessGroup

PROG = "textseq-evaluate"

CONDITION_OF_DATA = "language_model_source.condition"
"""A field that ``--condition`` of the evaluation sets too."""

HIDDEN = frozenset(
    {"multi", "validation", "vectors", "longest", "unaligned", "fold", "folds", "seeds", CONDITION_OF_DATA}
)
"""Fields of data sources, by their first word, that matter in training only; and those that other flags set."""


@dataclass(frozen=True, kw_only=True)
class ComparisonSettings(Settings):
    """Comparing translators."""

    bleu_tokenizer: str = "13a"
    """How BLEU splits words: 13a (the standard), intl (punctuation of all scripts), zh (Chinese), char (Japanese and
    others without spaces)."""
    all_references: bool = False
    """Translate each different source sentence once, and compare it with all its translations in the split; otherwise
    each pair counts alone. Files of translations have a line for each different source sentence, too."""
    compare: tuple[str, ...] = option((), metavar="MODEL...")
    """Evaluate another translator too (or several as an ensemble), and test whether the difference is significant
    (paired bootstrap, Koehn 2004)."""
    compare_translations: Path | None = option(None, metavar="FILE")
    """The same with translations from a file, one per line."""
    write_translations: Path | None = option(None, metavar="FILE")
    """Write the translations of --model, one per line."""
    plot_length: Path | None = option(None, metavar="FILE")
    """Draw BLEU over the length of the sources, as a PNG; two curves with a comparison."""


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure how well a model predicts a text, translates, classifies or tags.

    Prints for a language model the loss in nats per token, bits per character and perplexity; for a translator BLEU,
    chrF and TER with 95 % intervals; for a classifier or tagger the accuracy with its interval, precision, recall and
    F1 of each label, and the confusion of labels; for a tagger of spans, such as named entities, their precision,
    recall and F1 of each kind, as conlleval defines them. Below each number is its signature: corpus, split, tokenizer,
    how it was computed, version.

    Examples:
      textseq-evaluate shakespeare --model shakespeare
      textseq-evaluate tinyshakespeare --model mine --split validation
      textseq-evaluate shakespeare --model shakespeare --dynamic --cache
      textseq-evaluate --text chapter.txt --model mine
      textseq-evaluate --text chapter.txt --model austen
      textseq-evaluate multi30k --model en-de --split test_2017_flickr
      textseq-evaluate --pairs test.en test.de --model en-de second third
      textseq-evaluate multi30k --model en-de --compare en-de-small
      textseq-evaluate sst2 --model mine --plot-confusion confusion.png
      textseq-evaluate --labelled reviews.csv --model mine
      textseq-evaluate --tagged test.conllu --model mine
    """

    corpus: str | None = option(None, metavar="CORPUS", positional=True)
    """A corpus by name. It comes first, as all names after --model are models."""
    model: tuple[str, ...] = option((), metavar="MODEL...", alias="--author")
    """A model that ships with textseq, the name of a run, or a model's folder; or an author whom a conditional
    language model knows by name. Several translators work as an ensemble."""
    split: str | None = option(None, metavar="SPLIT")
    """Split of the corpus, such as train, validation, test. Default: test, or validation if there is no test split."""
    precision: Precision = "float32"
    """Number format of the matrix products: int8 (translators, on CPUs) and bfloat16 (classifiers) are faster; the
    results may differ slightly."""
    device: str = option("auto", metavar="DEVICE")
    """Where to compute: cpu, cuda, cuda:1, mps, or auto (a GPU if there is one)."""
    plot_confusion: Path | None = option(None, metavar="FILE")
    """Draw the confusion matrix of a classifier or tagger, as a PNG."""
    data: Path | None = option(None, metavar="FOLDER", rare=True)
    """Folder of the corpora. Default: the one that TEXTSEQ_DATA names, then the cache."""
    download: bool = False
    """Download and verify a corpus that is not on this machine."""
    json: bool = False
    """Write a JSON object per line: every number with its signature; for translators one for each score, with the
    system's name, then the comparisons."""
    comparison: ComparisonSettings = field(default_factory=ComparisonSettings)

    def source(self, task: Task) -> DataSource:
        """The data source that a task's flags describe."""
        source = getattr(self, _groups(task)[0])
        assert isinstance(source, DataSource)
        source = replace(source, corpus=self.corpus)
        if isinstance(source, TextData) and self._condition in get_args(ConditionKind):
            return replace(source, condition=cast(ConditionKind, self._condition))
        return source

    def settings(self, task: Task) -> dict[str, Any]:
        """The task's settings of an evaluation."""
        settings = dict(vars(getattr(self, _groups(task)[1])))
        if settings.get("condition") in get_args(ConditionKind):  # see ``source``
            settings["condition"] = None
        return settings

    def under(self, labels: str) -> Self:
        """The options with the condition that the name of the model means, such as "austen".

        Raises:
            TextseqError: another condition is named too.
        """
        if self._condition is not None:
            raise TextseqError(
                f"--condition: expected none beside --model {labels}, got {self._condition}; leave out one of them"
            )
        group = _groups(LANGUAGE_MODEL)[1]
        return replace(self, **{group: replace(getattr(self, group), condition=labels)})

    @property
    def _condition(self) -> str | None:
        """What ``--condition`` names."""
        condition: str | None = getattr(self, _groups(LANGUAGE_MODEL)[1]).condition
        return condition


def _groups(task: Task) -> list[str]:
    """The groups of flags of a task."""
    slug = task.name.replace("-", "_")
    return [f"{slug}_source", f"{slug}_settings"] + ["comparison"] * (task is TRANSLATION)


def evaluate_options() -> Evaluate:
    """The options, with the flags of every task."""
    groups: dict[str, type[Settings]] = {}
    for task in registry.TASKS:
        groups |= zip(_groups(task), (task.source, task.evaluation_config), strict=False)
    rows = [(name, kind, field(default_factory=kind)) for name, kind in groups.items()]
    made: type[Evaluate] = make_dataclass("Evaluate", rows, bases=(Evaluate,), frozen=True, kw_only=True)
    made.__doc__ = Evaluate.__doc__
    return made()


def check(options: Evaluate, task: Task) -> None:
    """Refuse what the task does not have, or what contradicts itself, before anything is loaded."""
    before, model = flags_of(evaluate_options(), HIDDEN), options.model[0]
    for flag in flags_of(options, HIDDEN).values():
        groups = {path[0] for path in flag.paths if len(path) > 1}
        if groups and groups.isdisjoint(_groups(task)) and flag.default != before[flag.name].default:
            owners = [other for other in registry.TASKS if not groups.isdisjoint(_groups(other))]
            owner = next((other for other in owners if flag.name == f"--{other.source.own_files}"), owners[0])
            raise TextseqError(f"{flag.name} is for {owner.plural}, and {model} is {task.noun}; leave it out")
    source, own = options.source(task), f"--{task.source.own_files}"
    if options.corpus is not None and options.corpus not in corpus_names() and Path(options.corpus).exists():
        raise TextseqError(f"{options.corpus} is a file, not a corpus; for your own files use {own}")
    if source.files and options.corpus is not None:
        raise TextseqError(f"give either a corpus or {own}, not both")
    if source.files and options.split is not None:
        raise TextseqError(f"--split is for a corpus, and {own} is evaluated as a whole; leave it out")
    if options.corpus is not None:
        for item in fields(source):
            if item.name.endswith("_column") and getattr(source, item.name) is not None:
                raise TextseqError(f"{flag_of(item.name)} is for {own}; leave it out with a corpus")


def evaluate_model(options: Evaluate, task: Task, folder: Path) -> Metrics:
    """The metrics of one model, on a corpus or on one's own files."""
    from textseq.io.progress import write_line

    predictor = registry.load(folder, device=options.device, precision=options.precision)
    if options.plot_confusion is not None and not predictor.has_confusion:
        raise TextseqError("--plot-confusion needs a model that predicts one label for each text or word; leave it out")
    source = predictor.evaluation_source(with_stdin(options.source(task)))
    dataset = source.open_whole(data_dir=options.data, download=options.download)
    print_notes([*dataset.notes, *(f"note: {folder} {warning}" for warning in predictor.warnings(dataset, source))])
    split = options.split or default_split(dataset.splits)
    shown = showing_counts(write_line, show=environment().leads)
    with shown, counting(f"{predictor.unit} of {dataset.name} measured") as progress:
        group, settings = process_group(options.device), options.settings(task)
        evaluation: Metrics = predictor.evaluate(dataset, split, progress=progress, process_group=group, **settings)
    return evaluation


def default_split(splits: Iterable[str]) -> str:
    """The split that nothing was decided on."""
    return next(split for split in ("test", "validation", "train") if split in splits)


def process_group(device: str) -> ProcessGroup:
    """The processes that evaluate together."""
    from textseq.training.devices import pick_device
    from textseq.training.distributed.group import join_process_group

    return join_process_group(pick_device(device).type)


def print_notes(notes: Iterable[str]) -> None:
    """Print notes on stderr; of several processes only the first prints."""
    for note in notes if environment().leads else ():
        show(note, file=sys.stderr)


def tasks_of(models: Mapping[str, Path]) -> Task:
    """The task of models, which must be the same; ``models`` are their folders by name."""
    from textseq.checkpoints.model_info import read_info

    tasks = {
        name: registry.task_named(read_info(folder).task, where=str(folder / "config.json"))
        for name, folder in models.items()
    }
    first, *others = tasks.values()
    if any(other is not first for other in others):
        got = ", ".join(f"{name} ({task.noun})" for name, task in tasks.items())
        raise TextseqError(f"--model: expected models of one task, got {got}; leave some out")
    return first
