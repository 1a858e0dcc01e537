"""The interface of all tokenizers.

Shapes: T tokens of one text, V entries of the vocabulary.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import ClassVar, Self, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from textseq.config.tokenizer import NormalizationName, TokenizerConfig
from textseq.errors import TextseqError
from textseq.io.files import replacing
from textseq.tokenizers.normalization import character_spans, normalize, normalize_chunks

TOKENIZER_FORMAT = 1

TOKENIZER_FILE = "tokenizer.json"

LARGEST_FILE = 2**25
"""Bytes of a tokenizer's file at most: 67 for each word of the largest vocabulary."""

# Characters encoded at once from a long text: its ids then fit the processor's cache, twice as fast.
CHUNK = 2**16

DEFAULTS = TokenizerConfig()

Ids: TypeAlias = npt.NDArray[np.int64]

END = "</s>"
"""How the end-of-sentence token of a translator is shown."""


class StreamDecoder(ABC):
    """Decodes ids that arrive one by one; the concatenated results equal ``decode`` of all ids."""

    @abstractmethod
    def feed(self, token: int) -> str:
        """The text that this id completes; "" while later ids may still change it."""

    @abstractmethod
    def finish(self) -> str:
        """The text that was still held back; resets the decoder."""


class Tokenizer(ABC):
    """Base of all tokenizers: text (``str``) to token ids and back.

    A reversible tokenizer has ``decode(encode(text)) == text`` for every Unicode text, once that is normalized.

    Example:
        >>> tokenizer = CharTokenizer.train(["hello"])
        >>> ids = tokenizer.encode("hello")      # array([1, 0, 2, 2, 3]), int64 (T,)
        >>> tokenizer.decode(ids)
        'hello'

    Attributes:
        kind: its key in ``TOKENIZERS``.
        vocabulary: the V tokens' strings by id, all different; for a token that is text, that text. Models with
            different tokenizers match embeddings by these strings.
        fallback: ids that a generator should never choose: those that only text unseen in training uses, and
            ``<unk>``.
        normalization: of every text that is encoded, and of the training text; see ``normalization``.
        loses: what encoding loses ("case", "punctuation"...); empty for reversible tokenizers.
    """

    kind: ClassVar[str]
    normalization: NormalizationName = "none"

    def __init__(
        self, vocabulary: tuple[str, ...], fallback: tuple[int, ...] = (), loses: tuple[str, ...] = ()
    ) -> None:
        self.vocabulary = vocabulary
        self.fallback = fallback
        self.loses = loses

    @cached_property
    def characters(self) -> frozenset[str]:
        """The characters that its tokens are made of."""
        return frozenset("".join(self.vocabulary))

    @classmethod
    def train(cls, documents: Iterable[Iterable[str]], options: TokenizerConfig = DEFAULTS) -> Self:
        """Train a tokenizer; memory does not grow with the text, and chunk boundaries do not matter.

        Args:
            documents: each a string, or chunks of one.
            options: only those that ``TOKENIZER_OPTIONS`` lists for this kind are used.

        Raises:
            TextseqError: a lone surrogate, or options that do not suit the text.
        """
        name = options.normalization
        tokenizer = cls._train((normalize_chunks(chunked(document), name) for document in documents), options)
        tokenizer.normalization = name
        return tokenizer

    def extended(self, documents: Iterable[Iterable[str]], options: TokenizerConfig = DEFAULTS) -> tuple[Self, str]:
        """A tokenizer with all tokens of this one and those that another text adds; ids may differ.

        Args:
            documents: as of ``train``.
            options: those that this one was trained with; its normalization stays.

        Returns:
            The tokenizer, and a phrase that counts what is new, such as "2 characters"; "" if nothing is.
        """
        normalized = (self.normalized(chunked(document)) for document in documents)
        tokenizer, added = self._extended(normalized, options)
        tokenizer.normalization = self.normalization
        return tokenizer, added

    def _extended(self, documents: Iterable[Iterable[str]], options: TokenizerConfig) -> tuple[Self, str]:
        """``extended`` with normalized documents."""
        return self, ""

    @classmethod
    @abstractmethod
    def _train(cls, documents: Iterable[Iterable[str]], options: TokenizerConfig) -> Self:
        """``train`` on normalized documents."""

    def encode(self, text: str) -> Ids:
        """The ids (T,) of a text.

        Raises:
            TextseqError: not a string, or a lone surrogate.
        """
        if not isinstance(text, str):
            raise TextseqError(f"expected a text, got {type(text).__name__}; give a string")
        return self._encode(normalize(text, self.normalization))

    @abstractmethod
    def _encode(self, text: str) -> Ids:
        """``encode`` of a normalized text."""

    def normalized(self, chunks: Iterable[str]) -> Iterator[str]:
        """The normalized text of a text that arrives in chunks; chunk boundaries do not matter."""
        return normalize_chunks(chunks, self.normalization)

    def encode_chunks(self, chunks: Iterable[str]) -> Iterator[Ids]:
        """The ids of a text that arrives in chunks; chunk boundaries do not matter."""
        return self._encode_chunks(self.normalized(chunks))

    def _encode_chunks(self, chunks: Iterable[str]) -> Iterator[Ids]:
        """``encode_chunks`` of a normalized text, for tokenizers whose tokens never span characters."""
        return map(self._encode, chunked(chunks))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Start and end in the given text of each token of ``encode(text)``.

        They are in order and together cover the text: characters that normalization or the tokenizer drops belong to
        a neighboring token. Several tokens that spell one character all have its span.
        """
        characters = character_spans(text, self.normalization)
        ends = self._ends(normalize(text, self.normalization))
        if not ends:
            return []
        ends[-1] = len(characters)
        touched = (range(start, max(end, start + 1)) for start, end in pairwise([0, *ends]))
        return [(characters[part[0]][0], characters[part[-1]][1]) for part in touched]

    def _ends(self, text: str) -> list[int]:
        """For each token of a normalized text, the number of its characters that are complete after that token."""
        decoder = self.stream()
        return list(accumulate(len(decoder.feed(token)) for token in self._encode(text).tolist()))

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer]) -> str:
        """The text of ids (T,); invalid UTF-8, which a model may generate, becomes U+FFFD.

        Raises:
            TextseqError: an id is outside the vocabulary, or ``ids`` is not one sequence of integers.
        """
        array = np.asarray(ids)
        if array.size == 0:
            return ""
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise TextseqError(
                f"decode: expected one sequence of integers (T,), got {array.dtype} of shape {array.shape}; "
                "pass one text at a time"
            )
        self.check(int(array.min()))
        self.check(int(array.max()))
        return self._decode(array.astype(np.int64, copy=False))

    @abstractmethod
    def _decode(self, ids: Ids) -> str:
        """``decode`` of valid ids."""

    @abstractmethod
    def stream(self) -> StreamDecoder:
        """A new decoder for ids that arrive one by one."""

    @property
    def size(self) -> int:
        """V, the number of tokens."""
        return len(self.vocabulary)

    @property
    def signature(self) -> str:
        """The kind, what it loses and the normalization, for signatures of metrics: lost text is easy to predict."""
        lost = f"-without-{'+'.join(self.loses).replace(' ', '-')}" if self.loses else ""
        return self.kind + lost + (f"-norm-{self.normalization}" if self.normalization != "none" else "")

    @property
    def reversible(self) -> bool:
        """Whether decoding restores every normalized text."""
        return not self.loses

    def notes(self, options: TokenizerConfig) -> Iterator[str]:
        """Notes for the user who trained this tokenizer with these options."""
        if self.loses:
            yield f"this {self.kind} tokenizer is not reversible: text loses {', '.join(self.loses)} in its tokens"

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of ``tokenizer.json`` in hexadecimal: equal for tokenizers that encode alike."""
        return hashlib.sha256(self._canonical()).hexdigest()

    def to_json(self) -> dict[str, object]:
        """The tokenizer as plain data, with its kind and format version."""
        normalization = {"normalization": self.normalization} if self.normalization != "none" else {}
        return {"format": TOKENIZER_FORMAT, "kind": self.kind, **normalization, **self._settings()}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Self:
        """The tokenizer of this class from ``to_json``'s data; ``tokenizer_from`` takes any kind.

        Raises:
            TextseqError: the data is damaged, of another kind, or of a newer format.
        """
        version, kind = data.get("format"), data.get("kind")
        if version != TOKENIZER_FORMAT:
            raise TextseqError(
                f"expected a tokenizer of format {TOKENIZER_FORMAT}, got format {version}; "
                "use the textseq version that wrote it, or train again"
            )
        if kind != cls.kind:
            raise TextseqError(f"expected a {cls.kind} tokenizer, got a {kind} tokenizer; use load_tokenizer")
        tokenizer, name = cls._from_settings(data), data.get("normalization", "none")
        known: dict[object, NormalizationName] = {known: known for known in get_args(NormalizationName)}
        if not isinstance(name, str) or name not in known:
            raise TextseqError(f"a {cls.kind} tokenizer of the unknown normalization {name!r:.40}; upgrade textseq")
        tokenizer.normalization = known[name]
        return tokenizer

    @abstractmethod
    def _settings(self) -> dict[str, object]:
        """What ``to_json`` holds besides format and kind."""

    @classmethod
    @abstractmethod
    def _from_settings(cls, data: Mapping[str, object]) -> Self:
        """The tokenizer from ``_settings``'s data."""

    def save(self, folder: Path, name: str = TOKENIZER_FILE) -> None:
        """Write ``tokenizer.json`` into a folder, which is created if missing.

        Raises:
            TextseqError: the file would be too large to be loaded; or the disk is full.
        """
        data = self._canonical()
        if len(data) > LARGEST_FILE:
            raise TextseqError(
                f"expected a tokenizer of at most {LARGEST_FILE:,} bytes, got {len(data):,}; lower "
                "--vocabulary-size, or raise --minimum-count"
            )
        with replacing(folder / name) as (file,):
            file.write(data)

    def _canonical(self) -> bytes:
        """``to_json`` in one canonical form, so that the fingerprint is the hash of the file."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    def check(self, token: int) -> None:
        """Raise a TextseqError for an id outside the vocabulary."""
        if not 0 <= token < self.size:
            raise TextseqError(
                f"token id {token} is outside 0..{self.size - 1}; decode with the tokenizer that encoded it"
            )


def align_to_text(tokenizer: Tokenizer, text: str, amounts: Iterable[float]) -> list[tuple[str, float]]:
    """Align amounts per token with a text.

    Args:
        tokenizer: of the text.
        text: as given to ``tokenizer.encode``.
        amounts: T numbers, one for each token, such as surprisals.

    Returns:
        Segments that joined are the text, each with the sum of its tokens' amounts: mostly the text of one token;
        where several tokens spell one character, that character. None without tokens.
    """
    segments: list[tuple[int, int, float]] = []
    for (start, end), amount in zip(tokenizer.spans(text), amounts, strict=True):
        if segments and start < segments[-1][1]:
            start, _, before = segments.pop()
            amount += before
        segments.append((start, end, amount))
    return [(text[start:end], amount) for start, end, amount in segments]


def chunked(document: Iterable[str]) -> Iterator[str]:
    """A string, or chunks of one, in chunks of at most ``CHUNK`` characters."""
    chunks = [document] if isinstance(document, str) else document
    return (chunk[at : at + CHUNK] for chunk in chunks for at in range(0, len(chunk), CHUNK))


def encode_unicode(text: str, encoding: str) -> bytes:
    """The text in a Unicode encoding; a lone surrogate is a TextseqError that names its position."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        at = error.start
        raise TextseqError(
            f"text has the lone surrogate U+{ord(text[at]):04X} at character {at}, after "
            f"{text[max(0, at - 20) : at]!r}; read the file in its right encoding, or with errors='replace'"
        ) from None


def counted(**numbers: int) -> str:
    """Numbers in words, such as "1 word, 2 characters" for ``word=1, character=2``; those that are 0 are left out."""
    return ", ".join(f"{number:,} {noun}{'s' * (number > 1)}" for noun, number in numbers.items() if number)


def required_string(data: Mapping[str, object], key: str, kind: str) -> str:
    """A string in a tokenizer's data; a TextseqError if it is missing."""
    value = data.get(key)
    if not isinstance(value, str):
        raise TextseqError(f"a {kind} tokenizer without its '{key}'; restore it or train again")
    return value
