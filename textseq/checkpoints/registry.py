"""Where models lie and what they are called: the user's runs, and what ships with the package. No torch here.

A run is ``runs/NAME``. In it each checkpoint is one folder, ``last-3`` or ``best-2``; see ``checkpoint``.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from textseq.errors import TextseqError, unknown
from textseq.io.files import json_of, read_text
from textseq.io.paths import runs_folder

log = logging.getLogger("textseq")


Kind = Literal["last", "best"]

Facts = dict[str, object]
"""Plain data about a model, as it stands in ``config.json``."""


SHIPPED = Path(__file__).parents[1] / "pretrained"


@dataclass(frozen=True)
class ModelEntry:
    """A model that ``load`` finds by name."""

    name: str
    place: Path
    facts: Facts
    shipped: bool


def numbered(run: Path, kind: Kind) -> dict[int, Path]:
    """Every whole checkpoint of a kind in a run, by its number."""
    found = {}
    for path in run.glob(f"{kind}-*"):
        number = path.name.removeprefix(f"{kind}-")
        if number.isdecimal() and path.is_dir():
            found[int(number)] = path
    return found


def newest(run: Path, kind: Kind) -> Path | None:
    """The folder of a run's newest checkpoint of a kind, if there is one."""
    found = numbered(run, kind)
    return found[max(found)] if found else None


def model_folder(place: Path) -> Path | None:
    """The model in a folder: itself, or a run's best checkpoint, or its last; None if there is none."""
    return place if (place / "config.json").is_file() else newest(place, "best") or newest(place, "last")


def find_run(name: str) -> Path:
    """The folder of a run, by its path or its name; whether there is one is for the caller to see."""
    return Path(name) if newest(Path(name), "last") else runs_folder() / name


def find_model(name: str) -> Path:
    """The model folder of a path, a run's name or a shipped name, looked for in this order.

    A run that hides a shipped name is said through ``logging``.

    Raises:
        TextseqError: a folder without a model, or an unknown name (nearest match offered).
    """
    run, shipped = runs_folder() / name, SHIPPED / name
    candidates = (Path(name),) if name in {".", ".."} else (Path(name), run, shipped)
    places = [place for place in candidates if name and place.is_dir()]
    for place in places:
        folder = model_folder(place)
        if folder is not None:
            if place is run and shipped.is_dir():
                log.warning("note: the run %s hides the model '%s' that ships with textseq", run, name)
            return folder
    if places:
        raise TextseqError(
            f"{places[0]} is no model: it holds neither config.json nor a checkpoint; name a run or a model folder"
        )
    if os.sep in name:
        raise TextseqError(f"no model folder at {name}; give a run's name, a shipped name or the path of a folder")
    raise unknown("model", name, {model.name for model in shelf()})


def shelf() -> list[ModelEntry]:
    """Every model that can be loaded by name, shipped ones first; damaged ones are left out."""
    found: dict[str, ModelEntry] = {}
    for home, shipped in ((SHIPPED, True), (runs_folder(), False)):
        for place in sorted(home.iterdir()) if home.is_dir() else ():
            folder = model_folder(place) if place.is_dir() and not place.name.startswith(".") else None
            if folder is None:
                continue
            try:
                found[place.name] = ModelEntry(place.name, place, read_json(folder / "config.json"), shipped)
            except TextseqError:
                continue
    return list(found.values())


def read_json(path: Path) -> Facts:
    """Read a JSON object.

    Raises:
        TextseqError: a file that is missing, unreadable or not a JSON object.
    """
    try:
        facts = json_of(read_text(path))
    except FileNotFoundError:
        raise TextseqError(f"{path} is missing; restore the folder or train the model again") from None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise TextseqError(f"{path} is damaged ({reason}); restore the folder or train the model again") from None
    if not isinstance(facts, dict):
        raise TextseqError(f"{path} is damaged: a JSON object was wanted, found {type(facts).__name__}; restore it")
    return facts


def models_of_task(task: str) -> list[ModelEntry]:
    """The models that there are for a task."""
    return [model for model in shelf() if model.facts.get("task") == task]


def told_apart(model: ModelEntry) -> str:
    """A line about a model that gives labels: which, learnt from what, and how often they are right."""
    corpus, results, labels = (model.facts.get(key) for key in ("corpus", "results", "labels"))
    title = corpus.get("title") if isinstance(corpus, dict) else None
    rows = [row for row in results if isinstance(row, dict)] if isinstance(results, list) else []
    accuracy = next((f", accuracy {found:.1%}" for row in rows if isinstance(found := row.get("accuracy"), float)), "")
    where = "ships with textseq" if model.shipped else f"trained here, {model.place}"
    names = ", ".join(map(str, labels)) if isinstance(labels, list) else "unknown labels"
    return f"{model.name}  {names}; {title or 'unknown texts'}{accuracy} ({where})"
