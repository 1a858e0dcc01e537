"""Which tokens a translation of a sentence may need, so that a decoder need not weigh its whole vocabulary.

For every token of the source the likeliest tokens of the target, as the training pairs have them: by the translation
probabilities of model 1 of Brown et al. (1993, section 4.1), which a few rounds of expectation and maximisation find.
To these come the token itself, for what is copied, and the most frequent tokens of all, for what belongs to no word in
particular. With such lists Jean et al. (2015, section 3.3) and L'Hostis et al. (2016) translate several times as fast.

Shapes: V tokens of the source, L entries of all lists together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from textseq.errors import TextseqError
from textseq.io.files import replacing

FILE = "short-list.safetensors"

EACH = 100
"""Tokens of the target for each token of the source, at most."""

COMMON = 300
"""The most frequent tokens that every sentence has."""

LEAST = 5e-4
"""A translation less likely than this is not listed."""

ROUNDS = 4

LINKS = 2**24
"""Pairs of a source's and its target's token that are looked at, at most; of a larger corpus every n-th sentence."""


Numbers = npt.NDArray[np.integer]


class Encoded(Protocol):
    """The sentences of one side: all ids one after the other, and where each begins."""

    @property
    def ids(self) -> Numbers: ...
    @property
    def document_starts(self) -> Numbers: ...


@dataclass(frozen=True)
class Shortlist:
    """The lists of all tokens of the source; that of its end, token V, holds what every sentence needs."""

    tokens: npt.NDArray[np.int32]
    """(L,) tokens of the target, list after list."""
    starts: npt.NDArray[np.int64]
    """(V + 2,) where each list begins, and where the last one ends."""

    def of(self, sentence: Numbers, more: Sequence[int] = ()) -> Numbers:
        """The tokens that a translation may need, ascending.

        Args:
            sentence: ids of the source (S,), without its end.
            more: tokens that it needs in any case.
        """
        lists = (self.tokens[self.starts[token] : self.starts[token + 1]] for token in np.unique(sentence))
        always = self.tokens[self.starts[-2] :]
        return np.unique(np.concatenate([always, *lists, np.array(more, np.int32)]))

    def save(self, folder: Path) -> None:
        """Write it into a model's folder."""
        with replacing(folder / FILE) as (file,):
            file.write(save({"tokens": self.tokens, "starts": self.starts}))


def load_shortlist(folder: Path, ends: tuple[int, int]) -> Shortlist | None:
    """The list in a model's folder; None where there is none.

    Args:
        folder: the model's.
        ends: the tokens after the vocabularies of source and target.

    Raises:
        TextseqError: it is damaged, or of other vocabularies.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        found = load_file(path)
        tokens, starts = found["tokens"], found["starts"]
        sound = (
            tokens.dtype == np.int32
            and tokens.ndim == 1
            and starts.dtype == np.int64
            and starts.shape == (ends[0] + 2,)
            and starts[0] == 0
            and starts[-1] == len(tokens)
            and bool((np.diff(starts) >= 0).all())
            and (len(tokens) == 0 or (tokens.min() >= 0 and tokens.max() <= ends[1]))
        )
    except (SafetensorError, OSError, ValueError, KeyError):
        sound = False
    if not sound:
        raise TextseqError(f"{path} is damaged, or of another vocabulary; restore the folder, or remove this file")
    return Shortlist(tokens, starts)


def learn_shortlist(sources: Encoded, targets: Encoded, copies: Sequence[int], ends: tuple[int, int]) -> Shortlist:
    """The short list of a parallel text.

    Args:
        sources: the encoded sources.
        targets: the encoded targets, as many.
        copies: for each token of the source the same string's token of the target, -1 where it has none; (V,).
        ends: the tokens after the vocabularies of source and target.
    """
    source_end, target_end = ends
    s, t, p = _translations(sources, targets, source_end)
    order = np.lexsort((-p, s))
    s, t, p = s[order], t[order], p[order]
    rank = np.arange(len(s)) - np.searchsorted(s, s)
    listed = (rank < EACH) & (p >= LEAST) & (s < source_end)
    own = np.array(copies, np.int64)
    counts = np.bincount(targets.ids, minlength=target_end)
    common = np.argsort(-counts, kind="stable")[:COMMON]
    # Lists as pairs of a source's and a target's token, in the order of the sources and each pair once.
    width = target_end + 1
    pairs = [
        s[listed] * width + t[listed],
        np.flatnonzero(own >= 0) * width + own[own >= 0],
        source_end * width + np.append(common, target_end),
    ]
    s, t = np.divmod(np.unique(np.concatenate(pairs)), width)
    return Shortlist(t.astype(np.int32), np.searchsorted(s, np.arange(source_end + 2)).astype(np.int64))


def _translations(
    sources: Encoded, targets: Encoded, source_end: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Model 1: source tokens, target tokens and the probability of this from that, for every pair that occurs.

    The source's end is the empty word, from which every token may come.
    """
    source_lengths, target_lengths = _lengths(sources), _lengths(targets)
    links = int(((source_lengths + 1) * target_lengths).sum())
    some = range(0, len(source_lengths), max(1, -(-links // LINKS)))
    read = [np.append(_document(sources, n), source_end) for n in some]
    written = [_document(targets, n) for n in some]
    s = np.concatenate([np.tile(source, len(target)) for source, target in zip(read, written, strict=True)])
    each = np.repeat([len(source) for source in read], [len(target) for target in written])  # links of every target
    t = np.repeat(np.concatenate(written), each).astype(np.int64)
    if not len(t):
        return s[:0], t, np.empty(0)
    first = np.cumsum(each) - each
    width = int(t.max()) + 1
    kinds, which = np.unique(s * width + t, return_inverse=True)
    s, t = np.divmod(kinds, width)
    p: npt.NDArray[np.float64] = np.ones(len(kinds))
    for _ in range(ROUNDS):
        share = p[which]
        share = share / np.repeat(np.add.reduceat(share, first), each)
        counts = np.bincount(which, share, len(kinds))
        p = counts / np.bincount(s, counts)[s]
    return s, t, p


def _document(side: Encoded, number: int) -> npt.NDArray[np.int64]:
    starts = side.document_starts
    stop = starts[number + 1] if number + 1 < len(starts) else len(side.ids)
    return np.asarray(side.ids[starts[number] : stop]).astype(np.int64)


def _lengths(side: Encoded) -> npt.NDArray[np.int64]:
    return np.diff(np.append(side.document_starts, len(side.ids)))
