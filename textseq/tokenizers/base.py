"""What every tokenizer is: text (``str``) to token ids and back, and the file it is kept in.

Shapes: T tokens of one text, V entries of the vocabulary.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from textseq.config.tokenizer import TokenizerConfig
from textseq.errors import TextseqError
from textseq.io.files import replacing


def settled(tokenizer: Tokenizer, ids: Iterable[int], amounts: Iterable[float]) -> list[tuple[str, float]]:
    """The text of tokens, cut as finely as they allow, and with each piece the sum of its tokens' amounts.

    A piece is mostly the text of one token; of several that spell a character together it is that character.
    """
    decoder = tokenizer.stream()
    pieces, total = [], 0.0
    for token, amount in zip(ids, amounts, strict=True):
        total += amount
        if text := decoder.feed(token):
            pieces.append((text, total))
            total = 0.0
    rest = decoder.finish()
    return [*pieces, (rest, total)] if rest else pieces


TOKENIZER_FORMAT = 1

TOKENIZER_FILE = "tokenizer.json"

LARGEST_FILE = 2**25
"""Bytes of it: 67 for each of as many words as there may be."""

# Characters encoded at once from a long text: its ids then fit the processor's cache, twice as fast.
PIECE = 2**16

DEFAULTS = TokenizerConfig()


Ids: TypeAlias = npt.NDArray[np.int64]


class StreamDecoder(ABC):
    """Turns ids that arrive one by one into text; all its pieces together are what ``decode`` gives."""

    @abstractmethod
    def feed(self, token: int) -> str:
        """The text that this id settles; "" while later ids may still change it."""

    @abstractmethod
    def finish(self) -> str:
        """The text that was still held back; the decoder is as new afterwards."""


class Tokenizer(ABC):
    """What every tokenizer can do; where it is reversible, ``decode(encode(text)) == text`` for every Unicode text.

    Attributes:
        kind: its key in ``TOKENIZERS``.
        vocabulary: the V tokens' strings by id, all different; a token that is text is that text. Two models
            with different tokenizers may carry the embedding of a string over from one to the other.
        fallback: the ids that a writer should never choose: those that only text unseen in training uses, and
            ``<unk>``.
        loses: what does not come back from ids ("case", "punctuation"...), nothing where it is reversible.
    """

    kind: ClassVar[str]

    def __init__(
        self, vocabulary: tuple[str, ...], fallback: tuple[int, ...] = (), loses: tuple[str, ...] = ()
    ) -> None:
        self.vocabulary = vocabulary
        self.fallback = fallback
        self.loses = loses

    @classmethod
    @abstractmethod
    def train(cls, documents: Iterable[Iterable[str]], options: TokenizerConfig = DEFAULTS) -> Self:
        """The tokenizer for documents that come in chunks, wherever they were cut; memory does not grow with them.

        Args:
            documents: each a string, or chunks of one.
            options: those that ``TOKENIZER_OPTIONS`` names for this kind; the others are not read.

        Raises:
            TextseqError: a lone surrogate, or options that do not fit the text.
        """

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """The ids (T,) of a text; a lone surrogate, which no Unicode text has, is a TextseqError."""

    def encode_chunks(self, chunks: Iterable[str]) -> Iterator[Ids]:
        """The ids of a text that comes in chunks, piece by piece, wherever the text was cut.

        This default is right for tokenizers whose tokens never reach over a character's end. Others
        override it and hold text back until what follows cannot change its tokens.
        """
        return map(self.encode, pieces(chunks))

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer]) -> str:
        """The text of ids (T,); what is no valid UTF-8, as a model may write, becomes U+FFFD.

        Raises:
            TextseqError: an id is outside the vocabulary, or ``ids`` is not one sequence of integers.
        """
        array = np.asarray(ids)
        if array.size == 0:
            return ""
        if array.ndim != 1 or array.dtype.kind not in "iu":
            found = f"{array.dtype} of shape {array.shape}"
            raise TextseqError(f"decode wants one sequence of integers (T,), found {found}; pass one text at a time")
        self.check(int(array.min()))
        self.check(int(array.max()))
        return self._decode(array.astype(np.int64, copy=False))

    @abstractmethod
    def _decode(self, ids: Ids) -> str:
        """``decode`` of checked ids."""

    @abstractmethod
    def stream(self) -> StreamDecoder:
        """A fresh decoder for ids that arrive one by one."""

    @property
    def size(self) -> int:
        """V, the number of tokens."""
        return len(self.vocabulary)

    @property
    def signature(self) -> str:
        """What a measure must say of it: the kind, and what it loses; text that is lost is easy to predict."""
        return "-without-".join([self.kind, *("+".join(self.loses).replace(" ", "-"),) * (not self.reversible)])

    @property
    def reversible(self) -> bool:
        """Whether every text comes back from its ids."""
        return not self.loses

    def notes(self, options: TokenizerConfig) -> Iterator[str]:
        """Sentences that a user should read who asked for this tokenizer with these options."""
        if self.loses:
            yield f"this {self.kind} tokenizer is not reversible: text loses {', '.join(self.loses)} in its tokens"

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of ``tokenizer.json`` in hexadecimal: equal for tokenizers that encode alike."""
        return hashlib.sha256(self._canonical()).hexdigest()

    def to_json(self) -> dict[str, object]:
        """Everything that makes this tokenizer, as plain data with its kind and its format version."""
        return {"format": TOKENIZER_FORMAT, "kind": self.kind, **self._settings()}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Self:
        """The tokenizer of this class that ``to_json`` described; ``text.tokenizer_from`` reads any kind.

        Raises:
            TextseqError: the data is damaged, of another kind, or of a newer format.
        """
        version, kind = data.get("format"), data.get("kind")
        if version != TOKENIZER_FORMAT:
            wanted = f"format {TOKENIZER_FORMAT}, found format {version}"
            raise TextseqError(f"wanted a tokenizer of {wanted}; use the textseq that wrote it, or train anew")
        if kind != cls.kind:
            raise TextseqError(f"wanted a {cls.kind} tokenizer, found a {kind} tokenizer; use load_tokenizer")
        return cls._from_settings(data)

    @abstractmethod
    def _settings(self) -> dict[str, object]:
        """What ``to_json`` holds besides format and kind."""

    @classmethod
    @abstractmethod
    def _from_settings(cls, data: Mapping[str, object]) -> Self:
        """The tokenizer that ``_settings`` described."""

    def save(self, folder: Path, name: str = TOKENIZER_FILE) -> None:
        """Writes ``tokenizer.json`` into a folder, which is made if it is not there.

        Raises:
            TextseqError: it would be larger than what is read again; or the disk is full.
        """
        data = self._canonical()
        if len(data) > LARGEST_FILE:
            raise TextseqError(
                f"a tokenizer may take {LARGEST_FILE:,} bytes, found {len(data):,}; lower --vocabulary-size, or raise "
                "--minimum-count"
            )
        with replacing(folder / name) as (file,):
            file.write(data)

    def _canonical(self) -> bytes:
        """The one spelling of ``to_json``, so that the fingerprint is also the hash of the file."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def check(self, token: int) -> None:
        """Raises a TextseqError for an id outside the vocabulary."""
        if not 0 <= token < self.size:
            raise TextseqError(
                f"token id {token} is outside 0..{self.size - 1}; decode with the tokenizer that made it"
            )


def pieces(document: Iterable[str]) -> Iterator[str]:
    """A string, or chunks of one, in chunks of at most ``PIECE`` characters."""
    chunks = [document] if isinstance(document, str) else document
    return (chunk[at : at + PIECE] for chunk in chunks for at in range(0, len(chunk), PIECE))


def encoded(text: str, encoding: str) -> bytes:
    """The text in one of the Unicode encodings; a lone surrogate is a TextseqError that says where it stands."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        at = error.start
        raise TextseqError(
            f"text has the lone surrogate U+{ord(text[at]):04X} at character {at}, after "
            f"{text[max(0, at - 20) : at]!r}; read the file in its right encoding, or with errors='replace'"
        ) from None


def said(data: Mapping[str, object], key: str, kind: str) -> str:
    """A string that a tokenizer's data must have, or the TextseqError for data without it."""
    value = data.get(key)
    if not isinstance(value, str):
        raise TextseqError(f"a {kind} tokenizer without its '{key}'; restore it or train anew")
    return value
