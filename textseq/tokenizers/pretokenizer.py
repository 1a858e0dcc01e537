"""Pre-tokenization: text is split at white space into pretokens, each of which is encoded separately.

No token spans pretokens, so a text that arrives in chunks needs no more held back than one pretoken, and training
needs only the counts of the different pretokens.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

import numpy as np

from textseq.tokenizers.base import Ids, Tokenizer, chunked, encode_unicode

WORDS = re.compile(r" ?\S{1,100}|\s")
"""A word with one space before it, or one character of white space; more than 100 characters are split."""

WORDS_AND_LINES = re.compile(r" ?\S{1,100}| ?\n|\s")
"""The same, but a line break includes a space before it."""

MAX_PRETOKENS = 2_000_000
"""Different pretokens counted at once (some 300 MB); beyond it, the rarer half is dropped."""

CACHE_SIZE = 2**17
"""Different pretokens whose ids are cached."""

_BLOCK = 2**14


class PretokenizingTokenizer(Tokenizer):
    """A tokenizer that encodes each pretoken separately and caches the ids of recent ones."""

    pattern: re.Pattern[str] = WORDS

    def __init__(self, vocabulary: tuple[str, ...], fallback: tuple[int, ...], loses: tuple[str, ...] = ()) -> None:
        super().__init__(vocabulary, fallback, loses)
        self._cache: dict[str, bytes] = {}
        """The ids of pretokens as bytes of 32-bit integers: joined, they are read as one array."""

    def _encode(self, text: str) -> Ids:
        return np.concatenate([np.empty(0, np.int64), *self._encode_chunks([text])])

    def _encode_chunks(self, chunks: Iterable[str]) -> Iterator[Ids]:
        for pretokens in pretokenize(chunks, self.pattern):
            if len(self._cache) > CACHE_SIZE:
                self._cache = {}  # replaced, not cleared: another thread may be using it
            cache = self._cache
            try:
                data = b"".join(map(cache.__getitem__, pretokens))
            except KeyError:
                new = [word for word in dict.fromkeys(pretokens) if word not in cache]  # set difference is O(cache)
                cache.update(zip(new, (array("i", ids).tobytes() for ids in self._encode_pretokens(new)), strict=True))
                data = b"".join(map(cache.__getitem__, pretokens))
            yield np.frombuffer(data, np.intc).astype(np.int64)

    @abstractmethod
    def _encode_pretokens(self, pretokens: list[str]) -> Iterable[Sequence[int]]:
        """The ids of each pretoken."""


def pretokenize(document: Iterable[str], pattern: re.Pattern[str]) -> Iterator[list[str]]:
    """The pretokens of a document that arrives in chunks, several at a time; chunk boundaries do not matter.

    Raises:
        TextseqError: a lone surrogate.
    """
    rest = ""
    for chunk in chunked(document):
        encode_unicode(chunk, "utf-8")
        # Every character belongs to a pretoken, and the next chunk can change the last one only.
        *pretokens, rest = pattern.findall(rest + chunk)
        yield pretokens
    if rest:
        yield [rest]


def count_pretokens(documents: Iterable[Iterable[str]], pattern: re.Pattern[str]) -> tuple[Counter[str], set[str]]:
    """The counts of pretokens in documents that arrive in chunks; chunk boundaries do not matter.

    Returns:
        The counts, and the characters of pretokens that were dropped because there were too many.
    """
    counts: Counter[str] = Counter()
    dropped: set[str] = set()
    stream = chain.from_iterable(words for document in documents for words in pretokenize(document, pattern))
    while block := list(islice(stream, _BLOCK)):
        counts.update(block)
        if len(counts) > MAX_PRETOKENS:
            kept = Counter(dict(counts.most_common(MAX_PRETOKENS // 2)))
            dropped.update(chain.from_iterable(counts.keys() - kept.keys()))
            counts = kept
    return counts, dropped
