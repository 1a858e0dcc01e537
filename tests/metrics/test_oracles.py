"""Metrics are those of independent implementations."""

from __future__ import annotations

import numpy as np
import pytest

from textseq.metrics.classification import measure_labels
from textseq.metrics.translation import bleu, measure_translations


def test_labels_are_measured_as_scikit_learn_does() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed (the extra dev)")
    random = np.random.default_rng(1)
    log_p = np.log(random.dirichlet(np.ones(4), size=200))
    true = random.integers(3, size=200)  # the fourth label never occurs
    found, predicted = measure_labels(log_p, true.tolist(), ["a", "b", "c", "d"]), log_p.argmax(axis=1)
    names = range(4)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(true, predicted))
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(true, predicted, labels=names))
    assert found.nats == pytest.approx(metrics.log_loss(true, np.exp(log_p), labels=names))
    rows = metrics.precision_recall_fscore_support(true, predicted, labels=names, zero_division=0)
    for ours, theirs in zip(found.per_label, zip(*rows, strict=True), strict=True):
        assert (ours.precision, ours.recall, ours.f1, ours.examples) == pytest.approx(theirs)
    macro = metrics.f1_score(true, predicted, labels=names, average="macro", zero_division=0)
    assert found.macro_f1 == pytest.approx(macro)


def test_translations_are_scored_as_sacrebleu_does() -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    references = ["The cat sat on the mat.", "It's raining, isn't it?", "No.", "He had gone home before noon that day."]
    translations = ["The cat is on the mat.", "It rains, isn't it?", "", "He had gone home that day before the noon."]
    scores = {
        score.to_dict()["measure"]: score.score
        for score in measure_translations(translations, references, resamples=100)
    }
    theirs = {
        "BLEU": sacrebleu.corpus_bleu(translations, [references]).score,
        "chrF2": sacrebleu.corpus_chrf(translations, [references]).score,
        "TER": sacrebleu.corpus_ter(translations, [references]).score,
    }
    assert scores == pytest.approx(theirs)
    assert bleu(translations, references) == pytest.approx(theirs["BLEU"])
