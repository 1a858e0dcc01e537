"""A wing imports only wings above it, and commands start light."""

from __future__ import annotations

import ast
import graphlib
import importlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import textseq

ROOT = Path(__file__).parents[1]

WINGS = [
    "version", "errors", "io", "config", "tokenizers", "nn", "data", "checkpoints", "decoding", "training", "metrics",
    "tasks", "commands", "serve", "cli", "__main__",
]  # fmt: skip
"""In import order: a wing imports only itself and those before it."""
MOST_FILES = 13
"""Modules of a wing's folder, besides ``__init__``."""


def modules(folder: Path) -> dict[str, Path]:
    """The dotted name of every module below a folder, and its file."""
    names = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imported(path: Path, *, for_types: bool = True) -> set[str]:
    """The modules of textseq that a file imports, at the top or inside a function; those for types alone too."""
    found = set()
    tree = parsed(path)
    if not for_types:
        body = [node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))]
        tree = ast.Module(body, tree.type_ignores)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module or ""
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return {name.removeprefix("textseq.") for name in found if name.startswith("textseq.")}


def wing_of(name: str) -> str:
    """The wing that a module belongs to."""
    return name.split(".")[0]


def test_every_module_belongs_to_a_wing() -> None:
    assert {wing_of(name) for name in modules(ROOT / "textseq")} - {""} == set(WINGS) - {"cli"}


def test_no_wing_is_crowded() -> None:
    files: dict[Path, int] = {}
    for path in (ROOT / "textseq").rglob("*.py"):
        files[path.parent] = files.get(path.parent, 0) + (path.name != "__init__.py")
    assert max(files.values()) <= MOST_FILES, files


@pytest.mark.parametrize("wing", WINGS)
def test_imports_point_up(wing: str) -> None:
    place = WINGS.index(wing)
    everything = modules(ROOT / "textseq") | {f"cli.{name}": path for name, path in modules(ROOT / "cli").items()}
    for name, path in everything.items():
        if wing_of(name) != wing:
            continue
        for other in imported(path):
            assert wing_of(other) not in WINGS[place + 1 :], f"textseq.{name} imports textseq.{other}, a wing below it"


def test_no_module_imports_itself_by_a_detour() -> None:
    everything = modules(ROOT / "textseq")
    above = {
        name: imported(path, for_types=False) & set(everything) - {name} for name, path in everything.items() if name
    }
    order = graphlib.TopologicalSorter(above)
    assert set(order.static_order()) >= set(above)  # a CycleError names the circle


def test_commands_import_textseq_only_and_never_each_other() -> None:
    for path in (ROOT / "cli").glob("*.py"):
        for name in imported(path):
            assert not name.startswith("cli"), f"{path} imports textseq.{name}"


def test_nothing_pickles_or_prints_in_the_library() -> None:
    for path in (ROOT / "textseq").rglob("*.py"):
        for node in ast.walk(parsed(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert "pickle" not in names, f"{path} imports pickle"
            talks = path.parent.name == "commands"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not talks:
                assert node.func.id != "print", f"{path}:{node.lineno} prints"


def test_the_public_names_are_there_and_listed() -> None:
    assert sorted(textseq.__all__, key=str.lower) == sorted(set(textseq.__all__), key=str.lower)
    for name in textseq.__all__:
        assert getattr(textseq, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'sing'"):
        getattr(importlib.import_module("textseq"), "sing")  # noqa: B009


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("textseq.cli.train", ["--help"]),
        ("textseq.cli.train", ["--task", "translation", "--help"]),
        ("textseq.cli.train", ["--recipe", "multi30k-en-de", "--help"]),
        ("textseq.cli.train", ["--list-corpora"]),
        ("textseq.cli.train", ["--list-recipes"]),
        ("textseq.cli.sample", ["--help"]),
        ("textseq.cli.sample", ["--list-authors"]),
        ("textseq.cli.sample", ["--version"]),
        ("textseq.cli.translate", ["--help"]),
        ("textseq.cli.translate", ["--list-models"]),
        ("textseq.cli.evaluate", ["--help-all"]),
        ("textseq.cli.classify", ["--help"]),
        ("textseq.cli.classify", ["--list-models"]),
        ("textseq.cli.serve", ["--help-all"]),
        ("textseq.cli.tag", ["--print-completion", "bash"]),
        ("textseq.cli.main", ["--help"]),
    ],
)
def test_help_and_lists_load_nothing_heavy(module: str, arguments: list[str]) -> None:
    code = (
        f"import sys\nsys.argv = ['command', *{arguments!r}]\nfrom {module} import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'nltk', 'sentencepiece', 'matplotlib', 'sacrebleu'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_changelog_names_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = next(line for line in text.splitlines() if line.startswith("## [") and "Unreleased" not in line)
    assert newest.startswith(f"## [{textseq.__version__}]")
