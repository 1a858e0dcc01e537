"""Training recipes: the settings of a run, by name. One TOML file per number that we report."""

from __future__ import annotations

import tomllib
from pathlib import Path

from textseq.errors import TextseqError, unknown

FOLDER = Path(__file__).parent / "recipes"
KEYS = {"title", "corpus", "model", "data", "training"}


def recipes() -> dict[str, str]:
    """The title of every recipe that ships, by name."""
    return {path.stem: str(read_recipe(path.stem).get("title", "")) for path in sorted(FOLDER.glob("*.toml"))}


def read_recipe(name: str) -> dict[str, object]:
    """A recipe by name or file: its title, corpus, and tables ``model``, ``data`` and ``training``.

    Raises:
        TextseqError: an unknown recipe or key (nearest match offered), or a file that is not TOML.
    """
    path = Path(name) if Path(name).is_file() else FOLDER / f"{name}.toml"
    if not path.is_file():
        raise unknown("recipe", name, {recipe.stem for recipe in FOLDER.glob("*.toml")})
    try:
        recipe = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TextseqError(f"{path} is no TOML: {error}; mend the place it names") from None
    for key in recipe:
        if key not in KEYS:
            raise unknown(f"key in the recipe {path}", key, KEYS)
    return recipe
