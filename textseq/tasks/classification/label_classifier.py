"""What a classifier does with the logits of its labels, whatever model computes them.

Shapes: N texts, C labels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
import torch

from textseq.checkpoints.model_info import ModelInfo
from textseq.data.labelled import LabelledDataset
from textseq.data.readers.exported import row_file
from textseq.data.readers.labelled import remembered_column
from textseq.data.rows import split_labels
from textseq.data.sources import DataSource, LabelledData
from textseq.errors import TextseqError
from textseq.metrics.classification import ClassificationMetrics, measure_labels
from textseq.metrics.multi_label import MultiLabelMetrics, marks_of, measure_label_sets
from textseq.metrics.signature import data_signature
from textseq.tasks.classification.config import ExplanationMethod
from textseq.tasks.classification.explain import Explanation
from textseq.tasks.classification.leakage import leak, leak_warning
from textseq.tasks.label_predictor import BUFFER, LabelPredictor, note_unseen, row_blocks, text_blocks
from textseq.tasks.predictor import check_dataset, each
from textseq.tokenizers.base import Tokenizer
from textseq.training.distributed.group import SINGLE_PROCESS, ProcessGroup

CHARACTERS = 2**24
"""Characters read ahead, not counting the last text; bounds the memory."""

MAX_TEMPERATURE = 1000
"""Upper bound of a valid temperature; calibration gives at most 20."""

UNSURE = "unsure"
"""The answer instead of a label that is too improbable."""


@dataclass(frozen=True)
class Classification:
    """The label of a text, with the probabilities of all labels."""

    label: str
    """The most probable label, or "unsure" if it is less probable than asked for."""
    probabilities: dict[str, float]
    """Calibrated on the validation split; they sum to 1, unless a text may have several labels."""
    labels: tuple[str, ...] = ()
    """The label; or all labels of a text that may have several or none, the most probable first."""

    @property
    def probability(self) -> float:
        """Probability of the most probable label."""
        return max(self.probabilities.values())


class LabelClassifier(LabelPredictor[LabelledDataset]):
    """A predictor of the labels of whole texts."""

    tokenizer: Tokenizer

    @property
    def temperature(self) -> float:
        """Calibration: logits are divided by it."""
        return self.info.temperature

    @property
    def threshold(self) -> float | None:
        """Probability from which a label is given; None if each text gets the most probable one."""
        return self.info.threshold

    @property
    def has_confusion(self) -> bool:
        return self.threshold is None

    @overload
    def classify(self, texts: str, *, unsure_below: float = ...) -> Classification: ...  # type: ignore[overload-overlap]
    @overload
    def classify(self, texts: Sequence[str], *, unsure_below: float = ...) -> list[Classification]: ...
    def classify(
        self, texts: str | Sequence[str], *, unsure_below: float = 0.0
    ) -> Classification | list[Classification]:
        """Classify texts; a text without words gets the label of an empty text.

        Args:
            texts: a text or several.
            unsure_below: the label is "unsure" if none is as probable as this.

        Raises:
            TextseqError: a text is not a string, or ``unsure_below`` is no probability.

        Example:
            >>> textseq.load("sentiment").classify("Berlin", unsure_below=0.65).label
            'unsure'
        """
        return each(texts, lambda several: list(self.stream(several, unsure_below=unsure_below)))

    __call__ = classify

    def stream(
        self,
        texts: Iterable[str],
        *,
        unsure_below: float = 0.0,
        buffer: int = BUFFER,
        progress: Callable[[int], object] = lambda count: None,
    ) -> Iterator[Classification]:
        """Classify a stream of texts of any length, in order and in constant memory.

        Args:
            texts: the texts.
            unsure_below: see ``classify``.
            buffer: texts read ahead and sorted by length; fewer if they are long.
            progress: called with the number of texts of each finished block.
        """
        if not 0 <= unsure_below <= 1:
            raise TextseqError(f"unsure_below: expected a probability from 0 to 1, got {unsure_below}")
        for block in text_blocks(texts, buffer, CHARACTERS, progress):
            for row in self.log_probabilities(block):
                p = dict(zip(self.labels, np.exp(row).tolist(), strict=True))
                ordered = sorted(p, key=lambda label: -p[label])
                if self.threshold is not None:
                    given = [label for label in ordered if p[label] >= self.threshold]
                else:
                    given = ordered[:1] if p[ordered[0]] >= unsure_below else []
                unsure = self.threshold is None and not given
                yield Classification(UNSURE if unsure else ordered[0], p, tuple(given))

    def log_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Calibrated log-probabilities of the labels in nats, (N, C)."""
        return self._calibrated(self.logits(texts))

    @abstractmethod
    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Uncalibrated logits of the labels, (N, C).

        Raises:
            TextseqError: a text is not a string.
        """

    @abstractmethod
    def explain(self, text: str, *, label: str | None = None, method: ExplanationMethod = "integrated") -> Explanation:
        """The contribution of each word of a text to the score of a label.

        Args:
            text: the text.
            label: the label to explain; None: the most probable one.
            method: "integrated" gradients or "gradient" times input, where the explanation is made of gradients.

        Raises:
            TextseqError: the text is not a string, or the label or method is unknown.
        """

    def evaluation_source(self, source: DataSource) -> DataSource:
        """With the columns of the training table that the given one has too, unless others are named."""
        if not isinstance(source, LabelledData) or not source.labelled:
            return source
        text, label = (
            remembered_column(
                row_file(source.labelled[0], source.encoding), self.info.source.get(name), source.encoding
            )
            for name in ("text_column", "label_column")
        )
        several = self.threshold is not None
        separator = self.info.source.get("label_separator") if several and source.label_separator == "," else None
        return replace(
            source,
            text_column=source.text_column or text,
            label_column=source.label_column or label,
            multi_label=several,
            label_separator=str(separator or source.label_separator),
        )

    def warnings(self, dataset: LabelledDataset, source: DataSource) -> list[str]:
        """A warning if the model was trained on texts of the dataset."""
        corpus = leak(self.info, dataset)
        return super().warnings(dataset, source) + ([] if corpus is None else [leak_warning(corpus, dataset)])

    def evaluate(
        self,
        dataset: LabelledDataset,
        split: str = "test",
        *,
        progress: Callable[[int], object] = lambda count: None,
        process_group: ProcessGroup = SINGLE_PROCESS,
    ) -> ClassificationMetrics | MultiLabelMetrics:
        """Measure the classifier on a split of a dataset.

        Args:
            dataset: labelled texts.
            split: of the dataset.
            progress: called with the number of texts of each finished block.
            process_group: processes that share the work, all with the same model and dataset.

        Raises:
            TextseqError: not a dataset of labelled texts; the model knows no label of the split (where it knows some,
                the others count as wrong); or the texts have several labels, and the model gives one.
        """
        check_dataset(dataset, "examples", 'LabelledData(labelled=("a.csv",)).open_whole()')
        if dataset.label_sets and self.threshold is None:
            raise TextseqError(f"expected a model of several labels for '{dataset.name}', got one that gives a label")
        if self.threshold is None and not {*self.labels} & {*dataset.labels}:
            note_unseen("label", dataset.labels, self.labels, dataset, split)  # fail before the work
        rows, truth = {}, []
        for turn, block in row_blocks(dataset.examples(split), progress):
            if process_group.turn(turn):
                rows[turn] = torch.from_numpy(self.log_probabilities([text for text, _ in block]))
            truth += [label for _, label in block]
        log_p = torch.cat([torch.zeros(0, len(self.labels)), *process_group.collect(rows)]).numpy()
        setup = f"{data_signature(dataset.name, dataset.splits, split)}|tokens:{self.tokenizer.signature}"
        setup += f"|precision:{self.precision}" if self.precision != "float32" else ""
        if self.threshold is None:
            labels, targets = self.with_unseen("label", truth, dataset, split)
            return measure_labels(log_p, targets, labels, setup=setup)
        sets = [split_labels(joined) for joined in truth]
        labels, _ = self.with_unseen("label", [label for one in sets for label in one], dataset, split)
        return measure_label_sets(log_p, marks_of(sets, labels), labels, threshold=self.threshold, setup=setup)

    def _calibrated(self, logits: np.ndarray) -> np.ndarray:
        """Logits (N, C) -> log-probabilities in nats, (N, C)."""
        scaled = logits / self.temperature
        others = (
            np.logaddexp.reduce(scaled, axis=1, keepdims=True) if self.threshold is None else np.logaddexp(0, scaled)
        )
        log_p: np.ndarray = scaled - others
        return log_p


def check_temperature(info: ModelInfo, where: str) -> None:
    """Raise a TextseqError if a model's temperature is none."""
    if not 0 < info.temperature <= MAX_TEMPERATURE:
        raise TextseqError(
            f"{where} is damaged: 'temperature' must be above 0 and at most {MAX_TEMPERATURE}; restore the folder"
        )


def stripped_text(text: str) -> str:
    """The text without the white space around it.

    Raises:
        TextseqError: not a string.
    """
    if not isinstance(text, str):
        raise TextseqError(f"texts: expected strings, got {type(text).__name__}; convert them first")
    return text.strip()
