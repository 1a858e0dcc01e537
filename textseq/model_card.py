"""The page that stands beside a trained model: what it is, what it was trained on, how good it is, how to use it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from textseq import checkpoint
from textseq.errors import TextseqError
from textseq.files import whole_folder
from textseq.shelf import Facts


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


def model_card(name: str, facts: Facts, model: nn.Module) -> str:
    """The model card, in Markdown.

    Args:
        name: what the model is called.
        facts: what ``config.json`` says of it.
        model: for its size.
    """
    corpus = _table(facts, "corpus")
    parameters = sum(p.numel() for p in model.parameters())
    results = facts.get("results")
    rows = [row for row in results if isinstance(row, dict)] if isinstance(results, list) else []
    averaged = facts.get("average_of")
    mean = f", the mean of the weights of steps {', '.join(map(str, averaged))}" if isinstance(averaged, list) else ""
    about = ABOUT.get(str(facts.get("task")), _writer)(name, facts, rows)
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
        *_made_with(_table(facts, "made_with")),
        "",
        "## How good it is",
        *(about.measured if rows else ["It was not measured: there was no validation part."]),
        "",
        "## Settings",
        "| setting | value |",
        "|---|---|",
    ]
    for part in ("model", "data", "training"):
        lines += [f"| {part}.{key} | {value} |" for key, value in _table(facts, part).items()]
    lines += ["", "## Limits", *about.limits, ""]
    return "\n".join(lines)


def save_with_card(
    folder: Path, model: nn.Module, tokenizer: checkpoint.Savable, facts: Facts, *, half: bool, results: Sequence[Facts]
) -> None:
    """Write a model and its card as a folder that ``load`` reads.

    Args:
        folder: must not exist yet.
        model: its weights.
        tokenizer: or several.
        facts: what ``config.json`` says of it; the paths of the one who trained it are left out, and the command.
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
            facts[key] = {name: value for name, value in _table(facts, key).items() if name != "command"}
    with whole_folder(folder) as aside:
        checkpoint.write_model(aside, model, tokenizer, facts, half=half)
        card = model_card(folder.name, facts, model)
        (aside / "README.md").write_text(card, encoding="utf-8", errors="backslashreplace")


def _writer(name: str, facts: Facts, rows: Sequence[Facts]) -> About:
    return About(
        what="A recurrent language model",
        command=f"textseq-sample --author {name}",
        use=f'print(textseq.load("{name}").generate())',
        trained_on=(f"- Language: {facts.get('language') or 'not stated'}.",),
        measured=(
            "| nats per token | bits per character | perplexity | signature |",
            "|---:|---:|---:|---|",
            *(
                f"| {row['nats_per_token']:.4f} | {row['bits_per_character']:.4f} | {row['perplexity']:.3f} | "
                f"{_signature(row)} |"
                for row in rows
            ),
        ),
        limits=(
            "It continues text in the manner of what it read; it knows no facts, and it repeats the prejudices of its",
            "sources. Stretches of its text may stand word for word in the training text.",
        ),
    )


def _translator(name: str, facts: Facts, rows: Sequence[Facts]) -> About:
    corpus, attention = _table(facts, "corpus"), _table(facts, "model").get("attention")
    direction = f"from {facts.get('source_language')} to {facts.get('target_language')}"
    looking = "without attention" if attention == "none" else f"with {attention} attention"
    known = corpus.get("licence") != "unknown"
    return About(
        what=f"A recurrent encoder-decoder {looking} that translates {direction},",
        command=f"textseq-translate --model {name}",
        use=f'print(textseq.load("{name}").translate(["A sentence."])[0].text)',
        trained_on=(
            f"- Direction: {direction}.",
            *([f"- To be named with the model: {corpus.get('title')}; {corpus.get('licence')}."] if known else []),
        ),
        measured=(
            "| measure | score | 95 % interval | signature |",
            "|---|---:|---:|---|",
            *(
                f"| {row['measure']} | {row['score']:.2f} | {_interval(row['interval_95'])} | {_signature(row)} |"
                for row in rows
            ),
        ),
        limits=(
            "It translates sentence by sentence, and well only what is like the sentences that it read. Its errors",
            "may read well: words left out, put in or turned into their opposite. It repeats the prejudices of its",
            "sources.",
        ),
    )


def _classifier(name: str, facts: Facts, rows: Sequence[Facts]) -> About:
    names = facts.get("labels")
    labels = ", ".join(map(str, names)) if isinstance(names, list) else "unknown labels"
    return About(
        what=f"A recurrent classifier of texts ({labels})",
        command=f"textseq-classify --model {name} < texts.txt",
        use=f'print(textseq.load("{name}").classify(["A text."])[0].label)',
        trained_on=(f"- Language: {facts.get('language') or 'not stated'}.",),
        measured=(
            "| accuracy | 95 % interval | macro F1 | nats per text | signature |",
            "|---:|---:|---:|---:|---|",
            *(
                f"| {row['accuracy']:.2%} | {_interval(row['interval_95'], '.2%')} | {row['macro_f1']:.4f} | "
                f"{row['nats']:.4f} | {_signature(row)} |"
                for row in rows
            ),
        ),
        limits=(
            "It gives one of its labels to whatever it reads, and knows only texts like those that it learnt from:",
            "irony, other subjects and other languages confuse it. It repeats the prejudices of its sources.",
        ),
    )


def _tagger(name: str, facts: Facts, rows: Sequence[Facts]) -> About:
    names = facts.get("labels")
    labels = ", ".join(map(str, names)) if isinstance(names, list) else "unknown tags"
    unaligned = _table(facts, "model").get("output") == "ctc"
    return About(
        what=f"A recurrent tagger of {'letters, by CTC' if unaligned else 'words'} ({labels})",
        command=f"textseq-tag --model {name} < sentences.txt",
        use=f'print(textseq.load("{name}").tag("A sentence."))',
        trained_on=(f"- Language: {facts.get('language') or 'not stated'}.",),
        measured=(
            "| accuracy | 95 % interval | macro F1 | nats per word | signature |",
            "|---:|---:|---:|---:|---|",
            *(
                f"| {row['accuracy']:.2%} | {_interval(row['interval_95'], '.2%')} | {row['macro_f1']:.4f} | "
                f"{row['nats']:.4f} | {_signature(row)} |"
                for row in rows
            ),
        )
        if not unaligned
        else (
            "| sequence error rate | 95 % interval | tag error rate | signature |",
            "|---:|---:|---:|---|",
            *(
                f"| {row['sequence_error_rate']:.2%} | {_interval(row['interval_95'], '.2%')} | "
                f"{row['error_rate']:.2%} | {_signature(row)} |"
                for row in rows
            ),
        ),
        limits=(
            "It gives one of its tags to every word, and knows only sentences like those that it learnt from.",
            "A sentence must be parted into words as those were.",
        ),
    )


ABOUT: dict[str, Callable[[str, Facts, Sequence[Facts]], About]] = {
    "language-model": _writer,
    "translator": _translator,
    "classifier": _classifier,
    "tagger": _tagger,
}
"""By the task: of the model's name, what ``config.json`` says of it, and the results in there."""


def _made_with(made: dict[str, object]) -> list[str]:
    """The versions and the command in a line, which models of older versions do not know."""
    versions = ", ".join(f"{name} {value}" for name, value in made.items() if name not in {"textseq", "command"})
    command = f": `{' '.join(str(made['command']).split())}`" if "command" in made else ""
    return [f"- Made with {versions}{command}."] if made else []


def _signature(row: Facts) -> str:
    return f"`{str(row['signature']).replace('|', ' ')}`"


def _interval(ends: object, spelled: str = ".2f") -> str:
    return " to ".join(f"{end:{spelled}}" for end in ends) if isinstance(ends, list) else "unknown"


def _table(facts: Facts, name: str) -> dict[str, object]:
    value = facts.get(name)
    return value if isinstance(value, dict) else {}
