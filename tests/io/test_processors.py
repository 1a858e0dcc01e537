"""How torch's threads wait, and how many there may be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from textseq.io import processors
from textseq.io.processors import WAITING, cpu_quota, usable_processors

LISTED = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k[:3] in ('OMP', 'GOM', 'KMP')}))"


def openmp_after(code: str, **variables: str) -> dict[str, str]:
    """OpenMP's variables in a new process that was started with these, after some code."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(processors.OPENMP)}
    command = [sys.executable, "-c", f"{code}; {LISTED}"]
    out = subprocess.run(command, env=others | variables, capture_output=True, text=True, check=True).stdout
    found: dict[str, str] = json.loads(out)
    return found


def test_importing_textseq_lets_threads_sleep_while_they_wait() -> None:
    found = openmp_after("import textseq")
    assert WAITING.items() <= found.items()


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "GOMP_CPU_AFFINITY", "OMP_WAIT_POLICY", "KMP_BLOCKTIME"])
def test_what_the_user_has_set_stands(name: str) -> None:
    value = {"OMP_WAIT_POLICY": "active"}.get(name, "1")
    assert openmp_after("import textseq", **{name: value}) == {name: value}


def test_a_program_that_has_loaded_torch_is_left_alone() -> None:
    assert openmp_after("import sys; sys.modules['torch'] = sys; import textseq") == {}


@pytest.mark.parametrize(("quota", "expected"), [(None, None), (8.0, None), (1.5, "2"), (0.2, "1")])
def test_no_more_threads_than_a_containers_quota(
    quota: float | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.setattr(sys, "modules", {name: module for name, module in sys.modules.items() if name != "torch"})
    monkeypatch.setattr(processors, "_scheduled", lambda: 8)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 8, raising=False)
    monkeypatch.setattr(processors, "cpu_quota", lambda: quota)
    processors.set_up_openmp()
    assert environment.get("OMP_NUM_THREADS") == expected


def test_the_limit_that_python_was_started_with_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "_scheduled", lambda: 8)
    monkeypatch.setattr(processors, "cpu_quota", lambda: None)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 3, raising=False)
    assert usable_processors() == (3 if sys.version_info >= (3, 13) else 8)


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        # a group is limited by those above it too
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "200000 100000\n", "cpu.max": "400000 100000"}, 2.0),
        # of a container on cgroup v1, whose own name is not visible inside
        ("4:memory:/\n2:cpu,cpuacct:/d/1\n", {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ("2:cpu:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("0::/x:y\n", {"unified/x:y/cpu.max": "300000 100000"}, 3.0),
        ("2:cpuset:/\n", {"cpuset/cpu.max": "100000 100000"}, None),
        ("0::/\n", {"cpu.max": "damaged"}, None),
        ("0::/\n", {"cpu.max": "100000 0"}, None),
        ("0::/\n", {}, None),
    ],
)  # fmt: skip
def test_quotas_of_containers(groups: str, files: dict[str, str], expected: float | None, tmp_path: Path) -> None:
    process, cgroups = tmp_path / "process", tmp_path / "cgroups"
    process.write_text(groups)
    for name, text in files.items():
        (cgroups / name).parent.mkdir(parents=True, exist_ok=True)
        (cgroups / name).write_text(text)
    assert cpu_quota(cgroups, process) == expected


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path, tmp_path / "missing") is None
