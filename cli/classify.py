"""textseq-classify: the label of every line, from stdin or a file."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from textseq.command import parse, run
from textseq.errors import TextseqError
from textseq.line_work import Flag, LineWork

if TYPE_CHECKING:
    from textseq.shelf import Shelved

PROG = "textseq-classify"


@dataclass(frozen=True, kw_only=True)
class Classify(LineWork):
    """Classify texts, a text to a line.

    Examples:
      textseq-classify --model mine                             type texts, Ctrl-D ends
      echo "a masterpiece" | textseq-classify --model mine      label, a tab, its probability
      textseq-classify --model mine --input reviews.txt.gz --output labels.tsv
      textseq-classify --model mine --json < reviews.txt        the probabilities of all labels
      textseq-classify --list-models

    Every line gives a line: the label and, after a tab, its probability, calibrated on the validation part of what the
    model learnt from. Of a line with more than 20,000 characters the beginning is read, and that is said.
    """

    model: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """What classifies: a model's folder, a run's name, or a model that ships with textseq (see --list-models)."""
    json: Flag = False
    """Write a JSON object for each line: label, probability, and the probabilities of all labels."""
    device: str = "cpu"
    """Where to compute: cpu, cuda, mps, auto (a GPU if there is one)."""
    list_models: Flag = False
    """Show what can classify here, and exit."""
    version: Flag = False
    """Show the version, and exit."""


def main() -> None:
    """The entry point."""
    run(PROG, classify)


def classify(arguments: Sequence[str]) -> None:
    """Parse, load, and classify line by line."""
    options = parse(Classify, PROG, arguments)
    if options.list_models:
        print("\n".join(_models()) or "No classifiers yet; train one with textseq-train.")
        return
    if options.model is None:
        known = ", ".join(model.name for model in _classifiers())
        some = f"there are {known}" if known else "there is none yet, train one with textseq-train"
        raise TextseqError(f"name a --model that classifies: {some} ('{PROG} --list-models' tells more)")
    options.check("texts", {})
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    with options.reading() as lines:
        from textseq.classifying import BUFFER
        from textseq.jobs import load_classifier

        classifier = load_classifier(options.model, device=options.device)
        unicode = options.output is not None or sys.stdout.encoding.lower().startswith("utf")
        with options.writing() as write, options.bar("texts") as bar:
            texts = options.prompted(lines, "text> ")
            for found in classifier.classify_lines(texts, buffer=options.ahead(BUFFER), progress=bar.update):
                record = {"label": found.label, "probability": found.probability, "probabilities": found.probabilities}
                write(
                    json.dumps(record, ensure_ascii=not unicode)
                    if options.json
                    else f"{found.label}\t{found.probability:.4f}"
                )
            if lines.fault is not None:
                raise lines.fault


def _classifiers() -> list[Shelved]:
    from textseq.shelf import shelf

    return [model for model in shelf() if model.facts.get("task") == "classifier"]


def _models() -> Iterator[str]:
    """What can classify here, a line each."""
    for model in _classifiers():
        corpus, results, labels = (model.facts.get(key) for key in ("corpus", "results", "labels"))
        title = corpus.get("title") if isinstance(corpus, dict) else None
        rows = [row for row in results if isinstance(row, dict)] if isinstance(results, list) else []
        accuracy = next((f", accuracy {row['accuracy']:.1%}" for row in rows if "accuracy" in row), "")
        where = "ships with textseq" if model.shipped else f"trained here, {model.place}"
        names = ", ".join(map(str, labels)) if isinstance(labels, list) else "unknown labels"
        yield f"{model.name}  {names}; {title or 'unknown texts'}{accuracy} ({where})"
