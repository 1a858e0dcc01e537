"""The documents are right: their Python runs, their flags, files and links exist, the picture shows the imports."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")] + sorted(
    ROOT.glob("docs/*.md")
)
FOLDERS = ("benchmarks", "cli", "corpora", "docs", "examples", "tests", "textseq")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in a language; "" for none."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", ["README.md", "docs/own_networks.md", "docs/translation.md"])
def test_python_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    namespace: dict[str, object] = {}
    codes = [code for code in blocks(ROOT / name, "python") if "download=True" not in code]
    assert codes
    for code in codes:
        exec(compile(code, name, "exec"), namespace)


def help_of(command: str, *arguments: str) -> str:
    """What a command prints and exits with."""
    module = import_module(f"textseq.cli.{command}")
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        patch.setattr("sys.argv", [f"textseq-{command}", *arguments])
        module.main()
    return out.getvalue()


TASKS = ("language-model", "translation", "classification", "tagging")
FOREIGN = {"--nproc-per-node", "--gpu-step-ms", "--strict"}
"""Flags of other programs and of a benchmark."""


@pytest.fixture(scope="module")
def flags() -> dict[str, set[str]]:
    """The flags of each command, from its help."""
    names = ("sample", "translate", "classify", "tag", "evaluate", "serve", "export")
    helps = {name: help_of(name, "--help-all") for name in names}
    helps["train"] = "".join(help_of("train", "--task", task, "--help-all") for task in TASKS)
    return {name: {"--help", "--help-all", *re.findall(r"--[a-z][\w-]+", text)} for name, text in helps.items()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_flags_exist(page: Path, flags: dict[str, set[str]]) -> None:
    for line in "\n".join(blocks(page, "")).splitlines():
        for command, arguments in re.findall(r"textseq(?:-|\.cli\.)(\w+)([^|<>]*)", line):
            assert set(re.findall(r"--[a-z][\w-]+", arguments)) <= flags[command], line
    inline = re.findall(r"`[^`\n]*`", page.read_text(encoding="utf-8"))
    assert set(re.findall(r"--[a-z][\w-]+", " ".join(inline))) - FOREIGN <= set().union(*flags.values())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_and_links_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) + re.findall(r'src="([^"]+)"', text):
        assert link.startswith("http") or (page.parent / link).exists(), link
    files = [str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*.*")]
    for name in re.findall(r"`([\w*/.-]+\.(?:py|toml|svg))(?: [^`]*)?`", text):
        assert any(fnmatch(file, f"*{name}") for file in files) or (ROOT / name).exists(), name


def test_the_picture_shows_the_imports() -> None:
    drawn = runpy.run_path(str(ROOT / "docs/architecture.py"))["svg"]()
    assert (ROOT / "docs/architecture.svg").read_text(encoding="utf-8") == drawn, "run: python docs/architecture.py"
