"""textseq-evaluate: how well a model predicts a text, with the recipe of the number."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from textseq.command import parse, run
from textseq.errors import TextseqError

PROG = "textseq-evaluate"


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure how well a model predicts a text.

    Prints the loss in nats per token, bits per character and perplexity, and under it the signature of the number:
    corpus, part, tokenizer, how the state was carried, version.

    Examples:
      textseq-evaluate shakespeare --model shakespeare
      textseq-evaluate tinyshakespeare --model mine --part validation --window 100
      textseq-evaluate --text chapter.txt --model mine
    """

    corpus: Annotated[Positional[str | None], arg(metavar="CORPUS", help_behavior_hint="")] = None
    """A corpus by name."""
    text: Annotated[tuple[Path, ...], arg(metavar="PATH...", help_behavior_hint="")] = ()
    """Your own text instead: files or folders, measured whole."""
    encoding: str = "utf-8"
    """Encoding of --text."""
    model: Annotated[str | None, arg(aliases=["--author"], metavar="MODEL", help_behavior_hint="")] = None
    """What to measure: a model's folder, a run's name, or a model that ships with textseq."""
    part: str | None = None
    """Part of the corpus. Default: test, or validation where there is no test part."""
    window: int | None = None
    """Measure windows of so many tokens, each from a zero state. Default: one pass, the state carried over the
    whole part from a zero state."""
    streams: int = 1
    """Read the part in so many equal stretches side by side, each from a zero state: faster, a little worse."""
    data: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Folder of the corpora's files. Default: the one that TEXTSEQ_DATA names; then the cache is looked through."""
    download: Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")] = False
    """Fetch and verify what is found in neither."""
    device: str = "auto"
    """Where to compute."""
    version: Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")] = False
    """Show the version, and exit."""


def main() -> None:
    """The entry point."""
    run(PROG, evaluate)


def evaluate(arguments: Sequence[str]) -> None:
    """Parse, measure, print."""
    options = parse(Evaluate, PROG, arguments)
    if options.model is None:
        raise TextseqError("name the --model to measure; 'textseq-sample --list-authors' shows the models")
    if (options.corpus is None) == (not options.text):
        raise TextseqError("name a corpus or give a --text to measure on, one of the two")
    for flag, value in (("--window", options.window), ("--streams", options.streams)):
        if value is not None and value < 1:
            raise TextseqError(f"{flag} must be at least 1, found {value}")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    from textseq.corpus import load_corpus, own_text
    from textseq.jobs import load

    if options.corpus is not None:
        corpus = load_corpus(options.corpus, data=options.data, download=options.download)
        part = options.part or ("test" if "test" in corpus.parts else "validation")
    else:
        corpus = own_text(options.text, encoding=options.encoding, validation=0)
        part = "train"
    writer = load(options.model, device=options.device)
    found = writer.measure(corpus, part, window=options.window, streams=options.streams)
    print(found)
    print(found.signature)
