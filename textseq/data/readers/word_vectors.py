"""Word vectors that others made: GloVe's text, word2vec's text and binary, fastText's .vec; plain, .gz or .zip.

Such a file may be larger than memory. It is read once, from its beginning to its end, and only the rows of the words
that are asked for are kept. What is wrong with some of its lines is counted and told; of words that are not asked for,
only that they have too few or too many numbers.
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
from textseq.io.documents import Document, archive_of, reading

HEADER = re.compile(rb"\s*(\d{1,15})[ \t]+(\d{1,15})\s*")
"""The first line of word2vec's and fastText's files: words, and numbers of each."""

LOOKED_AT = 100
"""Lines at the beginning that say how many numbers a word has, where no header does."""

LONGEST_LINE = 2**20
"""Bytes of a line that are read: no word with its numbers is as long."""

BOM = "\ufeff".encode()

CONTROL = re.compile("[\0-\x1f\x7f]")

LONGEST_WORD = 2**13
"""Bytes of a word in word2vec's binary files."""

BLOCK = 2**20
"""Bytes that are read at once of a binary file."""


def list_vectors() -> list[CorpusRecipe]:
    """The public word vectors that have a name here, sorted by it."""
    return [read_recipe(name, text) for name, text in recipe_files("vectors").items()]


def find_vectors(name: str, *, data_dir: Path | None = None, download: bool = False) -> str:
    """The file of word vectors that a user names, for ``read_vectors``.

    Args:
        name: a file, or one of ``list_vectors()``; either may be followed by "#" and the member of an archive.
        data_dir: the folder to look for named ones in first; None means the one that ``TEXTSEQ_DATA`` names, if any.
        download: whether to fetch into the cache what is nowhere on this machine.

    Raises:
        TextseqError: there is neither such a file nor such a name; or the named one is missing or damaged.
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
        path: of the file: GloVe's text, or word2vec's text or binary, or fastText's; it may be packed (.gz, .zip). The
            member of an archive is named after "#" ("glove.6B.zip#glove.6B.50d.txt"), unless there is but one, or
            one alone has vectors of ``size`` numbers.
        words: those to keep; a word that the file has in other upper and lower case alone gets that vector, in lower
            case rather than another, and else the first. None: all.
        size: E, if it must be a certain one.

    Returns:
        The words that were found, in the order of ``words``, or of the file.

    Raises:
        TextseqError: it cannot be read or unpacked, is no such file, or has another number of numbers.
    """
    document = _document(str(path), size)
    with reading(document.name), document.open() as file:
        return _Reading(file, document.name, words, size).vectors()


def _document(path: str, size: int | None) -> Document:
    """The file, or the member of an archive that is meant."""
    name, _, member = path.partition("#")
    if Path(path).is_file():  # whatever its name
        name, member = path, ""
    file = Path(name)
    if file.is_dir():
        raise TextseqError(f"a file of word vectors is wanted, found the folder {file}; name a file in it")
    if not file.is_file():
        raise TextseqError(f"there is no file of word vectors at {file}; name another")
    if not zipfile.is_zipfile(file):
        if member or file.suffix.lower() == ".zip":
            raise TextseqError(f"{file} is no whole ZIP archive; name another, or put a whole copy in its place")
        return Document(file, "utf-8")
    with reading(str(file)), archive_of(file) as archive:
        files = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    names = [one for one in files if not one.startswith("__MACOSX/")]  # what macOS notes of each file
    if member and member not in names:
        raise unknown(f"member of {file}:", member, names)
    fitting = [member] if member else names
    if len(fitting) > 1 and size is not None:
        fitting = [one for one in names if _size(Document(file, "utf-8", member=one)) == size]
    if len(fitting) != 1:
        which = f"{len(fitting)} members with {size} numbers to a word" if size else f"{len(names)} members"
        if not names:
            raise TextseqError(f"{file} is an archive without a file in it; name another")
        raise TextseqError(f"{file} has {which}; name one of {', '.join(names[:8])}: {file}#{names[0]}")
    return Document(file, "utf-8", member=fitting[0])


def _size(document: Document) -> int | None:
    """The numbers that a word has; None of what holds no vectors."""
    try:
        with reading(document.name), document.open() as file:
            return _Reading(file, document.name, (), None).size
    except TextseqError:
        return None


class _Reading:
    """One pass through a file.

    Raises:
        TextseqError: it holds no vectors, or others than wanted.
    """

    def __init__(self, file: IO[bytes], name: str, words: Collection[str] | None, size: int | None) -> None:
        self.file, self.name = file, name
        self.kept = _Kept(words)
        self.faults: Counter[str] = Counter()
        """What was wrong, and how often."""
        self.first_fault: dict[str, str] = {}
        self.read = 0
        """Words that were whole."""
        self.announced: int | None = None
        """How many words the file says that it has."""
        first = file.readline(LONGEST_LINE).removeprefix(BOM)
        if header := HEADER.fullmatch(first):
            self.announced, announced_size = int(header[1]), int(header[2])
        self.ahead = [] if header else [first]
        """What has been read to find out what the file is."""
        self.ahead += islice(iter(lambda: file.readline(LONGEST_LINE), b""), LOOKED_AT - 1)
        widths = Counter(filter(None, map(_numbers, self.ahead)))
        usual = max(widths, key=lambda width: (widths[width], width)) if widths else 0
        self.binary = bool(header) and 2 * widths.total() < len([*filter(bytes.strip, self.ahead)])
        self.size = announced_size if header and (self.binary or widths[announced_size]) else usual
        if header and self.size != announced_size:
            self._said(f"its first line announces {announced_size} numbers to a word, and most lines have {self.size}")
        if not 0 < self.size < LONGEST_LINE or (header and not self.ahead):
            raise TextseqError(
                f"{name} is no file of word vectors: wanted are lines of a word and numbers, as GloVe's, or word2vec's "
                "format; name another file"
            )
        if size is not None and size != self.size:
            raise TextseqError(
                f"vectors of {size} numbers are wanted, {name} has {self.size} to a word; name another, or ask for "
                "those (--embedding-size)"
            )

    def vectors(self) -> Vectors:
        """Read to the end."""
        with np.errstate(over="ignore"):  # of numbers too large for float32, which are told
            for word, values in self._rows():
                if not np.isfinite(values).all():
                    self.read -= 1
                    self._fault("words with numbers that are infinite or none", word)
                elif not self.kept.add(word, values):
                    self._fault("words that come twice, of which the first counts", word)
        bad = sum(count for fault, count in self.faults.items() if "twice" not in fault)
        if not self.read or bad > self.read:
            what = "; ".join(self._notes()) or "it is empty"
            raise TextseqError(f"{self.name} is no whole file of word vectors of {self.size} numbers: {what}")
        if self.announced is not None and self.announced != self.read + bad:
            self._said(f"its first line announces {self.announced:,} words, and it has {self.read + bad:,}")
        words, table, other_case = self.kept.table(self.size)
        return Vectors(words, table, tuple(f"{self.name}: {note}" for note in self._notes()), other_case)

    def _notes(self) -> Iterator[str]:
        for fault, count in self.faults.items():
            yield f"{count:,} {fault} (the first: {self.first_fault[fault]})" if count else fault

    def _said(self, what: str) -> None:
        """Note what is wrong with the whole file."""
        self.first_fault[what] = ""
        self.faults[what] = 0

    def _fault(self, what: str, where: str) -> None:
        self.faults[what] += 1
        self.first_fault.setdefault(what, where)

    def _rows(self) -> Iterator[tuple[str, Row]]:
        """Words and their numbers, up to where a packed file is cut short."""
        try:
            yield from self._binary() if self.binary else self._text()
        except EOFError:
            self._said("it is packed, and cut short")

    def _text(self) -> Iterator[tuple[str, Row]]:
        """The words that are wanted, of a file of lines."""
        size, wanted = self.size, self.kept.first_words
        number = 0 if self.announced is None else 1
        for raw in chain(self.ahead, iter(lambda: self.file.readline(LONGEST_LINE), b"")):
            number += 1
            line = raw.rstrip(b" \t\r\n")
            if b"\t" in line:
                line = line.replace(b"\t", b" ")
            spaces = line.count(b" ")
            if spaces < size:
                self._fault(f"lines without a word and {size} numbers", f"line {number}")
                continue
            if spaces == size and wanted is not None and line[: line.index(b" ")] not in wanted:
                self.read += 1  # most of them, and nothing more is done about them
                continue
            spelled, *numbers = line.rsplit(b" ", size)
            if spaces > size and all(map(_is_number, spelled.split(b" ")[1:])):
                self._fault(f"lines without a word and {size} numbers", f"line {number}")
                continue
            try:
                word = spelled.decode()
                values = np.array([*map(float, numbers)]).astype(np.float32)
            except UnicodeDecodeError:
                self._fault("words that are no UTF-8", f"line {number}")
            except ValueError:
                self._fault("lines with something else than numbers after the word", f"line {number}")
            else:
                if word:
                    self.read += 1
                    yield word, values
                else:
                    self._fault("lines without a word", f"line {number}")

    def _binary(self) -> Iterator[tuple[str, Row]]:
        """All words of a file of float32 numbers in the order of Intel's processors."""
        assert self.announced is not None
        wide, data, at = 4 * self.size, b"".join(self.ahead), 0
        for number in range(1, self.announced + 1):
            while (end := data.find(b" ", at)) < 0 or len(data) < end + 1 + wide:
                block = self.file.read(BLOCK)
                data, at = data[at:] + block, 0
                if not block or (data.find(b" ") < 0 and len(data) > LONGEST_WORD):
                    break
            spelled = data[at:end].lstrip(b"\n")
            if end < 0 or len(data) < end + 1 + wide or len(spelled) > LONGEST_WORD:
                return  # cut short, which the number of words tells
            values = np.frombuffer(data, "<f4", self.size, end + 1)
            at = end + 1 + wide
            try:
                word = spelled.decode()
            except UnicodeDecodeError:
                self._fault("words that are no UTF-8", f"word {number}")
                continue
            if CONTROL.search(word):
                self._fault("words with characters that no word has", f"word {number}")
                continue
            self.read += 1
            yield word, values
        if (data[at:] + self.file.read(BLOCK)).strip():
            self._said("it goes on after as many words as its first line announces")


class _Kept:
    """The rows that are kept of what comes by."""

    def __init__(self, words: Collection[str] | None) -> None:
        self.wanted = None if words is None else dict.fromkeys(words)
        self.folded = {word.casefold() for word in self.wanted or ()}
        self.first_words: _FirstWords | None = None if words is None else _FirstWords(self.folded)
        """Tells bytes up to a space that may begin a wanted word."""
        self.rows: dict[str, int] = {}
        self.similar: dict[str, tuple[str, int]] = {}
        """The spelling and row that stands for each folded word."""
        self.numbers = array.array("f")
        self.count = 0

    def add(self, word: str, values: Row) -> bool:
        """Keep it if it is wanted; False if it was there already."""
        if word in self.rows:
            return False
        if self.wanted is not None:
            folded = word.casefold()
            exact = word in self.wanted
            stands = folded in self.folded and (folded not in self.similar or word == folded)
            if not (exact or stands):
                return True
            if stands:
                self.similar[folded] = (word, self.count)
        self.rows[word] = self.count
        self.numbers.frombytes(values.astype(np.float32).tobytes())
        self.count += 1
        return True

    def table(self, size: int) -> tuple[tuple[str, ...], Row, int]:
        """The words, their rows, and how many of them are spelled otherwise in the file."""
        everything = np.frombuffer(self.numbers, np.float32).reshape(-1, size)
        if self.wanted is None:
            return tuple(self.rows), everything, 0
        places, other_case = {}, 0
        for word in self.wanted:
            if word in self.rows:
                places[word] = self.rows[word]
            elif word.casefold() in self.similar:
                places[word] = self.similar[word.casefold()][1]
                other_case += 1
        return tuple(places), everything[list(places.values())], other_case


class _FirstWords:
    """Whether some bytes, up to the first space, may begin one of some words, in whatever case."""

    def __init__(self, folded: Collection[str]) -> None:
        self.beginnings = {word.split(" ")[0] for word in folded}

    def __contains__(self, beginning: bytes) -> bool:
        return beginning.decode(errors="replace").casefold() in self.beginnings


def _numbers(line: bytes) -> int:
    """How many numbers a line ends with, after a word."""
    fields = line.split()[1:]
    return next((place for place, field in enumerate(reversed(fields)) if not _is_number(field)), len(fields))


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
