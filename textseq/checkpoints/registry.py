"""Models by name: the user's runs and the models that ship with the package. No torch here.

A run is ``runs/NAME``. Each checkpoint in it is a folder, ``last-3`` or ``best-2``; see ``checkpoint``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from textseq.checkpoints.hub import download_model, is_hub_name
from textseq.checkpoints.model_info import ModelInfo, read_info
from textseq.config.recipes import read_recipe, recipes
from textseq.data.corpora.catalog import read_recipe as read_corpus_recipe
from textseq.data.corpora.catalog import recipe_files
from textseq.data.rows import normal_label
from textseq.errors import TextseqError, unknown
from textseq.io.paths import runs_folder

log = logging.getLogger("textseq")

Kind = Literal["last", "best"]
SHIPPED = Path(__file__).parents[1] / "pretrained"


@dataclass(frozen=True)
class ModelEntry:
    """A model that ``load`` finds by name."""

    name: str
    folder: Path
    info: ModelInfo
    shipped: bool
    condition: str = ""
    """The label that it writes under, if the entry is for that (see ``list_authors``)."""

    @property
    def origin(self) -> str:
        """Where it comes from, for lists."""
        return "ships with textseq" if self.shipped else f"trained here, {self.folder}"


def numbered(run: Path, kind: Kind) -> dict[int, Path]:
    """Complete checkpoints of a kind in a run, by number."""
    folders = {}
    for path in run.glob(f"{kind}-*"):
        number = path.name.removeprefix(f"{kind}-")
        if number.isdecimal() and path.is_dir():
            folders[int(number)] = path
    return folders


def newest(run: Path, kind: Kind) -> Path | None:
    """Folder of the newest checkpoint of a kind, if any."""
    folders = numbered(run, kind)
    return folders[max(folders)] if folders else None


def model_folder(place: Path) -> Path | None:
    """The folder itself if it holds a model, or a run's best or last checkpoint; None if there is none."""
    return place if (place / "config.json").is_file() else newest(place, "best") or newest(place, "last")


def find_run(name: str) -> Path:
    """Folder of a run, by path or name; it may not exist."""
    return Path(name) if newest(Path(name), "last") else runs_folder() / name


def find_model(name: str, task: str | None = None, *, labels: bool = False) -> Path:
    """Model folder of a path, a run's name or a shipped name, searched in this order, or of ``hf://user/model``.

    Logs a warning if a run shadows a shipped model.

    Args:
        name: the path or name.
        task: the task of the models that an error lists; None lists all.
        labels: an error also lists the labels of conditional language models.

    Raises:
        TextseqError: a folder without a model, or an unknown name (nearest match offered).
    """
    if is_hub_name(name):
        return download_model(name)
    run, shipped = runs_folder() / name, SHIPPED / name
    candidates = (Path(name),) if name in {".", ".."} else (Path(name), run, shipped)
    places = [place for place in candidates if name and place.is_dir()]
    for place in places:
        folder = model_folder(place)
        if folder is not None:
            if place is run and shipped.is_dir():
                log.warning("note: the run %s shadows the model '%s' that ships with textseq", run, name)
            return folder
    if places:
        raise TextseqError(
            f"{places[0]} is not a model: it holds neither config.json nor a checkpoint; name a run or a model folder"
        )
    if os.sep in name:
        raise TextseqError(f"no model folder at {name}; give a run's name, a shipped name or the path of a folder")
    names = {entry.name for entry in [*list_models(task), *(list_authors() if labels else ())]}
    if task == "classification":  # who wrote a text
        names |= {entry.name for entry in list_models("language-model") if entry.info.labels}
    known = unknown("model", name, names)
    error = f"{known} (searched: this folder, {runs_folder()}, what ships with textseq)"
    if name in recipes() and task in (None, _task_of_recipe(name)):
        raise TextseqError(f"{error}; the recipe '{name}' trains one: textseq-train --recipe {name} --name {name}")
    if name in recipe_files() and task in (None, _task_of_corpus(name)):
        raise TextseqError(f"{error}; '{name}' is a corpus to train one on: textseq-train {name}")
    raise TextseqError(error)


def _task_of_corpus(name: str) -> str | None:
    """The task of a corpus, or of the first of several ("a+2*b")."""
    first = name.partition("+")[0].rpartition("*")[2]
    text = recipe_files().get(first)
    return None if text is None else read_corpus_recipe(first, text).task


def _task_of_recipe(name: str) -> str | None:
    """The task of a shipped recipe: its own, or that of its corpus."""
    recipe = read_recipe(name)
    return recipe.get("task") or _task_of_corpus(recipe.get("corpus", ""))


def find_labels(labels: str) -> Path | None:
    """Folder of the language model that is conditioned on a label, or on all of shares such as "austen=0.7,poe=0.3".

    Of several models that know it, one's own goes before those that ship, as runs do before models of the same name.
    None for other names, and for a path: "./austen" is one, "austen" is an author even where a file has this name.

    Raises:
        TextseqError: shares of an unknown label (nearest match offered), or of labels of different models.
    """
    if labels in {".", ".."} or (os.sep in labels and Path(labels).exists()):
        return None
    models = sorted(
        (entry for entry in list_models("language-model") if entry.info.labels), key=lambda entry: entry.shipped
    )
    if not any(labels in entry.info.labels for entry in models):  # older models may have labels in other forms
        labels = normal_label(labels)
    whole = any(labels in entry.info.labels for entry in models)
    names = [labels] if whole else label_names(labels)
    fitting = [entry for entry in models if {*names} <= {*entry.info.labels}]
    if len(fitting) > 1:
        others = ", ".join(entry.name for entry in fitting[1:])
        log.warning("note: '%s' is read as a label of the model %s; known too: %s", labels, fitting[0].name, others)
    if not fitting and "=" in labels:
        known = {label for entry in models for label in entry.info.labels}
        for name in names:
            if name not in known:
                raise unknown("author", name, known)
        raise TextseqError(f"expected shares of authors whom one model knows, got '{labels}'; see --list-authors")
    return fitting[0].folder if fitting else None


def label_names(labels: str) -> list[str]:
    """The labels that shares name; of a label alone itself.

    Example:
        >>> label_names("austen=0.7, poe=0.3")
        ['austen', 'poe']
    """
    return [part.rpartition("=")[0].strip() or part.strip() for part in split_shares(labels)]


def split_shares(shares: str) -> list[str]:
    """The parts of shares, divided at the commas after a share: a label may have a comma, too.

    Example:
        >>> split_shares("Keats, John=0.5,Blake=0.5")
        ['Keats, John=0.5', 'Blake=0.5']
    """
    parts: list[str] = []
    for piece in shares.split(","):
        if parts and "=" not in parts[-1]:
            parts[-1] += f",{piece}"
        else:
            parts.append(piece)
    return parts


def find_model_or_labels(name: str) -> tuple[Path, str | None]:
    """``find_model``, and where that finds nothing ``find_labels``, with the labels; errors are ``find_model``'s."""
    try:
        return find_model(name, labels=True), None
    except TextseqError:
        folder = find_labels(name)
        if folder is None:
            raise
        return find_model(str(folder)), name


def list_authors(*, report: Callable[[str], object] = lambda line: None) -> list[ModelEntry]:
    """What writes without a condition: language models, and for each label of conditional ones an entry of its name.

    A model of the name of a label goes before it. ``report`` is as of ``list_models``.
    """
    entries = list_models("language-model", report=report)
    authors = {entry.name: entry for entry in entries if not (entry.info.labels or entry.info.vector_size)}
    for entry in sorted(entries, key=lambda entry: entry.shipped):
        for label in entry.info.labels:
            authors.setdefault(label, replace(entry, name=label, condition=label))
    return [*authors.values()]


def list_models(task: str | None = None, *, report: Callable[[str], object] = lambda line: None) -> list[ModelEntry]:
    """Models that can be loaded by name, shipped ones first; unreadable ones are left out.

    Args:
        task: only models of this task.
        report: called with a line for each that cannot be read.
    """
    entries: dict[str, ModelEntry] = {}
    for home, shipped in ((SHIPPED, True), (runs_folder(), False)):
        for place in sorted(home.iterdir()) if home.is_dir() else ():
            try:
                folder = model_folder(place) if place.is_dir() and not place.name.startswith(".") else None
                if folder is not None:
                    entries[place.name] = ModelEntry(place.name, place, read_info(folder), shipped)
            except (TextseqError, OSError) as error:
                report(f"note: {place} is left out, as it cannot be read: {error}")
    return [entry for entry in entries.values() if task in (None, entry.info.task)]
