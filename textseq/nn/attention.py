"""Attention: queries and the outputs of an encoder -> their weighted mean, and the weights.

Whatever does not depend on the query is computed once per sentence and kept in a ``Memory``. Shapes: N sentences, S
source time, C width of the encoder's outputs, H width of the queries, A width of the comparison, K number of queries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from textseq.config.names import AttentionName
from textseq.nn.kernels.additive_attention import exp_2x, sigmoid_of_sum
from textseq.nn.rnn_layer import check_lengths

CHUNK, CHUNK_ON_GPU = 2**22, 2**26
"""Elements of a comparison computed at a time: they should fit the shared cache of a CPU; on a GPU, where every chunk
costs a launch, only the memory counts."""

Scorer = Callable[[Tensor], Tensor]
"""Projected queries (N, K, A) -> scores (N, K, S), up to a constant for each query."""

Attend = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Projected queries (N, K, A) -> contexts (N, K, C) and weights (N, K, S)."""


@dataclass(frozen=True)
class Memory:
    """The outputs of an encoder for N sentences.

    Example:
        >>> memory = Memory(torch.randn(2, 5, 16), lengths=torch.tensor([5, 3]))
        >>> memory.padding[1]
        tensor([0., 0., 0., -inf, -inf])
    """

    values: Tensor
    """The encoder's outputs, (N, S, C)."""
    lengths: Tensor | None = None
    """Real positions of each sentence, (N,), from 1 to S; the rest is padding. None: all are real."""
    keys: Tensor | None = None
    """The values projected for comparison, (N, S, A or H), by ``Attention.with_keys``; None: not yet computed."""
    summary: Tensor | None = None
    """The encoder's last state in either direction, (N, C); only ``NoAttention`` reads it."""

    def __post_init__(self) -> None:
        """Raise a ValueError for lengths that are not from 1 to S."""
        if self.lengths is not None:
            object.__setattr__(self, "lengths", check_lengths(self.lengths, *self.values.shape[:2]))

    @cached_property
    def padding(self) -> Tensor:
        """(N, S), minus infinity at padding and 0 elsewhere, to add to scores."""
        zeros = self.values.new_zeros(self.values.shape[:2])
        if self.lengths is None:
            return zeros
        padded = torch.arange(zeros.shape[1], device=self.lengths.device) >= self.lengths.unsqueeze(1)
        return zeros.masked_fill(padded.to(zeros.device), -torch.inf)

    def select(self, sentences: Tensor) -> Memory:
        """The memory of the sentences (M,), cut to the longest of them."""
        lengths, length = self.lengths, self.values.shape[1]
        if lengths is not None:
            lengths = lengths[sentences.to(lengths.device)]
            length = int(lengths.max())
        return Memory(
            self.values[sentences, :length],
            lengths,
            None if self.keys is None else self.keys[sentences, :length],
            None if self.summary is None else self.summary[sentences],
        )


class Attention(nn.Module):
    """The base of every attention: projected keys and queries, their scores, softmax, weighted mean."""

    def project_keys(self, values: Tensor) -> Tensor:
        """Project the values for comparison with queries: (N, S, C) -> (N, S, A)."""
        return values

    def project_query(self, query: Tensor) -> Tensor:
        """Project queries for comparison with keys: (..., H) -> (..., A)."""
        return query

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """Scores of projected queries and keys: (N, K, A) and (N, S, A) -> (N, K, S)."""
        return torch.bmm(query, keys.transpose(1, 2))

    def query_matrix(self) -> Tensor | None:
        """The matrix (A, H) of ``project_query``; None: the query is used as it is."""
        return None

    def scorer(self, keys: Tensor) -> Scorer:
        """``scores`` for many steps of generation with the same keys, (N, S, A)."""
        return lambda query: self.scores(query, keys)

    def with_keys(self, memory: Memory) -> tuple[Memory, Tensor]:
        """The memory with its keys, computed if they are missing; and the keys alone."""
        if memory.keys is not None:
            return memory, memory.keys
        keys = self.project_keys(memory.values).to(memory.values.dtype)
        return replace(memory, keys=keys), keys

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Attend to each sentence with one or more queries.

        Args:
            query: (N, H), or (N, K, H) for K queries of each sentence.
            memory: of the N sentences.

        Returns:
            Contexts (N, C) or (N, K, C), and weights (N, S) or (N, K, S), which sum to one and are zero at padding.

        Raises:
            ValueError: queries of more or fewer sentences.
        """
        if len(query) != len(memory.values):
            raise ValueError(f"query: expected {len(memory.values)} rows, one for each sentence, got {len(query)}")
        if query.dim() == 2:
            context, weights = self(query.unsqueeze(1), memory)
            return context.squeeze(1), weights.squeeze(1)
        return self._attend(self.scores(self.project_query(query), self.with_keys(memory)[1]), memory)

    def over(self, memory: Memory) -> Attend:
        """``forward`` from projected queries, for many steps of generation with the same memory."""
        score = self.scorer(self.with_keys(memory)[1])
        return lambda query: self._attend(score(query), memory)

    @staticmethod
    def _attend(scores: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        exact = torch.promote_types(scores.dtype, torch.float32)
        weights = (scores.to(exact) + memory.padding.unsqueeze(1)).softmax(dim=2)
        return torch.bmm(weights.to(memory.values.dtype), memory.values), weights


class AdditiveAttention(Attention):
    """A feed-forward network: v^T tanh(W s + U h_j + b) (Bahdanau et al. 2015, appendix A.1.2).

    Args:
        query_size: H.
        value_size: C.
        attention_size: A.

    Example:
        >>> attention = AdditiveAttention(query_size=8, value_size=16, attention_size=8)
        >>> context, weights = attention(torch.randn(2, 8), Memory(torch.randn(2, 5, 16), torch.tensor([5, 3])))
        >>> context.shape, weights.shape
        (torch.Size([2, 16]), torch.Size([2, 5]))
    """

    def __init__(self, query_size: int, value_size: int, attention_size: int) -> None:
        super().__init__()
        self.query_weight = nn.Linear(query_size, attention_size, bias=False)
        self.key_weight = nn.Linear(value_size, attention_size)
        self.score = nn.Parameter(torch.empty(attention_size).uniform_(-(attention_size**-0.5), attention_size**-0.5))

    def project_keys(self, values: Tensor) -> Tensor:
        """U h_j + b for every j."""
        keys: Tensor = self.key_weight(values)
        return keys

    def project_query(self, query: Tensor) -> Tensor:
        """W s."""
        projected: Tensor = self.query_weight(query)
        return projected

    def query_matrix(self) -> Tensor | None:
        """W."""
        return self.query_weight.weight

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """v^T tanh(query + key)."""
        return self._compare(lambda q, k: (q + k).tanh_(), self.score.to(keys.dtype), query, keys)

    def scorer(self, keys: Tensor) -> Scorer:
        """``scores`` as -2 v^T r by ``sigmoid_of_sum``; the sum of v is left out: it is the same at all positions."""
        exp_keys = exp_2x(keys)
        score = -2 * self.score.to(exp_keys.dtype)
        return lambda query: self._compare(sigmoid_of_sum, score, exp_2x(query), exp_keys)

    @staticmethod
    def _compare(function: Callable[[Tensor, Tensor], Tensor], score: Tensor, query: Tensor, keys: Tensor) -> Tensor:
        """Compare a few sentences at a time: a comparison is K times as large as the keys."""
        limit = CHUNK if keys.device.type == "cpu" else CHUNK_ON_GPU
        rows = max(1, limit // max(1, query.shape[1] * keys.shape[1] * keys.shape[2]))
        parts = zip(torch.split(query, rows), torch.split(keys, rows), strict=True)
        return torch.cat([function(q.unsqueeze(2), k.unsqueeze(1)) @ score for q, k in parts])


class GeneralAttention(Attention):
    """A bilinear product: s^T W h_j (Luong et al. 2015, equation 8).

    Args:
        query_size: H.
        value_size: C.

    Example:
        >>> context, _ = GeneralAttention(8, 16)(torch.randn(2, 8), Memory(torch.randn(2, 5, 16)))
        >>> context.shape
        torch.Size([2, 16])
    """

    def __init__(self, query_size: int, value_size: int) -> None:
        super().__init__()
        self.key_weight = nn.Linear(value_size, query_size, bias=False)

    def project_keys(self, values: Tensor) -> Tensor:
        """W h_j for every j."""
        keys: Tensor = self.key_weight(values)
        return keys


class DotAttention(Attention):
    """The dot product s^T h_j (Luong et al. 2015, equation 8); requires H = C.

    Example:
        >>> context, _ = DotAttention()(torch.randn(2, 16), Memory(torch.randn(2, 5, 16)))
        >>> context.shape
        torch.Size([2, 16])
    """


class NoAttention(Attention):
    """Every query sees the encoder's last states (Cho et al. 2014; Sutskever et al. 2014)."""

    def over(self, memory: Memory) -> Attend:
        """``forward``, whatever the query."""
        return lambda query: self(query, memory)

    def forward(self, query: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """The summary as the context of each of the queries (N, K, H), with equal weights at all real positions."""
        assert memory.summary is not None
        real = (memory.padding == 0).to(memory.padding.dtype)
        weights = (real / real.sum(dim=1, keepdim=True)).unsqueeze(1).expand(-1, query.shape[1], -1)
        return memory.summary.unsqueeze(1).expand(-1, query.shape[1], -1), weights


ATTENTIONS: dict[AttentionName, Callable[[int, int, int], Attention]] = {
    "additive": AdditiveAttention,
    "general": lambda query_size, value_size, _: GeneralAttention(query_size, value_size),
    "dot": lambda *_: DotAttention(),
    "none": lambda *_: NoAttention(),
}
"""Constructors from H, C and A by the names of ``--attention``."""
