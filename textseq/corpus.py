"""Where text comes from: a corpus by name (a recipe in ``corpora/``), or a user's own files.

Either gives a ``Corpus``: parts ("train", "validation", "test", as there are), each a series of
documents, each document a series of chunks of text, so that a large file never lies in memory.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from textseq.errors import TextseqError, unknown
from textseq.fetch import Recipe, find, read_recipe, recipe_files
from textseq.fetch import cache_folder as cache_folder
from textseq.plays import untypeset

PARTS = ("train", "validation", "test")
CHUNK = 2**20  # bytes read, and so at most as many characters given out, at a time

# Endings that are never text; other files that are not text are known by what is in them.
BINARY = re.compile(
    r"\.(7z|bmp|bz2|class|dll|docx?|epub|exe|gif|gz|ico|jar|jpe?g|mp[34]|np[yz]|o|odt|og[gv]|pdf|pickle|png|pt"
    r"|py[cd]|safetensors|so|sqlite|tar|tgz|ttf|wav|webp|whl|woff2?|xlsx?|xz|zip|zst)"
)


@dataclass(frozen=True)
class Document:
    """A file, or the characters from ``start`` up to ``stop`` of it (None: up to its end)."""

    path: Path
    encoding: str
    format: str = "text"
    start: int = 0
    stop: int | None = None

    def chunks(self) -> Iterator[str]:
        """The text, in chunks of at most 2**20 characters."""
        here = 0
        for chunk in FORMATS[self.format](self.path, self.encoding):
            stop = len(chunk) if self.stop is None else min(self.stop - here, len(chunk))
            if wanted := chunk[max(self.start - here, 0) : stop]:
                yield wanted
            here += len(chunk)
            if self.stop is not None and here >= self.stop:
                return


@dataclass(frozen=True)
class Corpus:
    """Text, and what is known of it.

    ``notes`` are sentences that a user should read. ``fingerprint`` is a hex SHA-256 of all that decides
    the text. ``contents`` holds the documents of each part that the corpus has.
    """

    name: str
    title: str
    task: str
    purpose: str
    encoding: str
    fingerprint: str
    contents: Mapping[str, tuple[Document, ...]]
    language: str = "unknown"
    licence: str = "unknown"
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts there are, in the order train, validation, test."""
        return tuple(part for part in PARTS if part in self.contents)

    def documents(self, part: str) -> Iterator[Iterator[str]]:
        """Each document of a part, as an iterator of chunks of at most 2**20 characters.

        Raises:
            TextseqError: the corpus has no such part.
        """
        if part not in PARTS:
            raise unknown("part of a corpus", part, PARTS)
        if part not in self.contents:
            raise TextseqError(f"corpus '{self.name}' has no {part} part; it has {' and '.join(self.parts)}")
        return (document.chunks() for document in self.contents[part])


def corpus_names() -> list[str]:
    """The corpora that can be asked for by name, sorted."""
    return list(recipe_files())


def list_corpora() -> list[Recipe]:
    """Every recipe, sorted by name: its name, language, licence, bytes, purpose... needs no corpus file."""
    return [read_recipe(name, text) for name, text in recipe_files().items()]


def load_corpus(name: str, *, data: Path | None = None, download: bool = False) -> Corpus:
    """A corpus by name, every file found and verified.

    Args:
        name: one of ``corpus_names()``.
        data: the folder to look in first; None means the one that ``TEXTSEQ_DATA`` names, if any.
        download: whether to fetch into the cache what is nowhere on this machine.

    Raises:
        TextseqError: the name is unknown, or a file is missing, wrong or unreadable.
    """
    known = recipe_files()
    if name not in known:
        raise unknown("corpus", name, known)
    recipe = read_recipe(name, known[name])
    if recipe.format not in FORMATS:
        raise unknown("format", recipe.format, FORMATS)
    local = find(recipe, data=data, download=download)
    documents = {key: Document(file.path, recipe.encoding, recipe.format) for key, file in local.items()}
    share = recipe.split.get("validation")
    if isinstance(share, float):
        lengths = {document: sum(map(len, document.chunks())) for document in documents.values()}
        contents = _divide(lengths, share)
    else:
        part_of = {key: part for part, keys in recipe.split.items() if isinstance(keys, list) for key in keys}
        contents = {
            part: tuple(document for key, document in documents.items() if part_of.get(key, "train") == part)
            for part in ("train", *recipe.split)
        }
    decides = (recipe.encoding, recipe.format, FORMATS_VERSION, recipe.split)
    return Corpus(
        name=name,
        title=recipe.title,
        task=recipe.task,
        language=recipe.language,
        purpose=recipe.purpose,
        licence=recipe.licence,
        encoding=recipe.encoding,
        fingerprint=_fingerprint(*decides, [(key, file.sha256) for key, file in local.items()]),
        contents=contents,
    )


def own_text(paths: Sequence[Path], *, encoding: str = "utf-8", validation: float = 0.1) -> Corpus:
    """A user's own files and folders as a corpus, each file one document.

    Folders are searched to the bottom, in sorted order, but for hidden files and folders and
    ``__pycache__``; what is not text there is left out, and a note says so. Line ends stay as they are;
    a byte order mark is no part of the text.

    Args:
        paths: files and folders; a file met twice is taken once.
        encoding: any of Python's text encodings.
        validation: the share of all characters, counted from the end, that is the validation part; the
            document where it begins is cut in two. From 0 (no validation part) to 0.5.

    Raises:
        TextseqError: ``validation`` or ``encoding`` is no such thing; a file is missing, unreadable or, named
            directly, not text in that encoding; there is no text at all.
    """
    if not 0 <= validation <= 0.5:
        raise TextseqError(f"validation must be a share between 0 and 0.5, not {validation}; 0.1 is usual")
    try:
        codecs.getincrementaldecoder(encoding)
        "a".encode(encoding)  # refuses codecs that are not of text, such as hex
    except (LookupError, ValueError) as error:
        raise TextseqError(f"unknown encoding '{encoding}'; usual are utf-8, latin-1, cp1252") from error
    lengths: dict[Document, int] = {}
    left_out: list[Path] = []
    for file, named in _own_files(paths).items():
        document = Document(file, encoding)
        try:
            if not named and _looks_binary(document):
                raise _NotText
            if length := sum(map(len, document.chunks())):
                lengths[document] = length
        except _NotText:
            if named:
                raise
            left_out.append(file)
    where = ", ".join(map(str, paths))
    if not lengths:
        raise TextseqError(f"no text in '{where}': all files are empty or not {encoding} text; name others")
    notes: tuple[str, ...] = ()
    if left_out:
        notes = (f"Files left out, as not {encoding} text: {len(left_out)} (the first is {left_out[0]}).",)
    stats = [(str(document.path), document.path.stat()) for document in lengths]
    stamps = [(path, stat.st_size, stat.st_mtime_ns) for path, stat in stats]
    return Corpus(
        name=paths[0].name + (f" and {len(paths) - 1} more" if len(paths) > 1 else ""),
        title=where,
        task="language-model",
        purpose="your own text",
        encoding=encoding,
        notes=notes,
        fingerprint=_fingerprint(encoding, validation, stamps),
        contents=_divide(lengths, validation),
    )


class _NotText(TextseqError):
    """A file holds bytes that the encoding knows not."""


def _own_files(paths: Sequence[Path]) -> dict[Path, bool]:
    """Each file once, in order, and whether it was named itself (rather than met in a folder)."""
    files: dict[Path, bool] = {}
    for path in paths:
        if os.path.isfile(path):
            files[path.resolve()] = True
        elif os.path.isdir(path):
            for file in _walk(path):
                files.setdefault(file.resolve(), False)
        else:
            raise TextseqError(f"no file or folder {path}; name text files, or folders that hold some")
    return files


def _walk(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise TextseqError(f"cannot read {error.filename}: {error.strerror}; make it readable")

    for here, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        files = (Path(here, name) for name in sorted(names) if not name.startswith("."))
        yield from filter(os.path.isfile, files)  # a pipe or a socket would keep us waiting


def _looks_binary(document: Document) -> bool:
    ending = BINARY.fullmatch(document.path.suffix.lower())
    return ending is not None or "\0" in next(document.chunks(), "")[: 2**13]


def _divide(lengths: Mapping[Document, int], share: float) -> dict[str, tuple[Document, ...]]:
    """Cut the documents, joined, into train and validation: the last ``share`` of the characters."""
    cut = max(int((1 - share) * sum(lengths.values())), 1)
    train, validation = [], []
    for document, length in lengths.items():
        if cut > 0:
            train.append(replace(document, stop=cut) if cut < length else document)
        if cut < length:
            validation.append(replace(document, start=cut) if cut > 0 else document)
        cut -= length
    return {"train": tuple(train)} | ({"validation": tuple(validation)} if validation else {})


def _fingerprint(*decides: object) -> str:
    return hashlib.sha256(json.dumps(decides).encode()).hexdigest()


def _read_text(path: Path, encoding: str) -> Iterator[str]:
    """The characters as they are, without a byte order mark at the start."""
    name = "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding
    decoder = codecs.getincrementaldecoder(name)()
    offset = 0
    try:
        with path.open("rb") as file:
            block = b"start"
            while block:
                block = file.read(CHUNK)
                offset += len(block)
                if text := decoder.decode(block, final=not block):
                    yield text
    except UnicodeDecodeError as error:
        # What the decoder was given ends where we have read to, and may begin in the block before.
        offset += error.start - len(error.object)
        raise _NotText(
            f"{path} is not {encoding} text: byte 0x{error.object[error.start]:02x} at offset {offset};"
            " say with --encoding what it is (latin-1, cp1252, utf-16...)"
        ) from error
    except OSError as error:
        raise TextseqError(f"cannot read {path}: {error.strerror or error}; make it readable") from error


def _read_play(path: Path, encoding: str) -> Iterator[str]:
    text = untypeset("".join(_read_text(path, encoding)))
    yield from (text[start : start + CHUNK] for start in range(0, len(text), CHUNK))


# How a file becomes text, in chunks of at most 2**20 characters.
FORMATS: dict[str, Callable[[Path, str], Iterator[str]]] = {"text": _read_text, "play": _read_play}
FORMATS_VERSION = 1  # to be raised when a format gives other text than before
