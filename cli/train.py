"""textseq-train: from a text to a model that writes like it."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from textseq.command import parse, run
from textseq.config import DataConfig, LanguageModelConfig, TrainingConfig
from textseq.errors import TextseqError

PROG = "textseq-train"


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a recurrent network on a text.

    Examples:
      textseq-train tinyshakespeare --max-minutes 5     a corpus by name
      textseq-train --text novel.txt --name mine        your own text: files or folders
      textseq-train --resume runs/mine                  go on with a run that was stopped
      textseq-train --text more.txt --from mine         train a model further on another text
      textseq-train --list-corpora                      what there is to learn from

    The run is written to runs/NAME (under TEXTSEQ_HOME if that is set): the last and the best checkpoint,
    log.jsonl, curve.png and a model card. Ctrl-C saves and says how to go on. Then: textseq-sample --author NAME.
    """

    corpus: Annotated[Positional[str | None], arg(metavar="CORPUS", help_behavior_hint="")] = None
    """A corpus by name (see --list-corpora)."""
    text: Annotated[tuple[Path, ...], arg(metavar="PATH...", help_behavior_hint="")] = ()
    """Your own text: files, or folders to search for text files (a folder of source code works as well)."""
    encoding: str = "utf-8"
    """Encoding of --text."""
    validation: float = 0.1
    """Share of --text, from its end, that is kept for validation instead of training."""
    name: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Name of the new run. Default: the corpus's, or the first file's."""
    overwrite: Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")] = False
    """Replace the run of this name."""
    resume: Annotated[str | None, arg(metavar="RUN", help_behavior_hint="")] = None
    """Go on with this run, by name or folder. Limits (--max-...) and --device may differ from before."""
    from_: Annotated[str | None, arg(name="from", metavar="MODEL", help_behavior_hint="")] = None
    """Begin with the weights of this model; tokens that both vocabularies have keep their vectors."""
    recipe: Annotated[str | None, arg(metavar="RECIPE", help_behavior_hint="")] = None
    """Take settings from a recipe, by name (see --list-recipes) or file; flags beat it."""
    data: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Folder of the corpora's files. Default: the one that TEXTSEQ_DATA names; then the cache is looked through."""
    download: Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")] = False
    """Fetch and verify what is found in neither."""
    list_corpora: Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")] = False
    """Show the corpora that can be named, and exit."""
    list_recipes: Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")] = False
    """Show the recipes that can be named, and exit."""
    version: Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")] = False
    """Show the version, and exit."""
    model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    batching: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


def main() -> None:
    """The entry point."""
    run(PROG, train)


def train(arguments: Sequence[str]) -> None:
    """Parse, train, and say where the model is."""
    base = _defaults(arguments)
    options = parse(Train, PROG, arguments, base)
    if options.list_corpora or options.list_recipes:
        print(_corpora() if options.list_corpora else _recipes())
        return
    if options.text and base.corpus is not None:  # one's own text instead of the recipe's
        options = dataclasses.replace(options, corpus=None if options.corpus == base.corpus else options.corpus)
    if options.resume is None and options.corpus is None and not options.text:
        raise TextseqError(f"name a corpus, or give your own --text; '{PROG} --list-corpora' shows the corpora")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    from textseq import runs

    if options.resume is not None:
        if options.corpus is not None or options.text or options.from_:
            raise TextseqError("--resume goes on with what the run had; leave out the corpus, --text and --from")
        if options.name is not None or options.overwrite or options.recipe is not None:
            raise TextseqError("--resume goes on with a run as it is; leave out --name, --overwrite and --recipe")
        if (options.encoding, options.validation) != (base.encoding, base.validation):
            raise TextseqError("--resume goes on with the text that the run had; leave out --encoding and --validation")
        if (options.model, options.batching) != (base.model, base.batching):
            raise TextseqError("--resume goes on with the same model and batches; leave out the flags that change them")
        runs.resume(
            options.resume,
            training=options.training,
            data=options.data,
            download=options.download,
            report=_report,
        )
        return
    runs.train(
        options.corpus,
        text=options.text,
        encoding=options.encoding,
        validation=options.validation,
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


def _report(line: str) -> None:
    """A line between the updates of the progress bar."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)


def _defaults(arguments: Sequence[str]) -> Train:
    """The defaults that the other flags are read over: a resumed run's, a starting model's or a recipe's settings."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for flag in ("--resume", "--from", "--recipe"):
        early.add_argument(flag, nargs="?")
    found, _ = early.parse_known_args([a for a in arguments if a not in {"-h", "--help"}])
    options = Train()
    if found.resume is not None:
        from textseq.shelf import find_run, newest, read_json

        last = newest(find_run(found.resume), "last")
        if last is not None:
            options = _over(options, read_json(last / "config.json"), str(last / "config.json"))
    elif getattr(found, "from") is not None:
        from textseq.shelf import find_model, read_json

        facts = read_json(find_model(getattr(found, "from")) / "config.json")
        options = _over(options, {"model": facts.get("model", {})}, "the model of --from")
    if found.recipe is not None:
        from textseq.recipe import read_recipe

        recipe = read_recipe(found.recipe)
        corpus = recipe.get("corpus")
        options = _over(options, recipe, f"recipe {found.recipe}")
        options = dataclasses.replace(options, corpus=corpus if isinstance(corpus, str) else None)
    return options


def _over(options: Train, facts: Mapping[str, object], where: str) -> Train:
    """The options with the settings that a run, a model or a recipe states."""

    def table(name: str) -> dict[str, object]:
        value = facts.get(name, {})
        if not isinstance(value, dict):
            raise TextseqError(f"{where}: '{name}' wants a table, found {value!r}")
        return value

    return dataclasses.replace(
        options,
        model=LanguageModelConfig.from_dict({**options.model.to_dict(), **table("model")}, where=where),
        batching=DataConfig.from_dict({**options.batching.to_dict(), **table("data")}, where=where),
        training=TrainingConfig.from_dict({**options.training.to_dict(), **table("training")}, where=where),
    )


def _corpora() -> str:
    from textseq.corpus import list_corpora

    lines = []
    for corpus in list_corpora():
        lines += [
            f"{corpus.name}  ({corpus.language}, {corpus.bytes / 1e6:.1f} MB, {corpus.task})",
            f"    {corpus.title}",
            f"    for: {corpus.purpose}",
            f"    licence: {corpus.licence}",
            f"    from: {corpus.homepage}",
        ]
    return "\n".join(lines)


def _recipes() -> str:
    from textseq.recipe import recipes

    return "\n".join(f"{name}  {title}" for name, title in recipes().items())
