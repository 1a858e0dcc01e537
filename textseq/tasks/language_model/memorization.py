"""Memorization: the parts of a text that are copied verbatim from the training text."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from textseq.checkpoints.model_info import ModelInfo
from textseq.config.tokenizer import NormalizationName
from textseq.data.labelled import load_text
from textseq.data.sources import TextData
from textseq.data.text import corpus_names
from textseq.data.token_files import DocumentSet
from textseq.errors import TextseqError
from textseq.tokenizers.normalization import normalize, normalize_chunks

log = logging.getLogger("textseq")


LEAST = 30
"""Minimum length of a copied run, in characters: about six words; any two texts share shorter ones."""

SHOWN = 64
"""Characters of the longest run that are shown."""


@dataclass(frozen=True)
class Memorization:
    """Overlap of a text with the training text."""

    text: str
    start: int
    """Start of the longest run that also occurs in the training text (the first of equals)."""
    length: int
    """Length of that run, in characters."""
    copied_spans: tuple[tuple[int, int], ...]
    """Start and end of what is copied in runs of at least ``LEAST`` characters, in order, without overlaps."""
    source: str
    """Name of the training text."""

    @property
    def run(self) -> str:
        """The longest run."""
        return self.text[self.start : self.start + self.length]

    @property
    def words(self) -> int:
        """Words of the longest run, partial ones included."""
        return len(self.run.split())

    @property
    def copied(self) -> int:
        """Characters in these spans."""
        return sum(end - start for start, end in self.copied_spans)

    @property
    def share(self) -> float:
        """The share of the text in copied runs of at least ``LEAST`` characters."""
        return self.copied / max(len(self.text), 1)

    def __str__(self) -> str:
        run = self.run
        if len(run) > SHOWN:
            run = f"{run[: SHOWN // 2]} ... {run[-SHOWN // 2 :]}"
        line = self.text.count("\n", 0, self.start) + 1
        return (
            f"longest run copied from {self.source}: {self.length:,} characters, {self.words:,} words, "
            f"from character {self.start + 1:,} (line {line:,}) of the text: {run!r}\n"
            f"copied in runs of {LEAST} characters or more: {self.share:.1%} of {len(self.text):,} characters"
        )


def memorization_of(
    text: str, corpus: DocumentSet, split: str = "train", *, normalization: NormalizationName = "lines"
) -> Memorization:
    """Find the runs of a text that also occur in a corpus, within single documents.

    The corpus is streamed at about 10 MB per second; memory is about half a kilobyte per character of the text.

    Args:
        text: one that the model wrote, without the prompt, or another.
        corpus: the training corpus.
        split: of the corpus.
        normalization: of both, such as that of the model's tokenizer; see ``tokenizers.normalization``.

    Raises:
        TextseqError: the corpus has no such split, or cannot be read.
    """
    text = normalize(text, normalization)
    documents = (normalize_chunks(document, normalization) for document in corpus.documents(split))
    lengths = copied_lengths(text, documents)
    length = max(lengths, default=0)
    start = lengths.index(length) + 1 - length if length else 0
    spans: list[tuple[int, int]] = []
    for stop, run in enumerate(lengths, 1):
        if run >= LEAST:
            begin = stop - run
            while spans and begin <= spans[-1][1]:  # it continues the run before
                begin = min(begin, spans.pop()[0])
            spans.append((begin, stop))
    return Memorization(text, start, length, (*spans,), corpus.name)


def copied_lengths(text: str, documents: Iterable[Iterable[str]]) -> list[int]:
    """For each character of a text, the length of the longest run that ends there and occurs in one of the documents.

    The suffix automaton of the text (Blumer et al. 1985) reads the documents; its state after each character gives the
    longest run of the text that ends there.

    Args:
        text: L characters.
        documents: each in chunks; chunk boundaries do not matter.

    Returns:
        L lengths.
    """
    steps, shorter, longest = _automaton(text)
    reached = [0] * len(steps)  # of each state, its longest run in the documents
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
    # The suffixes of a run that occurs occur too: they are the states along the suffix links.
    for state in sorted(range(1, len(steps)), key=longest.__getitem__, reverse=True):
        if reached[state]:
            reached[shorter[state]] = longest[shorter[state]]
    lengths, state = [], 0
    for character in text:
        state = steps[state][character]
        found = state
        while not reached[found] and found:
            found = shorter[found]
        lengths.append(reached[found])
    return lengths


def _automaton(text: str) -> tuple[list[dict[str, int]], list[int], list[int]]:
    """The suffix automaton of a text: for each state its transitions, suffix link and longest length."""
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
        clone = len(steps)  # of ``old``, for its runs that occur here too
        steps.append(dict(steps[old]))
        shorter.append(shorter[old])
        longest.append(longest[state] + 1)
        shorter[old] = shorter[new] = clone
        while state >= 0 and steps[state].get(character) == old:
            steps[state][character] = clone
            state = shorter[state]
    return steps, shorter, longest


def training_text(info: ModelInfo, *, data_dir: Path | None = None, download: bool = False) -> DocumentSet:
    """Open the text that a model was trained on; logs a warning if it has changed since.

    Args:
        info: metadata of the model.
        data_dir: folder of the corpora; ``TEXTSEQ_DATA`` by default.
        download: fetch a corpus that is not there.

    Raises:
        TextseqError: the metadata names no text that could be found; or whatever is wrong with its files.
    """
    name, source = info.corpus.name, info.source
    if any(source.get(key) for key in ("corpus", "text", "labelled")):  # one given away has only names of columns
        text = source.get("text")
        table = {**source, "text": tuple(text) if isinstance(text, list | tuple) else ()}
        corpus: DocumentSet = TextData.from_dict(table, where="config.json").open(data_dir=data_dir, download=download)
    elif name in corpus_names():
        corpus = load_text(name, data_dir=data_dir, download=download)
    else:
        raise TextseqError(
            f"the model's metadata does not locate its training text ('{name}'); "
            "give it with --training-text FILE, or a --corpus"
        )
    if info.corpus.fingerprint not in ("", corpus.fingerprint):
        log.warning("note: %s has changed since the model was trained on it", corpus.name)
    return corpus
