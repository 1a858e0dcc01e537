"""What a training shows: lines and bars by default, nothing where that is asked for, and how far the measuring is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import pytest

import textseq
from textseq.config.training import TrainingConfig
from textseq.io import counting, progress
from textseq.tasks.classification.config import ClassifierConfig, LabelledConfig
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.tasks.run import TrainOptions
from textseq.tasks.tagging.config import TaggedConfig, TaggerConfig
from textseq.tasks.translation.config import PairConfig, TranslationModelConfig

TRAINING = TrainingConfig(max_steps=2)
FILES = {
    "text.txt": "A rose is a rose is a rose.\n" * 20,
    "labelled.tsv": "text\tlabel\n" + "".join(f"rose {n}\tgood\nthorn {n}\tbad\n" for n in range(20)),
    "tagged.conll": "".join(f"rose NOUN\n{n} NUM\n\n" for n in range(20)),
    "pairs.tsv": "".join(f"rose {n}\teine Rose {n}\n" for n in range(20)),
}


def train_language_model(**options: Unpack[TrainOptions]) -> None:
    textseq.train(
        text="text.txt",
        model=LanguageModelConfig(hidden_size=4, embedding_size=4),
        data=DataConfig(batch_size=2),
        **options,
    )


def train_classifier(**options: Unpack[TrainOptions]) -> None:
    model = ClassifierConfig(hidden_size=4, embedding_size=4)
    textseq.train_classifier(labelled="labelled.tsv", model=model, data=LabelledConfig(tokenizer="char"), **options)


def train_tagger(**options: Unpack[TrainOptions]) -> None:
    model = TaggerConfig(hidden_size=4, embedding_size=4, letter_size=4, letter_hidden_size=4)
    textseq.train_tagger(tagged="tagged.conll", model=model, data=TaggedConfig(minimum_count=1), **options)


def train_translator(**options: Unpack[TrainOptions]) -> None:
    model = TranslationModelConfig(hidden_size=4, embedding_size=4, encoder_size=4, attention_size=4)
    textseq.train_translator(pairs="pairs.tsv", model=model, data=PairConfig(tokenizer="char"), **options)


TRAIN: list[Callable[..., None]] = [train_language_model, train_classifier, train_tagger, train_translator]


@pytest.fixture(autouse=True)
def files(empty_home: Path) -> None:
    for name, text in FILES.items():
        (empty_home / name).write_text(text)


@pytest.mark.parametrize("train", TRAIN, ids=lambda train: train.__name__)
def test_the_measuring_after_the_training_says_how_far_it_is(
    train: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    lines: list[str] = []
    train(training=TRAINING, report=lines.append)
    shares = [line.split()[4] for line in lines if line.startswith("measuring the best model: ")]
    assert shares[-1] == "100%"
    assert [line for line in lines if line.startswith("training: 100%")]


def test_lines_go_to_stderr_by_default_and_a_resumed_run_says_where_it_goes_on(
    capfd: pytest.CaptureFixture[str],
) -> None:
    train_language_model(training=TRAINING)
    out, err = capfd.readouterr()
    assert out == ""
    assert "--max-steps 2 ends the run: 2 steps in" in err
    assert "the model is in" in err
    textseq.resume("text", training=TrainingConfig(max_steps=3))
    assert "resumed at step 2, after 0.0 minutes of training" in capfd.readouterr().err


@pytest.mark.parametrize("train", TRAIN, ids=lambda train: train.__name__)
def test_settings_without_effect_are_named(train: Callable[..., None]) -> None:
    lines: list[str] = []
    train(training=replace(TRAINING, plateau_patience=5), report=lines.append)
    assert [line for line in lines if "has no effect" in line] == [
        "note: --plateau-patience has no effect without --schedule plateau"
    ]


def test_settings_that_make_another_run_of_one_that_is_resumed_are_named() -> None:
    train_language_model(training=TRAINING)
    for changed, notes in (
        ({"save_every": 1, "max_epochs": 3}, []),
        ({"learning_rate": 0.001}, ["note: --learning-rate is 0.001 from here on; it was 0.004"]),
    ):
        lines: list[str] = []
        textseq.resume(
            "text", training=TrainingConfig.from_dict({"max_steps": 3, **changed}, where=""), report=lines.append
        )
        assert [line for line in lines if line.startswith("note: --")] == notes


def test_progress_can_be_silenced(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    train_language_model(training=TRAINING, progress=False)
    textseq.resume("text", training=TrainingConfig(max_steps=3), progress=False)
    assert capfd.readouterr() == ("", "")


def test_reading_and_encoding_say_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "FIRST_LINE", 0.0)
    lines: list[str] = []
    train_translator(training=TRAINING, report=lines.append)
    first = next(place for place, line in enumerate(lines) if "parameters" in line)
    said = [line.rpartition(":")[0].rpartition(":")[0] for line in lines[:first]]
    assert any(re.fullmatch(r"pairs read of .*pairs\.tsv", line) for line in said)
    assert "characters of pairs.tsv-both read for the vocabulary" in said
    assert {f"characters of pairs.tsv-{side} (train) encoded" for side in ("source", "target")} <= {*said}


@pytest.mark.parametrize(
    ("train", "flag", "file", "unit"),
    [
        (train_language_model, "--text", "text.txt", "tokens"),
        (train_classifier, "--labelled", "labelled.tsv", "texts"),
        (train_tagger, "--tagged", "tagged.conll", "sentences"),
    ],
    ids=["language model", "classifier", "tagger"],
)
def test_an_evaluation_says_how_far_it_is(
    train: Callable[..., None],
    flag: str,
    file: str,
    unit: str,
    command: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counting, "FIRST_LINE", 0.0)
    train(training=TRAINING, name="mine", progress=False)
    code, _, err = command("evaluate", "--model", "mine", flag, file)
    assert code == 0
    assert f"{unit} of {file} measured: " in err
