"""What the model card of a tagger says."""

from __future__ import annotations

from collections.abc import Sequence

from textseq.checkpoints.model_card import About, interval, signature, table
from textseq.checkpoints.registry import Facts


def describe(name: str, facts: Facts, rows: Sequence[Facts]) -> About:
    names = facts.get("labels")
    labels = ", ".join(map(str, names)) if isinstance(names, list) else "unknown tags"
    unaligned = table(facts, "model").get("output") == "ctc"
    return About(
        what=f"A recurrent tagger of {'letters, by CTC' if unaligned else 'words'} ({labels})",
        command=f"textseq-tag --model {name} < sentences.txt",
        use=f'print(textseq.load("{name}").tag("A sentence."))',
        trained_on=(f"- Language: {facts.get('language') or 'not stated'}.",),
        measured=(
            "| accuracy | 95 % interval | macro F1 | nats per word | signature |",
            "|---:|---:|---:|---:|---|",
            *(
                f"| {row['accuracy']:.2%} | {interval(row['interval_95'], '.2%')} | {row['macro_f1']:.4f} | "
                f"{row['nats']:.4f} | {signature(row)} |"
                for row in rows
            ),
        )
        if not unaligned
        else (
            "| sequence error rate | 95 % interval | tag error rate | signature |",
            "|---:|---:|---:|---|",
            *(
                f"| {row['sequence_error_rate']:.2%} | {interval(row['interval_95'], '.2%')} | "
                f"{row['error_rate']:.2%} | {signature(row)} |"
                for row in rows
            ),
        ),
        limits=(
            "It gives one of its tags to every word, and knows only sentences like those that it learnt from.",
            "A sentence must be parted into words as those were.",
        ),
    )
