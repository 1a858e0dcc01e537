"""What the data sources of all tasks share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from textseq.config.base import Settings, flag_of, ranged
from textseq.data.dataset import VALIDATION, Dataset, ReadOptions
from textseq.data.readers.exported import HUB, absolute, title_of
from textseq.data.readers.row_errors import OnError
from textseq.errors import TextseqError
from textseq.io.compression import plain_name
from textseq.io.documents.document import MADE
from textseq.io.files import real


@dataclass(frozen=True, kw_only=True)
class DataSource(Settings):
    """What a run learns from: a corpus by name, or one's own files."""

    own_files: ClassVar[str]
    """The field, and the flag, that names one's own files."""

    corpus: str | None = None
    """A corpus by name."""
    encoding: str = "utf-8"
    """Encoding of your own files."""
    validation: float = ranged(VALIDATION, at_least=0, at_most=0.5)
    """Share of your own files that is kept for validation."""

    def __post_init__(self) -> None:
        """Check the settings; a TextseqError for an empty name of a file, which would mean the current folder."""
        super().__post_init__()
        for name in self._path_fields():
            if "" in getattr(self, name):
                raise TextseqError(
                    f"{flag_of(name)}: expected a file or folder, got an empty name; name one, or leave the flag out"
                )

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
        paths: dict[str, Any] = {name: tuple(map(_absolute, getattr(self, name))) for name in self._path_fields()}
        return replace(self, **paths)

    def default_name(self, dataset: Dataset) -> str:
        """The run's name unless one is given: the corpus's, or the first file's without its ending."""
        if not self.files:
            return dataset.name
        title = title_of(self.files[0])
        made = MADE.fullmatch(title)
        return made[1] if made else Path(plain_name(Path(title))).stem or "run"

    def _path_fields(self) -> list[str]:
        """The fields that name files and folders."""
        names = (self.own_files, f"validation_{self.own_files}", "labelled")
        return [name for name in names if hasattr(self, name)]

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


def read_options(
    source: DataSource,
    read: Callable[[str, str], Path],
    *,
    longest: int,
    overlong: OnError,
    unreadable: OnError,
    whole: bool = False,
) -> ReadOptions:
    """How one's own rows are read.

    Args:
        source: names the files.
        read: gives the file that has the rows of a name, in an encoding.
        longest: characters or words of a row.
        overlong: what to do with longer ones.
        unreadable: what to do with faulty ones.
        whole: read the rows as a single split.
    """
    held_out = getattr(source, f"validation_{source.own_files}")
    return {
        "encoding": source.encoding,
        "validation": 0 if whole else source.validation,
        "validation_paths": [read(name, source.encoding) for name in held_out],
        "longest": longest,
        "overlong": overlong,
        "unreadable": unreadable,
    }


def file_names(files: Sequence[Path | str] | Path) -> tuple[str, ...]:
    """The names of one file or several."""
    return (str(files),) if isinstance(files, str | Path) else tuple(map(str, files))


def _absolute(name: str) -> str:
    """An absolute path: links stay, but ``..`` is resolved, as it names nothing."""
    if name.startswith(HUB):
        return absolute(name)
    path = Path(name).absolute()
    return str(real(path) if ".." in path.parts else path)
