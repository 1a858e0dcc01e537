"""The GRU over a window with its gradient by hand, alone and with attention: training's fast path.

Autograd would note some thirty operations for every step, add up the gradient of the weights step by step, and keep
every tensor between. Here a step is ten operations, what it leaves goes into one tensor for the whole window, and all
gradients of weights are single products at the end. The equations are those of ``cells.gru_step`` and
``attention.Additive``, whose unrolled twins this is tested against. On a GPU the GRU alone is cuDNN's.

Shapes: T time, D directions, N batch, H hidden, S source time, A width of the comparison, C width of the context; time
comes first. Under autocast the products are in its number format, all else in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from textseq.attention import folded_exp, squashed
from textseq.layer import SIDES, input_gates
from textseq.unroll import product_format

tanh_backward = torch.ops.aten.tanh_backward
sigmoid_backward = torch.ops.aten.sigmoid_backward


def gru_layer(
    layer: nn.GRU, x: Tensor, state: Tensor, lengths: Tensor | None, masks: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """One layer over a window, both directions side by side.

    Each sentence is turned round within its own length for the second direction, so that what follows it is padding
    there too, which no real step sees.

    Args:
        layer: its weights.
        x: (T, N, E).
        state: before the first step, (D, N, H).
        lengths: real steps of each row, (N,), on the CPU; None: all are.
        masks: of the recurrent weights, one for each direction, (3H, H); none where nothing is dropped.

    Returns:
        Outputs (T, N, D*H), zero at padding, and the state after the last real step, (D, N, H).
    """
    steps, batch, _ = x.shape
    sides = SIDES[: len(state)]
    ends = torch.full((batch,), steps) if lengths is None else lengths
    times = torch.arange(steps).unsqueeze(1)
    real = (times < ends).to(x.device)  # (T, N)
    turned = torch.where(times < ends, ends - 1 - times, times).to(x.device).unsqueeze(2)  # (T, N, 1)
    inputs = [x, x.gather(0, turned.expand(-1, -1, x.shape[2]))] if len(sides) == 2 else [x]
    x_gates = torch.stack([input_gates(layer, side, y) for side, y in zip(sides, inputs, strict=True)], dim=1)
    hh = torch.stack([layer.get_parameter("weight_hh" + side) for side in sides])
    bias = torch.stack([layer.get_parameter("bias_hh" + side) for side in sides])
    outputs = gru_window(x_gates, state, hh * torch.stack([*masks]) if masks else hh, bias)
    last = (ends - 1).to(x.device).view(1, 1, batch, 1).expand(1, *state.shape)
    final = outputs.gather(0, last).squeeze(0)
    sides_y = [outputs[:, 0]]
    if len(sides) == 2:
        sides_y.append(outputs[:, 1].gather(0, turned.expand(-1, -1, state.shape[2])))
    y = torch.cat(sides_y, dim=2)
    return y if lengths is None else y * real.unsqueeze(2), final


def gru_window(x_gates: Tensor, state: Tensor, hh: Tensor, bias: Tensor) -> Tensor:
    """Run GRUs side by side over a window.

    Args:
        x_gates: the inputs' share of the gates, (T, D, N, 3H).
        state: before the first step, (D, N, H).
        hh: recurrent weights, (D, 3H, H).
        bias: recurrent bias, (D, 3H).

    Returns:
        The state after every step, (T, D, N, H).
    """
    made: Tensor = _Gru.apply(x_gates, state, hh, bias)  # type: ignore[no-untyped-call]
    return made


def attentive_gru_window(
    x_gates: Tensor,
    state: Tensor,
    hh: Tensor,
    bias: Tensor,
    context_weight: Tensor,
    query_weight: Tensor,
    score: Tensor,
    keys: Tensor,
    values: Tensor,
    padding: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Run a GRU over a window that looks at the source before every step, by additive attention.

    Args:
        x_gates: the words' share of the gates, (T, N, 3H).
        state: before the first step, (N, H).
        hh: recurrent weights, (3H, H).
        bias: recurrent bias, (3H,).
        context_weight: from the context to the gates, (3H, C).
        query_weight: from the state to the query, (A, H).
        score: v, (A,).
        keys: (N, S, A).
        values: (N, S, C).
        padding: (N, S), minus infinity at padding, else 0.

    Returns:
        The state after every step (T, N, H), the contexts (T, N, C), and the attention's weights (T, N, S), which
        carry no gradient.
    """
    made: tuple[Tensor, Tensor, Tensor] = _AttentiveGru.apply(  # type: ignore[no-untyped-call]
        x_gates, state, hh, bias, context_weight, query_weight, score, keys, values, padding
    )
    return made


class _Context(FunctionCtx):
    saved_tensors: tuple[Tensor, ...]


def _step(x: Tensor, h_gates: Tensor, h: Tensor, gates: Tensor, new: Tensor) -> None:
    """One step: the new state goes into ``new`` (..., H), the values of r, z and n into ``gates`` (..., 3H)."""
    two = 2 * h.shape[-1]
    torch.add(x[..., :two], h_gates[..., :two], out=gates[..., :two])
    gates[..., :two].sigmoid_()
    r, z, n = gates.chunk(3, dim=-1)
    torch.addcmul(x[..., two:], r, h_gates[..., two:], out=n)
    n.tanh_()
    torch.lerp(n, h, z, out=new)


def _step_back(dh: Tensor, gates: Tensor, h_n: Tensor, h: Tensor, dx: Tensor, dp: Tensor) -> None:
    """Its gradients: of the gates' input share into ``dx`` (..., 3H), of the recurrent product into ``dp``."""
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
        narrow = hh.to(product_format(hh))
        turned = narrow.transpose(1, 2)
        outputs = state.new_empty(steps, *state.shape)
        gates = torch.empty_like(x_gates)
        h_n = torch.empty_like(outputs)
        h, size = state, width // 3
        for t in range(steps):
            h_gates = torch.bmm(h.to(narrow.dtype), turned) + bias.unsqueeze(1)
            h_n[t] = h_gates[..., 2 * size :]
            _step(x_gates[t], h_gates, h, gates[t], outputs[t])
            h = outputs[t]
        ctx.save_for_backward(outputs, gates, h_n, state, narrow)
        return outputs

    @staticmethod
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        outputs, gates, h_n, state, hh = ctx.saved_tensors
        dx, dp = torch.empty_like(gates), torch.empty_like(gates)
        dh = torch.zeros_like(state)
        for t in reversed(range(len(outputs))):
            dh = dh + gradient[t]
            before = outputs[t - 1] if t else state
            _step_back(dh, gates[t], h_n[t], before, dx[t], dp[t])
            dh = (dh * gates[t].chunk(3, dim=-1)[1]).add_(torch.bmm(dp[t].to(hh.dtype), hh))
        before = torch.cat([state.unsqueeze(0), outputs[:-1]]).to(hh.dtype)
        d_hh = torch.einsum("tdng,tdnh->dgh", dp.to(hh.dtype), before).to(state.dtype)
        return dx, dh, d_hh, dp.sum(dim=(0, 2))


class _AttentiveGru(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context,
        x_gates: Tensor,
        state: Tensor,
        hh: Tensor,
        bias: Tensor,
        context_weight: Tensor,
        query_weight: Tensor,
        score: Tensor,
        keys: Tensor,
        values: Tensor,
        padding: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps, batch, width = x_gates.shape
        size, dtype = width // 3, product_format(hh)
        both = torch.cat([hh, query_weight]).to(dtype)  # (3H+A, H): one product for recurrence and query
        see = context_weight.to(dtype)
        outputs = state.new_empty(steps, batch, size)
        contexts = state.new_empty(steps, batch, values.shape[2])
        looks = state.new_empty(steps, *padding.shape)
        gates, h_n = torch.empty_like(x_gates), torch.empty_like(outputs)
        queries = state.new_empty(steps, batch, len(score))
        folded = folded_exp(keys)
        h = state
        with torch.autocast(state.device.type, enabled=False):
            for t in range(steps):
                product = (h.to(dtype) @ both.t()).to(state.dtype)
                h_gates = product[:, :width] + bias
                queries[t] = folded_exp(product[:, width:])
                h_n[t] = h_gates[:, 2 * size :]
                r = squashed(queries[t].unsqueeze(1), folded)  # (N, S, A)
                scores = torch.addmv(padding.flatten(), r.flatten(0, 1), score, alpha=-2)
                torch.softmax(scores.view_as(padding), dim=1, out=looks[t])
                contexts[t] = torch.bmm(looks[t].unsqueeze(1), values).squeeze(1)
                x = x_gates[t] + contexts[t].to(dtype) @ see.t()
                _step(x, h_gates, h, gates[t], outputs[t])
                h = outputs[t]
        ctx.save_for_backward(outputs, contexts, looks, gates, h_n, queries, state, both, see, score, folded, values)
        ctx.mark_non_differentiable(looks)
        return outputs, contexts, looks

    @staticmethod
    def backward(ctx: _Context, d_outputs: Tensor, d_contexts: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        outputs, contexts, looks, gates, h_n, queries, state, both, see, score, folded, values = ctx.saved_tensors
        dtype, width = both.dtype, gates.shape[2]
        dx = torch.empty_like(gates)
        dp = gates.new_empty(*gates.shape[:2], len(both))
        seen = torch.empty_like(contexts)  # gradients of the contexts
        d_keys, d_score = torch.zeros_like(folded), torch.zeros_like(score)
        weight = 4 * score  # tanh'(x) = 1 - tanh(x)^2 = 4 r (1 - r)
        dh = torch.zeros_like(state)
        for t in reversed(range(len(outputs))):
            dh = dh + d_outputs[t]
            before = outputs[t - 1] if t else state
            _step_back(dh, gates[t], h_n[t], before, dx[t], dp[t])
            torch.add(d_contexts[t], dx[t].to(dtype) @ see, out=seen[t])
            of_look = torch.bmm(values, seen[t].unsqueeze(2)).squeeze(2)  # (N, S)
            of_scores = looks[t] * (of_look - (looks[t] * of_look).sum(dim=1, keepdim=True))
            r = squashed(queries[t].unsqueeze(1), folded)  # again: cheaper than keeping it
            d_score.addmv_(r.flatten(0, 1).t(), of_scores.flatten(), alpha=-2)  # of 1 - 2r, but these sum to zero
            inner = sigmoid_backward(of_scores.unsqueeze(2), r)  # (N, S, A), but for the factor 4 v
            d_keys += inner
            torch.mul(inner.sum(dim=1), weight, out=dp[t, :, width:])
            dh = (dh * gates[t].chunk(3, dim=1)[1]).add_(dp[t].to(dtype) @ both)
        before = torch.cat([state.unsqueeze(0), outputs[:-1]]).to(dtype).flatten(0, 1)
        d_both = (dp.to(dtype).flatten(0, 1).t() @ before).to(state.dtype)
        d_see = (dx.to(dtype).flatten(0, 1).t() @ contexts.to(dtype).flatten(0, 1)).to(state.dtype)
        d_values = torch.bmm(looks.permute(1, 2, 0), seen.transpose(0, 1))
        d_bias = dp[:, :, :width].sum(dim=(0, 1))
        return (
            dx, dh, d_both[:width], d_bias, d_see, d_both[width:], d_score, d_keys * weight, d_values, None,
        )  # fmt: skip
