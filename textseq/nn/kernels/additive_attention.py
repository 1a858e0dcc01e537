"""One step of additive attention and its gradient; on a GPU fused (``additive_attention_triton``).

Everything is written into tensors that the caller owns. Queries and keys come as ``folded_exp`` makes them.
Shapes: N sentences, S source time, H hidden, A width of the comparison, C width of the context.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec
from typing import Protocol

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from textseq.nn.cells import Weights
from textseq.nn.kernels.unroll import Accumulator, deferred

sigmoid_backward = torch.ops.aten.sigmoid_backward


class AttendStep(Protocol):
    """One step of attention: softmax of v^T tanh(q + k), and the mean of the values by it.

    Args:
        query: (N, A), folded.
        keys: (N, S, A), folded.
        score: v, (A,).
        padding: (N, S), minus infinity at padding, else 0.
        values: (N, S, C).
        weights: output, the softmax, (N, S).
        context: output, the mean, (N, C).
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


class AttendBackward(Protocol):
    """The gradients of a step, except that of the values, which is one product for all steps.

    Args:
        query: (N, A), folded.
        keys: (N, S, A), folded.
        score: v, (A,).
        values: (N, S, C).
        weights: the step's output, (N, S).
        d_context: gradient of the context, (N, C).
        d_query: output, gradient of the query before it was folded, (N, A).
        d_keys: the gradient of the keys over 4 v is added to it, (N, S, A).
        d_score: the gradient of v, for each sentence separately, is added to it, (N, A).
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


def attend(
    query: Tensor, keys: Tensor, score: Tensor, padding: Tensor, values: Tensor, *, weights: Tensor, context: Tensor
) -> None:
    """``AttendStep`` in torch's operations."""
    r = squashed(query.unsqueeze(1), keys)  # (N, S, A)
    scores = torch.addmv(padding.flatten(), r.flatten(0, 1), score, alpha=-2)  # of 1 - 2r: the sum of v is left out
    torch.softmax(scores.view_as(padding), dim=1, out=weights)
    torch.bmm(weights.unsqueeze(1), values, out=context.unsqueeze(1))


def attend_backward(
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
    """``AttendBackward`` in torch's operations."""
    d_weights = torch.bmm(values, d_context.unsqueeze(2)).squeeze(2)  # (N, S)
    d_scores = weights * (d_weights - (weights * d_weights).sum(dim=1, keepdim=True))
    r = squashed(query.unsqueeze(1), keys)  # recomputed: cheaper than keeping it
    d_score.unsqueeze(1).baddbmm_(d_scores.unsqueeze(1), r, alpha=-2)  # of 1 - 2r; a softmax's gradients sum to zero
    inner = sigmoid_backward(d_scores.unsqueeze(2), r)  # (N, S, A): tanh'(x) = 1 - tanh(x)^2 = 4 r (1 - r)
    d_keys += inner
    torch.mul(inner.sum(dim=1), 4 * score, out=d_query)


def best_for(keys: Tensor) -> tuple[AttendStep, AttendBackward]:
    """The fastest implementations for these keys, (N, S, A)."""
    if keys.device.type == "cuda" and keys.dtype == torch.float32 and find_spec("triton"):
        from textseq.nn.kernels import additive_attention_triton as fused

        if keys.shape[1] <= fused.LONGEST:
            return fused.attend, fused.attend_backward
    return attend, attend_backward


def folded_exp(x: Tensor) -> Tensor:
    """e^(2x), of queries and of keys, for ``squashed``; in 32 bits at least.

    x is clamped before that overflows: in 32 bits at 43, where the other must be nearly as far off on the other side
    for their tanh to be anything but 1 or -1.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    most = math.log(torch.finfo(x.dtype).max) / 2 - 1
    return (2 * x.clamp(-most, most)).exp_()


def squashed(query: Tensor, keys: Tensor) -> Tensor:
    """r = 1 / (1 + e^(2q) e^(2k)), of which tanh(q + k) = 1 - 2 r.

    The exponential of a sum is a product, so it need not be computed for every query with every key: this takes less
    than half as long as tanh (320 queries of 512 numbers with 14 keys each: 1.8 ms instead of 4.6).

    Args:
        query: ``folded_exp`` of queries.
        keys: ``folded_exp`` of keys, in a shape that broadcasts with the queries.
    """
    return torch.addcmul(query.new_ones(()), query, keys).reciprocal_()


def deferred_attention(
    query_weight: Tensor, score: Tensor, keys: Tensor, values: Tensor, padding: Tensor
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Additive attention over a window, with the gradients of keys, values and v computed after its last step.

    Autograd would add up the gradient of all keys and all values step by step: T times two tensors as large as the
    whole memory.

    Args:
        query_weight: W, (A, H).
        score: v, (A,).
        keys: (N, S, A), not folded.
        values: (N, S, C).
        padding: (N, S), minus infinity at padding, else 0.

    Returns:
        From a state (N, H) to context (N, C) and weights (N, S), which carry no gradient.
    """
    sums = _Sums()
    shared: tuple[Tensor, Tensor, Tensor] = _GradientOfMemory.apply(keys, values, score, sums)  # type: ignore[no-untyped-call]
    query = deferred(Weights(query_weight, score))

    def attend(h: Tensor) -> tuple[Tensor, Tensor]:
        projected = query.times(h)
        with torch.autocast(h.device.type, enabled=False):  # small products over much memory: narrowing costs more
            result: tuple[Tensor, Tensor] = _Attend.apply(projected, *shared, padding, sums)  # type: ignore[no-untyped-call]
        return result

    return attend


class _Sums(Accumulator):
    def clear(self) -> None:
        self.keys: Tensor | None = None
        """Gradient of the keys over four times v, (N, S, A)."""
        self.score: Tensor | None = None
        """Gradient of v, for each sentence separately, (N, A)."""
        self.steps: list[tuple[Tensor, Tensor]] = []
        """For each step the weights (N, S), and the gradient of the context (N, C)."""


class _Context(FunctionCtx):
    """What the two functions below keep for their backward passes."""

    sums: _Sums
    saved_tensors: tuple[Tensor, ...]


class _GradientOfMemory(torch.autograd.Function):
    """Pass folded keys, values and v on; its backward pass runs after that of all the steps that use them."""

    @staticmethod
    def forward(
        ctx: _Context, keys: Tensor, values: Tensor, score: Tensor, sums: _Sums
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.sums = sums
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(keys, values, score)
        return folded_exp(keys).contiguous(), values.contiguous().view_as(values), score.view_as(score)

    @staticmethod
    def backward(ctx: _Context, *_: Tensor | None) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        keys, values, score = ctx.saved_tensors
        d_keys, d_score, steps = ctx.sums.keys, ctx.sums.score, ctx.sums.steps
        ctx.sums.clear()  # frees the window's tensors
        if d_keys is None or d_score is None:
            return None, None, None, None
        weights, contexts = (torch.stack(part, dim=1) for part in zip(*steps, strict=True))  # (N, T, S), (N, T, C)
        d_values = torch.bmm(weights.transpose(1, 2), contexts)
        return (4 * d_keys * score).to(keys.dtype), d_values.to(values.dtype), d_score.sum(dim=0), None


class _Attend(torch.autograd.Function):
    """v^T tanh(query + key) -> softmax -> context; the gradients that ``_GradientOfMemory`` makes are only summed here.

    The weights that it returns carry no gradient.
    """

    @staticmethod
    def forward(
        ctx: _Context, query: Tensor, keys: Tensor, values: Tensor, score: Tensor, padding: Tensor, sums: _Sums
    ) -> tuple[Tensor, Tensor]:
        query, weights = folded_exp(query), torch.empty_like(padding)
        context = values.new_empty(len(values), values.shape[2])
        step, _ = best_for(keys)
        step(query, keys, score, padding, values, weights=weights, context=context)
        ctx.sums = sums
        ctx.save_for_backward(query, keys, weights, values, score)
        ctx.mark_non_differentiable(weights)
        return context, weights

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor, _: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        query, keys, weights, values, score = ctx.saved_tensors
        sums = ctx.sums
        sums.open()
        sums.steps.append((weights, gradient))
        if sums.keys is None or sums.score is None:
            sums.keys, sums.score = torch.zeros_like(keys), torch.zeros_like(query)
        d_query = torch.empty_like(query)
        step_backward = best_for(keys)[1]
        step_backward(
            query, keys, score, values, weights, gradient, d_query=d_query, d_keys=sums.keys, d_score=sums.score
        )
        return d_query, None, None, None, None, None
