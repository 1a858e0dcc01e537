"""From one's own text to a whole run folder; recipes; weights taken over from another model."""

from __future__ import annotations

import json
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import textseq
from textseq.checkpoints.model_info import ModelInfo, read_json
from textseq.checkpoints.registry import newest
from textseq.config import recipes as recipe
from textseq.config.base import Settings
from textseq.config.names import CellName
from textseq.config.recipes import read_recipe, recipes
from textseq.config.tokenizer import TokenizerName
from textseq.config.training import ScheduleName, TrainingConfig
from textseq.data.corpora.catalog import list_corpora
from textseq.data.sources import TextData
from textseq.data.word_vectors import Vectors
from textseq.errors import TextseqError
from textseq.nn.embedding import load_rows
from textseq.tasks.classification.config import ClassifierConfig, ClassifierTrainingConfig, LabelledConfig
from textseq.tasks.language_model import run as writer_runs
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.language_model.spec import LANGUAGE_MODEL
from textseq.tasks.run import saved_source
from textseq.tasks.tagging.config import TaggedConfig, TaggerConfig, TaggerTrainingConfig
from textseq.tasks.translation.config import PairConfig, TranslationModelConfig, TranslatorTrainingConfig
from textseq.training.events import Evaluation
from textseq.training.log import learning_curve
from textseq.training.run_folder import last_checkpoint
from textseq.training.state import Progress
from textseq.training.trainer import Trainer

TEXT = "the cat sat on the mat,\nthe dog sat on the log.\n" * 20
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def home(empty_home: Path) -> Path:
    return empty_home


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def model(
    hidden: int = 8, *, cell: CellName = "lstm", tied: bool = False, learned: bool = False
) -> LanguageModelConfig:
    return LanguageModelConfig(
        cell=cell, hidden_size=hidden, embedding_size=8, tie_embeddings=tied, learn_initial_state=learned
    )


def train(
    text: Path,
    name: str | None = None,
    *,
    config: LanguageModelConfig | None = None,
    steps: int = 3,
    rate: float = 0.01,
    init_from: str | None = None,
    overwrite: bool = False,
    validation: float = 0.1,
    tokenizer: TokenizerName = "char",
    said: list[str] | None = None,
    new_vocabulary: bool = False,
) -> TextGenerator:
    training = TrainingConfig(learning_rate=rate, warmup_steps=0, max_epochs=None, max_steps=steps)
    return textseq.train(
        text=[text],
        name=name,
        model=config or (None if init_from else model()),
        data=DataConfig(batch_size=4, window=16, tokenizer=tokenizer),
        training=training,
        init_from=init_from,
        new_vocabulary=new_vocabulary,
        overwrite=overwrite,
        validation=validation,
        report=(said if said is not None else []).append,
    )


def test_what_a_language_model_cannot_do_is_refused_before_anything_is_replaced(home: Path) -> None:
    text = write("cats.txt", TEXT)
    train(text)
    before = sorted((home / "runs" / "cats").rglob("*"))
    for training, validation, message in (
        (
            TrainingConfig(best_by="bleu"),
            0.1,
            "--best-by: expected loss for a language model, got bleu; choose one",
        ),
        (
            TrainingConfig(average="best"),
            0.0,
            "--average best needs validation data, and there are none; set a --valida",
        ),
    ):
        with pytest.raises(TextseqError, match=message):
            textseq.train(text=[text], model=model(), training=training, validation=validation, overwrite=True)
    with pytest.raises(TextseqError, match="--best-by: expected loss for a language model, got bleu"):
        textseq.resume("cats", training=TrainingConfig(best_by="bleu"))
    with pytest.raises(TextseqError, match=r"--seed: .*cats was started with 1, got 9; leave it out"):
        textseq.resume("cats", training=TrainingConfig(seed=9))
    assert sorted((home / "runs" / "cats").rglob("*")) == before


def test_a_mean_that_is_the_best_model_is_measured_and_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = iter([2.0, 1.0, 3.0, 0.0])
    monkeypatch.setattr(
        writer_runs, "Evaluation", lambda nats, results, text: Evaluation(nats, results, text, next(costs))
    )
    training = TrainingConfig(max_steps=6, max_epochs=None, evaluate_every=2, average="last", ema_decay=0.9)
    said: list[str] = []
    writer = textseq.train(text=[write("cats.txt", TEXT)], model=model(), training=training, report=said.append)
    assert (writer.info.step, writer.info.average_of) == (6, (2, 4, 6))
    card = (home / "runs" / "cats" / "README.md").read_text()
    assert "- Steps of this checkpoint: 6, the mean of the weights of steps 2, 4, 6." in card


@pytest.mark.usefixtures("draws_curve")
def test_a_run_leaves_a_whole_folder(home: Path) -> None:
    said: list[str] = []
    writer = train(write("cats.txt", TEXT), steps=30, said=said)
    folder = home / "runs" / "cats"
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "best-1",
        "curve.png",
        "last-2",
        "log.jsonl",
    ]
    for place in ("best-1", "last-2"):
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= {p.name for p in (folder / place).iterdir()}
    assert (folder / "curve.png").read_bytes().startswith(PNG)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == [10, 20, 30, 30]
    card = (folder / "README.md").read_text()
    results: list[Any] = [*writer.info.results]
    carried, windowed = (result["signature"] for result in results)
    recipe = "split:validation|tokens:char-norm-lines|state:carried|streams:1"
    assert carried.endswith(f"{recipe}|textseq:{textseq.__version__}")
    assert "state:fresh-per-window|window:16" in windowed
    for words in (
        "# cats",
        *carried.split("|"),
        *windowed.split("|"),
        "textseq-sample --author cats",
        "hidden_size | 8",
    ):
        assert words in card
    assert f"{results[0]['nats_per_token']:.4f} |" in card
    assert any(carried in line for line in said)
    assert textseq.load_generator("cats").generate(seed=1) == writer.generate(seed=1)


def test_the_result_is_the_best_checkpoint_measured_by_hand() -> None:
    train(write("cats.txt", TEXT), steps=10)
    writer = textseq.load_generator("cats")
    held_out = TEXT[int(0.9 * len(TEXT)) :]
    ids = torch.from_numpy(writer.tokenizer.encode(held_out))
    with torch.inference_mode():
        logits, _ = writer.model(ids[:-1].unsqueeze(0))
    by_hand = float(torch.nn.functional.cross_entropy(logits[0], ids[1:]))
    results = writer.info.results
    assert results[0]["nats_per_token"] == pytest.approx(by_hand, rel=1e-5)
    assert writer.info.best_validation_loss == pytest.approx(by_hand, rel=0.1)  # that one was read in streams


def test_without_a_validation_part_the_last_checkpoint_is_the_model(home: Path) -> None:
    train(write("cats.txt", TEXT), validation=0)
    folder = home / "runs" / "cats"
    assert newest(folder, "best") is None
    assert "Not measured" in (folder / "README.md").read_text()
    assert textseq.load_generator("cats").generate(seed=1, max_new_tokens=5)


def test_a_run_that_exists_is_refused_and_overwrite_replaces_it(home: Path) -> None:
    text = write("cats.txt", TEXT)
    train(text, "mine", steps=2)
    folder = home / "runs" / "mine"
    before = (folder / "README.md").read_bytes()
    with pytest.raises(
        TextseqError, match=r"run \S+mine exists; resume it \(--resume \S+mine\), replace it \(--overwr"
    ):
        train(text, "mine", steps=3)
    assert (folder / "README.md").read_bytes() == before
    (folder / "old.txt").write_text("of the old run")
    with pytest.raises(TextseqError, match="window"):
        train(write("short.txt", "short"), "mine", overwrite=True)
    assert (folder / "old.txt").exists()  # a mistake costs nothing
    train(text, "mine", steps=3, overwrite=True)
    assert not (folder / "old.txt").exists()
    last = newest(folder, "last")
    assert last is not None
    assert read_json(last / "config.json")["step"] == 3


@pytest.mark.parametrize("name", [".", "..", "a/b", "a\\b"])
def test_a_name_is_a_plain_one(home: Path, name: str) -> None:
    with pytest.raises(TextseqError, match="--name: expected 1 to 100 printable characters without slashes"):
        train(write("cats.txt", TEXT), name)
    assert not (home / "runs").exists()


@pytest.mark.parametrize(
    ("text", "validation", "message"),
    [
        ("too short", 0.1, "training text longer than one window of 16 tokens, got 8"),
        (TEXT[:100], 0.01, "--validation: expected a validation split of at least 2 tokens, got 1; set a larger share"),
        ("", 0.1, "no text in"),
        (TEXT, 0.6, r"--validation: expected at least 0 and at most 0\.5, got 0\.6"),
    ],
)
def test_a_text_that_will_not_do_is_told_before_the_first_step(
    home: Path, text: str, validation: float, message: str
) -> None:
    with pytest.raises(TextseqError, match=message):
        train(write("text.txt", text), validation=validation)
    assert not (home / "runs").exists()


def test_a_corpus_or_a_text_not_both_nor_neither() -> None:
    for corpus, text in ((None, []), ("tinyshakespeare", [write("cats.txt", TEXT)])):
        with pytest.raises(TextseqError, match="name a corpus or give your own files with --text, one of the two"):
            textseq.train(corpus, text=text)


# Weights from another model

TABLES = ["embedding.weight", "output.weight", "output.bias"]


@pytest.mark.parametrize(("tied", "new_vocabulary"), [(False, False), (True, False), (True, True)])
def test_weights_carry_over_and_rows_go_by_their_tokens(tied: bool, new_vocabulary: bool) -> None:
    config = model(tied=tied, learned=tied)
    old = train(write("cats.txt", TEXT), "old", config=config, rate=0.05)
    said: list[str] = []
    other = write("other.txt", "Żółwie to the cat, a turtle! " * 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "textseq.tasks.language_model.run.LanguageModelRun.run",
            lambda run, **_: TextGenerator(run.model, run.tokenizer, run.info),
        )
        new = train(other, "new", init_from="old", said=said, new_vocabulary=new_vocabulary)
        fresh = train(other, "fresh", config=config)
    ours, theirs, drawn = (writer.model.state_dict() for writer in (new, old, fresh))
    for name in ours:
        if name not in TABLES:
            assert torch.equal(ours[name], theirs[name]), name
    old_row = {token: row for row, token in enumerate(old.tokenizer.vocabulary)}
    shared = [token for token in new.tokenizer.vocabulary if token in old_row]
    assert len(shared) > 10
    assert len(shared) < new.tokenizer.size
    moved = False
    for name in TABLES:
        for row, token in enumerate(new.tokenizer.vocabulary):
            unknown = drawn[name][row] if new_vocabulary else theirs[name].mean(0)
            wanted = theirs[name][old_row[token]] if token in old_row else unknown
            assert torch.equal(ours[name][row], wanted), (name, token)
            moved |= token in old_row and old_row[token] != row
    assert moved
    assert new_vocabulary or len(shared) == old.tokenizer.size
    told = f"; {len(shared)} of {new.tokenizer.size} tokens are known there"
    assert said[0].endswith(told if new_vocabulary else "; its tokenizer is kept; your data add 8 characters")


@pytest.mark.parametrize("tokenizer", ["char", "word", "subword"])
def test_a_model_that_goes_on_with_a_small_text_forgets_nothing(tokenizer: TokenizerName) -> None:
    size = 8000 if tokenizer == "char" else 300
    old = textseq.train(
        text=write("cats.txt", TEXT),
        model=model(),
        data=DataConfig(batch_size=4, window=16, tokenizer=tokenizer, vocabulary_size=size),
        training=TrainingConfig(max_steps=20, learning_rate=0.05),
        report=lambda line: None,
    )
    data = DataConfig(batch_size=2, window=8)
    slow = TrainingConfig(max_steps=1, learning_rate=1e-12)
    small = write("small.txt", "a cat in Łódź sat. " * 9)
    new = textseq.train(text=small, init_from="cats", data=data, training=slow, report=lambda line: None)
    assert {*old.tokenizer.vocabulary} <= {*new.tokenizer.vocabulary}
    assert new.tokenizer.kind == tokenizer and new.info.data["normalization"] == "lines"
    before, after = (writer.score(TEXT[:90]).nats_per_token for writer in (old, new))
    assert after == pytest.approx(before, abs=0.2)  # less what the new tokens take
    assert new.tokenizer.decode(new.tokenizer.encode("Łódź")) == "Łódź"
    assert math.isfinite(new.score("Łódź").nats_per_token)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("the cat sat. " * 30, "letters"),
        ("żółw i jeż, ćma. " * 30, None),
        ("cat = the[sat]; " * 30, None),  # source code
        ("the cat sat. " * 9999, None),
    ],
)
def test_a_model_that_ships_is_suggested_for_little_text_in_its_letters(
    home: Path, text: str, told: str | None
) -> None:
    train(write("cats.txt", TEXT)).save(home / "shipped" / "letters")
    train(write("dogs.txt", "GHIJKLMN" * 9 + TEXT)).save(home / "shipped" / "a")
    said: list[str] = []
    train(write("own.txt", text), said=said)
    assert [line for line in said if "which ships" in line] == (
        []
        if told is None
        else [f"note: this is little data; --from {told}, which ships with textseq, is mostly a better start"]
    )


# Word vectors


def with_vectors(
    words: dict[str, list[float]],
    *,
    steps: int = 1,
    frozen: int = 0,
    size: int = 3,
    schedule: ScheduleName = "linear",
    said: list[str] | None = None,
) -> TextGenerator:
    file = write("mine.vec", "".join(f"{word} {' '.join(map(str, row))}\n" for word, row in words.items()))
    limits = {"max_epochs": None, "max_steps": steps, "frozen_steps": frozen}
    training = TrainingConfig.from_dict({"learning_rate": 0.05, "schedule": schedule, **limits}, where="here")
    return textseq.train(
        text=[write("cats.txt", TEXT)],
        model=LanguageModelConfig(hidden_size=8, embedding_size=size),
        data=DataConfig(batch_size=2, window=8, tokenizer="word"),
        training=training,
        vectors=str(file),
        overwrite=True,
        report=(said if said is not None else []).append,
    )


KNOWN = {"cat": [1.0, 2.0, 3.0], "DOG": [4.0, 5.0, 6.0], "zebra": [7.0, 8.0, 9.0]}


def test_token_vectors_begin_with_word_vectors_and_stay_while_they_are_frozen() -> None:
    said: list[str] = []
    for steps, frozen in ((2, 2), (3, 2), (2, 0)):
        writer = with_vectors(KNOWN, steps=steps, frozen=frozen, said=said)
        kept = [writer.vectors["cat"].tolist() == KNOWN["cat"], writer.vectors["dog"].tolist() == KNOWN["DOG"]]
        assert all(kept) == (steps == frozen)
        assert ("zebra" in writer.vectors) is False
    size = writer.tokenizer.size
    found = [token for token in writer.tokenizer.vocabulary if token.strip() in {"cat", "dog"}]
    assert (
        f"{len(found)} of {size} tokens ({len(found) / size:.1%}) have a word vector, 1 words in another case" in said
    )


def test_the_other_rows_have_the_scale_of_the_loaded_ones() -> None:
    table = torch.zeros(4000, 50)
    rng = torch.Generator().manual_seed(1)
    given = torch.randn(50, 50, generator=rng) * 0.3 + 0.1
    vectors = Vectors(tuple(f"w{row}" for row in range(50)), given.numpy())
    load_rows(table, [f" w{row}" for row in range(4000)], vectors)
    assert torch.equal(table[:50], given)
    assert float(table[50:].mean()) == pytest.approx(float(given.mean()), abs=0.01)
    assert float(table[50:].std()) == pytest.approx(float(given.std()), rel=0.02)


def test_a_run_with_frozen_vectors_goes_on_as_if_never_stopped() -> None:
    def last(*limits: int) -> dict[str, torch.Tensor]:
        """The weights at the end of a run that was stopped at each of the limits but the last."""
        writer = with_vectors(KNOWN, steps=limits[0], frozen=3, schedule="constant")
        for steps in limits[1:]:
            before = TrainingConfig.from_dict(writer.info.training, where="here")
            resumed = textseq.resume("cats", training=replace(before, max_steps=steps))
            assert isinstance(resumed, TextGenerator)
            writer = resumed
        return writer.model.state_dict()

    whole = last(5)
    for stops in ((2, 5), (3, 5), (4, 5)):
        assert all(torch.equal(tensor, whole[name]) for name, tensor in last(*stops).items()), stops


def test_vectors_that_will_not_do_are_refused_before_anything_is_replaced(home: Path) -> None:
    with_vectors(KNOWN)
    before = sorted((home / "runs" / "cats").rglob("*"))
    with pytest.raises(TextseqError, match="none of the tokens has a word vector"):
        with_vectors({"zebra": [1.0, 2.0, 3.0]})
    with pytest.raises(
        TextseqError, match=r"expected vectors of size 4, got size 3 in mine\.vec; .*--embedding-size 3"
    ):
        with_vectors(KNOWN, size=4)
    with pytest.raises(TextseqError, match="--vectors and --from"):
        textseq.train(text=[Path("cats.txt")], vectors="mine.vec", init_from="cats", overwrite=True)
    with pytest.raises(
        TextseqError, match=r"unknown file, or name of word vectors, 'glove\.6b'; did you mean 'glove\.6B"
    ):
        textseq.train(text=[Path("cats.txt")], vectors="glove.6b", overwrite=True)
    with pytest.raises(TextseqError, match=r"'glove\.6B' lacks 1 of 1 files.*--download fetches 862\.2 MB"):
        textseq.train(text=[Path("cats.txt")], vectors="glove.6B", overwrite=True)
    assert sorted((home / "runs" / "cats").rglob("*")) == before


def test_a_writer_knows_neighbors() -> None:
    writer = with_vectors({"cat": [1.0, 0.0, 0.0], "dog": [0.9, 0.1, 0.0], "mat": [0.0, 1.0, 0.0]}, frozen=1)
    near = [word for word, _ in writer.nearest("cat", 100)]
    assert near.index("dog") < near.index("mat")
    with pytest.raises(TextseqError, match="unknown word 'zebra'"):
        writer.nearest("zebra")


def test_a_model_is_trained_further(home: Path) -> None:
    text = write("cats.txt", TEXT)
    before = train(text, "old", steps=60, rate=0.05).score(TEXT[:90]).nats_per_token
    after = train(text, "new", steps=1, rate=1e-6, init_from="old")
    assert after.score(TEXT[:90]).nats_per_token == pytest.approx(before, abs=0.05)
    assert before < 2
    assert after.info.init_from == "old"


@pytest.mark.parametrize(
    "config", [model(9), model(cell="gru"), model(tied=True), model(learned=True)], ids=["9", "gru", "tied", "learned"]
)
def test_other_sizes_are_refused(home: Path, config: LanguageModelConfig) -> None:
    text = write("cats.txt", TEXT)
    train(text, "old")
    with pytest.raises(
        TextseqError,
        match=r"--from: expected a model of the same shape, got \S+ with \w+ \S+, where the flags ask for \w+",
    ):
        train(text, "new", config=config, init_from="old")
    assert not (home / "runs" / "new").exists()


def test_from_an_unknown_model_is_refused() -> None:
    with pytest.raises(TextseqError, match="unknown model 'nobody'"):
        train(write("cats.txt", TEXT), init_from="nobody")


def test_the_default_length_has_enough_steps_and_few_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[TrainingConfig] = []

    def fit(trainer: Trainer, **options: bool) -> Progress:
        limits.append(trainer.config)
        trainer.config = replace(trainer.config, max_steps=2)
        return whole(trainer, **options)

    whole = Trainer.fit
    monkeypatch.setattr(Trainer, "fit", fit)
    text, said = write("cats.txt", TEXT), list[str]()

    def begin(**settings: float) -> TrainingConfig:
        training, data = TrainingConfig.from_dict(settings, where="here"), DataConfig(batch_size=4, window=16)
        textseq.train(text=text, model=model(), data=data, training=training, overwrite=True, report=said.append)
        return limits[-1]

    whole_run = begin()
    assert (whole_run.max_steps, whole_run.max_epochs, whole_run.evaluate_every) == (1000, None, 100)
    assert any(line.startswith("note: the run has 1,000 steps, as 10 epochs of so little data make 1") for line in said)
    assert textseq.load("cats").info.training["max_steps"] is None
    assert begin(max_steps=3).evaluate_every == 1000 and begin(max_epochs=2).max_epochs == 2
    assert any("--max-epochs 2 makes 2" in line and "a language model needs 1,000 or more" in line for line in said)
    assert begin(max_minutes=1).epoch_limit is None
    assert any(line.startswith("note: 2 steps are few") for line in said)
    textseq.resume("cats", report=said.append)


# What was saved is read back


def test_settings_are_read_back(home: Path) -> None:
    config = model(cell="gru")
    train(write("cats.txt", TEXT), "mine", config=config, tokenizer="byte")
    saved = last_checkpoint(home / "runs" / "mine")
    info = saved.info
    assert LanguageModelConfig.from_dict(info.model, where="here") == config
    assert DataConfig.from_dict(info.data, where="here") == DataConfig(batch_size=4, window=16, tokenizer="byte")
    assert TrainingConfig.from_dict(info.training, where="here").max_steps == 3
    source = saved_source(LANGUAGE_MODEL, saved)
    assert isinstance(source, TextData) and source.text == (str(home / "cats.txt"),)
    with pytest.raises(TextseqError, match=r"config\.json is damaged: it lacks 'source'; restore the folder"):
        saved_source(LANGUAGE_MODEL, replace(saved, info=replace(info, source={})))
    with pytest.raises(TextseqError, match=r"config\.json is damaged: 'model' must be of type dict, got 3; restore"):
        ModelInfo.from_dict({**info.to_dict(), "model": 3}, where="config.json")


# The learning curve


def test_the_curve_is_drawn_from_any_log(tmp_path: Path) -> None:
    line = '{"step": 10, "loss": 2.5}\n'
    looked = '{"step": 10, "validation_loss": 2.0}\n'
    falling = "".join(f'{{"step": {step}, "loss": {1.3 + 30 / step}}}\n' for step in range(10, 500, 10))
    wild = '{"step": 20, "loss": 900.0}\n{"step": 20, "validation_loss": 1e6}\n'
    for content in ("", line, looked, line + looked, line * 50, falling, wild, line + looked + '{"step": 20, "lo'):
        log = tmp_path / "log.jsonl"
        log.write_text(content)
        learning_curve(log, tmp_path / "curve.png")
        assert (tmp_path / "curve.png").read_bytes().startswith(PNG)
        (tmp_path / "curve.png").unlink()


def test_the_curve_names_its_unit_and_has_the_accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []

    def kept(self: Figure, *given: object, **how: object) -> None:
        figures.append(self)

    monkeypatch.setattr(Figure, "savefig", kept)
    log = tmp_path / "log.jsonl"
    log.write_text(
        "".join(f'{{"step": {step}, "loss": {1 / step}}}\n' for step in range(10, 50, 10))
        + '{"step": 40, "validation_loss": 0.5, "validation_accuracy": 0.75}\n'
    )
    learning_curve(log, tmp_path / "curve.png", "nats per text")
    assert [axes.get_ylabel() for axes in figures[0].axes] == ["loss (nats per text)", "accuracy"]
    assert np.asarray(figures[0].axes[1].lines[0].get_ydata()).tolist() == [0.75]


# Recipes


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_fits_the_settings(name: str) -> None:
    found = read_recipe(name)
    assert found["title"]
    corpora = {corpus.name: corpus for corpus in list_corpora()}
    corpus, *_ = [corpora[part.split("*")[-1]] for part in found["corpus"].split("+")]
    kinds: tuple[type[Settings], ...] = (LanguageModelConfig, DataConfig, TrainingConfig)
    if corpus.languages:
        kinds = (TranslationModelConfig, PairConfig, TranslatorTrainingConfig)
        assert found["source"] != found["target"]
    elif corpus.labels and found.get("task") != "language-model":
        kinds = (ClassifierConfig, LabelledConfig, ClassifierTrainingConfig)
    elif corpus.task == "tagging":
        kinds = (TaggerConfig, TaggedConfig, TaggerTrainingConfig)
    assert {found[key] for key in ("source", "target") if key in found} <= set(corpus.languages)
    for split, kind in zip((found.get("model"), found.get("data"), found.get("training")), kinds, strict=True):
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in (split or {}).items()}
        made = kind.from_dict(values, where=name).to_dict()
        assert {key: made[key] for key in values} == values
    assert found.get("from", name) in recipes()


def test_there_are_recipes() -> None:
    assert recipes() == {path.stem: read_recipe(str(path))["title"] for path in sorted(recipe.FOLDER.glob("*.toml"))}
    assert recipes()


def test_a_recipe_is_read_by_name_or_file(tmp_path: Path) -> None:
    name = next(iter(recipes()))
    copy = tmp_path / "copy.toml"
    shutil.copy(recipe.FOLDER / f"{name}.toml", copy)
    assert read_recipe(str(copy)) == read_recipe(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[modell]\nlayers = 2\n", r"unknown key in the recipe \S+mine\.toml 'modell'; did you mean 'model'"),
        ("layers = \n", r"\S+mine\.toml: expected TOML: .*line 1.*; correct it there"),
        ("model = 3\n", r"the recipe \S+mine\.toml: expected a table for 'model', got 3; correct it"),
        (
            "task = 'clasifier'\n",
            r"unknown task in the recipe \S+mine\.toml 'clasifier'; did you mean 'classification'",
        ),
        ("source = ['en']\n", r"the recipe \S+mine\.toml: expected a string for 'source', got \['en'\]; correct it"),
    ],
)
def test_a_recipe_that_is_none_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(TextseqError, match=message) as told:
        read_recipe(str(path))
    assert "\n" not in str(told.value)


def test_a_recipe_in_yaml_is_that_in_toml(tmp_path: Path) -> None:
    pytest.importorskip("yaml", reason="needs PyYAML (the extra yaml)")
    (tmp_path / "mine.toml").write_text('title = "T"\n[model]\nhidden_size = 6\n[training]\nlearning_rate = 1e-3\n')
    (tmp_path / "mine.yaml").write_text("title: T\nmodel:\n  hidden_size: 6\ntraining: {learning_rate: 1.0e-3}\n")
    assert read_recipe(str(tmp_path / "mine.yaml")) == read_recipe(str(tmp_path / "mine.toml"))
    (tmp_path / "types.yaml").write_text(
        "model: {a: 4e-3, b: on, c: true, d: 5, e: -1.5E+2, f: '4e-3', g: .inf, h: 1.2.3, "
        "i: 010, j: 0o10, k: -0x10, l: 0x1F, m: 1:30, n: 1_000, o: -7}"
    )
    types = {"a": 0.004, "b": "on", "c": True, "d": 5, "e": -150.0, "f": "4e-3", "g": float("inf"), "h": "1.2.3"}
    types |= {"i": 10, "j": 8, "k": "-0x10", "l": 31, "m": "1:30", "n": "1_000", "o": -7}
    assert read_recipe(str(tmp_path / "types.yaml")) == {"model": types}


@pytest.mark.parametrize("content", ["1: 2", "model: {1: 2}", "null: 2", "training: {true: 1}"])
def test_keys_of_a_recipe_in_yaml_are_names(tmp_path: Path, content: str) -> None:
    pytest.importorskip("yaml", reason="needs PyYAML (the extra yaml)")
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(TextseqError, match="a name was expected as key, got"):
        read_recipe(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", "!!python/object:os.system x", "&a [*a]" * 3, "\t"])
def test_a_recipe_in_yaml_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    pytest.importorskip("yaml", reason="needs PyYAML (the extra yaml)")
    (tmp_path / "mine.yml").write_text(content)
    with pytest.raises(TextseqError, match=r"mine\.yml: expected YAML: .*; correct it there"):
        read_recipe(str(tmp_path / "mine.yml"))


def test_a_recipe_in_yaml_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "mine.yaml").write_text("title: T")
    with pytest.raises(TextseqError, match=r'a recipe in YAML needs a package .* pip install "textseq\[yaml\]"'):
        read_recipe(str(tmp_path / "mine.yaml"))


def test_an_unknown_recipe_is_refused_with_the_nearest_match() -> None:
    name = next(iter(recipes()))
    with pytest.raises(TextseqError, match=f"unknown recipe '{name}x'; did you mean"):
        read_recipe(name + "x")
