"""Output layer and cross-entropy in one, without all logits in memory; and the sampled softmax.

Besides the correct token a row can be trained on the distribution of other models (distillation), which is computed
while the logits are in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn.functional import linear, pad

from textseq.nn.dropout import check_rate
from textseq.nn.kernels.autograd import product_dtype, refuse_second_derivatives


def summed_nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats of logits (..., V) and targets (...), summed; in float32 at least."""
    flat = logits.reshape(-1, logits.shape[-1]).to(_exact(logits))
    return torch.nn.functional.cross_entropy(flat, targets.reshape(-1), reduction="sum")


class OutputLayer(NamedTuple):
    """An output layer and what it reads.

    Example::

        layer = nn.OutputLayer(y.flatten(0, 1), output.weight, output.bias)  # of y (N, T, H)
        logits = linear(*layer)  # (N * T, V)
    """

    x: Tensor
    """(M, E)."""
    weight: Tensor
    """(V, E)."""
    bias: Tensor
    """(V,)."""


class Teachers(NamedTuple):
    """Other models over the same vocabulary that a model learns from (distillation).

    Example::

        with torch.no_grad():
            y, _ = large(x)  # (N, T, H)
        layer = nn.OutputLayer(y.flatten(0, 1), large_output.weight, large_output.bias)
        nats, penalty = nn.linear_cross_entropy(h, weight, bias, targets, teachers=nn.Teachers((layer,), share=0.5))
    """

    layers: tuple[OutputLayer, ...]
    """Each with its own E; no gradient goes through them."""
    share: float
    """Of the probability that the model is trained on: the rest is the text's."""


def linear_cross_entropy(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    smoothing: float = 0.0,
    teachers: Teachers | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Compute an output layer and its cross-entropy in one, without the logits of all rows in memory.

    Logits, their softmax and its gradient are computed for a few rows at a time, so that they stay in the cache; only
    the gradients of ``x``, ``weight`` and ``bias`` are kept.

    Args:
        x: input of the output layer, (M, E).
        weight, bias: of the output layer, (V, E) and (V,).
        targets: the correct token of each row, (M,).
        smoothing: share of the targets' probability that is spread evenly over the vocabulary (Szegedy et al. 2016,
            section 7).
        teachers: models whose mean distribution is learned as well as the targets, by its share (Hinton et al. 2015,
            section 2, at temperature 1; the word-level distillation of Kim and Rush 2016, section 3.1).

    Returns:
        The summed cross-entropy in nats, and with either of the last two, where gradients are recorded, a penalty, else
        None: the mean loss that is trained on is the mean of the first plus the penalty, and the gradient is right only
        for this sum.

    Raises:
        ValueError: not one target for each row, or one that is not in the vocabulary (on a GPU they are not looked at,
            which would wait for it); a teacher with more or fewer rows, or a share that is not from 0 to 1.
        TextseqError: a smoothing that is not from 0 to below 1.

    Example::

        nats, penalty = nn.linear_cross_entropy(y.flatten(0, 1), output.weight, output.bias, targets.flatten(), 0.1)
        loss = nats / targets.numel() + penalty
        loss.backward()
    """
    _check(x, len(weight), targets, teachers)
    check_rate("smoothing", smoothing)
    nats: Tensor
    if not torch.is_grad_enabled():
        chunks = zip(*(torch.split(whole, _rows(x.device, len(weight))) for whole in (x, targets)), strict=True)
        return torch.stack([summed_nats(linear(part, weight, bias), correct) for part, correct in chunks]).sum(), None
    rest = 1 - teachers.share if teachers else 1.0
    aims = _Aims(targets, smoothing * rest, teachers)
    nats, penalty = _LinearCrossEntropy.apply(x, weight, bias, aims)  # type: ignore[no-untyped-call]
    return nats, penalty if smoothing or teachers else None


def _check(x: Tensor, size: int, targets: Tensor, teachers: Teachers | None) -> None:
    """Raise a ValueError for targets or teachers that do not fit the M rows of ``x`` and the vocabulary."""
    rows = len(x)
    if targets.shape != (rows,):
        raise ValueError(f"targets: expected {rows}, one for each row of x, got {tuple(targets.shape)}")
    if rows and targets.device.type == "cpu" and not (0 <= int(targets.min()) <= int(targets.max()) < size):
        raise ValueError(
            f"targets: expected 0 to {size - 1}, the tokens of the vocabulary, got {int(targets.min())} to "
            f"{int(targets.max())}; leave rows out that are not to count"
        )
    layers, share = teachers or Teachers((), 0.0)
    if any(len(layer.x) != rows for layer in layers):
        raise ValueError(f"teachers: expected {rows} rows as in x, got {', '.join(str(len(one.x)) for one in layers)}")
    if not 0 <= share <= 1:
        raise ValueError(f"teachers: expected a share from 0 to 1, got {share}")


def sampled_output(weight: Tensor, bias: Tensor, targets: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """``weight``, ``bias`` and ``targets`` of a smaller output layer for a sampled softmax.

    The softmax's sum goes over all targets and over a random sample of ``count`` other tokens, weighted so that its
    expected value is the whole sum (Bengio and Senecal 2008, section III, with the targets not sampled).
    """
    distinct, renumbered = torch.unique(targets, return_inverse=True)
    others = torch.ones(len(weight), dtype=torch.bool, device=targets.device)
    others[distinct] = False
    rest = others.nonzero().squeeze(1)
    sample = rest[torch.randperm(len(rest), device=targets.device)[:count]]
    log_weight = math.log(len(rest) / len(sample)) if len(sample) else 0.0
    kept = torch.cat([distinct, sample])
    raised = torch.cat([bias[distinct], bias[sample] + log_weight])
    return weight[kept], raised, renumbered


ROWS = 64
"""The number of rows is rounded up to a multiple of this."""

CACHED = 2**19
"""Logits computed at a time on a CPU, to fit its cache; on a GPU it is a ``BLOCK`` of rows."""

BLOCK = 1024
"""Rows whose share of the weight's gradient, of the size of the weight, is computed at a time."""


def _rows(device: torch.device, size: int) -> int:
    """Rows whose logits of ``size`` tokens are computed at a time."""
    return min(max(CACHED // size // ROWS, 1) * ROWS, BLOCK) if device.type == "cpu" else BLOCK


def _exact(x: Tensor) -> torch.dtype:
    """The dtype of sums over many tokens."""
    return torch.promote_types(x.dtype, torch.float32)


class _Aims(NamedTuple):
    """What the distribution of each row is trained on, besides its input and layer."""

    targets: Tensor
    smoothing: float
    """Share of the whole probability."""
    teachers: Teachers | None


class _Context(FunctionCtx):
    saved_tensors: tuple[Tensor, ...]


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Context, x: Tensor, weight: Tensor, bias: Tensor, aims: _Aims) -> tuple[Tensor, Tensor]:
        dtype, size, count = product_dtype(weight), len(weight), len(x)
        smoothing = aims.smoothing
        layers, share = aims.teachers or Teachers((), 0.0)
        group = _rows(x.device, size)
        narrow, narrow_bias = weight.to(dtype), bias.to(dtype)
        inputs, correct = _padded(x.to(dtype)), _padded(aims.targets).unsqueeze(1)
        teachers = [OutputLayer(_padded(x.to(dtype)), w.to(dtype), b.to(dtype)) for x, w, b in layers]
        d_x, d_weight, d_bias = torch.empty_like(inputs), torch.zeros_like(weight), torch.zeros_like(bias)
        target_logit, highest_logit, highest_p, taught_logit = (
            torch.empty_like(correct, dtype=dtype) for _ in range(4)
        )  # of the target; of the likeliest token, with its probability; the mean under the teachers, times their share
        with torch.autocast(x.device.type, enabled=False):
            for start in range(0, len(inputs), BLOCK):
                end = min(start + BLOCK, len(inputs))
                block = slice(start, end)
                gradient = torch.empty(end - start, size, dtype=dtype, device=x.device)
                for row in range(start, end, group):
                    rows = slice(row, min(row + group, end))
                    logits = torch.addmm(narrow_bias, inputs[rows], narrow.t())
                    p = gradient[rows.start - start : rows.stop - start]
                    torch.softmax(logits, dim=1, out=p)
                    target_logit[rows] = logits.gather(1, correct[rows])
                    highest_logit[rows], highest_p[rows] = (part.amax(dim=1, keepdim=True) for part in (logits, p))
                    if share:
                        taught = share * _mean_p(teachers, rows)
                        taught_logit[rows] = (taught * logits).sum(dim=1, keepdim=True)
                        p -= taught
                    p.scatter_(1, correct[rows], p.gather(1, correct[rows]) + (smoothing + share - 1))
                gradient[max(count - start, 0) :] = 0
                d_x[block] = gradient @ narrow
                d_weight += gradient.t() @ inputs[block]
                d_bias += gradient.sum(dim=0)  # with dtype float32 it would first copy the whole gradient
            exact = _exact(x)
            target, highest, p = (part[:count].to(exact) for part in (target_logit, highest_logit, highest_p))
            total = highest - p.log()  # log of the softmax's sum; the highest probability does not underflow
            nats = (highest - target - p.log()).sum()
            penalty = torch.zeros_like(nats)
            if share:
                penalty += (share * target - taught_logit[:count].to(exact)).sum()
            d_x = d_x[:count].to(x.dtype)
            if smoothing:  # cross-entropy with the uniform distribution, without a loop over tokens
                mean_weight = weight.mean(dim=0)
                uniform = total.sum() - (x @ mean_weight).sum() - count * bias.mean()
                penalty += smoothing * (uniform - nats)
                d_x -= smoothing * mean_weight
                d_weight -= smoothing / size * x.sum(dim=0)
                d_bias -= smoothing / size * count
        ctx.save_for_backward(d_x, d_weight, d_bias)
        return nats, penalty / count

    @staticmethod
    def backward(ctx: _Context, d_nats: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_derivatives("torch.nn.functional.cross_entropy")
        d_x, d_weight, d_bias = ctx.saved_tensors
        return d_x * d_nats, d_weight * d_nats, d_bias * d_nats, None


def _padded(rows: Tensor) -> Tensor:
    """Whole groups of rows: oneDNN keeps some megabytes for every new shape of a product."""
    return pad(rows, (0, 0) * (rows.dim() - 1) + (0, -len(rows) % ROWS))


def _mean_p(layers: Sequence[OutputLayer], rows: slice) -> Tensor:
    """The mean of the distributions of several models for some rows."""
    return torch.stack([torch.addmm(b, x[rows], weight.t()).softmax(dim=1) for x, weight, b in layers]).mean(dim=0)
