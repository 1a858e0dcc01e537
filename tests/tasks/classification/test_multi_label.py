"""Several labels for one text: from files to labels above a threshold, compared with plain torch and scikit-learn."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

import textseq
from textseq.data.in_memory import labelled_files
from textseq.data.rows import split_labels
from textseq.data.sources import LabelledData
from textseq.errors import TextseqError
from textseq.metrics.multi_label import choose_threshold, marks_of, measure_label_sets
from textseq.tasks.classification.batches import text_batch
from textseq.tasks.classification.classifier import Classifier
from textseq.tasks.classification.config import ClassifierConfig, ClassifierTrainingConfig, LabelledConfig
from textseq.tasks.classification.model import ClassifierModel

Result = tuple[int, str, str]

SMALL = ClassifierConfig(hidden_size=12, embedding_size=8, dropout=0, embedding_dropout=0)
WORDS = LabelledConfig(batch_size=8)
QUICK = ClassifierTrainingConfig(max_steps=100, max_epochs=None, evaluate_every=50, warmup_steps=0, learning_rate=0.02)
LABELS = {"goal": "sport", "vote": "politics", "song": "music"}


@pytest.fixture(autouse=True)
def home(empty_home: Path) -> Path:
    return empty_home


def news(path: Path, count: int = 120) -> Path:
    """JSON lines of texts that have a label for each of three words."""
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(count):
        words = [word for word in LABELS if rng.random() < 0.5]
        text = rng.permutation([*words, "the", "a", str(rng.integers(1000))]).tolist()
        rows.append(json.dumps({"text": " ".join(text), "labels": [LABELS[word] for word in words]}))
    path.write_text("\n".join(rows) + "\n")
    return path


def opened(content: str, name: str = "t.csv", **settings: str) -> list[tuple[str, list[str]]]:
    """The texts of a file with their labels."""
    Path(name).write_text(content)
    source = LabelledData(labelled=(name,), multi_label=True, validation=0, **settings)  # type: ignore[arg-type]
    dataset = source.open()
    assert dataset.labels == tuple(sorted({label for joined in dataset.label_sets for label in split_labels(joined)}))
    return [(text, split_labels(joined)) for text, joined in dataset.examples("train")]


def test_labels_are_lists_or_between_separators() -> None:
    wanted = [("one", ["a", "b"]), ("two", ["b"])]
    assert opened('text,label\none,"b, a,b"\ntwo,b\n') == wanted
    assert opened("text\tlabel\none\ta;b\ntwo\tb\n", "t.tsv", label_separator=";") == wanted
    rows = [{"text": "one", "labels": ["b", "a"]}, {"text": "two", "labels": "b"}, {"text": "none", "labels": []}]
    assert opened("\n".join(map(json.dumps, rows)), "t.jsonl") == [*wanted, ("none", [])]
    assert opened(json.dumps(rows), "t.json") == [*wanted, ("none", [])]
    assert opened('{"text": "one", "label": ["a, b", 1]}', "t.jsonl") == [("one", ["1", "a, b"])]
    assert opened('text,label\none,"[a], [b]"\ntwo,[b]\n') == [("one", ["[a]", "[b]"]), ("two", ["[b]"])]


@pytest.mark.parametrize("form", [repr, json.dumps])
def test_a_cell_may_have_a_list_as_python_or_json_write_it(form: Callable[[list[object]], str]) -> None:
    rows: list[list[object]] = [["b", "a"], ["it's", 'say "no", [x]'], [1, 2.5], []]
    written = io.StringIO()
    csv.writer(written).writerows([("text", "labels"), *((f"t{n}", form(row)) for n, row in enumerate(rows))])
    assert [labels for _, labels in opened(written.getvalue())] == [sorted(map(str, row)) for row in rows]
    assert opened(f"text\tlabels\none\t {form(['b;', 'a'])} \n", "t.tsv", label_separator=";") == [("one", ["a", "b;"])]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("t.csv", 'text,label\none,"a,,b"\ntwo,b\n', "1 of 2 lines with an empty label among others (line 2)"),
        ("t.csv", "text,label\none,\ntwo,b\n", "without a label (line 2)"),
        ("t.jsonl", '{"text": "one", "label": ["a", ""]}\n{"text": "two", "label": "b"}', "with an empty label among"),
        ("t.jsonl", '{"text": "one", "label": [["a"]]}', "that is no string or number"),
        ("t.jsonl", '{"text": "one", "label": {"a": 1}}', "that is no string or number, nor a list of them"),
        ("t.jsonl", '{"text": "one", "label": ["a\\tb"]}', "with a tab in 'label'"),
        ("t.csv", "text,label\none,['a' 'b']\n", "with labels in [ ] that are no list of strings or numbers (line 2)"),
        ("t.csv", "text,label\none,[['a']]\n", "with labels in [ ] that are no list of strings or numbers (line 2)"),
        ("t.csv", "text,label\none,['']\n", "with an empty label among others (line 2)"),
        ("t.csv", 'text,label\none,a\ntwo,a\n', "expected at least 2 labels, got only 'a'"),
        ("t.jsonl", '{"text": "one", "label": []}\n{"text": "two", "label": []}', "at least 2 labels, got none in t."),
    ],
)  # fmt: skip
def test_rows_without_clear_labels_are_refused(name: str, content: str, told: str) -> None:
    with pytest.raises(TextseqError, match=re.escape(told)):
        opened(content, name)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"corpus": "sst2", "multi_label": True}, "--multi-label: expected your own files"),
        ({"labelled": ("t.csv",), "multi_label": True, "folds": 2}, "without --folds and --seeds"),
        ({"labelled": ("t.csv",), "label_separator": ";"}, "--label-separator: expected what separates several labels"),
        ({"labelled": (".",), "multi_label": True}, "--multi-label: expected a table or JSON, got the folder ."),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, object], told: str) -> None:
    with pytest.raises(TextseqError, match=re.escape(told)):
        LabelledData.from_dict(settings, where="test").open()


def test_the_loss_is_the_binary_cross_entropy() -> None:
    torch.manual_seed(1)
    model = ClassifierModel(SMALL, 20, 3, multi_label=True)
    marks = np.array([[1, 0, 1], [0, 0, 0]], np.float32)
    batch = text_batch([np.array([1, 2, 3]), np.array([4])], marks)
    logits, targets = model(batch.ids, batch.lengths), torch.from_numpy(marks)
    loss = model.eval().loss(batch, None)
    plain = binary_cross_entropy_with_logits(logits, targets, reduction="sum")
    torch.testing.assert_close(loss.nats, plain)
    assert loss.count == 2
    smoothed = ClassifierModel(replace(SMALL, label_smoothing=0.2), 20, 3, multi_label=True)
    smoothed.load_state_dict(model.state_dict())
    loss = smoothed.train().loss(batch, None)
    target = binary_cross_entropy_with_logits(logits, targets * 0.8 + 0.1, reduction="sum") / 2
    assert loss.penalty is not None
    torch.testing.assert_close(loss.nats / loss.count + loss.penalty, target)


@pytest.fixture(scope="module")
def peer() -> Any:
    """The metrics of scikit-learn."""
    return pytest.importorskip("sklearn.metrics", reason="needs scikit-learn")


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities and marks, (50, 4)."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(size=(50, 4)).round(1))  # with ties
    return logsigmoid(logits).numpy(), rng.random((50, 4)) < 0.3


@pytest.mark.parametrize("seed", range(3))
def test_metrics_are_those_of_scikit_learn_and_torch(seed: int, peer: Any) -> None:
    log_p, true = random_case(seed)
    metrics = measure_label_sets(log_p, true, "abcd", threshold=0.4)
    predicted = np.exp(log_p) >= 0.4
    for average, ours in (("micro", metrics.f1), ("macro", metrics.macro_f1)):
        assert ours == pytest.approx(peer.f1_score(true, predicted, average=average))
    assert metrics.subset_accuracy == pytest.approx(peer.accuracy_score(true, predicted))
    p = torch.from_numpy(np.exp(log_p))
    plain = torch.nn.functional.binary_cross_entropy(p, torch.from_numpy(true).double(), reduction="sum") / 50
    assert metrics.nats == pytest.approx(float(plain))
    assert metrics.interval[0] < metrics.f1 < metrics.interval[1]


@pytest.mark.parametrize("seed", range(3))
def test_no_threshold_has_a_higher_micro_f1(seed: int, peer: Any) -> None:
    log_p, true = random_case(seed)
    p = np.exp(log_p)
    threshold, f1 = choose_threshold(p, true)
    tried = [peer.f1_score(true, p >= one, average="micro") for one in np.unique(p)]
    assert f1 == pytest.approx(peer.f1_score(true, p >= threshold, average="micro")) == pytest.approx(max(tried))
    assert np.abs(p - threshold).min() > 1e-6
    assert choose_threshold(p, np.zeros_like(true)) == (0.5, 0.0)
    assert choose_threshold(np.zeros_like(p), true) == (0.0, peer.f1_score(true, np.ones_like(true), average="micro"))


def test_labels_that_a_model_does_not_know_count_as_missed() -> None:
    log_p, true = random_case(0)
    whole = measure_label_sets(log_p[:, :3], true, "abcd", threshold=0.4)
    assert whole.per_label[3].recall == 0 and whole.per_label[3].examples == true[:, 3].sum()


def test_it_learns_and_gives_all_labels_above_the_threshold(command: Callable[..., Result], home: Path) -> None:
    path = news(home / "news.jsonl")
    source = LabelledData(labelled=(str(path),), multi_label=True)
    said: list[str] = []
    trained = textseq.train_classifier(
        data_source=source, model=SMALL, data=WORDS, training=QUICK, report=said.append, name="mine"
    )
    assert any(re.search(r"step 50: validation micro F1 \d+\.\d\d%, ", line) for line in said)
    assert any("labels are given from a probability of 0." in line for line in said)
    model = textseq.load("mine")
    assert isinstance(model, Classifier) and model.threshold == trained.threshold is not None
    result = model.classify("the goal a song")
    assert {*result.labels} == {"sport", "music"}
    assert model.classify("the a").labels == ()
    assert list(result.probabilities) == ["music", "politics", "sport"] and sum(result.probabilities.values()) > 1.5
    assert "micro F1" in (home / "runs" / "mine" / "README.md").read_text()

    explanation = model.explain("the goal a song", label="sport")
    logit = float(model.logits(["the goal a song"])[0, 2])
    assert explanation.score == pytest.approx(logit, abs=1e-4)
    assert explanation.gap == pytest.approx(0, abs=0.05)
    assert max(explanation.words, key=lambda word: word[1])[0].strip() == "goal"

    test = news(home / "test.csv", 0)
    test.write_text('text,labels\nthe goal a song,"music,sport"\na vote,politics\n')
    code, out, err = command("evaluate", "--labelled", test, "--model", "mine", "--json")
    assert code == 0, err
    table = json.loads(out)
    assert table["micro_f1"] == table["macro_f1"] == table["subset_accuracy"] == 1
    code, out, err = command("evaluate", "--labelled", test, "--model", "mine", "--plot-confusion", "c.png")
    assert code == 2 and err.startswith("textseq-evaluate: --plot-confusion needs a model that predicts one label")

    texts = b"the goal a song\nthe a\na vote\n"
    code, out, err = command("classify", "--model", "mine", stdin=texts)
    lines = [line.split("\t") for line in out.splitlines()]
    assert code == 0 and [sorted(line[::2]) for line in lines] == [["music", "sport"], [""], ["politics"]]
    code, out, err = command("classify", "--model", "mine", "--json", "--threshold", "1e-9", stdin=texts)
    assert [len(json.loads(line)["labels"]) for line in out.splitlines()] == [3, 3, 3]
    code, out, err = command("classify", "--model", "mine", "--threshold", "2", stdin=texts)
    assert code == 2 and "--threshold: expected a probability above 0 and at most 1, got 2" in err


def test_a_model_that_is_given_away_keeps_the_separator_of_its_labels(
    command: Callable[..., Result], home: Path
) -> None:
    table = home / "news.csv"
    rows = (f"the goal {number} a song,music;sport\na vote {number},politics\n" for number in range(20))
    table.write_text("text,label\n" + "".join(rows))
    source = LabelledData(labelled=(str(table),), multi_label=True, label_separator=";")
    brief = replace(QUICK, max_steps=2)
    textseq.train_classifier(data_source=source, model=SMALL, data=WORDS, training=brief, name="mine", progress=False)
    textseq.load("mine").save("given")
    mine, given = (command("evaluate", "--labelled", table, "--model", name)[:2] for name in ("mine", "given"))
    assert mine == given and "labels:3" in given[1], given


def test_data_in_memory_may_have_lists_of_labels(command: Callable[..., Result]) -> None:
    training = replace(QUICK, max_steps=2, evaluate_every=2)
    texts = [f"{words} {number}" for number in range(10) for words in ("a b", "a", "b", "none")]
    labels = [["a", "b"], ["a"], np.array(["b"]), []] * 10
    several = textseq.train_classifier(
        texts=texts, labels=labels, model=SMALL, data=WORDS, training=training, name="several"
    )
    assert several.labels == ("a", "b") and several.threshold is not None
    single = textseq.train_classifier(
        texts=texts, labels=["a", "b"] * 20, model=SMALL, data=WORDS, training=training, name="single"
    )
    assert single.threshold is None and single.classify("a").labels == (single.classify("a").label,)
    code, _, err = command("classify", "--model", "single", "--threshold", "0.5", stdin=b"a\n")
    assert code == 2 and err.splitlines()[-1].startswith(
        "textseq-classify: --threshold: expected a model trained with --multi-label"
    )
    dataset = LabelledData(labelled=labelled_files(texts, labels), multi_label=True, validation=0).open()
    with pytest.raises(TextseqError, match=r"expected a model of several labels for 'labelled', got one"):
        single.evaluate(dataset, "train")
    with pytest.raises(TextseqError, match="--class-weights: expected none with --multi-label, got balanced"):
        textseq.train_classifier(
            texts=texts, labels=labels, model=replace(SMALL, class_weights="balanced"), data=WORDS, name="other"
        )
    with pytest.raises(TextseqError, match="--best-by: expected accuracy or loss with --multi-label, got macro_f1"):
        training = ClassifierTrainingConfig(best_by="macro_f1")
        textseq.train_classifier(texts=texts, labels=labels, model=SMALL, data=WORDS, training=training, name="other")


def test_the_best_checkpoint_is_the_one_of_the_highest_micro_f1(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.5, 0.9, 0.7, 0.7])  # of three evaluations and the last one
    monkeypatch.setattr("textseq.tasks.classification.run._best_threshold", lambda logits, marks: (0.5, next(scores)))
    source = LabelledData(labelled=(str(news(home / "news.jsonl")),), multi_label=True)
    training = replace(QUICK, max_steps=6, evaluate_every=2)
    classifier = textseq.train_classifier(data_source=source, model=SMALL, data=WORDS, training=training)
    assert classifier.info.step == 4


def test_marks_have_a_row_for_each_text() -> None:
    assert marks_of([["b"], [], ["a", "b"]], "ab").tolist() == [[False, True], [False, False], [True, True]]
    assert marks_of([], "ab").shape == (0, 2)
