"""Attention: a query and what the encoder read -> where to look, and what is seen there.

What does not depend on the query is computed once for each sentence and kept in a ``Memory``. Shapes: N sentences,
S source time, C width of the encoder's outputs, H width of the decoder's state, A width of the comparison, K queries
of each sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from textseq.config.names import AttentionName
from textseq.nn.kernels.additive_attention import folded_exp, squashed

COMPARED, COMPARED_ON_GPU = 2**22, 2**26
"""Numbers that queries and keys are compared in at a time: they should fit the cache that a CPU's cores share; on a
GPU, where every part costs a launch, only the memory counts."""

Scorer = Callable[[Tensor], Tensor]
"""Queries (N, K, A) -> how well they fit the keys, (N, K, S), but for what all positions of a sentence share."""

Look = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Queries (N, K, A) -> contexts (N, K, C) and weights (N, K, S)."""


@dataclass(frozen=True)
class Memory:
    """What the encoder read of N sentences."""

    values: Tensor
    """Its outputs, (N, S, C), zero at padding."""
    keys: Tensor
    """The values in the shape that queries are compared with, (N, S, A), or (N, S, H), by the attention."""
    padding: Tensor
    """(N, S), minus infinity at padding and 0 elsewhere: added to the scores, it makes padding invisible."""
    summary: Tensor
    """What the encoder knew after its last step in either direction, (N, C)."""

    def select(self, sentences: Tensor) -> Memory:
        """The memory of some of the sentences, (M,) indices; their common padding goes too."""
        padding = self.padding[sentences]
        length = int((padding == 0).sum(dim=1).max())
        return Memory(
            self.values[sentences, :length],
            self.keys[sentences, :length],
            padding[:, :length],
            self.summary[sentences],
        )


class Attention(nn.Module):
    """What every attention has: keys made once, a query for each state, scores of queries and keys."""

    def keys(self, values: Tensor) -> Tensor:
        """What queries are compared with: (N, S, C) -> (N, S, A)."""
        return values

    def query(self, h: Tensor) -> Tensor:
        """The decoder's state as a question: (..., H) -> (..., A)."""
        return h

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """How well they fit: (N, K, A) and (N, S, A) -> (N, K, S)."""
        return torch.bmm(query, keys.transpose(1, 2))

    def query_weights(self) -> Tensor | None:
        """The matrix (A, H) that makes the query; None: it is the state itself."""
        return None

    def scorer(self, keys: Tensor) -> Scorer:
        """``scores`` for many steps of writing that look at the same keys, (N, S, A)."""
        return lambda query: self.scores(query, keys)

    def forward(self, h: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Look at each sentence from K states of the decoder.

        Args:
            h: (N, K, H).
            memory: of the N sentences.

        Returns:
            The contexts (N, K, C), and the weights (N, K, S), which sum to one and are zero at padding.
        """
        return self._look(self.scores(self.query(h), memory.keys), memory)

    def over(self, memory: Memory) -> Look:
        """``forward`` from queries that are made already, for many steps of writing over the same memory."""
        fit = self.scorer(memory.keys)
        return lambda query: self._look(fit(query), memory)

    @staticmethod
    def _look(scores: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        exact = torch.promote_types(scores.dtype, torch.float32)
        weights = (scores.to(exact) + memory.padding.unsqueeze(1)).softmax(dim=2)
        return torch.bmm(weights.to(memory.values.dtype), memory.values), weights


class Additive(Attention):
    """A small network: v^T tanh(W s + U h_j + b) (Bahdanau et al. 2015, appendix A.1.2)."""

    def __init__(self, hidden_size: int, value_size: int, size: int) -> None:
        super().__init__()
        self.query_weight = nn.Linear(hidden_size, size, bias=False)
        self.key_weight = nn.Linear(value_size, size)
        self.score = nn.Parameter(torch.empty(size).uniform_(-(size**-0.5), size**-0.5))

    def keys(self, values: Tensor) -> Tensor:
        """U h_j + b for every j: it does not depend on the step."""
        made: Tensor = self.key_weight(values)
        return made

    def query(self, h: Tensor) -> Tensor:
        """W s."""
        made: Tensor = self.query_weight(h)
        return made

    def query_weights(self) -> Tensor | None:
        """W."""
        return self.query_weight.weight

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """v^T tanh(query + key)."""
        return self._compare(lambda asked, known: (asked + known).tanh_(), self.score.to(keys.dtype), query, keys)

    def scorer(self, keys: Tensor) -> Scorer:
        """``scores`` by ``squashed``: -2 v^T r is left, for the sum of v is the same at all positions."""
        folded = folded_exp(keys)
        score = -2 * self.score.to(folded.dtype)
        return lambda query: self._compare(squashed, score, folded_exp(query), folded)

    @staticmethod
    def _compare(how: Callable[[Tensor, Tensor], Tensor], score: Tensor, query: Tensor, keys: Tensor) -> Tensor:
        """Some sentences at a time, for what is compared is K times as large as the keys."""
        most = COMPARED if keys.device.type == "cpu" else COMPARED_ON_GPU
        some = max(1, most // (query.shape[1] * keys[0].numel()))
        parts = zip(torch.split(query, some), torch.split(keys, some), strict=True)
        return torch.cat([how(asked.unsqueeze(2), known.unsqueeze(1)) @ score for asked, known in parts])


class General(Attention):
    """A product with a matrix between: s^T W h_j (Luong et al. 2015, equation 8)."""

    def __init__(self, hidden_size: int, value_size: int, size: int) -> None:
        super().__init__()
        self.key_weight = nn.Linear(value_size, hidden_size, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """W h_j for every j."""
        made: Tensor = self.key_weight(values)
        return made


class Dot(Attention):
    """The product s^T h_j itself (Luong et al. 2015, equation 8); wants H = C."""

    def __init__(self, hidden_size: int, value_size: int, size: int) -> None:
        super().__init__()


class Fixed(Attention):
    """No attention: every step sees the encoder's last states (Cho et al. 2014; Sutskever et al. 2014)."""

    def __init__(self, hidden_size: int, value_size: int, size: int) -> None:
        super().__init__()

    def over(self, memory: Memory) -> Look:
        """The query does not matter."""
        return lambda query: self(query, memory)

    def forward(self, h: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """The summary as the context of every state; the weights are those of a look at all alike."""
        real = (memory.padding == 0).to(memory.padding.dtype)
        weights = (real / real.sum(dim=1, keepdim=True)).unsqueeze(1).expand(-1, h.shape[1], -1)
        return memory.summary.unsqueeze(1).expand(-1, h.shape[1], -1), weights


ATTENTIONS: dict[AttentionName, Callable[[int, int, int], Attention]] = {
    "additive": Additive,
    "general": General,
    "dot": Dot,
    "none": Fixed,
}
"""Made from H, C and A."""
