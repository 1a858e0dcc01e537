"""Subword tokenizer (SentencePiece with byte fallback)."""

from __future__ import annotations

import base64
import io
import re
from array import array
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from textseq.config.tokenizer import TokenizerConfig
from textseq.errors import TextseqError
from textseq.io.counting import announce
from textseq.tokenizers.base import Ids, StreamDecoder, counted, required_string
from textseq.tokenizers.characters import BYTES, ByteStream
from textseq.tokenizers.pretokenizer import PretokenizingTokenizer, count_pretokens

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor


SPACE = "▁"
"""SentencePiece's symbol for a space. In the text itself it is encoded as bytes."""

_SPACE_BYTES = [1 + byte for byte in SPACE.encode()]

_SPACES = re.compile(f"({SPACE})")

# Pretokens with these are not trained on: SentencePiece's own symbols, and the tab of its input format.
_UNTRAINABLE = re.compile(f"[{SPACE}▅\0\x1f\t]")

# SentencePiece's own ids: <unk>, which byte fallback never uses, the 256 bytes, then the pieces.
_FIRST_PIECE = 257

# Tokens that every vocabulary has.
_ALWAYS = (" ", *BYTES)

SEGMENTATIONS = 16
"""Segmentations of a word to sample from."""

# Pretokens from which on a thread pays off.
_MANY = 200

# Pretokens whose segmentations are cached, a kilobyte each: finding them takes far longer than sampling one.
# Multi30k has 39,523 in English and German.
_CACHE_SIZE = 2**16

# Pretokens from which on training takes many seconds.
_LONG = 20_000

# A constant: the trained model depends on the number of threads.
_THREADS = 4


class _Segmentations(NamedTuple):
    """The segmentations of a pretoken, in compact arrays because there are many pretokens."""

    tokens: array[int]
    """The tokens of all segmentations, concatenated."""
    starts: array[int]
    """The start of each segmentation, and the end of the last one."""
    cumulative: array[float]
    """Cumulative probabilities of all but the last."""


def _compact(segmentations: Sequence[Sequence[int]], p: Iterable[float]) -> _Segmentations:
    starts = accumulate(map(len, segmentations), initial=0)
    cumulative = list(accumulate(p))[:-1]
    return _Segmentations(array("i", chain.from_iterable(segmentations)), array("i", starts), array("d", cumulative))


class SubwordTokenizer(PretokenizingTokenizer):
    """Tokens are subwords trained by SentencePiece, with the space before them (" the", "ing").

    Ids: the pieces in SentencePiece's order, then the 256 bytes ``<0x00>`` to ``<0xFF>``. A piece never spans white
    space.

    Args:
        proto: the serialized SentencePiece model.
        unused: tokens for unseen text only: some of the bytes, possibly the space.

    Raises:
        TextseqError: a model that is damaged, or of another kind.
    """

    kind = "subword"

    def __init__(self, proto: bytes, unused: Sequence[str]) -> None:
        self.proto, self._unused = proto, frozenset(unused)
        self._model, pieces = _load(proto)
        self._segmentations: dict[tuple[str, float], _Segmentations] = {}
        self._utf8 = [*(piece.encode() for piece in pieces), *(bytes((byte,)) for byte in range(256))]
        vocabulary = (*pieces, *BYTES)
        super().__init__(vocabulary, tuple(n for n, token in enumerate(vocabulary) if token in self._unused))

    @classmethod
    def _train(cls, documents: Iterable[Iterable[str]], options: TokenizerConfig) -> Self:
        counts, seen = count_pretokens(documents, cls.pattern)
        seen.update(chain.from_iterable(counts))
        trainable = ((word, count) for word, count in counts.items() if not _UNTRAINABLE.search(word))
        proto = _train(sorted(trainable, key=lambda pair: (-pair[1], pair[0])), options)
        return cls(proto, _ALWAYS)._using(seen)

    def _extended(self, documents: Iterable[Iterable[str]], options: TokenizerConfig) -> tuple[Self, str]:
        counts, seen = count_pretokens(documents, self.pattern)
        seen.update(chain.from_iterable(counts))
        extended = self._using(seen)
        if extended._unused == self._unused:
            return self, ""
        phrase = counted(character=len(seen - {SPACE}.union(*self.vocabulary[: -len(BYTES)])))
        return extended, phrase and f"{phrase} spelled with bytes"

    def _using(self, characters: Iterable[str]) -> Self:
        """The tokenizer of a text with these characters too: the tokens that spell them are used."""
        encoded = chain.from_iterable(self._encode_pretokens(sorted(characters)))
        return type(self)(self.proto, [*self._unused.difference(self.vocabulary[token] for token in encoded)])

    def notes(self, options: TokenizerConfig) -> Iterator[str]:
        yield from super().notes(options)
        if self.size < options.vocabulary_size:
            yield f"the text gives {self.size} subwords, fewer than the {options.vocabulary_size} requested"

    def _encode_pretokens(self, pretokens: list[str]) -> Iterator[Sequence[int]]:
        encode = self._model.encode
        # A list starts a thread, which takes milliseconds on a busy machine, and is then four times as fast.
        encoded = encode(pretokens, num_threads=1) if len(pretokens) > _MANY else map(encode, pretokens)
        for word, ids in zip(pretokens, encoded, strict=True):
            if SPACE in word:
                parts = (self._model.encode(part) if part != SPACE else _SPACE_BYTES for part in _SPACES.split(word))
                ids = chain.from_iterable(parts)
            yield [(token - _FIRST_PIECE) % self.size for token in ids]

    def resampled(self, ids: Ids, alpha: float, rng: np.random.Generator) -> Ids:
        """Subword regularization: other tokens (T',) of the same text (Kudo 2018, section 3.3; unigram model only).

        Each word's segmentation is sampled from its ``SEGMENTATIONS`` best ones, with probabilities to the power
        ``alpha``.
        """
        if len(self._segmentations) > _CACHE_SIZE:
            self._segmentations = {}
        pretokens = self.pattern.findall(self.decode(ids))
        tokens = array("i")
        for word, sample in zip(pretokens, rng.random(len(pretokens)).tolist(), strict=True):
            options = self._segmentations.get((word, alpha))
            if options is None:
                options = self._segmentations[word, alpha] = self._n_best(word, alpha)
            number = bisect(options.cumulative, sample)
            tokens += options.tokens[options.starts[number] : options.starts[number + 1]]
        return np.array(tokens, np.int64)

    def _n_best(self, word: str, alpha: float) -> _Segmentations:
        """The best segmentations of a pretoken."""
        if SPACE in word:
            (ids,) = self._encode_pretokens([word])
            return _compact([ids], [1.0])
        n_best = self._model.nbest_encode(word, nbest_size=SEGMENTATIONS)
        scores = np.array([sum(map(self._model.get_score, ids)) for ids in n_best])
        p = np.exp(alpha * (scores - scores.max()))
        size = self.size
        return _compact([[(token - _FIRST_PIECE) % size for token in ids] for ids in n_best], p / p.sum())

    def _decode(self, ids: Ids) -> str:
        return b"".join(map(self._utf8.__getitem__, ids.tolist())).decode("utf-8", "replace")

    def stream(self) -> StreamDecoder:
        return ByteStream(self, self._utf8)

    def _settings(self) -> dict[str, object]:
        return {"model": base64.b64encode(self.proto).decode(), "unused": sorted(self._unused)}

    @classmethod
    def _from_settings(cls, data: Mapping[str, object]) -> Self:
        model, unused = required_string(data, "model", cls.kind), data.get("unused")
        if not isinstance(unused, list) or any(token not in _ALWAYS for token in unused):
            raise TextseqError("a subword tokenizer without its 'unused' tokens; restore it or train again")
        try:
            proto = base64.b64decode(model, validate=True)
        except ValueError as error:
            raise _damaged(error) from error
        return cls(proto, unused)


def _train(counts: Sequence[tuple[str, int]], options: TokenizerConfig) -> bytes:
    """Train the SentencePiece model on pretokens and their counts.

    There is always a piece for the space; without it, unseen spaces would be encoded as the bytes of ``SPACE``.
    """
    from sentencepiece import SentencePieceTrainer

    proto = io.BytesIO()
    if len(counts) > _LONG:
        announce(f"learning {options.vocabulary_size:,} subwords from {len(counts):,} words")
    try:
        SentencePieceTrainer.train(
            sentence_iterator=(f"{word}\t{count}" for word, count in (*counts, (" ", 1))),
            input_format="tsv",
            model_writer=proto,
            model_type=options.subword_model,
            vocab_size=options.vocabulary_size + 1,
            hard_vocab_limit=False,
            byte_fallback=True,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            required_chars=SPACE,
            bos_id=-1,
            eos_id=-1,
            num_threads=_THREADS,
            seed_sentencepiece_size=max(50_000, 10 * options.vocabulary_size),  # its default of a million takes minutes
            minloglevel=2,
        )
    except RuntimeError as error:
        needed = re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error))
        if needed is None:
            raise
        raise TextseqError(
            f"--vocabulary-size: expected at least {int(needed[1]) - 1} for the 256 bytes and this text's characters, "
            f"got {options.vocabulary_size}"
        ) from error
    return proto.getvalue()


def _load(proto: bytes) -> tuple[SentencePieceProcessor, list[str]]:
    """Load the model; return it with its pieces except the bytes."""
    from sentencepiece import SentencePieceProcessor

    model = SentencePieceProcessor()
    try:
        model.LoadFromSerializedProto(proto)
        pieces = [model.id_to_piece(number).replace(SPACE, " ") for number in range(model.get_piece_size())]
    except (RuntimeError, ValueError) as error:  # invalid UTF-8 is a ValueError
        raise _damaged(error) from error
    if tuple(pieces[1:_FIRST_PIECE]) != BYTES or not all(map(model.is_byte, range(1, _FIRST_PIECE))):
        raise _damaged("its bytes are missing")
    if len(set(pieces)) < len(pieces):
        raise _damaged("duplicate pieces")
    return model, pieces[_FIRST_PIECE:]


def _damaged(why: object) -> TextseqError:
    return TextseqError(f"the SentencePiece model of a subword tokenizer is damaged ({why}); restore it or train again")
