"""One step of additive attention and its gradient as one Triton kernel each, for NVIDIA GPUs.

torch's operations write and read tensors of (N, S, A) several times per step; here they stay in registers, and the
backward pass recomputes them. One program handles one sentence: no two programs add to the same number, so sums have
the same order every time.

All tensors are float32; keys, values, queries and outputs are contiguous, except for the gradient of the query. Without
a GPU, ``TRITON_INTERPRET=1`` runs the kernels on the CPU, for tests.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

MAX_LENGTH = 2048
"""Maximum number of source positions of a program."""

TILE = 4096
"""Elements of the comparison that a program keeps in registers at a time."""


@triton.jit
def _compare(query, keys, a, s, real, width, n, length):
    """``sigmoid_of_sum`` of the columns ``a`` at positions ``s`` of sentence n, and the mask of valid elements."""
    inside = real[:, None] & (a < width)[None, :]
    q = tl.load(query + n * width + a, mask=a < width, other=0.0)
    k = tl.load(keys + (n * length + s)[:, None] * width + a[None, :], mask=inside, other=0.0)
    return 1.0 / (1.0 + q[None, :] * k), inside


@triton.jit
def _attend(
    query, keys, score, padding, values, weights, context, length, width, depth,
    POSITIONS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64)
    s = tl.arange(0, POSITIONS)
    real = s < length
    scores = tl.load(padding + n * length + s, mask=real, other=float("-inf"))
    for first in range(0, width, COLUMNS):
        a = first + tl.arange(0, COLUMNS)
        r, _ = _compare(query, keys, a, s, real, width, n, length)
        v = tl.load(score + a, mask=a < width, other=0.0)
        scores -= 2.0 * tl.sum(r * v[None, :], axis=1)
    share = tl.exp(scores - tl.max(scores, axis=0))
    share = share / tl.sum(share, axis=0)
    tl.store(weights + n * length + s, share, mask=real)
    for first in range(0, depth, COLUMNS):
        c = first + tl.arange(0, COLUMNS)
        inside = real[:, None] & (c < depth)[None, :]
        value = tl.load(values + (n * length + s)[:, None] * depth + c[None, :], mask=inside, other=0.0)
        tl.store(context + n * depth + c, tl.sum(value * share[:, None], axis=0), mask=c < depth)


@triton.jit
def _attend_backward(
    query, keys, score, values, weights, d_context, d_query, d_keys, d_score, length, width, depth,
    POSITIONS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64)
    s = tl.arange(0, POSITIONS)
    real = s < length
    d_weights = tl.zeros((POSITIONS,), tl.float32)
    for first in range(0, depth, COLUMNS):
        c = first + tl.arange(0, COLUMNS)
        inside = real[:, None] & (c < depth)[None, :]
        value = tl.load(values + (n * length + s)[:, None] * depth + c[None, :], mask=inside, other=0.0)
        gradient = tl.load(d_context + n * depth + c, mask=c < depth, other=0.0)
        d_weights += tl.sum(value * gradient[None, :], axis=1)
    share = tl.load(weights + n * length + s, mask=real, other=0.0)
    d_scores = share * (d_weights - tl.sum(share * d_weights, axis=0))
    for first in range(0, width, COLUMNS):
        a = first + tl.arange(0, COLUMNS)
        r, inside = _compare(query, keys, a, s, real, width, n, length)
        inner = d_scores[:, None] * r * (1.0 - r)
        place = d_keys + (n * length + s)[:, None] * width + a[None, :]
        tl.store(place, tl.load(place, mask=inside, other=0.0) + inner, mask=inside)
        v = tl.load(score + a, mask=a < width, other=0.0)
        tl.store(d_query + n * width + a, 4.0 * v * tl.sum(inner, axis=0), mask=a < width)
        total = d_score + n * width + a
        so_far = tl.load(total, mask=a < width, other=0.0)
        tl.store(total, so_far - 2.0 * tl.sum(d_scores[:, None] * r, axis=0), mask=a < width)


def _sizes(keys: Tensor, values: Tensor) -> tuple[tuple[int, int, int], dict[str, int]]:
    """Size arguments and tile of both kernels."""
    length, width = keys.shape[1:]
    positions = triton.next_power_of_2(length)
    return (length, width, values.shape[2]), {"POSITIONS": positions, "COLUMNS": max(2, min(128, TILE // positions))}


def attend(
    query: Tensor, keys: Tensor, score: Tensor, padding: Tensor, values: Tensor, *, weights: Tensor, context: Tensor
) -> None:
    """``additive_attention.attend`` as one kernel."""
    sizes, tile = _sizes(keys, values)
    with torch.cuda.device_of(keys):  # with several GPUs
        _attend[(len(keys),)](query, keys, score, padding.contiguous(), values, weights, context, *sizes, **tile)


def attend_backward(
    query: Tensor, keys: Tensor, score: Tensor, values: Tensor, weights: Tensor, d_context: Tensor,
    *, d_query: Tensor, d_keys: Tensor, d_score: Tensor,
) -> None:  # fmt: skip
    """``additive_attention.attend_backward`` as one kernel."""
    sizes, tile = _sizes(keys, values)
    d_context = d_context.contiguous()
    target = d_query if d_query.is_contiguous() else torch.empty_like(query)
    with torch.cuda.device_of(keys):
        _attend_backward[(len(keys),)](
            query, keys, score, values, weights, d_context, target, d_keys, d_score, *sizes, **tile
        )
    if target is not d_query:
        d_query.copy_(target)
