"""Recurrent networks on text: text generation in an author's style, translation, classification and tagging.

Public names are imported when they are first used, so that ``import textseq`` costs nothing. To build own networks use
``textseq.nn``, ``textseq.decoding`` and ``textseq.training``.

Import it before torch, and torch's threads wait in a way that is good beside other programs too (``io.processors``).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from textseq.io.processors import set_up_openmp
from textseq.version import __version__

set_up_openmp()  # before anything loads torch

if TYPE_CHECKING:
    from textseq import decoding as decoding
    from textseq import nn as nn
    from textseq import training as training
    from textseq.checkpoints.hub import push_to_hub as push_to_hub
    from textseq.checkpoints.model_info import ModelInfo as ModelInfo
    from textseq.checkpoints.registry import list_models as list_models
    from textseq.config.training import TrainingConfig as TrainingConfig
    from textseq.data.readers.glossary import Glossary as Glossary
    from textseq.data.readers.word_vectors import read_vectors as read_vectors
    from textseq.data.sources import LabelledData as LabelledData
    from textseq.data.sources import PairData as PairData
    from textseq.data.sources import TaggedData as TaggedData
    from textseq.data.sources import TextData as TextData
    from textseq.data.word_vectors import Vectors as Vectors
    from textseq.errors import TextseqError as TextseqError
    from textseq.metrics.word_vectors import word_analogies as word_analogies
    from textseq.metrics.word_vectors import word_similarity as word_similarity
    from textseq.tasks.classification.classifier import Classifier as Classifier
    from textseq.tasks.classification.config import ClassifierConfig as ClassifierConfig
    from textseq.tasks.classification.config import ClassifierTrainingConfig as ClassifierTrainingConfig
    from textseq.tasks.classification.config import LabelledConfig as LabelledConfig
    from textseq.tasks.classification.cross_validation import train_classifiers as train_classifiers
    from textseq.tasks.classification.estimator import TextClassifier as TextClassifier
    from textseq.tasks.classification.label_classifier import Classification as Classification
    from textseq.tasks.classification.run import train_classifier as train_classifier
    from textseq.tasks.documents.formats import translate_document as translate_document
    from textseq.tasks.export.onnx import export_onnx as export_onnx
    from textseq.tasks.language_model.config import AdaptationConfig as AdaptationConfig
    from textseq.tasks.language_model.config import DataConfig as DataConfig
    from textseq.tasks.language_model.config import GenerationConfig as GenerationConfig
    from textseq.tasks.language_model.config import LanguageModelConfig as LanguageModelConfig
    from textseq.tasks.language_model.config import LanguageModelTrainingConfig as LanguageModelTrainingConfig
    from textseq.tasks.language_model.generator import TextGenerator as TextGenerator
    from textseq.tasks.language_model.memorization import Memorization as Memorization
    from textseq.tasks.language_model.memorization import memorization_of as memorization_of
    from textseq.tasks.language_model.run import train as train
    from textseq.tasks.language_model.surprisal import Score as Score
    from textseq.tasks.registry import load as load
    from textseq.tasks.registry import load_classifier as load_classifier
    from textseq.tasks.registry import load_generator as load_generator
    from textseq.tasks.registry import load_tagger as load_tagger
    from textseq.tasks.registry import load_translator as load_translator
    from textseq.tasks.run import resume as resume
    from textseq.tasks.tagging.config import TaggedConfig as TaggedConfig
    from textseq.tasks.tagging.config import TaggerConfig as TaggerConfig
    from textseq.tasks.tagging.config import TaggerTrainingConfig as TaggerTrainingConfig
    from textseq.tasks.tagging.result import Span as Span
    from textseq.tasks.tagging.result import Tagging as Tagging
    from textseq.tasks.tagging.run import train_tagger as train_tagger
    from textseq.tasks.tagging.tagger import Tagger as Tagger
    from textseq.tasks.translation.config import PairConfig as PairConfig
    from textseq.tasks.translation.config import TranslationConfig as TranslationConfig
    from textseq.tasks.translation.config import TranslationModelConfig as TranslationModelConfig
    from textseq.tasks.translation.config import TranslatorTrainingConfig as TranslatorTrainingConfig
    from textseq.tasks.translation.result import Translation as Translation
    from textseq.tasks.translation.run import train_translator as train_translator
    from textseq.tasks.translation.translator import Translator as Translator

_MODULES = ("decoding", "nn", "training")
_MODULE_OF = {
    name: module
    for module, names in {
        "textseq.checkpoints.hub": ("push_to_hub",),
        "textseq.checkpoints.model_info": ("ModelInfo",),
        "textseq.checkpoints.registry": ("list_models",),
        "textseq.config.training": ("TrainingConfig",),
        "textseq.data.readers.glossary": ("Glossary",),
        "textseq.data.readers.word_vectors": ("read_vectors",),
        "textseq.data.sources": ("LabelledData", "PairData", "TaggedData", "TextData"),
        "textseq.data.word_vectors": ("Vectors",),
        "textseq.errors": ("TextseqError",),
        "textseq.metrics.word_vectors": ("word_analogies", "word_similarity"),
        "textseq.tasks.classification.classifier": ("Classifier",),
        "textseq.tasks.classification.config": ("ClassifierConfig", "ClassifierTrainingConfig", "LabelledConfig"),
        "textseq.tasks.classification.cross_validation": ("train_classifiers",),
        "textseq.tasks.classification.estimator": ("TextClassifier",),
        "textseq.tasks.classification.label_classifier": ("Classification",),
        "textseq.tasks.classification.run": ("train_classifier",),
        "textseq.tasks.documents.formats": ("translate_document",),
        "textseq.tasks.export.onnx": ("export_onnx",),
        "textseq.tasks.language_model.config": (
            "AdaptationConfig",
            "DataConfig",
            "GenerationConfig",
            "LanguageModelConfig",
            "LanguageModelTrainingConfig",
        ),
        "textseq.tasks.language_model.generator": ("TextGenerator",),
        "textseq.tasks.language_model.memorization": ("Memorization", "memorization_of"),
        "textseq.tasks.language_model.run": ("train",),
        "textseq.tasks.language_model.surprisal": ("Score",),
        "textseq.tasks.registry": ("load", "load_classifier", "load_generator", "load_tagger", "load_translator"),
        "textseq.tasks.run": ("resume",),
        "textseq.tasks.tagging.config": ("TaggedConfig", "TaggerConfig", "TaggerTrainingConfig"),
        "textseq.tasks.tagging.run": ("train_tagger",),
        "textseq.tasks.tagging.result": ("Span", "Tagging"),
        "textseq.tasks.tagging.tagger": ("Tagger",),
        "textseq.tasks.translation.config": (
            "PairConfig",
            "TranslationConfig",
            "TranslationModelConfig",
            "TranslatorTrainingConfig",
        ),
        "textseq.tasks.translation.result": ("Translation",),
        "textseq.tasks.translation.run": ("train_translator",),
        "textseq.tasks.translation.translator": ("Translator",),
    }.items()
    for name in names
}
"""The module of each public name."""

__all__ = ["__version__", *sorted([*_MODULE_OF, *_MODULES])]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"textseq.{name}")
    if name in _MODULE_OF:
        return getattr(import_module(_MODULE_OF[name]), name)
    raise AttributeError(f"module 'textseq' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
