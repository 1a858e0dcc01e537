"""What the model card of a language model says."""

from __future__ import annotations

from collections.abc import Sequence

from textseq.checkpoints.model_card import About, signature
from textseq.checkpoints.registry import Facts


def describe(name: str, facts: Facts, rows: Sequence[Facts]) -> About:
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
                f"{signature(row)} |"
                for row in rows
            ),
        ),
        limits=(
            "It continues text in the manner of what it read; it knows no facts, and it repeats the prejudices of its",
            "sources. Stretches of its text may stand word for word in the training text.",
        ),
    )
