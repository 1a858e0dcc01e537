"""textseq-classify: the label of every line, from stdin or a file."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from textseq.checkpoints.registry import find_model, list_models
from textseq.commands.command import parse, run
from textseq.commands.line_io import Flag, LineWork, told_apart
from textseq.config.decoding import Precision
from textseq.data.readers.labelled import Texts
from textseq.data.readers.tables import is_table
from textseq.errors import TextseqError, unknown
from textseq.io.files import growing
from textseq.tasks.classification.config import ExplanationMethod

if TYPE_CHECKING:
    from textseq.tasks.classification.classifier import Classifier


PROG = "textseq-classify"

LONGEST = 1_000_000
"""Characters of a line."""


@dataclass(frozen=True, kw_only=True)
class Classify(LineWork):
    """Classify texts, a text to a line.

    Examples:
      textseq-classify --model mine                             type texts, Ctrl-D ends
      echo "a masterpiece" | textseq-classify --model mine      label, a tab, its probability
      textseq-classify --model mine --input reviews.txt.gz --output labels.tsv
      textseq-classify --model mine --input reviews.csv --text-column body
      textseq-classify --model mine --json < reviews.txt        the probabilities of all labels
      textseq-classify --model mine --explain                   what each word did for the label, in colours
      textseq-classify --model mine --input reviews.txt --explain-html why.html --output labels.tsv
      textseq-classify --list-models

    Every text gives a line: the label and, after a tab, its probability, calibrated on the validation part of what the
    model learnt from. A text is a line, however long (of one with more than a million characters the beginning is read,
    and that is said), or a row of a table: --input ends in .csv, .tsv or .jsonl, perhaps followed by .gz.
    """

    model: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """What classifies: a model's folder, a run's name, or a model that ships with textseq (see --list-models)."""
    text_column: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Column or key of the texts, where --input is a table. Default: one that is called text, sentence, review..."""
    json: Flag = False
    """Write a JSON object for each line: label, probability, the probabilities of all labels, and with --explain the
    log odds with and without the words, and what each word did."""
    explain: Flag = False
    """Show under each label what the words did for it (blue) or against it (orange), by integrated gradients
    (Sundararajan et al. 2017): they add up to what the text did to the label's log odds. Where the output is no
    colour terminal, figures stand under the words."""
    explain_html: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Write the same as a web page."""
    explain_label: Annotated[str | None, arg(metavar="LABEL", help_behavior_hint="")] = None
    """Explain this label. Default: the one that is given."""
    explain_by: Annotated[ExplanationMethod, arg(help_behavior_hint="")] = "integrated"
    """Integrated gradients, or the gradient at the text times its vectors, which is quick and does not add up."""
    bfloat16: Flag = False
    """Compute in 16 bits: faster on GPUs and on CPUs with units for it (AMX, AVX-512-BF16); probabilities differ in the
    third digit. Explanations are computed in 32."""
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
        print(
            "\n".join(map(told_apart, list_models("classification")))
            or "No classifiers yet; train one with textseq-train."
        )
        return
    if options.model is None:
        known = ", ".join(model.name for model in list_models("classification"))
        some = f"there are {known}" if known else "there is none yet, train one with textseq-train"
        raise TextseqError(f"name a --model that classifies: {some} ('{PROG} --list-models' tells more)")
    options.check("texts", {"--explain-html": options.explain_html})
    table = options.input is not None and is_table(options.input)
    if options.text_column is not None and not table:
        raise TextseqError("--text-column wants a table with --input, a .csv, .tsv or .jsonl; leave it out")
    explains = options.explain or options.explain_html is not None
    if not explains and (options.explain_label is not None or options.explain_by != "integrated"):
        raise TextseqError("--explain-label and --explain-by want --explain or --explain-html FILE; add one of them")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    with options.reading(LONGEST) as lines:
        from textseq.tasks.classification.classifier import BUFFER, CHARACTERS
        from textseq.tasks.registry import load_classifier

        precision: Precision = "bfloat16" if options.bfloat16 else "float32"
        classifier = load_classifier(options.model, device=options.device, precision=precision)
        if options.explain_label is not None and options.explain_label not in classifier.labels:
            raise unknown("label for --explain-label:", options.explain_label, classifier.labels)
        rows = Texts(options.input, options.text_column, options.encoding) if table and options.input else lines
        with _page(options) as page:
            options.answer(
                rows,
                partial(_answers, classifier, options, page),
                unit="texts",
                prompt="text> ",
                usual=BUFFER,
                characters=CHARACTERS,
                models=lambda: [find_model(str(options.model))],
            )


def _answers(
    classifier: Classifier,
    options: Classify,
    page: Callable[[str], None] | None,
    texts: Iterable[str],
    first: int,
    progress: Callable[[int], object],
) -> Iterator[str]:
    """What is written for each text; see ``shards.Answers``."""
    from textseq.io.colored_text import wants_colour
    from textseq.tasks.classification.classifier import BUFFER

    explains = options.explain or page is not None
    unicode = options.output is not None or sys.stdout.encoding.lower().startswith("utf")
    waiting: list[str] = []  # what was read and not yet answered, in order

    def noted() -> Iterator[str]:
        for text in texts:
            if explains:
                waiting.append(text)
            yield text

    found = classifier.stream(noted(), buffer=options.ahead(BUFFER), progress=progress)
    for number, one in enumerate(found, start=first):
        why = None
        if explains:
            why = classifier.explain(waiting.pop(0), label=options.explain_label, method=options.explain_by)
        if page is not None and why is not None:
            page(why.on_page())
        said = why if options.explain else None
        if options.json:
            record = {"label": one.label, "probability": one.probability, "probabilities": one.probabilities}
            record |= {"explanation": {"label": said.label, **said.to_dict()}} if said else {}
            yield json.dumps(record, ensure_ascii=not unicode)
            continue
        line = f"{one.label}\t{one.probability:.4f}"
        if said:
            coloured = options.output is None and wants_colour(sys.stdout)
            line = "\n" * (number > 0) + f"{line}\n{said.in_colour() if coloured else said.in_figures()}"
        yield line


@contextmanager
def _page(options: Classify) -> Iterator[Callable[[str], None] | None]:
    """What writes a part of the web page, if there is to be one."""
    if options.explain_html is None:
        yield None
        return
    from textseq.io.colored_text import PAGE_END, page_begin
    from textseq.tasks.classification.explain import COLOURS, LEGEND

    with growing(options.explain_html) as write:
        write(page_begin(f"What {options.model} made of it", COLOURS, LEGEND))
        yield write
        write(PAGE_END)


if __name__ == "__main__":
    main()
