"""What the routes of all protocols share: their server, its key, and work that ends with its client."""

from __future__ import annotations

import asyncio
import hmac
import reprlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from textseq.serve.errors import RequestError, out_of_time
from textseq.serve.metrics import Metrics
from textseq.serve.models import ServedModels
from textseq.serve.settings import Access, Limits
from textseq.serve.training import Trainings

R = TypeVar("R")


@dataclass(frozen=True)
class Server:
    """What the routes use."""

    models: ServedModels
    limits: Limits
    access: Access
    metrics: Metrics
    trainings: Trainings


def server_of(request: Request) -> Server:
    """The server that a request came to."""
    server: Server = request.app.state.server
    return server


async def authorized(request: Request) -> None:  # async: a plain function would be called in a thread
    """Refuse a request without the key."""
    check_key(request, bearer_key(request))


def bearer_key(request: Request) -> str:
    """The key that a request brings in its headers."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def check_key(request: Request, key: str) -> None:
    """Refuse any key but the server's, if it has one."""
    expected = server_of(request).access.api_key
    if expected is not None and not hmac.compare_digest(_bytes(key), _bytes(expected)):
        got = "another" if key else "none"
        raise RequestError(401, f"expected the server's API key, got {got}; send it as 'Authorization: Bearer KEY'")


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def check_texts(
    request: Request, texts: Sequence[str], *, param: str, characters: bool = True, copies: int = 1
) -> None:
    """Refuse too many texts, too long ones, and those with lone surrogates."""
    limits = server_of(request).limits
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            got = f"the lone surrogate U+{ord(text[error.start]):04X} at character {error.start}"
            raise RequestError(400, f"{param}: expected Unicode, got {got}; leave it out", param=param) from None
    if (count := len(texts) * copies) > limits.max_texts:
        raise RequestError(400, f"{param}: expected at most {limits.max_texts} texts, got {count:,}", param=param)
    longest = max(map(len, texts), default=0)
    if characters and longest > limits.max_characters:
        raise RequestError(
            400,
            f"{param}: expected at most {limits.max_characters:,} characters, got {longest:,}; send it in parts",
            param=param,
        )


class TimedRoute(APIRoute):
    """A route whose whole work, loading a model too, ends with its client, or when its time is over."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The function that answers a request."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            await request.body()  # what is received after it is that the client is gone
            return await while_connected(request, handle(request))

        return answer


async def while_connected(request: Request, work: Coroutine[object, object, R]) -> R:
    """The result of work that is cancelled when its client goes away, or its time is over.

    Raises:
        RequestError: it took too long.
        ClientDisconnect: no one waits for the answer.
    """
    seconds = server_of(request).limits.max_seconds
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise ClientDisconnect
        raise out_of_time(seconds)
    finally:
        for future in (task, gone):
            future.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


def sentence(errors: Sequence[Mapping[str, object]]) -> str:
    """What pydantic found wrong with a request, in one line."""
    return "; ".join(map(_phrase, errors[:3]))


def _phrase(error: Mapping[str, object]) -> str:
    """An error of pydantic or of the reader of JSON."""
    place, kind, got, why = error["loc"], error["type"], error["input"], str(error["msg"])
    assert isinstance(place, tuple)
    if kind == "json_invalid":
        context = error["ctx"]
        assert isinstance(context, dict)
        return f"expected JSON, got an error at character {place[-1]}: {context['error']}; see /docs"
    if kind == "model_attributes_type" and isinstance(got, bytes):
        return "expected JSON, got a body of another type; send the header 'Content-Type: application/json'"
    if kind == "model_attributes_type" and place == ("body",):
        return f"expected a JSON object, got {type(got).__name__}; see /docs"
    name = ".".join(str(part) for part in place if part != "body") or "request"
    shown = "" if kind == "missing" else f", got {reprlib.repr(got):.80}"
    return f"{name}: {why[:1].lower()}{why[1:]}{shown}"


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
