"""The running server: an address, uvicorn, and an orderly end."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import uvicorn

from textseq.errors import TextseqError
from textseq.serve.settings import Limits

if TYPE_CHECKING:
    from fastapi import FastAPI


BACKLOG = 2048
"""Connections that wait to be accepted."""


def listen(host: str, port: int) -> socket.socket:
    """A socket on an address; port 0 is any free one.

    Raises:
        TextseqError: the address is taken, or is not one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a host name"
        raise TextseqError(f"--host: expected an address of this machine, got {host} ({reason})") from None
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise TextseqError(f"cannot listen on {host}:{port} ({error.strerror}); choose another --port") from None
    return listener


def address_of(listener: socket.socket) -> str:
    """The address to open in a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def serve(app: FastAPI, listener: socket.socket, limits: Limits, *, started: Callable[[], object]) -> None:
    """Answer requests until Ctrl-C or SIGTERM; running ones then have ``shutdown_seconds`` to finish.

    Args:
        app: from ``create_app``.
        listener: from ``listen``.
        limits: has ``shutdown_seconds``.
        started: called when the first request can come.
    """
    config = uvicorn.Config(
        app,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=limits.shutdown_seconds,
    )
    server = _Server(config, started)
    with listener:
        server.run(sockets=[listener])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], object]) -> None:
        super().__init__(config)
        self._on_start = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self._on_start()
