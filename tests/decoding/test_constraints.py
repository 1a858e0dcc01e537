"""Constrained beam search: constraints are always met, the best such text is found, others are not disturbed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from textseq.config.decoding import DecodingConfig
from textseq.decoding.beam import Hypothesis, beam_search
from textseq.decoding.constraints import Phrases
from textseq.nn.cells import State

V = 5
END = 4
LENGTH = 5

Phrase = tuple[int, ...]


def table(seed: int) -> Tensor:
    """Logits of the next token after each token."""
    return 2 * torch.randn(V, V, generator=torch.Generator().manual_seed(seed))


def search(
    logits: Tensor, constraints: Sequence[Sequence[Phrase]] | None, beams: int, length: int = LENGTH, **more: object
) -> list[list[Hypothesis]]:
    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return logits[tokens], state

    config = DecodingConfig(num_beams=beams, max_new_tokens=length, early_stopping="never")
    prompt = torch.full((len(constraints) if constraints else 1, 1), END)
    return beam_search(step, prompt, (), config, end=END, constraints=constraints, **more)  # type: ignore[arg-type]


def count(tokens: Sequence[int], phrase: Phrase) -> int:
    """Occurrences, overlapping ones too."""
    return sum(tuple(tokens[n : n + len(phrase)]) == phrase for n in range(len(tokens)))


def met(tokens: Sequence[int], phrases: Sequence[Phrase]) -> bool:
    return all(count(tokens, phrase) >= phrases.count(phrase) for phrase in phrases)


def brute_force(logits: Tensor, phrases: Sequence[Phrase]) -> float:
    """The log-probability of the likeliest whole text that has all phrases."""
    log_p, best = logits.log_softmax(1), -float("inf")
    for length in range(LENGTH):
        for tokens in itertools.product(range(END), repeat=length):
            if met(tokens, phrases):
                steps = itertools.pairwise([END, *tokens, END])
                best = max(best, sum(float(log_p[a, b]) for a, b in steps))
    return best


CASES: list[list[Phrase]] = [
    [(0,)], [(1, 2)], [(0, 1), (3,)], [(0, 0, 1)], [(2,), (2,)], [(0, 1), (1, 0)], [(3, 3), (3,)], [(0, 1, 2, 3)]
]  # fmt: skip


@pytest.mark.parametrize("phrases", CASES)
@pytest.mark.parametrize("seed", [1, 2])
def test_with_enough_beams_the_best_text_with_the_phrases_is_found(phrases: list[Phrase], seed: int) -> None:
    best = search(table(seed), [phrases], beams=900)[0][0]
    assert met(best.tokens, phrases) and best.tokens[-1] == END
    assert best.score == pytest.approx(brute_force(table(seed), phrases), abs=1e-4)


@pytest.mark.parametrize("beams", [1, 2, 5])
def test_constraints_are_always_met(beams: int) -> None:
    chance = random.Random(beams)
    for seed in range(20):
        constraints = [
            [tuple(chance.choices(range(END), k=chance.randint(1, 4))) for _ in range(chance.randint(0, 3))]
            for _ in range(4)
        ]
        length = chance.choice([1, 6, 12])  # too short ones are raised
        for own, best in zip(constraints, search(table(seed), constraints, beams, length), strict=True):
            assert best and all(met(hypothesis.tokens, own) for hypothesis in best)


@pytest.mark.parametrize("beams", [1, 2, 5])
def test_constraints_are_met_by_whole_words(beams: int) -> None:
    phrases, inner = [(0,), (1,), (0, 1)], {2, 3}
    for seed in range(60):
        for phrase, best in zip(
            phrases,
            search(table(seed), [[phrase] for phrase in phrases], beams, seed % 6 + 1, inner=inner),
            strict=True,
        ):
            assert best
            for tokens in ((*hypothesis.tokens, END) for hypothesis in best):
                ends = [n for n in range(len(phrase), len(tokens)) if tokens[n - len(phrase) : n] == phrase]
                assert any(tokens[n] not in inner for n in ends)


@pytest.mark.parametrize("beams", [1, 3, 6])
def test_a_text_without_constraints_is_searched_as_ever(beams: int) -> None:
    for seed in range(5):
        plain = search(table(seed), None, beams)[0]
        assert search(table(seed), [[]], beams)[0] == plain
        beside = search(table(seed), [[(0, 1)], [], [(2,)]], beams)[1]
        assert [hypothesis.tokens for hypothesis in beside] == [hypothesis.tokens for hypothesis in plain]


def test_forced_tokens_count_for_the_phrases_and_bans_do_not() -> None:
    forced = [[0, 1, 2]]
    ((best, *_),) = search(table(1), [[(1, 2), (3,)]], beams=4, forced=forced)
    assert best.tokens[:3] == (0, 1, 2) and 3 in best.tokens
    banned = torch.zeros(V).index_fill(0, torch.tensor([3]), -torch.inf)
    assert 3 in search(table(1), [[(3,)]], beams=4, bias=banned)[0][0].tokens


@pytest.mark.parametrize("beams", [1, 3])
def test_a_text_that_has_its_phrases_may_not_end_too_early(beams: int) -> None:
    for seed in range(20):
        for best in search(table(seed), [[(1,)], [(0, 1)], [(2, 3)]], beams, 6, min_new_tokens=4):
            assert best and min(len(hypothesis.tokens) - (hypothesis.tokens[-1] == END) for hypothesis in best) >= 4


@pytest.mark.parametrize("beams", [6, 12])
@pytest.mark.parametrize("place", range(4))
def test_a_phrase_begins_where_it_fits(beams: int, place: int) -> None:
    for seed in range(10):
        logits = table(seed)

        def fit(state: State, texts: Tensor) -> Tensor:
            (length,) = state
            fits = torch.where(length == place, 0.0, -1000.0).view(len(texts), -1, 1)
            return torch.cat([fits, torch.zeros_like(fits)], dim=2)

        def step(tokens: Tensor, state: State, logits: Tensor = logits) -> tuple[Tensor, State]:
            return logits[tokens], (state[0] + 1,)

        config, prompt = DecodingConfig(num_beams=beams, max_new_tokens=9), torch.full((2, 1), END)
        phrases: list[list[Phrase]] = [[(1, 2)], [(1, 2), (3,)]]
        start = (torch.full((1, 2), -1),)
        for own, (best, *_) in zip(
            phrases, beam_search(step, prompt, start, config, end=END, constraints=phrases, fit=fit), strict=True
        ):
            assert best.tokens[place : place + 2] == (1, 2) and met(best.tokens, own)


@pytest.mark.parametrize("seed", range(6))
def test_fits_rank_the_texts_and_are_no_part_of_their_scores(seed: int) -> None:
    logits, inner = table(seed), {3}
    fits = -10 * torch.rand(LENGTH, generator=torch.Generator().manual_seed(seed))

    def fit(state: State, texts: Tensor) -> Tensor:
        return fits[state[0]].view(len(texts), -1, 1)

    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return logits[tokens], (state[0] + 1,)

    log_p, expected = logits.log_softmax(1), []
    for tokens in itertools.chain(*(itertools.product(range(END), repeat=length) for length in range(LENGTH))):
        text = (*tokens, END)
        places = [n for n, pair in enumerate(itertools.pairwise(text)) if pair == (1, 2) and text[n + 2] not in inner]
        if places:
            score = sum(float(log_p[pair]) for pair in itertools.pairwise((END, *text)))
            expected.append((score + float(fits[places[0]]), text, score))
    config = DecodingConfig(num_beams=900, max_new_tokens=LENGTH, early_stopping="never")
    prompt, start = torch.tensor([[END]]), (torch.full((1, 1), -1),)
    (found,) = beam_search(step, prompt, start, config, end=END, constraints=[[(1, 2)]], inner=inner, fit=fit)
    for hypothesis, (_, text, score) in zip(found, sorted(expected, reverse=True), strict=True):
        assert hypothesis.tokens == text and hypothesis.score == pytest.approx(score, abs=1e-4)


def test_progress_falls_back_as_a_reader_would() -> None:
    phrases = Phrases([(0, 0, 1), (2,), (2,)])
    progress = phrases.start
    assert phrases.remaining(progress) == 5 and phrases.next_tokens(progress) == [0, 2]
    for token, remaining in ((0, 4), (0, 3), (0, 3), (1, 2), (2, 1), (3, 1), (2, 0)):
        progress = phrases.advance(progress, token)
        assert phrases.remaining(progress) == remaining
    assert phrases.next_tokens(progress) == []


@pytest.mark.parametrize("seed", range(30))
def test_a_next_token_always_reduces_what_remains(seed: int) -> None:
    chance = random.Random(seed)
    phrases = Phrases([chance.choices(range(3), k=chance.randint(1, 4)) for _ in range(3)])
    progress = phrases.start
    for _ in range(12):
        before = phrases.remaining(progress)
        after = [phrases.remaining(phrases.advance(progress, token)) for token in phrases.next_tokens(progress)]
        assert min(after, default=0) < max(before, 1)
        progress = phrases.advance(progress, chance.randrange(3))


@pytest.mark.parametrize("seed", range(20))
def test_a_phrase_that_ends_within_a_word_does_not_count(seed: int) -> None:
    inner, phrase = {3}, (1, 2)
    ((best, *_),) = search(table(seed), [[phrase]], 200, inner=inner)
    tokens = (*best.tokens, END)
    assert any(tokens[n : n + 2] == phrase and tokens[n + 2] not in inner for n in range(len(tokens) - 2))
    log_p = table(seed).log_softmax(1)
    wanted = max(
        sum(float(log_p[a, b]) for a, b in itertools.pairwise([END, *text, END]))
        for length in range(LENGTH)
        for text in itertools.product(range(END), repeat=length)
        if any(text[n : n + 2] == phrase and (*text, END)[n + 2] not in inner for n in range(len(text) - 1))
    )
    assert best.score == pytest.approx(wanted)
