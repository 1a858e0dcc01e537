"""textseq-train: from a text to a model that writes like it, from sentence pairs to one that translates, from labelled
texts to one that classifies, from tagged sentences to one that tags.

The flags differ by task, and the task follows from what is named: so it is found out first, with the defaults that a
run, a model or a recipe sets, and then the command line is read into the dataclass of that task.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from tyro.conf import Fixed, FlagCreatePairsOff, Positional, Suppress, arg

from textseq.command import parse, run
from textseq.config import (
    ClassifierConfig,
    ClassifierTrainingConfig,
    DataConfig,
    LabelledConfig,
    LanguageModelConfig,
    PairConfig,
    TaggedConfig,
    TaggerConfig,
    TaggerTrainingConfig,
    Task,
    TrainingConfig,
    TranslationModelConfig,
    TranslatorTrainingConfig,
)
from textseq.errors import TextseqError
from textseq.origin import LabelledSource, PairSource, Source, TaggedSource
from textseq.ranks import ranks

if TYPE_CHECKING:
    from textseq.corpus_recipes import Recipe as CorpusRecipe
    from textseq.recipe import Recipe

PROG = "textseq-train"
WORDS: Mapping[Task, str] = {
    "language-model": "a language model",
    "translator": "a translator",
    "classifier": "a classifier",
    "tagger": "a tagger",
}

Flag = Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")]
Files = Annotated[tuple[str, ...], arg(metavar="PATH...", help_behavior_hint="")]


@dataclass(frozen=True, kw_only=True)
class Text(Source):
    """Your own text."""

    corpus: Suppress[Fixed[str | None]] = None
    text: Files = ()


@dataclass(frozen=True, kw_only=True)
class Pairs(PairSource):
    """Your own sentence pairs, or which languages of a corpus."""

    corpus: Suppress[Fixed[str | None]] = None
    pairs: Files = ()
    validation_pairs: Files = ()


@dataclass(frozen=True, kw_only=True)
class Labelled(LabelledSource):
    """Your own labelled texts."""

    corpus: Suppress[Fixed[str | None]] = None
    labelled: Files = ()
    validation_labelled: Files = ()
    fold: Suppress[Fixed[int | None]] = None


@dataclass(frozen=True, kw_only=True)
class TaggedText(TaggedSource):
    """Your own tagged sentences."""

    corpus: Suppress[Fixed[str | None]] = None
    tagged: Files = ()
    validation_tagged: Files = ()


@dataclass(frozen=True, kw_only=True)
class Train:
    """The flags that every task has."""

    corpus: Annotated[Positional[str | None], arg(metavar="CORPUS", help_behavior_hint="")] = None
    """A corpus by name (see --list-corpora)."""
    task: Annotated[Task | None, arg(metavar=f"{{{','.join(WORDS)}}}", help_behavior_hint="")] = None
    """What to train. Default: what the corpus or the files are for, or what the run, the model or the recipe has.
    Each task has flags of its own; with --help it shows them."""
    name: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Name of the new run. Default: the corpus's (a translator's with both languages), or the first file's."""
    overwrite: Flag = False
    """Replace the run of this name."""
    resume: Annotated[str | None, arg(metavar="RUN", help_behavior_hint="")] = None
    """Go on with this run, by name or folder. Limits (--max-...) and --device may differ from before."""
    from_: Annotated[str | None, arg(name="from", metavar="MODEL", help_behavior_hint="")] = None
    """Begin with the weights of this model; tokens that both vocabularies have keep their vectors. A classifier takes
    over the tokens too, and may begin with a language model's embedding and layers; beside a single layer of it, a
    second direction (--bidirectional) begins anew."""
    recipe: Annotated[str | None, arg(metavar="RECIPE", help_behavior_hint="")] = None
    """Take settings from a recipe, by name (see --list-recipes) or file; flags beat it."""
    data: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Folder of the corpora's files. Default: the one that TEXTSEQ_DATA names; then the cache is looked through."""
    download: Flag = False
    """Fetch and verify what is found in neither."""
    list_corpora: Flag = False
    """Show the corpora that can be named, and exit."""
    list_vectors: Flag = False
    """Show the word vectors that --vectors knows by name, and exit."""
    list_recipes: Flag = False
    """Show the recipes that can be named, and exit."""
    version: Flag = False
    """Show the version, and exit."""

    def over(self, facts: Mapping[str, object], where: str) -> Self:
        """The options with the settings that a run, a model or a recipe states.

        Raises:
            TextseqError: settings that this task has not.
        """
        changes = {}
        for name, key in (("model", "model"), ("batching", "data"), ("training", "training")):
            table, settings = facts.get(key, {}), getattr(self, name)
            if not isinstance(table, dict):
                raise TextseqError(f"{where}: '{key}' wants a table, found {table!r}")
            changes[name] = settings.from_dict({**settings.to_dict(), **table}, where=where)
        return replace(self, **changes)


@dataclass(frozen=True, kw_only=True)
class TrainWriter(Train):
    """Train a recurrent network on a text, or on sentence pairs to translate.

    Examples:
      textseq-train tinyshakespeare --max-minutes 5     a corpus by name
      textseq-train --text novel.txt --name mine        your own text: files or folders
      textseq-train --resume runs/mine                  go on with a run that was stopped
      textseq-train --text more.txt --from mine         train a model further on another text
      textseq-train --list-corpora                      what there is to learn from
      textseq-train multi30k --source en --target de    a translator, from a corpus of sentence pairs
      textseq-train --task translator --help            the flags of translators; below are those of language models

    The run is written to runs/NAME (under TEXTSEQ_HOME if that is set): the last and the best checkpoint,
    log.jsonl, curve.png and a model card. Ctrl-C saves and says how to go on. Then: textseq-sample --author NAME.
    """

    origin: Annotated[Text, arg(name="text")] = field(default_factory=Text)
    model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    batching: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True, kw_only=True)
class TrainTranslator(Train):
    """Train a recurrent encoder-decoder with attention to translate.

    Examples:
      textseq-train multi30k --source en --target de              a corpus of pairs by name, and a direction
      textseq-train --pairs train.en train.de --name mine         your own pairs: two aligned files
      textseq-train --pairs pairs.tsv --source en --target de     or one file of columns
      textseq-train --recipe tatoeba-en-fr                        settings that are known to be good
      textseq-train --resume runs/mine                            go on with a run that was stopped
      textseq-train --pairs a.en a.de --from mine --name further  train a model further on other pairs
      textseq-train --task language-model --help                  the flags of language models; below: translators

    The run is written to runs/NAME (under TEXTSEQ_HOME if that is set): the last and the best checkpoint,
    log.jsonl, curve.png and a model card. Ctrl-C saves and says how to go on. Then: textseq-translate --model NAME.
    """

    origin: Annotated[Pairs, arg(name="pairs")] = field(default_factory=Pairs)
    model: TranslationModelConfig = field(default_factory=TranslationModelConfig)
    batching: PairConfig = field(default_factory=PairConfig)
    training: TranslatorTrainingConfig = field(default_factory=TranslatorTrainingConfig)


@dataclass(frozen=True, kw_only=True)
class TrainClassifier(Train):
    """Train a recurrent network to classify texts.

    Examples:
      textseq-train sst2                                          a corpus of labelled texts by name
      textseq-train --labelled reviews.csv --name mine            your own texts: a table with a header
      textseq-train --labelled texts/                             or a folder with a folder for each label
      textseq-train sst2 --vectors glove.6B --embedding-size 100  begin with word vectors
      textseq-train imdb --from mine --unfreeze-epochs 1          begin with the layers of a language model
      textseq-train sentence_polarity --folds 10                  ten models, each measured on a tenth of the texts
      textseq-train sst2 --seeds 3                                three models: mean and deviation
      textseq-train --resume runs/mine                            go on with a run that was stopped
      textseq-train --task language-model --help                  the flags of language models; below: classifiers

    The run is written to runs/NAME (under TEXTSEQ_HOME if that is set): the last and the best checkpoint,
    log.jsonl, curve.png and a model card. Ctrl-C saves and says how to go on. Then: textseq-classify --model NAME.
    """

    origin: Annotated[Labelled, arg(name="labelled")] = field(default_factory=Labelled)
    model: ClassifierConfig = field(default_factory=ClassifierConfig)
    batching: LabelledConfig = field(default_factory=LabelledConfig)
    training: ClassifierTrainingConfig = field(default_factory=ClassifierTrainingConfig)


@dataclass(frozen=True, kw_only=True)
class TrainTagger(Train):
    """Train a recurrent network to tag the words of sentences.

    Examples:
      textseq-train treebank                                      a corpus of tagged sentences by name
      textseq-train brown --task tagger --output crf              one that is a text as well
      textseq-train --tagged train.conll --name mine              your own sentences: a word and its tag to a line
      textseq-train --tagged train.conllu --validation-tagged dev.conllu --tag-column 5
      textseq-train treebank --vectors glove.6B                   begin with word vectors
      textseq-train --resume runs/mine                            go on with a run that was stopped
      textseq-train --task language-model --help                  the flags of language models; below: taggers

    The run is written to runs/NAME (under TEXTSEQ_HOME if that is set): the last and the best checkpoint,
    log.jsonl, curve.png and a model card. Ctrl-C saves and says how to go on. Then: textseq-tag --model NAME.
    """

    origin: Annotated[TaggedText, arg(name="tagged")] = field(default_factory=TaggedText)
    model: TaggerConfig = field(default_factory=TaggerConfig)
    batching: TaggedConfig = field(default_factory=TaggedConfig)
    training: TaggerTrainingConfig = field(default_factory=TaggerTrainingConfig)


Options = TrainWriter | TrainTranslator | TrainClassifier | TrainTagger
OPTIONS: Mapping[Task, type[Options]] = {
    "language-model": TrainWriter,
    "translator": TrainTranslator,
    "classifier": TrainClassifier,
    "tagger": TrainTagger,
}
OWN: Mapping[Task, str] = {
    "language-model": "text",
    "translator": "pairs",
    "classifier": "labelled",
    "tagger": "tagged",
}
"""The flag, and the field, that names one's own files."""


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
        if stop.code and ranks().count == 1:
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
        level=logging.WARNING if ranks().leads else logging.CRITICAL, format="%(message)s", stream=sys.stderr
    )
    from textseq import runs

    if options.resume is not None:
        if changed := _changed(options, base):
            raise TextseqError(f"--resume goes on with a run as it is; leave out {', '.join(changed)}")
        runs.resume(
            options.resume,
            training=options.training,
            data=options.data,
            download=options.download,
            report=_report,
        )
    elif not isinstance(options, TrainWriter):
        learning: Mapping[type[Options], Callable[..., object]] = {
            TrainTranslator: runs.train_translator,
            TrainClassifier: runs.train_classifier,
            TrainTagger: runs.train_tagger,
        }
        learn = learning[type(options)]
        if isinstance(options, TrainClassifier) and (options.origin.folds or options.origin.seeds):
            learn = runs.train_classifiers
        learn(
            origin=replace(options.origin, corpus=options.corpus),
            name=options.name,
            model=options.model,
            batching=options.batching,
            training=options.training,
            start_from=options.from_,
            overwrite=options.overwrite,
            data=options.data,
            download=options.download,
            report=_report,
        )
    else:
        runs.train(
            options.corpus,
            text=options.origin.text,
            encoding=options.origin.encoding,
            validation=options.origin.validation,
            name=options.name,
            model=options.model,
            batching=options.batching,
            training=options.training,
            start_from=options.from_,
            vectors=options.origin.vectors,
            overwrite=options.overwrite,
            data=options.data,
            download=options.download,
            report=_report,
        )


def _report(line: str) -> None:
    """A line between the updates of the progress bar; of several processes the first speaks."""
    from tqdm import tqdm

    if not ranks().leads:
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
    from textseq.corpus import list_corpora

    tasks: dict[str, Task] = {}
    for corpus in list_corpora():
        others: dict[Task, bool] = {
            "translator": bool(corpus.languages),
            "classifier": bool(corpus.labels),
            "tagger": corpus.task == "tagger",
        }
        tasks[corpus.name] = next((task for task, fits in others.items() if fits), "language-model")
    return tasks


def _model(named: argparse.Namespace) -> Mapping[str, object]:
    """``config.json`` of the run to go on with, or of the model to begin with; empty without either."""
    from textseq.shelf import find_model, find_run, newest, read_json

    if named.resume is not None:
        last = newest(find_run(named.resume), "last")  # that there is none is told later
        return {} if last is None else read_json(last / "config.json")
    if named.from_ is None:
        return {}
    try:
        return read_json(find_model(named.from_) / "config.json")
    except TextseqError as error:
        if named.from_ != _recipe(named).get("from"):
            raise
        raise TextseqError(
            f"the recipe {named.recipe} begins with the model '{named.from_}' ({error}); make it first: "
            f"{PROG} --recipe {named.from_} --name {named.from_}"
        ) from error


def _recipe(named: argparse.Namespace) -> Recipe:
    from textseq.recipe import read_recipe

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
        begun: _model(named).get("task"),
        f"--recipe {named.recipe}": _recipe(named).get("task") or tasks.get(str(_recipe(named).get("corpus"))),
        corpus: tasks.get(named.corpus),
        **{f"--{flag}": task for task, flag in OWN.items() if getattr(named, flag) is not None},
        **{f"--{flag}": "translator" for flag in ("source", "target") if getattr(named, flag) is not None},
    }
    written, tagged = asked[corpus] == "classifier", asked[corpus] == "language-model"
    stated = {named.task, _recipe(named).get("task")}
    if ("language-model" in stated and written) or ("tagger" in stated and tagged):
        del asked[corpus]  # one can learn to write from any text, whatever labels it has, and some texts have tags
    if named.resume is None and asked[begun] == "language-model" and "classifier" in asked.values():
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
    facts, recipe = _model(named), _recipe(named)
    if named.resume is not None:
        return options.over(facts, f"the run {named.resume}")
    if named.from_ is not None and isinstance(options, TrainClassifier):
        from textseq.classifier_runs import like, tokens_of

        fitting = like(facts.get("task"), facts.get("model")).to_dict()
        options = options.over({"model": fitting, "data": tokens_of(facts)}, f"the model {named.from_}")
    else:
        options = options.over({"model": facts.get("model", {})}, f"the model {named.from_}")
    options = replace(options.over(recipe, f"recipe {named.recipe}"), from_=recipe.get("from"))
    corpus, own = recipe.get("corpus"), any(getattr(named, flag) is not None for flag in OWN.values())
    if corpus is not None and (own or named.corpus not in (None, corpus)):
        return options  # something else to learn from, with the settings of this recipe
    options = replace(options, corpus=corpus)
    if isinstance(options, TrainTranslator):
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
    from textseq.corpus import list_corpora

    return "\n".join(map(_shown, list_corpora()))


def _vectors() -> str:
    from textseq.vector_files import list_vectors

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
    from textseq.recipe import recipes

    return "\n".join(f"{name}  {title}" for name, title in recipes().items())


if __name__ == "__main__":
    main()
