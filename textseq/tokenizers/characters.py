"""Tokenizers of characters and bytes, and the byte fallback of all tokenizers.

A character without a token is encoded as its UTF-8 bytes: with 256 tokens, one for each byte, or with 16 half-bytes,
two for each byte.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Self

import numpy as np
import numpy.typing as npt

from textseq.config.tokenizer import TokenizerConfig
from textseq.errors import TextseqError
from textseq.tokenizers.base import Ids, StreamDecoder, Tokenizer, chunked, counted, encode_unicode, required_string

BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
HALF_BYTES = tuple(f"<0x{half:X}>" for half in range(16))
# An unpaired half-byte decodes as this byte, which is invalid in UTF-8.
_LONE_HALF = b"\xff"

MOST_CHARACTERS = 20_000
"""Characters of a trained ``CharTokenizer`` at most, which bounds the memory of the output layer; others are spelled
in half-bytes."""


class ByteTokenizer(Tokenizer):
    """Tokens are the 256 bytes of UTF-8, named ``<0x00>`` to ``<0xFF>``; the id is the byte."""

    kind = "byte"

    def __init__(self) -> None:
        super().__init__(BYTES)

    @classmethod
    def _train(cls, documents: Iterable[Iterable[str]], options: TokenizerConfig) -> Self:
        return cls()  # the text is not used

    def _encode(self, text: str) -> Ids:
        return np.frombuffer(encode_unicode(text, "utf-8"), np.uint8).astype(np.int64)

    def _decode(self, ids: Ids) -> str:
        return ids.astype(np.uint8).tobytes().decode("utf-8", "replace")

    def stream(self) -> StreamDecoder:
        return ByteStream(self, [bytes((byte,)) for byte in range(256)])

    def _settings(self) -> dict[str, object]:
        return {}

    @classmethod
    def _from_settings(cls, data: Mapping[str, object]) -> Self:
        return cls()


class ByteStream(StreamDecoder):
    """Decoder of a tokenizer whose tokens are bytes of UTF-8: ``utf8`` holds those of each token."""

    def __init__(self, tokenizer: Tokenizer, utf8: Sequence[bytes]) -> None:
        self._tokenizer = tokenizer
        self._bytes = utf8
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        self._tokenizer.check(token)
        return self._utf8.decode(self._bytes[token])

    def finish(self) -> str:
        return self._utf8.decode(b"", final=True)


class CharTokenizer(Tokenizer):
    """Tokens are the characters (code points) of the training text, and 16 half-bytes for all others.

    Ids: the C characters by code point, then the half-bytes ``<0x0>`` to ``<0xF>``. An unseen character is encoded as
    its UTF-8 bytes, the upper half of each byte first: 16 more outputs instead of 256 keep the softmax small. So are
    the rarest characters of a training text with more than ``MOST_CHARACTERS``.
    """

    kind = "char"

    def __init__(self, characters: str, *, spells: bool = False) -> None:
        """A tokenizer for these characters; they must be different and in ascending order.

        ``spells`` says that the training text has other characters too, so that a generator may spell some.
        """
        codes = _code_points(characters)
        if (codes[1:] <= codes[:-1]).any():
            raise TextseqError("the characters of a char tokenizer must be different and in ascending order")
        count = len(characters)
        super().__init__((*characters, *HALF_BYTES), () if spells else tuple(range(count, count + 16)))
        self._characters, self._spells = characters, spells
        self._codes = codes
        # Code point -> id, -1 where unseen; the last entry serves all code points beyond the table.
        self._table = np.full(int(codes[-1]) + 2 if count else 1, -1, np.int64)
        self._table[codes] = np.arange(count)

    @classmethod
    def _train(cls, documents: Iterable[Iterable[str]], options: TokenizerConfig) -> Self:
        return cls("")._extended(documents, options)[0]

    def _extended(self, documents: Iterable[Iterable[str]], options: TokenizerConfig) -> tuple[Self, str]:
        counts = np.zeros(0x110000, np.int64)
        for chunk in chain.from_iterable(map(chunked, documents)):
            found = np.bincount(_code_points(chunk))
            counts[: len(found)] += found
        counts[self._codes] = 0
        frequent = np.argsort(-counts, kind="stable")[: max(0, MOST_CHARACTERS - len(self._codes))]
        new = frequent[counts[frequent] > 0]
        spells = self._spells or int(np.count_nonzero(counts)) > len(new)
        tokenizer = type(self)(_text(np.sort(np.concatenate([self._codes, new]))), spells=spells)
        return tokenizer, counted(character=len(new))

    def notes(self, options: TokenizerConfig) -> Iterator[str]:
        yield from super().notes(options)
        if self._spells:
            yield f"the text has more than {MOST_CHARACTERS:,} different characters; the rarest are spelled in bytes"

    def _encode(self, text: str) -> Ids:
        codes = _code_points(text)
        ids = self._table.take(codes, mode="clip")
        unseen = ids < 0
        if not unseen.any():
            return ids
        rare = codes[unseen]
        utf8 = np.frombuffer(_text(rare).encode(), np.uint8).astype(np.int64)
        lengths = np.ones(len(ids), np.int64)
        lengths[unseen] = 2 * (1 + (rare >= 0x80) + (rare >= 0x800) + (rare >= 0x10000))
        is_half = np.repeat(unseen, lengths)
        spelled = np.empty(len(is_half), np.int64)
        spelled[~is_half] = ids[~unseen]
        spelled[is_half] = len(self._characters) + np.stack([utf8 >> 4, utf8 & 15], axis=1).ravel()
        return spelled

    def _decode(self, ids: Ids) -> str:
        return decode_spelled(ids, len(self._characters), lambda run: _text(self._codes[run]))

    def stream(self) -> StreamDecoder:
        return SpellingStream(self, len(self._characters))

    def _settings(self) -> dict[str, object]:
        return {"characters": self._characters, **({"spells": True} if self._spells else {})}

    @classmethod
    def _from_settings(cls, data: Mapping[str, object]) -> Self:
        return cls(required_string(data, "characters", cls.kind), spells=data.get("spells") is True)


def decode_spelled(ids: Ids, first_half: int, plain: Callable[[Ids], str]) -> str:
    """The text of ids (T,) of which those from ``first_half`` on are half-bytes; ``plain`` decodes the others."""
    is_half = ids >= first_half
    if not is_half.any():
        return plain(ids)
    cuts = np.flatnonzero(is_half[1:] != is_half[:-1]) + 1
    return "".join(
        _decode_halves((run - first_half).astype(np.uint8)) if run[0] >= first_half else plain(run)
        for run in np.split(ids, cuts)
    )


def _decode_halves(halves: npt.NDArray[np.uint8]) -> str:
    """The text of consecutive half-bytes."""
    paired = len(halves) // 2 * 2
    utf8 = (halves[0:paired:2] << 4 | halves[1:paired:2]).tobytes()
    return (utf8 + _LONE_HALF * (len(halves) - paired)).decode("utf-8", "replace")


class SpellingStream(StreamDecoder):
    """Decoder of a tokenizer whose tokens are text, except for the half-bytes from id ``first_half`` on."""

    def __init__(self, tokenizer: Tokenizer, first_half: int) -> None:
        self._tokenizer = tokenizer
        self._first_half = first_half
        self._upper: int | None = None
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._spelling = False
        """Whether half-bytes may wait."""

    def feed(self, token: int) -> str:
        self._tokenizer.check(token)
        half = token - self._first_half
        if half < 0:
            text = self._tokenizer.vocabulary[token]
            return self.finish() + text if self._spelling else text
        self._spelling = True
        if self._upper is None:
            self._upper = half
            return ""
        byte, self._upper = self._upper << 4 | half, None
        return self._utf8.decode(bytes((byte,)))

    def finish(self) -> str:
        rest, self._upper, self._spelling = b"" if self._upper is None else _LONE_HALF, None, False
        return self._utf8.decode(rest, final=True)


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(encode_unicode(text, "utf-32-le"), "<u4")


def _text(codes: npt.NDArray[np.integer]) -> str:
    return codes.astype("<u4").tobytes().decode("utf-32-le")
