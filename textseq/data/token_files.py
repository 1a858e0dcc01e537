"""Token files: a corpus encoded once, as a memory-mapped file of ids beside a small header.

Each part of a corpus becomes three files in the cache folder: ``.ids`` (the tokens, raw little-endian
unsigned integers of the smallest type that fits the vocabulary), ``.documents`` (where each document
starts, raw little-endian int64) and ``.json`` (the header, written last: without it nothing is there).
The text passes through in chunks, so the memory used does not grow with the corpus. The header has the
SHA-256 of it all, which is checked whenever the files are opened; it takes about a second for 2 GB.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from textseq.config.tokenizer import TOKENIZER_OPTIONS, TokenizerConfig
from textseq.errors import TextseqError, unknown
from textseq.io.files import replacing, sha256
from textseq.io.locks import locked
from textseq.tokenizers.base import TOKENIZER_FORMAT, Tokenizer
from textseq.tokenizers.registry import TOKENIZERS, load_tokenizer

TOKENS_FORMAT = 3

TRAIN_SPLIT = "train"

CHECK_FILE = "sha256"
"""Beside a tokenizer in the cache: its fingerprint."""


class DocumentSet(Protocol):
    """What a token file is made from: a ``Corpus``, or anything alike."""

    @property
    def name(self) -> str: ...
    @property
    def splits(self) -> tuple[str, ...]: ...
    @property
    def fingerprint(self) -> str:
        """Changes whenever the text or its split does."""

    def documents(self, split: str) -> Iterable[Iterable[str]]:
        """The part's documents, each as chunks of its text."""


@dataclass(frozen=True, eq=False)
class TokenFile:
    """One part of a corpus as ids on disk."""

    ids: npt.NDArray[np.unsignedinteger]
    """(L,) the tokens of all documents one after another, memory-mapped, read-only."""
    document_starts: npt.NDArray[np.int64]
    """(D,) where in ``ids`` each document starts, ascending, the first at 0; memory-mapped, read-only."""
    characters: int
    """Characters (code points) of the text, for bits per character."""
    utf8_bytes: int
    """Bytes of the text as UTF-8, for bits per byte."""
    path: Path
    """The file of the ids."""


def tokenizer_for(corpus: DocumentSet, options: TokenizerConfig, cache: Path) -> Tokenizer:
    """The tokenizer of these options trained on the corpus's train part; trained once, then read from the cache.

    One that is damaged is trained anew. Of several processes that want it at once one trains it, and the others wait.

    Raises:
        TextseqError: the corpus has no train part, the options do not fit it, or the cache cannot be written.
    """
    kind = options.tokenizer
    _check_split(corpus, TRAIN_SPLIT)
    heeded = (f"{name}={getattr(options, name)}" for name in TOKENIZER_OPTIONS[kind])
    folder = cache / "tokenizers" / _key(corpus, kind, kind, corpus.fingerprint, str(TOKENIZER_FORMAT), *heeded)
    if (found := _trained(folder, kind)) is not None:
        return found
    with locked(folder.with_suffix(".lock")):
        if (found := _trained(folder, kind)) is not None:  # meanwhile
            return found
        tokenizer = TOKENIZERS[kind].train(corpus.documents(TRAIN_SPLIT), options)
        if options.rare_words == "unknown" and tokenizer.size == len(tokenizer.fallback):
            raise TextseqError(
                f"no word of '{corpus.name}' occurs {options.minimum_count} times; lower --minimum-count or give more "
                "text"
            )
        tokenizer.save(folder)
        with replacing(folder / CHECK_FILE) as (file,):
            file.write(tokenizer.fingerprint.encode())
        return tokenizer


def _trained(folder: Path, kind: str) -> Tokenizer | None:
    """The tokenizer in a folder of the cache, or None where it is missing or damaged."""
    with suppress(TextseqError, OSError):
        tokenizer = load_tokenizer(folder)
        if tokenizer.kind == kind and (folder / CHECK_FILE).read_bytes() == tokenizer.fingerprint.encode():
            return tokenizer
    return None


def token_file(corpus: DocumentSet, split: str, tokenizer: Tokenizer, cache: Path) -> TokenFile:
    """One part of a corpus as ids; encoded once, then mapped from the cache.

    Files in the cache that do not fit their header, or whose header does not fit what is asked for, are
    made anew. Of several processes that want them at once one makes them, and the others wait. (Where the
    file system has no locks all do, each under names of its own until it is whole; the content is the same.)

    Raises:
        TextseqError: the corpus has no such part, the part has no text, the text cannot be encoded, or
            the cache cannot be written (a full disk leaves nothing behind).
    """
    _check_split(corpus, split)
    recipe = _Recipe(
        format=TOKENS_FORMAT,
        corpus=corpus.name,
        fingerprint=corpus.fingerprint,
        split=split,
        tokenizer=tokenizer.fingerprint,
        dtype=np.min_scalar_type(tokenizer.size - 1).newbyteorder("<").str,
    )
    stem = _key(corpus, split, *(str(value) for value in asdict(recipe).values()))
    path = cache / "tokens" / f"{stem}.ids"
    if (found := _open(path, recipe)) is not None:
        return found
    with locked(path.with_suffix(".lock")):
        if (found := _open(path, recipe)) is None:  # nor meanwhile
            _write(path, recipe, corpus, tokenizer)
            found = _open(path, recipe)
    if found is None:
        raise TextseqError(f"{path} changed while it was read; leave the cache folder alone and try again")
    return found


@dataclass(frozen=True)
class _Recipe:
    """What a token file was made from, and how: the part of its header that must match."""

    format: int
    corpus: str
    fingerprint: str
    split: str
    tokenizer: str
    dtype: str


@dataclass
class _Counts:
    """What passed through while a token file was written: the rest of its header."""

    documents: int = 0
    tokens: int = 0
    characters: int = 0
    utf8_bytes: int = 0

    def text(self, chunks: Iterable[str]) -> Iterator[str]:
        """The same chunks, counted."""
        for chunk in chunks:
            self.characters += len(chunk)
            # A lone surrogate is the tokenizer's to refuse, in words.
            self.utf8_bytes += len(chunk) if chunk.isascii() else len(chunk.encode("utf-8", "surrogatepass"))
            yield chunk


def _write(path: Path, recipe: _Recipe, corpus: DocumentSet, tokenizer: Tokenizer) -> None:
    counts, hashes = _Counts(), (hashlib.sha256(), hashlib.sha256())
    with replacing(path, path.with_suffix(".documents"), path.with_suffix(".json")) as (ids, starts, header):

        def write(number: int, file: BinaryIO, data: bytes) -> None:
            hashes[number].update(data)
            file.write(data)

        for document in corpus.documents(recipe.split):
            write(1, starts, np.array(counts.tokens, "<i8").tobytes())
            counts.documents += 1
            for tokens in tokenizer.encode_chunks(counts.text(document)):
                write(0, ids, tokens.astype(recipe.dtype).tobytes())
                counts.tokens += len(tokens)
        if counts.tokens == 0:
            raise TextseqError(
                f"part '{recipe.split}' of corpus '{corpus.name}' has no text "
                f"({counts.documents} documents, 0 tokens); give it some, or use another part"
            )
        header.write(json.dumps(_header(recipe, counts, *(each.hexdigest() for each in hashes)), indent=1).encode())


def _header(recipe: _Recipe, counts: _Counts, *hashes: str) -> dict[str, object]:
    """What stands in the header, with one hash of all: of the recipe, the counts and the other two files' hashes."""
    plain = {**asdict(recipe), **asdict(counts)}
    return {**plain, "sha256": hashlib.sha256(json.dumps([plain, hashes]).encode()).hexdigest()}


def _open(path: Path, recipe: _Recipe) -> TokenFile | None:
    """The token file at ``path``, or None where it is missing, damaged or made from something else."""
    documents = path.with_suffix(".documents")
    try:
        header = json.loads(path.with_suffix(".json").read_bytes())
        counts = _Counts(*(header[field.name] for field in fields(_Counts)))
        if header != _header(recipe, counts, sha256(path), sha256(documents)):
            return None
        ids = np.memmap(path, recipe.dtype, mode="r")
        starts = np.memmap(documents, "<i8", mode="r")
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if len(ids) != counts.tokens or len(starts) != counts.documents:
        return None
    return TokenFile(ids, starts, counts.characters, counts.utf8_bytes, path)


def _key(corpus: DocumentSet, label: str, *what: str) -> str:
    """A file name for all of this: one that says to people what it is, then a digest that tells it apart."""
    digest = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    return re.sub(r"[^\w-]+", "-", f"{corpus.name[:40]}-{label[:20]}-{digest}", flags=re.ASCII)


def _check_split(corpus: DocumentSet, split: str) -> None:
    if split not in corpus.splits:
        raise unknown(f"part of corpus '{corpus.name}'", split, corpus.splits)
