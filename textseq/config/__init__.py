"""Every setting, once: frozen dataclasses whose fields are the flags, the recipes' keys and the defaults.

The line under a field is its help text. ``ranged`` states the values that make sense; they are checked
whenever a settings object is made, from Python, a flag or a recipe alike. Nothing heavy is imported here.
"""

from __future__ import annotations

from typing import Literal

from textseq.config.data import FIRST_BATCH as FIRST_BATCH
from textseq.config.data import TOKENIZER_OPTIONS as TOKENIZER_OPTIONS
from textseq.config.data import BatchSize as BatchSize
from textseq.config.data import DataConfig as DataConfig
from textseq.config.data import LabelledConfig as LabelledConfig
from textseq.config.data import PairConfig as PairConfig
from textseq.config.data import StemmerName as StemmerName
from textseq.config.data import TaggedConfig as TaggedConfig
from textseq.config.data import TokenizerConfig as TokenizerConfig
from textseq.config.data import TokenizerName as TokenizerName
from textseq.config.data import rows_of as rows_of
from textseq.config.decoding import LARGEST_BIAS as LARGEST_BIAS
from textseq.config.decoding import DecodingConfig as DecodingConfig
from textseq.config.decoding import DecodingSettings as DecodingSettings
from textseq.config.decoding import GenerationConfig as GenerationConfig
from textseq.config.decoding import GenerationSettings as GenerationSettings
from textseq.config.decoding import ReadingPrecision as ReadingPrecision
from textseq.config.decoding import TranslationConfig as TranslationConfig
from textseq.config.decoding import TranslationSettings as TranslationSettings
from textseq.config.decoding import WritingPrecision as WritingPrecision
from textseq.config.models import AttentionName as AttentionName
from textseq.config.models import CellName as CellName
from textseq.config.models import ClassifierConfig as ClassifierConfig
from textseq.config.models import ExplanationMethod as ExplanationMethod
from textseq.config.models import LanguageModelConfig as LanguageModelConfig
from textseq.config.models import PoolingName as PoolingName
from textseq.config.models import TaggerConfig as TaggerConfig
from textseq.config.models import TagOutput as TagOutput
from textseq.config.models import TranslationModelConfig as TranslationModelConfig
from textseq.config.training import ClassifierTrainingConfig as ClassifierTrainingConfig
from textseq.config.training import OptimizerName as OptimizerName
from textseq.config.training import Precision as Precision
from textseq.config.training import ScheduleName as ScheduleName
from textseq.config.training import TaggerTrainingConfig as TaggerTrainingConfig
from textseq.config.training import TrainingConfig as TrainingConfig
from textseq.config.training import TranslatorTrainingConfig as TranslatorTrainingConfig

Task = Literal["language-model", "translator", "classifier", "tagger"]
