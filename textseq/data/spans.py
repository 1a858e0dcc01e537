"""Spans of words, such as named entities, in the tags of a sentence: a prefix and a kind, or O outside of all spans.

scheme          first word                           inside   last word   only word
BIO (IOB2)      B-                                   I-       I-          B-
IOB1            I-, B- next to a span of its kind    I-       I-          as the first
BIOES (BILOU)   B-                                   I-       E- (L-)     S- (U-)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from textseq.data.rows import Tagged
from textseq.errors import unknown

SPAN_TAG = re.compile(r"O|[BIESLU]-.+")

SCHEMES = ("BIO", "IOB1", "BIOES", "mixed")
"""Names of schemes; "mixed": training sentences that fit none of them."""


def find_scheme(labels: Sequence[str], sentences: Iterable[Tagged]) -> tuple[str, int]:
    """The scheme of tags, and how many sentences break the nearest one (then "mixed").

    The scheme is "" if the labels are not span tags; the sentences are not read then.

    Example:
        >>> find_scheme(("B-person", "I-person", "O"), [(("Ada", "Lovelace"), ("I-person", "I-person"))])
        ('IOB1', 0)
    """
    if not all(map(SPAN_TAG.fullmatch, labels)) or not {*labels} - {"O"}:
        return "", 0
    candidates = ("BIOES",) if any(label[0] in "ESLU" and label != "O" for label in labels) else ("BIO", "IOB1")
    broken = dict.fromkeys(candidates, 0)
    for _, tags in sentences:
        for scheme in candidates:
            broken[scheme] += not all(may_follow(scheme, *pair) for pair in pairwise(("O", *tags, "O")))
    scheme = min(candidates, key=lambda name: broken[name])
    return ("mixed" if broken[scheme] else scheme), broken[scheme]


def may_follow(scheme: str, tag: str, following: str) -> bool:
    """Whether a tag may follow another; before and after a sentence is "O"."""
    (prefix, kind), (next_prefix, next_kind) = _parts(tag), _parts(following)
    continues = prefix in "BI" and kind == next_kind
    match scheme:
        case "BIO":
            return next_prefix != "I" or continues
        case "IOB1":
            return next_prefix != "B" or continues
        case "BIOES":
            return continues if next_prefix in "IE" else prefix not in "BI"
    return True


def allowed_transitions(labels: Sequence[str], scheme: str) -> npt.NDArray[np.bool_] | None:
    """Which label may follow which, (C + 1, C + 1); the last row is the start, the last column the end.

    None if the scheme forbids nothing.

    Raises:
        TextseqError: unknown scheme.
    """
    if scheme and scheme not in SCHEMES:
        raise unknown("tag scheme", scheme, SCHEMES)
    if scheme in ("", "mixed"):
        return None
    return np.array([[may_follow(scheme, tag, following) for following in (*labels, "O")] for tag in (*labels, "O")])


def read_spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """The spans in tags of any scheme: kind, number of the first word, and of the word after the last.

    Tags that break their scheme are read as conlleval reads them: I- without a span of its kind before it begins one.
    A tag that marks no span, such as NOUN, is read as O.

    Example:
        >>> read_spans(["O", "B-place", "I-place", "B-place"])
        [('place', 1, 3), ('place', 3, 4)]
    """
    spans, start = [], 0
    marks = (tag if SPAN_TAG.fullmatch(tag) else "O" for tag in (*tags, "O"))
    for place, (tag, following) in enumerate(pairwise(marks)):
        (prefix, kind), (next_prefix, next_kind) = _parts(tag), _parts(following)
        if not (next_prefix in "IE" and prefix in "BI" and kind == next_kind):
            if prefix != "O":
                spans.append((kind, start, place + 1))
            start = place + 1
    return spans


def _parts(tag: str) -> tuple[str, str]:
    """The prefix, of BILOU that of BIOES, and the kind."""
    prefix, _, kind = tag.partition("-")
    return {"L": "E", "U": "S"}.get(prefix, prefix), kind
