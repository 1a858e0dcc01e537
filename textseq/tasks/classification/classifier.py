"""A classifier at work: texts in, labels out, with how sure it is.

Shapes: N texts, T tokens, C labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Self, overload

import numpy as np
import torch
from torch import Tensor

from textseq.checkpoints import checkpoint
from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.model_card import CardText, label_results, label_text
from textseq.checkpoints.model_info import ModelInfo
from textseq.config.decoding import Precision
from textseq.data.labelled import LabelledDataset
from textseq.errors import TextseqError, unknown
from textseq.io.lines import read_ahead
from textseq.metrics.classification import ClassificationMetrics, measure_labels
from textseq.metrics.signature import data_signature
from textseq.tasks.classification.batches import text_batch
from textseq.tasks.classification.config import ClassifierConfig, ExplanationMethod
from textseq.tasks.classification.explain import Explanation, contributions
from textseq.tasks.classification.leakage import leak, leak_warning
from textseq.tasks.classification.model import ClassifierModel
from textseq.tasks.predictor import Predictor, each
from textseq.tokenizers.base import Tokenizer, align_to_text
from textseq.tokenizers.words import WordTokenizer
from textseq.training.devices import pick_device
from textseq.training.distributed.group import ALONE, ProcessGroup

BUFFER = 2048
"""Texts that are sorted by length together."""

CHARACTERS = 2**24
"""Characters of them at most, but for the last, so that memory stays flat whatever comes."""

HOTTEST = 1000
"""What logits are divided by at most; calibration finds 20 at most."""

TOKENS = 5000
"""Tokens, with their padding, that are read side by side: four times as many take longer, for they fit no cache."""


@dataclass(frozen=True)
class Classification:
    """What a classifier says of a text."""

    label: str
    """The most probable one."""
    probabilities: dict[str, float]
    """Of all labels, calibrated on the validation part; they add up to 1."""

    @property
    def probability(self) -> float:
        """Of the label."""
        return self.probabilities[self.label]


class Classifier(Predictor[LabelledDataset]):
    """A classifier with its tokenizer and labels.

    Args:
        model: set to evaluation mode.
        tokenizer: the one that it was trained with.
        info: its metadata.
        precision: number format of the products when it classifies; it explains in float32.

    Raises:
        TextseqError: a precision that is unknown or not supported.

    Example:
        >>> textseq.load("sentiment").classify(["a masterpiece", "a waste of time"])[0].label
        'positive'
    """

    noun = "a classifier"
    precisions = ("float32", "bfloat16")
    model: ClassifierModel
    tokenizer: Tokenizer

    @classmethod
    def open(cls, saved: Checkpoint, *, device: str = "cpu", precision: Precision = "float32") -> Self:
        where, info = str(saved.folder / "config.json"), saved.info
        if len(info.labels) < 2:
            raise TextseqError(f"{where} is damaged: expected two labels or more; restore the folder")
        if not 0 < info.temperature <= HOTTEST:
            raise TextseqError(
                f"{where} is damaged: 'temperature' must be above 0 and at most {HOTTEST}; restore the folder"
            )
        config, sizes = ClassifierConfig.from_dict(info.model, where=where), (saved.tokenizer.size, len(info.labels))
        model = checkpoint.filled(lambda: ClassifierModel(config, *sizes), saved.weights, saved.folder)
        return cls(model.to(pick_device(device)), saved.tokenizer, info, precision=precision)

    @staticmethod
    def describe(name: str, info: ModelInfo) -> CardText:
        return CardText(
            title=f"A recurrent text classifier ({label_text(info)})",
            command=f"textseq-classify --model {name} < texts.txt",
            python=f'print(textseq.load("{name}").classify("A text.").label)',
            trained_on=(f"- Language: {info.language or 'not stated'}.",),
            results=label_results(info, "text"),
            limits=(
                "It gives one of its labels to any text, and knows only texts like those that it was trained on: other",
                "subjects, other languages and irony confuse it. It repeats the prejudices of its sources.",
            ),
        )

    def word_table(self) -> tuple[Sequence[str], Tensor]:
        return self.tokenizer.vocabulary, self.model.embedding.weight

    @property
    def about(self) -> str:
        return ", ".join(self.labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the model's outputs."""
        return self.info.labels

    @property
    def temperature(self) -> float:
        """Calibration: the logits are divided by it."""
        return self.info.temperature

    @overload
    def classify(self, texts: str) -> Classification: ...  # type: ignore[overload-overlap]
    @overload
    def classify(self, texts: Sequence[str]) -> list[Classification]: ...
    def classify(self, texts: str | Sequence[str]) -> Classification | list[Classification]:
        """Classify texts; a text without words gets the label of an empty text.

        Raises:
            TextseqError: a text that is not a string.
        """
        return each(texts, lambda several: list(self.stream(several)))

    __call__ = classify

    def stream(
        self, texts: Iterable[str], *, buffer: int = BUFFER, progress: Callable[[int], object] = lambda count: None
    ) -> Iterator[Classification]:
        """The same of a stream of texts of any length, in its order and in flat memory.

        Args:
            texts: of which so many are read ahead as
            buffer: says, or fewer if they are long, and sorted by length.
            progress: told how many are done, now and then.
        """
        if isinstance(texts, str):
            raise TextseqError("classify wants texts, found one string; put it into a list")
        waiting = iter(texts)
        while some := read_ahead(waiting, buffer, CHARACTERS):
            for row in self.log_probabilities(some):
                p = np.exp(row)
                label = self.labels[int(row.argmax())]
                yield Classification(label, dict(zip(self.labels, p.tolist(), strict=True)))
            progress(len(some))

    def log_probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Of each text's labels, in nats and calibrated, (N, C)."""
        return self._calibrated(self.logits(texts))

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """What the model says of each text's labels, (N, C), as it is."""
        return self.logits_of([self.tokenizer.encode(padded_text(text)) for text in texts])

    def logits_of(self, encoded: Sequence[np.ndarray]) -> np.ndarray:
        """The same of texts as ids."""
        found = np.zeros((len(encoded), len(self.labels)))
        longest_first = sorted(range(len(encoded)), key=lambda number: -len(encoded[number]))
        while longest_first:
            wide = max(1, len(encoded[longest_first[0]]))
            count = max(1, TOKENS // wide)
            numbers, longest_first = longest_first[:count], longest_first[count:]
            batch = text_batch([encoded[number] for number in numbers], [0] * len(numbers)).to(self.device)
            narrow = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
            with torch.inference_mode(), narrow:
                logits: Tensor = self.model(batch.ids, batch.lengths)
            found[numbers] = logits.double().cpu().numpy()
        return found

    def explain(self, text: str, *, label: str | None = None, method: ExplanationMethod = "integrated") -> Explanation:
        """What each word of a text did for its label, or for another one; see ``explaining``.

        Args:
            text: likewise.
            label: the most probable one by default.
            method: "integrated" gradients, which add up to what they explain, or "gradient" times input, which is
                quick and does not.

        Raises:
            TextseqError: a text that is no text, a label that the model does not know, or no such method.
        """
        ids = self.tokenizer.encode(padded_text(text))
        log_p = self._calibrated(self.logits_of([ids]))[0]
        if label is not None and label not in self.labels:
            raise unknown("label", label, self.labels)
        number = int(log_p.argmax()) if label is None else self.labels.index(label)
        read = ids if len(ids) else np.zeros(1, np.int64)  # as ``text_batch`` has it
        amounts, score, baseline = contributions(self.model, read, number, self.temperature, method)
        pieces = self._pieces(text, ids, amounts.tolist()) if len(ids) else []
        return Explanation(self.labels[number], float(np.exp(log_p[number])), score, baseline, tuple(pieces))

    def _pieces(self, text: str, ids: np.ndarray, amounts: Sequence[float]) -> list[tuple[str, float]]:
        """The text in pieces, each with the amounts of its tokens: as it was given, where tokens lose rare words."""
        if isinstance(self.tokenizer, WordTokenizer) and "rare words" in self.tokenizer.loses:
            return list(zip(self.tokenizer.surfaces(padded_text(text)), amounts, strict=True))
        return align_to_text(self.tokenizer, ids.tolist(), amounts)

    def warnings(self, dataset: LabelledDataset) -> list[str]:
        """Whether the model was trained on texts of the dataset."""
        corpus = leak(self.info, dataset)
        return [] if corpus is None else [leak_warning(corpus, dataset)]

    def evaluate(
        self,
        dataset: LabelledDataset,
        split: str = "test",
        *,
        progress: Callable[[int], object] = lambda count: None,
        process_group: ProcessGroup = ALONE,
    ) -> ClassificationMetrics:
        """Measure the classifier on a split of a dataset.

        Args:
            dataset: labelled texts.
            split: of the dataset.
            progress: called with the number of texts that are done.
            process_group: processes that share the work, all with the same model and dataset.

        Raises:
            TextseqError: the split has a label that the model does not know.
        """
        number_of = {label: number for number, label in enumerate(self.labels)}
        rows, right = {}, []
        examples = dataset.examples(split)
        for turn in count():
            if not (some := list(islice(examples, BUFFER))):
                break
            for _, label in some:
                if label not in number_of:
                    raise TextseqError(
                        f"the {split} part of '{dataset.name}' has the label '{label}', which the model never saw; it "
                        f"knows {', '.join(self.labels)}"
                    )
            if process_group.turn(turn):
                rows[turn] = torch.from_numpy(self.log_probabilities([text for text, _ in some]))
            right += [number_of[label] for _, label in some]
            progress(len(some))
        found = torch.cat([torch.zeros(0, len(self.labels)), *process_group.collect(rows)]).numpy()
        how = f"{data_signature(dataset.name, dataset.splits, split)}|tokens:{self.tokenizer.signature}"
        how += f"|precision:{self.precision}" if self.precision != "float32" else ""
        return measure_labels(found, right, self.labels, how=how)

    def _calibrated(self, logits: np.ndarray) -> np.ndarray:
        """Logits (N, C) -> log-probabilities in nats."""
        scaled = logits / self.temperature
        found: np.ndarray = scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)
        return found


def padded_text(text: str) -> str:
    """The text as a model reads it, with one space before it, so that its first word is a token as within a text.

    Raises:
        TextseqError: it is no text.
    """
    if not isinstance(text, str):
        raise TextseqError(f"texts are strings, found {type(text).__name__}; give strings")
    return " " + text.strip()
