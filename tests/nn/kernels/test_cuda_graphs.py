"""A replayed recording gives the same numbers as the function; a stand-in for the GPU repeats the work."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from textseq.decoding import sampling
from textseq.decoding.sampling import sample
from textseq.nn.cells import State
from textseq.nn.kernels import cuda_graphs as graphs
from textseq.nn.kernels import gru
from textseq.nn.kernels.cuda_graphs import CALLS_BEFORE_RECORDING, Function, Recorded, Slot
from textseq.tasks.language_model.config import GenerationConfig

Work = Callable[[], tuple[Tensor, ...]]


class StandIn:
    """Records as a GPU does: one set of inputs and outputs, written over at every replay."""

    def __init__(self) -> None:
        self.recorded, self.replayed = 0, 0

    def __call__(self, work: Work) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
        self.recorded += 1
        outputs = work()

        def replay() -> None:
            self.replayed += 1
            for place, new in zip(outputs, work(), strict=True):
                place.copy_(new)

        return replay, outputs


def weighted(x: Tensor, w: Tensor) -> tuple[Tensor, ...]:
    """Of x (T, N) and w (N,): every element times its weight, and what has been so far of it."""
    return x * w, (x * w).cumsum(dim=0)


def test_a_shape_is_recorded_once_and_its_results_stay() -> None:
    record = StandIn()
    recorded = Recorded(weighted, [Slot(), Slot()], [Slot(), Slot()], record)
    given = [(torch.randn(3, 2), torch.randn(2)) for _ in range(CALLS_BEFORE_RECORDING + 4)]
    found = [recorded(*one) for one in given]
    assert (record.recorded, record.replayed) == (1, 5)
    for one, outputs in zip(given, found, strict=True):  # those of the first not written over by the last
        torch.testing.assert_close(outputs, weighted(*one), rtol=0, atol=0)
    recorded(torch.randn(4, 2), torch.randn(2))
    assert record.recorded == 1


def test_shapes_that_are_rounded_up_share_a_record() -> None:
    record = StandIn()
    recorded = Recorded(weighted, [Slot("T"), Slot()], [Slot("T"), Slot("T")], record)
    for steps in (8, 5, 1, 7, 3, 8, 2):
        x, w = torch.randn(steps, 2), torch.randn(2)
        torch.testing.assert_close(recorded(x, w), weighted(x, w), rtol=0, atol=0)
    assert (record.recorded, record.replayed) == (1, 7 - CALLS_BEFORE_RECORDING + 1)


def test_what_is_behind_the_real_size_is_the_fill() -> None:
    def most(x: Tensor) -> tuple[Tensor, ...]:
        return x.amax(dim=0), x

    recorded = Recorded(most, [Slot("T", -torch.inf)], [Slot(), Slot("T")], StandIn())
    for steps in (8, 7, 6, 8, 2):  # negative throughout: a zero or what is left of a longer one would be larger
        x = -1 - torch.rand(steps, 3) - 10 / steps
        torch.testing.assert_close(recorded(x), (x.amax(dim=0), x), rtol=0, atol=0)


def test_letters_are_the_same_size_everywhere() -> None:
    recorded = Recorded(weighted, [Slot("T"), Slot("T")], [Slot("T"), Slot("T")], StandIn())
    with pytest.raises(ValueError, match="T is 3 in one tensor and 2 in another"):
        recorded(torch.randn(3, 2), torch.randn(2))


def test_records_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MAX_BYTES", 1)
    record = StandIn()
    recorded = Recorded(weighted, [Slot(), Slot()], [Slot(), Slot()], record)
    for steps in [3] * 9 + [4] * 9:
        recorded(torch.randn(steps, 2), torch.randn(2))
    assert record.recorded == 1


def test_where_nothing_can_be_recorded_it_goes_on_without(caplog: pytest.LogCaptureFixture) -> None:
    def cannot(work: Work) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
        raise RuntimeError("operation not permitted when stream is capturing\nand much more")

    recorded = Recorded(weighted, [Slot(), Slot()], [Slot(), Slot()], cannot)
    with caplog.at_level(logging.WARNING):
        for _ in range(6):
            x, w = torch.randn(3, 2), torch.randn(2)
            torch.testing.assert_close(recorded(x, w), weighted(x, w))
    assert [record.getMessage() for record in caplog.records] == [
        "cannot record CUDA graphs; running without them: operation not permitted when stream is capturing"
    ]


def test_the_attending_decoder_is_the_same_from_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    record = StandIn()
    plain: list[Function] = [gru._attention_forward, gru._attention_backward]
    recorded = [
        Recorded(function, there.inputs, there.outputs, record)
        for function, there in zip(plain, (gru._forward_recorded, gru._backward_recorded), strict=True)
    ]
    window: Callable[..., tuple[Tensor, Tensor, Tensor]] = gru.attention_gru_window
    n, h, a, c = 3, 4, 5, 6
    for steps, length in [(8, 8), (3, 7), (6, 5), (8, 1), (1, 8), (5, 6)] * 2:
        padding = torch.zeros(n, length, dtype=torch.float64)
        padding[1, length // 2 + 1 :] = -torch.inf
        given = [
            torch.randn(shape, dtype=torch.float64).requires_grad_()
            for shape in [
                *((steps, n, 3 * h), (n, h), (3 * h, h), (3 * h,), (3 * h, c)),
                *((a, h), (a,), (n, length, a), (n, length, c)),
            ]
        ]
        found = []
        for ways in (recorded, plain):
            with monkeypatch.context() as patch:
                patch.setattr(gru, "_attention_forward", ways[0])
                patch.setattr(gru, "_attention_backward", ways[1])
                outputs, contexts, looks = window(*given, padding)
                loss = outputs.square().sum() + contexts.sin().sum()
                found.append((outputs, contexts, looks, *torch.autograd.grad(loss, given)))
        torch.testing.assert_close(*found, rtol=1e-12, atol=1e-12)
    assert record.recorded == 2 and record.replayed == 2 * (12 - CALLS_BEFORE_RECORDING + 1)


def count_up(tokens: Tensor, state: State) -> tuple[Tensor, State]:
    """Logits of the state, which has seen the tokens."""
    (seen,) = state
    seen = (seen * 0.5 + torch.nn.functional.one_hot(tokens, 7)).sin()
    return seen[0], (seen,)


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """In the place of a GPU's, wherever texts are written."""
    stand_in = StandIn()
    monkeypatch.setattr(sampling, "_recorder", lambda device: stand_in)
    yield stand_in


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.0}, {"top_k": 3, "top_p": 0.9}, {"min_p": 0.05}], ids=str)
@pytest.mark.parametrize("texts", [1, 3])
def test_texts_are_the_same_from_a_record(
    texts: int, settings: dict[str, float], record: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    bias = torch.tensor([0, -torch.inf, 0.5, 0, 0, 0, 0])

    def written() -> Tensor:
        config = GenerationConfig.from_dict({"max_new_tokens": sampling.RECORDED + 20, **settings}, where="a test")
        prompt, state = torch.zeros(texts, 2, dtype=torch.long), (torch.zeros(1, texts, 7),)
        generator = torch.Generator().manual_seed(5)
        return torch.stack([*sample(count_up, prompt, state, config, generator=generator, bias=bias)])

    found = written()
    assert record.recorded == 1 and record.replayed == len(found) - CALLS_BEFORE_RECORDING + 1
    monkeypatch.setattr(sampling, "_recorder", lambda device: None)
    torch.testing.assert_close(found, written(), rtol=0, atol=0)
    assert len(set(found.flatten().tolist())) > 1 or settings.get("temperature") == 0


@pytest.mark.parametrize("how", [{"repetition_penalty": 1.2}, {"max_new_tokens": sampling.RECORDED - 1}], ids=str)
def test_what_looks_back_or_is_short_is_not_recorded(how: dict[str, float], record: StandIn) -> None:
    config = GenerationConfig.from_dict({"max_new_tokens": sampling.RECORDED, **how}, where="a test")
    prompt, state = torch.zeros(1, 1, dtype=torch.long), (torch.zeros(1, 1, 7),)
    tokens = [*sample(count_up, prompt, state, config, generator=torch.Generator().manual_seed(5))]
    assert len(tokens) == config.max_new_tokens and record.recorded == 0
