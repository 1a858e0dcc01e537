"""All settings: frozen dataclasses whose fields are the command-line flags, the recipes' keys and the defaults.

The docstring under a field is its help text. ``ranged`` states the valid range; it is checked whenever a settings
object is made, from Python, a flag or a recipe. This wing imports nothing heavy.
"""

from __future__ import annotations

from textseq.config.decoding import LARGEST_BIAS as LARGEST_BIAS
from textseq.config.decoding import DecodingConfig as DecodingConfig
from textseq.config.decoding import DecodingSettings as DecodingSettings
from textseq.config.decoding import Precision as Precision
from textseq.config.names import AttentionName as AttentionName
from textseq.config.names import CellName as CellName
from textseq.config.names import PoolingName as PoolingName
from textseq.config.tokenizer import TOKENIZER_OPTIONS as TOKENIZER_OPTIONS
from textseq.config.tokenizer import StemmerName as StemmerName
from textseq.config.tokenizer import TokenizerConfig as TokenizerConfig
from textseq.config.tokenizer import TokenizerName as TokenizerName
from textseq.config.training import FIRST_BATCH as FIRST_BATCH
from textseq.config.training import BatchSize as BatchSize
from textseq.config.training import OptimizerName as OptimizerName
from textseq.config.training import ScheduleName as ScheduleName
from textseq.config.training import TrainingConfig as TrainingConfig
from textseq.config.training import TrainingPrecision as TrainingPrecision
from textseq.config.training import rows_of as rows_of
