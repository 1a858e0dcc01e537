"""A classifier with scikit-learn's protocol, so that its cross-validation, grid search and pipelines work with it."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from textseq.checkpoints.model_info import read_info
from textseq.checkpoints.registry import find_model
from textseq.config.base import Settings
from textseq.data.in_memory import Column, labelled_files
from textseq.data.sources import LabelledData
from textseq.errors import TextseqError, unknown
from textseq.io.paths import runs_folder
from textseq.tasks.classification.classifier import Classifier
from textseq.tasks.classification.config import ClassifierConfig, ClassifierTrainingConfig, LabelledConfig
from textseq.tasks.classification.run import ClassificationRun, train_classifier

if TYPE_CHECKING:
    from sklearn.utils import Tags

GROUPS: dict[str, type[Settings]] = {
    "model": ClassifierConfig,
    "data": LabelledConfig,
    "training": ClassifierTrainingConfig,
}
"""The settings that are parameters, by the name of the argument of ``train_classifier``."""

OTHERS = ("name", "init_from", "validation")
"""Further parameters."""


class TextClassifier:
    """A recurrent text classifier as an estimator of scikit-learn; it does not need scikit-learn itself.

    Args:
        parameters: any field of ``ClassifierConfig``, ``LabelledConfig`` and ``ClassifierTrainingConfig``, such as
            ``hidden_size``, ``tokenizer``, ``max_epochs``; ``validation``, the share of the texts that chooses the best
            checkpoint and calibrates; ``init_from``, a model to begin with; ``name``, under which the run is kept (it
            is deleted after ``fit`` otherwise).

    Raises:
        TextseqError: an unknown parameter.

    Example:
        >>> from sklearn.model_selection import cross_val_score
        >>> cross_val_score(TextClassifier(hidden_size=64, max_epochs=3), texts, labels, cv=5)
    """

    _estimator_type = "classifier"

    def __init__(self, **parameters: object) -> None:
        self._parameters: dict[str, Any] = {}
        self.set_params(**parameters)

    def get_params(self, deep: bool = True) -> dict[str, object]:
        """The parameters that were set; the others have their defaults."""
        return dict(self._parameters)

    def set_params(self, **parameters: object) -> Self:
        """Set parameters; see the class.

        Raises:
            TextseqError: one is unknown.
        """
        known = {item.name for settings in GROUPS.values() for item in fields(settings)} | {*OTHERS}
        for name in parameters:
            if name not in known:
                raise unknown("parameter", name, known)
        self._parameters |= parameters
        return self

    def fit(self, X: Column, y: Column) -> Self:
        """Train on texts and their labels; a model that was trained before is replaced.

        Args:
            X: N texts.
            y: N labels: strings, whole numbers or truth values.

        Raises:
            TextseqError: as ``train_classifier``.
        """
        values = [value.item() if isinstance(value, np.generic) else value for value in y]
        given = self._parameters
        tables = {
            group: {item.name: given[item.name] for item in fields(settings) if item.name in given}
            for group, settings in GROUPS.items()
        }
        if init_from := given.get("init_from"):
            shape, _ = ClassificationRun.init_settings(read_info(find_model(init_from)))
            tables["model"] = {**shape, **tables["model"]}
        groups = {group: GROUPS[group].from_dict(table, where="TextClassifier") for group, table in tables.items()}
        source: dict[str, Any] = {"labelled": labelled_files(X, values)}
        source |= {"validation": given["validation"]} if "validation" in given else {}
        kept = bool(given.get("name"))
        name = given["name"] if kept else f"fit-{secrets.token_hex(6)}"
        try:
            self.classifier_: Classifier = train_classifier(
                data_source=LabelledData(**source),
                name=name,
                overwrite=kept,
                init_from=init_from,
                progress=False,
                **groups,  # type: ignore[arg-type]
            )
        finally:
            if not kept:
                shutil.rmtree(runs_folder() / name, ignore_errors=True)
        label_of = {str(value).strip(): value for value in values}  # a model to begin with may know others
        self.classes_ = np.unique(np.array([label_of.get(label, label) for label in self.classifier_.labels]))
        self._columns = [self.classifier_.labels.index(str(label).strip()) for label in self.classes_.tolist()]
        return self

    def predict_proba(self, X: Iterable[str]) -> np.ndarray:
        """Calibrated probabilities (N, C) of the labels, in the order of ``classes_``.

        Raises:
            TextseqError: it has not been fitted, or the texts are a single string.
        """
        if isinstance(X, str):
            raise TextseqError("TextClassifier: expected a list of texts, got one string; put it into a list")
        if not self.__sklearn_is_fitted__():
            raise TextseqError("TextClassifier: expected a fitted one, got none; call fit first")
        log_p = self.classifier_.log_probabilities([str(text) for text in X])
        return np.asarray(np.exp(log_p[:, self._columns]))

    def predict(self, X: Iterable[str]) -> np.ndarray:
        """The most probable label of each text, (N,).

        Raises:
            TextseqError: as ``predict_proba``.
        """
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def score(self, X: Iterable[str], y: Column) -> float:
        """Accuracy.

        Raises:
            TextseqError: as ``predict_proba``.
        """
        return float(np.mean(self.predict(X) == np.array(list(y))))

    def __repr__(self) -> str:
        return f"TextClassifier({', '.join(f'{name}={value!r}' for name, value in self._parameters.items())})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "classifier_")

    def __sklearn_tags__(self) -> Tags:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(one_d_array=True, two_d_array=False, string=True),
        )
