"""Tokenizers: text (``str``) to token ids and back, without loss.

Every tokenizer has the one interface of :class:`Tokenizer` and stands in the table ``TOKENIZERS``.
Shapes: T tokens of one text, V entries of the vocabulary.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from textseq.errors import TextseqError, unknown
from textseq.files import replacing

TOKENIZER_FORMAT = 1
TOKENIZER_FILE = "tokenizer.json"
# Characters encoded at once from a long text: its ids then fit the processor's cache, twice as fast.
PIECE = 2**16

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
    """What every tokenizer can do: ``decode(encode(text)) == text`` for every Unicode text.

    Attributes:
        kind: its key in ``TOKENIZERS``.
        vocabulary: the V tokens' strings by id, all different. Two models with different tokenizers
            may carry the embedding of a string over from one to the other.
        fallback: the ids that only text unseen in training uses, so that a writer can suppress them.
    """

    kind: ClassVar[str]

    def __init__(self, vocabulary: tuple[str, ...], fallback: tuple[int, ...] = ()) -> None:
        self.vocabulary = vocabulary
        self.fallback = fallback

    @classmethod
    @abstractmethod
    def train(cls, chunks: Iterable[str]) -> Self:
        """The tokenizer for a text that comes in chunks, wherever it was cut; memory does not grow with it."""

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """The ids (T,) of a text; a lone surrogate, which no Unicode text has, is a TextseqError."""

    def encode_chunks(self, chunks: Iterable[str]) -> Iterator[Ids]:
        """The ids of a text that comes in chunks, piece by piece, wherever the text was cut.

        This default is right for tokenizers whose tokens never reach over a character's end. Others
        override it and hold text back until what follows cannot change its tokens.
        """
        return map(self.encode, _pieces(chunks))

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
        self._check(int(array.min()))
        self._check(int(array.max()))
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
    def fingerprint(self) -> str:
        """The SHA-256 of ``tokenizer.json`` in hexadecimal: equal for tokenizers that encode alike."""
        return hashlib.sha256(self._canonical()).hexdigest()

    def to_json(self) -> dict[str, object]:
        """Everything that makes this tokenizer, as plain data with its kind and its format version."""
        return {"format": TOKENIZER_FORMAT, "kind": self.kind, **self._settings()}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Self:
        """The tokenizer that ``to_json`` described: any kind from ``Tokenizer``, its own from a subclass.

        Raises:
            TextseqError: the data is damaged, of another kind or an unknown one, or of a newer format.
        """
        version, kind = data.get("format"), str(data.get("kind"))
        if version != TOKENIZER_FORMAT:
            wanted = f"format {TOKENIZER_FORMAT}, found format {version}"
            raise TextseqError(f"wanted a tokenizer of {wanted}; use the textseq that wrote it, or train anew")
        if kind not in TOKENIZERS:
            raise unknown("tokenizer", kind, TOKENIZERS)
        found = TOKENIZERS[kind]
        if not issubclass(found, cls):
            raise TextseqError(f"wanted a {cls.kind} tokenizer, found a {kind} tokenizer; use load_tokenizer")
        return found._from_settings(data)

    @abstractmethod
    def _settings(self) -> dict[str, object]:
        """What ``to_json`` holds besides format and kind."""

    @classmethod
    @abstractmethod
    def _from_settings(cls, data: Mapping[str, object]) -> Self:
        """The tokenizer that ``_settings`` described."""

    def save(self, folder: Path) -> None:
        """Writes ``tokenizer.json`` into a folder, which is made if it is not there."""
        with replacing(folder / TOKENIZER_FILE) as (file,):
            file.write(self._canonical())

    def _canonical(self) -> bytes:
        """The one spelling of ``to_json``, so that the fingerprint is also the hash of the file."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def _check(self, token: int) -> None:
        if not 0 <= token < self.size:
            raise TextseqError(
                f"token id {token} is outside 0..{self.size - 1}; decode with the tokenizer that made it"
            )


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer that ``save`` wrote into a folder.

    Raises:
        TextseqError: ``tokenizer.json`` is missing, damaged, of an unknown kind or of a newer format.
    """
    path = folder / TOKENIZER_FILE
    try:
        data = json.loads(path.read_bytes().decode())
        if not isinstance(data, dict):
            raise ValueError(f"a {type(data).__name__}, not a table")
    except FileNotFoundError:
        raise TextseqError(f"{path} is missing; name a folder that holds a trained tokenizer") from None
    except OSError as error:
        raise TextseqError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise TextseqError(f"{path} is damaged ({error}); restore it or train anew") from error
    try:
        return Tokenizer.from_json(data)
    except TextseqError as error:
        raise TextseqError(f"{path}: {error}") from error


class ByteTokenizer(Tokenizer):
    """Tokens are the 256 bytes of UTF-8, named ``<0x00>`` to ``<0xFF>``; the id is the byte."""

    kind = "byte"

    def __init__(self) -> None:
        super().__init__(tuple(f"<0x{byte:02X}>" for byte in range(256)))

    @classmethod
    def train(cls, chunks: Iterable[str]) -> Self:
        """The only byte tokenizer there is; the text is not read."""
        return cls()

    def encode(self, text: str) -> Ids:
        return np.frombuffer(_encoded(text, "utf-8"), np.uint8).astype(np.int64)

    def _decode(self, ids: Ids) -> str:
        return ids.astype(np.uint8).tobytes().decode("utf-8", "replace")

    def stream(self) -> StreamDecoder:
        return _ByteStream(self)

    def _settings(self) -> dict[str, object]:
        return {}

    @classmethod
    def _from_settings(cls, data: Mapping[str, object]) -> Self:
        return cls()


class _ByteStream(StreamDecoder):
    def __init__(self, tokenizer: ByteTokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        self._tokenizer._check(token)
        return self._utf8.decode(bytes((token,)))

    def finish(self) -> str:
        return self._utf8.decode(b"", final=True)


# What half a byte without its other half counts as: a byte that no UTF-8 text has.
_LONE_HALF = b"\xff"


class CharTokenizer(Tokenizer):
    """Tokens are the characters (code points) seen in training, and 16 half-bytes for all others.

    Ids: the C characters in the order of their code points, then the half-bytes ``<0x0>`` to ``<0xF>``.
    A character that training never saw is written as its UTF-8 bytes, the upper half of each byte first:
    16 more outputs instead of 256 keep the softmax small, and unseen characters are rare.
    """

    kind = "char"

    def __init__(self, characters: str) -> None:
        """A tokenizer for these characters, all different and in ascending order (else a TextseqError)."""
        codes = _code_points(characters)
        if (codes[1:] <= codes[:-1]).any():
            raise TextseqError("the characters of a char tokenizer must be different and in ascending order")
        count = len(characters)
        half_bytes = tuple(f"<0x{half:X}>" for half in range(16))
        super().__init__((*characters, *half_bytes), tuple(range(count, count + 16)))
        self._characters = characters
        self._codes = codes
        # Code point -> id, -1 where unseen; the last entry stands for all that lie beyond the table.
        self._table = np.full(int(codes[-1]) + 2 if count else 1, -1, np.int64)
        self._table[codes] = np.arange(count)

    @classmethod
    def train(cls, chunks: Iterable[str]) -> Self:
        seen = np.zeros(0x110000, np.bool_)
        for piece in _pieces(chunks):
            seen[_code_points(piece)] = True
        return cls(_characters(np.flatnonzero(seen)))

    def encode(self, text: str) -> Ids:
        codes = _code_points(text)
        ids = self._table.take(codes, mode="clip")
        unseen = ids < 0
        if not unseen.any():
            return ids
        rare = codes[unseen]
        utf8 = np.frombuffer(_characters(rare).encode(), np.uint8).astype(np.int64)
        lengths = np.ones(len(ids), np.int64)
        lengths[unseen] = 2 * (1 + (rare >= 0x80) + (rare >= 0x800) + (rare >= 0x10000))
        is_half = np.repeat(unseen, lengths)
        spelled = np.empty(len(is_half), np.int64)
        spelled[~is_half] = ids[~unseen]
        spelled[is_half] = len(self._characters) + np.stack([utf8 >> 4, utf8 & 15], axis=1).ravel()
        return spelled

    def _decode(self, ids: Ids) -> str:
        is_half = ids >= len(self._characters)
        if not is_half.any():
            return _characters(self._codes[ids])
        cuts = np.flatnonzero(is_half[1:] != is_half[:-1]) + 1
        return "".join(
            self._decode_halves(run) if run[0] >= len(self._characters) else _characters(self._codes[run])
            for run in np.split(ids, cuts)
        )

    def _decode_halves(self, run: Ids) -> str:
        """The text of half-bytes that stand together, wherever a byte among them is malformed."""
        halves = (run - len(self._characters)).astype(np.uint8)
        paired = len(halves) // 2 * 2
        utf8 = (halves[0:paired:2] << 4 | halves[1:paired:2]).tobytes()
        return (utf8 + _LONE_HALF * (len(halves) - paired)).decode("utf-8", "replace")

    def stream(self) -> StreamDecoder:
        return _CharStream(self)

    def _settings(self) -> dict[str, object]:
        return {"characters": self._characters}

    @classmethod
    def _from_settings(cls, data: Mapping[str, object]) -> Self:
        characters = data.get("characters")
        if not isinstance(characters, str):
            raise TextseqError("a char tokenizer without its 'characters'; restore it or train anew")
        return cls(characters)


class _CharStream(StreamDecoder):
    def __init__(self, tokenizer: CharTokenizer) -> None:
        self._tokenizer = tokenizer
        self._upper: int | None = None
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        self._tokenizer._check(token)
        half = token - self._tokenizer.fallback[0]
        if half < 0:
            return self.finish() + self._tokenizer.vocabulary[token]
        if self._upper is None:
            self._upper = half
            return ""
        byte, self._upper = self._upper << 4 | half, None
        return self._utf8.decode(bytes((byte,)))

    def finish(self) -> str:
        rest, self._upper = b"" if self._upper is None else _LONE_HALF, None
        return self._utf8.decode(rest, final=True)


TOKENIZERS: dict[str, type[Tokenizer]] = {"char": CharTokenizer, "byte": ByteTokenizer}


def _pieces(chunks: Iterable[str]) -> Iterator[str]:
    return (chunk[at : at + PIECE] for chunk in chunks for at in range(0, len(chunk), PIECE))


def _encoded(text: str, encoding: str) -> bytes:
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        at = error.start
        raise TextseqError(
            f"text has the lone surrogate U+{ord(text[at]):04X} at character {at}, after "
            f"{text[max(0, at - 20) : at]!r}; read the file in its right encoding, or with errors='replace'"
        ) from None


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(_encoded(text, "utf-32-le"), "<u4")


def _characters(codes: npt.NDArray[np.integer]) -> str:
    return codes.astype("<u4").tobytes().decode("utf-32-le")
