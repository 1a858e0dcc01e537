"""The row of text classification in the registry of tasks."""

from __future__ import annotations

from textseq.data.sources import LabelledData
from textseq.tasks.classification.config import ClassifierConfig, ClassifierTrainingConfig, LabelledConfig
from textseq.tasks.task import Task

CLASSIFICATION = Task(
    name="classification",
    noun="a classifier",
    command="textseq-classify --model",
    examples="""\
textseq-train sst2                                          a corpus of labelled texts by name
textseq-train --labelled reviews.csv --name mine            your own texts: a table with a header
textseq-train --labelled texts/                             or a folder with a folder for each label
textseq-train --labelled news.jsonl --multi-label           several labels for a text: lists, or "a,b"
textseq-train sst2 --vectors glove.6B --embedding-size 100  begin with word vectors
textseq-train imdb --from mine --unfreeze-epochs 1          begin with the layers of a language model
textseq-train sentence_polarity --folds 10                  cross-validation: ten models
textseq-train sst2 --seeds 3                                three models: mean and deviation""",
    source=LabelledData,
    data_config=LabelledConfig,
    model_config=ClassifierConfig,
    training_config=ClassifierTrainingConfig,
    best_by=("accuracy", "macro_f1", "loss"),
    predictor="textseq.tasks.classification.classifier:Classifier",
    run="textseq.tasks.classification.run:ClassificationRun",
)
