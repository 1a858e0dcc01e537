"""Losses and measures equal a naive loop over the tokens, however they are computed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from textseq.config.names import CellName
from textseq.config.tokenizer import TokenizerConfig
from textseq.errors import TextseqError
from textseq.metrics.language_model import LanguageModelMetrics, bits_per_character, perplexity
from textseq.nn.cell_registry import CELLS
from textseq.nn.kernels.linear_cross_entropy import summed_nats
from textseq.tasks.language_model import evaluate
from textseq.tasks.language_model.condition import TextConditions
from textseq.tasks.language_model.config import LanguageModelConfig
from textseq.tasks.language_model.evaluate import measure
from textseq.tasks.language_model.model import LanguageModel
from textseq.tokenizers.registry import TOKENIZERS
from textseq.version import __version__

V, L = 9, 41

IDS = np.random.default_rng(1).integers(V, size=L).astype(np.uint8)


def made(cell: CellName = "lstm", *, learned: bool = False) -> LanguageModel:
    torch.manual_seed(1)
    config = LanguageModelConfig(
        cell=cell, num_layers=2, hidden_size=6, embedding_size=4, dropout=0.5, learn_initial_state=learned
    )
    model = LanguageModel(config, V)
    for parameter in model.parameters():  # so that what came before matters, and how far back
        torch.nn.init.normal_(parameter)
    return model


def naive(model: LanguageModel, ids: np.ndarray) -> float:
    """-log p of every token but the first, one after the other from a fresh state."""
    was_training = model.training
    model.eval()
    step, state, nats = model.stepper(), model.initial_state(1), 0.0
    with torch.no_grad():
        for now, after in itertools.pairwise(ids.tolist()):
            logits, state = step(torch.tensor([now]), state)
            nats -= float(logits[0].double().log_softmax(dim=0)[after])
    model.train(was_training)
    return nats


def parts(length: int) -> Iterator[np.ndarray]:
    """Stretches that predict ``length`` tokens each (the last one fewer)."""
    for start in range(0, L - 1, length):
        yield IDS[start : start + length + 1]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("learned", [False, True], ids=["zero", "learned"])
def test_carried_measure_is_the_naive_loop(cell: CellName, learned: bool) -> None:
    model = made(cell, learned=learned)
    found = measure(model, IDS, setup="x")
    assert found.nats == pytest.approx(naive(model, IDS), rel=1e-5)
    assert found.tokens == L - 1


@pytest.mark.parametrize("streams", [2, 3, 5, 7, 40, 1000])
def test_streams_are_equal_parts_each_from_a_fresh_state(streams: int) -> None:
    model = made(learned=True)
    wanted = sum(naive(model, part) for part in parts(math.ceil((L - 1) / streams)))
    found = measure(model, IDS, setup="x", streams=streams)
    assert found.nats == pytest.approx(wanted, rel=1e-5)
    assert found.tokens == L - 1
    assert found.nats != pytest.approx(naive(model, IDS), rel=1e-4)


@pytest.mark.parametrize("window", [1, 3, 8, 40, 100])
def test_windows_each_begin_from_a_fresh_state(window: int) -> None:
    model = made()
    found = measure(model, IDS, setup="x", window=window)
    assert found.nats == pytest.approx(sum(naive(model, part) for part in parts(window)), rel=1e-5)
    assert found.tokens == L - 1


@pytest.mark.parametrize("chunk", [1, 7, 16, 39, 40, 100])
def test_chunks_change_nothing(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = made()
    ways: list[dict[str, int]] = [{}, {"streams": 3}, {"window": 4}, {"window": 20}]
    before = [measure(model, IDS, setup="x", **way).nats for way in ways]  # type: ignore[arg-type]
    monkeypatch.setattr(evaluate, "CHUNK", chunk)
    assert [measure(model, IDS, setup="x", **way).nats for way in ways] == pytest.approx(before, rel=1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [2, 3, 10, 41])
def test_every_token_but_the_first_counts_once(length: int) -> None:
    """A model that knows nothing pays log V for each."""
    model = made()
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    ways: list[dict[str, int]] = [{}, {"streams": 3}, {"window": 4}]
    for way in ways:
        found = measure(model, IDS[:length], setup="x", **way)  # type: ignore[arg-type]
        assert found.tokens == length - 1
        assert found.nats == pytest.approx((length - 1) * math.log(V), rel=1e-5)
        assert found.perplexity == pytest.approx(V, rel=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_measuring_leaves_the_model_as_it_was(training: bool) -> None:
    model = made().train(training)
    assert measure(model, IDS, setup="x").nats == measure(model, IDS, setup="x").nats  # no dropout
    assert model.training == model.recurrent.dropout.training == training


def test_signature_is_the_recipe_of_the_number() -> None:
    model = made()
    source = "corpus:a|split:test|tokens:char"
    assert measure(model, IDS, setup=source).signature == f"{source}|state:carried|streams:1|textseq:{__version__}"
    assert "|state:carried|streams:3|" in measure(model, IDS, setup=source, streams=3).signature
    assert "|state:carried|streams:40|" in measure(model, IDS, setup=source, streams=1000).signature
    assert "|state:fresh-per-window|window:8|" in measure(model, IDS, setup=source, window=8).signature


@pytest.mark.parametrize("way", [{}, {"streams": 3}, {"window": 8}])
def test_signature_says_that_documents_are_read_under_their_conditions(way: dict[str, int]) -> None:
    torch.manual_seed(0)
    model = LanguageModel(LanguageModelConfig(hidden_size=6), V, 2)
    conditions = TextConditions(np.array([0, 20]), np.array([0, 1]), np.eye(2, dtype=np.float32))
    conditional = measure(model, IDS, setup="x", conditions=conditions, **way).signature  # type: ignore[arg-type]
    plain = measure(made(), IDS, setup="x", **way).signature  # type: ignore[arg-type]
    assert conditional == plain.replace("|state:", "|condition:given|state:").replace("carried", "fresh-per-document")


def test_bits_are_spread_over_the_characters() -> None:
    model = made()
    per_token, per_half = measure(model, IDS, setup="x"), measure(model, IDS, setup="x", characters=2 * L)
    bits = per_token.nats / math.log(2)
    assert per_token.bits_per_character == pytest.approx(bits / (L - 1))  # the first token's are not predicted
    assert per_half.bits_per_character == pytest.approx(bits / (L - 1) / 2)
    assert per_half.nats_per_token == per_token.nats_per_token == pytest.approx(per_token.nats / (L - 1))


@pytest.mark.parametrize("first", [1, 10, 39])
def test_the_first_predictions_alone(first: int) -> None:
    model = made()
    ways: list[dict[str, int]] = [{}, {"streams": 3}, {"window": 4}]
    for way in ways:
        found = measure(model, IDS, setup="x", characters=2 * L, first=first, **way)  # type: ignore[arg-type]
        alone = measure(model, IDS[: first + 1], setup=f"x|first:{first}", **way)  # type: ignore[arg-type]
        assert (found.nats, found.tokens, found.signature) == (alone.nats, first, alone.signature)
        assert found.characters == pytest.approx(2 * first)


@pytest.mark.parametrize("first", [L - 1, L, 1000])
def test_more_than_there_is_means_all(first: int) -> None:
    model = made()
    assert measure(model, IDS, setup="x", first=first) == measure(model, IDS, setup="x")


def test_a_measurement_is_told_in_one_line() -> None:
    told = str(LanguageModelMetrics(nats=2000 * math.log(2), tokens=1000, characters=4000, signature="x"))
    assert told == "1.3863 nats per token, 0.5000 bits per character, perplexity 4.000 (1,000 tokens)"


def test_the_perplexity_per_word_does_not_depend_on_the_tokens() -> None:
    few, many = (LanguageModelMetrics(1000.0, tokens, 4000, "x", words=200) for tokens in (500, 4000))
    assert few.perplexity_per_word == many.perplexity_per_word == pytest.approx(math.exp(5))
    assert str(few).endswith("(500 tokens), per word 148.4 (200 words)")
    record = few.to_dict()
    assert record["perplexity_per_word"] == pytest.approx(math.exp(float(str(record["nats"])) / 200))
    assert (record["tokens"], record["characters"], record["words"]) == (500, 4000, 200)
    unseparated = LanguageModelMetrics(1000.0, 500, 500, "x", words=1)  # JSON has no infinity
    assert "perplexity_per_word" not in unseparated.to_dict() and "word" not in str(unseparated)


def test_words_are_counted_for_as_many_tokens_as_are_predicted() -> None:
    assert measure(made(), IDS, setup="x", words=2 * L, first=10).words == pytest.approx(20)


@pytest.mark.parametrize("length", [0, 1])
def test_nothing_to_predict_is_refused(length: int) -> None:
    with pytest.raises(TextseqError, match=f"at least 2 tokens, got {length}; give more text"):
        measure(made(), IDS[:length], setup="x")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_summed_nats_are_exact_in_any_float_type(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    logits, targets = torch.randn(3, 500, V).to(dtype), torch.randint(V, (3, 500))
    exact = -logits.double().log_softmax(dim=2).gather(2, targets.unsqueeze(2)).sum()
    assert summed_nats(logits, targets).item() == pytest.approx(exact.item(), rel=1e-5)


def test_units() -> None:
    assert perplexity(0) == 1 and perplexity(math.log(20)) == pytest.approx(20)
    assert perplexity(1e6) == math.inf and perplexity(math.inf) == math.inf
    assert bits_per_character(8 * math.log(2), 4) == pytest.approx(2)


def test_a_tokenizer_that_loses_text_says_so_in_the_signature() -> None:
    """Text that is lost is easy to predict: such a loss must not be taken for another's."""
    whole = TOKENIZERS["word"].train(["a b a b"], TokenizerConfig(tokenizer="word"))
    lossy = TOKENIZERS["word"].train(
        ["a b a b"], TokenizerConfig(tokenizer="word", lowercase=True, rare_words="unknown")
    )
    assert (whole.signature, lossy.signature) == ("word", "word-without-rare-words+case")
