"""The flags of commands that use a trained model, and the lists of models."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textseq.checkpoints.registry import ModelEntry, list_authors, list_models
from textseq.commands.flags import Listing, option
from textseq.config.decoding import Precision
from textseq.errors import TextseqError
from textseq.io.colored_text import visible
from textseq.tasks.registry import task_named

if TYPE_CHECKING:
    from textseq.tasks.language_model.generator import TextGenerator


def under_condition(generator: TextGenerator, name: str, condition: str | None) -> TextGenerator:
    """The generator of a name under the condition that ``--condition`` gives, if any.

    Raises:
        TextseqError: the name is itself a condition, such as an author's; or the condition does not fit the model.
    """
    if condition is None:
        return generator
    if generator.condition is not None:
        raise TextseqError(f"--condition: expected none beside --author {name}, got {condition}; leave out one of them")
    return generator.under(condition)


def show_models(options: ModelOptions) -> Listing:
    """The models of a command's task."""
    entries = list_models(options.task, report=_on_stderr)
    listing = [(model_line(entry), _record(entry)) for entry in entries]
    return listing or [("No models yet; train one with textseq-train.", {})]


def show_authors(options: ModelOptions) -> Listing:
    """What can write, by language: language models, and the labels of conditional ones."""
    entries = list_authors(report=_on_stderr)
    named = {entry.name for entry in entries}
    entries += [entry for entry in list_models("language-model") if entry.name not in named]
    groups: dict[str, list[ModelEntry]] = {}
    for entry in entries:
        groups.setdefault(entry.info.language or "unknown", []).append(entry)
    listing: Listing = []
    for language in sorted(groups, key=lambda language: (language == "unknown", language)):
        heading = "Other" if language == "unknown" else language
        listing = [*listing, (f"{heading}:", {})]
        listing = [*listing, *((f"  {model_line(entry)}", _record(entry)) for entry in groups[language])]
    return listing or [("No models yet; train one with textseq-train.", {})]


def _on_stderr(line: str) -> None:
    print(visible(line), file=sys.stderr)


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The flags of a command that uses a model."""

    task: ClassVar[str]

    model: tuple[str, ...] = option((), metavar="NAME")
    """A model that ships with textseq, the name of a run, or a model's folder (see --list-models)."""
    precision: Precision = "float32"
    """Number format of the matrix products: int8 (text generators and translators, on CPUs) and bfloat16 (classifiers)
    are faster; the output may differ slightly."""
    device: str = option("cpu", metavar="DEVICE")
    """Where to compute: cpu, cuda, cuda:1, mps, or auto (a GPU if there is one)."""
    json: bool = False
    """Write JSON, also with --list-models: an object per line."""
    list_models: bool = option(False, show=show_models)
    """List the models that can be used here, and exit."""

    def models(self, prog: str) -> tuple[str, ...]:
        """What ``--model`` names; if nothing, the only model there is, or an error that lists them."""
        if self.model:
            return self.model
        names = [entry.name for entry in list_models(self.task)]
        if len(names) == 1:
            print(f"note: no --model is named; {names[0]} is the only one", file=sys.stderr)
            return tuple(names)
        hint = (
            f"there are {', '.join(names)}; {prog} --list-models describes them"
            if names
            else "train one with textseq-train"
        )
        raise TextseqError(f"--model: expected the name of {task_named(self.task).noun}, got nothing; {hint}")

    def single_model(self, prog: str) -> str:
        """What ``--model`` names, where only one is possible."""
        name, *others = self.models(prog)
        if others:
            raise TextseqError(f"--model: expected one name, got {' '.join(self.model)}; leave out {' '.join(others)}")
        return name


def model_line(entry: ModelEntry) -> str:
    """Name, labels or languages, corpus, score, place."""
    info = entry.info
    if entry.condition:
        return f"{entry.name}  one of the {len(info.labels)} authors of the model in {entry.folder.name}"
    about = [info.corpus.title]
    if info.source_language:
        about.insert(0, f"{info.source_language} to {info.target_language}")
    if info.labels:
        about[0] = f"{', '.join(info.labels)}; {about[0]}"
    return f"{entry.name}  {', '.join([*about, *score(info.results)])} ({entry.origin})"


def _record(entry: ModelEntry) -> dict[str, object]:
    """The same for ``--json``."""
    info = entry.info
    return {
        "name": entry.name,
        "task": info.task,
        "corpus": info.corpus.name,
        "title": info.corpus.title,
        "source_language": info.source_language,
        "target_language": info.target_language,
        "labels": info.labels,
        **({"condition": entry.condition} if entry.condition else {}),
        "results": info.results,
        "folder": str(entry.folder),
        "shipped": entry.shipped,
    }


def score(results: Sequence[Mapping[str, object]]) -> list[str]:
    """The number by which models of a task are compared, with its name; no item without results."""
    for row in results:
        if row.get("measure") == "BLEU" and isinstance(score := row.get("score"), float):
            return [f"BLEU {score:.1f}"]
        numbers = {"f1": "F1 {:.1%}", "accuracy": "accuracy {:.1%}", "nats_per_token": "{:.3f} nats per token"}
        for key, text in numbers.items():
            if isinstance(value := row.get(key), float):
                return [text.format(value)]
    return []
