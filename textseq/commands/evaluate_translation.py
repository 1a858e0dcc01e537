"""Evaluating translators: ensembles, comparison with other systems, BLEU by length."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textseq.commands.command import show, to_json
from textseq.commands.evaluate import Evaluate, default_split, print_notes, process_group
from textseq.data.corpora.catalog import list_corpora
from textseq.data.sources import PairData
from textseq.errors import TextseqError, unknown
from textseq.metrics.signature import data_signature
from textseq.metrics.translation import TOKENIZERS
from textseq.tasks.translation.spec import TRANSLATION
from textseq.training.distributed.environment import environment

if TYPE_CHECKING:
    from textseq.data.pairs import PairDataset
    from textseq.metrics.translation import Comparison, TranslationMetrics, TranslationScore
    from textseq.tasks.translation.translator import Translator


def evaluate_translators(options: Evaluate, folders: Mapping[str, Path]) -> None:
    """Translate, measure, compare, print, draw; ``folders`` are the models' by name."""
    from textseq.io.files import replacing
    from textseq.metrics.translation import bleu_by_length, compare, measure_translations, with_all_references
    from textseq.tasks.translation.plots import bleu_by_length_plot, distinct_names
    from textseq.tasks.translation.translator import ensemble_of

    _check(options, folders)
    comparison, tokenize = options.comparison, options.comparison.bleu_tokenizer
    opened = partial(_opened, folders=folders, options=options)
    loaded, others = opened(options.model), opened(comparison.compare)
    translator, baseline = ensemble_of(loaded), ensemble_of(others) if others else None
    if baseline is not None and baseline.languages != translator.languages:
        languages = " and ".join(" to ".join(one.languages) for one in (translator, baseline))
        raise TextseqError(f"--compare: expected a model of the same languages, got {languages}; name another")
    source, dataset = _dataset(options, *translator.languages)
    split = options.split or default_split(dataset.splits)
    notes = [*dataset.notes]
    for name, one in zip((*options.model, *comparison.compare), [*loaded, *others], strict=True):
        notes += [f"note: {folders[name]} {warning}" for warning in one.warnings(dataset, source)]
    print_notes(dict.fromkeys(notes))
    pairs = dataset.pairs(split)
    grouped = with_all_references(pairs) if comparison.all_references else pairs
    sources, references = (list(side) for side in zip(*grouped, strict=True))
    path = comparison.compare_translations
    what = "different source sentences" if comparison.all_references else "sentences"
    theirs: Sequence[str] = _lines(path, options.source(TRANSLATION).encoding, len(sources), what) if path else []

    name, other = " + ".join(options.model), str(path or " + ".join(comparison.compare))
    other = str(Path(other).resolve()) if other == name else other  # a file with the name of the model
    metrics = _evaluate(translator, dataset, split, len(sources), options)
    systems = [metrics.translations]
    place = data_signature(dataset.name, dataset.splits, split)
    show = partial(_show, as_json=options.json)
    show(metrics.scores, name, heading=bool(other))
    if other:
        if baseline is not None:
            second = _evaluate(baseline, dataset, split, len(sources), options)
            scores, theirs = second.scores, second.translations
        else:
            setup = f"{place}|{'references:all|' * comparison.all_references}translations:{other}"
            scores = tuple(measure_translations(theirs, references, tokenize=tokenize, setup=setup))
        show(scores, other)
        recipe, _, _ = metrics.scores[0].signature.partition("|nrefs:")  # the system's
        setup = f"{recipe}|baseline:{other}|system:{name}"
        show(compare(theirs, metrics.translations, references, tokenize=tokenize, setup=setup), f"{other} -> {name}")
        systems.append(tuple(theirs))
    if not environment().leads:
        return
    if comparison.write_translations is not None:
        with replacing(comparison.write_translations) as (file,):
            file.write("".join(f"{line}\n" for line in metrics.translations).encode())
    if comparison.plot_length is not None:
        names = distinct_names([options.model, comparison.compare or (other,)][: len(systems)])
        ranges = [bleu_by_length(sources, lines, references, tokenize=tokenize) for lines in systems]
        bleu_by_length_plot(dict(zip(names, ranges, strict=True)), comparison.plot_length)


def _show(
    scores: Sequence[TranslationScore | Comparison], name: str, *, heading: bool = True, as_json: bool = False
) -> None:
    """Print the scores of a system, each with its signature."""
    if not environment().leads:
        return
    if as_json:
        lines = [to_json({"name": name, **score.to_dict()}) for score in scores]
    else:
        lines = [f"{name}:"] * heading + [f"{score}\n{score.signature}" for score in scores]
    show("\n".join(lines))


def _opened(names: Sequence[str], folders: Mapping[str, Path], options: Evaluate) -> list[Translator]:
    """The translators of models."""
    from textseq.tasks.registry import load_translator

    return [load_translator(folders[name], device=options.device, precision=options.precision) for name in names]


def _dataset(options: Evaluate, source: str, target: str) -> tuple[PairData, PairDataset]:
    """The pairs, in the languages of the model unless others are named."""
    asked = cast(PairData, options.source(TRANSLATION))
    wanted = replace(asked, source=asked.source or source, target=asked.target or target)
    if options.corpus is not None:
        if (wanted.source, wanted.target) == ("source", "target"):
            raise TextseqError("the model does not know its languages; name them with --source and --target")
        has = next((recipe.languages for recipe in list_corpora() if recipe.name == options.corpus), ())
        if has and asked.source is asked.target is None and not {source, target} <= set(has):
            got = f"{', '.join(has)}, and the model translates {source} to {target}"
            raise TextseqError(f"corpus '{options.corpus}' has {got}; name another corpus")
    return wanted, wanted.open_whole(data_dir=options.data, download=options.download)


def _lines(path: Path, encoding: str, count: int, what: str) -> list[str]:
    """The translations in a file, which must be ``count``."""
    from textseq.io.documents.document import Document
    from textseq.io.lines import Lines

    with Document(path, encoding).open() as file:
        lines = Lines(file, str(path), encoding)
        translations = [line.strip() for line in lines]
    if lines.error is not None:
        raise lines.error
    if len(translations) != count:
        got = f"{len(translations):,} in {path}"
        raise TextseqError(f"--compare-translations: expected one line for each of {count:,} {what}, got {got}")
    return translations


def _evaluate(
    translator: Translator, dataset: PairDataset, split: str, sentences: int, options: Evaluate
) -> TranslationMetrics:
    from tqdm import tqdm

    quiet = not sys.stderr.isatty() or not environment().leads
    with tqdm(total=sentences, unit=" sentences", disable=quiet, leave=False) as bar:
        return translator.evaluate(
            dataset,
            split,
            process_group=process_group(options.device),
            tokenize=options.comparison.bleu_tokenizer,
            all_references=options.comparison.all_references,
            progress=bar.update,
            **options.settings(TRANSLATION),
        )


def _check(options: Evaluate, folders: Mapping[str, Path]) -> None:
    """Refuse flags that contradict each other, before anything is loaded."""
    from textseq.io.files import check_outputs, check_picture

    comparison = options.comparison
    if comparison.bleu_tokenizer not in TOKENIZERS:
        raise unknown("value of --bleu-tokenizer", comparison.bleu_tokenizer, TOKENIZERS)
    if options.settings(TRANSLATION)["num_return_sequences"] != 1:
        raise TextseqError("one translation of each sentence is evaluated; leave out --num-return-sequences")
    if comparison.compare and comparison.compare_translations is not None:
        raise TextseqError("give either --compare or --compare-translations, not both")
    chosen, others = (
        sorted(folders[name].resolve() for name in names) for names in (options.model, comparison.compare)
    )
    if chosen == others:
        raise TextseqError(
            "--compare: expected another model, got the same; to compare its settings, use --write-translations with "
            "the first and --compare-translations with the second"
        )
    theirs = comparison.compare_translations
    if theirs is not None and not theirs.is_file():
        raise TextseqError(f"--compare-translations: expected a file, got {theirs}, which is not one")
    outputs = {"--write-translations": comparison.write_translations, "--plot-length": comparison.plot_length}
    check_outputs(outputs, [*map(Path, options.source(TRANSLATION).files), theirs])
    if comparison.plot_length is not None:
        check_picture(comparison.plot_length, "--plot-length")
