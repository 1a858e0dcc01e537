"""CTC: what collapses to what, and the beam search against the sum over all paths."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn.functional import ctc_loss

from textseq.decoding.ctc import BLANK, collapsed, ctc_beam_search, ctc_greedy

NUMBERS = {letter: number for number, letter in enumerate("-abcehlot")}
LETTERS = "-abcehlot"


def numbers(text: str) -> list[int]:
    return [NUMBERS[letter] for letter in text]


def log_probabilities(frames: int, labels: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(frames, labels)) * 2
    found: np.ndarray = (drawn - np.log(np.exp(drawn).sum(axis=1, keepdims=True))).astype(np.float32)
    return found


def every_sequence(log_p: np.ndarray) -> dict[tuple[int, ...], float]:
    """The probability of each sequence of labels: the sum over all its paths."""
    found: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(log_p.shape[1]), repeat=len(log_p)):
        labels = collapsed(path)
        p = float(np.exp(log_p[np.arange(len(path)), path].astype(np.float64).sum()))
        found[labels] = found.get(labels, 0.0) + p
    return found


@pytest.mark.parametrize(
    ("path", "labels"),
    [("hhell-loo", "hello"), ("-c-aa-t-", "cat"), ("", ""), ("---", ""), ("aa-a", "aa"), ("aa", "a")],
)
def test_a_path_collapses(path: str, labels: str) -> None:
    assert collapsed(numbers(path)) == tuple(numbers(labels))


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_beam_finds_the_probability_of_every_sequence(seed: int) -> None:
    log_p = log_probabilities(5, 3, seed)
    wanted = every_sequence(log_p)
    found = ctc_beam_search(log_p, 10_000, unlikely=np.inf)
    assert [labels for labels, _ in found] == sorted(wanted, key=lambda labels: -wanted[labels])
    for labels, nats in found:
        assert np.exp(nats) == pytest.approx(wanted[labels])


def test_the_probability_is_that_of_the_loss_which_training_uses() -> None:
    log_p = log_probabilities(6, 4, 9)
    for labels, nats in ctc_beam_search(log_p, 10_000, unlikely=np.inf)[:50]:
        if labels:
            frames, wanted = torch.from_numpy(log_p).unsqueeze(1), torch.tensor([labels])
            lengths = torch.tensor([len(log_p)]), torch.tensor([len(labels)])
            loss = ctc_loss(frames, wanted, *lengths, blank=BLANK, reduction="sum")
            assert -nats == pytest.approx(loss.item(), rel=1e-4)


def test_the_beam_adds_up_paths_where_the_greedy_way_sees_only_one() -> None:
    """Graves's example: the likeliest path is blank all along, the likeliest sequence has a label."""
    log_p = np.log(np.array([[0.6, 0.4], [0.6, 0.4]], np.float32))
    assert ctc_greedy(log_p) == ()
    (best, nats), *_ = ctc_beam_search(log_p, 4)
    assert best == (1,)
    assert np.exp(nats) == pytest.approx(0.4 * 0.6 * 2 + 0.4 * 0.4)


def test_a_narrow_beam_never_claims_more_than_there_is() -> None:
    for seed in range(5):
        log_p = log_probabilities(6, 4, seed)
        wanted = every_sequence(log_p)
        found = ctc_beam_search(log_p, 3)
        assert len(found) == 3
        assert [nats for _, nats in found] == sorted((nats for _, nats in found), reverse=True)
        for labels, nats in found:
            assert np.exp(nats) <= wanted[labels] * (1 + 1e-6)


def test_frames_without_doubt_are_read_as_they_are() -> None:
    path = numbers("-hh-el-lo-")
    log_p = np.full((len(path), len(LETTERS)), -30.0, np.float32)
    log_p[np.arange(len(path)), path] = 0.0
    assert ctc_greedy(log_p) == tuple(numbers("hello"))
    best, nats = ctc_beam_search(log_p, 3)[0]
    assert best == tuple(numbers("hello"))
    assert nats == pytest.approx(0.0, abs=1e-6)
    assert ctc_beam_search(log_p[:0], 3) == [((), 0.0)]
