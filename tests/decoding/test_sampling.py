"""Drawing keeps the tokens that it should and no others; a text ends where its stop string begins."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from textseq.config.decoding import DecodingConfig
from textseq.config.names import CellName
from textseq.decoding.logits_processors import (
    LOGITS_PROCESSORS,
    NOISE,
    LogitsProcessor,
    active_processors,
    apply_processors,
)
from textseq.decoding.sampling import sample, sample_token
from textseq.decoding.stopping import StopStrings
from textseq.errors import TextseqError
from textseq.nn.cell_registry import CELLS
from textseq.nn.cells import State, Step
from textseq.tasks.language_model.config import GenerationConfig, LanguageModelConfig
from textseq.tasks.language_model.model import LanguageModel

V = 8


def some_logits(rows: int = 4) -> Tensor:
    return torch.randn(rows, V, generator=torch.Generator().manual_seed(1)) * 2


def kept(logits: Tensor) -> list[set[int]]:
    return [set(np.flatnonzero(row > -np.inf).tolist()) for row in logits.numpy()]


def processed(
    logits: Tensor, config: GenerationConfig, history: Tensor | None = None, end: int | None = None
) -> Tensor:
    """The logits after the active processors."""
    if history is None:
        history = torch.zeros(len(logits), 1, dtype=torch.int64)
    return apply_processors(logits, history, config, active_processors(config), end=end)


def only(history: Tensor | None = None, end: int | None = None, **values: float) -> Callable[[Tensor], Tensor]:
    """The processors of these settings and no others."""
    config = GenerationConfig.from_dict({"temperature": 1, "min_p": 0, **values}, where="here")
    return lambda logits: processed(logits, config, history, end)


def rising(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


different = st.lists(st.integers(-60, 60), min_size=1, max_size=V, unique=True)
"""Scores without ties, of which the tests make logits."""


@given(different, st.integers(1, V + 2))
def test_top_k_keeps_the_k_likeliest(scores: list[int], k: int) -> None:
    logits = torch.tensor([scores, scores[::-1]]) / 10
    found = only(top_k=k)(logits)
    for row, values in zip(kept(found), logits.tolist(), strict=True):
        assert row == set(sorted(range(len(values)), key=values.__getitem__)[-k:])
    assert torch.equal(found[found > -torch.inf], logits[found > -torch.inf])


@given(different, st.floats(0.001, 1))
def test_top_p_keeps_the_smallest_set_that_holds_p(scores: list[int], p: float) -> None:
    logits = torch.tensor([scores, scores[::-1]]) / 10
    found = only(top_p=p)(logits)
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


@given(different, st.just(0.0) | st.floats(0.001, 3), st.none() | st.integers(1, V), st.floats(0.001, 1))
def test_something_can_always_be_drawn(scores: list[int], temperature: float, k: int | None, p: float) -> None:
    logits = torch.tensor([scores, [0] * len(scores)]) / 10
    config = GenerationConfig(temperature=temperature, top_k=k, top_p=p)
    found = processed(logits, config)
    chance = found.softmax(dim=1)
    assert all(kept(chance.log()))
    torch.testing.assert_close(chance.sum(dim=1), torch.ones(2))
    tokens = sample_token(found, rising())
    assert (chance.gather(1, tokens.unsqueeze(1)) > 0).all()


@pytest.mark.parametrize("rule", LOGITS_PROCESSORS, ids=lambda rule: rule.setting)
def test_a_rule_that_is_off_would_change_nothing(rule: LogitsProcessor) -> None:
    config = GenerationConfig.from_dict({"temperature": 1, "min_p": 0, rule.setting: rule.off}, where="here")
    assert active_processors(config) == ()
    if rule.setting != "no_repeat_ngram_size":  # there is no n-gram of no token
        logits = some_logits()
        history = torch.zeros(len(logits), 1, dtype=torch.int64)
        torch.testing.assert_close(rule.apply(logits, history, config, None), logits)


def test_by_default_only_temperature_and_min_p_are_in_force() -> None:
    assert [rule.setting for rule in active_processors(GenerationConfig())] == ["temperature", "min_p"]


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_temperature_divides_the_logits(temperature: float) -> None:
    logits = some_logits()
    found = only(temperature=temperature)(logits)
    torch.testing.assert_close(found, logits / temperature)


def test_temperature_zero_is_the_likeliest_token() -> None:
    logits = some_logits(50)
    coldest = only(temperature=0)
    assert kept(coldest(logits)) == [{best} for best in logits.argmax(dim=1).tolist()]
    assert torch.equal(sample_token(coldest(logits), rising()), logits.argmax(dim=1))
    assert sample_token(coldest(torch.tensor([[1.0, 3.0, 3.0]])), rising()).tolist() == [1]


def test_rules_apply_in_hugging_faces_order() -> None:
    """Those of the history, then temperature, which flattens what the others read, and each reads what is left."""
    assert [rule.setting for rule in LOGITS_PROCESSORS] == [
        "repetition_penalty", "no_repeat_ngram_size", "temperature", "top_k", "top_p", "min_p", "typical_p",
    ]  # fmt: skip
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log()
    assert kept(only(temperature=100, top_p=0.5)(logits)) == [{0, 1}]
    assert kept(only(top_k=2, top_p=0.65)(logits)) == [{0}]
    assert kept(only(temperature=100, min_p=0.9)(logits)) == [{0, 1, 2}]
    assert kept(only(torch.tensor([[0]]), no_repeat_ngram_size=1, min_p=0.9)(logits)) == [{1}]
    assert kept(only(torch.tensor([[0]]), no_repeat_ngram_size=1, temperature=0)(logits)) == [{1}]


@given(different, st.floats(0, 1))
def test_min_p_keeps_what_is_likely_enough_beside_the_likeliest(scores: list[int], p: float) -> None:
    logits = torch.tensor([scores, scores[::-1]]) / 10
    for row, values in zip(kept(only(min_p=p)(logits)), logits.double(), strict=True):
        share = (values - values.max()).exp()
        if bool(((share - p).abs() < 1e-5).any()):  # too near to tell in float32
            continue
        assert row == set(np.flatnonzero(share.numpy() >= p).tolist())
        assert int(values.argmax()) in row


def test_min_p_of_one_keeps_all_of_the_likeliest() -> None:
    assert kept(only(min_p=1)(torch.tensor([[2.0, 2.0, 1.0]]))) == [{0, 1}]


@given(different, st.floats(0.001, 0.999))
def test_typical_p_keeps_the_nearest_to_the_entropy(scores: list[int], p: float) -> None:
    logits = torch.tensor([scores, scores[::-1]]) / 10
    for row, values in zip(kept(only(typical_p=p)(logits)), logits.double(), strict=True):
        chance = values.softmax(dim=0).tolist()
        entropy = -sum(c * np.log(c) for c in chance)
        away = [abs(-np.log(c) - entropy) for c in chance]
        order = sorted(range(len(chance)), key=away.__getitem__)
        if any(away[b] - away[a] < 1e-5 for a, b in itertools.pairwise(order)):
            continue
        wanted: set[int] = set()
        for token in order:
            so_far = sum(chance[other] for other in wanted)
            if abs(so_far - p) < 1e-5:
                break
            if so_far >= p:
                assert row == wanted
                break
            wanted.add(token)
        else:
            assert row == wanted


@pytest.mark.parametrize("setting", ["top_p", "typical_p"])
@pytest.mark.parametrize("share", [1e-38, 1e-46, 5e-324])
def test_a_share_too_small_for_the_number_format_keeps_one_token(setting: str, share: float) -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [0.0, -9.0, 9.0]])
    found = kept(only(**{setting: share})(logits))  # type: ignore[arg-type]
    assert [len(tokens) for tokens in found] == [1, 1]
    assert setting == "typical_p" or found == [{1}, {2}]


@pytest.mark.parametrize("value", [1e30, 1e39, 1e308])
def test_a_huge_temperature_makes_allowed_tokens_equally_likely(value: float) -> None:
    logits = torch.tensor([[1.0, 3.0, -torch.inf, 60.0]])
    assert only(temperature=value)(logits).softmax(dim=1).tolist() == [pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])]


def test_typical_p_may_leave_the_likeliest_out() -> None:
    logits = torch.tensor([[0.4, *[0.1] * 6]]).log()  # the entropy is nearer to the surprisal of the others
    assert kept(only(typical_p=0.25)(logits)) == [{1, 2, 3}]
    assert kept(only(top_p=0.25)(logits)) == [{0}]


histories = st.lists(st.integers(0, 2), min_size=1, max_size=12)


@given(different, st.data(), st.floats(0.3, 3))
def test_repetition_penalty_lowers_what_was_read(scores: list[int], data: st.DataObject, penalty: float) -> None:
    tokens = st.lists(st.integers(0, len(scores) - 1), min_size=6, max_size=6)
    history = torch.tensor([data.draw(tokens), data.draw(tokens)])
    logits = torch.tensor([scores, scores[::-1]]) / 10
    found = only(history, repetition_penalty=penalty)(logits)
    for row, values, before in zip(found.tolist(), logits.tolist(), history.tolist(), strict=True):
        for token, value in enumerate(values):
            changed = value / penalty if value > 0 else value * penalty
            assert row[token] == pytest.approx(changed if token in before else value)


def naive_ban(history: list[int], length: int) -> set[int]:
    """What would complete an n-gram that the history holds."""
    begun = history[len(history) - length + 1 :]
    grams = [history[at : at + length] for at in range(len(history) - length + 1)]
    return {gram[-1] for gram in grams if gram[:-1] == begun}


@settings(max_examples=300)
@given(histories, histories, st.integers(1, 5), st.sets(st.integers(0, 2), max_size=2))
def test_no_ngram_comes_twice_while_another_token_is_left(
    one: list[int], other: list[int], length: int, never: set[int]
) -> None:
    """Else the banned runs grow until one is: what stays repeats the shortest run."""
    t = min(len(one), len(other))
    history = torch.tensor([one[:t], other[:t]])
    logits = torch.zeros(2, 3).index_fill(1, torch.tensor(sorted(never), dtype=torch.int64), -torch.inf)
    for row, before in zip(kept(only(history, no_repeat_ngram_size=length)(logits)), history.tolist(), strict=True):
        left = (set(range(3)) - never - naive_ban(before, n) for n in itertools.count(length))
        assert row == next(filter(None, left))


def naively_kept(p: list[float], history: list[int], length: int, end: int | None) -> set[int]:
    """The tokens of the shortest run that leaves one with a share of the likeliest one's probability."""
    while True:
        left = set(range(len(p))) - (naive_ban(history, length) - {end})
        if max((p[token] for token in left), default=0.0) >= NOISE * max(p):
            return {token for token in left if p[token] > 0}
        length += 1


@settings(max_examples=300)
@given(
    histories, histories, st.integers(1, 4), st.none() | st.integers(0, 2),
    st.lists(st.sampled_from([0.0, 0.1, 0.7, 1.3, 9e3]), min_size=6, max_size=6),
)  # fmt: skip
@example([0, 1, 0], [2, 1, 2], 1, 2, [0.1, 9e3, 0.1, 0.1, 9e3, 0.1])
def test_what_would_repeat_stays_where_all_else_is_noise(
    one: list[int], other: list[int], length: int, end: int | None, weights: list[float]
) -> None:
    """The end among what else there is, if it may come; it is never banned itself, though it stands in the history."""
    t, p = min(len(one), len(other)), [weights[:3], weights[3:]]
    history = [one[:t], other[:t]]
    found = only(torch.tensor(history), end, no_repeat_ngram_size=length)(torch.tensor(p).log())
    for row, values, before in zip(kept(found), p, history, strict=True):
        assert row == naively_kept(values, before, length, end)


def test_the_end_comes_sooner_than_what_repeats() -> None:
    history, end = torch.tensor([[2, 0, 1]]), 2
    for p_end, wanted in ((0.01, {end}), (1e-5, {0, 1, end})):
        logits = torch.tensor([[1.0, 1.0, p_end]]).log()
        assert kept(only(history, end, no_repeat_ngram_size=1)(logits)) == [wanted]
    config = GenerationConfig(temperature=1, min_p=0, no_repeat_ngram_size=1)
    logits = torch.tensor([[1.0, 1.0, 1.0]]).log()
    assert kept(apply_processors(logits, history, config, active_processors(config), end=end, may_end=False)) == [
        {0, 1}
    ]


@pytest.mark.parametrize(
    "config",
    [
        GenerationConfig(temperature=1, min_p=0),
        GenerationConfig(temperature=0.5, min_p=0),
        GenerationConfig(temperature=2, top_k=3, min_p=0),
        GenerationConfig(temperature=1.5, top_p=0.8, min_p=0),
        GenerationConfig(temperature=1.5, min_p=0.1),
    ],
    ids=["plain", "cold", "top-k", "top-p", "min-p"],
)
def test_draws_come_as_often_as_the_softmax_says(config: GenerationConfig) -> None:
    n = 20_000
    logits = some_logits(1)
    counts = sample_token(processed(logits, config).expand(n, -1), rising()).bincount(minlength=V)
    scaled = logits[0].double() / config.temperature
    ranked = scaled.argsort(descending=True)
    out = ranked[config.top_k :] if config.top_k else ranked[:0]
    if config.top_p < 1:
        held = scaled[ranked].softmax(dim=0).cumsum(dim=0)
        out = ranked[int((held < config.top_p).sum()) + 1 :]
    if config.min_p:
        out = ranked[scaled[ranked] < scaled.max() + np.log(config.min_p)]
    wanted = n * scaled.index_fill(0, out, -torch.inf).softmax(dim=0)
    assert not counts[wanted == 0].any()
    likely = wanted > 0
    chi_square = ((counts - wanted)[likely] ** 2 / wanted[likely]).sum()
    assert chi_square < 25  # 7 degrees of freedom pass it once in a thousand seeds; this seed stays


# Writing: a model whose logits depend on all that it has read.


def model(cell: CellName = "lstm") -> LanguageModel:
    torch.manual_seed(1)
    made = LanguageModel(LanguageModelConfig(cell=cell, num_layers=2, hidden_size=6, embedding_size=4), V)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=1.5)
    torch.nn.init.zeros_(made.output.bias)
    return made.double().eval()


def written(
    writer: LanguageModel, prompt: Tensor, config: GenerationConfig, *, seed: int = 1, bias: Tensor | None = None
) -> Tensor:
    state = writer.initial_state(len(prompt))
    tokens = sample(writer.stepper(), prompt, state, config, generator=rising(seed), bias=bias)
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
def test_a_bias_of_minus_infinity_bans_a_token(temperature: float, top_k: int | None) -> None:
    config = GenerationConfig(temperature=temperature, top_k=top_k, top_p=0.99, max_new_tokens=20)
    prompt = torch.zeros(20, 1, dtype=torch.int64)
    text = written(model(), prompt, config)
    common = text.flatten().bincount(minlength=V).topk(2).indices
    without = written(model(), prompt, config, bias=torch.zeros(V).index_fill(0, common, -torch.inf))
    assert not torch.isin(without, common).any()


def fixed(logits: list[float]) -> Step:
    """A model that always says the same."""
    return lambda tokens, state: (torch.tensor([logits]).expand(len(tokens), -1), state)


def text_of(logits: list[float], prompt: list[int], bias: Tensor | None = None, **values: float) -> list[int]:
    config = GenerationConfig.from_dict({"temperature": 0, **values}, where="here")
    drawn = sample(fixed(logits), torch.tensor([prompt]), (), config, generator=rising(), bias=bias)
    return torch.cat(list(drawn)).tolist()


def test_a_banned_token_leaves_its_place_to_the_next() -> None:
    bias = torch.tensor([-torch.inf, 0, 0])
    for values in ({"temperature": 0.0}, {"temperature": 1.0, "top_k": 1}):
        assert text_of([3.0, 2.0, 1.0], [0], bias, max_new_tokens=1, **values) == [1]


def test_a_bias_is_added_before_everything_else() -> None:
    assert text_of([3.0, 2.0, 1.0], [0], torch.tensor([-1.5, 0, 0]), max_new_tokens=2) == [1, 1]
    added = torch.tensor([-1.5, 0, 0])
    assert text_of([3.0, 2.0, 1.0], [1], added, max_new_tokens=2, repetition_penalty=1.5) == [0, 1]


def test_rules_look_over_the_prompt_and_the_text() -> None:
    assert text_of([3.0, 2.0, 1.0], [2, 0], max_new_tokens=5) == [0] * 5
    # 0 and 2 stand in the prompt: 1.5, 2, 0.5; then 1.5, 1, 0.5.
    assert text_of([3.0, 2.0, 1.0], [2, 0], max_new_tokens=2, repetition_penalty=2) == [1, 0]
    # At the end 0 has been followed by 0, 1 and 2: only 2, 0, x must be new.
    assert text_of([3.0, 2.0, 1.0], [0, 1], max_new_tokens=5, no_repeat_ngram_size=2) == [0, 0, 2, 0, 0]
    assert text_of([3.0, 2.0, 1.0], [1], max_new_tokens=4, no_repeat_ngram_size=1) == [0, 2, 0, 0]


@pytest.mark.parametrize("length", [2, 3, 5])
def test_no_ngram_is_written_twice(length: int) -> None:
    prompt = torch.randint(V, (6, 4), generator=rising())
    config = GenerationConfig(temperature=0, max_new_tokens=40, no_repeat_ngram_size=length)
    writer = model()
    twice = written(writer, prompt, GenerationConfig(temperature=0, max_new_tokens=40))
    for text, free in ((written(writer, prompt, config), False), (twice, True)):
        for row in torch.cat([prompt, text], dim=1).tolist():
            grams = [tuple(row[at : at + length]) for at in range(len(row) - length + 1)]
            assert (len(set(grams)) < len(grams)) == free


@pytest.mark.parametrize(
    "values",
    [{"repetition_penalty": 1.5}, {"no_repeat_ngram_size": 3}, {"min_p": 0.05, "typical_p": 0.9, "top_p": 0.95}],
    ids=["repetition", "ngrams", "drawing"],
)
def test_rules_treat_the_rows_of_a_batch_as_the_texts_alone(values: dict[str, float]) -> None:
    writer, prompt = model(), torch.randint(V, (5, 3), generator=rising())
    config = GenerationConfig.from_dict({"temperature": 0, "max_new_tokens": 12, **values}, where="here")
    alone = [written(writer, row.unsqueeze(0), config) for row in prompt]
    assert torch.equal(written(writer, prompt, config), torch.cat(alone))
    hot = GenerationConfig.from_dict({"temperature": 1.5, "max_new_tokens": 12, **values}, where="here")
    assert torch.equal(written(writer, prompt, hot, seed=7), written(writer, prompt, hot, seed=7))


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


@settings(max_examples=400)
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


def test_prompts_and_logits_of_other_shapes_are_refused() -> None:
    def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return torch.zeros(len(tokens), 1, V), state

    for prompt in (torch.tensor([1, 2]), torch.zeros(2, 0, dtype=torch.int64)):
        with pytest.raises(ValueError, match=r"^prompt: expected \(N, T\), at least one token for each text, got "):
            next(sample(step, prompt))
    with pytest.raises(ValueError, match=rf"^step: expected logits \(2, V\), got \(2, 1, {V}\)$"):
        next(sample(step, torch.tensor([[1], [2]])))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_an_error(value: float) -> None:
    def step(tokens: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        return torch.tensor([[0.0, value, -torch.inf]]).expand(len(tokens), -1), state

    with pytest.raises(TextseqError, match="the model's output is not a number"):
        next(sample(step, torch.tensor([[0], [1]]), config=DecodingConfig(seed=1)))
