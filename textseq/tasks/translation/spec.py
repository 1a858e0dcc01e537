"""The row of translation in the registry of tasks."""

from __future__ import annotations

from textseq.data.sources import PairData
from textseq.tasks.task import Task
from textseq.tasks.translation.config import (
    PairConfig,
    TranslationConfig,
    TranslationModelConfig,
    TranslatorTrainingConfig,
)

TRANSLATION = Task(
    name="translation",
    noun="a translator",
    command="textseq-translate --model",
    examples="""\
textseq-train multi30k --source en --target de              a corpus of pairs by name, and a direction
textseq-train --pairs train.en train.de --name mine         your own pairs: two aligned files
textseq-train --pairs pairs.tsv --source en --target de     or one file of columns
textseq-train --recipe tatoeba-en-fr                        settings known to be good
textseq-train --pairs a.en a.de --from mine --name further  train a model further on other pairs""",
    source=PairData,
    data_config=PairConfig,
    model_config=TranslationModelConfig,
    training_config=TranslatorTrainingConfig,
    evaluation_config=TranslationConfig,
    best_by=("loss", "bleu"),
    predictor="textseq.tasks.translation.translator:Translator",
    run="textseq.tasks.translation.run:TranslationRun",
)
