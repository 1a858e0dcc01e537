"""Tokens are SentencePiece's subwords; characters without one are spelled with the bytes of their UTF-8."""

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
from textseq.tokenizers.base import DEFAULTS, Ids, StreamDecoder, said
from textseq.tokenizers.characters import BYTES, ByteStream
from textseq.tokenizers.pretokenizer import UnitTokenizer, count_units

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor


SPACE = "▁"
"""What SentencePiece writes a space as. One that stands in the text itself is spelled with bytes."""

_SPELLED_SPACE = [1 + byte for byte in SPACE.encode()]

_SPACES = re.compile(f"({SPACE})")

# Characters that SentencePiece learns nothing of: its own marks, and the tab of its input format.
_UNLEARNT = re.compile(f"[{SPACE}▅\0\x1f\t]")

# SentencePiece's own ids are <unk>, which byte fallback leaves without use, the 256 bytes, then the pieces.
_FIRST_PIECE = 257

# Tokens that are there whatever the training text was.
_ALWAYS = (" ", *BYTES)

SEGMENTATIONS = 16
"""Ways to cut a word that chance chooses from."""

# Units that are worth a thread.
_MANY = 200

# Units whose ways to be cut are kept at most, a kilobyte each: to find them takes far longer than to draw one of them.
# Multi30k has 39,523 in English and German.
_WAYS = 2**16

# A constant, for the sums of probabilities that threads share out depend on their number.
_THREADS = 4


class _Ways(NamedTuple):
    """Ways to cut a unit, in one piece each, for there are many units."""

    tokens: array[int]
    """Those of all ways, one after the other."""
    starts: array[int]
    """Where each way begins, and where the last one ends."""
    reached: array[float]
    """The probability of each way but the last together with those before it."""


def _ways(cuts: Sequence[Sequence[int]], p: Iterable[float]) -> _Ways:
    """Ways to cut a unit, and their probabilities."""
    starts = accumulate(map(len, cuts), initial=0)
    return _Ways(array("i", chain.from_iterable(cuts)), array("i", starts), array("d", list(accumulate(p))[:-1]))


class SubwordTokenizer(UnitTokenizer):
    """Tokens are pieces of words, learnt by SentencePiece, with the space before them (" the", "ing").

    Ids: the pieces in SentencePiece's order, then the 256 bytes ``<0x00>`` to ``<0xFF>``. A piece never reaches
    over white space. The text is not normalised.

    Args:
        proto: the model, as SentencePiece writes it.
        unused: the tokens that are there for unseen text only: some of the bytes, perhaps the space.

    Raises:
        TextseqError: a model that is damaged, or not of this kind.
    """

    kind = "subword"

    def __init__(self, proto: bytes, unused: Sequence[str]) -> None:
        self.proto, self._unused = proto, frozenset(unused)
        self._model, pieces = _load(proto)
        self._ways: dict[tuple[str, float], _Ways] = {}
        self._utf8 = [*(piece.encode() for piece in pieces), *(bytes((byte,)) for byte in range(256))]
        vocabulary = (*pieces, *BYTES)
        super().__init__(vocabulary, tuple(n for n, token in enumerate(vocabulary) if token in self._unused))

    @classmethod
    def train(cls, documents: Iterable[Iterable[str]], options: TokenizerConfig = DEFAULTS) -> Self:
        counts, seen = count_units(documents, cls.units)
        seen.update(chain.from_iterable(counts))
        learnt = ((unit, count) for unit, count in counts.items() if not _UNLEARNT.search(unit))
        proto = _train(sorted(learnt, key=lambda pair: (-pair[1], pair[0])), options)
        every = cls(proto, ())
        used = {every.vocabulary[token] for token in chain.from_iterable(every._encode_units(sorted(seen)))}
        return cls(proto, [token for token in _ALWAYS if token not in used])

    def notes(self, options: TokenizerConfig) -> Iterator[str]:
        yield from super().notes(options)
        if self.size < options.vocabulary_size:
            yield f"the text gives {self.size} subwords, fewer than the {options.vocabulary_size} asked for"

    def _encode_units(self, units: list[str]) -> Iterator[Sequence[int]]:
        encode = self._model.encode
        # A list starts a thread, which takes milliseconds on a busy machine, and is then four times as fast.
        every = encode(units, num_threads=1) if len(units) > _MANY else map(encode, units)
        for unit, ids in zip(units, every, strict=True):
            if SPACE in unit:
                parts = (self._model.encode(part) if part != SPACE else _SPELLED_SPACE for part in _SPACES.split(unit))
                ids = chain.from_iterable(parts)
            yield [(token - _FIRST_PIECE) % self.size for token in ids]

    def resampled(self, ids: Ids, alpha: float, rng: np.random.Generator) -> Ids:
        """Other tokens of the same text, each word cut as chance has it (Kudo 2018, section 3.3; unigram model only).

        A word's way is drawn from its ``SEGMENTATIONS`` likeliest ones with their probabilities to the power ``alpha``.
        """
        if len(self._ways) > _WAYS:
            self._ways = {}
        units = self.units.findall(self.decode(ids))
        chosen = array("i")
        for unit, chance in zip(units, rng.random(len(units)).tolist(), strict=True):
            ways = self._ways.get((unit, alpha))
            if ways is None:
                ways = self._ways[unit, alpha] = self._segmentations(unit, alpha)
            way = bisect(ways.reached, chance)
            chosen += ways.tokens[ways.starts[way] : ways.starts[way + 1]]
        return np.array(chosen, np.int64)

    def _segmentations(self, unit: str, alpha: float) -> _Ways:
        """The likeliest ways to cut a unit."""
        if SPACE in unit:
            (only,) = self._encode_units([unit])
            return _ways([only], [1.0])
        ways = self._model.nbest_encode(unit, nbest_size=SEGMENTATIONS)
        scores = np.array([sum(map(self._model.get_score, way)) for way in ways])
        p = np.exp(alpha * (scores - scores.max()))
        size = self.size
        return _ways([[(token - _FIRST_PIECE) % size for token in way] for way in ways], p / p.sum())

    def _decode(self, ids: Ids) -> str:
        return b"".join(map(self._utf8.__getitem__, ids.tolist())).decode("utf-8", "replace")

    def stream(self) -> StreamDecoder:
        return ByteStream(self, self._utf8)

    def _settings(self) -> dict[str, object]:
        return {"model": base64.b64encode(self.proto).decode(), "unused": sorted(self._unused)}

    @classmethod
    def _from_settings(cls, data: Mapping[str, object]) -> Self:
        model, unused = said(data, "model", cls.kind), data.get("unused")
        if not isinstance(unused, list) or any(token not in _ALWAYS for token in unused):
            raise TextseqError("a subword tokenizer without its 'unused' tokens; restore it or train anew")
        try:
            proto = base64.b64decode(model, validate=True)
        except ValueError as error:
            raise _damaged(error) from error
        return cls(proto, unused)


def _train(counts: Sequence[tuple[str, int]], options: TokenizerConfig) -> bytes:
    """The model that SentencePiece learns from units and their counts.

    There is a piece for the space whatever the text was, or unseen spaces would be spelled as that mark of theirs.
    """
    from sentencepiece import SentencePieceTrainer

    proto = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=(f"{unit}\t{count}" for unit, count in (*counts, (" ", 1))),
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
            seed_sentencepiece_size=max(50_000, 10 * options.vocabulary_size),  # its own million takes minutes
            minloglevel=2,
        )
    except RuntimeError as error:
        needed = re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error))
        if needed is None:
            raise
        raise TextseqError(
            f"--vocabulary-size must be at least {int(needed[1]) - 1} for the 256 bytes and this text's characters, "
            f"found {options.vocabulary_size}"
        ) from error
    return proto.getvalue()


def _load(proto: bytes) -> tuple[SentencePieceProcessor, list[str]]:
    """The model, and its pieces besides the bytes."""
    from sentencepiece import SentencePieceProcessor

    model = SentencePieceProcessor()
    try:
        model.LoadFromSerializedProto(proto)
        pieces = [model.id_to_piece(number).replace(SPACE, " ") for number in range(model.get_piece_size())]
    except (RuntimeError, ValueError) as error:  # what is no UTF-8 is a ValueError
        raise _damaged(error) from error
    if tuple(pieces[1:_FIRST_PIECE]) != BYTES or not all(map(model.is_byte, range(1, _FIRST_PIECE))):
        raise _damaged("its bytes are missing")
    if len(set(pieces)) < len(pieces):
        raise _damaged("pieces stand in it twice")
    return model, pieces[_FIRST_PIECE:]


def _damaged(why: object) -> TextseqError:
    return TextseqError(f"the SentencePiece model of a subword tokenizer is damaged ({why}); restore it or train anew")
