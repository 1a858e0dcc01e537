"""What of a text was copied, character for character, from the text that a model was trained on."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from textseq.checkpoints.registry import Facts
from textseq.data.labelled import load_text
from textseq.data.sources import TextData
from textseq.data.text import corpus_names
from textseq.data.token_files import DocumentSet
from textseq.errors import TextseqError

log = logging.getLogger("textseq")


LEAST = 30
"""Characters from which on a run counts as copied: about six words; shorter ones any two texts share."""

SHOWN = 64
"""Characters of the longest run that the report shows."""


@dataclass(frozen=True)
class Memorization:
    """How much of a text stands in a training text too."""

    text: str
    start: int
    """Where in the text its longest run begins that also stands in the training text (the first of equals)."""
    length: int
    """Characters of that run."""
    copied: int
    """Characters of the text that lie in runs of at least ``LEAST`` characters from the training text."""
    source: str
    """What the training text is called."""

    @property
    def run(self) -> str:
        """The longest run itself."""
        return self.text[self.start : self.start + self.length]

    @property
    def words(self) -> int:
        """Words of the longest run, whole or cut."""
        return len(self.run.split())

    @property
    def share(self) -> float:
        """The part of the text that is copied in runs of at least ``LEAST`` characters."""
        return self.copied / max(len(self.text), 1)

    def __str__(self) -> str:
        run = self.run
        if len(run) > SHOWN:
            run = f"{run[: SHOWN // 2]} ... {run[-SHOWN // 2 :]}"
        line = self.text.count("\n", 0, self.start) + 1
        return (
            f"longest run copied from {self.source}: {self.length:,} characters, {self.words:,} words, "
            f"from character {self.start + 1:,} (line {line:,}) of what was written: {run!r}\n"
            f"copied in runs of {LEAST} characters or more: {self.share:.1%} of {len(self.text):,} characters"
        )


def memorization_of(text: str, corpus: DocumentSet, split: str = "train") -> Memorization:
    """Find the runs of a text that stand in a part of a corpus too.

    The corpus streams through, about 10 MB a second, and documents are kept apart; memory grows with the text
    alone, by about half a kilobyte for each of its characters.

    Args:
        text: what was written, without what was given (a prompt may well be copied).
        corpus: what it may be copied from.
        split: of the corpus.

    Raises:
        TextseqError: the corpus has no such part, or cannot be read.
    """
    lengths = copied_lengths(text, corpus.documents(split))
    length = max(lengths, default=0)
    start = lengths.index(length) + 1 - length if length else 0
    copied, covered = 0, 0
    for stop, run in enumerate(lengths, 1):
        if run >= LEAST:
            copied += stop - max(covered, stop - run)
            covered = stop
    return Memorization(text, start, length, copied, corpus.name)


def copied_lengths(text: str, documents: Iterable[Iterable[str]]) -> list[int]:
    """For each character of a text, the length of the longest run ending with it that stands in one of the documents.

    Args:
        text: searched for runs.
        documents: each in chunks, cut anywhere; each character is looked at once.

    The suffix automaton of the text (Blumer et al. 1985) reads the documents: its state after a character tells the
    longest run of the text that ends there.
    """
    steps, shorter, longest = _automaton(text)
    reached = [0] * len(steps)  # of each state, the longest run that the documents hold
    for document in documents:
        state, length = 0, 0
        for chunk in document:
            for character in chunk:
                follower = steps[state].get(character)
                while follower is None and state:
                    state = shorter[state]
                    length = longest[state]
                    follower = steps[state].get(character)
                if follower is not None:
                    state, length = follower, length + 1
                    if length > reached[state]:
                        reached[state] = length
    # A run that is held holds its endings: they belong to the states that the links lead to, which are shorter.
    for state in sorted(range(1, len(steps)), key=longest.__getitem__, reverse=True):
        if reached[state]:
            reached[shorter[state]] = longest[shorter[state]]
    lengths, state = [], 0
    for character in text:
        state = steps[state][character]
        held = state
        while not reached[held] and held:
            held = shorter[held]
        lengths.append(reached[held])
    return lengths


def _automaton(text: str) -> tuple[list[dict[str, int]], list[int], list[int]]:
    """The smallest automaton that accepts every run of a text, from state 0.

    Returns:
        For each state its transitions, the state of its runs' longest ending that occurs elsewhere too (its suffix
        link), and the length of its longest run.
    """
    steps: list[dict[str, int]] = [{}]
    shorter, longest, last = [-1], [0], 0
    for character in text:
        new = len(steps)
        steps.append({})
        shorter.append(0)
        longest.append(longest[last] + 1)
        state, last = last, new
        while state >= 0 and character not in steps[state]:
            steps[state][character] = new
            state = shorter[state]
        if state < 0:
            continue
        old = steps[state][character]
        if longest[old] == longest[state] + 1:
            shorter[new] = old
            continue
        twin = len(steps)  # the runs of ``old`` that occur once more, here
        steps.append(dict(steps[old]))
        shorter.append(shorter[old])
        longest.append(longest[state] + 1)
        shorter[old] = shorter[new] = twin
        while state >= 0 and steps[state].get(character) == old:
            steps[state][character] = twin
            state = shorter[state]
    return steps, shorter, longest


def training_text(facts: Facts, *, data_dir: Path | None = None, download: bool = False) -> DocumentSet:
    """The text that a model was trained on, if it is on this machine. A text that has changed since is said.

    Args:
        facts: what the model's ``config.json`` says of it.
        data_dir: folder of the corpora; ``TEXTSEQ_DATA`` by default.
        download: fetch a corpus that is not there.

    Raises:
        TextseqError: the facts name no text that could be found; or whatever is wrong with its files.
    """
    source, trained_on = facts.get("source"), facts.get("corpus")
    about = trained_on if isinstance(trained_on, dict) else {}
    name = str(about.get("name"))
    if isinstance(source, dict):
        text = source.get("text")
        table = {**source, "text": tuple(text) if isinstance(text, list) else ()}
        corpus: DocumentSet = TextData.from_dict(table, where="config.json").open(data_dir=data_dir, download=download)
    elif name in corpus_names():
        corpus = load_text(name, data_dir=data_dir, download=download)
    else:
        raise TextseqError(
            f"the model does not say where its training text lies (it was '{name}'); "
            "name it with --training-text FILE, or a --corpus"
        )
    if about.get("fingerprint") not in (None, corpus.fingerprint):
        log.warning("note: %s is no longer the very text that the model was trained on", corpus.name)
    return corpus
