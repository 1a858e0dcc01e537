"""Ask a running ``textseq-serve`` whatever schemathesis makes up from its OpenAPI document, for as long as requested.

    python benchmarks/server_requests.py --minutes 60
    python benchmarks/server_requests.py --minutes 1 --models shakespeare tatoeba-en-fr

Half of the requests are valid by the document, half are not; most valid ones name a model that is served, so that they
reach the computation. Each answer must have a status, a type and a shape that the document describes, and none a status
of 500 or more. Prints the answers by status, and each kind of failure once with a command that repeats it. The tests do
the same with small models for some seconds. Needs schemathesis.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from server_speed import server

Operation = APIOperation[Any, Any, Any, Any]
Request = Case[Any]

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

LIMITS = ("--max-tokens=32", "--max-texts=8", "--max-characters=300", "--max-seconds=60", "--read-only")
"""Of the server, so that no request takes long; no trainings."""

TASKS = {
    "/v1/completions": "language-model", "/score": "language-model", "/inside": "language-model",
    "/memorization": "language-model", "/attention": "translation", "/classify": "classification", "/tag": "tagging",
}  # fmt: skip
"""The task of the model that an address wants."""

MOSTLY = (False, True, True, True, True)

EXAMPLES = 20
"""Requests to an operation, of each kind, in a round."""


class Asker:
    """Asks one server, and counts its answers.

    Args:
        url: of the server.
    """

    def __init__(self, url: str) -> None:
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        self.operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
        self.statuses: Counter[int] = Counter()
        self._models = [(row["name"], row["task"]) for row in requests.get(f"{url}/models", timeout=60).json()]
        self._languages = requests.get(f"{url}/languages", timeout=60).json()

    def kinds(self) -> Iterator[tuple[Operation, GenerationMode]]:
        """Operations, each with valid requests and, if it has a body, with others."""
        for operation in self.operations:
            yield operation, GenerationMode.POSITIVE
            if operation.body:
                yield operation, GenerationMode.NEGATIVE

    def ask(self, operation: Operation, mode: GenerationMode, examples: int, number: int = 0) -> None:
        """Ask for made-up requests, the same ones for the same number.

        Raises:
            FailureGroup: an answer is not as it should be; of several kinds, an ExceptionGroup of these.
        """

        requests_of = operation.as_strategy(generation_mode=mode)

        @seed(number)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],
        )
        @given(st.data(), requests_of)
        def one(data: st.DataObject, case: Request) -> None:
            if mode is GenerationMode.POSITIVE and isinstance(case.body, dict):
                self._make_meaningful(case, case.body, data)
            answer = case.call(timeout=120)
            self.statuses[answer.status_code] += 1
            case.validate_response(answer, checks=CHECKS)

        one()

    def _make_meaningful(self, case: Request, body: dict[str, Any], data: st.DataObject) -> None:
        """Name models and languages that are served."""
        fitting = [name for name, task in self._models if task == TASKS.get(case.path)]
        if fitting and data.draw(st.sampled_from(MOSTLY)):
            body["model"] = data.draw(st.sampled_from(fitting))
        if case.path == "/translate" and self._languages and data.draw(st.sampled_from(MOSTLY)):
            language = data.draw(st.sampled_from(self._languages))
            body["target"] = data.draw(st.sampled_from(language["targets"]))
            body["source"] = data.draw(st.sampled_from([language["code"], "auto"]))


def failures(error: BaseException) -> Iterator[BaseException]:
    """The failures in groups of groups."""
    if isinstance(error, BaseExceptionGroup | FailureGroup):
        for inner in error.exceptions:
            yield from failures(inner)
    else:
        yield error


def main(arguments: list[str] | None = None) -> None:
    """Ask until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--models", nargs="+", default=[], help="default: all that ship and all runs")
    parser.add_argument("--seed", type=int, default=0, help="of the first round; the next ones count on")
    o = parser.parse_args(arguments)
    end, number = time.monotonic() + 60 * o.minutes, o.seed
    found: set[tuple[str, str]] = set()
    with server(o.models, *LIMITS) as (host, _):
        asker = Asker(f"http://{host}")
        while time.monotonic() < end:
            for operation, mode in asker.kinds():
                if time.monotonic() >= end:
                    break
                try:
                    asker.ask(operation, mode, EXAMPLES, number)
                except (Exception, FailureGroup) as error:  # a FailureGroup is a BaseExceptionGroup
                    for failure in failures(error):
                        kind = operation.label, str(failure).splitlines()[0]
                        if kind not in found:
                            found.add(kind)
                            print(f"\n{operation.label}\n{failure}\n", flush=True)
            number += 1
            print(f"round {number - o.seed}: {_shown(asker.statuses)}; kinds of failures: {len(found)}", flush=True)
    sys.exit(bool(found))


def _shown(statuses: Mapping[int, int]) -> str:
    counts = ", ".join(f"{count:,} x {status}" for status, count in sorted(statuses.items()))
    return f"{sum(statuses.values()):,} answers ({counts})"


if __name__ == "__main__":
    main()
