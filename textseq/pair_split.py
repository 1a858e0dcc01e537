"""Dividing sentence pairs into parts so that no sentence of one part is met in another.

Pairs that share a sentence, on the same side, are one group: "Run!" has many translations, each of these is
the translation of others, and so on. Whole groups go to the parts, in an order that follows from what the sentences
are and not from where they stand: a file that is shuffled is split alike, one that has grown nearly so, and swapping
the two sides changes nothing.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from array import array
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

Pair = tuple[str, str]

WORDS = re.compile(r"[^\W_]+")
WORDLESS = 0
"""The key of a sentence without a letter or a digit."""
SPLIT_VERSION = 1  # to be raised when the same pairs are divided otherwise than before


def normalised(sentence: str) -> str:
    """What counts where sentences are compared: letters and digits, without case, one space for all between them."""
    return " ".join(WORDS.findall(unicodedata.normalize("NFKC", sentence).casefold()))


def key(sentence: str) -> int:
    """The start of the SHA-256 of the normalised sentence, 64 bits; ``WORDLESS`` where nothing is left of it."""
    words = normalised(sentence)
    return _number(words.encode("utf-8", "surrogatepass")) if words else WORDLESS


def split(
    pairs: Iterable[Pair], shares: Mapping[str, float], *, at_least: int = 1, at_most: int | None = None
) -> bytes:
    """The part of each of P pairs, as P bytes: 0 is training, 1 the first part of ``shares``, and so on.

    The groups come in the order of the SHA-256 of the smallest of their sentences' SHA-256s. Each goes to the first
    part that it still fits into, and to training when the parts are full. Sentences without a letter or digit ("?!")
    join no groups: every group that has one is for training, so that none of them can be in two parts. Memory: about
    150 bytes for each pair, whatever its length.

    Args:
        pairs: read once.
        shares: the share of all pairs that each part but training gets, rounded, at least one pair.
        at_least: pairs that each of these parts is to get even where its share is less, as long as they are no more
            than a tenth of all.
        at_most: pairs that each of these parts gets at most.
    """
    keys = array("Q")
    for source, target in pairs:
        keys.extend((key(source), key(target)))
    both = np.frombuffer(keys, np.uint64).reshape(-1, 2) if keys else np.empty((0, 2), np.uint64)
    group = _groups(both)
    size = np.bincount(group)
    smallest = np.full(len(size), np.iinfo(np.uint64).max, np.uint64)
    trains = np.zeros(len(size), bool)
    for side in both.T:
        np.minimum.at(smallest, group, side)
        trains[group[side == WORDLESS]] = True

    fewest = max(min(at_least, len(group) // 10), 1)
    most = len(group) if at_most is None else at_most
    wanted = [min(max(round(share * len(group)), fewest), most) for share in shares.values()]
    part_of = np.zeros(len(size), np.uint8)
    places = np.fromiter((_number(int(one).to_bytes(8)) for one in smallest), np.uint64, len(smallest))
    for one in np.argsort(places):
        if trains[one]:
            continue
        part = next((part for part, room in enumerate(wanted) if size[one] <= room), None)
        if part is not None:
            wanted[part] -= int(size[one])
            part_of[one] = part + 1
        elif not any(wanted):
            break
    return part_of[group].tobytes()


def _number(content: bytes) -> int:
    """The first 64 bits of a SHA-256."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8])


def shared(training: Iterable[Pair], held_out: Iterable[Pair]) -> int:
    """How many of the held-out pairs have a sentence, on the same side, that is also in training."""
    kept = [(key(source), key(target)) for source, target in held_out]
    wanted = tuple(set(side) - {WORDLESS} for side in zip(*kept, strict=True)) or (set(), set())
    met: tuple[set[int], set[int]] = (set(), set())
    for pair in training:
        for sentence, some, found in zip(pair, wanted, met, strict=True):
            if (one := key(sentence)) in some:
                found.add(one)
    return sum(source in met[0] or target in met[1] for source, target in kept)


def _groups(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """For keys (P, 2) the number of the group of each pair (P,), counted from 0.

    A graph of two kinds of nodes, the sources and the targets, whose edges are the pairs; its connected components.
    """
    sources, targets = (np.unique(side, return_inverse=True)[1] for side in keys.T)
    nodes = np.stack([sources, targets + len(keys)], axis=1)
    root = np.arange(2 * len(keys))
    while True:
        one, other = root[nodes].T
        if np.array_equal(one, other):
            break
        np.minimum.at(root, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(root, further := root[root]):
            root = further
    return np.unique(one, return_inverse=True)[1]
