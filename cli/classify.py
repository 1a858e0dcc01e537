"""textseq-classify: the label of each line, from the command line, stdin or a file."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textseq.commands.command import parse, run
from textseq.commands.flags import option
from textseq.commands.line_io import LineOptions
from textseq.data.readers.exported import EXPORTED, row_file
from textseq.data.readers.labelled import Texts, remembered_column
from textseq.data.readers.tables import ending_of, is_table
from textseq.data.rows import normal_label
from textseq.errors import TextseqError, unknown
from textseq.io.files import growing
from textseq.io.lines import Lines
from textseq.tasks.classification.config import ExplanationMethod

if TYPE_CHECKING:
    from textseq.tasks.classification.explain import Explanation
    from textseq.tasks.classification.label_classifier import Classification, LabelClassifier

PROG = "textseq-classify"

LONGEST = 1_000_000
"""Characters of a line."""

UNSURE_BELOW = 1.3
"""Default of ``--unsure-below``, times the probability of a label by chance."""


@dataclass(frozen=True, kw_only=True)
class Classify(LineOptions):
    """Classify texts, one text per line.

    Examples:
      textseq-classify --model mine                             type texts, Ctrl-D ends
      textseq-classify "a masterpiece" --model mine             label, a tab, its probability
      echo "a masterpiece" | textseq-classify --model mine
      textseq-classify --model mine --input reviews.txt.gz --output labels.tsv
      textseq-classify --model mine --input reviews.csv --text-column body --output labels.csv
      textseq-classify --model mine --json < reviews.txt        the probabilities of all labels
      textseq-classify --model mine --unsure-below 0.8          label only what is clear
      textseq-classify --model mine --explain                   what each word contributed, in colors
      textseq-classify --model mine --input reviews.txt --explain-html why.html --output labels.tsv
      textseq-classify --list-models

    Each text gives a line: its label and, after a tab, the label's probability, calibrated on the validation split; or
    "unsure" and the probability of the most probable label, if that is low (--unsure-below). A model that was trained
    with --multi-label gives all labels above its threshold, each with its probability, all separated by tabs; an empty
    line if there are none. A text is a line, or a row of a table if --input ends in .csv, .tsv, .jsonl, .json (perhaps
    followed by .gz or another compression) or .parquet. Lines are cut after a million characters, with a warning.

    If --output ends in .csv it is a table for spreadsheets, with a header: each text, its label (several with ";"
    between them) and probability, and the probability of every label.
    """

    task: ClassVar[str] = "classification"
    reads_tables: ClassVar[bool] = True

    text_column: str | None = option(None, metavar="NAME")
    """Column or key of the texts if --input is a table. Default: that of the training table, or one that is
    called text, sentence, review..."""
    json: bool = False
    """Write a JSON object per line: label, labels, probability, the probabilities of all labels and, with --explain,
    the contribution of each word."""
    unsure_below: float | None = option(None, metavar="PROBABILITY")
    """Answer "unsure" if no label is as probable as this, from 0 (never) to 1. Default: 1.3 times as probable as by
    chance, which is 0.65 if there are two labels; with --json 0."""
    threshold: float | None = option(None, metavar="PROBABILITY", rare=True)
    """Give labels from this probability on, by a model that was trained with --multi-label. Default: the threshold with
    the highest micro F1 on the validation split."""
    explain: bool = False
    """Show below each label which words spoke for it (blue) or against it (orange), by integrated gradients
    (Sundararajan et al. 2017): the contributions add up to the text's effect on the label's log odds. Without a color
    terminal, numbers are printed below the words."""
    explain_html: Path | None = option(None, metavar="FILE")
    """Write the explanations as a web page."""
    explain_label: str | None = option(None, metavar="LABEL", rare=True)
    """Explain this label. Default: the predicted one."""
    explain_by: ExplanationMethod = option("integrated", rare=True)
    """Integrated gradients, or the gradient times the word vectors, which is fast but does not add up."""

    @property
    def spreadsheet(self) -> bool:
        """Whether the output is a table with a header."""
        return self.output is not None and self.output.suffix.lower() == ".csv" and not self.json


def classify(arguments: Sequence[str]) -> None:
    """Parse, load, and classify line by line."""
    options = parse(Classify(), PROG, arguments).with_text()
    model = options.single_model(PROG)
    options = replace(options, model=(model,))
    options.check("texts", {"--explain-html": options.explain_html})
    table = options.input is not None and (is_table(options.input) or ending_of(options.input) in EXPORTED)
    if options.text_column is not None and not table:
        raise TextseqError(
            "--text-column: expected a table with --input (.csv, .tsv, .jsonl, .json or .parquet), got none"
        )
    explains = options.explain or options.explain_html is not None
    if not explains and (options.explain_label is not None or options.explain_by != "integrated"):
        raise TextseqError("--explain-label and --explain-by need --explain or --explain-html FILE; add one of them")
    if options.explain and options.spreadsheet:
        raise TextseqError(
            f"--explain does not fit into a table, got {options.output}; use --explain-html FILE or --json"
        )
    if options.unsure_below is not None and not 0 <= options.unsure_below <= 1:
        raise TextseqError(f"--unsure-below: expected a probability from 0 to 1, got {options.unsure_below}")
    if options.input is not None and (file := row_file(str(options.input), options.encoding)) != options.input:
        options = replace(options, input=file, encoding="utf-8")
    with options.reading(LONGEST) as lines:
        from textseq.tasks.classification.label_classifier import CHARACTERS
        from textseq.tasks.label_predictor import BUFFER
        from textseq.tasks.registry import load_classifier

        classifier = load_classifier(model, device=options.device, precision=options.precision)
        if options.threshold is not None:
            classifier = _with_threshold(classifier, options.threshold)
        if options.explain_label is not None and options.explain_label not in classifier.labels:
            options = replace(options, explain_label=normal_label(options.explain_label))
        if options.explain_label is not None and options.explain_label not in classifier.labels:
            raise unknown("label for --explain-label:", options.explain_label, classifier.labels)
        unsure_below = options.unsure_below
        if unsure_below is None:
            unsure_below = 0.0 if options.json else UNSURE_BELOW / len(classifier.labels)
        elif classifier.threshold is not None:
            raise TextseqError(
                "--unsure-below: expected a model of one label per text, got one of several; leave it out"
            )
        rows: Lines | Texts = lines
        if table and options.input:
            known = remembered_column(options.input, classifier.info.source.get("text_column"), options.encoding)
            rows = Texts(options.input, options.text_column or known, options.encoding)
        several = classifier.threshold is not None
        pending: list[str] = []  # texts to explain or show that were read and not answered yet, in order

        def noted(texts: Iterable[str]) -> Iterator[str]:
            for text in texts:
                pending.append(text)
                yield text

        def answers(texts: Iterable[str], first: int, progress: Callable[[int], object]) -> Iterator[str]:
            texts = noted(texts) if explains or options.spreadsheet else texts
            ahead = options.ahead(BUFFER)
            results = classifier.stream(texts, unsure_below=unsure_below, buffer=ahead, progress=progress)
            for number, result in enumerate(results, start=first):
                text = pending.pop(0) if pending else ""
                explanation = None
                if explains:
                    explanation = classifier.explain(text, label=options.explain_label, method=options.explain_by)
                    if page is not None:
                        page(explanation.to_html())
                if options.spreadsheet:
                    yield _rows(number, text, result, several)
                    continue
                yield _line(number, result, explanation if options.explain else None, options, several)

        with _page(options) as page:
            options.answer(rows, answers, unit="texts", prompt="text> ", usual=BUFFER, characters=CHARACTERS)


def _with_threshold(classifier: LabelClassifier, threshold: float) -> LabelClassifier:
    if classifier.threshold is None:
        raise TextseqError(
            "--threshold: expected a model trained with --multi-label, got one of one label; leave it out"
        )
    if not 0 < threshold <= 1:
        raise TextseqError(f"--threshold: expected a probability above 0 and at most 1, got {threshold:g}")
    classifier.info = replace(classifier.info, threshold=threshold)
    return classifier


def _line(
    number: int, result: Classification, explanation: Explanation | None, options: Classify, several: bool
) -> str:
    """The output for a text; ``several``: all its labels."""
    if options.json:
        record: dict[str, object] = {
            "label": result.label,
            "labels": result.labels,
            "probability": result.probability,
            "probabilities": result.probabilities,
        }
        if explanation:
            record["explanation"] = {"label": explanation.label, **explanation.to_dict()}
        return options.to_json(record)
    rows = [(label, result.probabilities[label]) for label in result.labels]
    line = "\t".join(f"{label}\t{p:.4f}" for label, p in (rows if several else [(result.label, result.probability)]))
    if explanation:
        from textseq.io.colored_text import wants_color

        colored = options.output is None and wants_color(sys.stdout)
        line = "\n" * (number > 0) + f"{line}\n{explanation.in_color() if colored else explanation.in_figures()}"
    return line


def _rows(number: int, text: str, result: Classification, several: bool) -> str:
    """The row of a table for a text, after the header if it is the first; ``several``: all its labels."""
    label = ";".join(result.labels) if several else result.label
    row = [text, label, f"{result.probability:.4f}"]
    rows = [[*row, *(f"{p:.4f}" for p in result.probabilities.values())]]
    if number == 0:
        rows.insert(0, ["text", "label", "probability", *result.probabilities])
    return "\n".join(map(_csv_row, rows))


def _csv_row(cells: Sequence[str]) -> str:
    """A row of a table without its line end; cells with a line end of any kind are quoted."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)  # before Python 3.13 only its own characters are quoted
    return line.getvalue().removesuffix("\r\n")


@contextmanager
def _page(options: Classify) -> Iterator[Callable[[str], None] | None]:
    """Writes to the web page of explanations, if there is to be one."""
    if options.explain_html is None:
        yield None
        return
    from textseq.io.colored_text import PAGE_END, page_begin
    from textseq.tasks.classification.explain import LEGEND

    with growing(options.explain_html) as write:
        write(page_begin(f"Explanations by {options.model[0]}", LEGEND))
        yield write
        write(PAGE_END)


main = partial(run, PROG, classify)

if __name__ == "__main__":
    main()
