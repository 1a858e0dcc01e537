"""A fifth task in a few dozen lines: its row alone makes it train, resume, load, evaluate and save like the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import textseq
from textseq.checkpoints import checkpoint
from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.model_card import CardText, result_table
from textseq.checkpoints.model_info import ModelInfo, Table
from textseq.checkpoints.registry import newest
from textseq.config.base import Settings, ranged
from textseq.config.decoding import Precision
from textseq.config.training import TrainingConfig
from textseq.data.batching import Cursor, RowBatches, pad
from textseq.data.dataset import fingerprint_of
from textseq.data.sources import DataSource
from textseq.errors import Interrupted, TextseqError
from textseq.nn.losses import Loss
from textseq.tasks import registry
from textseq.tasks import run as runs
from textseq.tasks.base import Report, Run
from textseq.tasks.predictor import Metrics, Predictor, each
from textseq.tasks.task import Task
from textseq.tokenizers.base import Tokenizer
from textseq.tokenizers.characters import CharTokenizer
from textseq.training.devices import pick_device
from textseq.training.distributed.group import SINGLE_PROCESS, ProcessGroup
from textseq.training.events import Evaluation
from textseq.training.trainer import Trainer

# The task: how many vowels a text has.


@dataclass(frozen=True)
class VowelDataset:
    name: str
    fingerprint: str
    contents: dict[str, list[tuple[str, int]]]
    title: str = "Texts with their vowels"
    licence: str = "unknown"
    notes: tuple[str, ...] = ()

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.contents)


@dataclass(frozen=True, kw_only=True)
class VowelData(DataSource):
    """Your own counted texts."""

    own_files: ClassVar[str] = "counted"

    counted: tuple[str, ...] = ()
    """Your own texts: files with a text, a tab and a number per line."""

    def open(self, *, data_dir: Path | None = None, download: bool = False) -> VowelDataset:
        self._check()
        lines = [line.split("\t") for name in self.files for line in Path(name).read_text(self.encoding).splitlines()]
        rows = [(text, int(count)) for text, count in lines]
        held_out = int(len(rows) * self.validation)
        contents = {"train": rows[held_out:], **({"validation": rows[:held_out]} if held_out else {})}
        return VowelDataset(Path(self.files[0]).name, fingerprint_of(rows), contents)


@dataclass(frozen=True, kw_only=True)
class VowelDataConfig(Settings):
    """Data: batches."""

    batch_size: int = ranged(8, at_least=1)
    """Texts in a batch."""


@dataclass(frozen=True, kw_only=True)
class VowelModelConfig(Settings):
    """Model: a number for each letter."""

    scale: float = ranged(1.0, above=0)
    """What their sum is multiplied by."""
    dropout: float = ranged(0.0, at_least=0, below=1)
    """Dropout of the numbers."""


VOWELS = Task(
    name="vowels",
    noun="a vowel counter",
    command="python count.py",
    source=VowelData,
    data_config=VowelDataConfig,
    model_config=VowelModelConfig,
    training_config=TrainingConfig,
    predictor=f"{__name__}:VowelCounter",
    run=f"{__name__}:VowelRun",
    examples="textseq-train --counted texts.tsv",
)


@dataclass(frozen=True)
class VowelBatch:
    ids: Tensor
    """(N, T)."""
    counts: Tensor
    """(N,)."""
    learning_rate_factor: float = 1.0

    @property
    def rows(self) -> int:
        return len(self.counts)

    count = rows

    def slice_rows(self, rows: slice) -> VowelBatch:
        return replace(self, ids=self.ids[rows], counts=self.counts[rows])

    def to(self, device: torch.device) -> VowelBatch:
        return replace(self, ids=self.ids.to(device), counts=self.counts.to(device))


class VowelBatches(RowBatches):
    def __init__(self, rows: Sequence[tuple[str, int]], tokenizer: Tokenizer, batch_size: int, seed: int) -> None:
        self.rows, self.tokenizer = rows, tokenizer
        super().__init__(np.array([len(text) for text, _ in rows]), batch_size, seed)

    def batch(self, cursor: Cursor) -> tuple[VowelBatch, Cursor]:
        numbers, following = self.at(cursor)
        rows = [self.rows[number] for number in numbers]
        ids = pad([self.tokenizer.encode(text) for text, _ in rows], self.tokenizer.size)
        return VowelBatch(ids, torch.tensor([float(count) for _, count in rows])), following


class VowelModel(nn.Module):
    def __init__(self, config: VowelModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(vocabulary_size + 1, 1, padding_idx=vocabulary_size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """(N, T) -> (N,)."""
        numbers: Tensor = self.dropout(self.embedding(ids))
        return self.config.scale * numbers.sum(dim=(1, 2))

    def loss(self, batch: VowelBatch, state: tuple[Tensor, ...] | None) -> Loss:
        return Loss((self(batch.ids) - batch.counts).square().sum(), batch.count, ())


@dataclass(frozen=True)
class VowelMetrics:
    squared_error: float
    signature: str

    def to_dict(self) -> Table:
        return asdict(self)

    def __str__(self) -> str:
        return f"mean squared error {self.squared_error:.4f}"


class VowelCounter(Predictor[VowelDataset]):
    noun = "a vowel counter"
    model: VowelModel
    tokenizer: Tokenizer

    @classmethod
    def open(cls, saved: Checkpoint, *, device: str = "cpu", precision: Precision = "float32") -> Self:
        config = VowelModelConfig.from_dict(saved.info.model, where=str(saved.folder / "config.json"))
        model = checkpoint.build_with_weights(
            lambda: VowelModel(config, saved.tokenizer.size), saved.weights, saved.folder
        )
        return cls(model.to(pick_device(device)), saved.tokenizer, saved.info, precision=precision)

    @staticmethod
    def describe(name: str, info: ModelInfo) -> CardText:
        return CardText(
            title="A vowel counter",
            command=f"python count.py {name}",
            python=f'print(textseq.load("{name}")("A text."))',
            trained_on=(),
            results=result_table(("squared error",), info, lambda row: (f"{row['squared_error']:.4f}",)),
            limits=("It adds up numbers of letters.",),
        )

    def word_table(self) -> tuple[Sequence[str], Tensor]:
        return self.tokenizer.vocabulary, self.model.embedding.weight[:-1]

    def __call__(self, texts: str | Sequence[str]) -> float | list[float]:
        return each(texts, self._count)

    def _count(self, texts: Sequence[str]) -> list[float]:
        with torch.inference_mode():
            return [float(self.model(torch.from_numpy(self.tokenizer.encode(text)).unsqueeze(0))) for text in texts]

    def evaluate(
        self,
        dataset: VowelDataset,
        split: str = "test",
        *,
        progress: Callable[[int], object] = lambda count: None,
        process_group: ProcessGroup = SINGLE_PROCESS,
    ) -> VowelMetrics:
        if split not in dataset.splits:
            raise TextseqError(f"'{dataset.name}' has no split '{split}'")
        rows = dataset.contents[split]
        errors = np.subtract(self._count([text for text, _ in rows]), [count for _, count in rows])
        return VowelMetrics(float(np.square(errors).mean()), f"corpus:{dataset.name}|split:{split}")


class VowelRun(Run[VowelDataset, VowelCounter]):
    unit = "text"
    dataset_info = ()
    tokenizer: Tokenizer
    model: VowelModel

    @classmethod
    def make_tokenizer(cls, dataset: VowelDataset, data: VowelDataConfig, report: Report) -> Tokenizer:
        return CharTokenizer.train([[text] for text, _ in dataset.contents["train"]])

    def make_model(self) -> VowelModel:
        return VowelModel(self.config(VowelModelConfig, self.info.model), self.tokenizer.size)

    def make_batches(self, rows: int) -> VowelBatches:
        return VowelBatches(self.dataset.contents["train"], self.tokenizer, rows, self.training.seed)

    def prepare_validation(self, rows: int) -> None:
        pass

    def init_weights(self, init: Checkpoint) -> str:
        self.model.load_state_dict(init.weights)
        return "all of them"

    def predictor(self) -> VowelCounter:
        return VowelCounter(self.model, self.tokenizer, self.info)

    def evaluate(self) -> Evaluation:
        metrics = self.predictor().evaluate(self.dataset, "validation")
        return Evaluation(metrics.squared_error, words=str(metrics))

    def sample(self) -> str:
        return f"  vowels of abide: {self.predictor()('abide'):.2f}"

    def final_metrics(self, predictor: VowelCounter) -> list[Metrics]:
        return [predictor.evaluate(self.dataset, "validation")]

    @property
    def summary(self) -> str:
        return f"{len(self.dataset.contents['train'])} texts"


# The tests

TRAINING = TrainingConfig(
    learning_rate=0.1, schedule="constant", warmup_steps=0, max_epochs=None, max_steps=120, evaluate_every=60
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    monkeypatch.delenv("TEXTSEQ_DATA", raising=False)
    monkeypatch.setattr(registry, "TASKS", (*registry.TASKS, VOWELS))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def texts(home: Path) -> Path:
    rng = np.random.default_rng(1)
    lines = ["".join(rng.choice(list("abcdeiou"), rng.integers(1, 9))) for _ in range(120)]
    path = home / "texts.tsv"
    path.write_text("".join(f"{line}\t{sum(map(line.count, 'aeiou'))}\n" for line in lines))
    return path


def train(texts: Path, **options: Any) -> VowelCounter:
    options = {"training": TRAINING, "report": lambda line: None, **options}
    predictor = runs.train(VOWELS, VowelData(counted=(str(texts),)), **options)
    assert isinstance(predictor, VowelCounter)
    return predictor


def weights(run: Path) -> dict[str, Tensor]:
    folder = newest(run, "last")
    assert folder is not None
    return load_file(folder / "model.safetensors")


def test_it_trains_loads_evaluates_and_saves(texts: Path, home: Path) -> None:
    lines: list[str] = []
    counter = train(texts, report=lines.append)
    assert counter("abide") == pytest.approx(3, abs=0.2)
    assert any(line.startswith("  vowels of abide: ") for line in lines)
    assert lines[-1].endswith("use it with: python count.py texts")
    loaded = textseq.load("texts")
    assert isinstance(loaded, VowelCounter) and loaded(["abc", "bcd"]) == counter(["abc", "bcd"])
    dataset = VowelData(counted=(str(texts),)).open()
    metrics = loaded.evaluate(dataset, "validation")
    assert loaded.info.results == (metrics.to_dict(),) and metrics.squared_error < 0.1
    (entry,) = textseq.list_models("vowels")
    assert entry.name == "texts" and entry.info.corpus.name == "texts.tsv"
    loaded.save(home / "gift")
    for folder in (home / "runs" / "texts", home / "gift"):
        card = (folder / "README.md").read_text()
        assert "A vowel counter with 25 parameters" in card and "corpus:texts.tsv split:validation" in card
    assert textseq.load(home / "gift").info.source == {}
    assert loaded.nearest("a", 1)[0][1] <= 1
    with pytest.raises(TextseqError, match="expected a classifier, got texts, which is a vowel counter; use it with p"):
        textseq.load_classifier("texts")
    with pytest.raises(TextseqError, match="--best-by: expected loss for a vowel counter, got bleu"):
        train(texts, name="other", training=replace(TRAINING, best_by="bleu"))


def test_a_stopped_run_resumes_bit_for_bit(texts: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = VowelModelConfig(dropout=0.2)
    train(texts, name="whole", model=model)
    step = Trainer.step

    def stopping_step(trainer: Trainer) -> tuple[Tensor, int]:
        if trainer.progress.step == 70:
            trainer.stop_signal = 2
        return step(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stopping_step)
        with pytest.raises(Interrupted, match=r"continue with: textseq-train --resume \S+parts"):
            train(texts, name="parts", model=model)
    resumed = textseq.resume("parts", report=lambda line: None)
    assert isinstance(resumed, VowelCounter)
    ours, theirs = (weights(home / "runs" / name) for name in ("parts", "whole"))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    texts.write_text(texts.read_text() + "more\t2\n")
    with pytest.raises(TextseqError, match="is not the one that the run was started with"):
        textseq.resume("parts")


def test_a_model_initializes_another(texts: Path) -> None:
    first = train(texts, name="first")
    lines: list[str] = []
    slow = replace(TRAINING, max_steps=1, learning_rate=1e-12)
    second = train(texts, name="second", init_from="first", training=slow, report=lines.append)
    torch.testing.assert_close(second.model.state_dict(), first.model.state_dict())
    assert second.info.corpora == ("texts.tsv", "texts.tsv")
    assert any("weights from" in line and line.endswith("your data add nothing") for line in lines)
