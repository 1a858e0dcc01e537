"""Lexical shortlists: the target tokens that a translation may need, so that the decoder skips the rest.

For each source token: the most probable target tokens under IBM model 1 (Brown et al. 1993, section 4.1), trained with
a few rounds of expectation-maximization; the token itself, for copies; and the most frequent target tokens. With such
lists Jean et al. (2015, section 3.3) and L'Hostis et al. (2016) translate several times as fast.

Shapes: V source tokens, L entries of all lists together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from textseq.data.batching import Tokens, document, document_lengths
from textseq.errors import TextseqError
from textseq.io.files import replacing

FILE = "short-list.safetensors"

EACH = 100
"""Target tokens per source token, at most."""

COMMON = 300
"""Most frequent target tokens, which are in every list."""

LEAST = 5e-4
"""Minimum translation probability of a listed token."""

ROUNDS = 4

LINKS = 2**24
"""Source-target token pairs in training, at most; of a larger corpus every n-th sentence is used."""

Numbers = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Shortlist:
    """The lists of all source tokens; that of the end-of-sentence token V holds what every sentence needs."""

    tokens: npt.NDArray[np.int32]
    """(L,) target tokens, concatenated lists."""
    starts: npt.NDArray[np.int64]
    """(V + 2,) the start of each list, and the end of the last one."""

    def of(self, sentence: Numbers, more: Sequence[int] = ()) -> Numbers:
        """The target tokens for a source sentence (S,) without its end, and ``more``; ascending."""
        lists = (self.tokens[self.starts[token] : self.starts[token + 1]] for token in np.unique(sentence))
        always = self.tokens[self.starts[-2] :]
        return np.unique(np.concatenate([always, *lists, np.array(more, np.int32)]))

    def joined(self, other: Shortlist, sources: Sequence[int], targets: Sequence[int]) -> Shortlist:
        """This shortlist with the lists of another; ``sources`` and ``targets`` are our ids of its tokens and ends."""
        ours = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        theirs = np.repeat(np.array(sources), np.diff(other.starts))
        listed = np.concatenate([self.tokens, np.array(targets)[other.tokens]])
        return _shortlist(np.concatenate([ours, theirs]), listed, len(self.starts) - 2)

    def save(self, folder: Path) -> None:
        """Write the shortlist into a model's folder."""
        with replacing(folder / FILE) as (file,):
            file.write(save({"tokens": self.tokens, "starts": self.starts}))


def load_shortlist(folder: Path, eos_ids: tuple[int, int]) -> Shortlist | None:
    """The shortlist in a model's folder; None if there is none.

    Args:
        folder: of the model.
        eos_ids: end-of-sentence ids of source and target.

    Raises:
        TextseqError: it is damaged, or of other vocabularies.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        tensors = load_file(path)
        tokens, starts = tensors["tokens"], tensors["starts"]
        valid = (
            tokens.dtype == np.int32
            and tokens.ndim == 1
            and starts.dtype == np.int64
            and starts.shape == (eos_ids[0] + 2,)
            and starts[0] == 0
            and starts[-1] == len(tokens)
            and bool((np.diff(starts) >= 0).all())
            and (len(tokens) == 0 or (tokens.min() >= 0 and tokens.max() <= eos_ids[1]))
        )
    except (SafetensorError, OSError, ValueError, KeyError):
        valid = False
    if not valid:
        raise TextseqError(f"{path} is damaged, or of another vocabulary; restore the folder, or remove this file")
    return Shortlist(tokens, starts)


def learn_shortlist(
    sources: Tokens, targets: Tokens, source_to_target: Sequence[int], eos_ids: tuple[int, int]
) -> Shortlist:
    """Train the shortlist on a parallel text.

    Args:
        sources: the encoded sources.
        targets: the encoded targets.
        source_to_target: for each source token the target token of the same string, or -1; (V,).
        eos_ids: end-of-sentence ids of source and target.
    """
    source_end, target_end = eos_ids
    s, t, p = _translations(sources, targets, source_end)
    order = np.lexsort((-p, s))
    s, t, p = s[order], t[order], p[order]
    rank = np.arange(len(s)) - np.searchsorted(s, s)
    listed = (rank < EACH) & (p >= LEAST) & (s < source_end)
    same = np.array(source_to_target, np.int64)
    counts = np.bincount(targets.ids, minlength=target_end)
    common = np.argsort(-counts, kind="stable")[:COMMON]
    always = np.append(common, target_end)
    s = np.concatenate([s[listed], np.flatnonzero(same >= 0), np.full(len(always), source_end)])
    return _shortlist(s, np.concatenate([t[listed], same[same >= 0], always]), source_end)


def _shortlist(s: Numbers, t: Numbers, source_end: int) -> Shortlist:
    """The shortlist of pairs of source and target token."""
    width = int(t.max()) + 1
    s, t = np.divmod(np.unique(s * width + t), width)  # ordered by source
    return Shortlist(t.astype(np.int32), np.searchsorted(s, np.arange(source_end + 2)).astype(np.int64))


def _translations(
    sources: Tokens, targets: Tokens, source_end: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """IBM model 1: source tokens, target tokens and p(target | source) of every pair that occurs.

    The source's end is the empty word, which every target token may come from.
    """
    source_lengths, target_lengths = document_lengths(sources), document_lengths(targets)
    links = int(((source_lengths + 1) * target_lengths).sum())
    sample = range(0, len(source_lengths), max(1, -(-links // LINKS)))
    read = [np.append(document(sources, n), source_end) for n in sample]
    written = [document(targets, n) for n in sample]
    s = np.concatenate([np.tile(source, len(target)) for source, target in zip(read, written, strict=True)])
    fan_in = np.repeat([len(source) for source in read], [len(target) for target in written])  # of target tokens
    t = np.repeat(np.concatenate(written), fan_in).astype(np.int64)
    if not len(t):
        return s[:0], t, np.empty(0)
    first = np.cumsum(fan_in) - fan_in
    width = int(t.max()) + 1
    pairs, which = np.unique(s * width + t, return_inverse=True)
    s, t = np.divmod(pairs, width)
    p: npt.NDArray[np.float64] = np.ones(len(pairs))
    for _ in range(ROUNDS):
        share = p[which]
        share = share / np.repeat(np.add.reduceat(share, first), fan_in)
        counts = np.bincount(which, share, len(pairs))
        p = counts / np.bincount(s, counts)[s]
    return s, t, p
