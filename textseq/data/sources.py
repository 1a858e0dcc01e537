"""What a run began with: the text that it learns from and its settings, and how they are read back from the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from textseq.config.base import Settings, ranged
from textseq.data.labelled import LabelledDataset, load_labelled, load_text, own_labelled
from textseq.data.pairs import PairDataset, load_pairs, own_pairs
from textseq.data.tagged import TaggedDataset, load_tagged, own_tagged
from textseq.data.text import TextDataset, own_text
from textseq.errors import TextseqError


@dataclass(frozen=True, kw_only=True)
class TextData(Settings):
    """What a run learns from: a corpus by name, or one's own files."""

    corpus: str | None = None
    """A corpus by name."""
    text: tuple[str, ...] = ()
    """Your own text: files, or folders to search for text files (a folder of source code works as well)."""
    encoding: str = "utf-8"
    """Encoding of --text."""
    validation: float = 0.1
    """Share of --text, from its end, that is kept for validation instead of training."""
    vectors: str | None = None
    """Word vectors that the tokens' vectors begin with: a file of GloVe's, word2vec's or fastText's format (plain, .gz,
    .zip, or ARCHIVE.zip#MEMBER), or public ones by name (see --list-vectors). --embedding-size must be theirs."""

    def open(self, *, data: Path | None = None, download: bool = False) -> TextDataset | LabelledDataset:
        """The corpus, its files found and verified.

        Raises:
            TextseqError: neither or both named; whatever is wrong with the files.
        """
        if (self.corpus is None) == (not self.text):
            raise TextseqError("name a corpus or give your own files with --text, one of the two")
        if self.corpus is not None:
            return load_text(self.corpus, data=data, download=download)
        return own_text([Path(path) for path in self.text], encoding=self.encoding, validation=self.validation)


@dataclass(frozen=True, kw_only=True)
class PairData(Settings):
    """Your own sentence pairs, or which languages of a corpus."""

    source: str | None = None
    """Language to translate from: a code such as en. Default: the corpus's first that is not the target; of two
    aligned files what their endings say (a.en, a.fr)."""
    target: str | None = None
    """Language to translate into. Default: the corpus's first that is not the source, or the second file's ending."""
    pairs: tuple[str, ...] = ()
    """Your own pairs: two aligned text files, of sources and of targets, a sentence to a line; or one file of columns
    between tabs (.tsv) or of JSON objects (.jsonl). Each may be packed (.gz)."""
    validation_pairs: tuple[str, ...] = ()
    """Files of their own for validation, as --pairs."""
    source_column: str | None = None
    """Column of the sources in the header of a .tsv file, or key of a .jsonl file. Default: what is named after the
    language, or "source"; without such a header, the first column."""
    target_column: str | None = None
    """The same of the targets ("target", the second column)."""
    encoding: str = "utf-8"
    """Encoding of --pairs."""
    validation: float = ranged(0.02, at_least=0, at_most=0.5)
    """Share of --pairs kept for validation, no sentence of which is in training. Whatever the share, 2,000 pairs at
    most, and at least 50, or a tenth of all pairs where that is less; none with 0."""
    empty: Literal["refuse", "drop"] = "refuse"
    """What to do with pairs of --pairs of which a sentence is empty: refuse the file, or leave them out."""
    overlong: Literal["refuse", "drop"] = "refuse"
    """The same of pairs with a sentence of more than --longest-sentence characters."""
    longest_sentence: int = ranged(1000, at_least=1)
    """Characters of a sentence of --pairs; what is longer is mostly a mishap."""
    unreadable: Literal["refuse", "drop"] = "refuse"
    """The same of lines without a tab, of damaged JSON, of bytes that are not text."""
    corpus: str | None = None
    """A corpus by name."""

    def open(self, *, data: Path | None = None, download: bool = False) -> PairDataset:
        """The pairs, their files found and verified.

        Raises:
            TextseqError: neither or both named; whatever is wrong with the files.
        """
        if (self.corpus is None) == (not self.pairs):
            raise TextseqError("name a corpus or give your own files with --pairs, one of the two")
        if self.corpus is not None:
            return load_pairs(self.corpus, source=self.source, target=self.target, data=data, download=download)
        return own_pairs(
            [Path(path) for path in self.pairs],
            source_column=self.source_column,
            target_column=self.target_column,
            source_language=self.source,
            target_language=self.target,
            encoding=self.encoding,
            validation=self.validation,
            validation_paths=[Path(path) for path in self.validation_pairs],
            longest=self.longest_sentence,
            empty=self.empty,
            overlong=self.overlong,
            unreadable=self.unreadable,
        )


@dataclass(frozen=True, kw_only=True)
class LabelledData(Settings):
    """Your own labelled texts."""

    labelled: tuple[str, ...] = ()
    """Your own texts with their labels: tables with a header (.csv, .tsv), JSON objects line by line (.jsonl), or
    folders with a folder for each label and in these a file for each text. Files may be packed (.gz)."""
    validation_labelled: tuple[str, ...] = ()
    """Files of their own for validation, as --labelled."""
    text_column: str | None = None
    """Column or key of the texts. Default: one that is called text, sentence, review, content..."""
    label_column: str | None = None
    """Column or key of the labels. Default: one that is called label, class, sentiment, category..."""
    encoding: str = "utf-8"
    """Encoding of --labelled."""
    validation: float = ranged(0.1, at_least=0, at_most=0.5)
    """Share of --labelled, or of the training part of a corpus without a validation part, that is kept for validation;
    of each label alike. 0: none is, and the validation part of a corpus is learnt from too, for a last training when
    all is chosen; with --best-by loss, as nothing is measured."""
    empty: Literal["refuse", "drop"] = "refuse"
    """What to do with empty texts of --labelled: refuse the file, or leave them out."""
    overlong: Literal["refuse", "drop"] = "refuse"
    """The same of texts with more than --longest-text characters."""
    longest_text: int = ranged(1_000_000, at_least=1)
    """Characters of a text of --labelled; what is longer is mostly a mishap."""
    unreadable: Literal["refuse", "drop"] = "refuse"
    """The same of rows without a label or with too few columns, of damaged JSON, of bytes that are not text."""
    vectors: str | None = None
    """Word vectors that the tokens' vectors begin with: a file of GloVe's, word2vec's or fastText's format (plain, .gz,
    .zip, or ARCHIVE.zip#MEMBER), or public ones by name (see --list-vectors). --embedding-size must be theirs."""
    folds: int | None = ranged(None, at_least=2)
    """Cross-validation: deal all texts out to so many parts, train a model without each of them, and measure it there.
    Every model is a run of its own, NAME-fold1of10 and so on; what was stopped goes on with the same command."""
    seeds: int | None = ranged(None, at_least=2)
    """Train so many models that differ by their seed alone, from --seed on, and measure each on the test part (without
    one on the validation part, or with --folds each on its fold): the mean, and how far chance spreads them. Their runs
    are called NAME-seed1 and so on."""
    fold: int | None = ranged(None, at_least=1)
    """Which of the folds is the test."""
    corpus: str | None = None
    """A corpus by name."""

    def open(self, *, data: Path | None = None, download: bool = False) -> LabelledDataset:
        """The texts, their files found and verified.

        Raises:
            TextseqError: neither or both named; whatever is wrong with the files.
        """
        if (self.corpus is None) == (not self.labelled):
            raise TextseqError("name a corpus or give your own files with --labelled, one of the two")
        if self.folds is not None and self.fold is not None:
            return self._whole(data, download).fold(self.fold - 1, self.folds, validation=self.validation)
        found = self._whole(data, download)
        return found if self.corpus is None else found.with_validation(self.validation)

    def _whole(self, data: Path | None, download: bool) -> LabelledDataset:
        """The texts as they are parted without folds."""
        if self.corpus is not None:
            return load_labelled(self.corpus, data=data, download=download)
        return own_labelled(
            [Path(path) for path in self.labelled],
            text_column=self.text_column,
            label_column=self.label_column,
            encoding=self.encoding,
            validation=0 if self.folds else self.validation,  # a fold parts all texts anew
            validation_paths=[Path(path) for path in self.validation_labelled],
            longest=self.longest_text,
            empty=self.empty,
            overlong=self.overlong,
            unreadable=self.unreadable,
        )


@dataclass(frozen=True, kw_only=True)
class TaggedData(Settings):
    """Your own tagged sentences."""

    tagged: tuple[str, ...] = ()
    """Your own sentences: files with a word to a line, its tag in another column beside it (parted by a tab or by
    spaces, as CoNLL has it), and an empty line after each sentence. Files may be packed (.gz); of .conllu the universal
    parts of speech are read."""
    validation_tagged: tuple[str, ...] = ()
    """Files of their own for validation, as --tagged."""
    word_column: int | None = None
    """Number of the words' column, from 1, or from -1 backwards. Default: the first (of .conllu the second)."""
    tag_column: int | None = None
    """Number of the tags' column. Default: the last (of .conllu the fourth)."""
    unaligned: bool = False
    """The tags of --tagged are not aligned with words: every line is a text, a tab and its tags between spaces. The
    letters of the text are read."""
    encoding: str = "utf-8"
    """Encoding of --tagged."""
    validation: float = ranged(0.1, at_least=0, at_most=0.5)
    """Share of --tagged that is kept for validation; equal sentences stay together."""
    overlong: Literal["refuse", "drop"] = "refuse"
    """What to do with sentences of --tagged of more than --longest-sentence words: refuse the file, or leave them
    out."""
    longest_sentence: int = ranged(1000, at_least=1)
    """Words of a sentence of --tagged; what is longer is mostly a mishap, such as empty lines that are missing."""
    unreadable: Literal["refuse", "drop"] = "refuse"
    """The same of sentences with a line of too few columns, or of bytes that are not text."""
    vectors: str | None = None
    """Word vectors that the words' vectors begin with: a file of GloVe's, word2vec's or fastText's format (plain, .gz,
    .zip, or ARCHIVE.zip#MEMBER), or public ones by name (see --list-vectors). --embedding-size must be theirs."""
    corpus: str | None = None
    """A corpus by name."""

    def open(self, *, data: Path | None = None, download: bool = False) -> TaggedDataset:
        """The sentences, their files found and verified.

        Raises:
            TextseqError: neither or both named; whatever is wrong with the files.
        """
        if (self.corpus is None) == (not self.tagged):
            raise TextseqError("name a corpus or give your own files with --tagged, one of the two")
        if self.corpus is not None:
            return load_tagged(self.corpus, data=data, download=download)
        return own_tagged(
            [Path(path) for path in self.tagged],
            word_column=self.word_column,
            tag_column=self.tag_column,
            encoding=self.encoding,
            validation=self.validation,
            validation_paths=[Path(path) for path in self.validation_tagged],
            longest=self.longest_sentence,
            overlong=self.overlong,
            unreadable=self.unreadable,
            aligned=not self.unaligned,
        )


def file_names(files: Sequence[Path | str] | Path) -> tuple[str, ...]:
    """The names of files, of which one alone need be in no list."""
    return (str(files),) if isinstance(files, str | Path) else tuple(map(str, files))


def resolved(paths: Sequence[str]) -> tuple[str, ...]:
    """Paths that hold wherever the run is resumed from."""
    return tuple(str(Path(path).absolute()) for path in paths)
