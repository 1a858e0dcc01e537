"""The flags of textseq-train: one dataclass per task, generated from the config classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Self

from tyro.conf import Fixed, FlagCreatePairsOff, Positional, Suppress, arg

from textseq.config.names import Task
from textseq.config.training import TrainingConfig
from textseq.data.sources import LabelledData, PairData, TaggedData, TextData
from textseq.errors import TextseqError
from textseq.tasks.classification.config import ClassifierConfig, ClassifierTrainingConfig, LabelledConfig
from textseq.tasks.language_model.config import DataConfig, LanguageModelConfig
from textseq.tasks.tagging.config import TaggedConfig, TaggerConfig, TaggerTrainingConfig
from textseq.tasks.translation.config import PairConfig, TranslationModelConfig, TranslatorTrainingConfig

WORDS: Mapping[Task, str] = {
    "language-model": "a language model",
    "translation": "a translator",
    "classification": "a classifier",
    "tagging": "a tagger",
}


Flag = Annotated[bool, FlagCreatePairsOff, arg(help_behavior_hint="")]

Files = Annotated[tuple[str, ...], arg(metavar="PATH...", help_behavior_hint="")]


@dataclass(frozen=True, kw_only=True)
class Text(TextData):
    """Your own text."""

    corpus: Suppress[Fixed[str | None]] = None
    text: Files = ()


@dataclass(frozen=True, kw_only=True)
class Pairs(PairData):
    """Your own sentence pairs, or which languages of a corpus."""

    corpus: Suppress[Fixed[str | None]] = None
    pairs: Files = ()
    validation_pairs: Files = ()


@dataclass(frozen=True, kw_only=True)
class Labelled(LabelledData):
    """Your own labelled texts."""

    corpus: Suppress[Fixed[str | None]] = None
    labelled: Files = ()
    validation_labelled: Files = ()
    fold: Suppress[Fixed[int | None]] = None


@dataclass(frozen=True, kw_only=True)
class TaggedText(TaggedData):
    """Your own tagged sentences."""

    corpus: Suppress[Fixed[str | None]] = None
    tagged: Files = ()
    validation_tagged: Files = ()


@dataclass(frozen=True, kw_only=True)
class Train:
    """The flags that every task has."""

    corpus: Annotated[Positional[str | None], arg(metavar="CORPUS", help_behavior_hint="")] = None
    """A corpus by name (see --list-corpora)."""
    task: Annotated[Task | None, arg(metavar=f"{{{','.join(WORDS)}}}", help_behavior_hint="")] = None
    """What to train. Default: what the corpus or the files are for, or what the run, the model or the recipe has.
    Each task has flags of its own; with --help it shows them."""
    name: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="")] = None
    """Name of the new run. Default: the corpus's (a translator's with both languages), or the first file's."""
    overwrite: Flag = False
    """Replace the run of this name."""
    resume: Annotated[str | None, arg(metavar="RUN", help_behavior_hint="")] = None
    """Go on with this run, by name or folder. Limits (--max-...) and --device may differ from before."""
    from_: Annotated[str | None, arg(name="from", metavar="MODEL", help_behavior_hint="")] = None
    """Begin with the weights of this model; tokens that both vocabularies have keep their vectors. A classifier takes
    over the tokens too, and may begin with a language model's embedding and layers; beside a single layer of it, a
    second direction (--bidirectional) begins anew."""
    recipe: Annotated[str | None, arg(metavar="RECIPE", help_behavior_hint="")] = None
    """Take settings from a recipe, by name (see --list-recipes) or file; flags beat it."""
    data: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Folder of the corpora's files. Default: the one that TEXTSEQ_DATA names; then the cache is looked through."""
    download: Flag = False
    """Fetch and verify what is found in neither."""
    list_corpora: Flag = False
    """Show the corpora that can be named, and exit."""
    list_vectors: Flag = False
    """Show the word vectors that --vectors knows by name, and exit."""
    list_recipes: Flag = False
    """Show the recipes that can be named, and exit."""
    version: Flag = False
    """Show the version, and exit."""

    def over(self, facts: Mapping[str, object], where: str) -> Self:
        """The options with the settings that a run, a model or a recipe states.

        Raises:
            TextseqError: settings that this task has not.
        """
        changes = {}
        for name, key in (("model", "model"), ("batching", "data"), ("training", "training")):
            table, settings = facts.get(key, {}), getattr(self, name)
            if not isinstance(table, dict):
                raise TextseqError(f"{where}: '{key}' wants a table, found {table!r}")
            changes[name] = settings.from_dict({**settings.to_dict(), **table}, where=where)
        return replace(self, **changes)


@dataclass(frozen=True, kw_only=True)
class TrainLanguageModel(Train):
    """Train a recurrent network on a text, or on sentence pairs to translate.

    Examples:
      textseq-train tinyshakespeare --max-minutes 5     a corpus by name
      textseq-train --text novel.txt --name mine        your own text: files or folders
      textseq-train --resume runs/mine                  go on with a run that was stopped
      textseq-train --text more.txt --from mine         train a model further on another text
      textseq-train --list-corpora                      what there is to learn from
      textseq-train multi30k --source en --target de    a translator, from a corpus of sentence pairs
      textseq-train --task translation --help            the flags of translators; below are those of language models

    The run is written to runs/NAME (under TEXTSEQ_HOME if that is set): the last and the best checkpoint,
    log.jsonl, curve.png and a model card. Ctrl-C saves and says how to go on. Then: textseq-sample --author NAME.
    """

    origin: Annotated[Text, arg(name="text")] = field(default_factory=Text)
    model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    batching: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)


@dataclass(frozen=True, kw_only=True)
class TrainTranslation(Train):
    """Train a recurrent encoder-decoder with attention to translate.

    Examples:
      textseq-train multi30k --source en --target de              a corpus of pairs by name, and a direction
      textseq-train --pairs train.en train.de --name mine         your own pairs: two aligned files
      textseq-train --pairs pairs.tsv --source en --target de     or one file of columns
      textseq-train --recipe tatoeba-en-fr                        settings that are known to be good
      textseq-train --resume runs/mine                            go on with a run that was stopped
      textseq-train --pairs a.en a.de --from mine --name further  train a model further on other pairs
      textseq-train --task language-model --help                  the flags of language models; below: translators

    The run is written to runs/NAME (under TEXTSEQ_HOME if that is set): the last and the best checkpoint,
    log.jsonl, curve.png and a model card. Ctrl-C saves and says how to go on. Then: textseq-translate --model NAME.
    """

    origin: Annotated[Pairs, arg(name="pairs")] = field(default_factory=Pairs)
    model: TranslationModelConfig = field(default_factory=TranslationModelConfig)
    batching: PairConfig = field(default_factory=PairConfig)
    training: TranslatorTrainingConfig = field(default_factory=TranslatorTrainingConfig)


@dataclass(frozen=True, kw_only=True)
class TrainClassification(Train):
    """Train a recurrent network to classify texts.

    Examples:
      textseq-train sst2                                          a corpus of labelled texts by name
      textseq-train --labelled reviews.csv --name mine            your own texts: a table with a header
      textseq-train --labelled texts/                             or a folder with a folder for each label
      textseq-train sst2 --vectors glove.6B --embedding-size 100  begin with word vectors
      textseq-train imdb --from mine --unfreeze-epochs 1          begin with the layers of a language model
      textseq-train sentence_polarity --folds 10                  ten models, each measured on a tenth of the texts
      textseq-train sst2 --seeds 3                                three models: mean and deviation
      textseq-train --resume runs/mine                            go on with a run that was stopped
      textseq-train --task language-model --help                  the flags of language models; below: classifiers

    The run is written to runs/NAME (under TEXTSEQ_HOME if that is set): the last and the best checkpoint,
    log.jsonl, curve.png and a model card. Ctrl-C saves and says how to go on. Then: textseq-classify --model NAME.
    """

    origin: Annotated[Labelled, arg(name="labelled")] = field(default_factory=Labelled)
    model: ClassifierConfig = field(default_factory=ClassifierConfig)
    batching: LabelledConfig = field(default_factory=LabelledConfig)
    training: ClassifierTrainingConfig = field(default_factory=ClassifierTrainingConfig)


@dataclass(frozen=True, kw_only=True)
class TrainTagging(Train):
    """Train a recurrent network to tag the words of sentences.

    Examples:
      textseq-train treebank                                      a corpus of tagged sentences by name
      textseq-train brown --task tagging --output crf              one that is a text as well
      textseq-train --tagged train.conll --name mine              your own sentences: a word and its tag to a line
      textseq-train --tagged train.conllu --validation-tagged dev.conllu --tag-column 5
      textseq-train treebank --vectors glove.6B                   begin with word vectors
      textseq-train --resume runs/mine                            go on with a run that was stopped
      textseq-train --task language-model --help                  the flags of language models; below: taggers

    The run is written to runs/NAME (under TEXTSEQ_HOME if that is set): the last and the best checkpoint,
    log.jsonl, curve.png and a model card. Ctrl-C saves and says how to go on. Then: textseq-tag --model NAME.
    """

    origin: Annotated[TaggedText, arg(name="tagged")] = field(default_factory=TaggedText)
    model: TaggerConfig = field(default_factory=TaggerConfig)
    batching: TaggedConfig = field(default_factory=TaggedConfig)
    training: TaggerTrainingConfig = field(default_factory=TaggerTrainingConfig)


Options = TrainLanguageModel | TrainTranslation | TrainClassification | TrainTagging

OPTIONS: Mapping[Task, type[Options]] = {
    "language-model": TrainLanguageModel,
    "translation": TrainTranslation,
    "classification": TrainClassification,
    "tagging": TrainTagging,
}

OWN: Mapping[Task, str] = {
    "language-model": "text",
    "translation": "pairs",
    "classification": "labelled",
    "tagging": "tagged",
}
"""The flag, and the field, that names one's own files."""
