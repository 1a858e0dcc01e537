"""The documents are right: Python and the README's commands run, flags, files and links exist, the site builds."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import runpy
import shlex
from fnmatch import fnmatch
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from children import Child

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs").glob("[gr]*/*.md"))]
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md", *DOCS]
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
FOLDERS = ("benchmarks", "cli", "corpora", "docs", "examples", "tests", "textseq")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in a language; "" for none."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def runnable(page: Path) -> list[str]:
    """The Python blocks of a page that need no download, no account and no run of the reader's."""
    needs = ("download=True", 'load("mine")', 'load("poets")', "runs/")
    return [code for code in blocks(page, "python") if not any(word in code for word in needs)]


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=lambda page: page.stem)
def test_python_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    namespace: dict[str, object] = {}
    for code in runnable(page):
        exec(compile(code, page.name, "exec"), namespace)


def help_of(command: str, *arguments: str) -> str:
    """What a command prints and exits with."""
    module = import_module(f"textseq.cli.{command}")
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        patch.setattr("sys.argv", [f"textseq-{command}", *arguments])
        module.main()
    return out.getvalue()


README_COMMANDS = re.findall(r"^\$ (.*)\n((?:(?!\$ |```).*\n)*)", README.read_text(encoding="utf-8"), re.MULTILINE)
"""The README's commands, each with the output that it shows."""


@pytest.mark.parametrize(("line", "shown"), README_COMMANDS, ids=[line.split()[-1] for line, _ in README_COMMANDS])
def test_the_readme_shows_what_its_commands_print(
    line: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    *echo, command = line.split(" | ")
    program, *arguments = shlex.split(command)
    typed = "".join(shlex.split(part)[1] + "\n" for part in echo)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXTSEQ_HOME", str(tmp_path))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
    with pytest.raises(SystemExit) as end:
        import_module(f"textseq.cli.{program.removeprefix('textseq-')}").main(arguments)
    assert (end.value.code or 0, capfd.readouterr().out) == (0, shown)


def test_the_readme_is_short_and_says_what_is_downloaded() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(README_COMMANDS) == 4 and text.count("\n") <= 150
    for line in "\n".join(blocks(README, "")).splitlines():
        assert not line.startswith("textseq-train") or "--download" in line, line


TASKS = ("language-model", "translation", "classification", "tagging")
FOREIGN = {"--nproc-per-node", "--rm", "--strict", "--torch-backend"}
FOREIGN |= {"--alone-minutes", "--batches", "--gpu-step-ms", "--minutes", "--parameters", "--rounds", "--steps"}
"""Flags of other programs and of benchmarks."""


@pytest.fixture(scope="module")
def flags() -> dict[str, set[str]]:
    """The flags of each command, from its help."""
    names = ("sample", "translate", "classify", "tag", "evaluate", "serve", "export")
    helps = {name: help_of(name, "--help-all") for name in names}
    helps["train"] = "".join(help_of("train", "--task", task, "--help-all") for task in TASKS)
    return {name: {"--help", "--help-all", *re.findall(r"--[a-z][\w-]+", text)} for name, text in helps.items()}


@EVERY_PAGE
def test_flags_exist(page: Path, flags: dict[str, set[str]]) -> None:
    for line in "\n".join(blocks(page, "")).splitlines():
        for command, arguments in re.findall(r"textseq(?:-|\.cli\.)(\w+)([^|<>]*)", line):
            assert set(re.findall(r"--[a-z][\w-]+", arguments)) <= flags[command], line
    inline = re.findall(r"`[^`\n]*`", page.read_text(encoding="utf-8"))
    assert set(re.findall(r"--[a-z][\w-]+", " ".join(inline))) - FOREIGN <= set().union(*flags.values())


@EVERY_PAGE
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


def test_the_site_builds_and_has_every_public_name(tmp_path: Path) -> None:
    for module in ("sphinx", "myst_parser", "furo"):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed; install the extra textseq[docs]")
    code = "import sys; sys.dont_write_bytecode = True\nfrom sphinx.cmd.build import main; sys.exit(main(sys.argv[1:]))"
    flags = ["-W", "-q", "-t", "quick", "-D", "html_theme=basic", "-d", str(tmp_path / "trees")]
    folders = [str(ROOT / "docs"), str(tmp_path / "site")]
    child = Child(code, [*flags, *folders], {**os.environ, "TEXTSEQ_HOME": str(tmp_path)})
    _, err = child.communicate(timeout=300)
    assert (child.returncode, err) == (0, ""), err[-2000:]
    from sphinx.util.inventory import InventoryFile

    inventory = InventoryFile.loads((tmp_path / "site" / "objects.inv").read_bytes(), uri="")
    described = {name for kind, names in inventory.data.items() if kind.startswith("py:") for name in names}
    for wing in ("textseq", "textseq.tokenizers", "textseq.nn", "textseq.decoding", "textseq.training"):
        public = set(import_module(wing).__all__) - {"__version__"}
        assert {f"{wing}.{name}" for name in public} <= described
    help_page = (tmp_path / "site/reference/commands.html").read_text(encoding="utf-8")
    assert "--layer-decay" in help_page
    assert "sienkiewicz" in (tmp_path / "site/corpora.html").read_text(encoding="utf-8")
    for lesson in sorted((ROOT / "examples").glob("lesson_*.py")):
        (file,) = (tmp_path / "site/_downloads").glob(f"*/{lesson.stem}.ipynb")
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        codes = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
        assert codes and all(code in lesson.read_text(encoding="utf-8") for code in codes)
