"""The data source of translators: sentence pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from textseq.config.base import ranged
from textseq.data.dataset import Dataset
from textseq.data.pairs import LONGEST, VALIDATION, PairDataset, load_pairs, own_pairs
from textseq.data.readers.exported import row_file
from textseq.data.sources.base import DataSource, read_options
from textseq.io.lines import LONGEST as LONGEST_LINE


@dataclass(frozen=True, kw_only=True)
class PairData(DataSource):
    """Your own sentence pairs, or which languages of a corpus."""

    own_files: ClassVar[str] = "pairs"

    source: str | None = None
    """Language to translate from: a code such as en. Default: the first language of the corpus that is not the
    target; of your own files what the endings of two aligned ones (a.en, a.fr) or a header (English, French) say."""
    target: str | None = None
    """Language to translate into. Default: the first language of the corpus that is not the source, or what the second
    file's ending or a header says."""
    pairs: tuple[str, ...] = ()
    """Your own pairs: two aligned text files (sources and targets, one sentence per line), or one file of tab-separated
    columns (.tsv) or of JSON objects (.jsonl, .json), a .parquet file, or hf://NAME, a dataset of the Hugging Face Hub.
    Text files may be compressed (.gz, .bz2, .xz, .zst, .zip)."""
    validation_pairs: tuple[str, ...] = ()
    """Separate files for validation, in the same form as --pairs."""
    source_column: str | None = None
    """Column of the sources in a .tsv file, by its name in the header or its number from 1, or key in a .jsonl file.
    Default: the one named after the language, or "source"; without such a header, the first that is not all numbers."""
    target_column: str | None = None
    """The same for the targets ("target", the second such column)."""
    validation: float = ranged(VALIDATION, at_least=0, at_most=0.5)
    """Share of --pairs kept for validation; none of its sentences is in training. At most 2,000 pairs, and at least 50,
    or a tenth of all pairs where that is less; none with 0."""
    empty: Literal["refuse", "drop"] = "refuse"
    """What to do with pairs in which a sentence is empty: refuse the file, or drop them."""
    overlong: Literal["refuse", "drop"] = "refuse"
    """The same for pairs with a sentence of more than --longest-sentence characters."""
    longest_sentence: int = ranged(LONGEST, at_least=1)
    """Characters of a sentence of --pairs; longer ones are mostly mistakes in the file."""
    unreadable: Literal["refuse", "drop"] = "refuse"
    """The same for lines without a tab, damaged JSON, bytes that are not text."""

    def open(self, *, data_dir: Path | None = None, download: bool = False) -> PairDataset:
        """The pairs; see ``DataSource.open``."""
        self._check()
        if self.corpus is not None:
            return load_pairs(self.corpus, source=self.source, target=self.target, data_dir=data_dir, download=download)
        return own_pairs(
            [row_file(name, self.encoding) for name in self.pairs],
            source_column=self.source_column,
            target_column=self.target_column,
            source_language=self.source,
            target_language=self.target,
            empty=self.empty,
            **read_options(
                self,
                row_file,
                longest=self.longest_sentence,
                overlong=self.overlong,
                unreadable=self.unreadable,
            ),
        )

    def open_whole(self, *, data_dir: Path | None = None, download: bool = False) -> PairDataset:
        """``open``, with one's own files as a single split of sentences of any length that a translator reads."""
        source = replace(self, validation=0.0, longest_sentence=LONGEST_LINE)
        return source.open(data_dir=data_dir, download=download)

    def default_name(self, dataset: Dataset) -> str:
        """The run's name unless one is given: the first file's without its ending, or the corpus's and languages'."""
        if self.files or not isinstance(dataset, PairDataset):
            return super().default_name(dataset)
        return f"{dataset.name}-{dataset.source_language}-{dataset.target_language}"
