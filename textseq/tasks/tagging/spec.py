"""The row of tagging in the registry of tasks."""

from __future__ import annotations

from textseq.data.sources import TaggedData
from textseq.tasks.tagging.config import TaggedConfig, TaggerConfig, TaggerTrainingConfig
from textseq.tasks.task import Task

TAGGING = Task(
    name="tagging",
    noun="a tagger",
    command="textseq-tag --model",
    examples="""\
textseq-train treebank                                      a corpus of tagged sentences by name
textseq-train brown --task tagging --output crf             one that is a text as well
textseq-train --tagged train.conll --name mine              your own sentences: a word and its tag to a line
textseq-train --tagged train.conllu --validation-tagged dev.conllu --tag-column 5""",
    source=TaggedData,
    data_config=TaggedConfig,
    model_config=TaggerConfig,
    training_config=TaggerTrainingConfig,
    best_by=("accuracy", "f1", "loss"),
    accepts=lambda recipe: bool(recipe.tags),
    predictor="textseq.tasks.tagging.tagger:Tagger",
    run="textseq.tasks.tagging.run:TaggingRun",
)
