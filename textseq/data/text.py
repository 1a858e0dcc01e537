"""Where text comes from: a corpus by name (a recipe in ``corpora/``), or a user's own files.

Either gives a ``TextDataset``: parts ("train", "validation", "test", as there are), each a series of
documents, each document a series of chunks of text, so that a large file never lies in memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path

from textseq.data.corpora.catalog import CorpusRecipe, recipe_files, recipe_of
from textseq.data.corpora.download import find
from textseq.data.corpora.text_formats import FORMATS, FORMATS_VERSION
from textseq.data.dataset import SPLITS, check_encoding, check_share, documents_of, fingerprint_of
from textseq.errors import TextseqError, unknown
from textseq.io.documents import Document, NotText, reading
from textseq.io.files import sha256

# Endings that are never text; other files that are not text are known by what is in them.
BINARY = re.compile(
    r"\.(7z|bmp|bz2|class|dll|docx?|epub|exe|gif|gz|ico|jar|jpe?g|mp[34]|np[yz]|o|odt|og[gv]|pdf|pickle|png|pt"
    r"|py[cd]|safetensors|so|sqlite|tar|tgz|ttf|wav|webp|whl|woff2?|xlsx?|xz|zip|zst)"
)


@dataclass(frozen=True)
class TextDataset:
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
    def splits(self) -> tuple[str, ...]:
        """The parts there are, in the order train, validation, test."""
        return tuple(split for split in SPLITS if split in self.contents)

    def documents(self, split: str) -> Iterator[Iterator[str]]:
        """Each document of a part, as an iterator of chunks of at most 2**20 characters.

        Raises:
            TextseqError: the corpus has no such part.
        """
        if split not in SPLITS:
            raise unknown("part of a corpus", split, SPLITS)
        if split not in self.contents:
            raise TextseqError(f"corpus '{self.name}' has no {split} part; it has {' and '.join(self.splits)}")
        return (document.chunks() for document in self.contents[split])


def corpus_names() -> list[str]:
    """The corpora that can be asked for by name, sorted."""
    return list(recipe_files())


def load_corpus(name: str, *, data_dir: Path | None = None, download: bool = False) -> TextDataset:
    """A corpus by name, every file found and verified.

    Args:
        name: one of ``corpus_names()``.
        data_dir: the folder to look in first; None means the one that ``TEXTSEQ_DATA`` names, if any.
        download: whether to fetch into the cache what is nowhere on this machine.

    Raises:
        TextseqError: the name is unknown, or a file is missing, wrong or unreadable.
    """
    recipe = recipe_of(name, "texts", lambda recipe: recipe.is_text)
    for format in (recipe.format, *recipe.formats.values()):
        if format not in FORMATS:
            raise unknown("format", format, FORMATS)
    local = find(recipe, data_dir=data_dir, download=download)
    decides = [recipe.encoding, recipe.format, FORMATS_VERSION, recipe.split]
    if recipe.formats or recipe.members:  # said by few recipes
        decides.append((recipe.formats, recipe.members))
    return TextDataset(
        name=name,
        title=recipe.title,
        task=recipe.task,
        language=recipe.language,
        purpose=recipe.purpose,
        licence=recipe.licence,
        encoding=recipe.encoding,
        fingerprint=fingerprint_of(*decides, [(key, file.sha256) for key, file in local.items()]),
        contents=_parts(recipe, documents_of(recipe, local)),
    )


def own_text(paths: Sequence[Path], *, encoding: str = "utf-8", validation: float = 0.1) -> TextDataset:
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
    check_share(validation)
    check_encoding(encoding)
    lengths: dict[Document, int] = {}
    left_out: list[Path] = []
    for file, named in _own_files(paths).items():
        document = Document(file, encoding)
        try:
            if not named and _looks_binary(document):
                raise NotText
            if length := document.length():
                lengths[document] = length
        except NotText:
            if named:
                raise
            left_out.append(file)
    where = ", ".join(map(str, paths))
    if not lengths:
        raise TextseqError(f"no text in '{where}': all files are empty or not {encoding} text; name others")
    notes: tuple[str, ...] = ()
    if left_out:
        notes = (f"Files left out, as not {encoding} text: {len(left_out)} (the first is {left_out[0]}).",)
    hashes = [_hashed(document) for document in lengths]
    return TextDataset(
        name=paths[0].name + (f" and {len(paths) - 1} more" if len(paths) > 1 else ""),
        title=where,
        task="language-model",
        purpose="your own text",
        encoding=encoding,
        notes=notes,
        fingerprint=fingerprint_of(encoding, validation, hashes),
        contents=_divide(lengths, {"validation": validation}),
    )


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


def _hashed(document: Document) -> str:
    """The hash of a whole file: its time says nothing, for clocks jump and copies keep it."""
    with reading(document.name):
        return sha256(document.path)


def _looks_binary(document: Document) -> bool:
    ending = BINARY.fullmatch(document.path.suffix.lower())
    return ending is not None or "\0" in next(document.chunks(), "")[: 2**13]


def _parts(recipe: CorpusRecipe, documents: Mapping[str, Document]) -> dict[str, tuple[Document, ...]]:
    """Whole documents as the recipe lists them, or of every document its shares."""
    if recipe.shares:
        divided = [_divide({document: document.length()}, recipe.shares) for document in documents.values()]
        return {split: tuple(chain.from_iterable(one[split] for one in divided)) for split in ("train", *recipe.shares)}
    split_of: dict[str, str] = {}
    for split, patterns in recipe.lists.items():
        for pattern in patterns:
            listed = [name for name in documents if fnmatchcase(name, pattern)]
            if not listed or not split_of.keys().isdisjoint(listed):
                raise TextseqError(
                    f"recipe '{recipe.name}': '{pattern}' in the {split} part must name documents, of no other part;"
                    f" there are {', '.join([*documents][:5])}..."
                )
            split_of |= dict.fromkeys(listed, split)
    return {
        split: tuple(document for name, document in documents.items() if split_of.get(name, "train") == split)
        for split in ("train", *recipe.lists)
    }


def _divide(lengths: Mapping[Document, int], shares: Mapping[str, float]) -> dict[str, tuple[Document, ...]]:
    """Cut the documents, joined: the last share of the characters is the last part, and so on; train is the rest."""
    whole, begin = sum(lengths.values()), 0
    contents = {}
    for place, split in enumerate(("train", *shares)):
        end = max(int((1 - sum([*shares.values()][place:])) * whole), 1)
        contents[split] = tuple(_span(lengths, begin, end))
        begin = end
    return {split: documents for split, documents in contents.items() if documents}


def _span(lengths: Mapping[Document, int], begin: int, end: int) -> Iterator[Document]:
    """The documents, or pieces of them, from a character to another of all joined."""
    for document, length in lengths.items():
        start, stop = max(begin, 0), min(end, length)
        if start < stop:
            yield replace(document, start=start, stop=stop if stop < length else None)
        begin, end = begin - length, end - length
