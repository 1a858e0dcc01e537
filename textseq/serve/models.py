"""The models that are served: found by name, loaded at their first use, each with the threads that compute with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from textseq.checkpoints.model_info import ModelInfo, read_info
from textseq.checkpoints.registry import ModelEntry, find_model, list_authors, list_models, model_folder
from textseq.config.decoding import Precision
from textseq.errors import TextseqError, unknown
from textseq.serve.engine import TextEngine
from textseq.serve.errors import RequestError
from textseq.serve.gathering import Gatherer
from textseq.serve.metrics import Metrics
from textseq.serve.settings import Limits
from textseq.tasks.classification.classifier import Classifier
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.predictor import AnyPredictor
from textseq.tasks.registry import load
from textseq.tasks.tagging.tagger import Tagger
from textseq.tasks.translation.translator import Translator

P = TypeVar("P", bound=AnyPredictor)

STOP_SECONDS = 5.0
"""Seconds that computations have to end when the server stops; threads are daemons, so none delays it for longer."""

FRESH = 2.0
"""Seconds for which a list of models is used again; reading it takes some milliseconds for each run."""


@dataclass(eq=False)
class LoadedModel:
    """A model in memory."""

    name: str
    folder: Path
    """Of the checkpoint that was loaded."""
    predictor: AnyPredictor
    gatherer: Gatherer
    """Computes whatever is not generated token by token."""
    engine: TextEngine | None
    """Generates text; language models only."""
    used: float = field(default_factory=time.monotonic)

    @property
    def busy(self) -> bool:
        """Whether anything is computed or waits."""
        return any(any(worker.load) for worker in self.workers)

    @property
    def workers(self) -> list[Gatherer | TextEngine]:
        """Its threads with their queues."""
        return [self.gatherer, *([self.engine] if self.engine else [])]

    def retire(self) -> None:
        """End its threads when everything is done; requests that still hold the model can go on using it."""
        for worker in self.workers:
            worker.retire()

    def stop(self) -> None:
        """End its threads after their current steps."""
        for worker in self.workers:
            worker.stop()


class ServedModels:
    """Models by name.

    Args:
        names: those to serve, as ``--model`` takes them; none: all that ship and all runs, new ones too.
        limits: of batches and queues.
        metrics: counts what is computed.
        device: where to compute.
        precision: number format of the matrix products, for the tasks that support it.

    Raises:
        TextseqError: an unknown name, or two models of one name.
    """

    def __init__(
        self,
        names: Sequence[str],
        limits: Limits,
        metrics: Metrics,
        *,
        device: str = "cpu",
        precision: Precision = "float32",
    ) -> None:
        self.limits, self.metrics = limits, metrics
        self._device, self._precision = device, precision
        self._fixed: dict[str, ModelEntry] = {}
        for entry in map(_entry, names):
            other = self._fixed.setdefault(entry.name, entry)
            if other.folder.resolve() != entry.folder.resolve():
                raise TextseqError(
                    f"--models: expected models of different names, got {other.folder} and {entry.folder}, both "
                    f"{entry.name}; rename one of the folders"
                )
        self._listed: tuple[float, Mapping[str, ModelEntry]] = (-FRESH, self._fixed)
        self._loaded: dict[str, LoadedModel] = {}
        self._lock = asyncio.Lock()

    def entries(self) -> Mapping[str, ModelEntry]:
        """The models that are there now, by name."""
        if not self._fixed and time.monotonic() - self._listed[0] > FRESH:
            others = (entry for entry in list_models() if entry.info.task != "language-model")
            self._listed = time.monotonic(), {entry.name: entry for entry in (*list_authors(), *others)}
        return self._listed[1]

    def of_task(self, task: str) -> dict[str, ModelInfo]:
        """Models of a task, by name."""
        return {name: entry.info for name, entry in self.entries().items() if entry.info.task == task}

    async def generator(self, name: str) -> tuple[LoadedModel, TextGenerator]:
        """A language model, loaded."""
        return await self._open(name, TextGenerator)

    async def translator(self, name: str) -> tuple[LoadedModel, Translator]:
        """A translator, loaded."""
        return await self._open(name, Translator)

    async def classifier(self, name: str) -> tuple[LoadedModel, Classifier]:
        """A classifier, loaded."""
        return await self._open(name, Classifier)

    async def tagger(self, name: str) -> tuple[LoadedModel, Tagger]:
        """A tagger, loaded."""
        return await self._open(name, Tagger)

    def gauges(self) -> dict[tuple[str, str], float]:
        """Texts that are running and waiting, for ``Metrics.text``."""
        loads: dict[tuple[str, str], float] = {}
        for model in self._loaded.values():
            both = [worker.load for worker in model.workers]
            for gauge, counts in zip(("textseq_running", "textseq_waiting"), zip(*both, strict=True), strict=True):
                loads[gauge, model.name] = sum(counts)
        return loads

    def stop(self) -> None:
        """End all threads."""
        for model in self._loaded.values():
            model.stop()
        end = time.monotonic() + STOP_SECONDS
        for worker in [worker for model in self._loaded.values() for worker in model.workers]:
            worker.join(max(0.0, end - time.monotonic()))
        self._loaded.clear()

    async def open(self, name: str) -> LoadedModel:
        """A model of any task, loaded. A newer checkpoint of a run replaces the old one.

        Raises:
            RequestError: an unknown name.
        """
        entry = self.entries().get(name)
        if entry is None:
            raise RequestError(404, str(unknown("model", name, self.entries())), param="model")
        folder = model_folder(entry.folder)
        loaded = self._loaded.get(name)
        if loaded is None or loaded.folder != folder:
            loaded = await asyncio.shield(self._in_turn(entry, folder))  # others wait for it if this request ends
        loaded.used = time.monotonic()
        return loaded

    async def _in_turn(self, entry: ModelEntry, folder: Path | None) -> LoadedModel:
        """A model, loaded after those that are being loaded, unless it is one of them."""
        async with self._lock:
            loaded = self._loaded.get(entry.name)
            if loaded is None or loaded.folder != folder:
                loaded = await asyncio.to_thread(self._load, entry, folder)
            return loaded

    async def _open(self, name: str, kind: type[P]) -> tuple[LoadedModel, P]:
        """A model of a task; a RequestError for any other name."""
        loaded = await self.open(name)
        if not isinstance(loaded.predictor, kind):
            raise RequestError(
                400, f"model: expected {kind.noun}, got {name}, which is {loaded.predictor.noun}", param="model"
            )
        return loaded, loaded.predictor

    def _load(self, entry: ModelEntry, folder: Path | None) -> LoadedModel:
        """Load a model, in place of an older checkpoint, or of what was unused longest if there are too many."""
        name = entry.name
        try:
            predictor = load(entry.folder, device=self._device, precision=self._precision)
        except TextseqError:
            if self._precision == "float32":
                raise
            predictor = load(entry.folder, device=self._device)  # of a task that lacks this precision
        if isinstance(predictor, TextGenerator) and entry.condition:
            predictor = predictor.under(entry.condition)
        idle = sorted((model for model in self._loaded.values() if not model.busy), key=lambda model: model.used)
        surplus = max(0, len(self._loaded) + 1 - self.limits.max_loaded)
        for old in {model.name: model for model in [*idle[:surplus], *filter(None, [self._loaded.get(name)])]}.values():
            self._loaded.pop(old.name).retire()
        engine = (
            TextEngine(name, predictor, self.limits, self.metrics) if isinstance(predictor, TextGenerator) else None
        )
        gatherer = Gatherer(name, self.limits, self.metrics)
        self._loaded[name] = LoadedModel(name, folder or entry.folder, predictor, gatherer, engine)
        return self._loaded[name]


def _entry(name: str) -> ModelEntry:
    """The model that an operator names: a run, a shipped name, or a folder, which is served under its own name."""
    author = next((entry for entry in list_authors() if entry.name == name), None)
    if author is not None:
        return author
    folder = find_model(name)
    known = next((entry for entry in list_models() if entry.name == name), None)
    entry = known or ModelEntry(Path(name).resolve().name, Path(name), read_info(folder), False)
    if entry.info.task == "language-model" and (entry.info.labels or entry.info.vector_size):
        authors = ", ".join(entry.info.labels) or "a model without vectors"
        raise TextseqError(f"--model: expected a model that writes without a condition, got {name}; serve {authors}")
    return entry
