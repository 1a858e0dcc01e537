"""The application: models, routes of all protocols, the page, and errors as sentences."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import resources

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from textseq.config.decoding import Precision
from textseq.errors import TextseqError
from textseq.serve.errors import REFUSALS, RequestError
from textseq.serve.guard import Guard, error_response
from textseq.serve.metrics import Metrics
from textseq.serve.models import ServedModels
from textseq.serve.protocols import libretranslate, openai, own, runs
from textseq.serve.requests import Server, authorized, sentence, server_of
from textseq.serve.settings import LOOPBACK, Access, Limits
from textseq.serve.training import Trainings
from textseq.training.devices import pick_device
from textseq.version import __version__

log = logging.getLogger("textseq")

KEY_VARIABLE = "TEXTSEQ_API_KEY"

FLAG = re.compile("--([a-z-]+): ")
"""How an error names a setting; the field of a request has the same name, with underscores."""

MEDIA_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}

ABOUT = """Text generation (OpenAI's protocol), translation (LibreTranslate's), classification, tagging and a look
inside, with recurrent networks. Errors are sentences."""


def create_app(
    names: Sequence[str] = (),
    *,
    host: str = "",
    device: str = "cpu",
    precision: Precision = "float32",
    limits: Limits | None = None,
    access: Access | None = None,
) -> FastAPI:
    """The application, for uvicorn or any other server of ASGI.

    Args:
        names: models to serve; none: all that ship and all runs.
        host: address that the server listens on; "": unknown, as under uvicorn, and no training can be started.
        device: where to compute.
        precision: number format of the matrix products, for the tasks that support it.
        limits: what a request may ask for.
        access: who may use it; the key may be in the environment variable ``TEXTSEQ_API_KEY``.

    Raises:
        TextseqError: an unknown model, a device that this machine does not have, or a key that no header can carry.
    """
    pick_device(device)
    access = access or Access()
    if access.api_key is None:
        access = replace(access, api_key=os.environ.get(KEY_VARIABLE))
    limits, metrics = limits or Limits(), Metrics()
    trainings = Trainings(read_only=access.read_only or host not in LOOPBACK)
    served = ServedModels(names, limits, metrics, device=device, precision=precision)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        served.stop()
        trainings.close()

    app = FastAPI(
        title="textseq",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=REFUSALS,
    )
    app.state.server = Server(served, limits, access, metrics, trainings)
    for protocol in (openai, libretranslate, own, runs):
        app.include_router(protocol.router)
    _add_errors(app)
    _add_health(app)
    _add_page(app)
    larger = {} if trainings.read_only else {runs.router.prefix: limits.max_training_bytes}
    app.add_middleware(
        Guard, host=host, access=access, max_body_bytes=limits.max_body_bytes, larger=larger, metrics=metrics
    )
    return app


def _add_errors(app: FastAPI) -> None:
    """Errors of all kinds get the shape of their protocol."""

    @app.exception_handler(RequestError)
    async def request_error(request: Request, error: RequestError) -> Response:
        return error_response(request.url.path, error)

    @app.exception_handler(TextseqError)
    async def user_error(request: Request, error: TextseqError) -> Response:
        message, param = " ".join(str(error).split()), None
        if flag := FLAG.match(message):
            param = flag[1].replace("-", "_")
            message = f"{param}: {message[flag.end() :]}"
        return error_response(request.url.path, RequestError(400, message, param=param))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return error_response(request.url.path, RequestError(400, sentence(error.errors())))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        what = {
            400: "expected JSON in UTF-8, got something else, very long numbers or very deep lists; see /docs",
            404: "nothing is here; /docs lists the addresses",
            405: "another method is expected; see /docs",
        }
        message = what.get(error.status_code, str(error.detail))
        return error_response(request.url.path, RequestError(error.status_code, message))

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        return error_response(request.url.path, RequestError(500, "an error of ours; the server's log says more"))


def _add_health(app: FastAPI) -> None:
    """Addresses for those who run the server."""

    @app.get("/healthz", tags=["Operation"])
    async def health(request: Request) -> dict[str, str | int]:
        """Whether the server answers, and how many models it serves."""
        return {"status": "ok", "version": __version__, "models": len(server_of(request).models.entries())}

    @app.get("/metrics", tags=["Operation"], dependencies=[Depends(authorized)], response_class=PlainTextResponse)
    async def metrics(request: Request) -> PlainTextResponse:
        """Requests, tokens, times and queues, for Prometheus."""
        server = server_of(request)
        return PlainTextResponse(
            server.metrics.text(server.models.gauges()), media_type="text/plain; version=0.0.4; charset=utf-8"
        )


def _add_page(app: FastAPI) -> None:
    """The page and its files, read once: no name from a request reaches the file system."""
    files = {
        item.name: (item.read_bytes(), MEDIA_TYPES[item.name.rpartition(".")[2]])
        for item in resources.files("textseq.serve").joinpath("page").iterdir()
        if item.name.rpartition(".")[2] in MEDIA_TYPES
    }

    @app.get("/page/{name}", include_in_schema=False)
    async def page_file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        content, media_type = files[name]
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return await page_file("index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return await page_file("docs.html")
