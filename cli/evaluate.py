"""textseq-evaluate: how well a model predicts a text, translates, classifies or tags, with the recipe of the number."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from textseq.command import parse, run
from textseq.config import ReadingPrecision, TranslationConfig, WritingPrecision
from textseq.corpus import corpus_names, list_corpora
from textseq.errors import TextseqError, unknown
from textseq.lines import LONGEST
from textseq.ranks import ranks
from textseq.settings import Settings, ranged
from textseq.shelf import find_model, read_json
from textseq.translation_metrics import TOKENIZERS

if TYPE_CHECKING:
    from textseq.label_metrics import ClassificationMeasurement, SequenceMeasurement
    from textseq.pairs import PairCorpus
    from textseq.processes import Processes
    from textseq.translating import Translator
    from textseq.translation_metrics import Comparison, TranslationMeasurement

PROG = "textseq-evaluate"

Flag = Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")]
File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]
Name = Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")]
Treatment = Literal["refuse", "drop"]


@dataclass(frozen=True, kw_only=True)
class LanguageModels(Settings):
    """For language models alone."""

    text: Annotated[tuple[Path, ...], arg(metavar="PATH...", help_behavior_hint="")] = ()
    """Your own text instead of a corpus: files or folders, measured whole."""
    window: int | None = ranged(None, at_least=1)
    """Measure windows of so many tokens, each from a zero state. Default: one pass, the state carried over the
    whole part from a zero state."""
    streams: int = ranged(1, at_least=1)
    """Read the part in so many equal stretches side by side, each from a zero state: faster, a little worse."""


@dataclass(frozen=True, kw_only=True)
class Translators(Settings):
    """For translators alone."""

    pairs: Annotated[tuple[Path, ...], arg(metavar="FILE...", help_behavior_hint="")] = ()
    """Your own pairs instead of a corpus, measured whole: two aligned text files, of sources and of targets, or one
    file, .tsv (two columns) or .jsonl (an object to a line). Each may be packed (.gz)."""
    source: Name = None
    """Language of the sources. Default: the model's; it is wanted where the model does not know it."""
    target: Name = None
    """The same of the targets."""
    source_column: Name = None
    """Column of the sources in the header of a .tsv file, or key of a .jsonl file ("source")."""
    target_column: Name = None
    """The same of the targets ("target")."""
    bleu_tokenizer: str = "13a"
    """How BLEU parts words: 13a (the standard), intl (the marks of all scripts), zh (Chinese), char (Japanese
    and others without spaces)."""
    compare: Annotated[tuple[str, ...], arg(metavar="MODEL...", help_behavior_hint="")] = ()
    """Measure another translator too (or several that choose together), and test whether chance alone would make
    such a difference (paired bootstrap, Koehn 2004)."""
    compare_translations: File = None
    """The same with translations that lie in a file, one to a line, whoever made them."""
    write_translations: File = None
    """Write the translations of --model, one to a line."""
    plot_length: File = None
    """Draw BLEU over the length of the sources, as a PNG whose name ends in .png; of both where two are compared."""
    int8: Flag = False
    """Products in 8 bits: faster, on the CPU only, and a little worse."""


@dataclass(frozen=True, kw_only=True)
class Classifiers(Settings):
    """For classifiers alone."""

    labelled: Annotated[tuple[Path, ...], arg(metavar="PATH...", help_behavior_hint="")] = ()
    """Your own labelled texts instead of a corpus, measured whole: tables with a header (.csv, .tsv), JSON objects line
    by line (.jsonl), or folders with a folder for each label. Files may be packed (.gz)."""
    text_column: Name = None
    """Column or key of the texts. Default: one that is called text, sentence, review, content..."""
    label_column: Name = None
    """Column or key of the labels. Default: one that is called label, class, sentiment, category..."""
    bfloat16: Flag = False
    """Measure with products in 16 bits, as textseq-classify --bfloat16 has them."""


@dataclass(frozen=True, kw_only=True)
class Taggers(Settings):
    """For taggers alone."""

    tagged: Annotated[tuple[Path, ...], arg(metavar="FILE...", help_behavior_hint="")] = ()
    """Your own tagged sentences instead of a corpus, measured whole: a word and its tag to a line, in columns, and an
    empty line after each sentence. Files may be packed (.gz)."""
    word_column: Annotated[int | None, arg(help_behavior_hint="")] = None
    """Number of the words' column, from 1, or from -1 backwards. Default: the first (of .conllu the second)."""
    tag_column: Annotated[int | None, arg(help_behavior_hint="")] = None
    """Number of the tags' column. Default: the last (of .conllu the fourth)."""


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure how well a model predicts a text, translates, classifies or tags.

    Of a language model it prints the loss in nats per token, bits per character and perplexity; of a translator
    BLEU, chrF and TER with their 95 % intervals; of a classifier or tagger the accuracy with its interval, precision,
    recall and F1 of each label, and which labels were taken for which. Under each number stands its signature: corpus,
    part, tokenizer, how it was computed, version.

    Examples:
      textseq-evaluate shakespeare --model shakespeare
      textseq-evaluate tinyshakespeare --model mine --part validation --window 100
      textseq-evaluate --text chapter.txt --model mine
      textseq-evaluate multi30k --model en-de --part test_2017_flickr
      textseq-evaluate --pairs test.en test.de --model en-de second third --num-beams 10
      textseq-evaluate multi30k --model en-de --compare en-de-small --plot-length length.png
      textseq-evaluate multi30k --model en-de --compare-translations theirs.txt
      textseq-evaluate sst2 --model mine --plot-confusion confusion.png
      textseq-evaluate --labelled reviews.csv --model mine
      textseq-evaluate treebank --model treebank
      textseq-evaluate --tagged test.conllu --model mine
    """

    corpus: Annotated[Positional[str | None], arg(metavar="CORPUS", help_behavior_hint="")] = None
    """A corpus by name. It stands first: what comes after --model are models."""
    model: Annotated[tuple[str, ...], arg(aliases=["--author"], metavar="MODEL...", help_behavior_hint="")] = ()
    """What to measure: a model's folder, a run's name, or a model that ships with textseq. More than one translator
    choose every token together."""
    part: str | None = None
    """Part of the corpus. Default: test, or validation where there is no test part."""
    encoding: str = "utf-8"
    """Encoding of --text, --pairs, --labelled, --tagged and --compare-translations."""
    empty: Treatment = "refuse"
    """What to do with pairs of --pairs of which a sentence is empty, or empty texts of --labelled: refuse the file, or
    leave them out."""
    overlong: Treatment = "refuse"
    """The same of pairs with a sentence of more than 20,000 characters, of texts of more than a million, and of tagged
    sentences of more than 1,000 words."""
    unreadable: Treatment = "refuse"
    """The same of lines without a tab or a label, of damaged JSON, of bytes that are not text."""
    plot_confusion: File = None
    """Draw which labels a classifier or tagger took for which, as a PNG whose name ends in .png."""
    data: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Folder of the corpora's files. Default: the one that TEXTSEQ_DATA names; then the cache is looked through."""
    download: Flag = False
    """Fetch and verify what is found in neither."""
    device: str = "auto"
    """Where to compute."""
    version: Flag = False
    """Show the version, and exit."""
    language_models: LanguageModels = field(default_factory=LanguageModels)
    translators: Translators = field(default_factory=Translators)
    classifiers: Classifiers = field(default_factory=Classifiers)
    taggers: Taggers = field(default_factory=Taggers)
    translating: TranslationConfig = field(default_factory=TranslationConfig)


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
        "translator": ("--pairs", own.pairs),
        "classifier": ("--labelled", options.classifiers.labelled),
        "tagger": ("--tagged", options.taggers.tagged),
    }
    if options.corpus is None and not any(files for _, files in files_of.values()):
        raise TextseqError(
            f"nothing to measure on; name a corpus before the flags ({PROG} CORPUS --model NAME), or give your own "
            "files: --pairs for a translator, --text for a language model, --labelled for a classifier, --tagged for a "
            "tagger"
        )
    if "--compare" in arguments and not own.compare:
        raise TextseqError("--compare wants a model, found none; name one, or leave it out")
    level = logging.WARNING if ranks().leads else logging.CRITICAL
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    folders = {name: find_model(name) for name in (*options.model, *own.compare)}
    tasks = {name: str(read_json(folder / "config.json").get("task")) for name, folder in folders.items()}
    if len(set(tasks.values())) > 1:
        found = ", ".join(f"{name} (a {task})" for name, task in tasks.items())
        raise TextseqError(f"models of one kind are measured at a time, found {found}; leave some out")
    (task,) = set(tasks.values())
    groups: dict[str, tuple[str, tuple[Settings, ...]]] = {
        "language-model": ("language models", (options.language_models,)),
        "translator": ("translators", (own, options.translating)),
        "classifier": ("classifiers", (options.classifiers,)),
        "tagger": ("taggers", (options.taggers,)),
    }
    for kind, (many, settings) in groups.items():
        for one in settings:
            if kind != task:
                _refuse(one, many, options.model[0])
    flag, files = files_of[task]
    if options.plot_confusion is not None and task not in {"classifier", "tagger"}:
        raise TextseqError(
            f"--plot-confusion is for classifiers and taggers, found it with {options.model[0]}; leave it out"
        )
    if options.corpus is not None and files:
        raise TextseqError(f"name a corpus or give {flag} to measure on, one of the two")
    if options.corpus is not None and options.corpus not in corpus_names() and Path(options.corpus).exists():
        raise TextseqError(f"{options.corpus} is no corpus but a file; to measure on your own, give {flag}")
    if files and options.part is not None:
        raise TextseqError(f"--part is of a corpus, and {flag} is measured whole; leave it out")
    if task == "translator":
        _check(options, folders)
        _measure_translations(options, folders)
    elif len(options.model) > 1:
        what = task.replace("-", " ")
        raise TextseqError(f"one {what} is measured at a time, found {len(options.model)}; leave some out")
    elif task in {"classifier", "tagger"}:
        _measure_labels(options, task, folders[options.model[0]])
    else:
        _measure_text(options, folders[options.model[0]])


def _measure_labels(options: Evaluate, task: str, folder: Path) -> None:
    from textseq.attention_plots import check_picture
    from textseq.files import check_outputs
    from textseq.label_metrics import SequenceMeasurement
    from textseq.plots import confusion_plot

    check_outputs(
        {"--plot-confusion": options.plot_confusion}, [*options.classifiers.labelled, *options.taggers.tagged]
    )
    if options.plot_confusion is not None:
        check_picture(options.plot_confusion, "--plot-confusion")
    found = (_measure_classes if task == "classifier" else _measure_tags)(options, folder)
    if not ranks().leads:
        return
    print(found)
    print(found.signature)
    if isinstance(found, SequenceMeasurement):
        return
    print(found.table())
    if options.plot_confusion is not None:
        confusion_plot(found.confusion, found.labels, options.plot_confusion)


def _measure_classes(options: Evaluate, folder: Path) -> ClassificationMeasurement:
    from textseq.jobs import load_classifier
    from textseq.labelled import load_labelled, own_labelled
    from textseq.origin import overlap, spoiled

    own = options.classifiers
    if options.corpus is not None:
        if own.text_column or own.label_column:
            raise TextseqError("--text-column and --label-column are of --labelled; leave them out with a corpus")
        corpus = load_labelled(options.corpus, data=options.data, download=options.download)
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
    precision: ReadingPrecision = "bfloat16" if options.classifiers.bfloat16 else "float32"
    classifier = load_classifier(folder, device=options.device, precision=precision)
    if (known := overlap(classifier.facts, corpus)) is not None:
        _tell(f"note: {spoiled(folder, known, corpus)}")
    return classifier.measure(corpus, options.part or _last_part(corpus.parts), processes=_together(options))


def _measure_tags(options: Evaluate, folder: Path) -> ClassificationMeasurement | SequenceMeasurement:
    from textseq.jobs import load_tagger
    from textseq.tagged import load_tagged, own_tagged

    own, tagger = options.taggers, load_tagger(folder, device=options.device)
    if options.corpus is not None:
        if own.word_column is not None or own.tag_column is not None:
            raise TextseqError("--word-column and --tag-column are of --tagged; leave them out with a corpus")
        corpus = load_tagged(options.corpus, data=options.data, download=options.download)
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
    part = options.part or _last_part(corpus.parts)
    if tagger.aligned:
        return tagger.measure(corpus, part, processes=_together(options))
    _alone("sequences that are not aligned are")
    if options.plot_confusion is not None:
        raise TextseqError("--plot-confusion wants a tag for each word, which this model does not give; leave it out")
    return tagger.measure_sequences(corpus, part)


def _last_part(parts: Sequence[str]) -> str:
    """What is measured unless a user says otherwise: the part that nothing was decided on."""
    return next(part for part in ("test", "validation", "train") if part in parts)


def _measure_text(options: Evaluate, folder: Path) -> None:
    from textseq.corpus import own_text
    from textseq.jobs import load_writer
    from textseq.labelled import load_text

    own = options.language_models
    _alone("a text, which a language model reads from its beginning to its end, is")
    if options.corpus is not None:
        corpus = load_text(options.corpus, data=options.data, download=options.download)
        part = options.part or ("test" if "test" in corpus.parts else "validation")
    else:
        corpus, part = own_text(own.text, encoding=options.encoding, validation=0), "train"
    writer = load_writer(folder, device=options.device)
    found = writer.measure(corpus, part, window=own.window, streams=own.streams)
    print(found)
    print(found.signature)


def _measure_translations(options: Evaluate, folders: Mapping[str, Path]) -> None:
    from textseq.attention_plots import bleu_by_length_plot, told_apart
    from textseq.files import replacing
    from textseq.translation_metrics import bleu_by_length, compare, measure_translations

    own, tokenize = options.translators, options.translators.bleu_tokenizer
    translator = _opened([folders[name] for name in options.model], options)
    baseline = _opened([folders[name] for name in own.compare], options) if own.compare else None
    if baseline is not None and baseline.languages != translator.languages:
        found = " and ".join(" to ".join(one.languages) for one in (translator, baseline))
        raise TextseqError(f"--compare wants a model of the same languages, found {found}; name another")
    corpus = _pairs(options, *translator.languages)
    part = options.part or next(part for part in ("test", "validation", "train") if part in corpus.parts)
    _tell(*corpus.notes)
    sources, references = (list(side) for side in zip(*corpus.pairs(part), strict=True))
    theirs = _given(own.compare_translations, options.encoding, len(sources)) if own.compare_translations else []

    name, other = " + ".join(options.model), str(own.compare_translations or " + ".join(own.compare))
    other = str(Path(other).resolve()) if other == name else other  # a file that is called as the model
    measured, translations = _translated(translator, corpus, part, len(sources), options)
    systems = [translations]
    place = f"corpus:{corpus.name}|part:{part if len(corpus.parts) > 1 else 'whole'}"
    if not other:
        _show(measured)
    else:
        _show(measured, f"{name}:")
        if baseline is not None:
            measured, theirs = _translated(baseline, corpus, part, len(sources), options)
        else:
            measured = measure_translations(theirs, references, tokenize=tokenize, how=f"{place}|translations:{other}")
        _show(measured, f"{other}:")
        of = f"{place}|baseline:{other}|system:{name}"
        compared = compare(theirs, translations, references, tokenize=tokenize, how=of)
        _show(compared, f"{other} -> {name}:")
        systems.append(theirs)
    if not ranks().leads:
        return
    if own.write_translations is not None:
        with replacing(own.write_translations) as (file,):
            file.write("".join(f"{line}\n" for line in translations).encode())
    if own.plot_length is not None:
        names = told_apart([options.model, own.compare or (other,)][: len(systems)])
        ranges = [bleu_by_length(sources, lines, references, tokenize=tokenize) for lines in systems]
        bleu_by_length_plot(dict(zip(names, ranges, strict=True)), own.plot_length)


def _opened(folders: Sequence[Path], options: Evaluate) -> Translator:
    from textseq.jobs import load_translator
    from textseq.translating import together

    precision: WritingPrecision = "int8" if options.translators.int8 else "float32"
    found = [load_translator(folder, device=options.device, precision=precision) for folder in folders]
    return together(found) if len(found) > 1 else found[0]


def _pairs(options: Evaluate, source: str, target: str) -> PairCorpus:
    """What is measured, in the languages of the model."""
    from textseq.pairs import load_pairs, own_pairs

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
    return load_pairs(options.corpus, data=options.data, download=options.download, **languages)


def _given(path: Path, encoding: str, wanted: int) -> list[str]:
    """The translations of a file.

    Raises:
        TextseqError: there are more or fewer than wanted, or the file cannot be read.
    """
    from textseq.documents import Document
    from textseq.lines import Lines

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
    translator: Translator, corpus: PairCorpus, part: str, sentences: int, options: Evaluate
) -> tuple[list[TranslationMeasurement], list[str]]:
    """The measures of a translator, and its translations."""
    from tqdm import tqdm

    quiet = not sys.stderr.isatty() or not ranks().leads
    with tqdm(total=sentences, unit=" sentences", disable=quiet, leave=False) as bar:
        return translator.measure(
            corpus,
            part,
            processes=_together(options),
            tokenize=options.translators.bleu_tokenizer,
            progress=bar.update,
            **{item.name: getattr(options.translating, item.name) for item in fields(options.translating)},
        )


def _show(found: Sequence[TranslationMeasurement | Comparison], heading: str = "") -> None:
    """Numbers, each with its signature."""
    if heading and ranks().leads:
        print(heading)
    for one in found if ranks().leads else ():
        print(f"{one}\n{one.signature}", flush=True)


def _tell(*notes: str) -> None:
    """What a user should know; of several processes the first says it."""
    for note in notes if ranks().leads else ():
        print(note, file=sys.stderr)


def _together(options: Evaluate) -> Processes:
    """The processes that measure together."""
    from textseq.devices import pick_device
    from textseq.processes import joined

    return joined(pick_device(options.device).type)


def _alone(what: str) -> None:
    """Refuse several processes for what one must measure."""
    if (count := ranks().count) > 1:
        raise TextseqError(f"{what} measured by one process, found {count} (torchrun); start one")


def _refuse(settings: Settings, kind: str, model: str) -> None:
    """Refuse flags that are for models of another kind."""
    for item in fields(settings):
        if getattr(settings, item.name) != getattr(type(settings)(), item.name):
            flag = item.name.replace("_", "-")
            raise TextseqError(f"--{flag} is for {kind}, and {model} is none; leave it out")


def _check(options: Evaluate, folders: Mapping[str, Path]) -> None:
    """Refuse what makes no sense together, before anything is loaded."""
    from textseq.attention_plots import check_picture
    from textseq.files import check_outputs

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


if __name__ == "__main__":
    main()
