"""What classifiers and taggers share: labels, and texts and rows read block by block."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.model_info import ModelInfo
from textseq.data.dataset import Dataset as AnyDataset
from textseq.errors import TextseqError
from textseq.io.lines import read_ahead
from textseq.tasks.predictor import Dataset, Predictor
from textseq.training.distributed.environment import environment

log = logging.getLogger("textseq")

Row = TypeVar("Row")

BUFFER = 2048
"""Texts or sentences read ahead and sorted by length."""

SHOWN = 5
"""Unknown labels that a note names."""


class LabelPredictor(Predictor[Dataset]):
    """A predictor of labels."""

    @property
    def about(self) -> str:
        return ", ".join(self.labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the model's outputs."""
        return self.info.labels

    def with_unseen(
        self, noun: str, truth: Sequence[str], dataset: AnyDataset, split: str
    ) -> tuple[tuple[str, ...], list[int]]:
        """The labels and those that only the truth has, and the number of each true one; see ``note_unseen``."""
        note_unseen(noun, truth, self.labels, dataset, split)
        number_of = {label: number for number, label in enumerate(dict.fromkeys((*self.labels, *truth)))}
        return tuple(number_of), [number_of[label] for label in truth]


def labelled_info(saved: Checkpoint) -> tuple[str, ModelInfo]:
    """The file and the content of a model's metadata.

    Raises:
        TextseqError: it has fewer than two labels.
    """
    where = str(saved.folder / "config.json")
    if len(saved.info.labels) < 2:
        raise TextseqError(f"{where} is damaged: expected two labels or more; restore the folder")
    return where, saved.info


def text_blocks(
    texts: Iterable[Row], buffer: int, characters: int, progress: Callable[[int], object]
) -> Iterator[list[Row]]:
    """The texts in blocks of ``buffer`` texts or so many characters; ``progress`` is called after each.

    Raises:
        TextseqError: a single string.
    """
    if isinstance(texts, str):
        raise TextseqError("stream: expected a list of texts, got one string; put it into a list")
    iterator = iter(texts)
    while block := read_ahead(iterator, buffer, characters):
        yield block
        progress(len(block))


def row_blocks(rows: Iterator[Row], progress: Callable[[int], object]) -> Iterator[tuple[int, list[Row]]]:
    """The rows of a split in numbered blocks; ``progress`` is called after each."""
    for number, block in enumerate(iter(lambda: list(islice(rows, BUFFER)), [])):
        yield number, block
        progress(len(block))


def note_unseen(
    noun: str,
    targets: Iterable[str],
    known: Sequence[str],
    dataset: AnyDataset,
    split: str,
    *,
    columns: bool = True,
) -> None:
    """Warn that labels of a split are unknown to the model, and count as wrong.

    ``columns``: whether one's own files may have them in another column.

    Raises:
        TextseqError: all are unknown.
    """
    counts = Counter(targets)
    unseen = sorted(counts.keys() - set(known))
    if not unseen:
        return
    several = len(dataset.splits) > 1
    where = f"the {split} split of '{dataset.name}'" if several else f"'{dataset.name}'"
    names = ", ".join(map(repr, unseen[:SHOWN])) + ", ..." * (len(unseen) > SHOWN)
    if len(unseen) == len(counts):
        raise TextseqError(
            f"{where} has only {noun}s that the model does not know ({names}); it knows {', '.join(known)}"
            + (
                f"; if the {noun}s are in another column, say with --{noun}-column in which"
                if columns and not several
                else ""
            )
        )
    if environment().leads:
        share = f"{sum(counts[label] for label in unseen):,} of {counts.total():,}"
        log.warning(
            "note: %s has %ss that the model does not know (%s; %s): they count as wrong", where, noun, names, share
        )
