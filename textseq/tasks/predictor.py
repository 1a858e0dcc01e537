"""What the predictors of all tasks share: a trained model with its tokenizer, ready for use.

A predictor takes a list and gives a list; a single text is taken as one and given back as one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, get_args

import torch
from torch import nn

from textseq.checkpoints.checkpoint import Checkpoint, TokenizerLike
from textseq.checkpoints.model_card import CardText, save_with_card
from textseq.checkpoints.model_info import ModelInfo, Table
from textseq.checkpoints.weight_formats import Bits
from textseq.config.decoding import Precision
from textseq.data.sources import DataSource
from textseq.data.word_vectors import Vectors, vectors_of
from textseq.errors import TextseqError, unknown
from textseq.training.distributed.group import SINGLE_PROCESS, ProcessGroup

Dataset = TypeVar("Dataset")
Item = TypeVar("Item")
Result = TypeVar("Result")


class Metrics(Protocol):
    """Numbers with the recipe that they were computed by; ``str`` gives them in a line or more."""

    @property
    def signature(self) -> str: ...

    def to_dict(self) -> Table: ...


class Predictor(ABC, Generic[Dataset]):
    """A model with its tokenizer and metadata.

    Args:
        model: set to evaluation mode.
        tokenizer: the one that it was trained with, or several.
        info: its metadata.
        precision: number format of the matrix products.

    Raises:
        TextseqError: a precision that is unknown, or that this task or the device does not support.
    """

    noun: ClassVar[str]
    unit: ClassVar[str] = "texts"
    """What progress counts in an evaluation."""
    precisions: ClassVar[tuple[Precision, ...]] = ("float32",)

    def __init__(
        self, model: nn.Module, tokenizer: TokenizerLike, info: ModelInfo, *, precision: Precision = "float32"
    ) -> None:
        if precision not in get_args(Precision):
            raise unknown("precision", precision, get_args(Precision))
        if precision not in self.precisions:
            raise TextseqError(
                f"--precision: {self.noun} supports {' and '.join(self.precisions)}, got {precision}; "
                "choose one of these"
            )
        self.model: nn.Module = model.eval()
        self.tokenizer: TokenizerLike = tokenizer
        self.info = info
        self.precision = precision
        self.device: torch.device = next(model.parameters()).device

    @classmethod
    @abstractmethod
    def open(cls, saved: Checkpoint, *, device: str = "cpu", precision: Precision = "float32") -> Self:
        """The predictor of a checkpoint.

        Raises:
            TextseqError: settings or weights that do not fit one another, or a precision that is not supported.
        """

    @staticmethod
    @abstractmethod
    def describe(name: str, info: ModelInfo) -> CardText:
        """This task's part of the model card."""

    @abstractmethod
    def evaluate(
        self,
        dataset: Dataset,
        split: str = "test",
        *,
        progress: Callable[[int], object] = lambda count: None,
        process_group: ProcessGroup = SINGLE_PROCESS,
    ) -> Metrics:
        """Measure it on a split of a dataset.

        Args:
            dataset: of the task.
            split: of the dataset.
            progress: called with the number of units of each finished part.
            process_group: processes that share the work, all with the same model and dataset.

        Raises:
            TextseqError: the dataset lacks the split, or does not fit the model; or several processes, for which there
                is only work for one.
        """

    def evaluation_source(self, source: DataSource) -> DataSource:
        """The data source with what the model knows of it, for ``evaluate``."""
        return source

    def warnings(self, dataset: Dataset, source: DataSource) -> list[str]:
        """What a user should know of an evaluation on a dataset; a sentence each, without its subject, the model."""
        lists = [self.info.source.get(name) for name in (source.own_files, "labelled")]
        trained_on = {path for paths in lists if isinstance(paths, list | tuple) for path in paths}
        return [
            f"was trained on {path}: metrics on it say little about new texts"
            for path in source.resolved().files
            if path in trained_on
        ]

    @property
    def has_confusion(self) -> bool:
        """Whether its metrics have a confusion matrix."""
        return False

    @abstractmethod
    def word_table(self) -> tuple[Sequence[str], torch.Tensor]:
        """The tokens and their vectors, (V, E)."""

    @property
    def about(self) -> str:
        """A few words for ``repr``, such as the labels."""
        return self.info.corpus.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.about}; {self._parameter_count():,} parameters)"

    def _parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    @cached_property
    def vectors(self) -> Vectors:
        """The token vectors by the words that they stand for, such as ``predictor.vectors.nearest("king")``."""
        tokens, table = self.word_table()
        return vectors_of(tokens, table.detach().cpu().numpy())

    def nearest(self, word: str, count: int = 10) -> list[tuple[str, float]]:
        """The words with the most similar vectors; an unknown one is a TextseqError."""
        return self.vectors.nearest(word, count)

    def save(self, folder: Path | str, *, bits: Bits = 32, results: Sequence[Metrics] = ()) -> None:
        """Write the model as a folder that ``load`` reads, to keep or to give away.

        Args:
            folder: must not exist yet.
            bits: per weight: 32; 16, with differences in the fourth digit of the loss; 8, a quarter of the size, with
                differences in the third or fourth.
            results: further metrics for the model card, before those of the training.

        Raises:
            TextseqError: the folder exists, or cannot be written.
        """
        rows = [metrics.to_dict() for metrics in results]
        save_with_card(Path(folder), self.model, self.tokenizer, self.info, self.describe, bits=bits, results=rows)


AnyPredictor = Predictor[Any]


def each(items: str | Iterable[Item], use: Callable[[Sequence[Item | str]], list[Result]]) -> Result | list[Result]:
    """Apply a function of lists to a list or column, or to a single string as to a list of one.

    Raises:
        TextseqError: neither.
    """
    if isinstance(items, str):
        return use([items])[0]
    if not isinstance(items, Iterable):
        raise TextseqError(f"expected a string or a list of strings, got {items!r:.50}; give one")
    return use([*items])


def batches_by_length(lengths: Mapping[int, int], limit: int) -> Iterator[list[int]]:
    """Indices in batches, longest first, of at most ``limit`` tokens with padding (or a single longer text).

    Args:
        lengths: in tokens, by index.
        limit: tokens of a batch.
    """
    longest_first = sorted(lengths, key=lambda index: -lengths[index])
    while longest_first:
        count = max(1, limit // max(1, lengths[longest_first[0]]))
        yield longest_first[:count]
        longest_first = longest_first[count:]


def check_dataset(dataset: object, rows: str, example: str) -> None:
    """Raise a TextseqError if what a model is to be measured on is no dataset with such ``rows``, a method's name."""
    if not callable(getattr(dataset, rows, None)):
        raise TextseqError(f"evaluate: expected a dataset, such as {example}, got {type(dataset).__name__}; open one")
