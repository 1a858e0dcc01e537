"""The data source of language models: texts."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

from textseq.config.base import ranged
from textseq.data.dataset import VALIDATION
from textseq.data.labelled import LabelledDataset, load_text, own_labelled
from textseq.data.readers.exported import row_file, text_file
from textseq.data.sources.base import VectorSource
from textseq.data.text import (
    ConditionalDataset,
    TextDataset,
    is_folder_of_files,
    own_authors,
    own_text,
    with_conditions,
)
from textseq.errors import TextseqError

ConditionKind: TypeAlias = Literal["auto", "none", "label", "vector"]


@dataclass(frozen=True, kw_only=True)
class TextData(VectorSource):
    """Your own text."""

    own_files: ClassVar[str] = "text"

    text: tuple[str, ...] = ()
    """Your own text: files, or folders to search for text files (a folder of source code works as well; runs and models
    of textseq in it are skipped), or - for stdin; or a .parquet file or hf://DATASET, whose text column is read."""
    labelled: tuple[str, ...] = ()
    """Your own texts, each with a label or a vector of numbers, which the model is conditioned on (see --condition): a
    .csv, .tsv, .jsonl, .json or .parquet file, hf://DATASET, or a folder with a folder for each label. A text is a
    document of its own. In a folder of files alone each file is one long text, whose label is the file's name
    (austen.txt, poe.txt)."""
    condition: ConditionKind = "auto"
    """What the model is conditioned on, in training and when it writes: label (of --labelled, or of a corpus of
    labelled texts or of several authors), vector (numbers in a column or key of --labelled), or none. auto: vector with
    --vector-column, label with --labelled and for a corpus of several authors, none otherwise."""
    text_column: str | None = None
    """Column of the texts of --labelled, by its name in the header or its number from 1; of JSON, the key. Default: one
    that is called text, sentence, review, content..."""
    label_column: str | None = None
    """The same for the labels. Default: one that is called label, class, sentiment, category..."""
    vector_column: str | None = None
    """The same for the vectors: lists of numbers in JSON, or cells with spaces or commas between them. Default: one
    that is called vector, condition, features, embedding."""
    validation: float = ranged(VALIDATION, at_least=0, at_most=0.5)
    """Share of --text, from its end, or of the texts of --labelled, that is kept for validation instead of training."""
    empty: Literal["refuse", "drop"] = "refuse"
    """What to do with empty texts of --labelled: refuse the file, or drop them."""
    unreadable: Literal["refuse", "drop"] = "refuse"
    """The same for rows without a label or vector or with too few columns, damaged JSON, bytes that are not text."""

    @property
    def files(self) -> tuple[str, ...]:
        """One's own files and folders; empty for a corpus."""
        return super().files + self.labelled

    def open(
        self, *, data_dir: Path | None = None, download: bool = False
    ) -> TextDataset | LabelledDataset | ConditionalDataset:
        """The text; see ``DataSource.open``."""
        self._check()
        if self.text and self.labelled:
            raise TextseqError("--text: expected it without --labelled; leave one of them out")
        vectors = self.condition == "vector" or (self.condition == "auto" and self.vector_column is not None)
        if (vectors and not self.labelled) or (self.condition == "label" and self.text):
            raise TextseqError(f"--condition: expected none for {self._what()}, got {self.condition}; use --labelled")
        if self.corpus is not None:
            dataset = load_text(self.corpus, data_dir=data_dir, download=download)
            if self.condition == "label" and isinstance(dataset, TextDataset):
                raise TextseqError(f"--condition: expected none for {self._what()}, got label; it has no labels")
            if self.condition == "label" and isinstance(dataset, LabelledDataset):
                return with_conditions(dataset, labels=dataset.labels)
            if self.condition == "none" and isinstance(dataset, ConditionalDataset):
                return dataset.unconditional()
            return dataset
        if self.text:
            return own_text(
                [text_file(name, self.encoding) for name in self.text],
                encoding=self.encoding,
                validation=self.validation,
            )
        folders = [Path(name) for name in self.labelled]
        if not vectors and all(map(is_folder_of_files, folders)):
            if self.text_column is not None or self.label_column is not None:
                raise TextseqError(f"names of columns are for tables and JSON lines, not for a folder ({folders[0]})")
            authors = own_authors(folders, encoding=self.encoding, validation=self.validation)
            return authors.unconditional() if self.condition == "none" else authors
        labelled = own_labelled(
            [row_file(name, self.encoding) for name in self.labelled],
            text_column=self.text_column,
            label_column=self.vector_column if vectors else self.label_column,
            vectors=vectors,
            fewest_labels=1,
            longest=sys.maxsize,
            empty=self.empty,
            unreadable=self.unreadable,
            encoding=self.encoding,
            validation=self.validation,
            validation_paths=None,
        )
        if self.condition == "none":
            return labelled
        return with_conditions(labelled, **{"vectors" if vectors else "labels": labelled.labels})

    def _what(self) -> str:
        """What is learned from, for errors."""
        return f"the corpus '{self.corpus}'" if self.corpus is not None else f"--text {self.text[0]}"
