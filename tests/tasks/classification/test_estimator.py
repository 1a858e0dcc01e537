"""The classifier as an estimator: scikit-learn's own tools work with it, and it is the classifier underneath."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from textseq import TextClassifier
from textseq.errors import TextseqError

TEXTS = [f"{word} {thing}" for thing in ("film", "book", "play", "song") for word in ("good", "fine", "bad", "poor")]
LABELS = [2, 2, 0, 0] * 4
SMALL = {"hidden_size": 8, "embedding_size": 8, "max_steps": 20, "learning_rate": 0.03, "batch_size": 8}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> TextClassifier:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTSEQ_HOME", str(tmp_path_factory.mktemp("home")))
        return TextClassifier(**SMALL).fit(np.array(TEXTS), np.array(LABELS))


def test_it_learns_and_answers_with_the_labels_it_was_given(fitted: TextClassifier) -> None:
    assert fitted.score(TEXTS, LABELS) > 0.9
    assert fitted.classes_.tolist() == [0, 2]
    assert fitted.predict(["good song"]).tolist() == [2]


def test_it_is_stored_as_other_estimators_are(fitted: TextClassifier) -> None:
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict_proba(TEXTS), fitted.predict_proba(TEXTS))


def test_one_string_is_not_taken_for_a_list_of_its_letters(fitted: TextClassifier) -> None:
    for call in (fitted.predict, fitted.predict_proba, lambda text: fitted.score(text, LABELS[:4])):
        with pytest.raises(TextseqError, match="expected a list of texts, got one string; put it into a list"):
            call("good")


def test_probabilities_are_those_of_the_classifier_in_the_order_of_classes(fitted: TextClassifier) -> None:
    proba = fitted.predict_proba(TEXTS)
    assert proba.shape == (16, 2)
    for row, answer in zip(proba, fitted.classifier_.classify(TEXTS), strict=True):
        assert row.tolist() == pytest.approx([answer.probabilities["0"], answer.probabilities["2"]])


def test_a_run_is_kept_under_a_name_only_and_nothing_is_printed(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    TextClassifier(**SMALL).fit(TEXTS, LABELS)
    TextClassifier(**SMALL, name=None).fit(TEXTS, LABELS)
    assert capfd.readouterr() == ("", "")
    assert [*(home / "runs").iterdir()] == []
    TextClassifier(**SMALL, name="kept").fit(TEXTS, LABELS)
    TextClassifier(**SMALL, name="kept").fit(TEXTS, LABELS)
    assert [path.name for path in (home / "runs").iterdir()] == ["kept"]


def test_it_begins_with_a_model_and_keeps_its_labels(home: Path) -> None:
    TextClassifier(**SMALL, name="first").fit(TEXTS, ["good", "good", "bad", "bad"] * 4)
    brief = {"max_steps": 2, "batch_size": 8}
    further = TextClassifier(init_from="first", **brief).fit(TEXTS, ["good", "good", " unsure", " unsure"] * 4)
    assert further.classes_.tolist() == [" unsure", "bad", "good"]
    assert further.classifier_.labels == ("bad", "good", "unsure")
    proba, answer = further.predict_proba(["good song"])[0], further.classifier_.classify("good song")
    assert proba.tolist() == pytest.approx([answer.probabilities[label] for label in ("unsure", "bad", "good")])
    with pytest.raises(TextseqError, match="--from: expected a model of the same shape"):
        TextClassifier(init_from="first", hidden_size=9, **brief).fit(TEXTS, LABELS)


def test_parameters_are_set_told_and_checked() -> None:
    estimator = TextClassifier(hidden_size=8).set_params(max_epochs=2)
    assert estimator.get_params() == {"hidden_size": 8, "max_epochs": 2}
    assert repr(estimator) == "TextClassifier(hidden_size=8, max_epochs=2)"
    with pytest.raises(TextseqError, match="unknown parameter 'hidden_sizes'; did you mean 'hidden_size'"):
        TextClassifier(hidden_sizes=3)
    with pytest.raises(TextseqError, match="expected a fitted one, got none; call fit first"):
        TextClassifier().predict(["a"])


def test_scikit_learn_clones_validates_searches_and_pipes() -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    from sklearn.base import clone, is_classifier
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    estimator = TextClassifier(**SMALL, validation=0.25)
    assert is_classifier(estimator)
    copy = clone(estimator)
    assert copy is not estimator and copy.get_params() == estimator.get_params()
    scores = cross_val_score(estimator, TEXTS, LABELS, cv=2, error_score="raise")
    assert scores.shape == (2,) and (scores >= 0).all()
    pipeline = make_pipeline(FunctionTransformer(lambda texts: [text.upper() for text in texts]), estimator)
    grid = {"textclassifier__max_steps": [1, 20]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(TEXTS, LABELS)
    assert search.best_params_["textclassifier__max_steps"] in (1, 20)
    assert set(search.predict(["bad song", "good song"])) <= {0, 2}
