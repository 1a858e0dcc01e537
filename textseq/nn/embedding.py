"""Token ids (N, T) -> vectors (N, T, E)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

    @property
    def row_of(self) -> Mapping[str, int]:
        """The row of each word."""

    @property
    def other_case(self) -> int:
        """Number of words found in another case only."""


class Embedding(nn.Embedding):
    """A table of V vectors of width E, initialized from N(0, 1) / sqrt(E), so that a vector's length is about 1.

    Token ids (N, T) -> vectors (N, T, E). As in torch, the vector of a ``padding_idx`` is zero.

    Args:
        num_embeddings: V.
        embedding_dim: E.

    Example:
        >>> Embedding(100, 8)(torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 3, 8])
    """

    @classmethod
    def from_word_vectors(cls, tokens: Sequence[str], vectors: WordVectors) -> Embedding:
        """An embedding of these tokens that starts with pretrained vectors, such as GloVe's.

        Args:
            tokens: the string of each of the V rows, such as ``tokenizer.vocabulary``; the space before a word is
                ignored.
            vectors: from ``textseq.read_vectors("glove...")``; tokens without one are initialized at the same scale.

        Raises:
            TextseqError: no token has a vector.

        Example::

            embedding = nn.Embedding.from_word_vectors(["the", "cat"], textseq.read_vectors("glove.6B.100d.txt"))
            embedding(ids)  # (N, T) -> (N, T, 100)
        """
        embedding = cls(len(tokens), vectors.table.shape[1])
        load_rows(embedding.weight, tokens, vectors)
        return embedding

    def reset_parameters(self) -> None:
        """Initialize the vectors."""
        nn.init.normal_(self.weight, std=self.embedding_dim**-0.5)
        self._fill_padding_idx_with_zero()


@torch.no_grad()
def carry_over(
    new: Tensor,
    new_tokens: Sequence[str],
    old: Tensor,
    old_tokens: Sequence[str],
    spell: Callable[[str], Sequence[int] | npt.NDArray[np.int64]] | None = None,
) -> int:
    """Copy the rows of shared tokens from ``old`` (V_old, ...) to ``new`` (V_new, ...).

    If ``new`` has all of the old tokens, its others begin as a mean of old rows: of the tokens that spelled them so
    far, or of all, which makes a new output about as unlikely as the average one (Hewitt 2021). Otherwise the others
    stay as they are.

    Returns:
        The number of rows copied.
    """
    row_of = {token: row for row, token in enumerate(old_tokens)}
    pairs = [(row, row_of[token]) for row, token in enumerate(new_tokens) if token in row_of]
    if pairs:
        target, source = (torch.tensor(column) for column in zip(*pairs, strict=True))
        new[target] = old[source].to(new)
    if len(pairs) == len(row_of):
        mean = old.float().mean(0)
        for row, token in enumerate(new_tokens):
            if token not in row_of:
                new[row] = old[torch.tensor(spell(token))].float().mean(0) if spell else mean
    return len(pairs)


def load_rows(table: Tensor, tokens: Sequence[str], vectors: WordVectors) -> str:
    """Copy word vectors into the rows of a table (V, E); see ``Embedding.from_word_vectors``.

    Returns:
        A phrase with the number of tokens that have a vector.
    """
    row_of = vectors.row_of
    pairs = [(row, row_of[word]) for row, token in enumerate(tokens) if (word := token.strip()) in row_of]
    if not pairs:
        raise TextseqError("none of the tokens has a word vector; use --vectors of the same language")
    target, source = (torch.tensor(column) for column in zip(*pairs, strict=True))
    rows = torch.from_numpy(vectors.table)[source]
    with torch.no_grad():
        nn.init.normal_(table, float(rows.mean()), float(rows.std(correction=0)))
        table[target] = rows.to(table)
    case = f", {vectors.other_case:,} words in another case" if vectors.other_case else ""
    return f"{len(pairs):,} of {len(tokens):,} tokens ({len(pairs) / len(tokens):.1%}) have a word vector{case}"
