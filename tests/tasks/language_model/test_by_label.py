"""A text under each label of a conditional model: log-probabilities, passages, the temperature fitted on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

import textseq
from textseq.config.training import TrainingConfig
from textseq.errors import TextseqError
from textseq.tasks.classification.generative import GenerativeClassifier
from textseq.tasks.language_model import by_label
from textseq.tasks.language_model.by_label import (
    FEWEST,
    MOST_READ,
    PASSAGE,
    PASSAGES,
    label_temperature,
    log_p_by_label,
    passage_count,
    passages,
    spread,
)
from textseq.tasks.language_model.condition import TextConditions
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.tasks.language_model.encoded import EncodedText
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.language_model.model import LanguageModel

SMALL = LanguageModelConfig(hidden_size=16, embedding_size=8, condition_size=4, dropout=0)
EYE = np.eye(2, dtype=np.float32)


def poets(rows: int, **options: Any) -> TextGenerator:
    """A model of two poets, of whom each has his letters in nine of ten poems."""
    rng = np.random.default_rng(2)
    lines = ["text,label"]
    for number in range(rows):
        label = number % 2
        letters = ("ab", "cd")[label ^ (rng.random() < 0.1)]
        lines.append("".join(rng.choice([*letters], 12)) + f",{('anna', 'bert')[label]}")
    Path("poems.csv").write_text("\n".join(lines), encoding="utf-8")
    training = TrainingConfig(precision="float32", max_steps=150, learning_rate=0.02, evaluate_every=75)
    return textseq.train(
        labelled="poems.csv",
        condition="label",
        name="poets",
        model=SMALL,
        data=DataConfig(batch_size=4, window=16),
        training=training,
        progress=False,
        **options,
    )


def test_tokens_under_each_label_are_those_of_the_score(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = poets(40)
    text = "abcdab" * 5
    ids = writer.tokenizer.encode(text)
    whole = log_p_by_label(writer.model, writer.start_token(), ids)
    for label, nats in zip(writer.info.labels, whole, strict=True):
        assert -nats == pytest.approx(writer.score(text, condition=label).surprisal, abs=1e-5)
    monkeypatch.setattr(by_label, "CHUNK", 7)
    assert log_p_by_label(writer.model, writer.start_token(), ids) == pytest.approx(whole, abs=1e-5)
    assert log_p_by_label(writer.model, writer.start_token(), ids[:0]).shape == (2, 0)


def test_passages_are_parts_of_the_documents_of_their_label() -> None:
    starts, rows = np.array([0, 10, 10 + 3 * PASSAGE, 50 * PASSAGE]), np.array([0, 1, 0, 1])
    ids = np.arange(90 * PASSAGE + 7)
    ends = [*starts[1:], len(ids)]
    found = [*passages(ids, TextConditions(starts, rows, EYE))]
    for label in (0, 1):
        own = [passage for passage, of in found if of == label]
        assert len(own) == PASSAGES and own[0][0] == starts[label]
        assert own[-1][-1] == ends[label + 2] - 1  # evenly spread over all of the label's documents
        for passage in own:
            document = int(np.searchsorted(starts, passage[0], side="right")) - 1
            assert rows[document] == label and 0 < len(passage) <= PASSAGE and passage[-1] < ends[document]
            assert (np.diff(passage) == 1).all()
    assert len({int(passage[0]) for passage, _ in found}) == len(found)


def test_many_labels_are_read_no_longer() -> None:
    for labels in (2, 13, 100, 1000):
        assert passage_count(labels) * labels * PASSAGE <= MOST_READ and passage_count(labels) <= labels * PASSAGES
    assert passage_count(2) == 2 * PASSAGES and passage_count(1000) >= FEWEST
    assert spread([*range(100)], 3) == [0, 50, 99] and spread("ab", 5) == ["a", "b"] and spread("", 5) == []


def test_a_model_that_knows_nothing_is_made_unsure() -> None:
    torch.manual_seed(1)
    model = LanguageModel(SMALL, 11, 2).eval()
    assert model.condition is not None
    model.condition.table.data *= 20  # much, and at random
    rng = np.random.default_rng(1)
    starts = np.arange(0, 60 * 30, 30)
    text = SimpleNamespace(ids=rng.integers(11, size=60 * 30))
    encoded = EncodedText(cast(Any, text), TextConditions(starts, rng.integers(2, size=60), EYE))
    read: list[int] = []
    temperature = label_temperature(model, torch.tensor([0]), encoded, progress=read.append)
    assert temperature is not None and temperature > 1.5 and sum(read) <= 2 * PASSAGES * 30
    short = SimpleNamespace(ids=text.ids[:120])
    few = EncodedText(cast(Any, short), TextConditions(starts[:4], rng.integers(2, size=4), EYE))
    assert label_temperature(model, torch.tensor([0]), few) is None


def test_the_temperature_is_kept_with_the_model_and_divides(empty_home: Path) -> None:
    said: list[str] = []
    writer = poets(400, report=said.append)
    temperature = writer.info.temperature
    assert abs(temperature - 1) > 0.1
    assert f"calibrated for textseq-classify: log-probabilities are divided by {temperature:.3f}" in said
    who = textseq.load_classifier("poets")
    assert who.temperature == temperature
    nats = [-writer.score("abababab", condition=label).nats for label in who.labels]
    expected = (torch.tensor(nats, dtype=torch.float64) / temperature).softmax(0)
    assert [*who.classify("abababab").probabilities.values()] == pytest.approx(expected.tolist(), abs=1e-5)
    explanation = who.explain("abababab")
    assert explanation.probability == pytest.approx(expected.max().item(), abs=1e-5)
    assert explanation.score == pytest.approx(sum(nats for _, nats in explanation.words))


def test_a_damaged_temperature_is_refused(empty_home: Path) -> None:
    writer = poets(40)
    writer.info = replace(writer.info, temperature=0.0)
    with pytest.raises(TextseqError, match="'temperature' must be above 0"):
        GenerativeClassifier(writer)
