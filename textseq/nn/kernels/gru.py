"""The GRU over a window with a hand-written gradient, alone and with attention: the fast path of training.

Autograd would record some thirty operations per step, sum the gradient of the weights step by step and keep every
intermediate tensor. Here a step is ten operations, its results go into one tensor for the whole window, and each weight
gradient is a single product at the end. The equations are those of ``cells.gru_step`` and
``attention.AdditiveAttention``, the reference implementations. On a GPU the GRU alone is cuDNN's.

Shapes: T time, D directions, N batch, H hidden, S source time, A width of the comparison, C width of the context; time
comes first. Under autocast the products are in its dtype, all else in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from textseq.nn.kernels.additive_attention import exp_2x, fastest_kernels
from textseq.nn.kernels.autograd import product_dtype, refuse_second_derivatives
from textseq.nn.kernels.cuda_graphs import Recorded, Slot
from textseq.nn.rnn_layer import SUFFIXES, input_gates, weight_of

tanh_backward = torch.ops.aten.tanh_backward

sigmoid_backward = torch.ops.aten.sigmoid_backward


def gru_window(x_gates: Tensor, state: Tensor, hh: Tensor, bias: Tensor) -> Tensor:
    """Run D GRUs side by side over a window.

    From the input's share of the gates (T, D, N, 3H), the state before the first step (D, N, H), recurrent weights
    (D, 3H, H) and bias (D, 3H), to the state after every step (T, D, N, H).
    """
    states: Tensor = _Gru.apply(x_gates, state, hh, bias)  # type: ignore[no-untyped-call]
    return states


def gru_layer(
    layer: nn.GRU, x: Tensor, state: Tensor, lengths: Tensor | None, masks: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """``fused_layer`` for a GRU, both directions side by side; the state is one tensor, (D, N, H).

    For the second direction each row is reversed within its own length, so that padding comes last there too.
    """
    steps, batch, _ = x.shape
    suffixes = SUFFIXES[: len(state)]
    ends = torch.full((batch,), steps) if lengths is None else lengths
    times = torch.arange(steps).unsqueeze(1)
    real = (times < ends).to(x.device)  # (T, N)
    reverse = torch.where(times < ends, ends - 1 - times, times).to(x.device).unsqueeze(2)  # (T, N, 1)
    inputs = [x, x.gather(0, reverse.expand(-1, -1, x.shape[2]))] if len(suffixes) == 2 else [x]
    x_gates = torch.stack([input_gates(layer, suffix, y) for suffix, y in zip(suffixes, inputs, strict=True)], dim=1)
    hh = torch.stack([weight_of(layer, "weight_hh" + suffix) for suffix in suffixes])
    bias = torch.stack([weight_of(layer, "bias_hh" + suffix) for suffix in suffixes])
    outputs = gru_window(x_gates, state, hh * torch.stack([*masks]) if masks else hh, bias)
    last = (ends - 1).to(x.device).view(1, 1, batch, 1).expand(1, *state.shape)
    final = outputs.gather(0, last).squeeze(0)
    by_direction = [outputs[:, 0]]
    if len(suffixes) == 2:
        by_direction.append(outputs[:, 1].gather(0, reverse.expand(-1, -1, state.shape[2])))
    y = torch.cat(by_direction, dim=2)
    return y if lengths is None else y * real.unsqueeze(2), final


def attention_gru_window(
    x_gates: Tensor, state: Tensor, hh: Tensor, bias: Tensor, context_weight: Tensor, query_weight: Tensor,
    score: Tensor, keys: Tensor, values: Tensor, padding: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Run a GRU over a window, with additive attention to the source before every step.

    Args:
        x_gates: the word's share of the gates, (T, N, 3H).
        state: before the first step, (N, H).
        hh, bias: recurrent weights, (3H, H), and bias, (3H,).
        context_weight: from the context to the gates, (3H, C).
        query_weight: from the state to the query, (A, H).
        score, keys, values, padding: as for ``deferred_attention``.

    Returns:
        The state after every step (T, N, H), the contexts (T, N, C), and the attention's weights (T, N, S), which
        carry no gradient.
    """
    outputs: tuple[Tensor, Tensor, Tensor] = _AttentionGru.apply(  # type: ignore[no-untyped-call]
        x_gates, state, hh, bias, context_weight, query_weight, score, keys, values, padding
    )
    return outputs


class _Context(FunctionCtx):
    saved_tensors: tuple[Tensor, ...]


def _step(x: Tensor, h_gates: Tensor, h: Tensor, gates: Tensor, new: Tensor) -> None:
    """One step: writes the new state to ``new`` (..., H), and r, z and n to ``gates`` (..., 3H)."""
    two = 2 * h.shape[-1]
    torch.add(x[..., :two], h_gates[..., :two], out=gates[..., :two])
    gates[..., :two].sigmoid_()
    r, z, n = gates.chunk(3, dim=-1)
    torch.addcmul(x[..., two:], r, h_gates[..., two:], out=n)
    n.tanh_()
    torch.lerp(n, h, z, out=new)


def _step_backward(dh: Tensor, gates: Tensor, h_n: Tensor, h: Tensor, dx: Tensor, dp: Tensor) -> None:
    """Backward of ``_step``: writes the gradients of ``x`` to ``dx`` (..., 3H) and of ``h_gates`` to ``dp``."""
    size = h.shape[-1]
    r, z, n = gates.chunk(3, dim=-1)
    dx_n = dx[..., 2 * size :]
    torch.addcmul(dh, dh, z, value=-1, out=dx_n)  # dh (1 - z)
    dx_n.copy_(tanh_backward(dx_n, n))
    torch.mul(dx_n, h_n, out=dx[..., :size])
    torch.mul(dh, h - n, out=dx[..., size : 2 * size])
    dx[..., : 2 * size].copy_(sigmoid_backward(dx[..., : 2 * size], gates[..., : 2 * size]))
    dp[..., : 2 * size].copy_(dx[..., : 2 * size])
    torch.mul(dx_n, r, out=dp[..., 2 * size : 3 * size])


class _Gru(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, x_gates: Tensor, state: Tensor, hh: Tensor, bias: Tensor) -> Tensor:
        steps, _, _, width = x_gates.shape
        narrow = hh.to(product_dtype(hh))
        transposed = narrow.transpose(1, 2)
        outputs = state.new_empty(steps, *state.shape)
        gates = torch.empty_like(x_gates)
        h_n = torch.empty_like(outputs)
        h, size = state, width // 3
        for t in range(steps):
            h_gates = torch.bmm(h.to(narrow.dtype), transposed) + bias.unsqueeze(1)
            h_n[t] = h_gates[..., 2 * size :]
            _step(x_gates[t], h_gates, h, gates[t], outputs[t])
            h = outputs[t]
        ctx.save_for_backward(outputs, gates, h_n, state, narrow)
        return outputs

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        refuse_second_derivatives()
        outputs, gates, h_n, state, hh = ctx.saved_tensors
        dx, dp = torch.empty_like(gates), torch.empty_like(gates)
        dh = torch.zeros_like(state)
        for t in reversed(range(len(outputs))):
            dh = dh + gradient[t]
            before = outputs[t - 1] if t else state
            _step_backward(dh, gates[t], h_n[t], before, dx[t], dp[t])
            dh = (dh * gates[t].chunk(3, dim=-1)[1]).add_(torch.bmm(dp[t].to(hh.dtype), hh))
        before = torch.cat([state.unsqueeze(0), outputs[:-1]]).to(hh.dtype)
        d_hh = torch.einsum("tdng,tdnh->dgh", dp.to(hh.dtype), before).to(state.dtype)
        return dx, dh, d_hh, dp.sum(dim=(0, 2))


def _attention_forward(
    x_gates: Tensor, state: Tensor, both: Tensor, bias: Tensor, context_weight: Tensor, score: Tensor,
    keys: Tensor, values: Tensor, padding: Tensor,
) -> tuple[Tensor, ...]:  # fmt: skip
    """The loop over steps: outputs, contexts, weights, gates, h_n and queries (as ``exp_2x``) of all of them.

    ``both`` is [U; W] (3H+A, H), one product for recurrence and query; keys are as ``exp_2x``.
    """
    steps, batch, width = x_gates.shape
    size, dtype = width // 3, both.dtype
    outputs = state.new_empty(steps, batch, size)
    contexts = state.new_empty(steps, batch, values.shape[2])
    weights = state.new_empty(steps, *padding.shape)
    gates, h_n = torch.empty_like(x_gates), torch.empty_like(outputs)
    queries = state.new_empty(steps, batch, len(score))
    attend, _ = fastest_kernels(keys)
    h = state
    with torch.autocast(state.device.type, enabled=False):
        for t in range(steps):
            product = (h.to(dtype) @ both.t()).to(state.dtype)  # recurrence and query
            h_gates = product[:, :width] + bias
            queries[t] = exp_2x(product[:, width:])
            h_n[t] = h_gates[:, 2 * size :]
            attend(queries[t], keys, score, padding, values, weights=weights[t], context=contexts[t])
            x = x_gates[t] + contexts[t].to(dtype) @ context_weight.t()
            _step(x, h_gates, h, gates[t], outputs[t])
            h = outputs[t]
    return outputs, contexts, weights, gates, h_n, queries


def _attention_backward(d_outputs: Tensor, d_contexts: Tensor, *saved: Tensor) -> tuple[Tensor, ...]:
    """The loop back over steps.

    Returns:
        Gradients of the gates' input shares, of recurrence and query, of the contexts, of the first state, of the keys
        divided by 4 v, and of v for each sentence.
    """
    outputs, contexts, weights, gates, h_n, queries, state, both, context_weight, score, keys, values = saved
    dtype, width = both.dtype, gates.shape[2]
    dx = torch.empty_like(gates)
    dp = gates.new_empty(*gates.shape[:2], len(both))
    d_context = torch.empty_like(contexts)
    d_keys, d_score = torch.zeros_like(keys), torch.zeros_like(queries[0])
    _, attend_backward = fastest_kernels(keys)
    dh = torch.zeros_like(state)
    for t in reversed(range(len(outputs))):
        dh = dh + d_outputs[t]
        before = outputs[t - 1] if t else state
        _step_backward(dh, gates[t], h_n[t], before, dx[t], dp[t])
        torch.add(d_contexts[t], dx[t].to(dtype) @ context_weight, out=d_context[t])
        step = queries[t], keys, score, values, weights[t], d_context[t]
        attend_backward(*step, d_query=dp[t, :, width:], d_keys=d_keys, d_score=d_score)
        dh = (dh * gates[t].chunk(3, dim=1)[1]).add_(dp[t].to(dtype) @ both)
    return dx, dp, d_context, dh, d_keys, d_score


# Lengths are rounded up, so that many share a recording: source padding has a weight of zero, and steps after the last
# one add nothing in the backward loop.
_STEPS, _SOURCES, _EXACT = Slot("T"), Slot(".S"), Slot()

_forward_recorded = Recorded(
    _attention_forward,
    (_STEPS, *[_EXACT] * 5, _SOURCES, _SOURCES, Slot(".S", -torch.inf)),
    (_STEPS, _STEPS, Slot("T.S"), *[_STEPS] * 3),
)

_backward_recorded = Recorded(
    _attention_backward,
    (*[_STEPS] * 4, Slot("T.S"), *[_STEPS] * 3, *[_EXACT] * 4, _SOURCES, _SOURCES),
    (*[_STEPS] * 3, _EXACT, _SOURCES, _EXACT),
)


class _AttentionGru(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x_gates, state, hh, bias, context_weight, query_weight, score, keys, values, padding = inputs
        dtype = product_dtype(hh)
        both = torch.cat([hh, query_weight]).to(dtype)  # (3H+A, H)
        context_weight = context_weight.to(dtype)
        keys, values = exp_2x(keys).contiguous(), values.contiguous()
        run = _forward_recorded if state.is_cuda else _attention_forward
        source = keys, values, padding.contiguous()
        outputs, contexts, weights, *rest = run(x_gates, state, both, bias, context_weight, score, *source)
        ctx.save_for_backward(outputs, contexts, weights, *rest, state, both, context_weight, score, keys, values)
        ctx.mark_non_differentiable(weights)
        return outputs, contexts, weights

    @staticmethod
    def backward(ctx: _Context, d_outputs: Tensor, d_contexts: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivatives()
        outputs, contexts, weights, _, _, _, state, both, _, score, _, _ = ctx.saved_tensors
        run = _backward_recorded if state.is_cuda else _attention_backward
        dx, dp, d_context, dh, d_keys, d_score = run(d_outputs, d_contexts, *ctx.saved_tensors)
        dtype, width = both.dtype, dx.shape[2]
        before = torch.cat([state.unsqueeze(0), outputs[:-1]]).to(dtype).flatten(0, 1)
        d_both = (dp.to(dtype).flatten(0, 1).t() @ before).to(state.dtype)
        d_context_weight = (dx.to(dtype).flatten(0, 1).t() @ contexts.to(dtype).flatten(0, 1)).to(state.dtype)
        d_values = torch.bmm(weights.permute(1, 2, 0), d_context.transpose(0, 1))
        d_bias = dp[:, :, :width].sum(dim=(0, 1))
        return (
            dx, dh, d_both[:width], d_bias, d_context_weight, d_both[width:], d_score.sum(dim=0), d_keys * (4 * score),
            d_values, None,
        )  # fmt: skip
