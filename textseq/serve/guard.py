"""What every request passes first: is it for this server, from where it may come, and not too large?"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from textseq.serve.errors import RequestError, stopping
from textseq.serve.metrics import Metrics
from textseq.serve.settings import WILDCARDS, Access

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer: the page loads nothing from elsewhere, and no page elsewhere shows it."""

BODIES = frozenset({"POST", "PUT", "PATCH"})


class Guard:
    """Middleware that checks Host, Origin and size, counts requests, and answers those that a shutdown ends.

    A page elsewhere can make a browser send requests to a local server. It cannot forge ``Origin``, which must
    be this server's own or one of ``cors_origins``; and with a host name of its own that it lets point here (DNS
    rebinding), ``Host`` is that name, which must be an address in numbers, this machine's name, or allowed.

    Args:
        app: what is guarded.
        host: address that the server listens on.
        access: whom it serves.
        max_body_bytes: bytes of a request.
        larger: bytes of a request to these paths.
        metrics: counts requests.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        access: Access,
        max_body_bytes: int,
        larger: Mapping[str, int],
        metrics: Metrics,
    ) -> None:
        self._app, self._access, self._metrics = app, access, metrics
        self._max_body_bytes, self._larger = max_body_bytes, larger
        self._names = {"localhost", host.lower() or "localhost", *map(str.lower, access.allowed_hosts)}
        if host in WILDCARDS:
            self._names.add(socket.gethostname().lower())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers, path = Headers(scope=scope), str(scope["path"])
        begun, status, started, origin = time.perf_counter(), 500, False, headers.get("origin")
        allowed = origin is not None and origin in self._access.cors_origins

        async def answer(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                answer_headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answer_headers.setdefault(name, value)
                if allowed:
                    answer_headers["Access-Control-Allow-Origin"] = origin or ""
                    answer_headers["Cross-Origin-Resource-Policy"] = "cross-origin"
                    answer_headers.add_vary_header("Origin")
            await send(message)

        try:
            self._check_host(headers)
            if not allowed:
                self._check_origin(headers)
            if allowed and scope["method"] == "OPTIONS":
                asked = headers.get("access-control-request-headers", "")
                preflight = {"Access-Control-Allow-Methods": "GET, POST", "Access-Control-Allow-Headers": asked}
                await Response(status_code=204, headers=preflight)(scope, receive, answer)
                return
            if scope["method"] == "HEAD":  # the answer to GET, whose body the server leaves out
                scope = {**scope, "method": "GET"}
            if scope["method"] in BODIES:
                receive = await self._with_body(headers, receive, self._larger.get(path, self._max_body_bytes))
            await self._app(scope, receive, answer)
        except RequestError as error:
            await error_response(path, error)(scope, receive, answer)
        except asyncio.CancelledError:  # by uvicorn, of a request that outlives the shutdown
            if not started:
                await error_response(path, stopping())(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", "other")  # not the path, which clients can choose freely
            self._metrics.add("textseq_requests_total", path=route, status=str(status))
            self._metrics.observe("textseq_request_seconds", time.perf_counter() - begun)

    def _check_host(self, headers: Headers) -> None:
        host = headers.get("host", "")
        name = _host_name(host)
        if name not in self._names and not _is_address(name):
            raise RequestError(
                421, f"Host: expected the address of this server, got '{host:.100}'; start it with --allowed-hosts NAME"
            )

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is not None and _network_location(origin) != headers.get("host", "").lower():
            raise RequestError(
                403,
                f"Origin: pages of '{origin:.100}' may not use this server; start it with --cors-origins {origin:.100}",
            )

    async def _with_body(self, headers: Headers, receive: Receive, most: int) -> Receive:
        """``receive`` after the body, whole, has come."""
        error = RequestError(413, f"expected a request of at most {most:,} bytes, got more; send it in parts")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > most:
            raise error
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > most:
                raise error
        waiting: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        return replay


def error_response(path: str, error: RequestError) -> Response:
    """The error in the shape of the protocol that a path belongs to."""
    body: dict[str, object] = {"error": error.message}
    if path.startswith("/v1/"):
        kind = {401: "authentication_error", 429: "rate_limit_error"}.get(error.status, "invalid_request_error")
        kind = "server_error" if error.status >= 500 else kind
        code = {401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(error.status)
        if (error.status, error.param) == (404, "model"):
            code = "model_not_found"
        body = {"error": {"message": error.message, "type": kind, "param": error.param, "code": code}}
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(json.dumps(body), error.status, headers, media_type="application/json")


def _host_name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _network_location(origin: str) -> str | None:
    """Host and port of an origin; None if it is no address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
