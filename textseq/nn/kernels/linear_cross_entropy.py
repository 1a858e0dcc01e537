"""Output layer and cross-entropy in one, without holding all logits."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn.functional import linear, pad

from textseq.nn.kernels.precision import product_format


def summed_nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats, summed over all predictions.

    Args:
        logits: (..., V), in any float type; computed in float32 at least.
        targets: (...), the right token at each position.
    """
    flat = logits.reshape(-1, logits.shape[-1]).to(_exact(logits))
    return torch.nn.functional.cross_entropy(flat, targets.reshape(-1), reduction="sum")


def output_nats(
    x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float = 0.0
) -> tuple[Tensor, Tensor | None]:
    """The output layer and its cross-entropy in one, without ever holding the logits of all rows.

    A vocabulary is large: logits, their softmax and its gradient are made for a few rows at a time, while these still
    lie in the processor's cache, and what is kept is the gradient of ``x``, ``weight`` and ``bias`` alone.

    Args:
        x: what the output layer reads, (M, E).
        weight: of the output layer, (V, E).
        bias: likewise, (V,).
        targets: (M,), the right token of each row.
        smoothing: share of the wanted probability that is spread evenly over the vocabulary (Szegedy et al. 2016,
            section 7).

    Returns:
        The summed cross-entropy in nats, and the penalty that makes of its mean the mean of the smoothed loss; None
        without smoothing. With smoothing the gradient goes through their sum alone: both must reach the loss that is
        differentiated, the first as its mean.
    """
    nats: Tensor
    if not torch.is_grad_enabled():
        parts = zip(*(torch.split(whole, _rows(x.device, len(weight))) for whole in (x, targets)), strict=True)
        return torch.stack([summed_nats(linear(part, weight, bias), right) for part, right in parts]).sum(), None
    nats, extra = _OutputNats.apply(x, weight, bias, targets, smoothing)  # type: ignore[no-untyped-call]
    return nats, extra if smoothing else None


def sampled_output(weight: Tensor, bias: Tensor, targets: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """A smaller output layer with about the same loss: a sample stands for the tokens that are no targets.

    The softmax's sum goes over every token that is a target here, and over a random sample of the others, in which each
    stands for as many of them as it was drawn from. So its expected value is the whole sum (Bengio and Senecal 2008,
    section III, with the targets taken out of the chance).

    Args:
        weight: of the output layer, (V, E).
        bias: likewise, (V,).
        targets: (M,), the right token of each row.
        count: other tokens that are drawn; all of them if there are no more.

    Returns:
        ``weight``, ``bias`` and ``targets`` for ``output_nats``.
    """
    wanted, right = torch.unique(targets, return_inverse=True)
    others = torch.ones(len(weight), dtype=torch.bool, device=targets.device)
    others[wanted] = False
    rest = others.nonzero().squeeze(1)
    drawn = rest[torch.randperm(len(rest), device=targets.device)[:count]]
    each_for = math.log(len(rest) / len(drawn)) if len(drawn) else 0.0
    kept = torch.cat([wanted, drawn])
    raised = torch.cat([bias[wanted], bias[drawn] + each_for])
    return weight[kept], raised, right


ROWS = 64
"""Rows are made to a whole number of this."""

CACHED = 2**19
"""Logits that are made at a time: they should fit the cache of a CPU. On a GPU it is a whole ``BLOCK`` of rows."""

BLOCK = 1024
"""Rows whose share of the weight's gradient is made at a time: it is as large as the weight."""

TINY = 1e-38
"""Least probability that is told from zero, 87.5 nats."""


def _rows(device: torch.device, size: int) -> int:
    """Rows whose logits of ``size`` tokens are made at a time."""
    return min(max(CACHED // size // ROWS, 1) * ROWS, BLOCK) if device.type == "cpu" else BLOCK


def _exact(x: Tensor) -> torch.dtype:
    """The number format of sums over many tokens."""
    return torch.promote_types(x.dtype, torch.float32)


class _Context(FunctionCtx):
    saved_tensors: tuple[Tensor, ...]


class _OutputNats(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        dtype, size, count = product_format(weight), len(weight), len(x)
        group = _rows(x.device, size)
        narrow, narrow_bias = weight.to(dtype), bias.to(dtype)
        # Whole groups of rows: oneDNN keeps some megabytes for every new shape of a product.
        read = pad(x.to(dtype), (0, 0, 0, -count % ROWS))
        right = pad(targets, (0, -count % ROWS)).unsqueeze(1)
        d_x, d_weight, d_bias = torch.empty_like(read), torch.zeros_like(weight), torch.zeros_like(bias)
        of_right, p_right = (torch.empty_like(right, dtype=dtype) for _ in range(2))  # logit and probability
        with torch.autocast(x.device.type, enabled=False):
            for start in range(0, len(read), BLOCK):
                end = min(start + BLOCK, len(read))
                block = slice(start, end)
                gradient = torch.empty(end - start, size, dtype=dtype, device=x.device)
                for row in range(start, end, group):
                    rows = slice(row, min(row + group, end))
                    logits = torch.addmm(narrow_bias, read[rows], narrow.t())
                    p = gradient[rows.start - start : rows.stop - start]
                    torch.softmax(logits, dim=1, out=p)
                    of_right[rows], p_right[rows] = logits.gather(1, right[rows]), p.gather(1, right[rows])
                    p.scatter_(1, right[rows], p_right[rows] + (smoothing - 1))
                gradient[max(count - start, 0) :] = 0
                d_x[block] = gradient @ narrow
                d_weight += gradient.t() @ read[block]
                d_bias += gradient.sum(dim=0)  # asked for float32, it would first copy the whole gradient
            exact = _exact(x)
            log_p = p_right[:count].to(exact).clamp_min(TINY).log()
            nats = -log_p.sum()
            d_x = d_x[:count].to(x.dtype)
            if not smoothing:
                even = nats
            else:  # what every token's equal share adds, without a look at every token
                mean_weight = weight.mean(dim=0)
                even = (of_right[:count].to(exact) - log_p).sum() - (x @ mean_weight).sum() - count * bias.mean()
                d_x -= smoothing * mean_weight
                d_weight -= smoothing / size * x.sum(dim=0)
                d_bias -= smoothing / size * count
        ctx.save_for_backward(d_x, d_weight, d_bias)
        return nats, smoothing * (even - nats) / count

    @staticmethod
    def backward(ctx: _Context, of_nats: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        d_x, d_weight, d_bias = ctx.saved_tensors
        return d_x * of_nats, d_weight * of_nats, d_bias * of_nats, None, None
