"""The house stands as CONTRIBUTING says: a module imports only those above it, and commands start light."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import textseq

ROOT = Path(__file__).parents[1]

ORDER = [
    "version", "errors", "ranks", "plain", "files", "settings",
    "config.data", "config.decoding", "config.models", "config.training", "config",
    "command", "corpus_recipes", "fetch", "plays", "editions", "documents",
    "lines", "corpus", "shards", "line_work", "vectors", "vector_files",
    "faults", "pair_split", "pair_files", "pairs", "labelled_files", "labelled_formats", "shares", "labelled",
    "tagged_files", "tagged", "word_tests",
    "tokenizer", "characters", "units", "words", "subwords", "text", "short_list", "vocabularies", "lexicon", "tokens",
    "batches", "pair_batches", "text_batches", "tag_batches",
    "reference", "parameters", "embedding", "cells", "dropout", "unroll", "quantized", "packed", "layer", "graphs",
    "attention", "additive_gpu", "additive", "gru", "flagged", "recurrent", "attentive", "losses", "pooling", "crf",
    "models.language_model", "models.translation_model", "models.classifier_model",
    "models.tagger_model", "models", "shelf", "checkpoint",
    "decoding.bias", "decoding.rules", "decoding.sampling", "decoding.beam", "decoding.ensemble", "decoding.stopping",
    "decoding.ctc",
    "decoding",
    "devices", "metrics", "translation_metrics", "label_metrics", "plots", "attention_plots",
    "optimizers", "progress", "processes", "learner", "batch_size", "averaging", "run_log", "training",
    "model_card", "painting", "surprise",
    "explaining", "writing", "translation", "sources", "translating", "classifying", "tagging", "jobs",
    "recipe", "origin", "novelty", "provenance", "launch", "writer_runs", "translation_runs", "classifier_runs",
    "classifier_rounds", "tagger_runs", "runs",
]  # fmt: skip
"""Every module, in import order: as the map in CONTRIBUTING.md lists them."""


def modules(folder: Path) -> dict[str, Path]:
    """The dotted name of every module below a folder, and its file."""
    names = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imported(path: Path) -> set[str]:
    """The modules of textseq that a file imports, at the top or inside a function; type-only imports too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module or ""
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return {name.removeprefix("textseq.") for name in found if name.startswith("textseq.")}


def test_every_module_stands_in_the_order() -> None:
    assert set(modules(ROOT / "textseq")) - {""} == set(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_imports_point_up(name: str) -> None:
    place = ORDER.index(name)
    for other in imported(modules(ROOT / "textseq")[name]) & set(ORDER):
        assert ORDER.index(other) < place, f"textseq.{name} imports textseq.{other}, which stands below it"


def test_commands_import_textseq_only_and_never_each_other() -> None:
    for path in (ROOT / "cli").glob("*.py"):
        for name in imported(path):
            assert not name.startswith("cli"), f"{path} imports textseq.{name}"


def test_nothing_pickles_or_prints_in_the_library() -> None:
    for path in (ROOT / "textseq").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert "pickle" not in names, f"{path} imports pickle"
            talks = path.name in {"command.py", "line_work.py"}  # what the commands share
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not talks:
                assert node.func.id != "print", f"{path}:{node.lineno} prints"


def test_the_public_names_are_there_and_listed() -> None:
    assert sorted(textseq.__all__, key=str.lower) == sorted(set(textseq.__all__), key=str.lower)
    for name in textseq.__all__:
        assert getattr(textseq, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'sing'"):
        getattr(importlib.import_module("textseq"), "sing")  # noqa: B009


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("textseq.cli.train", ["--help"]),
        ("textseq.cli.train", ["--task", "translator", "--help"]),
        ("textseq.cli.train", ["--recipe", "multi30k-en-de", "--help"]),
        ("textseq.cli.train", ["--list-corpora"]),
        ("textseq.cli.train", ["--list-recipes"]),
        ("textseq.cli.sample", ["--help"]),
        ("textseq.cli.sample", ["--list-authors"]),
        ("textseq.cli.sample", ["--version"]),
        ("textseq.cli.translate", ["--help"]),
        ("textseq.cli.translate", ["--list-models"]),
        ("textseq.cli.evaluate", ["--help"]),
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
