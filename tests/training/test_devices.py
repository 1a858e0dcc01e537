"""The number format of training is decided once, by what the device can do."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
import torch

from textseq.config.training import TrainingConfig, TrainingPrecision
from textseq.errors import TextseqError
from textseq.training import devices
from textseq.training.devices import pick_device, pick_precision


@pytest.mark.parametrize(("has", "wanted"), [(True, "bfloat16"), (False, "float32")])
def test_auto_follows_the_cpu(has: bool, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_cpu_has_bfloat16", lambda: has)
    assert pick_precision(TrainingConfig(device="cpu")).precision == wanted


@pytest.mark.parametrize(("capability", "wanted"), [((9, 0), "bfloat16"), ((8, 0), "bfloat16"), ((7, 5), "float32")])
def test_auto_follows_the_gpu(capability: tuple[int, int], wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "pick_device", torch.device)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert pick_precision(TrainingConfig(device="cuda")).precision == wanted


@pytest.mark.parametrize("precision", [name for name in get_args(TrainingPrecision) if name != "auto"])
def test_what_was_asked_for_stays(precision: TrainingPrecision) -> None:
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


class Gpus:
    """A machine with so many GPUs, as torch would tell of it."""

    def __init__(self, count: int, patch: pytest.MonkeyPatch) -> None:
        self.current: list[torch.device] = []
        patch.setattr(torch.cuda, "is_available", lambda: count > 0)
        patch.setattr(torch.cuda, "device_count", lambda: count)
        patch.setattr(torch.cuda, "set_device", self.current.append)
        patch.setattr(torch, "zeros", lambda size, device: None)


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_every_process_takes_a_gpu_of_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = Gpus(2, monkeypatch)
    assert pick_device(name) == torch.device("cuda")  # one process leaves it to torch
    monkeypatch.setenv("WORLD_SIZE", "4")
    for rank, local in enumerate([0, 1, 0, 1]):  # of two machines
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("LOCAL_RANK", str(local))
        assert pick_device(name) == torch.device("cuda", local)
    assert gpus.current == [torch.device("cuda", local) for local in (0, 1, 0, 1)]
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "local", "message"),
    [
        ("auto", "2", "each process needs its own GPU, and this machine has 2"),
        ("cuda:1", "1", "is for one process, got 4"),
    ],
)
def test_no_two_processes_share_a_gpu(name: str, local: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Gpus(2, monkeypatch)
    for variable, value in (("WORLD_SIZE", "4"), ("RANK", "3"), ("LOCAL_RANK", local)):
        monkeypatch.setenv(variable, value)
    with pytest.raises(TextseqError, match=message):
        pick_device(name)
