"""Data sources: settings that name a corpus or one's own files, and how the files are read, a file per task."""

from textseq.data.sources.base import DataSource as DataSource
from textseq.data.sources.base import file_names as file_names
from textseq.data.sources.labelled import LabelledData as LabelledData
from textseq.data.sources.pairs import PairData as PairData
from textseq.data.sources.tagged import TaggedData as TaggedData
from textseq.data.sources.text import ConditionKind as ConditionKind
from textseq.data.sources.text import TextData as TextData
