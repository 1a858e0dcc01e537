"""The first text that a user sees: invented words and variety of the authors for a grid of sampling settings.

For each author and setting some 40,000 characters are written in texts of 600, without a prompt. An *invented* word is
one that the author's whole corpus lacks, in any case of letters; *distinct* is the share of different pairs of
neighbouring words. The first and the last word of a text are not counted, as they may be cut. A good setting invents
few words and repeats few pairs.

    TEXTSEQ_DATA=... python benchmarks/first_text.py

The first row measures the author's own text of the validation split, cut alike: its variety is the one to come near
(it has no invented word).
"""

from __future__ import annotations

import argparse
import itertools
import re

import torch
from conditions import print_conditions

import textseq
from textseq.data.text import load_corpus
from textseq.tasks.language_model.generator import TextGenerator

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")

LENGTH = 600
"""Characters of a text."""


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return WORD.findall(text.lower())


def figures(texts: list[str], known: set[str]) -> tuple[int, float, float]:
    """The number of words, the percentage of invented ones, and the percentage of distinct pairs."""
    words = [words_of(text)[1:-1] for text in texts]
    count = sum(map(len, words))
    invented = sum(word not in known for text in words for word in text)
    pairs = [pair for text in words for pair in itertools.pairwise(text)]
    return count, 100 * invented / max(1, count), 100 * len(set(pairs)) / max(1, len(pairs))


def corpus_text(author: str, split: str) -> str:
    """The text of a split of the author's corpus."""
    return "\n".join("".join(document) for document in load_corpus(author).documents(split))


def main() -> None:
    """Print a row of figures per author and setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--authors", nargs="+", default=["shakespeare", "sienkiewicz", "tolstoy"], metavar="NAME")
    parser.add_argument("--temperatures", nargs="+", type=float, default=[0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    parser.add_argument("--min-p", nargs="+", type=float, default=[0.0, 0.05, 0.1, 0.15, 0.2])
    parser.add_argument("--texts", type=int, default=64, help="texts of 600 characters per setting")
    parser.add_argument("--seed", type=int, default=1)
    o = parser.parse_args()
    print(f"{'author':12} {'temperature':>11} {'min-p':>6} {'words':>6} {'invented %':>10} {'distinct %':>10}")
    for author in o.authors:
        own = corpus_text(author, "validation")
        known = set(words_of("\n".join(corpus_text(author, split) for split in load_corpus(author).splits)))
        row(
            author, "own text", "", figures([own[at : at + LENGTH] for at in range(0, o.texts * LENGTH, LENGTH)], known)
        )
        writer = textseq.load(author)
        assert isinstance(writer, TextGenerator)
        for temperature, min_p in itertools.product(o.temperatures, o.min_p):
            texts = writer.generate_all(
                temperature=temperature,
                min_p=min_p,
                max_new_tokens=LENGTH,
                num_return_sequences=o.texts,
                seed=o.seed,
            )
            row(author, f"{temperature:g}", f"{min_p:g}", figures(texts, known))
    print_conditions()


def row(author: str, temperature: str, min_p: str, found: tuple[int, float, float]) -> None:
    """Print a line of the table."""
    count, invented, distinct = found
    print(f"{author:12} {temperature:>11} {min_p:>6} {count:>6} {invented:>10.2f} {distinct:>10.1f}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
