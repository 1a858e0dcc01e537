"""Token ids (N, T) -> vectors (N, T, E)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


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
