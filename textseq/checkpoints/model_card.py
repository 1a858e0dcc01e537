"""Model card: the README.md beside a trained model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from textseq.checkpoints import checkpoint
from textseq.checkpoints.model_info import ModelInfo, Table
from textseq.checkpoints.weight_formats import Bits
from textseq.errors import TextseqError
from textseq.io.colored_text import visible
from textseq.io.files import whole_folder

MARKUP = re.compile(r"[\\`*<|~\[]|(?<!\w)_|_(?!\w)")
"""Characters that Markdown may read as markup."""


@dataclass(frozen=True)
class CardText:
    """A task's part of the model card."""

    title: str
    """Such as "A recurrent classifier"."""
    command: str
    python: str
    trained_on: tuple[str, ...]
    results: tuple[str, ...]
    """Head and rows of a Markdown table."""
    limits: tuple[str, ...]
    pipeline: str = ""
    """The task by the name that the Hugging Face Hub has for it."""


LANGUAGES = {"Czech": "cs", "English": "en", "French": "fr", "German": "de", "Polish": "pl", "Russian": "ru"}
"""Codes of the languages that the corpora name."""

METRICS = ("accuracy", "f1", "macro_f1", "perplexity", "error_rate")
"""Numbers of results that the head of a card names."""

Describe = Callable[[str, ModelInfo], CardText]
"""Takes the model's name and metadata."""


def model_card(name: str, info: ModelInfo, model: nn.Module, describe: Describe) -> str:
    """The model card, in Markdown.

    Args:
        name: of the model.
        info: its metadata.
        model: for its size.
        describe: gives the task's part of the card.
    """
    parameters = sum(p.numel() for p in model.parameters())
    mean = f", the mean of the weights of steps {', '.join(map(str, info.average_of))}" if info.average_of else ""
    name = visible(name).replace("\n", " ")
    text = describe(name, info)
    teachers = info.training.get("distil_from")
    taught_by = ", ".join(map(str, teachers)) if isinstance(teachers, list | tuple) else ""
    tables = {"model": info.model, "data": info.data, "training": info.training}
    lines = [
        *front_matter(name, info, text.pipeline),
        f"# {markdown(name)}",
        "",
        f"{markdown(text.title)} with {parameters:,} parameters, trained by textseq {markdown(info.textseq)} on "
        f"{markdown(info.corpus.title)}.",
        "",
        "```",
        text.command,
        "```",
        "```python",
        "import textseq",
        "",
        text.python,
        "```",
        "",
        "## Training data",
        f"- Corpus: {markdown(info.corpus.name)}. Licence of the text: {markdown(info.corpus.licence)}.",
        *map(markdown, text.trained_on),
        *([f"- It learned from other models too: {markdown(taught_by)}."] if taught_by else []),
        f"- Steps of this checkpoint: {info.step}{mean}.",
        *_made_with(info.made_with),
        "",
        "## Results",
        *(text.results if info.results else ["Not measured: there was no validation split."]),
        "",
        "## Settings",
        "| setting | value |",
        "|---|---|",
        *(
            f"| {table}.{markdown(key)} | {markdown(value)} |"
            for table, settings in tables.items()
            for key, value in settings.items()
        ),
        "",
        "## Limits",
        *text.limits,
        "",
    ]
    return "\n".join(lines)


def markdown(text: object) -> str:
    """A text from a file or a user, in a line of Markdown: nothing in it is markup or controls a terminal."""
    return MARKUP.sub(r"\\\g<0>", " ".join(visible(str(text)).split()))


def front_matter(name: str, info: ModelInfo, pipeline: str) -> list[str]:
    """The head of a model card that the Hugging Face Hub reads: YAML whose values are written as JSON, which YAML has.

    Args:
        name: of the model.
        info: its metadata.
        pipeline: the Hub's name of the task; "" for none.
    """
    codes = [info.source_language, info.target_language]
    languages = [*filter(None, codes)] or [
        LANGUAGES[name] for name in (info.language or "").split(", ") if name in LANGUAGES
    ]
    metrics: dict[str, object] = {}
    for row in info.results:
        metrics |= {kind: value for kind, value in _metrics(row).items() if kind not in metrics}  # the first counts
    results = {
        "task": {"type": pipeline},
        "dataset": {"name": info.corpus.title, "type": info.corpus.name},
        "metrics": [{"type": kind, "value": value} for kind, value in metrics.items()],
    }
    head: Table = {
        "library_name": "textseq",
        "pipeline_tag": pipeline,
        "tags": ["textseq", "recurrent-neural-network"],
        "language": [code for code in languages if len(code) == 2],
        **_licence(info.corpus.licence),
        "model-index": [{"name": name, "results": [results]}] if metrics and pipeline else [],
    }
    lines = (visible(f"{key}: {json.dumps(value, ensure_ascii=False)}") for key, value in head.items() if value)
    return ["---", *lines, "---"]


def _licence(text: str) -> Table:
    """A licence by the Hub's name, or in its own words."""
    if match := re.match(r"CC (BY(?:-NC|-ND|-SA)*) (\d\.\d)", text):
        return {"license": f"cc-{match[1].lower()}-{match[2]}"}
    return {} if text == "unknown" else {"license": "other", "license_name": text}


def _metrics(row: Table) -> Table:
    """The numbers of a result by the Hub's names."""
    if "measure" in row:
        return {str(row["measure"]).lower().rstrip("2"): row["score"]}
    return {key: row[key] for key in METRICS if isinstance(row.get(key), float)}


def save_with_card(
    folder: Path,
    model: nn.Module,
    tokenizer: checkpoint.TokenizerLike,
    info: ModelInfo,
    describe: Describe,
    *,
    bits: Bits,
    results: Sequence[Table],
) -> None:
    """Write a model and its card as a folder that ``load`` reads.

    Args:
        folder: must not exist yet.
        model: its weights.
        tokenizer: one or several.
        info: its metadata; the command line and folders of this machine are left out.
        describe: the task's part of the card.
        bits: per weight.
        results: further metrics, before those in ``info``.

    Raises:
        TextseqError: the folder exists, or cannot be written.
    """
    if folder.exists():
        raise TextseqError(f"{folder} exists; name a new folder or remove it")
    made_with, resumed_with = (
        {name: value for name, value in table.items() if name != "command"}
        for table in (info.made_with, info.resumed_with)
    )
    training = dict(info.training)
    if isinstance(teachers := training.get("distil_from"), list | tuple):
        training["distil_from"] = [Path(str(name)).name for name in teachers]
    info = replace(
        info,
        training=training,
        source={name: value for name, value in info.source.items() if name.endswith(("_column", "_separator"))},
        init_from=info.init_from and Path(info.init_from).name,
        results=(*results, *info.results),
        made_with=made_with,
        resumed_with=resumed_with,
    )
    with whole_folder(folder) as aside:
        checkpoint.write_model(aside, model, tokenizer, info, bits=bits)
        card = model_card(folder.name, info, model, describe)
        (aside / "README.md").write_text(card, encoding="utf-8", errors="backslashreplace")


def result_table(head: Sequence[str], info: ModelInfo, row: Callable[[Table], Sequence[str]]) -> tuple[str, ...]:
    """A Markdown table of the results; the signature is the last column."""
    names = [*head, "signature"]
    return (
        f"| {' | '.join(names)} |",
        f"|{'|'.join(['---:'] * len(head))}|---|",
        *(f"| {' | '.join([*map(markdown, row(result)), _signature(result)])} |" for result in info.results),
    )


def interval(bounds: object, spec: str = ".2f") -> str:
    """A confidence interval in words."""
    return " to ".join(f"{bound:{spec}}" for bound in bounds) if isinstance(bounds, list | tuple) else "unknown"


def label_text(info: ModelInfo) -> str:
    """The labels in a line."""
    return ", ".join(info.labels) or "unknown labels"


def _made_with(made_with: Table) -> list[str]:
    versions = ", ".join(
        f"{markdown(name)} {markdown(value)}" for name, value in made_with.items() if name not in {"textseq", "command"}
    )
    command = f": {_code(made_with['command'])}" if "command" in made_with else ""
    return [f"- Made with {versions}{command}."] if made_with else []


def _signature(result: Table) -> str:
    return _code(str(result["signature"]).replace("|", " "))


def _code(text: object) -> str:
    """A text in Markdown's font for code, in one line."""
    return f"`{' '.join(visible(str(text)).replace('`', chr(39)).split())}`"


def label_results(info: ModelInfo, unit: str) -> tuple[str, ...]:
    """The table of results of a classifier or tagger."""

    if info.threshold is not None:
        names = ("micro_f1", "macro_f1", "subset_accuracy")
        return result_table(
            ("micro F1", "macro F1", "subset accuracy", "95 % interval of the micro F1"),
            info,
            lambda result: (*(f"{result[name]:.2%}" for name in names), interval(result["interval_95"], ".2%")),
        )
    spans = any("f1" in result for result in info.results)

    def row(result: Table) -> tuple[str, ...]:
        bounds = interval(result["interval_95"], ".2%")
        f1 = (f"{result['f1']:.2%}" if "f1" in result else "",) * spans
        return *f1, f"{result['accuracy']:.2%}", bounds, f"{result['macro_f1']:.4f}", f"{result['nats']:.4f}"

    head = ("F1 of spans",) * spans
    return result_table((*head, "accuracy", "95 % interval", "macro F1", f"nats per {unit}"), info, row)
