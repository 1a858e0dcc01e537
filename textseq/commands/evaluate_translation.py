"""Evaluating translations that are given as files or made by models."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from textseq.commands.evaluate_flags import Evaluate, _show, _tell, _together
from textseq.config.decoding import Precision
from textseq.data.corpora.catalog import list_corpora
from textseq.errors import TextseqError, unknown
from textseq.io.lines import LONGEST
from textseq.metrics.translation import TOKENIZERS
from textseq.training.distributed.environment import environment

if TYPE_CHECKING:
    from textseq.data.pairs import PairDataset
    from textseq.metrics.translation import TranslationScore
    from textseq.tasks.translation.translator import Translator


def _measure_translations(options: Evaluate, folders: Mapping[str, Path]) -> None:
    from textseq.io.files import replacing
    from textseq.metrics.translation import bleu_by_length, compare, measure_translations
    from textseq.tasks.translation.plots import bleu_by_length_plot, distinct_names

    own, tokenize = options.translators, options.translators.bleu_tokenizer
    translator = _opened([folders[name] for name in options.model], options)
    baseline = _opened([folders[name] for name in own.compare], options) if own.compare else None
    if baseline is not None and baseline.languages != translator.languages:
        found = " and ".join(" to ".join(one.languages) for one in (translator, baseline))
        raise TextseqError(f"--compare wants a model of the same languages, found {found}; name another")
    corpus = _pairs(options, *translator.languages)
    split = options.split or next(split for split in ("test", "validation", "train") if split in corpus.splits)
    _tell(*corpus.notes)
    sources, references = (list(side) for side in zip(*corpus.pairs(split), strict=True))
    theirs = _given(own.compare_translations, options.encoding, len(sources)) if own.compare_translations else []

    name, other = " + ".join(options.model), str(own.compare_translations or " + ".join(own.compare))
    other = str(Path(other).resolve()) if other == name else other  # a file that is called as the model
    measured, translations = _translated(translator, corpus, split, len(sources), options)
    systems = [translations]
    place = f"corpus:{corpus.name}|split:{split if len(corpus.splits) > 1 else 'whole'}"
    if not other:
        _show(measured)
    else:
        _show(measured, f"{name}:")
        if baseline is not None:
            measured, theirs = _translated(baseline, corpus, split, len(sources), options)
        else:
            measured = measure_translations(theirs, references, tokenize=tokenize, how=f"{place}|translations:{other}")
        _show(measured, f"{other}:")
        of = f"{place}|baseline:{other}|system:{name}"
        compared = compare(theirs, translations, references, tokenize=tokenize, how=of)
        _show(compared, f"{other} -> {name}:")
        systems.append(theirs)
    if not environment().leads:
        return
    if own.write_translations is not None:
        with replacing(own.write_translations) as (file,):
            file.write("".join(f"{line}\n" for line in translations).encode())
    if own.plot_length is not None:
        names = distinct_names([options.model, own.compare or (other,)][: len(systems)])
        ranges = [bleu_by_length(sources, lines, references, tokenize=tokenize) for lines in systems]
        bleu_by_length_plot(dict(zip(names, ranges, strict=True)), own.plot_length)


def _opened(folders: Sequence[Path], options: Evaluate) -> Translator:
    from textseq.tasks.registry import load_translator
    from textseq.tasks.translation.translator import together

    precision: Precision = "int8" if options.translators.int8 else "float32"
    found = [load_translator(folder, device=options.device, precision=precision) for folder in folders]
    return together(found) if len(found) > 1 else found[0]


def _pairs(options: Evaluate, source: str, target: str) -> PairDataset:
    """What is measured, in the languages of the model."""
    from textseq.data.pairs import load_pairs, own_pairs

    own = options.translators
    if options.corpus is None:
        return own_pairs(
            own.pairs,
            source_column=own.source_column,
            target_column=own.target_column,
            source_language=own.source or source,
            target_language=own.target or target,
            encoding=options.encoding,
            validation=0,
            longest=LONGEST,
            empty=options.empty,
            overlong=options.overlong,
            unreadable=options.unreadable,
        )
    if (own.source or source, own.target or target) == ("source", "target"):
        raise TextseqError("the model does not know which languages it was trained on; say --source and --target")
    languages = {"source": own.source or source, "target": own.target or target}
    has = next((recipe.languages for recipe in list_corpora() if recipe.name == options.corpus), ())
    if has and own.source is own.target is None and not {source, target} <= set(has):
        found = f"corpus '{options.corpus}' has {', '.join(has)}, and the model translates {source} to {target}"
        raise TextseqError(f"{found}; name another corpus")
    return load_pairs(options.corpus, data_dir=options.data, download=options.download, **languages)


def _given(path: Path, encoding: str, wanted: int) -> list[str]:
    """The translations of a file.

    Raises:
        TextseqError: there are more or fewer than wanted, or the file cannot be read.
    """
    from textseq.io.documents import Document
    from textseq.io.lines import Lines

    with Document(path, encoding).open() as file:
        lines = Lines(file, str(path), encoding)
        found = [line.strip() for line in lines]
    if lines.fault is not None:
        raise lines.fault
    if len(found) != wanted:
        raise TextseqError(
            f"--compare-translations wants a line for each of the {wanted:,} sentences, found {len(found):,} in {path}"
        )
    return found


def _translated(
    translator: Translator, corpus: PairDataset, split: str, sentences: int, options: Evaluate
) -> tuple[list[TranslationScore], list[str]]:
    """The measures of a translator, and its translations."""
    from tqdm import tqdm

    quiet = not sys.stderr.isatty() or not environment().leads
    with tqdm(total=sentences, unit=" sentences", disable=quiet, leave=False) as bar:
        metrics = translator.evaluate(
            corpus,
            split,
            process_group=_together(options),
            tokenize=options.translators.bleu_tokenizer,
            progress=bar.update,
            **{item.name: getattr(options.translating, item.name) for item in fields(options.translating)},
        )
    return [*metrics.scores], [*metrics.translations]


def _check(options: Evaluate, folders: Mapping[str, Path]) -> None:
    """Refuse what makes no sense together, before anything is loaded."""
    from textseq.io.files import check_outputs, check_picture

    own = options.translators
    if own.bleu_tokenizer not in TOKENIZERS:
        raise unknown("value of --bleu-tokenizer", own.bleu_tokenizer, TOKENIZERS)
    if options.translating.num_return_sequences > 1:
        raise TextseqError("one translation of each sentence is measured; leave out --num-return-sequences")
    if own.compare and own.compare_translations is not None:
        raise TextseqError("compare with a model (--compare) or with --compare-translations, one of the two")
    chosen, others = (sorted(folders[name].resolve() for name in names) for names in (options.model, own.compare))
    if chosen == others:
        hint = "to compare settings of one, --write-translations with the first and --compare-translations with these"
        raise TextseqError(f"--compare wants another model, found the same; {hint}")
    theirs = own.compare_translations
    if theirs is not None and not theirs.is_file():
        raise TextseqError(f"--compare-translations wants a file, found none at {theirs}; name another")
    outputs = {"--write-translations": own.write_translations, "--plot-length": own.plot_length}
    check_outputs(outputs, [*own.pairs, theirs])
    if own.plot_length is not None:
        check_picture(own.plot_length, "--plot-length")
