"""Recurrent networks on text: writing in an author's style, translation, classification and tagging.

The public names are loaded when they are first used, so that ``import textseq`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from textseq.version import __version__ as __version__

if TYPE_CHECKING:
    from textseq.classifying import Classification as Classification
    from textseq.classifying import Classifier as Classifier
    from textseq.config import ClassifierConfig as ClassifierConfig
    from textseq.config import ClassifierTrainingConfig as ClassifierTrainingConfig
    from textseq.config import DataConfig as DataConfig
    from textseq.config import GenerationConfig as GenerationConfig
    from textseq.config import LabelledConfig as LabelledConfig
    from textseq.config import LanguageModelConfig as LanguageModelConfig
    from textseq.config import PairConfig as PairConfig
    from textseq.config import TaggedConfig as TaggedConfig
    from textseq.config import TaggerConfig as TaggerConfig
    from textseq.config import TaggerTrainingConfig as TaggerTrainingConfig
    from textseq.config import TrainingConfig as TrainingConfig
    from textseq.config import TranslationConfig as TranslationConfig
    from textseq.config import TranslationModelConfig as TranslationModelConfig
    from textseq.config import TranslatorTrainingConfig as TranslatorTrainingConfig
    from textseq.errors import TextseqError as TextseqError
    from textseq.jobs import load as load
    from textseq.jobs import load_classifier as load_classifier
    from textseq.jobs import load_tagger as load_tagger
    from textseq.jobs import load_translator as load_translator
    from textseq.jobs import load_writer as load_writer
    from textseq.novelty import Novelty as Novelty
    from textseq.novelty import novelty_of as novelty_of
    from textseq.origin import LabelledSource as LabelledSource
    from textseq.origin import PairSource as PairSource
    from textseq.origin import TaggedSource as TaggedSource
    from textseq.runs import resume as resume
    from textseq.runs import train as train
    from textseq.runs import train_classifier as train_classifier
    from textseq.runs import train_classifiers as train_classifiers
    from textseq.runs import train_tagger as train_tagger
    from textseq.runs import train_translator as train_translator
    from textseq.tagging import Tagger as Tagger
    from textseq.tagging import Tagging as Tagging
    from textseq.translating import Translator as Translator
    from textseq.translation import Translation as Translation
    from textseq.vector_files import read_vectors as read_vectors
    from textseq.vectors import Vectors as Vectors
    from textseq.word_tests import word_analogies as word_analogies
    from textseq.word_tests import word_similarity as word_similarity
    from textseq.writing import Score as Score
    from textseq.writing import Writer as Writer

_HOMES = {
    "Classification": "textseq.classifying",
    "Classifier": "textseq.classifying",
    "ClassifierConfig": "textseq.config",
    "ClassifierTrainingConfig": "textseq.config",
    "DataConfig": "textseq.config",
    "GenerationConfig": "textseq.config",
    "LabelledConfig": "textseq.config",
    "LabelledSource": "textseq.origin",
    "LanguageModelConfig": "textseq.config",
    "Novelty": "textseq.novelty",
    "PairConfig": "textseq.config",
    "PairSource": "textseq.origin",
    "Score": "textseq.writing",
    "TaggedConfig": "textseq.config",
    "TaggedSource": "textseq.origin",
    "Tagger": "textseq.tagging",
    "TaggerConfig": "textseq.config",
    "TaggerTrainingConfig": "textseq.config",
    "Tagging": "textseq.tagging",
    "TextseqError": "textseq.errors",
    "TrainingConfig": "textseq.config",
    "Translation": "textseq.translation",
    "TranslationConfig": "textseq.config",
    "TranslationModelConfig": "textseq.config",
    "Translator": "textseq.translating",
    "TranslatorTrainingConfig": "textseq.config",
    "Vectors": "textseq.vectors",
    "Writer": "textseq.writing",
    "word_analogies": "textseq.word_tests",
    "word_similarity": "textseq.word_tests",
    "train_classifiers": "textseq.runs",
    "load": "textseq.jobs",
    "load_classifier": "textseq.jobs",
    "load_tagger": "textseq.jobs",
    "load_translator": "textseq.jobs",
    "load_writer": "textseq.jobs",
    "novelty_of": "textseq.novelty",
    "read_vectors": "textseq.vector_files",
    "resume": "textseq.runs",
    "train": "textseq.runs",
    "train_classifier": "textseq.runs",
    "train_tagger": "textseq.runs",
    "train_translator": "textseq.runs",
}

__all__ = [*sorted(_HOMES), "__version__"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'textseq' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
