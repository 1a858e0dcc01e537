"""From sentence pairs to a whole run folder: a toy language learned; runs stopped and resumed; weights taken over."""

from __future__ import annotations

import json
import logging
import random
import re
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from configs import edit_config

import textseq
from textseq.checkpoints import registry as shelf
from textseq.checkpoints.checkpoint import read_tensors
from textseq.checkpoints.model_card import model_card
from textseq.checkpoints.model_info import CorpusInfo, ModelInfo, read_info, read_json
from textseq.checkpoints.registry import newest
from textseq.data.sources import PairData
from textseq.errors import Interrupted, TextseqError
from textseq.io.paths import runs_folder
from textseq.tasks.translation import run as translation_runs
from textseq.tasks.translation.config import PairConfig, TranslationModelConfig, TranslatorTrainingConfig
from textseq.tasks.translation.inference.engine import TranslationEngine
from textseq.tasks.translation.result import Translation
from textseq.tasks.translation.translator import Translator
from textseq.tasks.translation.vocabularies import SOURCE_FILE
from textseq.training.trainer import Trainer

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf"}
MODEL = TranslationModelConfig(
    embedding_size=32,
    encoder_size=32,
    hidden_size=64,
    attention_size=32,
    dropout=0.0,
    embedding_dropout=0.0,
    label_smoothing=0.0,
)
SMALL = TranslationModelConfig(embedding_size=8, encoder_size=8, hidden_size=12, attention_size=6)
BATCHING = PairConfig(tokenizer="word", batch_size=32)


def training(steps: int, *, best_by_bleu: bool = False, every: int = 100, ema: float = 0.9) -> TranslatorTrainingConfig:
    return TranslatorTrainingConfig(
        learning_rate=1e-2,
        warmup_steps=10,
        max_epochs=None,
        max_steps=steps,
        evaluate_every=every,
        ema_decay=ema,
        best_by="bleu" if best_by_bleu else "loss",
        precision="float32",
    )


def translated(sentence: str) -> str:
    return " ".join(WORDS[word] for word in sentence.split())


def write_pairs(folder: Path, name: str = "toy", *, count: int = 300, seed: int = 1) -> list[Path]:
    """Two aligned files of the toy language, in which each word has one translation."""
    dice = random.Random(seed)
    sentences = [" ".join(dice.choices([*WORDS], k=dice.randint(2, 5))) for _ in range(count)]
    sides = {"en": sentences, "de": [translated(sentence) for sentence in sentences]}
    for language, lines in sides.items():
        (folder / f"{name}.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [folder / f"{name}.{language}" for language in sides]


def settle(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Make a folder the home of runs, without any models that ship."""
    patch.setenv("TEXTSEQ_HOME", str(folder))
    patch.delenv("TEXTSEQ_DATA", raising=False)
    patch.setattr(shelf, "SHIPPED", folder / "shipped")
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return settle(tmp_path, monkeypatch)


@pytest.fixture
def pairs(home: Path) -> list[Path]:
    return write_pairs(home)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder of a run that learned the toy language, and what it said."""
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        home = settle(tmp_path_factory.mktemp("learned"), patch)
        textseq.train_translator(
            pairs=write_pairs(home, count=500),
            source="en",
            target="de",
            model=MODEL,
            data=BATCHING,
            training=training(150, every=50),
            report=said.append,
        )
    return home / "runs" / "toy", said


# What a run leaves


def test_a_toy_language_is_learned(learned: tuple[Path, list[str]]) -> None:
    folder, said = learned
    translator = textseq.load(folder)
    assert isinstance(translator, Translator)
    for sentence in ("one two three", "five four three two", "two two one five"):
        assert translator.translate([sentence])[0].text == translated(sentence)
        assert translator.translate([sentence], shortlist=True)[0].text == translated(sentence)
    results: list[Any] = [*translator.info.results]
    assert [result["measure"] for result in results] == ["BLEU", "chrF2", "TER"]
    assert results[0]["score"] > 90
    signature = results[0]["signature"]
    for field in ("split:validation", "direction:en-de", "tokens:word-norm-text-joint", "beams:5", "tok:13a"):
        assert field in signature.split("|")
    assert any(signature in line for line in said)
    assert any(line.startswith("step 50: validation ") for line in said)
    assert any("\n  = " in line for line in said), "no translation was shown"
    assert said[-1].endswith(f"use it with: textseq-translate --model {folder.name}")


@pytest.mark.parametrize(("epochs", "steps", "told"), [(2.0, None, True), (400.0, None, False), (2.0, 1, False)])
def test_a_run_of_few_steps_is_told_to_be_short(
    home: Path, pairs: list[Path], epochs: float, steps: int | None, told: bool
) -> None:
    """Unless so few were asked for."""
    said: list[str] = []
    short = replace(training(1), max_epochs=epochs, max_steps=steps, max_minutes=1e-4)
    textseq.train_translator(pairs=pairs, model=MODEL, data=BATCHING, training=short, report=said.append)
    assert any("steps of so little data" in line for line in said) == told


def test_few_of_the_validation_translations_are_doubtful(learned: tuple[Path, list[str]]) -> None:
    translator = textseq.load_translator(str(learned[0]))
    dataset = PairData.from_dict(translator.info.source, where="here").open()
    doubtful = [one.doubtful for one in translator.translate([source for source, _ in dataset.pairs("validation")])]
    assert 0 < sum(doubtful) <= 0.1 * len(doubtful) + 1


def test_the_folder_is_whole_and_of_its_task(learned: tuple[Path, list[str]]) -> None:
    folder, _ = learned
    names = {path.name.split("-")[0] for path in folder.iterdir()}
    assert names == {"README.md", "best", "curve.png", "last", "log.jsonl"}
    best = newest(folder, "best")
    assert best is not None
    wanted = {"config.json", "model.safetensors", "short-list.safetensors", "tokenizer.json"}
    assert {path.name for path in best.iterdir()} == wanted
    info = read_info(best)
    assert (info.task, info.source_language, info.target_language) == ("translation", "en", "de")
    assert isinstance(textseq.load_translator(folder), Translator)
    with pytest.raises(TextseqError, match=r"expected a language model, got \S+, which is a translator; use it with"):
        textseq.load_generator(folder)


def test_the_card_says_what_the_model_is(learned: tuple[Path, list[str]]) -> None:
    folder, _ = learned
    card = (folder / "README.md").read_text(encoding="utf-8")
    results: list[Any] = [*textseq.load(folder).info.results]
    for words in (
        "# toy\n",
        "A recurrent encoder-decoder with additive attention that translates from en to de, with ",
        "textseq-translate --model toy",
        'textseq.load("toy").translate(',
        "- Direction: from en to de.",
        "| model.hidden_size | 64 |",
        "| data.tokenizer | word |",
        *(f"| {result['measure']} | {result['score']:.2f} | " for result in results),
        *(f"`{result['signature'].replace('|', ' ')}` |" for result in results),
    ):
        assert words in card
    assert "To be credited" not in card  # the licence of one's own pairs is one's own affair
    assert "per character" not in card


def test_the_card_names_who_is_to_be_named() -> None:
    corpus = CorpusInfo(name="tatoeba", title="Tatoeba: pairs", licence="CC BY 2.0 (tatoeba.org)")
    info = ModelInfo(task="translation", corpus=corpus)
    card = model_card("mine", info, torch.nn.Linear(1, 1), Translator.describe)
    assert "- To be credited with the model: Tatoeba: pairs; CC BY 2.0 (tatoeba.org)." in card.splitlines()
    assert "Not measured" in card


def test_a_run_is_named_after_its_files_or_its_direction(data_folder: Path, pairs: list[Path]) -> None:
    for name in ("toy", "multi30k-fr-cs"):
        (runs_folder() / name / "last-1").mkdir(parents=True)
    with pytest.raises(TextseqError, match=r"the run \S+/runs/toy exists"):
        textseq.train_translator(pairs=pairs)
    with pytest.raises(TextseqError, match=r"the run \S+/runs/multi30k-fr-cs exists"):
        textseq.train_translator("multi30k", source="fr", target="cs", data_dir=data_folder)


# Stopped and resumed

CASES: Mapping[str, tuple[TranslationModelConfig, PairConfig, TranslatorTrainingConfig]] = {
    "sampling": (
        replace(SMALL, dropout=0.2, word_dropout=0.1),
        PairConfig(vocabulary_size=300, subword_sampling=0.2, batch_size=8, window=6, longest=60),
        replace(training(18, best_by_bleu=True, every=12), save_every=5),
    ),
    "separate": (
        replace(
            SMALL,
            cell="lstm",
            num_encoder_layers=2,
            num_decoder_layers=2,
            tie_embeddings="target",
            scheduled_sampling=0.3,
        ),
        PairConfig(tokenizer="char", vocabulary="separate", batch_tokens=300, window=9),
        replace(training(18, every=8, ema=0.0), save_every=7, accumulate=2, average="best", precision="bfloat16"),
    ),
}


def outcome(folder: Path) -> dict[str, object]:
    """All that a run leaves but the clock's part in it."""
    last, best = newest(folder, "last"), newest(folder, "best")
    assert last is not None and best is not None
    progress = json.loads((last / "training.json").read_text())
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    clock = {"minutes", "tokens_per_second", "seconds"}
    return {
        "weights": (last / "model.safetensors").read_bytes(),
        "best weights": (best / "model.safetensors").read_bytes(),
        "state": (last / "training.safetensors").read_bytes(),
        "progress": {name: value for name, value in progress.items() if name not in clock},
        "log": [{name: value for name, value in line.items() if name not in clock} for line in log],
        "results": read_json(best / "config.json")["results"],
        "files": sorted(path.name.split("-")[0] for path in folder.iterdir()),
    }


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_equals_one_never_stopped(
    pairs: list[Path], home: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    model, batching, settings = CASES[case]

    def train(name: str) -> None:
        textseq.train_translator(pairs=pairs, name=name, model=model, data=batching, training=settings)

    train("whole")
    step = Trainer.step
    stops = [3, 4, 11, 12, 13]

    def stopping_step(loop: Trainer) -> tuple[torch.Tensor, int]:
        if stops and loop.progress.step == stops[0] - 1:
            stops.pop(0)
            signal.raise_signal(signal.SIGTERM)
        return step(loop)

    monkeypatch.setattr(Trainer, "step", stopping_step)
    carried = []
    calls: list[Callable[[], object]] = [lambda: train("stopped"), *[lambda: textseq.resume("stopped")] * len(stops)]
    for call in calls[:-1]:
        with pytest.raises(Interrupted, match=r"and saved; continue with: textseq-train --resume \S+stopped$"):
            call()
        last = newest(home / "runs" / "stopped", "last")
        assert last is not None
        carried.append("state.0" in read_tensors(last / "training.safetensors"))
        torch.manual_seed(99)
    calls[-1]()
    assert any(carried), "no run was stopped inside a long target"
    found, wanted = outcome(home / "runs" / "stopped"), outcome(home / "runs" / "whole")
    for what in wanted:
        assert found[what] == wanted[what], what


def test_a_run_goes_on_under_a_later_limit(pairs: list[Path]) -> None:
    def train(name: str, steps: int) -> None:
        settings = replace(training(steps, every=20), schedule="constant")
        textseq.train_translator(pairs=pairs, name=name, model=SMALL, data=BATCHING, training=settings)

    train("short", 20)
    longer = textseq.resume("short", training=replace(training(40, every=20), schedule="constant"))
    assert isinstance(longer, Translator)
    train("long", 40)
    ours, theirs = (textseq.load_translator(name).models[0].state_dict() for name in ("short", "long"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    with pytest.raises(TextseqError, match=r"--best-by: \S+ was started with loss, got bleu; leave it out"):
        textseq.resume("short", training=training(50, best_by_bleu=True))


def test_pairs_that_changed_are_refused(pairs: list[Path], home: Path) -> None:
    textseq.train_translator(pairs=pairs, model=SMALL, data=BATCHING, training=training(2))
    before = outcome(home / "runs" / "toy")
    kept = pairs[1].read_text(encoding="utf-8")
    pairs[1].write_text(kept.replace("eins", "Eins", 1), encoding="utf-8")
    with pytest.raises(TextseqError, match=r"the text of \S+toy is not the one that the run was started with; rest"):
        textseq.resume("toy")
    pairs[1].write_text(kept + "drei\n", encoding="utf-8")
    with pytest.raises(TextseqError, match=r"300.*301|301.*300"):
        textseq.resume("toy")
    pairs[1].write_text(kept, encoding="utf-8")
    textseq.resume("toy")
    assert outcome(home / "runs" / "toy") == before


def test_a_run_of_an_unknown_task_is_refused(pairs: list[Path], home: Path) -> None:
    textseq.train_translator(pairs=pairs, model=SMALL, data=BATCHING, training=training(2))
    last = newest(home / "runs" / "toy", "last")
    assert last is not None
    edit_config(last, task="translate")
    with pytest.raises(TextseqError, match=r"unknown task in \S+config\.json 'translate'; did you mean 'translation'"):
        textseq.resume("toy")


# What is the best, and what decides it


@pytest.mark.parametrize(("best_by_bleu", "step"), [(True, 6), (False, 9)])
def test_the_best_is_picked_by_what_was_asked(
    pairs: list[Path], monkeypatch: pytest.MonkeyPatch, best_by_bleu: bool, step: int
) -> None:
    scores = iter([10.0, 30.0, 20.0])
    monkeypatch.setattr(translation_runs, "bleu", lambda found, references: next(scores))
    said: list[str] = []
    settings = training(9, best_by_bleu=best_by_bleu, every=3, ema=0.0)
    translator = textseq.train_translator(
        pairs=pairs, model=SMALL, data=BATCHING, training=settings, report=said.append
    )
    assert translator.info.step == step
    assert any("BLEU 30.00 (greedy)" in line for line in said) == best_by_bleu


def test_without_a_validation_part_the_average_is_the_model(pairs: list[Path], home: Path) -> None:
    origin = PairData(pairs=tuple(map(str, pairs)), validation=0.0)
    said: list[str] = []
    translator = textseq.train_translator(
        data_source=origin, model=SMALL, data=BATCHING, training=training(4), report=said.append
    )
    assert translator.info.results == ()
    assert "Not measured" in (home / "runs" / "toy" / "README.md").read_text()
    last = newest(home / "runs" / "toy", "last")
    assert last is not None
    assert not torch.equal(
        translator.models[0].state_dict()["output.bias"], read_tensors(last / "model.safetensors")["output.bias"]
    )
    assert translator.translate(["one two"], max_new_tokens=3)[0].source_tokens


def test_validation_files_of_their_own_are_what_is_measured(pairs: list[Path], home: Path) -> None:
    held_out = write_pairs(home, "held-out", count=7, seed=5)
    origin = PairData(pairs=tuple(map(str, pairs)), validation_pairs=tuple(map(str, held_out)))
    said: list[str] = []
    textseq.train_translator(data_source=origin, model=SMALL, data=BATCHING, training=training(2), report=said.append)
    assert any("300 pairs" in line for line in said)  # none of them is kept back
    first = held_out[0].read_text(encoding="utf-8").splitlines()[0]
    assert any(line.startswith(f"  {first}\n  = ") for line in said)


def test_the_loss_of_the_validation_part_does_not_depend_on_windows(
    pairs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[float] = []

    def only_evaluate(run: translation_runs.TranslationRun, **_: object) -> None:
        run.model.eval()
        found.append(run.evaluate().loss)

    monkeypatch.setattr(translation_runs.TranslationRun, "run", only_evaluate)
    for window in (2, 3, 200):
        batching = replace(BATCHING, tokenizer="char", window=window)
        textseq.train_translator(pairs=pairs, model=SMALL, data=batching, training=training(1), overwrite=True)
    assert found[:2] == pytest.approx(found[2:] * 2, rel=1e-5)


# What cannot be done


@pytest.mark.parametrize(
    ("model", "batching", "settings", "origin", "message"),
    [
        (
            SMALL,
            BATCHING,
            {"average": "best"},
            {"validation": 0.0},
            "--average best needs validation data, and there are n",
        ),
        (SMALL, BATCHING, {"best_by": "bleu"}, {"validation": 0.0}, "--best-by bleu needs validation data, and"),
        (
            SMALL,
            replace(BATCHING, longest=1),
            {},
            {},
            "--longest: expected pairs of at most 1 tokens, got 2.. pairs",
        ),
        (
            SMALL,
            replace(BATCHING, vocabulary="separate"),
            {},
            {},
            "--vocabulary separate: expected --tie-embeddings target or none, got all",
        ),
        (SMALL, BATCHING, {}, {"pairs": ("missing.en", "missing.de")}, r"no file \S+missing\.en"),
        (SMALL, BATCHING, {}, {"pairs": ()}, "name a corpus or give your own files with --pairs, one of the two"),
        (
            SMALL,
            BATCHING,
            {},
            {"corpus": "multi30k"},
            "name a corpus or give your own files with --pairs, one of the two",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_replaced(
    pairs: list[Path],
    home: Path,
    model: TranslationModelConfig,
    batching: PairConfig,
    settings: dict[str, object],
    origin: dict[str, object],
    message: str,
) -> None:
    (home / "runs" / "mine").mkdir(parents=True)
    (home / "runs" / "mine" / "old.txt").write_text("of the old run")
    source = PairData.from_dict({"pairs": tuple(map(str, pairs)), **origin}, where="here")
    with pytest.raises(TextseqError, match=message):
        textseq.train_translator(
            data_source=source,
            name="mine",
            model=model,
            data=batching,
            training=TranslatorTrainingConfig.from_dict({**training(2).to_dict(), **settings}, where="here"),
            overwrite=True,
        )
    assert [path.name for path in (home / "runs" / "mine").iterdir()] == ["old.txt"]


# Two vocabularies, and weights from another model


def test_separate_vocabularies_are_kept_apart(pairs: list[Path], home: Path) -> None:
    translator = textseq.train_translator(
        pairs=pairs,
        model=replace(SMALL, tie_embeddings="target"),
        data=replace(BATCHING, vocabulary="separate"),
        training=training(2),
    )
    loaded = textseq.load_translator("toy")
    for vocabularies in (translator.vocabularies, loaded.vocabularies):
        assert " one" in vocabularies.source.vocabulary and " one" not in vocabularies.target.vocabulary
        assert " eins" in vocabularies.target.vocabulary and " eins" not in vocabularies.source.vocabulary
        assert vocabularies.signature == "word-norm-text-to-word-norm-text"
    best = newest(home / "runs" / "toy", "best")
    assert best is not None and (best / SOURCE_FILE).is_file()
    assert loaded.translate(["one two"])[0].text == translator.translate(["one two"])[0].text


@pytest.mark.parametrize("new_vocabulary", [True, False])
@pytest.mark.parametrize("joint", [True, False])
def test_weights_carry_over_and_rows_go_by_their_tokens(
    pairs: list[Path], home: Path, joint: bool, new_vocabulary: bool
) -> None:
    model = SMALL if joint else replace(SMALL, tie_embeddings="none")
    batching = PairConfig(tokenizer="char", vocabulary="joint" if joint else "separate")
    old = textseq.train_translator(pairs=pairs, name="old", model=model, data=batching, training=training(5))
    (home / "other.tsv").write_text("".join(f"a {n} zebra\tein {n} Zebra, ß\n" for n in range(50)), encoding="utf-8")
    said: list[str] = []

    def begin(name: str, init_from: str | None) -> Translator:
        return textseq.train_translator(
            pairs=[home / "other.tsv"],
            name=name,
            model=None if init_from else model,
            data=batching,
            training=training(5),
            init_from=init_from,
            new_vocabulary=new_vocabulary and init_from is not None,
            report=said.append,
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            translation_runs.TranslationRun, "run", lambda run, **_: Translator([run.model], run.tokenizer, run.info)
        )
        new, fresh = begin("new", "old"), begin("fresh", None)
    ours, theirs, drawn = (translator.models[0].state_dict() for translator in (new, old, fresh))
    sides = {"source_embedding.weight": "source"} | dict.fromkeys(
        ("embedding.weight", "output.weight", "output.bias"), "target"
    )
    moved = known = 0
    for name in ours:
        if name not in sides:
            assert torch.equal(ours[name], theirs[name]), name
            continue
        rows = [(*getattr(of.vocabularies, sides[name]).vocabulary, "the end") for of in (new, old)]
        known = 0
        for row, token in enumerate(rows[0]):
            before = rows[1].index(token) if token in rows[1] else None
            unknown = drawn[name][row] if new_vocabulary else theirs[name].mean(0)
            wanted = unknown if before is None else theirs[name][before]
            assert torch.equal(ours[name][row], wanted), (name, token)
            known += before is not None
            moved += before not in (None, row)
    assert moved
    size = new.vocabularies.target.size
    assert 20 < known - 1 < size
    told = f"; {known - 1} of {size} tokens are known there"
    assert any(
        line.endswith(told) if new_vocabulary else "its tokenizer is kept; your data add " in line for line in said
    )


def test_a_translator_is_trained_further(learned: tuple[Path, list[str]], pairs: list[Path], home: Path) -> None:
    folder, _ = learned
    settings = replace(training(1), learning_rate=1e-6)
    further = textseq.train_translator(
        pairs=pairs, source="en", target="de", data=BATCHING, training=settings, init_from=str(folder)
    )
    assert further.translate(["five four one"])[0].text == "fünf vier eins"
    assert further.info.init_from == str(folder)
    few = home / "few.tsv"
    few.write_text("".join(f"six {n}\tsechs {n}\n" for n in range(5, 25)), encoding="utf-8")
    said: list[str] = []
    small = textseq.train_translator(
        pairs=few, source="en", target="de", training=settings, init_from=str(folder), report=said.append
    )
    assert any(re.search(r"its tokenizer is kept; your data add \d+ words, \d+ characters$", line) for line in said), (
        said
    )
    assert {*small.vocabularies.source.vocabulary} >= {*further.vocabularies.source.vocabulary, " sechs"}
    assert small.vocabularies.joint
    sentences = [*WORDS, "two three", "five four one"]
    assert [one.text for one in small.translate(sentences)] == [*map(translated, sentences)]
    with pytest.raises(TextseqError, match=r"--vocabulary: the tokenizer of \S+ has joint, got separate; leave it out"):
        separate = replace(BATCHING, vocabulary="separate")
        textseq.train_translator(pairs=few, name="n", data=separate, init_from=str(folder))
    with pytest.raises(
        TextseqError,
        match=r"--from: expected a model of the same shape, got \S+ with embedding_size 32.* flags ask for",
    ):
        textseq.train_translator(pairs=pairs, name="n", model=SMALL, data=BATCHING, init_from=str(folder))
    with pytest.raises(
        TextseqError,
        match=r"expected a model for language-model, got \S+, which is for translation; name ano",
    ):
        textseq.train(text=pairs[:1], name="n", init_from=str(folder))


def test_an_origin_says_all_of_the_pairs(pairs: list[Path]) -> None:
    origin = PairData(pairs=tuple(map(str, pairs)))
    with pytest.raises(TextseqError, match="data_source: expected it alone, got the corpus or files beside it; leave"):
        textseq.train_translator(pairs=pairs, data_source=origin)


def test_an_evaluation_reads_as_many_tokens_as_it_is_told(pairs: list[Path], home: Path) -> None:
    losses, few = {}, replace(BATCHING, batch_size=4)
    for tokens in (1, 200_000):
        settings = replace(training(1), evaluate_tokens=tokens, learning_rate=1e-9)
        textseq.train_translator(pairs=pairs, name=str(tokens), model=SMALL, data=few, training=settings)
        records = map(json.loads, (home / "runs" / str(tokens) / "log.jsonl").read_text().splitlines())
        losses[tokens] = [r["validation_loss"] for r in records if "validation_loss" in r]
    assert len(losses[1]) == len(losses[200_000]) == 1 and losses[1] != losses[200_000]


def test_training_notes_no_truncated_translations_and_leaves_the_log_alone(
    pairs: list[Path], home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger, stream = logging.getLogger("textseq"), TranslationEngine.stream

    def warned(engine: TranslationEngine, *given: Any, **how: Any) -> Iterator[list[Translation]]:
        logger.warning("another note")
        return stream(engine, *given, **how)

    monkeypatch.setattr(TranslationEngine, "stream", warned)
    textseq.train_translator(pairs=pairs, name="x", model=SMALL, data=BATCHING, training=training(1, best_by_bleu=True))
    messages = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert set(messages) == {"another note"}
