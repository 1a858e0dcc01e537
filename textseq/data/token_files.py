"""Token files: a dataset encoded once, as a memory-mapped file of ids beside a small header.

Each split of a dataset becomes three files in the cache folder: ``.ids`` (the tokens, raw little-endian unsigned
integers of the smallest type that fits the vocabulary), ``.documents`` (where each document starts, raw little-endian
int64) and ``.json`` (the header); with labels a fourth, ``.labels`` (the label id of each document, int64). The header
is written last; files without one are ignored. The text is read in chunks, so memory use does not grow with the
dataset. The header holds the SHA-256 of all files, which is checked whenever they are opened: about a second for 2 GB.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from textseq.config.tokenizer import TOKENIZER_OPTIONS, TokenizerConfig
from textseq.errors import TextseqError, unknown
from textseq.io.counting import counting
from textseq.io.files import json_of, read_text, replacing, sha256
from textseq.io.locks import clear_leavings, locked
from textseq.tokenizers.base import TOKENIZER_FORMAT, Tokenizer
from textseq.tokenizers.registry import TOKENIZERS, load_tokenizer

TOKENS_FORMAT = 5

TRAIN_SPLIT = "train"

CHECK_FILE = "sha256"
"""Beside a tokenizer in the cache: its fingerprint."""


class DocumentSet(Protocol):
    """Text to train a tokenizer on and to encode, such as a ``TextDataset``."""

    @property
    def name(self) -> str: ...
    @property
    def splits(self) -> tuple[str, ...]: ...
    @property
    def fingerprint(self) -> str:
        """Changes whenever the text or its splits do."""

    def documents(self, split: str) -> Iterable[Iterable[str]]:
        """The documents of a split, each as chunks of its text."""


class LabelledDocumentSet(DocumentSet, Protocol):
    """Documents, each with a label."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    def labelled_documents(self, split: str) -> Iterable[tuple[Iterable[str], str]]:
        """The documents of a split, each as chunks of its text, with their labels."""


@dataclass(frozen=True, eq=False)
class TokenFile:
    """One split of a dataset as ids on disk. All arrays are memory-mapped and read-only."""

    ids: npt.NDArray[np.unsignedinteger]
    """(L,) the tokens of all documents one after another."""
    document_starts: npt.NDArray[np.int64]
    """(D,) where in ``ids`` each document starts, ascending, the first at 0."""
    characters: int
    """Characters (code points) of the text, for bits per character."""
    words: int
    """Words of the text, separated by white space, for the perplexity per word."""
    utf8_bytes: int
    """Bytes of the text as UTF-8, for bits per byte."""
    path: Path
    """The file of the ids."""
    labels: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """(D,) the label id of each document; (0,) unless made by ``labelled_token_file``."""


def tokenizer_for(
    dataset: DocumentSet,
    options: TokenizerConfig,
    cache: Path,
    report: Callable[[str], object] = lambda note: None,
) -> Tokenizer:
    """The tokenizer of a dataset: trained on its training split, or read from the cache.

    A damaged cache is replaced. If several processes need the same tokenizer, one trains it and the others wait.

    Args:
        dataset: the text.
        options: kind and size of the tokenizer.
        cache: the folder.
        report: receives the tokenizer's notes on its options.

    Raises:
        TextseqError: the dataset has no training split, the options do not fit it, or the cache cannot be written.
    """
    kind = options.tokenizer
    _check_split(dataset, TRAIN_SPLIT)
    used = [f"{name}={getattr(options, name)}" for name in TOKENIZER_OPTIONS[kind]]
    if options.normalization == "none":  # so that caches from before there was normalization are found
        used.remove("normalization=none")
    folder = cache / "tokenizers" / _file_name(dataset, kind, kind, dataset.fingerprint, str(TOKENIZER_FORMAT), *used)
    tokenizer = _cached_tokenizer(folder, kind)
    if tokenizer is None:
        with locked(folder.with_suffix(".lock")):
            tokenizer = _cached_tokenizer(folder, kind)  # another process may have trained it meanwhile
            if tokenizer is None:
                tokenizer = _train_tokenizer(dataset, options, folder)
    for note in tokenizer.notes(options):
        report(note)
    return tokenizer


def _train_tokenizer(dataset: DocumentSet, options: TokenizerConfig, folder: Path) -> Tokenizer:
    """Train a tokenizer and save it in a folder of the cache."""
    with counting(f"characters of {dataset.name} read for the vocabulary") as count:
        documents = (_passed(document, count) for document in dataset.documents(TRAIN_SPLIT))
        tokenizer = TOKENIZERS[options.tokenizer].train(documents, options)
    if options.rare_words == "unknown" and tokenizer.size == len(tokenizer.fallback):
        raise TextseqError(
            f"no word of '{dataset.name}' occurs {options.minimum_count} times; lower --minimum-count or give more text"
        )
    tokenizer.save(folder)
    with replacing(folder / CHECK_FILE) as (file,):
        file.write(tokenizer.fingerprint.encode())
    return tokenizer


def _passed(document: Iterable[str], count: Callable[[float], object]) -> Iterator[str]:
    """The chunks of a document, whose characters are counted."""
    for chunk in document:
        yield chunk
        count(len(chunk))


def _cached_tokenizer(folder: Path, kind: str) -> Tokenizer | None:
    """The tokenizer in a folder of the cache, or None if it is missing or damaged."""
    with suppress(TextseqError, OSError):
        tokenizer = load_tokenizer(folder)
        if tokenizer.kind == kind and (folder / CHECK_FILE).read_bytes() == tokenizer.fingerprint.encode():
            return tokenizer
    return None


def token_file(dataset: DocumentSet, split: str, tokenizer: Tokenizer, cache: Path) -> TokenFile:
    """One split of a dataset as ids: encoded, or mapped from the cache.

    A cached file that is damaged, or was made from other text or with another tokenizer, is replaced. If several
    processes need the same file, one writes it and the others wait; on a file system without locks each writes a
    temporary file of its own.

    Raises:
        TextseqError: the dataset has no such split, the split has no text, the text cannot be encoded, or the cache
            cannot be written (a full disk leaves nothing behind).
    """
    _check_split(dataset, split)
    return _token_file(dataset, split, tokenizer, cache, lambda: ((text, None) for text in dataset.documents(split)))


def labelled_token_file(dataset: LabelledDocumentSet, split: str, tokenizer: Tokenizer, cache: Path) -> TokenFile:
    """Encode one split of a dataset with the label of each document; see ``token_file``.

    Documents and labels are read in one pass, so they stay aligned.
    """
    _check_split(dataset, split)
    return _token_file(
        dataset, split, tokenizer, cache, lambda: dataset.labelled_documents(split), labels=dataset.labels
    )


def _token_file(
    dataset: DocumentSet,
    split: str,
    tokenizer: Tokenizer,
    cache: Path,
    documents: Callable[[], Iterable[tuple[Iterable[str], str | None]]],
    labels: Sequence[str] = (),
) -> TokenFile:
    identity = _Identity(
        format=TOKENS_FORMAT,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        split=split,
        tokenizer=tokenizer.fingerprint,
        dtype=np.min_scalar_type(tokenizer.size - 1).newbyteorder("<").str,
        labels=[*labels],
    )
    path = cache / "tokens" / f"{_file_name(dataset, split, *map(str, asdict(identity).values()))}.ids"
    if (cached := _open(path, identity)) is not None:
        return cached
    with locked(path.with_suffix(".lock")):
        if (cached := _open(path, identity)) is None:  # no other process has written it meanwhile
            clear_leavings(path.parent, f"{path.stem}.*")
            _write(path, identity, documents(), tokenizer)
            cached = _open(path, identity)
    if cached is None:
        raise TextseqError(f"{path} changed while it was read; leave the cache folder alone and try again")
    return cached


@dataclass(frozen=True)
class _Identity:
    """The header fields that identify a token file: its text, labels and tokenizer."""

    format: int
    dataset: str
    fingerprint: str
    split: str
    tokenizer: str
    dtype: str
    labels: list[str]

    def files(self, path: Path) -> list[Path]:
        """The data files that belong to the ids at ``path``."""
        suffixes = (".ids", ".documents", ".labels") if self.labels else (".ids", ".documents")
        return [path.with_suffix(suffix) for suffix in suffixes]


@dataclass
class _Counts:
    """The header fields that are counted while a token file is written."""

    documents: int = 0
    tokens: int = 0
    characters: int = 0
    words: int = 0
    utf8_bytes: int = 0

    def text(self, chunks: Iterable[str]) -> Iterator[str]:
        """Pass the chunks of a document on and count them."""
        within_word = False  # at the end of the last chunk
        for chunk in filter(None, chunks):
            self.characters += len(chunk)
            self.words += len(chunk.split()) - (within_word and not chunk[0].isspace())
            within_word = not chunk[-1].isspace()
            # The tokenizer refuses lone surrogates with a better message than ``encode``.
            self.utf8_bytes += len(chunk) if chunk.isascii() else len(chunk.encode("utf-8", "surrogatepass"))
            yield chunk


def _write(
    path: Path, identity: _Identity, documents: Iterable[tuple[Iterable[str], str | None]], tokenizer: Tokenizer
) -> None:
    counts, paths = _Counts(), identity.files(path)
    hashes = [hashlib.sha256() for _ in paths]
    label_ids = {label: np.array(number, "<i8").tobytes() for number, label in enumerate(identity.labels)}
    title = f"characters of {identity.dataset} ({identity.split}) encoded"
    with replacing(*paths, path.with_suffix(".json")) as (*files, header), counting(title) as count:

        def write(number: int, data: bytes) -> None:
            hashes[number].update(data)
            file: BinaryIO = files[number]
            file.write(data)

        for document, label in documents:
            write(1, np.array(counts.tokens, "<i8").tobytes())
            if label is not None:
                write(2, label_ids[label])
            counts.documents += 1
            for tokens in tokenizer.encode_chunks(counts.text(_passed(tokenizer.normalized(document), count))):
                write(0, tokens.astype(identity.dtype).tobytes())
                counts.tokens += len(tokens)
        if counts.tokens == 0:
            raise TextseqError(
                f"the {identity.split} split of '{identity.dataset}' has no text ({counts.documents} documents, 0 "
                "tokens); give it some, or use another split"
            )
        header.write(json.dumps(_header(identity, counts, [each.hexdigest() for each in hashes]), indent=1).encode())


def _header(identity: _Identity, counts: _Counts, hashes: Sequence[str]) -> dict[str, object]:
    """The header, with one hash over the identity, the counts and the hashes of the data files."""
    plain = {**asdict(identity), **asdict(counts)}
    return {**plain, "sha256": hashlib.sha256(json.dumps([plain, hashes]).encode()).hexdigest()}


def _open(path: Path, identity: _Identity) -> TokenFile | None:
    """The token file at ``path``, or None if it is missing, damaged or made from something else."""
    paths = identity.files(path)
    try:
        header = json_of(read_text(path.with_suffix(".json")))
        if not isinstance(header, dict):
            return None
        counts = _Counts(*(header[item.name] for item in fields(_Counts)))
        if header != _header(identity, counts, [sha256(file) for file in paths]):
            return None
        ids = np.memmap(path, identity.dtype, mode="r")
        starts, *labels = (np.memmap(file, "<i8", mode="r") for file in paths[1:])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if len(ids) != counts.tokens or any(len(array) != counts.documents for array in (starts, *labels)):
        return None
    return TokenFile(ids, starts, counts.characters, counts.words, counts.utf8_bytes, path, *labels)


def _file_name(dataset: DocumentSet, label: str, *key: str) -> str:
    """A readable file name that ends in a digest of the key."""
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    return re.sub(r"[^\w-]+", "-", f"{dataset.name[:40]}-{label[:20]}-{digest}", flags=re.ASCII)


def _check_split(dataset: DocumentSet, split: str) -> None:
    if split not in dataset.splits:
        raise unknown(f"split of '{dataset.name}'", split, dataset.splits)
