"""Benchmarks are not run in tests; that they read only options that they define is checked in their source."""

from __future__ import annotations

import ast
from pathlib import Path

import bench
import gpu_agreement
import pytest
from torch import Tensor

from textseq.nn.kernels.linear_cross_entropy import linear_cross_entropy

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SHARED = "sides.py"  # its parser is that of several benchmarks


def options(path: Path) -> set[str]:
    """The names under which the arguments of a script are found."""
    return {
        str(word.value).removeprefix("--").replace("-", "_")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument"
        for word in node.args
        if isinstance(word, ast.Constant)
    }


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.name)
def test_options_that_are_read_are_defined(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    read = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "o"
    }
    assert read <= options(path) | options(BENCHMARKS / SHARED)


def test_without_corpora_the_table_says_first_what_it_leaves_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TEXTSEQ_DATA", raising=False)
    monkeypatch.setattr("sys.argv", ["bench.py", "--only", "tokenizer_speed", "sst2", "--dry"])
    with pytest.raises(SystemExit) as ended:
        bench.main()
    first, *rest = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0
    assert first.startswith("TEXTSEQ_DATA names no folder of corpora, so these are left out: tokenizer_speed.py --")
    assert sum(line.startswith("Not measured: `") for line in rest) == 2


@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_a_path_that_disagrees_with_its_reference_is_found(
    factor: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def scaled(x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        nats, penalty = linear_cross_entropy(x, weight, bias, targets)
        return nats * factor, penalty

    monkeypatch.setattr(gpu_agreement, "linear_cross_entropy", scaled)
    monkeypatch.setattr("sys.argv", ["gpu_agreement.py", "--device", "cpu", "--only", "losses", "decoders"])
    with pytest.raises(SystemExit) as ended:
        gpu_agreement.main()
    said = capsys.readouterr().out
    assert ended.value.code == (factor != 1.0)
    assert said.count(" ok\n") == 6 - (factor != 1.0) and ("BEYOND" in said) == (factor != 1.0)
