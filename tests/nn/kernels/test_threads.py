"""As many threads as pay."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

import textseq
from textseq.nn import Recurrent
from textseq.nn.kernels import threads
from textseq.nn.kernels.threads import PER_THREAD, threads_for
from textseq.tasks.language_model.evaluate import measure


@pytest.fixture(autouse=True)
def eight_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(8)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of threads that are set from now on."""
    numbers: list[int] = []
    set_threads = torch.set_num_threads

    def record(count: int) -> None:
        numbers.append(count)
        set_threads(count)

    monkeypatch.setattr(torch, "set_num_threads", record)
    return numbers


@pytest.mark.parametrize(("multiply_adds", "count"), [(0, 1), (PER_THREAD, 1), (2 * PER_THREAD, 2), (10**12, 8)])
def test_a_thread_for_so_much_work_and_never_more_than_before(multiply_adds: int, count: int) -> None:
    with threads_for(multiply_adds):
        assert torch.get_num_threads() == count
    assert torch.get_num_threads() == 8


def test_the_threads_come_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), threads_for(1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == 8


def test_one_row_is_written_by_fewer_threads_and_the_reader_has_them_all_between_pieces(
    settings: list[int],
) -> None:
    for _ in textseq.load_generator("shakespeare").stream("ROMEO:", max_new_tokens=3, seed=1):
        assert torch.get_num_threads() == 8
    assert set(settings) == {
        4,
        8,
    }  # its recurrent weights, 4 x 768 x 768, are four and a half times as many as one thread's


def test_only_few_rows_and_only_inference_take_fewer(settings: list[int]) -> None:
    stack = Recurrent("gru", 8, 256)
    stack(torch.zeros(1, 3, 8))
    with torch.inference_mode():
        stack(torch.zeros(64, 3, 8))
        assert settings == []
        stack(torch.zeros(1, 3, 8))
    assert settings == [1, 8]


def test_text_and_measure_are_the_same_with_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = textseq.load_generator("shakespeare")
    ids = np.random.default_rng(1).integers(0, 60, 300)

    def results() -> tuple[str, float]:
        return writer.generate("ROMEO:", max_new_tokens=100, seed=1), measure(writer.model, ids, setup="").nats

    some = results()
    monkeypatch.setattr(threads, "PER_THREAD", 1)
    assert results() == some
