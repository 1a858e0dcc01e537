"""The flags of textseq-evaluate."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from textseq.config.base import Settings, ranged
from textseq.errors import TextseqError
from textseq.tasks.translation.config import TranslationConfig
from textseq.training.distributed.environment import environment

if TYPE_CHECKING:
    from textseq.metrics.translation import Comparison, TranslationScore
    from textseq.training.distributed.group import ProcessGroup


Flag = Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")]

File = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")]

Name = Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")]

OnError = Literal["refuse", "drop"]


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
      textseq-evaluate tinyshakespeare --model mine --split validation --window 100
      textseq-evaluate --text chapter.txt --model mine
      textseq-evaluate multi30k --model en-de --split test_2017_flickr
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
    split: str | None = None
    """Part of the corpus. Default: test, or validation where there is no test part."""
    encoding: str = "utf-8"
    """Encoding of --text, --pairs, --labelled, --tagged and --compare-translations."""
    empty: OnError = "refuse"
    """What to do with pairs of --pairs of which a sentence is empty, or empty texts of --labelled: refuse the file, or
    leave them out."""
    overlong: OnError = "refuse"
    """The same of pairs with a sentence of more than 20,000 characters, of texts of more than a million, and of tagged
    sentences of more than 1,000 words."""
    unreadable: OnError = "refuse"
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


def _last_split(splits: Sequence[str]) -> str:
    """What is measured unless a user says otherwise: the part that nothing was decided on."""
    return next(split for split in ("test", "validation", "train") if split in splits)


def _show(found: Sequence[TranslationScore | Comparison], heading: str = "") -> None:
    """Numbers, each with its signature."""
    if heading and environment().leads:
        print(heading)
    for one in found if environment().leads else ():
        print(f"{one}\n{one.signature}", flush=True)


def _tell(*notes: str) -> None:
    """What a user should know; of several processes the first says it."""
    for note in notes if environment().leads else ():
        print(note, file=sys.stderr)


def _together(options: Evaluate) -> ProcessGroup:
    """The processes that measure together."""
    from textseq.training.devices import pick_device
    from textseq.training.distributed.group import joined

    return joined(pick_device(options.device).type)


def _alone(what: str) -> None:
    """Refuse several processes for what one must measure."""
    if (count := environment().count) > 1:
        raise TextseqError(f"{what} measured by one process, found {count} (torchrun); start one")
