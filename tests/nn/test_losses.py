"""The loss: an output layer and its cross-entropy in one are the two one after the other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from textseq.errors import TextseqError
from textseq.nn.kernels import linear_cross_entropy as losses
from textseq.nn.kernels.linear_cross_entropy import (
    OutputLayer,
    Teachers,
    linear_cross_entropy,
    sampled_output,
    summed_nats,
)

V, E = 11, 5
MANY = losses.BLOCK + 2 * losses.ROWS + 3

SMOOTHING = pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])


@pytest.fixture(autouse=True)
def small_blocks(float64: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With so small a vocabulary, many rows at a time would fit the cache."""
    monkeypatch.setattr(losses, "CACHED", V * losses.ROWS)


def drawn(rows: int) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """What the output layer reads, its weight and its bias; the right tokens."""
    x, weight, bias = (torch.randn(shape, requires_grad=True) for shape in ((rows, E), (V, E), (V,)))
    return (x, weight, bias), torch.randint(V, (rows,))


def mean(nats: Tensor, penalty: Tensor | None, rows: int) -> Tensor:
    """What training differentiates."""
    return nats / rows if penalty is None else nats / rows + penalty


@SMOOTHING
@pytest.mark.parametrize("rows", [1, losses.ROWS, losses.ROWS + 1, losses.BLOCK, MANY])
def test_it_is_a_linear_layer_and_its_cross_entropy(rows: int, smoothing: float) -> None:
    given, targets = drawn(rows)
    nats, penalty = linear_cross_entropy(*given, targets, smoothing)
    logits = linear(*given)
    torch.testing.assert_close(nats, cross_entropy(logits, targets, reduction="sum"))
    assert (penalty is None) == (smoothing == 0)
    found, wanted = mean(nats, penalty, rows), cross_entropy(logits, targets, label_smoothing=smoothing)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(torch.autograd.grad(found, given), torch.autograd.grad(wanted, given))


@SMOOTHING
def test_gradient_is_the_numerical_one(smoothing: float) -> None:
    given, targets = drawn(3)

    def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return mean(*linear_cross_entropy(x, weight, bias, targets, smoothing), 3)

    assert torch.autograd.gradcheck(run, given)


def test_gradient_follows_what_is_made_of_the_sum() -> None:
    """Gradient accumulation divides it, and asks for it again."""
    given, targets = drawn(MANY)
    nats, _ = linear_cross_entropy(*given, targets)
    whole = torch.autograd.grad(nats, given, retain_graph=True)
    for found, wanted in zip(torch.autograd.grad(nats / 7, given), whole, strict=True):
        torch.testing.assert_close(found, wanted / 7)


def test_second_derivatives_are_refused() -> None:
    given, targets = drawn(3)
    with pytest.raises(RuntimeError, match="no second derivatives"):
        torch.autograd.grad(linear_cross_entropy(*given, targets)[0], given, create_graph=True)


@SMOOTHING
def test_without_a_gradient_the_nats_are_the_same_and_nothing_is_smoothed(smoothing: float) -> None:
    given, targets = drawn(MANY)
    with torch.no_grad():
        nats, penalty = linear_cross_entropy(*given, targets, smoothing)
    torch.testing.assert_close(nats, linear_cross_entropy(*given, targets)[0])
    assert penalty is None and not nats.requires_grad


@SMOOTHING
def test_bfloat16_is_nearly_the_same(smoothing: float) -> None:
    torch.set_default_dtype(torch.float32)
    given, targets = drawn(MANY)
    exact = mean(*linear_cross_entropy(*given, targets, smoothing), MANY)
    with torch.autocast("cpu", torch.bfloat16):
        nats, penalty = linear_cross_entropy(*given, targets, smoothing)
    rough = mean(nats, penalty, MANY)
    assert nats.dtype == torch.float32 and rough.item() != exact.item()
    assert rough.item() == pytest.approx(exact.item(), rel=0.01)
    wanted, found = (torch.autograd.grad(total, given) for total in (exact, rough))
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0, atol=0.02 * float(other.abs().max()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_keep_their_format(dtype: torch.dtype) -> None:
    torch.set_default_dtype(dtype)
    given, targets = drawn(9)
    nats, penalty = linear_cross_entropy(*given, targets, 0.1)
    assert penalty is not None
    assert {nats.dtype, penalty.dtype, summed_nats(linear(*given), targets).dtype} == {dtype}
    assert {gradient.dtype for gradient in torch.autograd.grad(nats + penalty, given)} == {dtype}


def others(rows: int, share: float) -> Teachers:
    """Two models of other sizes."""
    return Teachers(
        tuple(OutputLayer(torch.randn(rows, size), torch.randn(V, size), torch.randn(V)) for size in (3, 7)), share
    )


def plain_loss(given: tuple[Tensor, ...], targets: Tensor, smoothing: float, teachers: Teachers | None) -> Tensor:
    """The mean loss from the papers' equations, with all logits."""
    logits = linear(*given)
    loss = cross_entropy(logits, targets, label_smoothing=smoothing)
    if teachers is not None:
        p = torch.stack([linear(*layer).softmax(dim=1) for layer in teachers.layers]).mean(dim=0)
        loss = (1 - teachers.share) * loss + teachers.share * cross_entropy(logits, p)
    return loss


@SMOOTHING
@pytest.mark.parametrize("share", [None, 0.4, 1.0])
@pytest.mark.parametrize("rows", [2, losses.BLOCK + 2 * losses.ROWS + 4])
def test_teachers_are_learned_as_the_papers_say(rows: int, smoothing: float, share: float | None) -> None:
    given, targets = drawn(rows)
    teachers = None if share is None else others(rows, share)
    nats, penalty = linear_cross_entropy(*given, targets, smoothing, teachers=teachers)
    torch.testing.assert_close(nats, cross_entropy(linear(*given), targets, reduction="sum"))
    assert (penalty is None) == (not smoothing and share is None)
    found, wanted = mean(nats, penalty, rows), plain_loss(given, targets, smoothing, teachers)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(torch.autograd.grad(found, given), torch.autograd.grad(wanted, given))


def test_of_a_teacher_that_is_the_model_itself_there_is_nothing_to_learn() -> None:
    given, targets = drawn(MANY)
    itself = Teachers((OutputLayer(*(part.detach() for part in given)),), share=1.0)
    found = mean(*linear_cross_entropy(*given, targets, teachers=itself), MANY)
    for gradient in torch.autograd.grad(found, given):
        assert gradient.abs().max() < 1e-12


def test_with_teachers_bfloat16_is_nearly_the_same() -> None:
    torch.set_default_dtype(torch.float32)
    rows = MANY + 1
    given, targets = drawn(rows)
    teachers = others(rows, 0.5)
    exact = mean(*linear_cross_entropy(*given, targets, 0.1, teachers=teachers), rows)
    with torch.autocast("cpu", torch.bfloat16):
        rough = mean(*linear_cross_entropy(*given, targets, 0.1, teachers=teachers), rows)
    assert rough.item() == pytest.approx(exact.item(), rel=0.01)
    for one, other in zip(*(torch.autograd.grad(total, given) for total in (rough, exact)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0.03 * float(other.abs().max()))


@SMOOTHING
@pytest.mark.parametrize("share", [None, 0.4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tokens_that_are_held_to_be_impossible_cost_what_they_should(
    dtype: torch.dtype, share: float | None, smoothing: float
) -> None:
    """Although their probability is zero in floating point."""
    torch.set_default_dtype(dtype)
    given, targets = drawn(2)
    x, weight, bias = (part.detach() for part in given)
    bias[targets[0]] = -1e4
    if targets[1] == targets[0]:
        targets[1] = (targets[0] + 1) % V
    given, teachers = (x, weight, bias.requires_grad_()), None if share is None else others(2, share)
    nats, penalty = linear_cross_entropy(*given, targets, smoothing, teachers=teachers)
    assert nats.item() == pytest.approx(cross_entropy(linear(*given), targets, reduction="sum").item()) and nats > 9000
    found, wanted = mean(nats, penalty, 2), plain_loss(given, targets, smoothing, teachers)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(torch.autograd.grad(found, bias), torch.autograd.grad(wanted, bias))


def test_rows_at_a_time_follow_from_the_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many they are, the loss is the same."""
    given, targets = drawn(MANY)
    found = []
    for cached in (1, 5 * V * losses.ROWS, 10**9):
        monkeypatch.setattr(losses, "CACHED", cached)
        nats, _ = linear_cross_entropy(*given, targets)
        with torch.no_grad():
            found.append((nats, linear_cross_entropy(*given, targets)[0], *torch.autograd.grad(nats, given)))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])


def test_a_sample_of_all_other_tokens_is_the_whole_vocabulary() -> None:
    (x, weight, bias), targets = drawn(4)
    nats, _ = linear_cross_entropy(x, *sampled_output(weight, bias, targets, V))
    wanted, _ = linear_cross_entropy(x, weight, bias, targets)
    torch.testing.assert_close(nats, wanted)
    given = x, weight, bias
    torch.testing.assert_close(torch.autograd.grad(nats, given), torch.autograd.grad(wanted, given))


def test_where_every_token_is_wanted_none_is_drawn() -> None:
    (x, weight, bias), _ = drawn(V)
    targets = torch.randperm(V)
    nats, _ = linear_cross_entropy(x, *sampled_output(weight, bias, targets, 3))
    torch.testing.assert_close(nats, linear_cross_entropy(x, weight, bias, targets)[0])


def test_a_sample_gives_the_softmax_sum_on_average() -> None:
    (x, weight, bias), targets = drawn(3)
    wanted = linear(x, weight, bias).exp().sum(dim=1)  # (3,)
    drawings = []
    for _ in range(4000):
        few, raised, right = sampled_output(weight, bias, targets, 2)
        assert len(few) == len(set(targets.tolist())) + 2
        assert torch.equal(few[right], weight[targets])
        drawings.append(linear(x, few, raised).exp().sum(dim=1))
    sums = torch.stack(drawings)
    error = (sums.mean(dim=0) - wanted).abs() / (sums.std(dim=0) / len(sums) ** 0.5)
    assert error.max() < 4 and sums.std(dim=0).min() > 0


@pytest.mark.parametrize("gradients", [True, False])
def test_what_does_not_fit_the_rows_is_refused(gradients: bool) -> None:
    given, targets = drawn(3)
    with torch.set_grad_enabled(gradients):
        for wrong in (targets[:2], targets.repeat(2), targets.unsqueeze(1)):
            with pytest.raises(ValueError, match=r"^targets: expected 3, one for each row of x, got "):
                linear_cross_entropy(*given, wrong)
        for token in (-100, -1, V):
            with pytest.raises(ValueError, match=rf"^targets: expected 0 to {V - 1}, the tokens .*; leave rows out"):
                linear_cross_entropy(*given, torch.tensor([0, token, 1]))
        with pytest.raises(ValueError, match=r"^teachers: expected 3 rows as in x, got 2"):
            linear_cross_entropy(*given, targets, teachers=Teachers((OutputLayer(*drawn(2)[0]),), share=0.5))
        with pytest.raises(ValueError, match=r"^teachers: expected a share from 0 to 1, got 2"):
            linear_cross_entropy(*given, targets, teachers=Teachers((OutputLayer(*given),), share=2))
        with pytest.raises(TextseqError, match=r"^smoothing: .*2"):
            linear_cross_entropy(*given, targets, 2)
