"""CTC: what collapses to what, and the beam search against the sum over all paths."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn.functional import ctc_loss

from textseq.decoding.ctc import BLANK, collapsed, ctc_beam_search, ctc_decode, ctc_greedy

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


def beams_by_definition(log_p: np.ndarray, num_beams: int, unlikely: float) -> list[tuple[tuple[int, ...], float]]:
    """The prefix beam search, every extension of every prefix summed up."""
    beams: dict[tuple[int, ...], tuple[float, float]] = {
        (): (0.0, -np.inf)
    }  # log-probability of the paths that end in a blank, and in a label
    for frame in log_p.astype(np.float64):
        extended: dict[tuple[int, ...], tuple[float, float]] = {}

        def add(prefix: tuple[int, ...], blank: float, label: float, to: dict = extended) -> None:  # type: ignore[type-arg]
            known = to.get(prefix, (-np.inf, -np.inf))
            to[prefix] = float(np.logaddexp(known[0], blank)), float(np.logaddexp(known[1], label))

        for prefix, (in_blank, in_label) in beams.items():
            total = np.logaddexp(in_blank, in_label)
            add(prefix, total + frame[BLANK], in_label + frame[prefix[-1]] if prefix else -np.inf)
            for label in np.flatnonzero(frame >= frame.max() - unlikely).tolist():
                before = in_blank if prefix[-1:] == (label,) else total
                if label != BLANK and before > -np.inf:
                    add((*prefix, label), -np.inf, before + frame[label])
        kept = sorted(extended.items(), key=lambda item: -np.logaddexp(*item[1]))[:num_beams]
        floor = np.logaddexp(*kept[0][1]) - unlikely
        beams = {prefix: nats for prefix, nats in kept if np.logaddexp(*nats) >= floor}
    return [(prefix, float(np.logaddexp(*nats))) for prefix, nats in beams.items()]


@pytest.mark.parametrize("unlikely", [np.inf, 14.0, 3.0])
@pytest.mark.parametrize(
    ("frames", "labels", "num_beams"), [(12, 2, 3), (12, 4, 1), (20, 5, 5), (12, 20, 10), (30, 12, 10), (9, 3, 40)]
)
def test_the_beams_are_those_of_the_definition(frames: int, labels: int, num_beams: int, unlikely: float) -> None:
    for seed in range(8):
        log_p = log_probabilities(frames, labels, seed) * (1 + seed)
        log_p -= np.logaddexp.reduce(log_p, axis=1, keepdims=True)
        found = ctc_beam_search(log_p, num_beams, unlikely=unlikely)
        wanted = beams_by_definition(log_p, num_beams, unlikely)
        assert [sequence for sequence, _ in found] == [sequence for sequence, _ in wanted]
        assert [nats for _, nats in found] == pytest.approx([nats for _, nats in wanted])


def test_labels_without_probability_are_in_no_sequence() -> None:
    with np.errstate(divide="ignore"):
        log_p = np.log([[0.0, 0.5, 0.5], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
    found = ctc_beam_search(log_p, 10)
    assert {labels: round(float(np.exp(nats)), 9) for labels, nats in found if nats > -np.inf} == {
        (1,): 0.25,
        (1, 1): 0.25,
        (2, 1): 0.5,
    }


def test_a_network_that_gives_no_numbers_gives_a_sequence() -> None:
    assert len(ctc_beam_search(np.full((4, 3), np.nan), 2)) == 1


def test_the_probability_is_that_of_all_paths() -> None:
    log_p = log_probabilities(6, 4, 1)
    exact = every_sequence(log_p)
    labels, nats = ctc_decode(log_p, 3)
    assert np.exp(nats) == pytest.approx(exact[labels]) == pytest.approx(max(exact.values()))
    assert ctc_decode(log_p[:0], 3) == ((), 0.0)
    blank = np.log([[0.9, 0.1], [0.9, 0.1]])
    labels, nats = ctc_decode(blank, 3)
    assert labels == () and np.exp(nats) == pytest.approx(0.81)


def test_tensors_and_lists_are_as_good_as_arrays() -> None:
    log_p = np.log([[0.1, 0.9], [0.2, 0.8], [0.9, 0.1]])
    for given in (torch.tensor(log_p), torch.tensor(log_p, requires_grad=True), log_p.tolist()):
        assert ctc_greedy(given) == ctc_greedy(log_p)
        assert ctc_decode(given, 2) == ctc_decode(log_p, 2)
        assert ctc_beam_search(given, 2) == ctc_beam_search(log_p, 2)


def test_what_is_no_search_is_refused() -> None:
    for decode in (ctc_decode, ctc_beam_search):
        with pytest.raises(ValueError, match=r"^num_beams: expected at least 1, got 0$"):
            decode(np.zeros((2, 3)), 0)
        with pytest.raises(ValueError, match=r"^log_probabilities: expected \(T, C\), .*, got \(1, 2, 3\); give"):
            decode(np.zeros((1, 2, 3)), 1)
