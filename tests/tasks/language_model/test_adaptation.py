"""Dynamic evaluation and the neural cache: the papers' equations, a model that stays as it is, figures that say so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from textseq.checkpoints.model_info import CorpusInfo, ModelInfo
from textseq.config.decoding import DecodingConfig, Precision
from textseq.config.names import CellName
from textseq.data.text import own_text
from textseq.decoding.beam import beam_search
from textseq.decoding.sampling import sample
from textseq.errors import TextseqError
from textseq.tasks.language_model.adaptation.cache import NeuralCache
from textseq.tasks.language_model.adaptation.dynamic import DynamicModel
from textseq.tasks.language_model.condition import TextConditions
from textseq.tasks.language_model.config import AdaptationConfig, AdaptationSettings, LanguageModelConfig
from textseq.tasks.language_model.evaluate import measure
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.language_model.model import LanguageModel
from textseq.tokenizers.characters import CharTokenizer

V = 11
TEXT = "Ada met Grace in Lodz; Grace met Ada in Wien. "
STRONG: AdaptationSettings = {
    "dynamic": True,
    "dynamic_method": "sgd",
    "dynamic_learning_rate": 0.5,
    "dynamic_window": 8,
}


def language_model(cell: CellName = "lstm", layers: int = 2, conditions: int = 0, **settings: bool) -> LanguageModel:
    torch.manual_seed(1)
    config = LanguageModelConfig(
        cell=cell, num_layers=layers, hidden_size=12, embedding_size=6, condition_size=4, **settings
    )
    model = LanguageModel(config, V, conditions).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3)  # outputs far enough apart to be told from one another
    return model


def ids(length: int, rows: int = 1) -> Tensor:
    return torch.randint(V, (rows, length), generator=torch.Generator().manual_seed(2))


def cache_config(**settings: float) -> AdaptationConfig:
    size, theta, share = settings.get("size", 7), settings.get("theta", 0.8), settings.get("share", 0.3)
    return AdaptationConfig(cache=True, cache_size=int(size), cache_theta=theta, cache_lambda=share)


def with_the_equations(model: LanguageModel, text: Tensor, config: AdaptationConfig) -> np.ndarray:
    """The probabilities (T, V) after each token of one text (T,), one position and one cached word at a time."""
    with torch.no_grad():
        h = model.outputs(text[None])[0][0].double().numpy()
        p_model = model(text[None])[0][0].double().softmax(-1).numpy()
    rows = []
    for t in range(len(text)):
        p_cache = np.zeros(V)
        for i in range(max(0, t - config.cache_size), t):
            p_cache[text[i + 1]] += np.exp(config.cache_theta * h[t] @ h[i])
        if t == 0:
            rows.append(p_model[t])
            continue
        share = config.cache_lambda
        rows.append((1 - share) * p_model[t] + share * p_cache / p_cache.sum())
    return np.array(rows)


@pytest.mark.parametrize(
    ("cell", "settings"), [("lstm", {}), ("gru", {"residual": True}), ("lstm", {"learn_initial_state": True})]
)
def test_the_cache_is_that_of_the_paper(cell: CellName, settings: dict[str, bool], float64: None) -> None:
    model, config, text = language_model(cell, **settings), cache_config(), ids(30)
    log_p, _ = NeuralCache(model, config)(text)
    expected = with_the_equations(model, text[0], config)
    np.testing.assert_allclose(log_p[0].exp().detach().numpy(), expected, rtol=1e-9)
    np.testing.assert_allclose(log_p.exp().sum(-1).detach().numpy(), 1, rtol=1e-9)
    plain = model(text)[0].log_softmax(-1)
    assert (log_p - plain)[0, 1:].abs().max() > 0.01, "the cache changes something"


@pytest.mark.parametrize("chunk", [1, 4, 30])
def test_a_cache_in_chunks_and_in_steps_is_that_of_the_whole(chunk: int, float64: None) -> None:
    reader, text = NeuralCache(language_model(), cache_config()), ids(30, rows=3)
    with torch.no_grad():
        whole, end = reader(text)
        state, parts = reader.initial_state(3), []
        for start in range(0, 30, chunk):
            log_p, state = reader(text[:, start : start + chunk], state)
            parts.append(log_p)
        step, stepped, by_step = reader.stepper(), reader.initial_state(3), []
        for t in range(text.shape[1]):
            log_p, stepped = step(text[:, t], stepped)
            by_step.append(log_p)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)
    torch.testing.assert_close(torch.stack(by_step, dim=1), whole)
    for parts_end, steps_end, whole_end in zip(state, stepped, end, strict=True):
        torch.testing.assert_close(parts_end, whole_end)
        torch.testing.assert_close(steps_end, whole_end)


def test_beams_take_their_caches_along(float64: None) -> None:
    step = NeuralCache(language_model(), cache_config(share=0.9)).stepper()
    reader, prompt = NeuralCache(language_model(), cache_config(share=0.9)), ids(12)
    config = DecodingConfig(num_beams=4, num_return_sequences=4, max_new_tokens=6)
    with torch.no_grad():
        (hypotheses,) = beam_search(step, prompt, reader.initial_state(1), config)
        for hypothesis in hypotheses:
            text = torch.cat([prompt[0], torch.as_tensor(hypothesis.tokens)])
            log_p, _ = reader(text[None])
            expected = sum(float(log_p[0, t - 1, text[t]]) for t in range(12, len(text)))
            assert hypothesis.score == pytest.approx(expected, abs=1e-6)


def figure(model: LanguageModel, text: np.ndarray, **settings: object) -> float:
    config = AdaptationConfig.from_dict(settings, where="test")
    return measure(model, text, setup="", adaptation=config).nats_per_token


def test_without_effect_both_are_plain_evaluation() -> None:
    model, text = language_model(), ids(300)[0].numpy()
    plain = figure(model, text)
    assert figure(model, text, cache=True, cache_lambda=0) == pytest.approx(plain, abs=1e-6)
    for method in ("sgd", "rms"):
        settings = {"dynamic": True, "dynamic_learning_rate": 0, "dynamic_method": method, "dynamic_decay": 0.5}
        assert figure(model, text, **settings) == pytest.approx(plain, abs=1e-6)
        assert figure(model, text, **settings, cache=True, cache_lambda=0) == pytest.approx(plain, abs=1e-6)
        both = figure(model, text, **settings, cache=True)
        assert both == pytest.approx(figure(model, text, cache=True), abs=1e-6)


@pytest.mark.parametrize("method", ["sgd", "rms"])
def test_dynamic_evaluation_is_that_of_the_paper(method: str, float64: None) -> None:
    """Each window with the weights of the one before: a plain loop over named weights, its gradients by backward()."""
    settings = {"dynamic": True, "dynamic_window": 10, "dynamic_decay": 0.3, "dynamic_learning_rate": 0.05}
    config = AdaptationConfig.from_dict({**settings, "dynamic_method": method}, where="test")
    model, text = language_model(), ids(45)[0]
    learner = DynamicModel(model, config, text[:1])
    nats = learner.read_text(text)

    reference = language_model().requires_grad_()
    rms = {name: torch.ones(()) for name, _ in reference.named_parameters()}
    if method == "rms":
        rms = sampled_rms(reference, text[:1], window=10)
    mean = float(torch.cat([part.flatten() for part in rms.values()]).mean())
    state, expected = None, 0.0
    trained = {name: weight.detach().clone() for name, weight in reference.named_parameters()}
    for start in range(0, 44, 10):
        window = text[start : start + 11]
        reference.zero_grad()
        logits, state = reference(window[None, :-1], state)
        state = tuple(part.detach() for part in state)
        loss = cross_entropy(logits[0], window[1:])
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            expected += float(loss) * (len(window) - 1)
            for name, weight in reference.named_parameters():
                assert weight.grad is not None
                divisor = rms[name].clamp(min=0.1 * mean) if method == "rms" else 1
                back = (0.3 * rms[name] / mean).clamp(max=1) * (trained[name] - weight)
                weight.add_(back - 0.05 * weight.grad / divisor)
    assert nats == pytest.approx(expected, rel=1e-9)
    for (name, weight), other in zip(reference.named_parameters(), learner.model.parameters(), strict=True):
        torch.testing.assert_close(weight, other, msg=name)


def sampled_rms(model: LanguageModel, start: Tensor, window: int) -> dict[str, Tensor]:
    """By weight, of 10 texts of 10 windows that the model samples side by side."""
    config = DecodingConfig(max_new_tokens=10 * window, temperature=1, min_p=0, seed=0)
    with torch.no_grad():
        tokens = [*sample(model.stepper(), start.expand(10, 1), model.initial_state(10), config)]
    texts = torch.stack([start.expand(10), *tokens], dim=1).clone()
    squares = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    for text in texts:
        state = None
        for first in range(0, 10 * window, window):
            model.zero_grad()
            logits, state = model(text[None, first : first + window], state)
            state = tuple(part.detach() for part in state)
            cross_entropy(logits[0], text[first + 1 : first + window + 1]).backward()  # type: ignore[no-untyped-call]
            for name, weight in model.named_parameters():
                assert weight.grad is not None
                squares[name] += weight.grad**2 / 100
    return {name: square.sqrt() for name, square in squares.items()}


@pytest.mark.parametrize("method", ["sgd", "rms"])
@pytest.mark.parametrize("cache", [False, True])
def test_a_text_in_two_parts_is_that_of_one(method: str, cache: bool, float64: None) -> None:
    settings = {**STRONG, "dynamic_method": method, "dynamic_learning_rate": 0.01, "cache": cache}
    config, text = AdaptationConfig.from_dict(settings, where="test"), ids(41)[0]
    whole, parts = (DynamicModel(language_model(), config, text[:1]) for _ in range(2))
    state, nats = None, 0.0
    for start in range(0, 40, 8):
        part, state = parts.read(text[start : start + 9], state)
        nats += part
    assert nats == whole.read_text(text)


def repeating() -> tuple[TextGenerator, str]:
    tokenizer = CharTokenizer.train([TEXT])
    torch.manual_seed(1)
    config = LanguageModelConfig(hidden_size=24, embedding_size=8, num_layers=1, bidirectional=True)
    model = LanguageModel(config, tokenizer.size)
    return TextGenerator(model, tokenizer, ModelInfo(task="language-model", corpus=CorpusInfo(name="x"))), TEXT * 12


@pytest.mark.parametrize(
    "settings",
    [
        STRONG,
        {**STRONG, "dynamic_method": "rms", "dynamic_learning_rate": 0.005},
        {"cache": True, "cache_theta": 3.0},
        {**STRONG, "cache": True, "cache_theta": 3.0},
    ],
    ids=["sgd", "rms", "cache", "both"],
)
def test_a_text_that_repeats_is_predicted_better(
    settings: AdaptationSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    generator, text = repeating()
    path = tmp_path / "text.txt"
    path.write_text(text)
    dataset = own_text([path], validation=0)
    before = {name: weight.clone() for name, weight in generator.model.state_dict().items()}
    counted: list[int] = []
    adapted = generator.evaluate(dataset, "train", progress=counted.append, **settings)
    plain = generator.evaluate(dataset, "train")
    assert adapted.nats_per_token < plain.nats_per_token - 0.1
    assert sum(counted) == adapted.tokens == plain.tokens
    assert adapted.signature != plain.signature
    for name, weight in generator.model.state_dict().items():
        assert torch.equal(weight, before[name]), f"{name} has changed"
    assert not any(weight.grad is not None for weight in generator.model.parameters())


def test_the_signature_says_how() -> None:
    def signature(**settings: object) -> str:
        return measure(
            language_model(), ids(60)[0].numpy(), setup="x", adaptation=AdaptationConfig.from_dict(settings, where="")
        ).signature.rpartition("|textseq:")[0]

    plain = "x|state:carried|streams:1"
    assert signature() == plain
    dynamic = {
        "dynamic": True,
        "dynamic_method": "sgd",
        "dynamic_learning_rate": 0.25,
        "dynamic_decay": 0.01,
        "dynamic_window": 9,
    }
    cache = {"cache": True, "cache_size": 30, "cache_theta": 0.5, "cache_lambda": 0.2}
    said = f"{plain}|dynamic:sgd-rate-0.25-decay-0.01-window-9"
    assert signature(**dynamic) == said
    assert signature(**cache) == f"{plain}|cache:30-theta-0.5-lambda-0.2"
    assert signature(**dynamic, **cache) == f"{said}|cache:30-theta-0.5-lambda-0.2"
    usual = AdaptationConfig(dynamic=True)
    assert usual.signature.startswith(f"|dynamic:{usual.dynamic_method}-rate-{usual.learning_rate:g}-")


@pytest.mark.parametrize("cache", [False, True])
def test_a_conditional_model_adapts_across_documents(cache: bool, float64: None) -> None:
    model, text = language_model(conditions=3), ids(50)[0].numpy()
    starts = np.array([0, 13, 30])
    conditions = TextConditions(starts, np.array([0, 2, 1]), np.eye(3, dtype=np.float32))
    still = {"dynamic": True, "dynamic_window": 7, "dynamic_learning_rate": 0}
    settings = {"cache": True, "cache_size": 9} if cache else {}

    def nats(**settings: object) -> float:
        config = AdaptationConfig.from_dict(settings, where="test")
        return measure(model, text, setup="", conditions=conditions, adaptation=config).nats_per_token

    assert nats(**still, **settings) == pytest.approx(nats(**settings), rel=1e-9)
    for method in ("sgd", "rms"):
        assert nats(**{**still, "dynamic_learning_rate": 0.1, "dynamic_method": method}, **settings) != nats(**settings)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_generator_learns_a_prompt_and_stays_as_it_was(precision: Precision) -> None:
    generator, text = repeating()
    info = replace(generator.info, results=({"signature": "of the model before"},))
    generator = TextGenerator(generator.model, generator.tokenizer, info, precision=precision)
    before = {name: weight.clone() for name, weight in generator.model.state_dict().items()}
    plain = generator.generate(text, max_new_tokens=20, temperature=0)
    adapted = generator.adapted(text, **STRONG)
    assert generator.info.results and not adapted.info.results
    likely = [one.score(TEXT).nats for one in (generator, adapted)]
    assert likely[1] < likely[0] - 10
    written = adapted.generate(text, max_new_tokens=46, temperature=0)
    assert written != plain and adapted.generate(text, max_new_tokens=46, temperature=0) == written
    assert generator.generate(text, max_new_tokens=20, temperature=0) == plain
    for name, weight in generator.model.state_dict().items():
        assert torch.equal(weight, before[name]), f"{name} has changed"


def test_a_generator_remembers_its_prompt() -> None:
    generator, text = repeating()
    cached = generator.adapted(cache=True, cache_theta=3.0, cache_lambda=0.5)
    twice = text[:92]
    assert cached.score(twice).nats < generator.score(twice).nats
    prompt = TEXT * 2 + "Ada met Gra"
    after = {token.text: token.probability for token in cached.next(prompt, 99)}
    scored = {letter: np.exp(-cached.score(prompt + letter).surprisal[-1]) for letter in "ca"}
    assert after["c"] / after["a"] == pytest.approx(scored["c"] / scored["a"], rel=1e-4)  # others are never generated
    assert scored["c"] > np.exp(-generator.score(prompt + "c").surprisal[-1])
    assert sum(after.values()) == pytest.approx(1, abs=1e-5)
    together = cached.generate_all("Ada", num_return_sequences=3, max_new_tokens=30, seed=1)
    assert len(together) == 3
    for beam in cached.generate_all("Ada met", num_beams=3, num_return_sequences=2, max_new_tokens=9):
        assert beam.startswith("Ada met")


def test_a_cache_stays_with_a_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    generator, text = repeating()
    path = tmp_path / "text.txt"
    path.write_text(text)
    dataset = own_text([path], validation=0)
    strong: AdaptationSettings = {"cache": True, "cache_theta": 3.0, "cache_lambda": 0.5}
    cached = generator.adapted(**strong)
    assert cached.evaluate(dataset, "train") == generator.evaluate(dataset, "train", **strong)
    without = cached.evaluate(dataset, "train", cache=False, cache_theta=0.5, cache_lambda=0.1)
    assert without == generator.evaluate(dataset, "train")
    both: AdaptationSettings = {**STRONG, **strong}
    expected = generator.adapted(text, **both).score(TEXT)
    assert cached.adapted(text, **STRONG).score(TEXT).nats == expected.nats
    assert expected.nats != generator.adapted(text, **STRONG).score(TEXT).nats


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 8, "streams": 2}, "--streams: expected none with --window, got 2; leave one of them out"),
        ({"dynamic_decay": 0.5}, "--dynamic-decay is for --dynamic; add that"),
        ({"dynamic": True, "cache_size": 5}, "--cache-size is for --cache; add that"),
        ({"cache": True, "cache_size": 0}, "--cache-size: expected at least 1, got 0"),
        ({"cache": True, "cache_lambda": 1.0}, "--cache-lambda: expected at least 0 and less than 1, got 1.0"),
        ({"cache": True, "cache_theta": -1.0}, "--cache-theta: expected at least 0, got -1.0"),
        ({"dynamic": True, "dynamic_method": "adam"}, "unknown value of --dynamic-method 'adam'"),
        ({"dynamic": True, "dynamic_learning_rate": -1.0}, "--dynamic-learning-rate: expected at least 0, got -1.0"),
        ({"dynamic": True, "streams": 2}, "--streams: expected none with --dynamic, .* got 2; leave one of them out"),
        ({"dynamic": True, "window": 64}, "--window: expected none with --dynamic, .* got 64; leave one of them out"),
        ({"dynamik": True}, "unknown setting in evaluate 'dynamik'; did you mean 'dynamic'"),
        ({**STRONG, "dynamic_learning_rate": 1e6}, "dynamic evaluation diverged; lower --dynamic-learning-rate"),
    ],
)
def test_what_makes_no_sense_is_refused(
    settings: AdaptationSettings, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    generator, text = repeating()
    path = tmp_path / "text.txt"
    path.write_text(text)
    with pytest.raises(TextseqError, match=message):
        generator.evaluate(own_text([path], validation=0), "train", **settings)


def test_divergence_in_the_last_window_is_noticed() -> None:
    generator, text = repeating()
    for length in (6, 14):  # a window of 8 tokens, and another
        with pytest.raises(TextseqError, match="dynamic evaluation diverged"):
            generator.adapted(text[:length], dynamic=True, dynamic_window=8, dynamic_learning_rate=1e30)


def test_there_must_be_a_text_to_learn_from() -> None:
    generator, _ = repeating()
    with pytest.raises(TextseqError, match="--dynamic: expected a text to learn from, got none"):
        generator.adapted(dynamic=True)
