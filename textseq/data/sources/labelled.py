"""The data source of classifiers: labelled texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from textseq.config.base import ranged
from textseq.data.dataset import VALIDATION
from textseq.data.labelled import LONGEST, LabelledDataset, load_labelled, own_labelled
from textseq.data.readers.exported import row_file
from textseq.data.sources.base import VectorSource, read_options
from textseq.errors import TextseqError


@dataclass(frozen=True, kw_only=True)
class LabelledData(VectorSource):
    """Your own labelled texts."""

    own_files: ClassVar[str] = "labelled"

    labelled: tuple[str, ...] = ()
    """Your own texts with their labels: tables with a header (.csv, .tsv, .parquet), JSON objects, one per line
    (.jsonl) or in a list (.json), or folders with a folder for each label that holds one file per text. Text files may
    be compressed (.gz, .bz2, .xz, .zst, .zip). hf://NAME, hf://NAME:CONFIG and hf://NAME@SPLIT are datasets of the
    Hugging Face Hub, or folders that save_to_disk wrote (default split: train)."""
    validation_labelled: tuple[str, ...] = ()
    """Separate files for validation, in the same form as --labelled."""
    text_column: str | None = None
    """Column of the texts, by its name in the header or its number from 1, or key. Default: one that is called text,
    sentence, review, content..."""
    label_column: str | None = None
    """The same for the labels. Default: one that is called label, class, sentiment, category..."""
    multi_label: bool = False
    """Each text has several labels: a list in JSON or in a cell (['a', 'b']), which may be empty, or a cell with
    separators between them. Each label has a probability of its own, and those above a threshold are given, which is
    chosen on the validation split."""
    label_separator: str = ","
    """What separates the labels of a cell with --multi-label."""
    validation: float = ranged(VALIDATION, at_least=0, at_most=0.5)
    """Share of --labelled, or of the training split of a corpus without a validation split, that is kept for
    validation, stratified by label. 0: none, and a corpus's validation split is trained on too, for a final training
    with settled settings, in which nothing is measured."""
    empty: Literal["refuse", "drop"] = "refuse"
    """What to do with empty texts of --labelled: refuse the file, or drop them."""
    overlong: Literal["refuse", "drop"] = "refuse"
    """The same for texts of more than --longest-text characters."""
    longest_text: int = ranged(LONGEST, at_least=1)
    """Characters of a text of --labelled; longer ones are mostly mistakes in the file."""
    unreadable: Literal["refuse", "drop"] = "refuse"
    """The same for rows without a label or with too few columns, damaged JSON, bytes that are not text."""
    folds: int | None = ranged(None, at_least=2)
    """Cross-validation: divide all texts into this many folds, and train a model for each fold on the others and
    measure it there. The runs are called NAME-fold1of10 and so on; the same command resumes after a stop."""
    seeds: int | None = ranged(None, at_least=2)
    """Train this many models that differ only in their seed, from --seed on, and measure each on the test split (or the
    validation split if there is none, or its fold with --folds): mean and standard deviation. The runs are called
    NAME-seed1 and so on."""
    fold: int | None = ranged(None, at_least=1)
    """Which fold is the test split."""

    def open_whole(self, *, data_dir: Path | None = None, download: bool = False) -> LabelledDataset:
        """``open``, with one's own files as a single split, which may have a single label."""
        return self.open(data_dir=data_dir, download=download, whole=True)

    def open(self, *, data_dir: Path | None = None, download: bool = False, whole: bool = False) -> LabelledDataset:
        """The texts; see ``DataSource.open``."""
        self._check()
        if self.multi_label and (self.corpus is not None or self.folds or self.seeds):
            raise TextseqError("--multi-label: expected your own files without --folds and --seeds; leave them out")
        if not self.label_separator or (self.label_separator != "," and not self.multi_label):
            raise TextseqError(
                f"--label-separator: expected what separates several labels (--multi-label), got "
                f"'{self.label_separator}'; leave it out"
            )
        if self.corpus is not None:
            dataset = load_labelled(self.corpus, data_dir=data_dir, download=download)
        else:
            dataset = own_labelled(
                [row_file(name, self.encoding) for name in self.labelled],
                text_column=self.text_column,
                label_column=self.label_column,
                empty=self.empty,
                fewest_labels=1 if whole else 2,
                separator=self.label_separator if self.multi_label else None,
                **read_options(
                    self,
                    row_file,
                    longest=self.longest_text,
                    overlong=self.overlong,
                    unreadable=self.unreadable,
                    whole=whole or bool(self.folds),  # folds divide all texts
                ),
            )
        if whole:
            return dataset
        if self.folds is not None and self.fold is not None:
            return dataset.fold(self.fold - 1, self.folds, validation=self.validation)
        return dataset if self.corpus is None else dataset.with_validation(self.validation)
