"""What an install puts on a machine: textseq with its data, and nothing else that can be imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the package's wheel unpacks to."""
    folder = tmp_path_factory.mktemp("install")
    source = folder / "source"
    source.mkdir()
    for name in ("textseq", "cli", "corpora"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    done = subprocess.run(
        [*pip, "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_sdist_holds_all_that_is_tracked(tmp_path: Path) -> None:
    git = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT, check=False)
    if git.returncode:
        pytest.skip("needs a git checkout, to know which files are tracked")
    tracked = [name for name in git.stdout.splitlines() if (ROOT / name).exists()]
    for name in tracked:
        if not name.endswith(".safetensors"):  # large, and found by the same patterns as their neighbors
            (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / "source" / name)
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path / "source", check=False
    )
    assert done.returncode == 0, done.stderr
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    lacking = {name for name in tracked if name not in held and not name.endswith(".safetensors")}
    assert {name for name in lacking if not name.startswith((".", "MANIFEST"))} == set()
    assert not any("__pycache__" in name for name in held)


def python(code: str, site: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs code that sees the unpacked wheel before anything else."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {code}"],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": ""},
    )


def test_the_wheel_holds_textseq_alone(site: Path) -> None:
    tops = {path.name for path in site.iterdir()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"textseq"}
    assert (site / "textseq" / "py.typed").is_file()
    for folder, pattern in (("corpora", "*.toml"), ("recipes", "*.toml"), ("cli", "*.py")):
        here = {path.name for path in (ROOT / (folder if folder != "recipes" else "textseq/recipes")).glob(pattern)}
        there = {path.name for path in (site / "textseq" / folder).glob(pattern)}
        assert there >= here, folder


def test_only_textseq_can_be_imported(site: Path, tmp_path: Path) -> None:
    code = "import importlib.util as u; print([n for n in ('cli', 'corpora', 'tests', 'benchmarks') if u.find_spec(n)])"
    done = python(code, site, tmp_path)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_this_environment_imports_textseq_alone(tmp_path: Path) -> None:
    code = "import importlib.util as u; print([n for n in ('cli', 'corpora', 'tests', 'benchmarks') if u.find_spec(n)])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_an_installed_copy_lists_and_writes(site: Path, tmp_path: Path) -> None:
    code = (
        "import textseq, textseq.data.text; "
        f"assert textseq.__file__.startswith({str(site)!r}), textseq.__file__; "
        "assert 'shakespeare' in textseq.data.text.corpus_names(); "
        "print(len(textseq.load('shakespeare').generate('ROMEO:', max_new_tokens=20, seed=1)))"
    )
    done = python(code, site, tmp_path)
    assert (done.stdout.strip(), done.stderr) == ("26", "")
