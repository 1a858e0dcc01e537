"""What the model card of a classifier says."""

from __future__ import annotations

from collections.abc import Sequence

from textseq.checkpoints.model_card import About, interval, signature
from textseq.checkpoints.registry import Facts


def describe(name: str, facts: Facts, rows: Sequence[Facts]) -> About:
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
                f"| {row['accuracy']:.2%} | {interval(row['interval_95'], '.2%')} | {row['macro_f1']:.4f} | "
                f"{row['nats']:.4f} | {signature(row)} |"
                for row in rows
            ),
        ),
        limits=(
            "It gives one of its labels to whatever it reads, and knows only texts like those that it learnt from:",
            "irony, other subjects and other languages confuse it. It repeats the prejudices of its sources.",
        ),
    )
