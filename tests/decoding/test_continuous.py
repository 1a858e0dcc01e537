"""Texts of a continuous batch do not depend on when they join, on who is beside them, and are those of ``sample``."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from textseq.config.decoding import DecodingConfig
from textseq.decoding.continuous import BatchRow, Choice, ContinuousBatch, steady_rows
from textseq.decoding.sampling import sample
from textseq.nn.kernels.compiled import text_loop
from textseq.tasks.language_model.config import LanguageModelConfig
from textseq.tasks.language_model.model import LanguageModel

V = 12

SETTINGS = st.fixed_dictionaries(
    {
        "max_new_tokens": st.integers(0, 12),
        "seed": st.integers(0, 1000),
        "temperature": st.sampled_from([0.0, 0.7, 1.0]),
        "top_k": st.sampled_from([None, 3]),
        "top_p": st.sampled_from([1.0, 0.8]),
        "min_p": st.sampled_from([0.0, 0.1]),
        "repetition_penalty": st.sampled_from([1.0, 1.3]),
        "no_repeat_ngram_size": st.sampled_from([0, 2]),
    }
)

TEXTS = st.lists(
    st.tuples(st.lists(st.integers(0, V - 1), min_size=1, max_size=6), SETTINGS, st.integers(0, 15)),
    min_size=1,
    max_size=6,
)
"""Prompts, their settings, and the step at which each joins."""


def small_model() -> LanguageModel:
    torch.manual_seed(1)
    config = LanguageModelConfig(hidden_size=16, embedding_size=8, num_layers=2, learn_initial_state=True)
    model = LanguageModel(config, V).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


MODEL = small_model()
STEP = MODEL.stepper()


def alone(prompt: list[int], config: DecodingConfig, bias: torch.Tensor | None = None) -> list[int]:
    """The tokens that ``sample`` chooses."""
    tokens = sample(STEP, torch.tensor([prompt]), MODEL.initial_state(1), config, bias=bias)
    return [int(token) for token in tokens]


def batch() -> ContinuousBatch:
    return ContinuousBatch(STEP, MODEL.initial_state)


def run(running: ContinuousBatch) -> dict[BatchRow, list[Choice]]:
    """Everything that is chosen until all texts have left."""
    choices: dict[BatchRow, list[Choice]] = {}
    while running.rows:
        for row, choice in running.advance():
            choices.setdefault(row, []).append(choice)
    return choices


@settings(max_examples=30)
@given(TEXTS)
def test_each_text_is_what_it_is_alone(texts: list[tuple[list[int], dict[str, float], int]]) -> None:
    running, rows = batch(), []
    for step in itertools.count():
        for prompt, values, start in texts:
            if start == step:
                config = DecodingConfig.from_dict(values, where="here")
                rows.append((running.join(prompt, config), prompt, config))
        if running.rows:
            running.advance()
        elif step > 15:
            break
    for row, prompt, config in rows:
        assert row.tokens == prompt + alone(prompt, config)


def test_a_text_that_leaves_changes_no_other() -> None:
    running, config = batch(), DecodingConfig(seed=3, max_new_tokens=10)
    other, stays = running.join([1, 2], DecodingConfig(seed=1)), running.join([3], config)
    for _ in range(4):
        running.advance()
    running.leave([other])
    running.leave([other])
    run(running)
    assert stays.tokens == [3, *alone([3], config)]
    assert len(other.tokens) == 2 + 3


def test_each_text_has_its_own_bias() -> None:
    running, config, bias = batch(), DecodingConfig(seed=3, max_new_tokens=8), torch.zeros(V)
    bias[5] = 100
    rows = [running.join([1], config, bias=chosen) for chosen in (bias, None)]
    run(running)
    assert rows[0].tokens == [1] + [5] * 8
    assert rows[1].tokens == [1, *alone([1], config)]


@pytest.mark.parametrize("most", [0, 3])
def test_log_probabilities_are_those_of_the_model(most: int) -> None:
    prompt, config = [4, 1, 7], DecodingConfig(seed=2, max_new_tokens=5, temperature=0.5)
    running = batch()
    row = running.join(prompt, config, alternatives=most)
    running.join([1], DecodingConfig(max_new_tokens=9), alternatives=None if most else 1)
    choices = run(running)[row]
    assert [choice.token for choice in choices] == row.tokens[1:]
    assert [choice.from_prompt for choice in choices] == [True] * 2 + [False] * 5
    with torch.inference_mode():
        log_p = MODEL(torch.tensor([row.tokens]))[0][0].log_softmax(dim=1)
    for choice, expected in zip(choices, log_p, strict=False):
        assert choice.log_p == pytest.approx(float(expected[choice.token]), abs=1e-4)
        best = expected.topk(most)
        assert [token for token, _ in choice.likeliest] == best.indices.tolist()
        assert [value for _, value in choice.likeliest] == pytest.approx(best.values.tolist(), abs=1e-4)


def test_the_prompt_alone_is_read_for_no_new_token() -> None:
    running = batch()
    assert running.join([3], DecodingConfig(max_new_tokens=0)).finished and not running.rows
    row = running.join([3, 4, 5], DecodingConfig(max_new_tokens=0), alternatives=0)
    assert [choice.token for choice in run(running)[row]] == [4, 5]


def test_the_compiled_loop_writes_blocks_of_a_text_that_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="needs numba")
    greedy = DecodingConfig(temperature=0, max_new_tokens=150)
    expected = alone([1, 2], greedy)
    monkeypatch.setattr(text_loop, "PAYS", 0)
    running = ContinuousBatch(MODEL.stepper(), MODEL.initial_state)
    row = running.join([1, 2], greedy)
    assert [len(running.advance()) for _ in range(3)] == [0, 1, 64]
    company = running.join([3], DecodingConfig(temperature=0, max_new_tokens=2))
    assert [len(running.advance()) for _ in range(4)] == [2, 2, 64, 150 - 1 - 64 - 2 - 64]
    assert row.tokens == [1, 2, *expected] and company.finished and not running.rows
    for seeded in (DecodingConfig(seed=1), DecodingConfig(repetition_penalty=1.3)):
        row = running.join([1], seeded)
        assert [len(running.advance()) for _ in range(3)] == [1, 1, 1]
        running.leave([row])
    running.join([1], DecodingConfig(), alternatives=0)
    assert [len(running.advance()) for _ in range(3)] == [1, 1, 1]


def test_steps_whose_bits_depend_on_few_rows_are_found() -> None:
    def step(tokens: torch.Tensor, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        logits = torch.nn.functional.one_hot(tokens, V).float()
        return logits + 1e-6 * (len(tokens) < 4), state

    assert steady_rows(step, lambda count: (torch.zeros(1, count, 1),), V, 64) == 4


def test_a_seeded_text_is_computed_in_a_large_enough_batch() -> None:
    sizes = []

    def step(tokens: torch.Tensor, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        sizes.append(len(tokens))
        return STEP(tokens, state)

    running = ContinuousBatch(step, MODEL.initial_state, seeded_rows=4)
    config = DecodingConfig(seed=5, max_new_tokens=3)
    rows = [running.join([2], config), running.join([1], DecodingConfig(max_new_tokens=5))]
    run(running)
    assert sizes == [4, 4, 4, 1, 1]
    assert rows[0].tokens == [2, *alone([2], config)]
