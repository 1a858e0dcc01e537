"""Models that learn from other models: what the loss is, what resuming keeps, and which teachers are refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import textseq
from textseq.errors import TextseqError
from textseq.nn.cells import State
from textseq.nn.losses import Loss
from textseq.tasks.classification.config import ClassifierConfig, ClassifierTrainingConfig
from textseq.tasks.distillation import Distillation
from textseq.tasks.language_model.batches import WindowBatch
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig, LanguageModelTrainingConfig
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.language_model.model import LanguageModel
from textseq.tasks.translation.batches import PairBatch, pair_batch, window
from textseq.tasks.translation.config import PairConfig, TranslationModelConfig, TranslatorTrainingConfig
from textseq.tasks.translation.model import TranslationModel
from textseq.tasks.translation.translator import Translator

V, T, N = 7, 6, 3
TEXT = "the cat sat on the mat,\nthe dog sat on the log.\n" * 20
QUICK: dict[str, Any] = {
    "learning_rate": 0.01,
    "warmup_steps": 0,
    "max_epochs": None,
    "schedule": "constant",
    "precision": "float32",
}


@pytest.fixture
def home(empty_home: Path) -> Path:
    (empty_home / "cats.txt").write_text(TEXT, encoding="utf-8")
    return empty_home


# The loss


def language_model(hidden: int, seed: int, *, layers: int = 1, condition_numbers: int = 0) -> LanguageModel:
    torch.manual_seed(seed)
    config = LanguageModelConfig(hidden_size=hidden, embedding_size=4, condition_size=3, num_layers=layers, dropout=0.0)
    return LanguageModel(config, V, condition_numbers)


def window_of(ids: Tensor, start: int, stop: int, conditions: Tensor | None = None) -> WindowBatch:
    """Tokens ``start`` to ``stop`` of N texts, each with the token after it."""
    length = stop - start
    parts = None if conditions is None else conditions[:, start:stop]
    return WindowBatch(ids[:, start:stop], ids[:, start + 1 : stop + 1], None, length, length, parts)


@pytest.mark.usefixtures("float64")
def test_a_share_of_what_a_language_model_learns_is_the_teachers_mean() -> None:
    student = language_model(5, 1)
    teachers = [language_model(4, 2, layers=2).eval(), language_model(9, 3).eval()]
    ids = torch.randint(V, (N, T + 1))
    loss = Distillation(student, teachers, share=0.3).loss(window_of(ids, 0, T), None)
    logits, _ = student(ids[:, :-1])
    taught = sum(teacher(ids[:, :-1])[0].softmax(dim=2) for teacher in teachers) / 2
    right = ids[:, 1:].flatten()
    wanted = 0.7 * cross_entropy(logits.flatten(0, 1), right)
    wanted = wanted + 0.3 * cross_entropy(logits.flatten(0, 1), taught.flatten(0, 1).detach())
    assert loss.penalty is not None
    found = loss.nats / loss.count + loss.penalty
    torch.testing.assert_close(found, wanted)
    weights = list(student.parameters())
    torch.testing.assert_close(torch.autograd.grad(found, weights), torch.autograd.grad(wanted, weights))


def in_windows(objective: Distillation, windows: list[Any]) -> list[Loss]:
    """The losses of consecutive windows, each begun with the state that the one before left."""
    state: State | None = None
    losses = []
    for batch in windows:
        losses.append(objective.loss(batch, state))
        state = losses[-1].state
    return losses


def check_windows(objective: Distillation, whole: Any, windows: list[Any]) -> None:
    """The windows one after the other cost as much as the whole, with what was to be learned from the teachers."""
    one, several = objective.loss(whole, None), in_windows(objective, windows)
    assert one.penalty is not None and sum(loss.count for loss in several) == one.count
    torch.testing.assert_close(torch.stack([loss.nats for loss in several]).sum(), one.nats)
    penalties = [loss.penalty * loss.count for loss in several if loss.penalty is not None]
    torch.testing.assert_close(torch.stack(penalties).sum(), one.penalty * one.count)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("conditional", [False, True])
def test_teachers_of_a_language_model_keep_their_state_from_window_to_window(*, conditional: bool) -> None:
    numbers = 2 if conditional else 0
    student = language_model(5, 1, condition_numbers=numbers)
    teachers = [language_model(4, 2, layers=2).eval(), language_model(6, 3, condition_numbers=numbers).eval()]
    ids = torch.randint(V, (N, T + 1))
    conditions = torch.rand(N, 1, 2).expand(N, T, 2) if conditional else None
    parts = [window_of(ids, *cut, conditions) for cut in ((0, 2), (2, 3), (3, T))]
    check_windows(Distillation(student, teachers, share=0.5), window_of(ids, 0, T, conditions), parts)


TRANSLATION = TranslationModelConfig(
    embedding_size=5, encoder_size=4, hidden_size=8, attention_size=6, dropout=0, embedding_dropout=0, label_smoothing=0
)


def translation_model(seed: int, **changes: Any) -> TranslationModel:
    torch.manual_seed(seed)
    return TranslationModel(replace(TRANSLATION, **changes), V, V)


def pairs_batch() -> PairBatch:
    sources, targets = ([torch.randint(V, (n,)).numpy() for n in side] for side in ((3, 6, 1, 4), (5, 2, 7, 1)))
    return pair_batch(sources, targets, (V, V))


@pytest.mark.usefixtures("float64")
def test_teachers_of_a_translator_keep_their_state_from_window_to_window() -> None:
    student = translation_model(1)
    teachers = [translation_model(2, num_decoder_layers=2).eval(), translation_model(3, cell="lstm").eval()]
    batch = pairs_batch()
    parts = [window(batch, *cut) for cut in ((0, 3), (3, 4), (4, None))]
    check_windows(Distillation(student, teachers, share=0.5), batch, parts)


@pytest.mark.usefixtures("float64")
def test_a_translator_learns_the_mean_of_its_teachers() -> None:
    student, teachers, batch = (
        translation_model(1),
        [translation_model(2).eval(), translation_model(3).eval()],
        pairs_batch(),
    )
    loss = Distillation(student, teachers, share=1.0).loss(batch, None)
    taught = sum(teacher(batch)[0].softmax(dim=2) for teacher in teachers) / 2
    wanted = cross_entropy(student(batch)[0][batch.real], taught[batch.real].detach())
    assert loss.penalty is not None
    torch.testing.assert_close(loss.nats / loss.count + loss.penalty, wanted)


@pytest.mark.usefixtures("float64")
def test_teachers_learn_nothing_and_are_no_part_of_the_module() -> None:
    student, teacher = language_model(5, 1), language_model(4, 2).eval()
    objective = Distillation(student, [teacher], share=0.5)
    assert {id(weight) for weight in objective.parameters()} == {id(weight) for weight in student.parameters()}
    objective.train()
    assert not teacher.training
    loss = objective.loss(window_of(torch.randint(V, (N, T + 1)), 0, T), None)
    assert loss.penalty is not None
    torch.autograd.backward(loss.nats / loss.count + loss.penalty)
    assert all(weight.grad is None for weight in teacher.parameters())
    assert all(weight.grad is not None for weight in student.parameters())


# Runs


def train(name: str, *teachers: str, steps: int = 3, **options: Any) -> TextGenerator:
    hidden = options.pop("hidden", 8)
    given: dict[str, Any] = {
        "text": "cats.txt",
        "model": LanguageModelConfig(hidden_size=hidden, embedding_size=8, dropout=0.0),
        "data": DataConfig(batch_size=4, window=16),
        "training": LanguageModelTrainingConfig(
            distil_from=teachers, distil_share=options.pop("share", 0.5), max_steps=steps, **QUICK
        ),
        "report": lambda line: None,
    }
    return textseq.train(name=name, **(given | options))


def labelled_lines(*labels: str) -> str:
    """A table of texts, each with one of the labels."""
    return "text,label\n" + "".join(f"the cat {n},{labels[n % len(labels)]}\n" for n in range(100))


def divergence(teacher: TextGenerator, student: TextGenerator) -> float:
    """The mean Kullback-Leibler divergence of the student's predictions from the teacher's, nats per token."""
    ids = torch.from_numpy(teacher.tokenizer.encode(TEXT[:200])).long().unsqueeze(0)
    with torch.no_grad():
        one, two = (each.model(ids)[0].log_softmax(dim=2) for each in (teacher, student))
    return float((one.exp() * (one - two)).sum(dim=2).mean())


def test_a_student_comes_to_predict_what_its_teacher_predicts(home: Path) -> None:
    """A teacher that knows more than the text says: where the text is the same, it prefers other tokens."""
    (home / "other.txt").write_text(TEXT.replace("cat", "tac").replace("sat", "tas"), encoding="utf-8")
    teacher = train("teacher", steps=100, hidden=24, text="other.txt")
    alone, taught = train("alone", steps=100, hidden=24), train("taught", "teacher", steps=100, hidden=24, share=1.0)
    assert divergence(teacher, taught) < 0.5 * divergence(teacher, alone)


def test_a_run_with_teachers_that_is_resumed_is_as_if_it_had_never_stopped(home: Path) -> None:
    train("big", hidden=12)
    train("small", hidden=4)
    whole = train("whole", "big", "small", steps=6)
    train("parts", "big", "small", steps=4)
    longer = replace(LanguageModelTrainingConfig.from_dict(whole.info.training, where="x"), max_steps=6)
    assert longer.distil_from == ("big", "small")
    resumed = textseq.resume("parts", training=longer, report=lambda line: None)
    assert isinstance(resumed, TextGenerator) and resumed.info.teachers == whole.info.teachers
    assert len(set(resumed.info.teachers)) == 2
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor), name


def test_what_a_run_learned_from_is_kept_with_it(home: Path) -> None:
    (home / "more.txt").write_text(TEXT, encoding="utf-8")
    train("more", text="more.txt")
    said: list[str] = []
    student = train("student", "more", report=said.append)
    assert "learning from more as well as from the data; the tokenizer of more is kept" in said
    assert student.info.corpora == ("cats.txt", "more.txt") and len(student.info.teachers) == 1
    assert "- It learned from other models too: more.\n" in (home / "runs/student/README.md").read_text()


def test_the_tokenizer_is_that_of_the_teacher(home: Path) -> None:
    (home / "more.txt").write_text("jumps over zebras\n" + TEXT, encoding="utf-8")
    teacher = train("teacher", text="more.txt")
    student = train("student", "teacher")
    assert student.tokenizer.fingerprint == teacher.tokenizer.fingerprint
    assert train("plain").tokenizer.fingerprint != teacher.tokenizer.fingerprint
    further = train("further", "teacher", init_from="student", model=None)
    assert further.tokenizer.fingerprint == teacher.tokenizer.fingerprint


def test_a_teacher_that_spells_characters_of_its_text_with_bytes_teaches_on_that_text(home: Path) -> None:
    (home / "rare.txt").write_text("\u00e9\n" + TEXT * 20, encoding="utf-8")
    options: dict[str, Any] = {"text": "rare.txt", "data": DataConfig(tokenizer="subword", vocabulary_size=290)}
    teacher = train("teacher", **options)
    assert teacher.tokenizer.decode(teacher.tokenizer.encode("\u00e9")[-1:]) == "\ufffd"
    assert train("student", "teacher", **options).tokenizer.fingerprint == teacher.tokenizer.fingerprint


def test_teachers_that_do_not_fit_are_refused(home: Path) -> None:
    (home / "few.txt").write_text("the cat\n" * 40, encoding="utf-8")
    (home / "texts.csv").write_text(labelled_lines("a", "b"), encoding="utf-8")
    train("few", text="few.txt")
    train("cats")
    train("words", data=DataConfig(batch_size=4, window=16, tokenizer="word"))
    train("labelled", text=(), labelled="texts.csv")
    quick = ClassifierTrainingConfig(max_steps=1, **QUICK)
    judge = ClassifierConfig(hidden_size=4, embedding_size=4)
    textseq.train_classifier(labelled="texts.csv", name="judge", model=judge, training=quick, report=lambda line: None)
    cases: list[tuple[tuple[str, ...], dict[str, Any], str]] = [
        (("nobody",), {}, "--distil-from: unknown model 'nobody'"),
        (("judge",), {}, "--distil-from: expected a language model, got .*judge.*, which is for classification"),
        (("few",), {}, "--distil-from: expected data that .*few.* knows, got .*; train it further"),
        (("cats", "words"), {}, "expected models with the tokens of this run, got .*words.*, whose tokens differ"),
        (("cats", "labelled"), {}, "expected models (with the tokens|without a condition)"),
        (
            ("cats",),
            {"name": "cats", "overwrite": True},
            "expected other models than the run itself, got cats; set --n",
        ),
        (
            ("cats",),
            {"model": LanguageModelConfig(sampled_softmax=2)},
            "--distil-from and --sampled-softmax exclude one another",
        ),
        (
            ("words",),
            {"data": DataConfig(batch_size=4, window=16, tokenizer="subword")},
            "--tokenizer: the tokenizer of .*words.* has word, got subword; leave it out, as --distil-from keeps",
        ),
    ]
    for teachers, options, message in cases:
        with pytest.raises(TextseqError, match=message):
            train(options.pop("name", "x"), *teachers, **options)
        assert not (home / "runs/x").exists(), message
    with pytest.raises(TextseqError, match="--distil-from in my recipe: expected a list, got 'cats'"):
        LanguageModelTrainingConfig.from_dict({"distil_from": "cats"}, where="my recipe")
    for share in (0.0, 1.5):
        with pytest.raises(TextseqError, match="--distil-share: expected at most 1 and more than 0, got"):
            train("x", "cats", share=share)


def test_a_condition_must_be_that_of_the_data(home: Path) -> None:
    def labelled(name: str, first: str, *teachers: str) -> TextGenerator:
        (home / f"{name}.csv").write_text(labelled_lines(first, "b"), encoding="utf-8")
        return train(name, *teachers, text=(), labelled=f"{name}.csv")

    labelled("first", "a")
    assert labelled("second", "a", "first").info.labels == ("a", "b")
    train("plain", text=("first.csv",), data=DataConfig(batch_size=4, window=16))
    with pytest.raises(
        TextseqError, match=r"without a condition or with that of your data, got .*first.* with another"
    ):
        labelled("third", "c", "first")


def test_a_teacher_that_has_changed_or_is_gone_is_missed_when_the_run_is_resumed(home: Path) -> None:
    train("teacher")
    student = train("student", "teacher")
    before = LanguageModelTrainingConfig.from_dict(student.info.training, where="x")
    longer = replace(before, max_steps=6)
    with pytest.raises(TextseqError, match=r"--distil-from: .* was started with teacher, got none; leave it out"):
        textseq.resume("student", training=replace(longer, distil_from=()))
    (home / "runs/teacher").rename(home / "elsewhere")
    textseq.resume("student", training=replace(longer, distil_from=("elsewhere",)), report=lambda line: None)
    train("teacher", steps=4)
    longer = replace(longer, max_steps=8)
    with pytest.raises(
        TextseqError, match=r"--distil-from: expected the models that .*student began with, got teacher with"
    ):
        textseq.resume("student", training=longer)
    shutil.rmtree(home / "runs/teacher")
    with pytest.raises(TextseqError, match=r"--distil-from: unknown model 'teacher'.*student learns from it: name it"):
        textseq.resume("student", training=longer)


def test_the_batch_size_that_fits_is_found_with_the_teachers(home: Path) -> None:
    train("teacher")
    settings = LanguageModelTrainingConfig(distil_from=("teacher",), max_steps=1, layer_decay=0.5, **QUICK)
    student = train("student", data=DataConfig(batch_size="auto", window=16), training=settings)
    assert isinstance(student.info.data["batch_size"], int)


def test_translators_learn_from_translators(home: Path) -> None:
    numbers = range(40)
    lines = [f"number {n}" for n in numbers]
    (home / "toy.en").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (home / "toy.de").write_text("\n".join(lines).upper() + "\n", encoding="utf-8")

    def teach(name: str, *teachers: str, **options: Any) -> Translator:
        given: dict[str, Any] = {
            "pairs": ["toy.en", "toy.de"],
            "source": "en",
            "target": "de",
            "model": TRANSLATION,
            "data": PairConfig(tokenizer="word", batch_size=8),
            "training": TranslatorTrainingConfig(distil_from=teachers, max_steps=3, **QUICK),
            "report": lambda line: None,
        }
        return textseq.train_translator(name=name, **(given | options))

    teach("one")
    teach("two", model=replace(TRANSLATION, hidden_size=10))
    student = teach("student", "one", "two")
    assert len(student.info.teachers) == 2
    with pytest.raises(
        TextseqError, match=r"--distil-from: expected translators from de to en, got .*one.* from en to d"
    ):
        teach("back", "one", pairs=["toy.de", "toy.en"], source="de", target="en")


# The command


def test_the_command_takes_teachers_and_keeps_their_tokenizer(
    home: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    flags = ["--batch-size", "4", "--window", "16", "--hidden-size", "8", "--max-steps", "2"]
    train("a", data=DataConfig(batch_size=4, window=16, tokenizer="word"))
    code, _, said = command("train", "--text", "cats.txt", "--name", "b", "--distil-from", "a", *flags)
    assert code == 0 and "learning from a as well as from the data" in said
    assert textseq.load_generator("b").tokenizer.kind == "word"
    code, _, said = command(
        "train", "--text", "cats.txt", "--name", "c", "--distil-from", "a", "--tokenizer", "char", *flags
    )
    assert code == 2 and "the tokenizer of a has word, got char; leave it out, as --distil-from keeps" in said
    code, _, said = command("train", "--labelled", "x.csv", "--distil-from", "a", "--task", "classification")
    assert code == 2 and "--distil-from is not a flag of a classifier" in said
