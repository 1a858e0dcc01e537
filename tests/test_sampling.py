"""Drawing keeps the tokens that it should and no others; a text ends where its stop string begins."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from textseq.cells import CELLS, State
from textseq.config import CellName, GenerationConfig, LanguageModelConfig
from textseq.decoding.sampling import RULES, by_temperature, by_top_k, by_top_p, draw, sample
from textseq.decoding.stopping import StopStrings
from textseq.models.language_model import LanguageModel

V = 8

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def some_logits(rows: int = 4) -> Tensor:
    return torch.randn(rows, V, generator=torch.Generator().manual_seed(1)) * 2


def kept(logits: Tensor) -> list[set[int]]:
    return [set(np.flatnonzero(row > -np.inf).tolist()) for row in logits.numpy()]


def chances(logits: Tensor, config: GenerationConfig) -> Tensor:
    """What ``draw`` draws from."""
    for rule in RULES:
        logits = rule(logits, config)
    return logits.softmax(dim=1)


def rising(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


different = st.lists(st.integers(-60, 60), min_size=1, max_size=V, unique=True)
"""Scores without ties, of which the tests make logits."""


@UNHURRIED
@given(different, st.integers(1, V + 2))
def test_top_k_keeps_the_k_likeliest(scores: list[int], k: int) -> None:
    logits = torch.tensor([scores, scores[::-1]]) / 10
    found = by_top_k(logits, GenerationConfig(top_k=k))
    for row, values in zip(kept(found), logits.tolist(), strict=True):
        assert row == set(sorted(range(len(values)), key=values.__getitem__)[-k:])
    assert torch.equal(found[found > -torch.inf], logits[found > -torch.inf])


@UNHURRIED
@given(different, st.floats(0.001, 1))
def test_top_p_keeps_the_smallest_set_that_holds_p(scores: list[int], p: float) -> None:
    logits = torch.tensor([scores, scores[::-1]]) / 10
    found = by_top_p(logits, GenerationConfig(top_p=p))
    for row, values in zip(kept(found), logits.double(), strict=True):
        chance = values.softmax(dim=0).tolist()
        wanted: set[int] = set()
        for token in sorted(range(len(chance)), key=chance.__getitem__, reverse=True):
            so_far = sum(chance[other] for other in wanted)
            if abs(so_far - p) < 1e-5:  # too near to tell in float32
                return
            if so_far >= p:
                break
            wanted.add(token)
        assert row == wanted and row
    assert torch.equal(found[found > -torch.inf], logits[found > -torch.inf])


@UNHURRIED
@given(different, st.just(0.0) | st.floats(0.001, 3), st.none() | st.integers(1, V), st.floats(0.001, 1))
def test_something_can_always_be_drawn(scores: list[int], temperature: float, k: int | None, p: float) -> None:
    logits = torch.tensor([scores, [0] * len(scores)]) / 10
    config = GenerationConfig(temperature=temperature, top_k=k, top_p=p)
    chance = chances(logits, config)
    assert all(kept(chance.log()))
    torch.testing.assert_close(chance.sum(dim=1), torch.ones(2))
    tokens = draw(logits, config, rising())
    assert (chance.gather(1, tokens.unsqueeze(1)) > 0).all()


def test_no_rule_changes_nothing() -> None:
    logits = some_logits()
    assert all(torch.equal(rule(logits, GenerationConfig(temperature=1)), logits) for rule in RULES)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_temperature_divides_the_logits(temperature: float) -> None:
    logits = some_logits()
    found = by_temperature(logits, GenerationConfig(temperature=temperature))
    torch.testing.assert_close(found, logits / temperature)


def test_temperature_zero_is_the_likeliest_token() -> None:
    logits = some_logits(50)
    config = GenerationConfig(temperature=0)
    assert kept(by_temperature(logits, config)) == [{best} for best in logits.argmax(dim=1).tolist()]
    assert torch.equal(draw(logits, config, rising()), logits.argmax(dim=1))
    assert draw(torch.tensor([[1.0, 3.0, 3.0]]), config, rising()).tolist() == [1]


def test_rules_apply_in_hugging_faces_order() -> None:
    """Temperature first: it flattens what top_p then reads; top_k before top_p, which reads what k has left."""
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log()
    assert kept(chances(logits, GenerationConfig(temperature=100, top_p=0.5)).log()) == [{0, 1}]
    assert kept(chances(logits, GenerationConfig(temperature=1, top_k=2, top_p=0.65)).log()) == [{0}]


@pytest.mark.parametrize(
    "config",
    [
        GenerationConfig(temperature=1),
        GenerationConfig(temperature=0.5),
        GenerationConfig(temperature=2, top_k=3),
        GenerationConfig(temperature=1.5, top_p=0.8),
    ],
    ids=["plain", "cold", "top-k", "top-p"],
)
def test_draws_come_as_often_as_the_softmax_says(config: GenerationConfig) -> None:
    n = 20_000
    logits = some_logits(1)
    counts = draw(logits.expand(n, -1), config, rising()).bincount(minlength=V)
    scaled = logits[0].double() / config.temperature
    ranked = scaled.argsort(descending=True)
    out = ranked[config.top_k :] if config.top_k else ranked[:0]
    if config.top_p < 1:
        held = scaled[ranked].softmax(dim=0).cumsum(dim=0)
        out = ranked[int((held < config.top_p).sum()) + 1 :]
    wanted = n * scaled.index_fill(0, out, -torch.inf).softmax(dim=0)
    assert not counts[wanted == 0].any()
    likely = wanted > 0
    chi_square = ((counts - wanted)[likely] ** 2 / wanted[likely]).sum()
    assert chi_square < 25  # 7 degrees of freedom pass it once in a thousand seeds; this seed stays


# Writing: a model whose logits depend on all that it has read.


def model(cell: CellName = "lstm") -> LanguageModel:
    torch.manual_seed(1)
    made = LanguageModel(LanguageModelConfig(cell=cell, layers=2, hidden_size=6, embedding_size=4), V)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=1.5)
    torch.nn.init.zeros_(made.output.bias)
    return made.double().eval()


def written(
    writer: LanguageModel, prompt: Tensor, config: GenerationConfig, *, seed: int = 1, suppress: Tensor | None = None
) -> Tensor:
    state = writer.initial_state(len(prompt))
    tokens = sample(writer.stepper(), prompt, state, config, generator=rising(seed), suppress=suppress)
    return torch.stack(list(tokens), dim=1)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("length", [1, 2, 5])
def test_greedy_writing_is_the_argmax_of_the_whole_text(cell: CellName, length: int) -> None:
    """Teacher forcing: the model that reads prompt and text at once would have written each token."""
    writer = model(cell)
    prompt = torch.randint(V, (6, length), generator=rising())
    text = written(writer, prompt, GenerationConfig(temperature=0, max_new_tokens=12))
    assert text.shape == (6, 12)
    with torch.no_grad():
        logits, _ = writer(torch.cat([prompt, text[:, :-1]], dim=1))
    assert torch.equal(text, logits[:, length - 1 :].argmax(dim=2))
    assert len({tuple(row) for row in text.tolist()}) > 1  # the prompt matters


def test_rows_of_a_batch_are_the_texts_alone() -> None:
    writer = model()
    prompt = torch.randint(V, (5, 3), generator=rising())
    config = GenerationConfig(temperature=0, max_new_tokens=12)
    alone = [written(writer, row.unsqueeze(0), config) for row in prompt]
    assert torch.equal(written(writer, prompt, config), torch.cat(alone))


def test_rows_of_a_batch_are_drawn_apart() -> None:
    text = written(model(), torch.zeros(5, 1, dtype=torch.int64), GenerationConfig(temperature=2, max_new_tokens=20))
    assert len({tuple(row) for row in text.tolist()}) == 5


def test_same_seed_same_text() -> None:
    writer, prompt, config = model(), torch.tensor([[1, 2]]), GenerationConfig(temperature=1.5, max_new_tokens=30)
    torch.manual_seed(3)
    one = written(writer, prompt, config, seed=5)
    torch.manual_seed(4)  # no one else's randomness matters
    assert torch.equal(written(writer, prompt, config, seed=5), one)
    assert not torch.equal(written(writer, prompt, config, seed=6), one)


@pytest.mark.parametrize("temperature", [0.0, 5.0])
@pytest.mark.parametrize("top_k", [None, 1, 6])
def test_suppressed_tokens_are_never_drawn(temperature: float, top_k: int | None) -> None:
    config = GenerationConfig(temperature=temperature, top_k=top_k, top_p=0.99, max_new_tokens=20)
    prompt = torch.zeros(20, 1, dtype=torch.int64)
    text = written(model(), prompt, config)
    common = text.flatten().bincount(minlength=V).topk(2).indices
    without = written(model(), prompt, config, suppress=common)
    assert not torch.isin(without, common).any()


def test_a_suppressed_token_leaves_its_place_to_the_next() -> None:
    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return torch.tensor([[3.0, 2.0, 1.0]]), state

    for config in (GenerationConfig(temperature=0), GenerationConfig(temperature=1, top_k=1)):
        texts = sample(step, torch.tensor([[0]]), (), config, generator=rising(), suppress=torch.tensor([0]))
        assert next(texts).tolist() == [1]


@pytest.mark.parametrize("tokens", [0, 1, 7])
def test_as_many_tokens_as_asked(tokens: int) -> None:
    writer = model()
    config = GenerationConfig(max_new_tokens=tokens)
    prompt = torch.tensor([[1, 2]])
    assert len(list(sample(writer.stepper(), prompt, writer.initial_state(1), config, generator=rising()))) == tokens


# Stop strings.


def cut(text: str, stops: list[str]) -> str:
    """The text before the first stop string that is complete, found letter by letter."""
    for end in range(1, len(text) + 1):
        starts = [end - len(stop) for stop in stops if stop and text[:end].endswith(stop)]
        if starts:
            return text[: min(starts)]
    return text


letters = st.text("ab", max_size=20)
few_stops = st.lists(st.text("ab", max_size=4), max_size=3)


@settings(UNHURRIED, max_examples=400)
@example("abba", ["abba", "bb"], [])
@given(letters, few_stops, st.lists(st.integers(0, 20), max_size=8))
def test_a_text_stops_at_the_same_place_however_it_comes(text: str, stops: list[str], cuts: list[int]) -> None:
    whole = cut(text, stops)
    pieces = [text[start:end] for start, end in itertools.pairwise(sorted({0, *cuts, len(text)}))]
    for division in ([text], list(text), pieces if len(text) else [""]):
        stopping, shown = StopStrings(stops), ""
        for piece in division:
            shown += stopping.feed(piece)
            assert whole.startswith(shown)  # what was shown stays
            assert any(stop[:-1].startswith(stopping.held) for stop in stops if stop) or not stopping.held
        assert shown + stopping.finish() == whole
        assert stopping.stopped == (whole != text)
        assert stopping.finish() == ""


@UNHURRIED
@given(letters, st.text("ab", min_size=1, max_size=4))
def test_one_stop_string_cuts_where_it_first_occurs(text: str, stop: str) -> None:
    stopping = StopStrings([stop])
    shown = "".join(stopping.feed(letter) for letter in text)
    assert shown + stopping.finish() == text.partition(stop)[0]


def test_nothing_is_shown_after_the_stop() -> None:
    stopping = StopStrings(["\n\n"])
    assert [stopping.feed(piece) for piece in ("a\n", "b\n", "\nc", "d")] == ["a", "\nb", "", ""]
    assert stopping.stopped and stopping.finish() == ""


def test_without_stop_strings_nothing_is_held_back() -> None:
    for stops in ((), ("",)):
        stopping = StopStrings(stops)
        assert [stopping.feed("ab"), stopping.feed(""), stopping.finish(), stopping.stopped] == ["ab", "", "", False]
