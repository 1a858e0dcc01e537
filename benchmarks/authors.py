"""A model of several authors: is it as good on each as a model of him alone, and does it know who wrote a passage?

Prints for each author the nats per character on a split of his text, and how many passages of it the model gives to
him, by Bayes' rule with equal priors. With ``--alone-minutes`` models of the same size are trained on one author
each (runs NAME-alone), for his share of these minutes, and measured on the same text; their best step on his
validation split counts.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from conditions import print_conditions

import textseq
from textseq.config.training import TrainingConfig
from textseq.data.sources import TextData
from textseq.data.text import ConditionalDataset, TextDataset
from textseq.tasks.classification.generative import GenerativeClassifier
from textseq.tasks.language_model.by_label import spread
from textseq.tasks.language_model.config import DataConfig
from textseq.tasks.language_model.generator import TextGenerator

PASSAGE = 500
"""Characters of a passage."""
SHORTEST_SHARE = 0.03
"""Of the minutes, for an author of little text."""


@dataclass(frozen=True)
class OneAuthor(TextData):
    """The text of one author of a corpus, without conditions."""

    author: str = ""

    def open(self, *, data_dir: Path | None = None, download: bool = False) -> TextDataset:
        """His documents."""
        return authors_of(TextData.open(self, data_dir=data_dir, download=download)).only(self.author).unconditional()


def authors_of(dataset: object) -> ConditionalDataset:
    """The dataset, if it names several authors."""
    if not isinstance(dataset, ConditionalDataset):
        raise SystemExit("expected a model of several authors of a corpus; see textseq-sample --list-authors")
    return dataset


def text_of(dataset: ConditionalDataset, author: str, split: str) -> str:
    """A split of an author's text."""
    return "".join(chunk for document in dataset.only(author).documents(split) for chunk in document)


def passages(text: str, most: int) -> list[str]:
    """Passages of a text that do not overlap, evenly spread: at most so many."""
    return [text[start : start + PASSAGE] for start in spread(range(0, len(text) - PASSAGE + 1, PASSAGE), most)]


def trained_alone(model: TextGenerator, source: OneAuthor, minutes: float, dropout: float) -> TextGenerator:
    """A model of one author, of the same sizes as the model of several."""
    generator = textseq.train(
        data_source=source,
        name=f"{source.author}-alone",
        overwrite=True,
        model=replace(model.model.config, dropout=dropout),
        data=DataConfig(batch_size=32, window=80),
        training=TrainingConfig(
            learning_rate=3e-3, schedule="linear", max_minutes=minutes, evaluate_every=250, evaluate_tokens=50_000
        ),
        progress=False,
    )
    return generator


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="english-authors")
    parser.add_argument("--split", default="test", choices=("validation", "test"))
    parser.add_argument("--passages", type=int, default=24, help="of each author at most; default: %(default)s")
    parser.add_argument("--alone-minutes", type=float, default=0.0, help="of training for all; default: none")
    parser.add_argument("--dropout", type=float, default=0.2, help="of the models of one author; default: %(default)s")
    parser.add_argument("--authors", nargs="*", help="default: all")
    o = parser.parse_args()
    model = textseq.load(o.model)
    assert isinstance(model, TextGenerator)
    who, corpus = GenerativeClassifier(model), model.info.corpus.name
    dataset = authors_of(TextData(corpus=corpus).open())
    letters = {author: len(text_of(dataset, author, "train")) for author in dataset.labels}
    right, sure = 0, []
    print(f"{'author':<14}{'characters':>12}{'nats':>8}{'alone':>8}  passages", flush=True)
    for author in o.authors or dataset.labels:
        text = text_of(dataset, author, o.split)
        own = model.score(text, condition=author).nats / len(text) if text else float("nan")
        guessed = who.classify(passages(text, o.passages)) if len(text) >= PASSAGE else []
        hits = sum(guess.label == author for guess in guessed)
        right += hits
        sure += [guess.probability for guess in guessed]
        alone = float("nan")
        if o.alone_minutes and text:
            minutes = o.alone_minutes * max(SHORTEST_SHARE, letters[author] / sum(letters.values()))
            source = OneAuthor(corpus=corpus, author=author)
            alone = trained_alone(model, source, minutes, o.dropout).score(text).nats / len(text)
        print(f"{author:<14}{letters[author]:>12,}{own:>8.3f}{alone:>8.3f}  {hits} of {len(guessed)}", flush=True)
    print(
        f"passages of {PASSAGE} characters given to the right author: {right} of {len(sure)}, {right / len(sure):.1%}"
    )
    print(f"mean probability of the author that a passage is given to: {np.mean(sure):.1%}")
    print_conditions()


if __name__ == "__main__":
    main()
