"""One step of additive attention and its gradient; a fused kernel on a GPU (``additive_attention_triton``).

Results are written into tensors of the caller. Shapes: N sentences, S source time, H hidden, A width of the
comparison, C width of the context.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from textseq.nn.cells import Weights
from textseq.nn.kernels.autograd import refuse_second_derivatives
from textseq.nn.kernels.unroll import Accumulator, deferred

sigmoid_backward = torch.ops.aten.sigmoid_backward


Kernel = Callable[..., None]
"""A function with the signature of ``attend`` or of ``attend_backward``."""


def attend(
    query: Tensor, keys: Tensor, score: Tensor, padding: Tensor, values: Tensor, *, weights: Tensor, context: Tensor
) -> None:
    """Compute the softmax of v^T tanh(q + k), and the mean of the values weighted by it.

    Args:
        query: (N, A), as ``exp_2x`` returns it.
        keys: (N, S, A), as ``exp_2x`` returns them.
        score: v, (A,).
        padding: (N, S), minus infinity at padding, else 0.
        values: (N, S, C).
        weights: output, the softmax, (N, S).
        context: output, the weighted mean, (N, C).
    """
    r = sigmoid_of_sum(query.unsqueeze(1), keys)  # (N, S, A)
    scores = torch.addmv(padding.flatten(), r.flatten(0, 1), score, alpha=-2)  # of 1 - 2r: the sum of v is left out
    torch.softmax(scores.view_as(padding), dim=1, out=weights)
    torch.bmm(weights.unsqueeze(1), values, out=context.unsqueeze(1))


def attend_backward(
    query: Tensor, keys: Tensor, score: Tensor, values: Tensor, weights: Tensor, d_context: Tensor,
    *, d_query: Tensor, d_keys: Tensor, d_score: Tensor,
) -> None:  # fmt: skip
    """Compute the gradients of ``attend``, except that of the values, which is one product for all steps.

    Args:
        query, keys, score, values: inputs of ``attend``.
        weights: output of ``attend``, (N, S).
        d_context: gradient of the context, (N, C).
        d_query: output, gradient of the query before ``exp_2x``, (N, A).
        d_keys: the gradient of the keys divided by 4 v is added to it, (N, S, A).
        d_score: the gradient of v, for each sentence separately, is added to it, (N, A).
    """
    d_weights = torch.bmm(values, d_context.unsqueeze(2)).squeeze(2)  # (N, S)
    d_scores = weights * (d_weights - (weights * d_weights).sum(dim=1, keepdim=True))
    r = sigmoid_of_sum(query.unsqueeze(1), keys)  # recomputed: cheaper than keeping it
    d_score.unsqueeze(1).baddbmm_(d_scores.unsqueeze(1), r, alpha=-2)  # of 1 - 2r; a softmax's gradients sum to zero
    inner = sigmoid_backward(d_scores.unsqueeze(2), r)  # (N, S, A): tanh'(x) = 1 - tanh(x)^2 = 4 r (1 - r)
    d_keys += inner
    torch.mul(inner.sum(dim=1), 4 * score, out=d_query)


def fastest_kernels(keys: Tensor) -> tuple[Kernel, Kernel]:
    """``attend`` and ``attend_backward`` in Triton if it supports these keys, (N, S, A); else in torch's operations."""
    if keys.device.type == "cuda" and keys.dtype == torch.float32 and find_spec("triton"):
        from textseq.nn.kernels import additive_attention_triton as fused

        if keys.shape[1] <= fused.MAX_LENGTH:
            return fused.attend, fused.attend_backward
    return attend, attend_backward


def exp_2x(x: Tensor) -> Tensor:
    """e^(2x) of queries or keys, for ``sigmoid_of_sum``; in float32 at least.

    x is clamped to avoid overflow: in float32 to +-43, beyond which tanh of the sum is 1 or -1 except where the other
    term is nearly as large with the opposite sign.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    limit = math.log(torch.finfo(x.dtype).max) / 2 - 1
    return (2 * x.clamp(-limit, limit)).exp_()


def sigmoid_of_sum(query: Tensor, keys: Tensor) -> Tensor:
    """r = 1 / (1 + e^(2q) e^(2k)) = sigmoid(-2 (q + k)), so that tanh(q + k) = 1 - 2 r.

    One exponential per query and per key instead of one per pair: less than half the time of tanh (320 queries of
    width 512 with 14 keys each: 1.8 ms instead of 4.6 ms). Arguments: ``exp_2x`` of both, in shapes that broadcast.
    """
    return torch.addcmul(query.new_ones(()), query, keys).reciprocal_()


def deferred_attention(
    query_weight: Tensor, score: Tensor, keys: Tensor, values: Tensor, padding: Tensor
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Additive attention over a window, with the gradients of keys, values and v computed after its last step.

    Autograd would sum these gradients step by step: T times two tensors of the size of the whole memory.

    Args:
        query_weight: W, (A, H).
        score, values, padding: as for ``attend``.
        keys: (N, S, A), without ``exp_2x``.

    Returns:
        A function from a state (N, H) to the context (N, C) and the weights (N, S), which carry no gradient.
    """
    sums = _Sums()
    shared: tuple[Tensor, Tensor, Tensor] = _GradientOfMemory.apply(keys, values, score, sums)  # type: ignore[no-untyped-call]
    query = deferred(Weights(query_weight, score))

    def attend(h: Tensor) -> tuple[Tensor, Tensor]:
        projected = query.times(h)
        with torch.autocast(h.device.type, enabled=False):  # converting the memory would cost more
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
        """The weights (N, S) and the gradient of the context (N, C) of each step."""


class _Context(FunctionCtx):
    sums: _Sums
    saved_tensors: tuple[Tensor, ...]


class _GradientOfMemory(torch.autograd.Function):
    """Pass on keys (as ``exp_2x``), values and v; its backward pass runs after that of all steps that use them."""

    @staticmethod
    def forward(
        ctx: _Context, keys: Tensor, values: Tensor, score: Tensor, sums: _Sums
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.sums = sums
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(keys, values, score)
        return exp_2x(keys).contiguous(), values.contiguous().view_as(values), score.view_as(score)

    @staticmethod
    def backward(ctx: _Context, *_: Tensor | None) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        refuse_second_derivatives()
        keys, values, score = ctx.saved_tensors
        d_keys, d_score, steps = ctx.sums.keys, ctx.sums.score, ctx.sums.steps
        ctx.sums.clear()  # frees the window's tensors
        if d_keys is None or d_score is None:
            return None, None, None, None
        weights, contexts = (torch.stack(part, dim=1) for part in zip(*steps, strict=True))  # (N, T, S), (N, T, C)
        d_values = torch.bmm(weights.transpose(1, 2), contexts)
        return (4 * d_keys * score).to(keys.dtype), d_values.to(values.dtype), d_score.sum(dim=0), None


class _Attend(torch.autograd.Function):
    """``attend``; its backward pass adds to the sums from which ``_GradientOfMemory`` computes gradients."""

    @staticmethod
    def forward(
        ctx: _Context, query: Tensor, keys: Tensor, values: Tensor, score: Tensor, padding: Tensor, sums: _Sums
    ) -> tuple[Tensor, Tensor]:
        query, weights = exp_2x(query), torch.empty_like(padding)
        context = values.new_empty(len(values), values.shape[2])
        fastest_kernels(keys)[0](query, keys, score, padding, values, weights=weights, context=context)
        ctx.sums = sums
        ctx.save_for_backward(query, keys, weights, values, score)
        ctx.mark_non_differentiable(weights)
        return context, weights

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor, _: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        refuse_second_derivatives()
        query, keys, weights, values, score = ctx.saved_tensors
        sums = ctx.sums
        sums.open()
        sums.steps.append((weights, gradient))
        if sums.keys is None or sums.score is None:
            sums.keys, sums.score = torch.zeros_like(keys), torch.zeros_like(query)
        d_query = torch.empty_like(query)
        fastest_kernels(keys)[1](
            query, keys, score, values, weights, gradient, d_query=d_query, d_keys=sums.keys, d_score=sums.score
        )
        return d_query, None, None, None, None, None
