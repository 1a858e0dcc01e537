"""Training recipes: the settings of a run, by name. One TOML file per number that we report."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict, cast, get_args

from textseq.config.names import Task
from textseq.errors import TextseqError, unknown
from textseq.io.files import read_text, toml_of

FOLDER = Path(__file__).parents[1] / "recipes"

KEYS: dict[str, type] = dict.fromkeys(("title", "corpus", "task", "from", "source", "target"), str)

KEYS |= dict.fromkeys(("model", "data", "training"), dict)
"""The keys of a recipe and what they hold in TOML."""


TrainingRecipe = TypedDict(
    "TrainingRecipe",
    {
        "title": str,
        "corpus": str,
        "task": str,
        "from": str,
        "source": str,
        "target": str,
        "model": dict[str, object],
        "data": dict[str, object],
        "training": dict[str, object],
    },
    total=False,
)
"""What a recipe may state."""


def recipes() -> dict[str, str]:
    """The title of every recipe that ships, by name."""
    return {path.stem: read_recipe(path.stem).get("title", "") for path in sorted(FOLDER.glob("*.toml"))}


def read_recipe(name: str) -> TrainingRecipe:
    """A recipe by name or file: its title, corpus, and tables ``model``, ``data`` and ``training``.

    Which settings the tables may have depends on the task, which is that of the corpus unless the recipe says another,
    or of the files that a recipe without a corpus is used with. Of a corpus of sentence pairs a recipe says the
    languages too, ``source`` and ``target``. ``from`` names the model to begin with: that of the recipe of this name.

    Raises:
        TextseqError: an unknown recipe or key (nearest match offered), or a file that is not TOML.
    """
    path = Path(name) if Path(name).is_file() else FOLDER / f"{name}.toml"
    if not path.is_file():
        raise unknown("recipe", name, {recipe.stem for recipe in FOLDER.glob("*.toml")})
    try:
        recipe = toml_of(read_text(path))
    except OSError as error:
        raise TextseqError(f"cannot read {path}: {error.strerror or error}; make it readable") from None
    except ValueError as error:
        raise TextseqError(f"{path} is no TOML: {error}; mend the place it names") from None
    for key, value in recipe.items():
        if key not in KEYS:
            raise unknown(f"key in the recipe {path}", key, KEYS)
        if not isinstance(value, KEYS[key]):
            kind = "a table" if KEYS[key] is dict else "a string"
            raise TextseqError(f"the recipe {path} wants {kind} for '{key}', found {value!r}; mend it")
    if recipe.get("task") not in (None, *get_args(Task)):
        raise unknown(f"task in the recipe {path}", str(recipe["task"]), get_args(Task))
    return cast(TrainingRecipe, recipe)
