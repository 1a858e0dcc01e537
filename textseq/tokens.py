"""Token files: a corpus encoded once, as a memory-mapped file of ids beside a small header.

Each part of a corpus becomes three files in the cache folder: ``.ids`` (the tokens, raw little-endian
unsigned integers of the smallest type that fits the vocabulary), ``.documents`` (where each document
starts, raw little-endian int64) and ``.json`` (the header, written last: without it nothing is there).
The text passes through in chunks, so the memory used does not grow with the corpus.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from textseq.config import TOKENIZER_OPTIONS, TokenizerConfig
from textseq.errors import TextseqError, unknown
from textseq.files import replacing
from textseq.text import TOKENIZER_FORMAT, TOKENIZERS, Tokenizer, load_tokenizer

TOKENS_FORMAT = 2
TRAIN_PART = "train"


class TextCorpus(Protocol):
    """What a token file is made from: a ``Corpus``, or anything alike."""

    @property
    def name(self) -> str: ...
    @property
    def parts(self) -> tuple[str, ...]: ...
    @property
    def fingerprint(self) -> str:
        """Changes whenever the text or its split does."""

    def documents(self, part: str) -> Iterable[Iterable[str]]:
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


def tokenizer_for(corpus: TextCorpus, options: TokenizerConfig, cache: Path) -> Tokenizer:
    """The tokenizer of these options trained on the corpus's train part; trained once, then read from the cache.

    Raises:
        TextseqError: the corpus has no train part, the options do not fit it, or the cache cannot be written.
    """
    kind = options.tokenizer
    _check_part(corpus, TRAIN_PART)
    heeded = (f"{name}={getattr(options, name)}" for name in TOKENIZER_OPTIONS[kind])
    folder = cache / "tokenizers" / _key(corpus, kind, kind, corpus.fingerprint, str(TOKENIZER_FORMAT), *heeded)
    with suppress(TextseqError):  # not there yet, or damaged
        tokenizer = load_tokenizer(folder)
        if tokenizer.kind == kind:
            return tokenizer
    tokenizer = TOKENIZERS[kind].train(corpus.documents(TRAIN_PART), options)
    if options.rare_words == "unknown" and tokenizer.size == len(tokenizer.fallback):
        raise TextseqError(
            f"no word of '{corpus.name}' occurs {options.minimum_count} times; lower --minimum-count or give more text"
        )
    tokenizer.save(folder)
    return tokenizer


def token_file(corpus: TextCorpus, part: str, tokenizer: Tokenizer, cache: Path) -> TokenFile:
    """One part of a corpus as ids; encoded once, then mapped from the cache.

    Files in the cache that do not fit their header, or whose header does not fit what is asked for, are
    made anew. Several processes may do this at once: all write the same content, each under names of its
    own until it is whole.

    Raises:
        TextseqError: the corpus has no such part, the part has no text, the text cannot be encoded, or
            the cache cannot be written (a full disk leaves nothing behind).
    """
    _check_part(corpus, part)
    recipe = _Recipe(
        format=TOKENS_FORMAT,
        corpus=corpus.name,
        fingerprint=corpus.fingerprint,
        part=part,
        tokenizer=tokenizer.fingerprint,
        dtype=np.min_scalar_type(tokenizer.size - 1).newbyteorder("<").str,
    )
    stem = _key(corpus, part, *(str(value) for value in asdict(recipe).values()))
    path = cache / "tokens" / f"{stem}.ids"
    found = _open(path, recipe)
    if found is None:
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
    part: str
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


def _write(path: Path, recipe: _Recipe, corpus: TextCorpus, tokenizer: Tokenizer) -> None:
    counts = _Counts()
    with replacing(path, path.with_suffix(".documents"), path.with_suffix(".json")) as (ids, starts, header):
        for document in corpus.documents(recipe.part):
            starts.write(np.array(counts.tokens, "<i8").tobytes())
            counts.documents += 1
            for tokens in tokenizer.encode_chunks(counts.text(document)):
                ids.write(tokens.astype(recipe.dtype).tobytes())
                counts.tokens += len(tokens)
        if counts.tokens == 0:
            raise TextseqError(
                f"part '{recipe.part}' of corpus '{corpus.name}' has no text "
                f"({counts.documents} documents, 0 tokens); give it some, or use another part"
            )
        header.write(json.dumps({**asdict(recipe), **asdict(counts)}, indent=1).encode())


def _open(path: Path, recipe: _Recipe) -> TokenFile | None:
    """The token file at ``path``, or None where it is missing, damaged or made from something else."""
    documents = path.with_suffix(".documents")
    try:
        header = json.loads(path.with_suffix(".json").read_bytes())
        counts = _Counts(*(header[field.name] for field in fields(_Counts)))
        if header != {**asdict(recipe), **asdict(counts)} or {type(n) for n in astuple(counts)} != {int}:
            return None
        ids = np.memmap(path, recipe.dtype, mode="r")
        starts = np.memmap(documents, "<i8", mode="r")
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if len(ids) != counts.tokens or len(starts) != counts.documents or starts[0] != 0:
        return None
    return TokenFile(ids, starts, counts.characters, counts.utf8_bytes, path)


def _key(corpus: TextCorpus, label: str, *what: str) -> str:
    """A file name for all of this: one that says to people what it is, then a digest that tells it apart."""
    digest = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
    return re.sub(r"[^\w-]+", "-", f"{corpus.name[:40]}-{label[:20]}-{digest}", flags=re.ASCII)


def _check_part(corpus: TextCorpus, part: str) -> None:
    if part not in corpus.parts:
        raise unknown(f"part of corpus '{corpus.name}'", part, corpus.parts)
