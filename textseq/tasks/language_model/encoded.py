"""A split of a text as ids, with the conditions of its documents if it has any."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from textseq.data.text import ConditionalDataset
from textseq.data.token_files import DocumentSet, TokenFile, labelled_token_file, token_file
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


class _ByCondition:
    """A dataset whose labels are its conditions, for token files."""

    def __init__(self, dataset: ConditionalDataset) -> None:
        self.name, self.splits, self.fingerprint = dataset.name, dataset.splits, dataset.fingerprint
        self.labels, self.documents = dataset.conditions, dataset.documents
        self.dataset = dataset

    def labelled_documents(self, split: str) -> Iterable[tuple[Iterable[str], str]]:
        """Each document of a split in chunks, with its condition."""
        return self.dataset.conditional_documents(split)
