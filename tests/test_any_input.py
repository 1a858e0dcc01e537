"""Any input at all: whatever a user gives, a reader gives a result or a TextseqError, and nothing else.

What there is to read, and how inputs are made, stands in ``benchmarks/inputs.py``, which does the same for hours.
"""

from __future__ import annotations

import inputs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import Files, as_json, rehashed
from small_models import ENGLISH, made

SLOW = {
    "model folders": 12,
    "runs to resume": 6,
    "logs of runs": 8,
    "prompts": 15,
    "sentences": 6,
    "commands": 8,
    "settings": 10,
}
"""Inputs that are tried of what takes longer; of the others ``MANY``."""
MANY = 40


@pytest.mark.parametrize("name", inputs.READ)
def test_a_reader_gives_a_result_or_a_refusal(name: str) -> None:
    reader, outcomes = inputs.reader(name), set()

    @settings(
        max_examples=SLOW.get(name.partition(":")[0], MANY),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(reader.inputs)
    def holds(files: Files) -> None:
        outcomes.add(inputs.holds(reader, files))

    holds()
    assert outcomes <= {"result", "refusal"} and outcomes


def whole(name: str) -> list[Files]:
    """Inputs of a reader that nothing is wrong with."""
    kind, _, task = name.partition(": ")
    if kind == "model folders":
        return [made(task)]
    if name == "tokenizers":
        return inputs.tokenizers()
    if name == "runs to resume":
        return [{"text.txt": (ENGLISH * 3).encode(), **inputs.trained()}]
    if name == "logs of runs":
        return [files | {"whole.jsonl": files["log.jsonl"]} for files in [inputs.log_files()]]
    return inputs.whole_inputs()[name]


@pytest.mark.parametrize("name", sorted(inputs.READ.keys() - {"settings", "prompts", "sentences", "commands"}))
def test_what_is_whole_is_read(name: str) -> None:
    """Or the others would be refused for reasons of their own."""
    outcomes = [inputs.holds(inputs.reader(name), files) for files in whole(name)]
    assert outcomes.count("result") > len(outcomes) / 2, outcomes


def test_damage_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that raises anything else fails."""

    def broken(folder: object) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        inputs.holds(inputs.Reader("broken", st.just({}), broken), {})


def test_hashes_are_mended_so_that_damage_reaches_the_readers() -> None:
    files = made("classification")
    damaged = rehashed(files | {"tokenizer.json": as_json({"kind": "byte", "format": 1})})
    with pytest.raises(AssertionError, match="fit its config"):
        assert inputs.holds(inputs.reader("model folders: classification"), damaged) == "result", "fit its config"
