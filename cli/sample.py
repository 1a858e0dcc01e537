"""textseq-sample: write in an author's style."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, arg

from textseq.command import parse, run
from textseq.config import GenerationConfig
from textseq.errors import TextseqError

PROG = "textseq-sample"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Write in an author's style.

    Examples:
      textseq-sample --author shakespeare
      textseq-sample --author shakespeare --prompt "ROMEO:" --temperature 0.5 --seed 1
      textseq-sample --author mine --num-return-sequences 8 --max-new-tokens 200
      textseq-sample --list-authors

    The text goes to stdout as it is written.
    """

    author: Annotated[str | None, arg(aliases=["--model"], metavar="NAME", help_behavior_hint="")] = None
    """Who writes: a model's folder, a run's name, or a model that ships with textseq (see --list-authors)."""
    prompt: str = ""
    """How the text begins."""
    device: str = "cpu"
    """Where to compute; one text at a time is fastest on the CPU."""
    list_authors: Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")] = False
    """Show who can write here, and exit."""
    version: Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")] = False
    """Show the version, and exit."""
    writing: GenerationConfig = field(default_factory=GenerationConfig)


def main() -> None:
    """The entry point."""
    run(PROG, sample)


def sample(arguments: Sequence[str]) -> None:
    """Parse, load, and print the text as it comes."""
    options = parse(Sample, PROG, arguments)
    if options.list_authors:
        print(_authors())
        return
    if options.author is None:
        raise TextseqError(f"name an --author; '{PROG} --list-authors' shows who can write here")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    from textseq.jobs import load

    writer = load(options.author, device=options.device)
    settings = {item.name: getattr(options.writing, item.name) for item in fields(options.writing)}
    if options.writing.num_return_sequences == 1:
        for piece in writer.stream(options.prompt, **settings):
            print(piece, end="", flush=True)
        print()
        return
    for number, text in enumerate(writer.generate_all(options.prompt, **settings), 1):
        print(f"--- {number} ---\n{text}")


def _authors() -> str:
    from textseq.shelf import shelf

    lines = []
    for model in shelf():
        if model.facts.get("task") != "language-model":
            continue
        corpus, results = model.facts.get("corpus"), model.facts.get("results")
        title = corpus.get("title") if isinstance(corpus, dict) else None
        measured = results[0] if isinstance(results, list) and results and isinstance(results[0], dict) else {}
        loss = f", {measured['nats_per_token']:.3f} nats per token" if "nats_per_token" in measured else ""
        where = "ships with textseq" if model.shipped else f"trained here, {model.place}"
        lines.append(f"{model.name}  {title or 'unknown text'}{loss} ({where})")
    return "\n".join(lines) or "No authors yet; train one with textseq-train."
