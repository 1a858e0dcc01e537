"""textseq-export: a model in a format that other programs and browsers run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from textseq.commands.command import log_to_stderr, parse, run
from textseq.commands.flags import option
from textseq.commands.models import under_condition
from textseq.errors import TextseqError

PROG = "textseq-export"


@dataclass(frozen=True, kw_only=True)
class Export:
    """Export a model to ONNX, for other programs and the browser.

    Examples:
      textseq-export --model shakespeare --output shakespeare-onnx
      textseq-export --model poets --condition Keats

    Writes graphs for one text at a time, model.json (vocabulary, labels, shapes) and the tokenizer: a text generator is
    one step, a translator an encoder and a step, a tagger of words what spells a word and the tagger. Needs the extra
    textseq[onnx].
    """

    model: str | None = option(None, metavar="NAME", alias="--author")
    """A model that ships with textseq, the name of a run, a model's folder, or an author whom a conditional model knows
    by name."""
    condition: str | None = option(None, metavar="CONDITION")
    """The condition under which a conditional model writes: a label, shares of several (austen=0.7,poe=0.3), or a
    vector (0.3,-1.2)."""
    output: Path | None = option(None, metavar="FOLDER")
    """Folder to write, which must not exist. Default: the model's name with -onnx after it."""
    format: Literal["onnx"] = "onnx"
    """The format."""


def export(arguments: Sequence[str]) -> None:
    """Parse, load, export, and print the files."""
    options = parse(Export(), PROG, arguments)
    if options.model is None:
        raise TextseqError(f"--model: expected the name of a model, got nothing; {PROG} --help shows an example")
    log_to_stderr()
    from textseq.tasks.export.onnx import export_onnx
    from textseq.tasks.registry import load, load_generator

    # The absolute path, for "." has no name.
    folder = options.output or Path(f"{Path(os.path.abspath(options.model)).name}-{options.format}")
    if options.condition is None:
        predictor = load(options.model)
    else:
        predictor = under_condition(load_generator(options.model), options.model, options.condition)
    for path in export_onnx(predictor, folder):
        print(path)


main = partial(run, PROG, export)

if __name__ == "__main__":
    main()
