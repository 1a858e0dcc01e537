"""A step of attention and its gradient are the equations', in torch's operations and in the GPU's kernels.

The kernels run in Triton's interpreter, which needs no GPU. They are checked where Triton is installed, as it is with
every torch for NVIDIA's GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from textseq.nn.kernels import additive_attention as additive
from textseq.nn.kernels.additive_attention import Kernel, exp_2x

SHAPES = [(1, 1, 1, 1), (3, 7, 5, 6), (2, 33, 130, 70)]
"""N, S, A, C."""


def kernels() -> tuple[Kernel, Kernel]:
    """The GPU's, interpreted."""
    if find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    if os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("set TRITON_INTERPRET=1 to run the kernels without a GPU")
    from textseq.nn.kernels import additive_attention_triton as triton_kernels

    return triton_kernels.attend, triton_kernels.attend_backward


@pytest.fixture(params=["torch", "triton"])
def ways(request: pytest.FixtureRequest) -> Iterator[tuple[Kernel, Kernel]]:
    """A step and its gradient."""
    yield (additive.attend, additive.attend_backward) if request.param == "torch" else kernels()


def equations(query: Tensor, keys: Tensor, score: Tensor, values: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
    """Context and weights as Bahdanau et al. (2015) have them, appendix A.1.2."""
    weights = (torch.tanh(query.unsqueeze(1) + keys) @ score + padding).softmax(dim=1)
    return torch.einsum("ns,nsc->nc", weights, values), weights


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_step_and_its_gradient_are_those_of_the_equations(
    shape: tuple[int, int, int, int], ways: tuple[Kernel, Kernel]
) -> None:
    torch.manual_seed(1)
    attend, attend_backward = ways
    n, s, a, c = shape
    query, keys, score, values = (
        torch.randn(size, requires_grad=True) for size in ((n, a), (n, s, a), (a,), (n, s, c))
    )
    padding = torch.zeros(n, s)
    padding[-1, s // 2 + 1 :] = -torch.inf
    context, weights = equations(query, keys, score, values, padding)
    d_context = torch.randn(n, c)
    wanted = torch.autograd.grad(context, [query, keys, score], d_context)

    asked, known, v, memory = exp_2x(query.detach()), exp_2x(keys.detach()), score.detach(), values.detach()
    found = torch.full((n, s), torch.nan), torch.full((n, c), torch.nan)
    attend(asked, known, v, padding, memory, weights=found[0], context=found[1])
    torch.testing.assert_close(found, (weights, context), rtol=1e-4, atol=1e-5)

    both = torch.full((n, a + 3), torch.nan)  # what the gradient of the query is a part of
    d_query, d_keys, d_score = both[:, 3:], torch.ones(n, s, a), torch.full((n, a), 2.0)  # these are added to
    attend_backward(asked, known, v, memory, found[0], d_context, d_query=d_query, d_keys=d_keys, d_score=d_score)
    totals = d_query, (d_keys - 1) * 4 * v, (d_score - 2).sum(dim=0)
    torch.testing.assert_close(totals, wanted, rtol=1e-4, atol=1e-5)
    assert both[:, :3].isnan().all()


def test_a_cpu_has_no_kernels_and_a_gpu_none_for_other_formats() -> None:
    for keys in (torch.zeros(1, 1, 1), torch.zeros(1, 1, 1, dtype=torch.float64)):
        assert additive.fastest_kernels(keys) == (additive.attend, additive.attend_backward)
