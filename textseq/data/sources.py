"""Data sources: settings that name a corpus or one's own files, and how the files are read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from textseq.config.base import Settings, ranged
from textseq.data.dataset import Dataset, ReadOptions, fingerprint_of
from textseq.data.labelled import LabelledDataset, load_labelled, load_text, own_labelled
from textseq.data.pairs import PairDataset, load_pairs, own_pairs
from textseq.data.readers.exported import HUB, absolute, row_file, sentence_file, text_file, title_of
from textseq.data.tagged import TaggedDataset, load_tagged, own_tagged
from textseq.data.text import ConditionalDataset, TextDataset, own_text, with_conditions
from textseq.errors import TextseqError
from textseq.io.documents import Document
from textseq.io.files import real
from textseq.io.lines import LONGEST


@dataclass(frozen=True, kw_only=True)
class DataSource(Settings):
    """What a run learns from: a corpus by name, or one's own files."""

    own_files: ClassVar[str]
    """The field, and the flag, that names one's own files."""

    corpus: str | None = None
    """A corpus by name."""
    encoding: str = "utf-8"
    """Encoding of your own files."""
    validation: float = ranged(0.1, at_least=0, at_most=0.5)
    """Share of your own files that is kept for validation."""

    @property
    def files(self) -> tuple[str, ...]:
        """One's own files and folders; empty for a corpus."""
        files: tuple[str, ...] = getattr(self, self.own_files)
        return files

    @abstractmethod
    def open(self, *, data_dir: Path | None = None, download: bool = False) -> Dataset:
        """Find and verify the corpus's files, or read and check one's own.

        Args:
            data_dir: the folder of the corpora; None means the one that ``TEXTSEQ_DATA`` names, if any.
            download: whether to fetch missing files of a corpus into the cache.

        Raises:
            TextseqError: neither or both are named, or the files are missing or invalid.
        """

    def open_whole(self, *, data_dir: Path | None = None, download: bool = False) -> Dataset:
        """``open``, with one's own files as a single split, to evaluate a model on them."""
        return replace(self, validation=0.0).open(data_dir=data_dir, download=download)

    def resolved(self) -> Self:
        """A copy with absolute paths, which hold wherever the run is resumed from."""
        names = (self.own_files, f"validation_{self.own_files}", "labelled")
        paths: dict[str, Any] = {
            name: tuple(map(_absolute, getattr(self, name))) for name in names if hasattr(self, name)
        }
        return replace(self, **paths)

    def default_name(self, dataset: Dataset) -> str:
        """The run's name unless one is given: the corpus's, or the first file's up to its first dot."""
        return title_of(self.files[0]).split(".")[0] if self.files else dataset.name

    def _check(self) -> None:
        """Raise a TextseqError unless exactly one of a corpus and one's own files is named."""
        if (self.corpus is None) == (not self.files):
            raise TextseqError(f"name a corpus or give your own files with --{self.own_files}, one of the two")


@dataclass(frozen=True, kw_only=True)
class VectorSource(DataSource):
    """A data source whose model may begin with word vectors."""

    vectors: str | None = None
    """Initial word vectors: a file in GloVe's, word2vec's or fastText's format (plain, .gz, .zip, or
    ARCHIVE.zip#MEMBER), or public ones by name (see --list-vectors). --embedding-size must equal their size."""


@dataclass(frozen=True, kw_only=True)
class TextData(VectorSource):
    """Your own text."""

    own_files: ClassVar[str] = "text"

    text: tuple[str, ...] = ()
    """Your own text: files, or folders to search for text files (a folder of source code works as well), or - for
    stdin; or a .parquet file or hf://DATASET, whose text column is read."""
    labelled: tuple[str, ...] = ()
    """Your own texts, each with a label or a vector of numbers, which the model is conditioned on (see --condition): a
    .csv, .tsv or .jsonl file, or a folder for each label. A text is a document of its own."""
    condition: Literal["auto", "none", "label", "vector"] = "auto"
    """What the model is conditioned on, in training and when it writes: label (of --labelled, or of a corpus of
    labelled texts or of several authors), vector (numbers in a column or key of --labelled), or none. auto: vector with
    --vector-column, label with --labelled and for a corpus of several authors, none otherwise."""
    text_column: str | None = None
    """Column of the texts of --labelled, by its name in the header or its number from 1, or key. Default: one that is
    called text, sentence, review, content..."""
    label_column: str | None = None
    """The same for the labels. Default: one that is called label, class, sentiment, category..."""
    vector_column: str | None = None
    """The same for the vectors: lists of numbers in JSON, or cells with spaces or commas between them. Default: one
    that is called vector, condition, features, embedding."""
    validation: float = ranged(0.1, at_least=0, at_most=0.5)
    """Share of --text, from its end, or of the texts of --labelled, that is kept for validation instead of training."""

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
            return _unconditional(dataset) if self.condition == "none" else dataset
        if self.text:
            return own_text([*map(text_file, self.text)], encoding=self.encoding, validation=self.validation)
        labelled = own_labelled(
            [*map(row_file, self.labelled)],
            text_column=self.text_column,
            label_column=self.vector_column if vectors else self.label_column,
            vectors=vectors,
            fewest_labels=1,
            encoding=self.encoding,
            validation=self.validation,
        )
        if self.condition == "none":
            return labelled
        return with_conditions(labelled, **{"vectors" if vectors else "labels": labelled.labels})

    def _what(self) -> str:
        """What is learned from, for errors."""
        return f"the corpus '{self.corpus}'" if self.corpus is not None else f"--text {self.text[0]}"

    def default_name(self, dataset: Dataset) -> str:
        """The run's name unless one is given: the corpus's, or the first file's without its last ending."""
        return self.corpus or Path(title_of(self.files[0])).stem or "run"


@dataclass(frozen=True, kw_only=True)
class PairData(DataSource):
    """Your own sentence pairs, or which languages of a corpus."""

    own_files: ClassVar[str] = "pairs"

    source: str | None = None
    """Language to translate from: a code such as en. Default: the corpus's first that is not the target; of two
    aligned files what their endings say (a.en, a.fr)."""
    target: str | None = None
    """Language to translate into. Default: the corpus's first that is not the source, or the second file's ending."""
    pairs: tuple[str, ...] = ()
    """Your own pairs: two aligned text files (sources and targets, one sentence per line), or one file of tab-separated
    columns (.tsv) or of JSON objects (.jsonl, .json), a .parquet file, or hf://DATASET (see --labelled). Text files may
    be compressed (.gz, .bz2, .xz, .zst, .zip)."""
    validation_pairs: tuple[str, ...] = ()
    """Separate files for validation, in the same form as --pairs."""
    source_column: str | None = None
    """Column of the sources in a .tsv file, by its name in the header or its number from 1, or key in a .jsonl file.
    Default: the one named after the language, or "source"; without such a header, the first that is not all numbers."""
    target_column: str | None = None
    """The same for the targets ("target", the second such column)."""
    validation: float = ranged(0.02, at_least=0, at_most=0.5)
    """Share of --pairs kept for validation; none of its sentences is in training. At most 2,000 pairs, and at least 50,
    or a tenth of all pairs where that is less; none with 0."""
    empty: Literal["refuse", "drop"] = "refuse"
    """What to do with pairs in which a sentence is empty: refuse the file, or drop them."""
    overlong: Literal["refuse", "drop"] = "refuse"
    """The same for pairs with a sentence of more than --longest-sentence characters."""
    longest_sentence: int = ranged(1000, at_least=1)
    """Characters of a sentence of --pairs; longer ones are mostly mistakes in the file."""
    unreadable: Literal["refuse", "drop"] = "refuse"
    """The same for lines without a tab, damaged JSON, bytes that are not text."""

    def open(self, *, data_dir: Path | None = None, download: bool = False) -> PairDataset:
        """The pairs; see ``DataSource.open``."""
        self._check()
        if self.corpus is not None:
            return load_pairs(self.corpus, source=self.source, target=self.target, data_dir=data_dir, download=download)
        return own_pairs(
            [*map(row_file, self.pairs)],
            source_column=self.source_column,
            target_column=self.target_column,
            source_language=self.source,
            target_language=self.target,
            empty=self.empty,
            **_options(self, self.longest_sentence),
        )

    def open_whole(self, *, data_dir: Path | None = None, download: bool = False) -> PairDataset:
        """``open``, with one's own files as a single split of sentences of any length that a translator reads."""
        source = replace(self, validation=0.0, longest_sentence=LONGEST)
        return source.open(data_dir=data_dir, download=download)

    def default_name(self, dataset: Dataset) -> str:
        """The run's name unless one is given: the first file's up to its first dot, or the corpus's and languages'."""
        if self.files or not isinstance(dataset, PairDataset):
            return super().default_name(dataset)
        return f"{dataset.name}-{dataset.source_language}-{dataset.target_language}"


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
    """Each text has several labels: a list in JSON, which may be empty, or a cell with separators between them. Each
    label has a probability of its own, and those above a threshold are given, which is chosen on the validation
    split."""
    label_separator: str = ","
    """What separates the labels of a cell with --multi-label."""
    validation: float = ranged(0.1, at_least=0, at_most=0.5)
    """Share of --labelled, or of the training split of a corpus without a validation split, that is kept for
    validation, stratified by label. 0: none, and a corpus's validation split is trained on too, for a final training
    with settled settings; use it with --best-by loss, as nothing is measured."""
    empty: Literal["refuse", "drop"] = "refuse"
    """What to do with empty texts of --labelled: refuse the file, or drop them."""
    overlong: Literal["refuse", "drop"] = "refuse"
    """The same for texts of more than --longest-text characters."""
    longest_text: int = ranged(1_000_000, at_least=1)
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
                [*map(row_file, self.labelled)],
                text_column=self.text_column,
                label_column=self.label_column,
                empty=self.empty,
                fewest_labels=1 if whole else 2,
                separator=self.label_separator if self.multi_label else None,
                **_options(self, self.longest_text, whole=whole or bool(self.folds)),  # folds divide all texts
            )
        if whole:
            return dataset
        if self.folds is not None and self.fold is not None:
            return dataset.fold(self.fold - 1, self.folds, validation=self.validation)
        return dataset if self.corpus is None else dataset.with_validation(self.validation)


@dataclass(frozen=True, kw_only=True)
class TaggedData(VectorSource):
    """Your own tagged sentences."""

    own_files: ClassVar[str] = "tagged"

    tagged: tuple[str, ...] = ()
    """Your own sentences: files with one word per line, its tag in another column (separated by a tab or spaces, as in
    CoNLL), and an empty line after each sentence. Files may be compressed (.gz, .bz2, .xz, .zst, .zip);
    of .conllu the universal parts of speech are read. Or a .parquet file or hf://DATASET with columns of lists, such as
    tokens and ner_tags."""
    validation_tagged: tuple[str, ...] = ()
    """Separate files for validation, in the same form as --tagged."""
    word_column: int | None = None
    """Number of the words' column, from 1, or from -1 backwards. Default: the first (of .conllu the second)."""
    tag_column: int | None = None
    """Number of the tags' column. Default: the last (of .conllu the fourth)."""
    unaligned: bool = False
    """The tags of --tagged are not aligned with words: every line is a text, a tab and its tags between spaces. The
    letters of the text are read."""
    validation: float = ranged(0.1, at_least=0, at_most=0.5)
    """Share of --tagged that is kept for validation; equal sentences stay together."""
    overlong: Literal["refuse", "drop"] = "refuse"
    """What to do with sentences of more than --longest-sentence words: refuse the file, or drop them."""
    longest_sentence: int = ranged(1000, at_least=1)
    """Words of a sentence of --tagged; longer ones are mostly mistakes, such as missing empty lines."""
    unreadable: Literal["refuse", "drop"] = "refuse"
    """The same for sentences with a line of too few columns, or bytes that are not text."""

    def open_whole(self, *, data_dir: Path | None = None, download: bool = False) -> TaggedDataset:
        """``open``, with one's own files as a single split, which may have a single label."""
        return self.open(data_dir=data_dir, download=download, whole=True)

    def open(self, *, data_dir: Path | None = None, download: bool = False, whole: bool = False) -> TaggedDataset:
        """The sentences; see ``DataSource.open``."""
        self._check()
        if self.corpus is not None:
            return load_tagged(self.corpus, data_dir=data_dir, download=download)
        return own_tagged(
            [*map(sentence_file, self.tagged)],
            word_column=self.word_column,
            tag_column=self.tag_column,
            fewest_tags=1 if whole else 2,
            aligned=not self.unaligned,
            **_options(self, self.longest_sentence, whole=whole),
        )


def _unconditional(dataset: TextDataset | LabelledDataset | ConditionalDataset) -> TextDataset | LabelledDataset:
    """The text alone, without authors."""
    if not isinstance(dataset, ConditionalDataset):
        return dataset
    contents = {
        split: tuple(document for document, _ in dataset.rows(split) if isinstance(document, Document))
        for split in dataset.splits
    }
    return TextDataset(
        name=dataset.name,
        title=dataset.title,
        purpose=dataset.purpose,
        language=dataset.language,
        licence=dataset.licence,
        fingerprint=fingerprint_of(dataset.fingerprint, "none"),
        contents=contents,
    )


def file_names(files: Sequence[Path | str] | Path) -> tuple[str, ...]:
    """The names of one file or several."""
    return (str(files),) if isinstance(files, str | Path) else tuple(map(str, files))


def _absolute(name: str) -> str:
    """An absolute path: links stay, but ``..`` is resolved, as it names nothing."""
    if name.startswith(HUB):
        return absolute(name)
    path = Path(name).absolute()
    return str(real(path) if ".." in path.parts else path)


def _options(source: PairData | LabelledData | TaggedData, longest: int, *, whole: bool = False) -> ReadOptions:
    """How one's own rows are read; ``whole``: as a single split."""
    read = sentence_file if isinstance(source, TaggedData) else row_file
    return {
        "encoding": source.encoding,
        "validation": 0 if whole else source.validation,
        "validation_paths": [*map(read, getattr(source, f"validation_{source.own_files}"))],
        "longest": longest,
        "overlong": source.overlong,
        "unreadable": source.unreadable,
    }
