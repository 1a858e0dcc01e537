"""The row of language modeling in the registry of tasks."""

from __future__ import annotations

from textseq.data.sources import TextData
from textseq.tasks.language_model.config import (
    DataConfig,
    LanguageEvaluationConfig,
    LanguageModelConfig,
    LanguageModelTrainingConfig,
)
from textseq.tasks.task import Task

LANGUAGE_MODEL = Task(
    name="language-model",
    noun="a language model",
    command="textseq-sample --author",
    examples="""\
textseq-train tinyshakespeare --max-minutes 5     a corpus by name
textseq-train --text novel.txt --name mine        your own text: files or folders
textseq-train --text more.txt --from mine         train a model further""",
    source=TextData,
    data_config=DataConfig,
    model_config=LanguageModelConfig,
    training_config=LanguageModelTrainingConfig,
    evaluation_config=LanguageEvaluationConfig,
    accepts=lambda recipe: bool(recipe.labels),
    predictor="textseq.tasks.language_model.generator:TextGenerator",
    run="textseq.tasks.language_model.run:LanguageModelRun",
)
