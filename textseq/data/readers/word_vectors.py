"""Word vectors in files: GloVe's text, word2vec's text and binary, fastText's .vec; plain, .gz or .zip.

A file may be larger than memory: it is read once, and only the rows of the requested words are kept. Errors in lines
are counted and noted; lines of other words are only checked for their number of values.
"""

from __future__ import annotations

import array
import re
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO

import numpy as np

from textseq.data.corpora.catalog import CorpusRecipe, read_recipe, recipe_files
from textseq.data.corpora.download import find
from textseq.data.word_vectors import Row, Vectors
from textseq.errors import TextseqError, unknown
from textseq.io.documents.archives import archive_of
from textseq.io.documents.document import Document
from textseq.io.documents.errors import reading

HEADER = re.compile(rb"\s*(\d{1,15})[ \t]+(\d{1,15})\s*")
"""The first line of word2vec's and fastText's files: words, and size of the vectors."""

SAMPLED_LINES = 100  # lines at the beginning from which the size is guessed

LONGEST_LINE = 2**20  # bytes; no word with its vector is as long

BOM = "\ufeff".encode()

CONTROL = re.compile("[\0-\x1f\x7f]")

BINARY = re.compile(rb"[\0-\x08\x0e-\x1f\x7f]")

LONGEST_WORD = 2**13  # bytes of a word in a binary file

BLOCK = 2**20  # bytes that are read at a time of a binary file


def list_vectors() -> list[CorpusRecipe]:
    """The recipes of public word vectors, sorted by name."""
    return [read_recipe(name, text) for name, text in recipe_files("vectors").items()]


def find_vectors(name: str, *, data_dir: Path | None = None, download: bool = False) -> str:
    """The path of a file of word vectors, for ``read_vectors``.

    Args:
        name: a file, or one of ``list_vectors()``; either may be followed by "#" and the member of an archive.
        data_dir: the folder to look in first; None means the one that ``TEXTSEQ_DATA`` names, if any.
        download: whether to download missing files into the cache.

    Raises:
        TextseqError: there is no such file or name, or the file is missing or damaged.
    """
    public, (plain, mark, member) = recipe_files("vectors"), name.partition("#")
    if Path(name).exists() or Path(plain).exists():
        return name
    if plain not in public:
        raise unknown("file, or name of word vectors,", plain, public)
    (local,) = find(read_recipe(plain, public[plain]), data_dir=data_dir, download=download).values()
    return f"{local.path}{mark}{member}"


def read_vectors(path: Path | str, words: Collection[str] | None = None, *, size: int | None = None) -> Vectors:
    """Read word vectors from a file.

    Args:
        path: in the format of GloVe, word2vec (text or binary) or fastText; may be compressed (.gz, .zip). A member of
            an archive is named after "#" ("glove.6B.zip#glove.6B.50d.txt"), unless it is the only one, or the only
            one with vectors of this ``size``.
        words: the words to keep; None: all. A word that the file only has in another case gets that vector, preferably
            of the lower-case spelling, or else of the first.
        size: the expected size E.

    Returns:
        The words that the file has, in the order of ``words``, or of the file.

    Raises:
        TextseqError: the file cannot be read, has another format, or has vectors of another size.
    """
    document = _document(str(path), size)
    with reading(document.name), document.open() as file:
        return _VectorReader(file, document.name, words, size).vectors()


def _document(path: str, size: int | None) -> Document:
    """The file, or the member of an archive, to read."""
    name, _, member = path.partition("#")
    if Path(path).is_file():  # its name may have a "#"
        name, member = path, ""
    file = Path(name)
    if not name:
        raise TextseqError(f"expected a file of word vectors, got an empty name in '{path}'; name one")
    if file.is_dir():
        raise TextseqError(f"expected a file of word vectors, got the folder {file}; name a file in it")
    if not file.is_file():
        raise TextseqError(f"no file of word vectors at {file}; name another")
    if not zipfile.is_zipfile(file):
        if member or file.suffix.lower() == ".zip":
            raise TextseqError(f"{file} is not an intact ZIP archive; name another, or replace it")
        return Document(file, "utf-8")
    with reading(str(file)), archive_of(file) as archive:
        files = [entry.filename for entry in archive.infolist() if entry.file_size or entry.filename == member]
        names = [entry for entry in files if not entry.startswith("__MACOSX/")]  # metadata of macOS
        if member and member not in names:
            raise unknown(f"member of {file}:", member, names)
        if not names:
            raise TextseqError(f"{file} is an empty archive; name another")
        fitting = [member] if member else names
        if len(fitting) > 1 and size is not None:
            fitting = [entry for entry in names if _size(Document(file, "utf-8", member=entry), archive) == size]
    if len(fitting) != 1:
        count = f"{len(fitting)} members with vectors of size {size}" if size else f"{len(names)} members"
        raise TextseqError(f"{file} has {count}; name one of {', '.join(names[:8])}: {file}#{names[0]}")
    return Document(file, "utf-8", member=fitting[0])


def _size(document: Document, archive: zipfile.ZipFile) -> int | None:
    """The size of the vectors in a member of an archive; None if it has none."""
    try:
        with reading(document.name), document.open_in(archive) as file:
            return _VectorReader(file, document.name, (), None).size
    except TextseqError:
        return None


class _VectorReader:
    """Reads a file in one pass; a TextseqError if it has no vectors, or vectors of another size."""

    def __init__(self, file: IO[bytes], name: str, words: Collection[str] | None, size: int | None) -> None:
        self.file, self.name = file, name
        self.kept = _KeptRows(words)
        self.errors: Counter[str] = Counter()
        """How often each error occurred; 0 for errors of the whole file."""
        self.first_error: dict[str, str] = {}
        self.valid_words = 0
        self.declared_words: int | None = None  # in the header
        first = file.readline(LONGEST_LINE).removeprefix(BOM)
        if header := HEADER.fullmatch(first):
            self.declared_words, declared_size = int(header[1]), int(header[2])
        self.sample = [] if header else [first]
        self.sample += islice(iter(lambda: file.readline(LONGEST_LINE), b""), SAMPLED_LINES - 1)
        widths = Counter(filter(None, map(_values_in, self.sample)))
        usual = max(widths, key=lambda width: (widths[width], width)) if widths else 0
        if b"\r" in first.strip():
            raise TextseqError(f"{name} has line ends of CR alone (old Macs); convert them to LF")
        few = 2 * widths.total() < len([*filter(bytes.strip, self.sample)])
        self.binary = bool(header) and few and not _is_text(b"".join(self.sample))
        self.size = declared_size if header and (self.binary or not widths or widths[declared_size]) else usual
        if header and self.size != declared_size:
            self._file_error(f"its header declares vectors of size {declared_size}, most lines have {self.size}")
        if not 0 < self.size < LONGEST_LINE or (header and not self.sample):
            raise TextseqError(
                f"{name} is not a file of word vectors: expected lines of a word and numbers (GloVe), or word2vec's "
                "format; name another file"
            )
        if size is not None and size != self.size:
            raise TextseqError(
                f"expected vectors of size {size}, got size {self.size} in {name}; name another file, or set "
                f"--embedding-size {self.size}"
            )

    def vectors(self) -> Vectors:
        """Read to the end."""
        with np.errstate(over="ignore"):  # numbers too large for float32 are counted as errors
            for word, values in self._rows():
                if not np.isfinite(values).all():
                    self.valid_words -= 1
                    self._error("words with numbers that are infinite or NaN", word)
                elif not self.kept.add(word, values):
                    self._error("words that occur twice, the first is used", word)
        invalid = sum(count for error, count in self.errors.items() if "twice" not in error)
        if not self.valid_words or invalid > self.valid_words:
            reasons = "; ".join(self._notes()) or "it is empty"
            raise TextseqError(f"{self.name} is not an intact file of word vectors of size {self.size}: {reasons}")
        if self.declared_words is not None and self.declared_words != self.valid_words + invalid:
            words_read = self.valid_words + invalid
            self._file_error(f"its header declares {self.declared_words:,} words, it has {words_read:,}")
        words, table, other_case = self.kept.table(self.size)
        return Vectors(words, table, tuple(f"{self.name}: {note}" for note in self._notes()), other_case)

    def _notes(self) -> Iterator[str]:
        for error, count in self.errors.items():
            yield f"{count:,} {error} (the first: {self.first_error[error]})" if count else error

    def _file_error(self, error: str) -> None:
        self.errors[error] = 0

    def _error(self, error: str, where: str) -> None:
        self.errors[error] += 1
        self.first_error.setdefault(error, where)

    def _rows(self) -> Iterator[tuple[str, Row]]:
        """Words and their vectors, up to where a compressed file is truncated."""
        try:
            yield from self._binary() if self.binary else self._text()
        except EOFError:
            self._file_error("it is compressed, and truncated")

    def _text(self) -> Iterator[tuple[str, Row]]:
        """The requested words, of a text file."""
        size, wanted = self.size, self.kept.first_words
        number = 0 if self.declared_words is None else 1
        for raw in chain(self.sample, iter(lambda: self.file.readline(LONGEST_LINE), b"")):
            number += 1
            line = raw.strip(b" \t\r\n")
            if b"\t" in line:
                line = line.replace(b"\t", b" ")
            if b"  " in line:
                line = b" ".join(filter(None, line.split(b" ")))
            spaces = line.count(b" ")
            if spaces < size:
                self._error(f"lines without a word and {size} numbers", f"line {number}")
                continue
            if spaces == size and wanted is not None and line[: line.index(b" ")] not in wanted:
                self.valid_words += 1  # most lines end here
                continue
            spelled, *numbers = line.rsplit(b" ", size)
            if spaces > size and all(map(_is_number, spelled.split(b" ")[1:])):
                self._error(f"lines without a word and {size} numbers", f"line {number}")
                continue
            try:
                word = spelled.decode()
                values = np.array([*map(float, numbers)]).astype(np.float32)
            except UnicodeDecodeError:
                self._error("words that are not UTF-8", f"line {number}")
            except ValueError:
                self._error("lines with other things than numbers after the word", f"line {number}")
            else:
                self.valid_words += 1
                yield word, values

    def _binary(self) -> Iterator[tuple[str, Row]]:
        """All words of a binary file, with little-endian float32 vectors."""
        assert self.declared_words is not None
        wide, data, at = 4 * self.size, b"".join(self.sample), 0
        for number in range(1, self.declared_words + 1):
            while (end := data.find(b" ", at)) < 0 or len(data) < end + 1 + wide:
                block = self.file.read(BLOCK)
                data, at = data[at:] + block, 0
                if not block or (data.find(b" ") < 0 and len(data) > LONGEST_WORD):
                    break
            spelled = data[at:end].lstrip(b"\n")
            if end < 0 or len(data) < end + 1 + wide or len(spelled) > LONGEST_WORD:
                return  # truncated; the number of words differs from the header's
            values = np.frombuffer(data, "<f4", self.size, end + 1)
            at = end + 1 + wide
            try:
                word = spelled.decode()
            except UnicodeDecodeError:
                self._error("words that are not UTF-8", f"word {number}")
                continue
            if CONTROL.search(word):
                self._error("words with control characters", f"word {number}")
                continue
            self.valid_words += 1
            yield word, values
        if (data[at:] + self.file.read(BLOCK)).strip():
            self._file_error("it has data after the words that its header declares")


class _KeptRows:
    """The vectors of the requested words."""

    def __init__(self, words: Collection[str] | None) -> None:
        self.wanted = None if words is None else dict.fromkeys(words)
        self.folded = {word.casefold() for word in self.wanted or ()}
        self.first_words: _FirstWords | None = None if words is None else _FirstWords(self.folded)
        self.rows: dict[str, int] = {}
        self.similar: dict[str, int] = {}
        """The row to use for other spellings of each folded word."""
        self.numbers = array.array("f")
        self.count = 0

    def add(self, word: str, values: Row) -> bool:
        """Keep the vector if the word is requested; False for a word that was added before."""
        if word in self.rows:
            return False
        if self.wanted is not None:
            folded = word.casefold()
            similar = folded in self.folded and (folded not in self.similar or word == folded)
            if not (word in self.wanted or similar):
                return True
            if similar:
                self.similar[folded] = self.count
        self.rows[word] = self.count
        self.numbers.frombytes(values.astype(np.float32).tobytes())
        self.count += 1
        return True

    def table(self, size: int) -> tuple[tuple[str, ...], Row, int]:
        """The words, their vectors, and how many of them have another case in the file."""
        everything = np.frombuffer(self.numbers, np.float32).reshape(-1, size)
        if self.wanted is None:
            return tuple(self.rows), everything, 0
        places, other_case = {}, 0
        for word in self.wanted:
            if word in self.rows:
                places[word] = self.rows[word]
            elif word.casefold() in self.similar:
                places[word] = self.similar[word.casefold()]
                other_case += 1
        return tuple(places), everything[list(places.values())], other_case


class _FirstWords:
    """Contains the bytes up to the first space of each word, in any case."""

    def __init__(self, folded: Collection[str]) -> None:
        self.beginnings = {word.split(" ")[0] for word in folded}

    def __contains__(self, beginning: bytes) -> bool:
        return beginning.decode(errors="replace").casefold() in self.beginnings


def _values_in(line: bytes) -> int:
    """The count of numbers at the end of a line, after a word."""
    fields = line.split()[1:]
    return next((place for place, field in enumerate(reversed(fields)) if not _is_number(field)), len(fields))


def _is_text(data: bytes) -> bool:
    """Whether the data are UTF-8 without control characters, as numbers in four bytes are not."""
    try:
        return not BINARY.search(data) and bool(data.decode())
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
