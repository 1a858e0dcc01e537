"""``additive``'s look and its gradient as one kernel each, in Triton, for NVIDIA's GPUs.

In torch's operations a look writes and reads (N, S, A) numbers several times; here they live in registers, in the
backward pass too, where they are made again. One program has one sentence, so that nothing is added by two at once and
the sums have the same order every time.

It wants tensors of float32; keys, values and queries are to be contiguous, and so is what is written, but for the
query's gradient. Without a GPU, ``TRITON_INTERPRET=1`` runs the kernels on the CPU, for tests.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

LONGEST = 2048
"""Source positions that a program holds at most."""

TILE = 4096
"""Numbers of a comparison that a program has in its registers at a time."""


@triton.jit
def _compare(query, keys, a, s, real, width, n, length):
    """r of some columns ``a`` at all positions ``s`` of a sentence, and where there are any."""
    inside = real[:, None] & (a < width)[None, :]
    asked = tl.load(query + n * width + a, mask=a < width, other=0.0)
    known = tl.load(keys + (n * length + s)[:, None] * width + a[None, :], mask=inside, other=0.0)
    return 1.0 / (1.0 + asked[None, :] * known), inside


@triton.jit
def _look(
    query, keys, score, padding, values, weights, context, length, width, depth,
    POSITIONS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64)
    s = tl.arange(0, POSITIONS)
    real = s < length
    fit = tl.load(padding + n * length + s, mask=real, other=float("-inf"))
    for first in range(0, width, COLUMNS):
        a = first + tl.arange(0, COLUMNS)
        r, _ = _compare(query, keys, a, s, real, width, n, length)
        v = tl.load(score + a, mask=a < width, other=0.0)
        fit -= 2.0 * tl.sum(r * v[None, :], axis=1)
    share = tl.exp(fit - tl.max(fit, axis=0))
    share = share / tl.sum(share, axis=0)
    tl.store(weights + n * length + s, share, mask=real)
    for first in range(0, depth, COLUMNS):
        c = first + tl.arange(0, COLUMNS)
        inside = real[:, None] & (c < depth)[None, :]
        seen = tl.load(values + (n * length + s)[:, None] * depth + c[None, :], mask=inside, other=0.0)
        tl.store(context + n * depth + c, tl.sum(seen * share[:, None], axis=0), mask=c < depth)


@triton.jit
def _look_back(
    query, keys, score, values, weights, d_context, d_query, d_keys, d_score, length, width, depth,
    POSITIONS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64)
    s = tl.arange(0, POSITIONS)
    real = s < length
    of_weights = tl.zeros((POSITIONS,), tl.float32)
    for first in range(0, depth, COLUMNS):
        c = first + tl.arange(0, COLUMNS)
        inside = real[:, None] & (c < depth)[None, :]
        seen = tl.load(values + (n * length + s)[:, None] * depth + c[None, :], mask=inside, other=0.0)
        gradient = tl.load(d_context + n * depth + c, mask=c < depth, other=0.0)
        of_weights += tl.sum(seen * gradient[None, :], axis=1)
    share = tl.load(weights + n * length + s, mask=real, other=0.0)
    of_fit = share * (of_weights - tl.sum(share * of_weights, axis=0))
    for first in range(0, width, COLUMNS):
        a = first + tl.arange(0, COLUMNS)
        r, inside = _compare(query, keys, a, s, real, width, n, length)
        inner = of_fit[:, None] * r * (1.0 - r)
        place = d_keys + (n * length + s)[:, None] * width + a[None, :]
        tl.store(place, tl.load(place, mask=inside, other=0.0) + inner, mask=inside)
        v = tl.load(score + a, mask=a < width, other=0.0)
        tl.store(d_query + n * width + a, 4.0 * v * tl.sum(inner, axis=0), mask=a < width)
        total = d_score + n * width + a
        so_far = tl.load(total, mask=a < width, other=0.0)
        tl.store(total, so_far - 2.0 * tl.sum(of_fit[:, None] * r, axis=0), mask=a < width)


def _sizes(keys: Tensor, values: Tensor) -> tuple[tuple[int, int, int], dict[str, int]]:
    """What both kernels are told of shapes, and how much a program has at a time."""
    length, width = keys.shape[1:]
    positions = triton.next_power_of_2(length)
    return (length, width, values.shape[2]), {"POSITIONS": positions, "COLUMNS": max(2, min(128, TILE // positions))}


def look(
    query: Tensor, keys: Tensor, score: Tensor, padding: Tensor, values: Tensor, *, weights: Tensor, context: Tensor
) -> None:
    """``additive.Look``."""
    sizes, tile = _sizes(keys, values)
    with torch.cuda.device_of(keys):  # of several GPUs
        _look[(len(keys),)](query, keys, score, padding.contiguous(), values, weights, context, *sizes, **tile)


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
    """``additive.LookBack``."""
    sizes, tile = _sizes(keys, values)
    d_context = d_context.contiguous()
    made = d_query if d_query.is_contiguous() else torch.empty_like(query)
    with torch.cuda.device_of(keys):
        _look_back[(len(keys),)](query, keys, score, values, weights, d_context, made, d_keys, d_score, *sizes, **tile)
    if made is not d_query:
        d_query.copy_(made)
