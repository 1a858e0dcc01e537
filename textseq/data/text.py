"""Text to model: a corpus by name (a recipe in ``corpora/``), or one's own files.

Both give a ``TextDataset``: documents that are read in chunks, so a large file is never in memory as a whole. Those of
a ``ConditionalDataset`` have each a condition, such as their author.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from textseq.data.corpora.catalog import CorpusRecipe, author_part, recipe_files, recipe_of
from textseq.data.corpora.download import LocalFile, find
from textseq.data.corpora.text_formats import FORMATS, FORMATS_VERSION
from textseq.data.dataset import (
    VALIDATION,
    RowDataset,
    check_options,
    corpus_fields,
    documents_of,
    fingerprint_of,
)
from textseq.data.readers.tables import is_table
from textseq.data.readers.text_folder import files_of_text, looks_binary
from textseq.data.rows import Example, normal_label
from textseq.errors import TextseqError, unknown
from textseq.io.compression import plain_name
from textseq.io.documents.document import Document, shown_name
from textseq.io.documents.errors import NotText, reading
from textseq.io.files import sha256


@dataclass(frozen=True, kw_only=True)
class TextDataset(RowDataset[Document]):
    """Text; its rows are documents."""

    task: ClassVar[str] = "language-model"

    contents: Mapping[str, tuple[Document, ...]]

    def documents(self, split: str) -> Iterator[Iterator[str]]:
        """Each document of a split, as an iterator of chunks of at most 2**20 characters.

        Raises:
            TextseqError: there is no such split.
        """
        return (document.chunks() for document in self.rows(split))


LINE_END = "\n"
"""What a document with a condition begins with: it ends the document before, and is what a generated text follows."""


@dataclass(frozen=True, kw_only=True)
class ConditionalDataset(RowDataset[tuple[Document | str, str]]):
    """Text whose documents have conditions: a label each, or a vector of numbers."""

    task: ClassVar[str] = "language-model"

    labels: tuple[str, ...] = ()
    """All labels; () if the conditions are vectors."""
    vectors: tuple[str, ...] = ()
    """The different vectors, each as numbers with spaces between them."""
    contents: Mapping[str, Iterable[tuple[Document | str, str]]] = field(default_factory=dict)

    @property
    def vector_size(self) -> int:
        """Numbers of a vector; 0 with labels."""
        return len(self.vectors[0].split()) if self.vectors else 0

    @property
    def conditions(self) -> tuple[str, ...]:
        """The different conditions."""
        return self.vectors or self.labels

    def condition_table(self) -> npt.NDArray[np.float32]:
        """The numbers of each condition, (R, K)."""
        if self.vectors:
            return np.array([vector.split() for vector in self.vectors], np.float32)
        return np.eye(len(self.labels), dtype=np.float32)

    def only(self, condition: str) -> ConditionalDataset:
        """The documents of one condition; a TextseqError if there is no such condition."""
        if condition not in self.conditions:
            raise unknown("condition", condition, self.conditions)
        contents = {split: tuple(row for row in rows if row[1] == condition) for split, rows in self.contents.items()}
        name, fingerprint = f"{self.name}/{condition}", fingerprint_of(self.fingerprint, condition)
        return replace(self, name=name, fingerprint=fingerprint, contents=contents)

    def unconditional(self) -> TextDataset:
        """The documents alone, without conditions; for text in files."""
        contents = {
            split: tuple(document for document, _ in self.rows(split) if isinstance(document, Document))
            for split in self.splits
        }
        return TextDataset(
            name=self.name,
            title=self.title,
            purpose=self.purpose,
            language=self.language,
            licence=self.licence,
            fingerprint=fingerprint_of(self.fingerprint, "none"),
            contents=contents,
        )

    def documents(self, split: str) -> Iterator[Iterator[str]]:
        """Each document of a split in chunks, the first of which is a line end."""
        return (document for document, _ in self.conditional_documents(split))

    def conditional_documents(self, split: str) -> Iterator[tuple[Iterator[str], str]]:
        """The same with their conditions."""
        for document, condition in self.rows(split):
            yield chain([LINE_END], [document] if isinstance(document, str) else document.chunks()), condition


def with_conditions(
    dataset: RowDataset[Example], *, labels: Sequence[str] = (), vectors: Sequence[str] = ()
) -> ConditionalDataset:
    """Labelled texts as text whose conditions are the labels, or the vectors that stand in their place.

    Raises:
        TextseqError: vectors of different sizes.
    """
    sizes = {len(vector.split()): vector for vector in vectors}
    if len(sizes) > 1:
        (one, first), (other, second), *_ = sizes.items()
        raise TextseqError(
            f"expected vectors of one size in {dataset.name}, got {one} numbers ({first:.40}) and {other} "
            f"({second:.40})"
        )
    described = {name: getattr(dataset, name) for name in ("name", "title", "purpose", "contents", "language")}
    described |= {name: getattr(dataset, name) for name in ("licence", "encoding", "notes")}
    fingerprint = fingerprint_of(dataset.fingerprint, "conditional")
    return ConditionalDataset(**described, fingerprint=fingerprint, labels=tuple(labels), vectors=tuple(vectors))


def load_authors(recipe: CorpusRecipe, *, data_dir: Path | None = None, download: bool = False) -> ConditionalDataset:
    """Load a corpus of several authors, who are its labels; see ``load_corpus``."""
    local = find(recipe, data_dir=data_dir, download=download)
    contents: dict[str, list[tuple[Document | str, str]]] = {"train": [], "validation": [], "test": []}
    content: list[object] = [FORMATS_VERSION, recipe.split, list(recipe.authors.items())]
    for author, parts in recipe.authors.items():
        for corpus, pattern, times in map(author_part, parts):
            part = recipe_of(corpus, "texts", lambda recipe: recipe.is_text)
            formats = {file: recipe.formats[file] for file in part.files if file in recipe.formats}
            part = replace(part, formats={**part.formats, **formats})
            content.append((part.encoding, part.format, part.formats, part.split))
            for split, documents in _part_splits(part, pattern, recipe, local).items():
                contents[split] += [(document, author) for document in documents] * (times if split == "train" else 1)
    return ConditionalDataset(
        **corpus_fields(recipe, content, local),
        labels=tuple(recipe.authors),
        contents={split: documents for split, documents in contents.items() if documents},
    )


def _part_splits(
    part: CorpusRecipe, pattern: str, whole: CorpusRecipe, local: Mapping[str, LocalFile]
) -> dict[str, tuple[Document, ...]]:
    """The documents of one part of a corpus of several authors, by split."""
    documents = documents_of(part, {name: local[name] for name in part.files})
    if not pattern:
        return _splits(part, documents)
    chosen = {name: document for name, document in documents.items() if fnmatchcase(name, pattern)}
    if not chosen:
        raise unknown(f"document of '{part.name}' in recipe '{whole.name}':", pattern, documents)
    return _splits(whole, chosen)


def corpus_names() -> list[str]:
    """The names of all corpora, sorted."""
    return list(recipe_files())


def load_corpus(name: str, *, data_dir: Path | None = None, download: bool = False) -> TextDataset:
    """Load a corpus of text by name; every file is found and verified.

    Args:
        name: one of ``corpus_names()``.
        data_dir: the folder to look in first; None means the one that ``TEXTSEQ_DATA`` names, if any.
        download: whether to download missing files into the cache.

    Raises:
        TextseqError: the name is unknown, or a file is missing, wrong or unreadable.
    """
    recipe = recipe_of(name, "texts", lambda recipe: recipe.is_text)
    for format in (recipe.format, *recipe.formats.values()):
        if format not in FORMATS:
            raise unknown("format", format, FORMATS)
    local = find(recipe, data_dir=data_dir, download=download)
    content = [recipe.encoding, recipe.format, FORMATS_VERSION, recipe.split]
    if recipe.formats or recipe.members:  # in few recipes
        content.append((recipe.formats, recipe.members))
    return TextDataset(
        **corpus_fields(recipe, content, local),
        contents=_splits(recipe, documents_of(recipe, local)),
    )


def own_text(paths: Sequence[Path], *, encoding: str = "utf-8", validation: float = VALIDATION) -> TextDataset:
    """Open one's own files and folders as a dataset, each file one document.

    Folders are searched recursively, in sorted order, except hidden files and folders, ``__pycache__`` and, with a
    note, runs and models of textseq; files in them that are not text are skipped, with a note. Line ends are kept, with
    a note on CR, which ``--normalization`` makes LF; a byte order mark is removed. Of what textseq wrote (see
    ``Document.literal``) all is text.

    Args:
        paths: files and folders; a file that occurs twice is read once.
        encoding: any of Python's text encodings.
        validation: the share of all characters for validation, from 0 (none) to 0.5. It is taken from the end; the
            document in which it begins is cut in two.

    Raises:
        TextseqError: an option is invalid; a file is missing, unreadable or, named directly, not text in that encoding;
            there is no text at all.
    """
    check_options(encoding, validation)
    lengths: dict[Document, int] = {}
    returns: list[Path] = []
    skipped: list[Path] = []
    left_out: list[Path] = []
    for file, named in files_of_text(paths, left_out).items():
        document = Document(file, encoding)
        try:
            if not named and not document.literal and looks_binary(document):
                raise NotText
            length, has_returns = 0, False
            for chunk in document.chunks():
                length, has_returns = length + len(chunk), has_returns or "\r" in chunk
            if length:
                lengths[document] = length
            if has_returns:
                returns.append(file)
        except NotText:
            if named:
                raise
            skipped.append(file)
    where = ", ".join(map(shown_name, paths))
    if not lengths:
        raise TextseqError(f"no text in '{where}': all files are empty or not {encoding} text; name other files")
    notes: tuple[str, ...] = ()
    if returns:
        several = (
            f" {len(returns)} files (the first is {shown_name(returns[0])})"
            if len(returns) > 1
            else f" {shown_name(returns[0])}"
        )
        notes = (f"Line ends CRLF or CR in{several}: they are read as LF, unless --normalization none asks not to.",)
    if skipped:
        notes += (f"Skipped files that are not {encoding} text: {len(skipped)} (the first is {skipped[0]}).",)
    if left_out:
        notes += (f"Skipped folders of textseq's own files: {len(left_out)} (the first is {left_out[0]}).",)
    names = [Path(shown_name(path)).name for path in paths]
    return TextDataset(
        name=names[0] + (f" and {len(paths) - 1} more" if len(paths) > 1 else ""),
        title=", ".join(names),
        purpose="your own text",
        encoding=encoding,
        notes=notes,
        fingerprint=fingerprint_of(encoding, validation, [_hash(document) for document in lengths]),
        contents=_divide(lengths, {"validation": validation}),
    )


def is_folder_of_files(path: Path) -> bool:
    """Whether a folder holds files and no folders; hidden ones do not count."""
    inside = [place for place in path.iterdir() if not place.name.startswith(".")] if path.is_dir() else []
    return bool(inside) and all(place.is_file() for place in inside)


def own_authors(
    folders: Sequence[Path], *, encoding: str = "utf-8", validation: float = VALIDATION
) -> ConditionalDataset:
    """Open folders of files as a dataset whose labels are the files' names without their endings, such as "austen".

    Each file is one document; the share for validation is taken from the end of each. See ``own_text`` for how they
    are read, and for its errors.
    """
    contents: dict[str, list[tuple[Document | str, str]]] = {"train": [], "validation": []}
    notes: list[str] = []
    content: list[tuple[str, str]] = []
    files = [file for folder in folders for file in sorted(folder.iterdir()) if not file.name.startswith(".")]
    for file in files:
        label = normal_label(Path(plain_name(file)).stem).strip()
        if not label or not label.isprintable():
            raise TextseqError(f"expected a file whose name can be a label, got {str(file)!r}; rename it")
        if is_table(file):
            raise TextseqError(f"expected a folder of text files, got the table {file}; give the file alone")
        text = own_text([file], encoding=encoding, validation=validation)
        for split in text.splits:
            contents[split] += [(document, label) for document in text.rows(split)]
        notes += text.notes
        content.append((label, text.fingerprint))
    names = [folder.absolute().name for folder in folders]
    return ConditionalDataset(
        name=" and ".join(names),
        title=", ".join(names),
        purpose="your own texts",
        encoding=encoding,
        notes=(*notes, f"Each file of {', '.join(map(str, folders))} is the text of one label, its name."),
        fingerprint=fingerprint_of(content),
        labels=tuple(sorted({label for label, _ in content})),
        contents={split: tuple(documents) for split, documents in contents.items() if documents},
    )


def _hash(document: Document) -> str:
    """The SHA-256 of a whole file; its modification time is not reliable."""
    with reading(document.name):
        digest = sha256(document.path)
    marked = document.literal and next(document.chunks(), "").startswith("\ufeff")  # which is text, here only
    return f"{digest} literal" if marked else digest


def _splits(recipe: CorpusRecipe, documents: Mapping[str, Document]) -> dict[str, tuple[Document, ...]]:
    """Whole documents as the recipe lists them, or shares of every document."""
    if recipe.shares:
        divided = [_divide({document: document.length()}, recipe.shares) for document in documents.values()]
        return {
            split: tuple(chain.from_iterable(document[split] for document in divided))
            for split in ("train", *recipe.shares)
        }
    split_of: dict[str, str] = {}
    for split, patterns in recipe.lists.items():
        for pattern in patterns:
            listed = [name for name in documents if fnmatchcase(name, pattern)]
            if not listed or not split_of.keys().isdisjoint(listed):
                raise TextseqError(
                    f"recipe '{recipe.name}': '{pattern}' in the {split} split must name documents of no other split;"
                    f" there are {', '.join([*documents][:5])}..."
                )
            split_of |= dict.fromkeys(listed, split)
    return {
        split: tuple(document for name, document in documents.items() if split_of.get(name, "train") == split)
        for split in ("train", *recipe.lists)
    }


def _divide(lengths: Mapping[Document, int], shares: Mapping[str, float]) -> dict[str, tuple[Document, ...]]:
    """Cut the concatenated documents into consecutive splits: train, then one for each share of the characters."""
    whole, begin = sum(lengths.values()), 0
    contents = {}
    for place, split in enumerate(("train", *shares)):
        end = max(int((1 - sum([*shares.values()][place:])) * whole), 1)
        contents[split] = tuple(_span(lengths, begin, end))
        begin = end
    return {split: documents for split, documents in contents.items() if documents}


def _span(lengths: Mapping[Document, int], begin: int, end: int) -> Iterator[Document]:
    """The documents, or parts of them, in a range of characters of the concatenated documents."""
    for document, length in lengths.items():
        start, stop = max(begin, 0), min(end, length)
        if start < stop:
            yield replace(document, start=start, stop=stop if stop < length else None)
        begin, end = begin - length, end - length
