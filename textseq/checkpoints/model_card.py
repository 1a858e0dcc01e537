"""The page that stands beside a trained model: what it is, what it was trained on, how good it is, how to use it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from textseq.checkpoints import checkpoint
from textseq.checkpoints.registry import Facts
from textseq.errors import TextseqError
from textseq.io.files import whole_folder


def labels_of(facts: Facts) -> tuple[str, ...]:
    """The names of the labels that a model knows."""
    labels = facts.get("labels")
    return tuple(map(str, labels)) if isinstance(labels, list) else ()


@dataclass(frozen=True)
class About:
    """What a card says in the words of a task."""

    what: str
    command: str
    use: str
    """In Python."""
    trained_on: tuple[str, ...]
    measured: tuple[str, ...]
    """The head of a table, and its rows."""
    limits: tuple[str, ...]


Describe = Callable[[str, Facts, Sequence[Facts]], About]
"""Of the name of a model, its facts and the rows of its results."""


def model_card(name: str, facts: Facts, model: nn.Module, describe: Describe) -> str:
    """The model card, in Markdown.

    Args:
        name: what the model is called.
        facts: what ``config.json`` says of it.
        model: for its size.
        describe: what the task says in it.
    """
    corpus = table(facts, "corpus")
    parameters = sum(p.numel() for p in model.parameters())
    results = facts.get("results")
    rows = [row for row in results if isinstance(row, dict)] if isinstance(results, list) else []
    averaged = facts.get("average_of")
    mean = f", the mean of the weights of steps {', '.join(map(str, averaged))}" if isinstance(averaged, list) else ""
    about = describe(name, facts, rows)
    lines = [
        f"# {name}",
        "",
        f"{about.what} with {parameters:,} parameters, trained by textseq {facts.get('textseq')} on "
        f"{corpus.get('title')}.",
        "",
        "```",
        about.command,
        "```",
        "```python",
        "import textseq",
        "",
        about.use,
        "```",
        "",
        "## What it was trained on",
        f"- Corpus: {corpus.get('name')}. Licence of the text: {corpus.get('licence')}.",
        *about.trained_on,
        f"- Steps of the kept checkpoint: {facts.get('step')}{mean}.",
        *_made_with(table(facts, "made_with")),
        "",
        "## How good it is",
        *(about.measured if rows else ["It was not measured: there was no validation part."]),
        "",
        "## Settings",
        "| setting | value |",
        "|---|---|",
    ]
    for part in ("model", "data", "training"):
        lines += [f"| {part}.{key} | {value} |" for key, value in table(facts, part).items()]
    lines += ["", "## Limits", *about.limits, ""]
    return "\n".join(lines)


def save_with_card(
    folder: Path,
    model: nn.Module,
    tokenizer: checkpoint.Savable,
    facts: Facts,
    describe: Describe,
    *,
    half: bool,
    results: Sequence[Facts],
) -> None:
    """Write a model and its card as a folder that ``load`` reads.

    Args:
        folder: must not exist yet.
        model: its weights.
        tokenizer: or several.
        facts: what ``config.json`` says of it; the paths of the one who trained it are left out, and the command.
        describe: what the task says in the card.
        half: write the weights in 16 bits.
        results: further measurements, before those in ``facts``.

    Raises:
        TextseqError: the folder exists, or cannot be written.
    """
    if folder.exists():
        raise TextseqError(f"{folder} exists; name a new folder or remove it")
    measured = facts.get("results")
    known = [*results, *(measured if isinstance(measured, list) else [])]
    facts = {key: value for key, value in facts.items() if key != "source"} | {"results": known}
    for key in ("made_with", "gone_on_with"):
        if key in facts:
            facts[key] = {name: value for name, value in table(facts, key).items() if name != "command"}
    with whole_folder(folder) as aside:
        checkpoint.write_model(aside, model, tokenizer, facts, half=half)
        card = model_card(folder.name, facts, model, describe)
        (aside / "README.md").write_text(card, encoding="utf-8", errors="backslashreplace")


def _made_with(made: dict[str, object]) -> list[str]:
    """The versions and the command in a line, which models of older versions do not know."""
    versions = ", ".join(f"{name} {value}" for name, value in made.items() if name not in {"textseq", "command"})
    command = f": `{' '.join(str(made['command']).split())}`" if "command" in made else ""
    return [f"- Made with {versions}{command}."] if made else []


def signature(row: Facts) -> str:
    return f"`{str(row['signature']).replace('|', ' ')}`"


def interval(ends: object, spelled: str = ".2f") -> str:
    return " to ".join(f"{end:{spelled}}" for end in ends) if isinstance(ends, list) else "unknown"


def table(facts: Facts, name: str) -> dict[str, object]:
    value = facts.get(name)
    return value if isinstance(value, dict) else {}
