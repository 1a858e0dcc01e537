"""Token ids (N, T) -> vectors (N, T, E)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from textseq.errors import TextseqError


class WordVectors(Protocol):
    """Pretrained vectors of W words, such as ``textseq.read_vectors`` returns."""

    @property
    def table(self) -> npt.NDArray[np.float32]:
        """(W, E)."""
        ...

    @property
    def row_of(self) -> Mapping[str, int]:
        """The row of each word."""
        ...

    @property
    def other_case(self) -> int:
        """Words that were found in another case only."""
        ...


class Embedding(nn.Embedding):
    """A table of V vectors of width E, drawn from N(0, 1) / sqrt(E), so that a vector's length is about 1."""

    def reset_parameters(self) -> None:
        """Draw the vectors anew."""
        nn.init.normal_(self.weight, std=self.embedding_dim**-0.5)


def carry_over(new: Tensor, new_tokens: Sequence[str], old: Tensor, old_tokens: Sequence[str]) -> int:
    """Copy the rows of the tokens that two vocabularies share, by the tokens' strings.

    Args:
        new: the table to fill, (V_new, ...), changed in place; rows of tokens the old one lacks stay as they are.
        new_tokens: the string of each of its rows.
        old: the table to copy from, (V_old, ...), of the same width.
        old_tokens: the string of each of its rows.

    Returns:
        How many rows were copied.
    """
    row_of = {token: row for row, token in enumerate(old_tokens)}
    pairs = [(row, row_of[token]) for row, token in enumerate(new_tokens) if token in row_of]
    if pairs:
        to, source = (torch.tensor(column) for column in zip(*pairs, strict=True))
        with torch.no_grad():
            new[to] = old[source].to(new)
    return len(pairs)


def load_rows(table: Tensor, tokens: Sequence[str], vectors: WordVectors) -> str:
    """Give tokens the vectors of their words; the other rows are drawn anew at the scale of these.

    Args:
        table: (V, E), changed in place.
        tokens: the string of each row; the space before a word does not matter.
        vectors: those of the words that were found, of E numbers.

    Returns:
        How many were found, in words.

    Raises:
        TextseqError: none was.
    """
    row_of = vectors.row_of
    pairs = [(row, row_of[word]) for row, token in enumerate(tokens) if (word := token.strip()) in row_of]
    if not pairs:
        raise TextseqError("none of the tokens has a word vector; --vectors wants words of the same language")
    to, source = (torch.tensor(column) for column in zip(*pairs, strict=True))
    found = torch.from_numpy(vectors.table)[source]
    with torch.no_grad():
        nn.init.normal_(table, float(found.mean()), float(found.std(correction=0)))
        table[to] = found.to(table)
    case = f", {vectors.other_case:,} words in another case" if vectors.other_case else ""
    return f"{len(pairs):,} of {len(tokens):,} tokens ({len(pairs) / len(tokens):.1%}) have a word vector{case}"
