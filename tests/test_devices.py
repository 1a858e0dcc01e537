"""The number format of training is decided once, by what the device can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
import torch

from textseq import devices
from textseq.config import Precision, TrainingConfig
from textseq.devices import pick_precision


@pytest.mark.parametrize(("has", "wanted"), [(True, "bfloat16"), (False, "float32")])
def test_auto_follows_the_cpu(has: bool, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_cpu_has_bfloat16", lambda: has)
    assert pick_precision(TrainingConfig(device="cpu")).precision == wanted


@pytest.mark.parametrize(("capability", "wanted"), [((9, 0), "bfloat16"), ((8, 0), "bfloat16"), ((7, 5), "float32")])
def test_auto_follows_the_gpu(capability: tuple[int, int], wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "pick_device", torch.device)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert pick_precision(TrainingConfig(device="cuda")).precision == wanted


@pytest.mark.parametrize("precision", [name for name in get_args(Precision) if name != "auto"])
def test_what_was_asked_for_stays(precision: Precision) -> None:
    config = TrainingConfig(precision=precision)
    assert pick_precision(config) is config


@pytest.mark.parametrize("name", ["amx_bf16", "avx512_bf16"])
def test_either_kind_of_instructions_will_do(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, name: True}, raising=False)
    assert devices._cpu_has_bfloat16()


@pytest.mark.parametrize("ask", [None, lambda: {}, lambda: {"amx_bf16": False, "avx2": True}])
def test_a_torch_that_knows_of_no_such_units_says_no(
    ask: Callable[[], dict[str, bool]] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ask is None:
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", ask, raising=False)
    assert not devices._cpu_has_bfloat16()


def test_deterministic_algorithms_are_asked_for_only_for_the_while(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", asked.append)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: False)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    with pytest.raises(KeyError), devices.deterministic(torch.device("cuda"), True):
        assert asked == [True]
        raise KeyError
    assert asked == [True, False]
    with devices.deterministic(torch.device("cpu"), True):
        pass
    assert asked == [True, False]
