"""Training recipes: the settings of a run, by name. One TOML file per reported result."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TypedDict, cast, get_args, get_origin, get_type_hints

from textseq.config.names import Task
from textseq.errors import TextseqError, unknown
from textseq.io.extras import optional
from textseq.io.files import read_text, toml_of

FOLDER = Path(__file__).parents[1] / "recipes"

YAML_TYPES = {
    "tag:yaml.org,2002:float": (
        re.compile(
            r"[-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?$|[-+]?\d+[eE][-+]?\d+$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
        ),
        "-+.0123456789",
    ),
    "tag:yaml.org,2002:int": (re.compile(r"([-+]?\d+|0o[0-7]+|0x[0-9a-fA-F]+)$"), "-+0123456789"),
    "tag:yaml.org,2002:bool": (re.compile(r"(true|True|TRUE|false|False|FALSE)$"), "tTfF"),
}
"""Types that YAML 1.2 writes otherwise than YAML 1.1: how, and with which first characters."""

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
"""The keys of a recipe and their types."""


def recipes() -> dict[str, str]:
    """The titles of the shipped recipes, by name."""
    return {path.stem: read_recipe(path.stem).get("title", "") for path in sorted(FOLDER.glob("*.toml"))}


def read_recipe(name: str) -> TrainingRecipe:
    """A recipe by name or file.

    The tables ``model``, ``data`` and ``training`` hold settings of its task: ``task``, or by default that of the
    corpus, or of the files it is used with. ``source`` and ``target`` are the languages of a corpus of sentence pairs.
    ``from`` is the model to start from: the one trained by the recipe of this name.

    Raises:
        TextseqError: an unknown recipe or key (nearest match offered), or a file that is not TOML or, with the ending
            .yaml or .yml, not YAML.
    """
    path = Path(name) if Path(name).is_file() else FOLDER / f"{name}.toml"
    if not path.is_file():
        raise unknown("recipe", name, {recipe.stem for recipe in FOLDER.glob("*.toml")})
    language, parse = ("YAML", _yaml_parser()) if path.suffix in (".yaml", ".yml") else ("TOML", toml_of)
    try:
        recipe = parse(read_text(path))
    except OSError as error:
        raise TextseqError(f"cannot read {path}: {error.strerror or error}; make it readable") from None
    except ValueError as error:
        raise TextseqError(f"{path}: expected {language}: {error}; correct it there") from None
    types = get_type_hints(TrainingRecipe)
    for key, value in recipe.items():
        if key not in types:
            raise unknown(f"key in the recipe {path}", key, types)
        if not isinstance(value, get_origin(types[key]) or types[key]):
            kind = "a string" if types[key] is str else "a table"
            raise TextseqError(f"the recipe {path}: expected {kind} for '{key}', got {value!r}; correct it")
    if recipe.get("task") not in (None, *get_args(Task)):
        raise unknown(f"task in the recipe {path}", str(recipe["task"]), get_args(Task))
    return cast(TrainingRecipe, recipe)


def _yaml_parser() -> Callable[[str], dict[str, object]]:
    """What parses a table in YAML 1.2, where 4e-3 is a number and "on" a string; an error in it is a ValueError."""
    yaml = optional("yaml", "yaml", needed_for="a recipe in YAML")

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        """PyYAML's, which reads YAML 1.1, with the numbers and booleans of YAML 1.2."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in pairs if tag not in YAML_TYPES]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for tag, (pattern, first) in YAML_TYPES.items():
        Loader.add_implicit_resolver(tag, pattern, list(first))
    Loader.add_constructor(
        "tag:yaml.org,2002:int",
        lambda _, node: int(node.value, {"0o": 8, "0x": 16}.get(node.value[:2], 10)),
    )

    def parse(text: str) -> dict[str, object]:
        try:
            table = yaml.load(text, Loader)
        except (yaml.YAMLError, RecursionError) as error:
            raise ValueError(" ".join(str(error).split())) from None
        if not isinstance(table, dict):
            raise ValueError(f"a table of settings was expected, got {table!r:.50}")
        for key in chain(table, *(value for value in table.values() if isinstance(value, dict))):
            if not isinstance(key, str):
                raise ValueError(f"a name was expected as key, got {key!r:.50}")
        return table

    return parse
