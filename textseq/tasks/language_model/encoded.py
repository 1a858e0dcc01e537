"""A split of a text as ids, with the conditions of its documents if it has any."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from torch import Tensor

from textseq.checkpoints.model_info import ModelInfo
from textseq.data.dataset import fingerprint_of
from textseq.data.text import LINE_END, ConditionalDataset
from textseq.data.token_files import DocumentSet, TokenFile, labelled_token_file, token_file
from textseq.errors import TextseqError, unknown
from textseq.tasks.language_model.condition import TextConditions
from textseq.tokenizers.base import Tokenizer


@dataclass(frozen=True, eq=False)
class EncodedText:
    """A split as a language model reads it."""

    tokens: TokenFile
    conditions: TextConditions | None
    """None without conditions."""


def encoded(dataset: DocumentSet, split: str, tokenizer: Tokenizer, cache: Path) -> EncodedText:
    """One split of a dataset as ids, from the cache if it is there; see ``token_files.token_file``.

    Documents without text count for nothing.
    """
    if not isinstance(dataset, ConditionalDataset):
        return EncodedText(token_file(dataset, split, tokenizer, cache), None)
    tokens = labelled_token_file(_ByCondition(dataset), split, tokenizer, cache)
    return EncodedText(tokens, TextConditions(tokens.document_starts, tokens.labels, dataset.condition_table()))


def encoded_under(numbers: Tensor, dataset: DocumentSet, split: str, tokenizer: Tokenizer, cache: Path) -> EncodedText:
    """``encoded`` with one condition, (K,), for all documents.

    Raises:
        TextseqError: the documents have conditions of their own.
    """
    if isinstance(dataset, ConditionalDataset):
        kind = "vectors" if dataset.vectors else "labels"
        raise TextseqError(
            f"condition: expected none for '{dataset.name}', whose texts have {kind}; leave it out, and name the model "
            "itself instead of one author"
        )
    tokens = token_file(_AfterLineEnds(dataset), split, tokenizer, cache)
    rows = np.zeros(len(tokens.document_starts), np.int64)
    return EncodedText(tokens, TextConditions(tokens.document_starts, rows, numbers[None].float().cpu().numpy()))


class _AfterLineEnds:
    """A dataset whose documents begin with a line end, as those of a ``ConditionalDataset`` do."""

    def __init__(self, dataset: DocumentSet) -> None:
        self.name, self.splits, self.dataset = dataset.name, dataset.splits, dataset
        self.fingerprint = fingerprint_of(dataset.fingerprint, "after line ends")

    def documents(self, split: str) -> Iterable[Iterable[str]]:
        """Each document of a split in chunks."""
        return (chain([LINE_END], document) for document in self.dataset.documents(split))


class _ByCondition:
    """A dataset whose labels are its conditions, for token files."""

    def __init__(self, dataset: ConditionalDataset) -> None:
        self.name, self.splits, self.fingerprint = dataset.name, dataset.splits, dataset.fingerprint
        self.labels, self.documents = dataset.conditions, dataset.documents
        self.dataset = dataset

    def labelled_documents(self, split: str) -> Iterable[tuple[Iterable[str], str]]:
        """Each document of a split in chunks, with its condition."""
        return self.dataset.conditional_documents(split)


def with_known_conditions(dataset: DocumentSet, info: ModelInfo) -> ConditionalDataset:
    """The dataset with the model's labels in its order."""
    if not isinstance(dataset, ConditionalDataset) or dataset.vector_size != info.vector_size:
        raise TextseqError(
            f"expected texts with {'labels' if info.labels else 'vectors'} that the model is conditioned on, "
            f"got '{dataset.name}'; name a corpus or --labelled files that have them, or one for all with --condition"
        )
    for label in dataset.labels:
        if label not in info.labels:
            raise unknown("label", label, info.labels)
    return replace(dataset, labels=info.labels)
