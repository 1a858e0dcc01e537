"""What the model card of a translator says."""

from __future__ import annotations

from collections.abc import Sequence

from textseq.checkpoints.model_card import About, interval, signature, table
from textseq.checkpoints.registry import Facts


def describe(name: str, facts: Facts, rows: Sequence[Facts]) -> About:
    corpus, attention = table(facts, "corpus"), table(facts, "model").get("attention")
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
                f"| {row['measure']} | {row['score']:.2f} | {interval(row['interval_95'])} | {signature(row)} |"
                for row in rows
            ),
        ),
        limits=(
            "It translates sentence by sentence, and well only what is like the sentences that it read. Its errors",
            "may read well: words left out, put in or turned into their opposite. It repeats the prejudices of its",
            "sources.",
        ),
    )
