"""A task: one row that says all that the shared code has to know of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from textseq.config.base import Settings
from textseq.config.training import TrainingConfig
from textseq.data.corpora.catalog import CorpusRecipe
from textseq.data.sources import DataSource

if TYPE_CHECKING:
    from textseq.tasks.base import AnyRun
    from textseq.tasks.predictor import AnyPredictor


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a task is called, its settings, and where its code is.

    A row imports no torch: the two classes are named by ``"module:Class"`` and imported when they are used.
    """

    name: str
    """As in ``--task`` and ``config.json``."""
    noun: str
    """Such as "a classifier"."""
    command: str
    """Command line that uses a model; its name follows."""
    examples: str = ""
    """Command lines for ``textseq-train --help``."""
    source: type[DataSource]
    """Settings of the data source; ``source.own_files`` is the flag of one's own files."""
    data_config: type[Settings]
    model_config: type[Settings]
    training_config: type[TrainingConfig]
    evaluation_config: type[Settings] = Settings
    """Its fields are further keywords of the predictor's ``evaluate``."""
    best_by: tuple[str, ...] = ("loss",)
    """Criteria of the best checkpoint."""
    accepts: Callable[[CorpusRecipe], bool] = lambda recipe: False
    """Whether a corpus of another task (``CorpusRecipe.task``) can be trained on."""
    predictor: str
    run: str

    @property
    def plural(self) -> str:
        """Such as "classifiers"."""
        return f"{self.noun.partition(' ')[2]}s"

    def predictor_class(self) -> type[AnyPredictor]:
        """The class that uses a trained model."""
        cls: type[AnyPredictor] = _imported(self.predictor)
        return cls

    def run_class(self) -> type[AnyRun]:
        """The class that trains one."""
        cls: type[AnyRun] = _imported(self.run)
        return cls


def _imported(place: str) -> type:
    module, _, name = place.partition(":")
    cls: type = getattr(import_module(module), name)
    return cls
