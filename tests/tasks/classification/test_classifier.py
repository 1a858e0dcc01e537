"""A classifier at work: batches change nothing, measures are what they say, it is as sure as it is right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from torch import nn

import textseq
from textseq.checkpoints.model_info import CorpusInfo, ModelInfo
from textseq.data.labelled import LabelledDataset
from textseq.errors import TextseqError
from textseq.metrics.classification import ClassificationMetrics, combine, fit_temperature, measure_labels
from textseq.metrics.confusion_plot import confusion_plot
from textseq.tasks.classification import label_classifier
from textseq.tasks.classification.classifier import Classifier
from textseq.tasks.classification.config import ClassifierConfig
from textseq.tasks.classification.model import ClassifierModel
from textseq.tokenizers.characters import CharTokenizer

TEXTS = ["a good one", "", "x", "a very long and very bad one " * 9, "neither good nor bad", "a good one"]
LABELS = ("good", "bad", "so so")


@pytest.fixture
def classifier() -> Classifier:
    letters = CharTokenizer.train([["abcdefghijklmnopqrstuvwxyz "]])
    torch.manual_seed(1)
    config = ClassifierConfig(hidden_size=8, embedding_size=6, window=50)
    model = ClassifierModel(config, letters.size, len(LABELS))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    info = ModelInfo(
        task="classification",
        labels=LABELS,
        model=config.to_dict(),
        temperature=2.0,
        corpus=CorpusInfo(name="mine", title="Some texts"),
    )
    return Classifier(model, letters, info)


def corpus(examples: list[tuple[str, str]]) -> LabelledDataset:
    return LabelledDataset(
        name="mine", title="Mine", purpose="", fingerprint="f", labels=LABELS, contents={"test": examples}
    )


def test_a_batch_gives_what_each_text_gives_alone(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    together = classifier.classify(TEXTS)
    for text, found in zip(TEXTS, together, strict=True):
        (alone,) = classifier.classify([text])
        assert alone.label == found.label
        assert alone.probabilities == pytest.approx(found.probabilities, abs=1e-6)
        assert sum(found.probabilities.values()) == pytest.approx(1)
        assert found.probability == max(found.probabilities.values())
    assert together[0].probabilities == pytest.approx(together[-1].probabilities, abs=1e-6)
    monkeypatch.setattr("textseq.tasks.classification.classifier.TOKENS", 30)
    for found, again in zip(together, classifier.stream(TEXTS, buffer=2), strict=True):
        assert again.probabilities == pytest.approx(found.probabilities, abs=1e-6)


def test_lines_are_read_only_as_far_ahead_as_said(classifier: Classifier) -> None:
    read: list[str] = []
    done: list[int] = []

    def noted() -> Iterator[str]:
        for text in TEXTS:
            read.append(text)
            yield text

    answers = classifier.stream(noted(), buffer=2, progress=done.append)
    next(answers)
    assert len(read) == 2
    assert len(list(answers)) == len(TEXTS) - 1
    assert done == [2, 2, 2]


def test_sixteen_bits_make_nearly_the_same_probabilities(classifier: Classifier) -> None:
    narrow = Classifier(classifier.model, classifier.tokenizer, classifier.info, precision="bfloat16")
    exact, found = classifier.log_probabilities(TEXTS), narrow.log_probabilities(TEXTS)
    assert 0 < np.abs(np.exp(found) - np.exp(exact)).max() < 0.02
    part = corpus([(text, "bad") for text in TEXTS])
    assert narrow.evaluate(part).signature == classifier.evaluate(part).signature.replace(
        "|labels:3", "|precision:bfloat16|labels:3"
    )


def test_the_temperature_makes_it_less_sure_and_changes_no_label(classifier: Classifier) -> None:
    less = classifier.classify(TEXTS)
    classifier.info = replace(classifier.info, temperature=1.0)
    more = classifier.classify(TEXTS)
    assert [one.label for one in less] == [one.label for one in more]
    assert all(one.probability < other.probability for one, other in zip(less, more, strict=True))


def test_the_measures_are_those_of_the_definitions() -> None:
    truth = [0, 0, 0, 1, 1, 2]
    given = [0, 0, 1, 1, 0, 2]
    p = np.full((6, 3), 0.1)
    p[np.arange(6), given] = 0.8
    found = measure_labels(np.log(p), truth, LABELS, setup="corpus:mine")
    assert found.confusion.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert found.accuracy == pytest.approx(4 / 6)
    good, bad, so_so = found.per_label
    assert [good.precision, good.recall, good.examples] == pytest.approx([2 / 3, 2 / 3, 3])
    assert (bad.precision, bad.recall, bad.f1) == (0.5, 0.5, 0.5)
    assert so_so.f1 == 1
    assert found.macro_f1 == pytest.approx((2 / 3 + 0.5 + 1) / 3)
    assert found.nats == pytest.approx(-(4 * np.log(0.8) + 2 * np.log(0.1)) / 6)
    assert found.signature.startswith("corpus:mine|labels:3|bs:1000|seed:12345|textseq:")
    low, high = found.interval
    assert 0 <= low < found.accuracy < high <= 1
    assert "accuracy 66.67%" in str(found)
    for line in ("good           66.67%  66.67%", "so so         100.00% 100.00%", "true/pred."):
        assert line in found.table(), found.table()
    unused = measure_labels(np.log(p), [0] * 6, LABELS).per_label[2]
    assert (unused.recall, unused.precision) == (0, 0)
    with pytest.raises(TextseqError, match="expected at least one text to evaluate on"):
        measure_labels(np.zeros((0, 3)), [], LABELS)


@pytest.mark.parametrize("count", [1, 19, 2000])
def test_the_interval_of_all_or_none_tells_how_few_texts_there_were(count: int) -> None:
    log_p = np.log(np.tile([0.9, 0.1], (count, 1)))
    low, high = measure_labels(log_p, [0] * count, ("a", "b")).interval
    assert high == 1 and low**count == pytest.approx(0.025)
    assert measure_labels(log_p, [1] * count, ("a", "b")).interval == pytest.approx((0, 1 - low))


def test_the_interval_is_that_of_resampled_texts() -> None:
    rng = np.random.default_rng(0)
    hits = rng.random(400) < 0.8
    p = np.where(hits[:, None], [0.9, 0.1], [0.1, 0.9])
    low, high = measure_labels(np.log(p), [0] * 400, ("a", "b")).interval
    resampled = [rng.choice(hits, 400).mean() for _ in range(2000)]
    assert (low, high) == pytest.approx(tuple(np.quantile(resampled, (0.025, 0.975))), abs=0.01)


def test_the_calibration_error_is_the_distance_of_confidence_and_share_right() -> None:
    """Of 10 texts with a confidence of 0.9 six are right, of 10 with 0.7 seven, all in bins of their own."""
    p, right = np.repeat([0.9, 0.7], 10), np.tile([1] * 6 + [0] * 3, 3)[[*range(9), 8, *range(6), 0, *range(6, 9)]]
    log_p = np.log(np.stack([p, 1 - p], axis=1))
    found = measure_labels(log_p, 1 - right, ("a", "b"))
    assert found.calibration_error == found.to_dict()["calibration_error"] == pytest.approx((10 * 0.3 + 0) / 20)
    assert "calibration error 15.00%" in str(found)
    assert measure_labels(log_p, [2] * 20, ("a", "b", "new")).calibration_error == pytest.approx(0.8)
    certain = measure_labels(np.array([[0.0, -np.inf]]), [0], ("a", "b"))
    assert certain.calibration_error == 0


def test_the_calibration_error_of_true_probabilities_is_small() -> None:
    rng = np.random.default_rng(3)
    p = rng.dirichlet([1, 1, 1], 20_000)
    labels = (p.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    assert measure_labels(np.log(p), labels, LABELS).calibration_error < 0.01
    sharp = p**3 / (p**3).sum(axis=1, keepdims=True)
    assert measure_labels(np.log(sharp), labels, LABELS).calibration_error > 0.1


def test_calibration_finds_the_temperature_of_the_least_loss() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(4000, 3)) * 2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = [int(rng.choice(3, p=row)) for row in p]
    assert fit_temperature(logits, right) == pytest.approx(1, abs=0.06)
    assert fit_temperature(3 * logits, right) == pytest.approx(3, abs=0.18)
    certain = [int(row.argmax()) for row in logits]
    sure = fit_temperature(logits, certain)
    assert 1 / 20 <= sure < 0.2  # never wrong, 4,000 times
    few = [fit_temperature(logits[:count], certain[:count]) for count in (1, 4, 40, 400)]
    assert 1 > few[0] > few[1] > few[2] > few[3] > sure  # the fewer texts, the less they change
    assert few[0] > 0.8
    assert fit_temperature(logits[:0], []) == pytest.approx(1)


def test_a_part_is_measured(classifier: Classifier) -> None:
    said = [one.label for one in classifier.classify(TEXTS)]
    found = classifier.evaluate(corpus([*zip(TEXTS, said, strict=True)]))
    assert isinstance(found, ClassificationMetrics) and found.accuracy == 1
    assert found.signature.startswith("corpus:mine|split:whole|tokens:char|")


def test_labels_that_the_model_never_saw_count_as_wrong(
    classifier: Classifier, caplog: pytest.LogCaptureFixture
) -> None:
    label = classifier.classify("x").label
    right = classifier.evaluate(corpus([("x", label)] * 3))
    assert not caplog.messages
    metrics = classifier.evaluate(corpus([("x", label)] * 3 + [("x", "awful")]))
    assert isinstance(metrics, ClassificationMetrics) and metrics.accuracy == 0.75
    assert metrics.nats == pytest.approx(right.nats)
    assert metrics.labels == (*LABELS, "awful")
    assert metrics.per_label[-1].examples == 1 and metrics.per_label[-1].recall == 0
    assert metrics.macro_f1 == pytest.approx((2 * 0.75 / 1.75 + 0) / 2)
    assert caplog.messages == [
        "note: 'mine' has labels that the model does not know ('awful'; 1 of 4): they count as wrong"
    ]
    with pytest.raises(
        TextseqError, match=r"only labels that the model does not know \('bad '\); it knows good, bad, so"
    ):
        classifier.evaluate(corpus([("x", "bad ")]))


def test_it_says_that_it_is_unsure_if_asked_to(classifier: Classifier) -> None:
    sure = classifier.classify(TEXTS)
    limit = sorted(one.probability for one in sure)[2]
    asked = classifier.classify(TEXTS, unsure_below=limit)
    for one, other in zip(sure, asked, strict=True):
        assert other.probabilities == one.probabilities and other.probability == one.probability
        assert other.label == (one.label if one.probability >= limit else "unsure")
    assert [one.label for one in asked].count("unsure") == 2
    assert classifier.classify("x", unsure_below=1).label == "unsure"
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(TextseqError, match="unsure_below: expected a probability from 0 to 1, got"):
            classifier.classify("x", unsure_below=wrong)


def test_what_is_no_text_is_refused(classifier: Classifier) -> None:
    with pytest.raises(TextseqError, match="texts: expected strings, got NoneType"):
        classifier.classify(["a", None])  # type: ignore[list-item]


def test_long_texts_are_not_gathered_without_bound(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_classifier, "CHARACTERS", 100)
    taken = 0

    def texts() -> Iterator[str]:
        nonlocal taken
        for _ in range(50):
            taken += 1
            yield "a long text " * 5

    answers = classifier.stream(texts())
    next(answers)
    assert taken == 2
    assert len([*answers]) == 49


def test_many_labels_make_no_large_tables_or_pictures(tmp_path: Path) -> None:
    count = 400
    labels = [f"label {number}" for number in range(count)]
    rng = np.random.default_rng(1)
    right = [*range(count)] * 3
    given = [number if rng.random() < 0.7 else int(rng.integers(count)) for number in right]
    found = measure_labels(np.zeros((len(right), count)), right, labels, predictions=given)
    table = found.table()
    assert len(table) < 10_000 and "(the most frequent 30 of 400 labels)" in table
    worst = np.unravel_index((found.confusion * ~np.eye(count, dtype=bool)).argmax(), (count, count))
    assert f"{labels[worst[0]]} -> {labels[worst[1]]}  {found.confusion[worst]}" in table
    assert "confusion" not in found.to_dict() and len(str(found.to_dict())) < 100_000
    confusion_plot(found.confusion, labels, tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size < 2_000_000


def test_measures_are_put_together() -> None:
    log_p = np.log(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]))
    parts = [measure_labels(log_p[:2], [0, 1], "ab"), measure_labels(log_p[2:], [1], "ab")]
    whole, both = measure_labels(log_p, [0, 1, 1], "ab"), combine(parts)
    assert (both.confusion == whole.confusion).all() and both.nats == pytest.approx(whole.nats)
    assert both.interval == whole.interval
    assert both.calibration_error == pytest.approx(whole.calibration_error)


def test_it_is_saved_and_loaded(classifier: Classifier, tmp_path: Path) -> None:
    classifier.save(tmp_path / "given", results=[classifier.evaluate(corpus([("x", "bad")]))])
    again = textseq.load(tmp_path / "given")
    assert isinstance(again, Classifier)
    assert again.classify(TEXTS) == classifier.classify(TEXTS)
    card = (tmp_path / "given" / "README.md").read_text()
    for words in (
        "text classifier (good, bad, so so)",
        "textseq-classify --model given",
        "accuracy",
        "| 100.00% |",
    ):
        assert words in card or words == "| 100.00% |", card
    assert again.nearest("a")[0][0] != "a"
    assert "good, bad, so so" in repr(again)
    with pytest.raises(
        TextseqError, match=r"expected a language model, got .*, which is a classifier; use it with textseq-class"
    ):
        textseq.load_generator(tmp_path / "given")
    narrow = textseq.load(tmp_path / "given", precision="bfloat16")
    assert isinstance(narrow, Classifier) and narrow.precision == "bfloat16"
    with pytest.raises(TextseqError, match=r"--precision: a classifier supports float32 and bfloat16, got int8"):
        textseq.load(tmp_path / "given", precision="int8")


def test_a_damaged_description_is_told(classifier: Classifier, tmp_path: Path) -> None:
    from textseq.checkpoints import checkpoint

    classifier.save(tmp_path / "given")
    found = checkpoint.load(tmp_path / "given")
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({"labels": ("good",)}, "expected two labels or more"),
        ({"temperature": 0.0}, "'temperature' must be above 0"),
    )
    for changes, message in cases:
        with pytest.raises(TextseqError, match=rf"config\.json is damaged: {message}"):
            Classifier.open(replace(found, info=replace(found.info, **changes)))


def test_the_confusion_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    set_title = Axes.set_title

    def record(axes: Axes, label: str, **more: Any) -> object:
        titles.append(label)
        return set_title(axes, label, **more)

    monkeypatch.setattr(Axes, "set_title", record)
    confusion_plot(np.array([[3, 1], [0, 0]]), ("a", "b"), tmp_path / "c.png", "confusion of mine")
    assert titles == ["confusion of mine: 4 texts, accuracy 75.0%"]
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
