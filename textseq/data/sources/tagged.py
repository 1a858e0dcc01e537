"""The data source of taggers: tagged sentences."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from textseq.config.base import ranged
from textseq.data.dataset import VALIDATION
from textseq.data.readers.exported import sentence_file
from textseq.data.readers.row_errors import kinds_to_drop
from textseq.data.sources.base import VectorSource, read_options
from textseq.data.tagged import LONGEST, TaggedDataset, load_tagged, own_tagged


@dataclass(frozen=True, kw_only=True)
class TaggedData(VectorSource):
    """Your own tagged sentences."""

    own_files: ClassVar[str] = "tagged"

    tagged: tuple[str, ...] = ()
    """Your own sentences: files with one word per line, its tag in another column (separated by a tab or spaces, as in
    CoNLL), and an empty line after each sentence. Files may be compressed (.gz, .bz2, .xz, .zst, .zip);
    of .conllu the universal parts of speech are read. Or a .parquet, .json or .jsonl file or hf://DATASET with columns
    of lists, such as tokens and ner_tags."""
    validation_tagged: tuple[str, ...] = ()
    """Separate files for validation, in the same form as --tagged."""
    word_column: int | None = None
    """Number of the words' column, from 1, or from -1 backwards. Default: the first (of .conllu the second)."""
    tag_column: int | None = None
    """Number of the tags' column. Default: the last (of .conllu the fourth)."""
    unaligned: bool = False
    """The tags of --tagged are not aligned with words: every line is a text, a tab and its tags between spaces. The
    letters of the text are read."""
    validation: float = ranged(VALIDATION, at_least=0, at_most=0.5)
    """Share of --tagged that is kept for validation; equal sentences stay together."""
    overlong: Literal["refuse", "drop"] = "refuse"
    """What to do with sentences of more than --longest-sentence words: refuse the file, or drop them."""
    longest_sentence: int = ranged(LONGEST, at_least=1)
    """Words of a sentence of --tagged; longer ones are mostly mistakes, such as missing empty lines."""
    unreadable: Literal["refuse", "drop"] = "refuse"
    """The same for sentences with a line of too few columns, bytes that are not text, or without a list of words and
    one of as many tags."""

    def open_whole(self, *, data_dir: Path | None = None, download: bool = False) -> TaggedDataset:
        """``open``, with one's own files as a single split, which may have a single label."""
        return self.open(data_dir=data_dir, download=download, whole=True)

    def open(self, *, data_dir: Path | None = None, download: bool = False, whole: bool = False) -> TaggedDataset:
        """The sentences; see ``DataSource.open``."""
        self._check()
        if self.corpus is not None:
            return load_tagged(self.corpus, data_dir=data_dir, download=download)
        drop = kinds_to_drop(unreadable=self.unreadable)
        read = _as_it_is if self.unaligned else partial(sentence_file, drop=drop)
        return own_tagged(
            [read(name, self.encoding) for name in self.tagged],
            word_column=self.word_column,
            tag_column=self.tag_column,
            fewest_tags=1 if whole else 2,
            aligned=not self.unaligned,
            **read_options(
                self,
                read,
                longest=self.longest_sentence,
                overlong=self.overlong,
                unreadable=self.unreadable,
                whole=whole,
            ),
        )


def _as_it_is(name: str, encoding: str) -> Path:
    """The file of texts with unaligned tags."""
    return Path(name)
