"""Recurrent networks on text: writing in an author's style, translation, classification and tagging.

The public names are loaded when they are first used, so that ``import textseq`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from textseq.version import __version__

if TYPE_CHECKING:
    from textseq.config.training import TrainingConfig as TrainingConfig
    from textseq.data.readers.word_vectors import read_vectors as read_vectors
    from textseq.data.sources import LabelledData as LabelledData
    from textseq.data.sources import PairData as PairData
    from textseq.data.sources import TaggedData as TaggedData
    from textseq.data.word_vectors import Vectors as Vectors
    from textseq.errors import TextseqError as TextseqError
    from textseq.metrics.word_vectors import word_analogies as word_analogies
    from textseq.metrics.word_vectors import word_similarity as word_similarity
    from textseq.tasks.classification.classifier import Classification as Classification
    from textseq.tasks.classification.classifier import Classifier as Classifier
    from textseq.tasks.classification.config import ClassifierConfig as ClassifierConfig
    from textseq.tasks.classification.config import ClassifierTrainingConfig as ClassifierTrainingConfig
    from textseq.tasks.classification.config import LabelledConfig as LabelledConfig
    from textseq.tasks.classification.cross_validation import train_classifiers as train_classifiers
    from textseq.tasks.classification.run import train_classifier as train_classifier
    from textseq.tasks.language_model.config import DataConfig as DataConfig
    from textseq.tasks.language_model.config import GenerationConfig as GenerationConfig
    from textseq.tasks.language_model.config import LanguageModelConfig as LanguageModelConfig
    from textseq.tasks.language_model.generator import Score as Score
    from textseq.tasks.language_model.generator import Writer as Writer
    from textseq.tasks.language_model.memorization import Memorization as Memorization
    from textseq.tasks.language_model.memorization import memorization_of as memorization_of
    from textseq.tasks.registry import load as load
    from textseq.tasks.registry import load_classifier as load_classifier
    from textseq.tasks.registry import load_generator as load_generator
    from textseq.tasks.registry import load_tagger as load_tagger
    from textseq.tasks.registry import load_translator as load_translator
    from textseq.tasks.registry import resume as resume
    from textseq.tasks.registry import train as train
    from textseq.tasks.tagging.config import TaggedConfig as TaggedConfig
    from textseq.tasks.tagging.config import TaggerConfig as TaggerConfig
    from textseq.tasks.tagging.config import TaggerTrainingConfig as TaggerTrainingConfig
    from textseq.tasks.tagging.run import train_tagger as train_tagger
    from textseq.tasks.tagging.tagger import Tagger as Tagger
    from textseq.tasks.tagging.tagger import Tagging as Tagging
    from textseq.tasks.translation.config import PairConfig as PairConfig
    from textseq.tasks.translation.config import TranslationConfig as TranslationConfig
    from textseq.tasks.translation.config import TranslationModelConfig as TranslationModelConfig
    from textseq.tasks.translation.config import TranslatorTrainingConfig as TranslatorTrainingConfig
    from textseq.tasks.translation.processing import Translation as Translation
    from textseq.tasks.translation.run import train_translator as train_translator
    from textseq.tasks.translation.translator import Translator as Translator

_HOMES = {
    "Classification": "textseq.tasks.classification.classifier",
    "Classifier": "textseq.tasks.classification.classifier",
    "ClassifierConfig": "textseq.tasks.classification.config",
    "ClassifierTrainingConfig": "textseq.tasks.classification.config",
    "DataConfig": "textseq.tasks.language_model.config",
    "GenerationConfig": "textseq.tasks.language_model.config",
    "LabelledConfig": "textseq.tasks.classification.config",
    "LabelledData": "textseq.data.sources",
    "LanguageModelConfig": "textseq.tasks.language_model.config",
    "Memorization": "textseq.tasks.language_model.memorization",
    "PairConfig": "textseq.tasks.translation.config",
    "PairData": "textseq.data.sources",
    "Score": "textseq.tasks.language_model.generator",
    "TaggedConfig": "textseq.tasks.tagging.config",
    "TaggedData": "textseq.data.sources",
    "Tagger": "textseq.tasks.tagging.tagger",
    "TaggerConfig": "textseq.tasks.tagging.config",
    "TaggerTrainingConfig": "textseq.tasks.tagging.config",
    "Tagging": "textseq.tasks.tagging.tagger",
    "TextseqError": "textseq.errors",
    "TrainingConfig": "textseq.config.training",
    "Translation": "textseq.tasks.translation.processing",
    "TranslationConfig": "textseq.tasks.translation.config",
    "TranslationModelConfig": "textseq.tasks.translation.config",
    "Translator": "textseq.tasks.translation.translator",
    "TranslatorTrainingConfig": "textseq.tasks.translation.config",
    "Vectors": "textseq.data.word_vectors",
    "Writer": "textseq.tasks.language_model.generator",
    "load": "textseq.tasks.registry",
    "load_classifier": "textseq.tasks.registry",
    "load_tagger": "textseq.tasks.registry",
    "load_translator": "textseq.tasks.registry",
    "load_generator": "textseq.tasks.registry",
    "memorization_of": "textseq.tasks.language_model.memorization",
    "read_vectors": "textseq.data.readers.word_vectors",
    "resume": "textseq.tasks.registry",
    "train": "textseq.tasks.registry",
    "train_classifier": "textseq.tasks.classification.run",
    "train_classifiers": "textseq.tasks.classification.cross_validation",
    "train_tagger": "textseq.tasks.tagging.run",
    "train_translator": "textseq.tasks.translation.run",
    "word_analogies": "textseq.metrics.word_vectors",
    "word_similarity": "textseq.metrics.word_vectors",
}

__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'textseq' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
