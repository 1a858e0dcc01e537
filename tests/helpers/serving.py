"""A server that is running, as the tests of its protocols see it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textseq.serve.requests import Server


@dataclass(frozen=True)
class Running:
    """A server at an address."""

    url: str
    port: int
    server: Server

    def call(
        self, path: str, body: object = None, *, method: str | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers and body of an answer; a body that is not bytes is sent as JSON."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {"Content-Type": "application/json", **(headers or {})}
        connection.request(method or ("GET" if data is None else "POST"), path, data, sent)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text

    def ask(self, path: str, body: object = None) -> Any:
        """The JSON of an answer with status 200."""
        status, _, text = self.call(path, body)
        assert status == 200, text
        return json.loads(text)

    def refusal(self, path: str, body: object, status: int = 400) -> str:
        """The sentence of an answer with another status."""
        got, _, text = self.call(path, body)
        assert got == status, text
        error = json.loads(text)["error"]
        return str(error["message"] if path.startswith("/v1/") else error)
