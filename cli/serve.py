"""textseq-serve: a page to play with, and an address that programs for OpenAI and LibreTranslate can use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from textseq.commands.command import log_to_stderr, parse, run, terminable
from textseq.commands.flags import option
from textseq.config.base import Settings, ranged
from textseq.config.decoding import Precision
from textseq.io.extras import optional
from textseq.serve.settings import Access, Limits

PROG = "textseq-serve"


@dataclass(frozen=True, kw_only=True)
class Address(Settings):
    """Address: where the server listens."""

    host: str = "127.0.0.1"
    """Address to listen on. 0.0.0.0 is all addresses of this machine: others can reach it then; set an --api-key."""
    port: int = ranged(8000, at_least=0, at_most=65535)
    """Port to listen on; 0 is any free one."""


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Serve models: a web page, and the protocols of OpenAI and LibreTranslate.

    Examples:
      textseq-serve                              then open http://127.0.0.1:8000
      textseq-serve --models shakespeare mine    these models only
      textseq-serve --host 0.0.0.0 --port 80     for others too; set TEXTSEQ_API_KEY
      textseq-serve --read-only                  no training from the page

    Without --models everything that ships and every run is served. The page writes, translates, classifies, tags,
    looks inside and trains; /docs has the addresses for programs. Ctrl-C or SIGTERM ends it, after the requests that
    are running.
    Needs the extra serve: pip install "textseq[serve]"
    """

    address: Address = field(default_factory=Address)
    models: tuple[str, ...] = option((), metavar="NAME...")
    """Models to serve: names or folders. Default: all that ship and all runs, new ones too."""
    precision: Precision = "float32"
    """Number format of the matrix products, for the tasks that support it: int8 is faster on CPUs."""
    device: str = option("cpu", metavar="DEVICE")
    """Where to compute: cpu, cuda, cuda:1, mps, or auto (a GPU if there is one)."""
    access: Access = field(default_factory=Access)
    limits: Limits = field(default_factory=Limits)


def serve(arguments: Sequence[str]) -> None:
    """Parse, listen, serve."""
    options = parse(Serve(), PROG, arguments)
    log_to_stderr()
    for package in ("fastapi", "uvicorn"):
        optional(package, "serve", needed_for="the server")
    from textseq.serve.app import create_app
    from textseq.serve.server import address_of, listen
    from textseq.serve.server import serve as serve_app

    host = options.address.host
    app = create_app(
        options.models,
        host=host,
        device=options.device,
        precision=options.precision,
        limits=options.limits,
        access=options.access,
    )
    listener = listen(host, options.address.port)
    shown = f"textseq-serve: {address_of(listener)} (Ctrl-C ends it)"
    with terminable():
        serve_app(app, listener, options.limits, started=lambda: print(shown, flush=True))


main = partial(run, PROG, serve)

if __name__ == "__main__":
    main()
