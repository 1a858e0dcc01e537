"""Requests that are made up from the OpenAPI document, valid and not: each is answered as it says, none by a 500.

The long form is ``python benchmarks/endurance.py requests``.
"""

from __future__ import annotations

import pytest
from serving import Running

from textseq.serve.training import Trainings

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("schemathesis", reason="schemathesis is not installed")

from server_requests import Asker


def test_made_up_requests_get_answers(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainings, "_spawn", lambda *arguments: None)
    asker = Asker(running.url)
    for operation, mode in asker.kinds():
        asker.ask(operation, mode, examples=3)
    assert {200, 400, 404} <= asker.statuses.keys()
    assert asker.statuses.total() > 3 * len(asker.operations)
