"""The conditional random field against the sum over all sequences, one by one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from textseq.nn.crf import ConditionalRandomField

C, T = 3, 4
LENGTHS = torch.tensor([4, 1, 3])


@pytest.fixture
def field() -> ConditionalRandomField:
    torch.manual_seed(0)
    made = ConditionalRandomField(C).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    return made


@pytest.fixture
def scores() -> Tensor:
    return torch.randn(len(LENGTHS), T, C, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2


def score(field: ConditionalRandomField, scores: Tensor, path: tuple[int, ...]) -> Tensor:
    """s(y) of one sequence as the module's head has it."""
    total = field.begin[path[0]] + field.end[path[-1]]
    for place, label in enumerate(path):
        total = total + scores[place, label]
    for label, following in itertools.pairwise(path):
        total = total + field.transitions[label, following]
    return total


def enumerated(field: ConditionalRandomField, scores: Tensor, length: int) -> dict[tuple[int, ...], float]:
    """The log-probability of every sequence."""
    paths = list(itertools.product(range(C), repeat=length))
    return dict(zip(paths, torch.stack([score(field, scores, p) for p in paths]).log_softmax(0).tolist(), strict=True))


def test_the_probabilities_are_those_of_all_sequences(field: ConditionalRandomField, scores: Tensor) -> None:
    for row, length in enumerate(LENGTHS.tolist()):
        for path, wanted in enumerated(field, scores[row], length).items():
            labels = torch.full((1, T), 7)  # what follows the end does not matter, not even whether it is a label
            labels[0, :length] = torch.tensor(path)
            found = field.nats(scores[row : row + 1], labels, LENGTHS[row : row + 1])
            assert found.item() == pytest.approx(-wanted)


def test_the_best_is_the_best_of_all(field: ConditionalRandomField, scores: Tensor) -> None:
    found = field.float().best(scores.float(), LENGTHS)
    field.double()
    for row, length in enumerate(LENGTHS.tolist()):
        every = enumerated(field, scores[row], length)
        assert tuple(found[row]) == max(every, key=lambda path: every[path])


def test_the_marginals_are_those_of_all_sequences(field: ConditionalRandomField, scores: Tensor) -> None:
    found = field.float().marginals(scores, LENGTHS)
    field.double()
    for row, length in enumerate(LENGTHS.tolist()):
        every = enumerated(field, scores[row], length)
        wanted = torch.zeros(T, C)
        for path, log_p in every.items():
            for place, label in enumerate(path):
                wanted[place, label] += torch.tensor(log_p).exp()
        torch.testing.assert_close(found[row], wanted, rtol=1e-4, atol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(field.float().marginals(scores.float(), LENGTHS), found)


def test_no_marginal_is_above_one(field: ConditionalRandomField) -> None:
    scores = 20 * torch.randn(4, 50, C, generator=torch.Generator().manual_seed(1))  # one path is nearly certain
    marginals = field.float().marginals(scores, torch.full((4,), 50))
    assert 0.999 < marginals.max().item() <= 1


@pytest.mark.parametrize("garbage", [1e4, -torch.inf, torch.nan])
def test_padding_changes_nothing(field: ConditionalRandomField, scores: Tensor, garbage: float) -> None:
    labels = torch.randint(0, C, (len(LENGTHS), T), generator=torch.Generator().manual_seed(2))
    together = field.nats(scores, labels, LENGTHS)
    other = scores.clone()
    for row, length in enumerate(LENGTHS.tolist()):
        other[row, length:] = garbage
        alone = field.nats(scores[row : row + 1, :length], labels[row : row + 1, :length], LENGTHS[row : row + 1])
        assert together[row].item() == pytest.approx(alone.item())
    again = field.nats(other.requires_grad_(), labels, LENGTHS)
    torch.testing.assert_close(again, together)
    learned = [*field.parameters()]
    wanted = torch.autograd.grad(together.sum(), learned)
    torch.testing.assert_close(torch.autograd.grad(again.sum(), learned, retain_graph=True), wanted)
    assert torch.autograd.grad(again.sum(), other)[0].isfinite().all()


def test_without_transitions_it_is_a_softmax(scores: Tensor) -> None:
    labels = torch.randint(0, C, (len(LENGTHS), T), generator=torch.Generator().manual_seed(2))
    found = ConditionalRandomField(C).double().nats(scores, labels, LENGTHS)
    each = -scores.log_softmax(dim=2).gather(2, labels.unsqueeze(2)).squeeze(2)
    inside = torch.arange(T) < LENGTHS.unsqueeze(1)
    torch.testing.assert_close(found, (each * inside).sum(dim=1))


def test_it_learns_which_label_follows_which() -> None:
    """The scores say nothing; only that labels take turns tells them."""
    made = ConditionalRandomField(2)
    labels = torch.tensor([[0, 1, 0, 1, 0], [1, 0, 1, 0, 1]])
    lengths, nothing = torch.tensor([5, 5]), torch.zeros(2, 5, 2)
    optimizer = torch.optim.Adam(made.parameters(), 0.1)
    for _ in range(100):
        optimizer.zero_grad()
        torch.autograd.backward(made.nats(nothing, labels, lengths).sum())
        optimizer.step()
    assert made.nats(nothing, labels, lengths).mean() < 0.75  # log 2: how it begins is open
    hint = nothing.clone()
    hint[0, 2, 0] = hint[1, 2, 1] = 1.0
    assert made.best(hint, lengths) == labels.tolist()


def test_what_is_forbidden_is_never_and_takes_no_probability(scores: Tensor) -> None:
    """As if the sequences with a forbidden transition did not exist, in the loss, the best and the marginals."""
    allowed = torch.ones(C + 1, C + 1, dtype=torch.bool)
    allowed[0, 1] = allowed[C, 2] = allowed[1, C] = False  # 0 then 1; 2 at the start; 1 at the end
    torch.manual_seed(0)
    free, bound = ConditionalRandomField(C).double(), ConditionalRandomField(C, allowed).double()
    for parameter in free.parameters():
        nn.init.normal_(parameter)
    bound.load_state_dict(free.state_dict())
    for row, length in enumerate(LENGTHS.tolist()):
        paths = {
            path: log_p
            for path, log_p in enumerated(free, scores[row], length).items()
            if path[0] != 2 and path[-1] != 1 and (0, 1) not in itertools.pairwise(path)
        }
        total = torch.tensor([*paths.values()], dtype=torch.float64).logsumexp(0).item()
        one, length_of = scores[row : row + 1, :length], LENGTHS[row : row + 1]
        for path, log_p in paths.items():
            assert bound.nats(one, torch.tensor([path]), length_of).item() == pytest.approx(total - log_p)
        assert tuple(bound.best(one, length_of)[0]) == max(paths, key=lambda path: paths[path])
        begins = bound.marginals(one, length_of)[0, 0]
        assert begins[2] == 0 and begins.sum().item() == pytest.approx(1)


def test_a_sentence_without_an_allowed_sequence_gives_numbers() -> None:
    field = ConditionalRandomField(2, torch.zeros(3, 3, dtype=torch.bool))
    nats = field.nats(torch.zeros(1, 3, 2), torch.zeros(1, 3, dtype=torch.long), torch.tensor([3]))
    torch.autograd.backward(nats.sum())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in field.parameters())


def test_lengths_and_allowed_transitions_that_do_not_fit_are_refused(
    field: ConditionalRandomField, scores: Tensor
) -> None:
    labels = torch.zeros(len(LENGTHS), T, dtype=torch.long)
    calls: tuple[Callable[[Any], object], ...] = (
        lambda lengths: field.nats(scores, labels, lengths),
        lambda lengths: field.marginals(scores, lengths),
        lambda lengths: field.best(scores, lengths),
    )
    for call in calls:
        assert str(call(LENGTHS.tolist())) == str(call(LENGTHS))
        for lengths in ([4], [4, 9, 3], [4, 0, 3]):
            with pytest.raises(ValueError, match=r"^lengths: expected "):
                call(torch.tensor(lengths))
    for allowed in (torch.ones(C, C, dtype=torch.bool), torch.ones(C + 1, C + 1)):
        with pytest.raises(ValueError, match=r"^allowed: expected bool \(4, 4\), with a row for the start .*, got "):
            ConditionalRandomField(C, allowed)
