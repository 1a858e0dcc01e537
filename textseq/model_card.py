"""The page that stands beside a trained model: what it is, what it was trained on, how good it is, how to use it."""

from __future__ import annotations

from torch import nn

from textseq.shelf import Facts


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
    lines = [
        f"# {name}",
        "",
        f"A recurrent language model with {parameters:,} parameters, trained by textseq {facts.get('textseq')} on "
        f"{corpus.get('title')}.",
        "",
        "```",
        f"textseq-sample --author {name}",
        "```",
        "```python",
        "import textseq",
        "",
        f'print(textseq.load("{name}").generate())',
        "```",
        "",
        "## What it was trained on",
        f"- Corpus: {corpus.get('name')}. Licence of the text: {corpus.get('licence')}.",
        f"- Language: {facts.get('language') or 'not stated'}.",
        f"- Steps of the kept checkpoint: {facts.get('step')}.",
        "",
        "## How good it is",
    ]
    if rows:
        lines += ["| nats per token | bits per character | perplexity | signature |", "|---:|---:|---:|---|"]
        lines += [
            f"| {row['nats_per_token']:.4f} | {row['bits_per_character']:.4f} | {row['perplexity']:.3f} | "
            f"`{str(row['signature']).replace('|', ' ')}` |"
            for row in rows
        ]
    else:
        lines.append("It was not measured: there was no validation part.")
    lines += ["", "## Settings", "| setting | value |", "|---|---|"]
    for part in ("model", "data", "training"):
        lines += [f"| {part}.{key} | {value} |" for key, value in _table(facts, part).items()]
    lines += [
        "",
        "## Limits",
        "It continues text in the manner of what it read; it knows no facts, and it repeats the prejudices of its",
        "sources. Stretches of its text may stand word for word in the training text.",
        "",
    ]
    return "\n".join(lines)


def _table(facts: Facts, name: str) -> dict[str, object]:
    value = facts.get(name)
    return value if isinstance(value, dict) else {}
