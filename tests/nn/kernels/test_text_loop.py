"""The compiled loop of one text: states, logits and texts of the reference step, and used only where it pays."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

import textseq
from textseq.config.decoding import Precision
from textseq.decoding.sampling import sample
from textseq.nn.cells import State
from textseq.nn.kernels import inference_weights
from textseq.nn.kernels.compiled import text_loop
from textseq.nn.kernels.compiled.text_loop import CompilableStep, TextLoop
from textseq.tasks.language_model.config import GenerationConfig, LanguageModelConfig
from textseq.tasks.language_model.model import LanguageModel

pytest.importorskip("numba", reason="needs numba")

V, H = 23, 24
MODELS: Mapping[str, Mapping[str, object]] = {
    "lstm": {"cell": "lstm", "num_layers": 1},
    "lstm-2": {"cell": "lstm", "num_layers": 2},
    "lstm-3-residual": {"cell": "lstm", "num_layers": 3, "residual": True},
    "lstm-2-tied": {"cell": "lstm", "num_layers": 2, "embedding_size": H, "tie_embeddings": True},
    "lstm-2-learned-start": {"cell": "lstm", "num_layers": 2, "learn_initial_state": True},
    "gru": {"cell": "gru", "num_layers": 1},
    "gru-2": {"cell": "gru", "num_layers": 2},
    "gru-3-residual": {"cell": "gru", "num_layers": 3, "residual": True},
}


@pytest.fixture(autouse=True)
def _always_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """However short a text is."""
    monkeypatch.setattr(text_loop, "PAYS", 0)
    monkeypatch.setattr(text_loop, "PAYS_LOADED", 0)


def language_model(**settings: object) -> LanguageModel:
    """A model that likes some tokens much better than others."""
    torch.manual_seed(1)
    config = LanguageModelConfig.from_dict({"hidden_size": H, "embedding_size": 8, **settings}, where="here")
    model = LanguageModel(config, V).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
        if model.recurrent.start is not None:
            model.recurrent.start.uniform_(-1, 1)
    return model


def step_of(model: LanguageModel, precision: Precision = "float32") -> CompilableStep:
    """The model's step."""
    step = model.stepper(precision)
    assert isinstance(step, CompilableStep)
    return step


def loop_of(step: CompilableStep) -> TextLoop:
    """Its loop."""
    loop = step.loop(1)
    assert loop is not None
    return loop


@torch.inference_mode()
def by_steps(step: CompilableStep, tokens: Tensor, state: State) -> tuple[Tensor, State]:
    """The logits (V,) and the state after the last token."""
    for token in tokens:
        logits, state = step(token.unsqueeze(0), state)
    return logits[0], state


def noise(rows: int) -> Tensor:
    """Noise for so many tokens."""
    return torch.empty(rows, V).exponential_(generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("name", MODELS)
def test_states_and_logits_are_those_of_the_reference_step(
    name: str, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference_weights, "MIN_INT8", 0)
    monkeypatch.setattr(text_loop, "MIN_INT8", 0)
    model = language_model(**MODELS[name])
    step, start = step_of(model, precision), model.initial_state(1)
    written = loop_of(step).write(torch.tensor([3, 1, 4, 1, 5]), start, noise(20), GenerationConfig(temperature=1))
    tokens = torch.cat([torch.tensor([3, 1, 4, 1, 5]), written.tokens])
    logits, state = by_steps(step, tokens[:-1], start)
    bound = 1e-4 if precision == "float32" else 0.05  # a vector on the edge may be rounded to the next byte
    torch.testing.assert_close(written.logits, logits, rtol=0, atol=bound * 3)
    torch.testing.assert_close(written.state, state, rtol=0, atol=bound)
    assert len(loop_of(step).network.bytes) == (0 if precision == "float32" else step.multiply_adds)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 1.3, "top_k": 5},
        {"top_k": V + 1},
        {"top_p": 0.8},
        {"min_p": 0.1},
        {"temperature": 1.0, "top_k": 10, "top_p": 0.9, "min_p": 0.05},
        {"temperature": 0.0},
        {"temperature": 0.004},
        {"temperature": 1e31},
        {"temperature": 1e7, "top_k": 1},
        {"temperature": 1e7, "top_p": 0.05},
        {"temperature": 2.0, "top_p": 1e-45},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["lstm-2", "gru"])
def test_a_seed_gives_the_text_of_the_reference_step(name: str, settings: Mapping[str, float]) -> None:
    model = language_model(**MODELS[name])
    step, prompt = step_of(model), torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
    bias = torch.zeros(V)
    bias[7], bias[8] = -torch.inf, 3.0
    config = GenerationConfig.from_dict({"max_new_tokens": 200, "seed": 5, **settings}, where="here")
    text = torch.cat([*sample(step, prompt, model.initial_state(1), config, bias=bias)])
    wanted = torch.cat([*sample(step.step, prompt, model.initial_state(1), config, bias=bias)])
    assert text.tolist() == wanted.tolist()
    assert step.made is not None and not (text == 7).any()


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_a_text_does_not_depend_on_the_blocks_in_which_it_is_written(block: int) -> None:
    model = language_model(**MODELS["lstm-2"])
    step, config = step_of(model), GenerationConfig(max_new_tokens=100, seed=2)
    prompt, state = torch.arange(20).unsqueeze(0), model.initial_state(1)
    whole = torch.cat([*sample(step.step, prompt, state, config)])
    loop_of(step).block = block
    assert torch.equal(torch.cat([*sample(step, prompt, state, config)]), whole)
    assert all(not part.any() for part in state)  # the caller's state is left as it is


def test_few_rows_need_no_multiple_of_four() -> None:
    torch.manual_seed(3)
    model = LanguageModel(LanguageModelConfig(cell="gru", hidden_size=1, embedding_size=1), 2).eval()
    step, prompt, config = step_of(model), torch.tensor([[1]]), GenerationConfig(max_new_tokens=50, seed=2)
    texts = [torch.cat([*sample(each, prompt, model.initial_state(1), config)]) for each in (step, step.step)]
    assert torch.equal(*texts) and len({*texts[0].tolist()}) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"cell": "lstm-peephole"},
        {"cell": "gru-reset-before"},
        {"cell": "rnn"},
        {"cell": "lstm", "layer_norm": True},
        {"cell": "gru", "layer_norm": True},
        {"cell": "lstm", "zoneout": 0.1},
        {"cell": "lstm", "zoneout_cell": 0.1},
    ],
    ids=str,
)
def test_other_networks_are_left_to_the_reference_step(settings: Mapping[str, object]) -> None:
    assert not isinstance(language_model(**settings).stepper(), CompilableStep)
    assert not isinstance(language_model(cell="lstm").double().stepper(), CompilableStep)


@pytest.mark.parametrize(
    "settings", [{"typical_p": 0.9}, {"repetition_penalty": 1.2}, {"no_repeat_ngram_size": 3}], ids=str
)
def test_other_settings_several_texts_and_a_given_generator_are_left_to_the_reference_step(
    settings: Mapping[str, float],
) -> None:
    model = language_model(**MODELS["lstm"])
    step, prompt = step_of(model), torch.tensor([[1]])
    config = GenerationConfig.from_dict({"max_new_tokens": 3, **settings}, where="here")
    plain = GenerationConfig(max_new_tokens=3)
    assert len([*sample(step, prompt, model.initial_state(1), config)]) == 3
    assert len([*sample(step, prompt.expand(2, -1), model.initial_state(2), plain)]) == 3
    assert len([*sample(step, prompt, model.initial_state(1), plain, generator=torch.Generator())]) == 3
    assert step.made is None


def test_without_numba_the_reference_step_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    model, config = language_model(**MODELS["lstm-2"]), GenerationConfig(max_new_tokens=50, seed=1)
    fast = torch.cat([*sample(step_of(model), torch.tensor([[1]]), model.initial_state(1), config)])
    monkeypatch.setitem(sys.modules, "numba", None)
    step = model.stepper()
    assert not isinstance(step, CompilableStep)
    assert torch.equal(torch.cat([*sample(step, torch.tensor([[1]]), model.initial_state(1), config)]), fast)


def test_numba_is_loaded_when_all_texts_together_pay_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = loop_of(step_of(language_model(**MODELS["lstm"])))
    monkeypatch.setattr(text_loop, "PAYS", 1000)
    monkeypatch.setattr(text_loop, "PAYS_LOADED", 100)
    step = CompilableStep(lambda tokens, state: (tokens, state), lambda: loop, text_loop.MOST)
    assert step.loop(99) is None and step.loop(1) is loop
    monkeypatch.delitem(sys.modules, text_loop.MODULE)
    step = CompilableStep(lambda tokens, state: (tokens, state), lambda: loop, text_loop.MOST)
    assert step.loop(999) is None and step.loop(1) is loop


def test_a_large_network_is_left_to_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    model = language_model(**MODELS["lstm"])
    monkeypatch.setattr(text_loop, "MOST", 10)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert step_of(model).loop(10**6) is None
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert step_of(model).loop(10**6) is not None


def test_a_numba_that_fails_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> TextLoop:
        raise RuntimeError("no locator available")

    step = CompilableStep(lambda tokens, state: (tokens, state), fail, 1)
    assert step.loop(10) is None and step.loop(10) is None
    assert [record.message for record in caplog.records] == [
        "note: writing without the compiled loop of textseq[fast]: no locator available"
    ]


def test_the_writer_that_ships_writes_the_same_with_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    writer, settings = textseq.load_generator("shakespeare"), {"max_new_tokens": 300, "seed": 1}
    pieces = [*writer.stream("ROMEO:", **settings)]  # type: ignore[arg-type]
    stopped = writer.generate("ROMEO:", stop_strings=("\n\n",), **settings)  # type: ignore[call-overload]
    assert isinstance(writer.step, CompilableStep) and writer.step.made is not None and len(pieces) > 100
    monkeypatch.setitem(sys.modules, "numba", None)
    writer = textseq.load_generator("shakespeare")
    assert "".join(pieces) == writer.generate("ROMEO:", **settings)  # type: ignore[call-overload]
    assert stopped == "".join(pieces).split("\n\n")[0]
