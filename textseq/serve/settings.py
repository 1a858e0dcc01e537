"""Settings of the server: what it serves, and the bounds of what a request may ask for. No FastAPI here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from textseq.config.base import Settings, ranged
from textseq.errors import TextseqError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts that only programs of this machine reach."""

WILDCARDS = ("0.0.0.0", "::", "")
"""Hosts that stand for every address of this machine."""

KEY = re.compile(r"[!-~]([ -~]*[!-~])?")
"""What a header carries as a key."""

HOST = re.compile(r"[^\s*/:]+")

ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d+)?")
"""As browsers write it: scheme, host, port; or null, of a page that is a file."""

DEFAULT_PORTS = {"http": ":80", "https": ":443"}
"""Ports that browsers leave out of an origin."""


@dataclass(frozen=True, kw_only=True)
class Limits(Settings):
    """Limits: what one request may ask for, and how many may wait."""

    max_body_bytes: int = ranged(1_000_000, at_least=1_000)
    """Bytes of a request; more get status 413."""
    max_training_bytes: int = ranged(100_000_000, at_least=1_000)
    """Bytes of a request to train on a text, where that is allowed."""
    max_tokens: int = ranged(4_096, at_least=1)
    """Tokens that one text may get."""
    max_prompt_tokens: int = ranged(4_096, at_least=1)
    """Tokens of a prompt."""
    max_texts: int = ranged(128, at_least=1)
    """Texts of one request: prompts times n, texts to translate, classify or tag."""
    max_characters: int = ranged(20_000, at_least=1)
    """Characters of one text to translate, classify, tag, score or look into."""
    max_running: int = ranged(64, at_least=1)
    """Texts of one model that are computed together; others wait."""
    max_waiting: int = ranged(512, at_least=1)
    """Texts of one model that may wait; further requests get status 429 and Retry-After."""
    max_seconds: float = ranged(120.0, above=0)
    """Seconds until the answer to a request must be complete; after that it ends with status 503."""
    max_loaded: int = ranged(16, at_least=1)
    """Models kept in memory; the one unused longest makes room."""
    shutdown_seconds: int = ranged(10, at_least=0)
    """Seconds that running requests have to finish after SIGTERM or Ctrl-C."""


@dataclass(frozen=True, kw_only=True)
class Access(Settings):
    """Access: who may use the server."""

    api_key: str | None = None
    """Key that every request must bring, as "Authorization: Bearer KEY". Better in the environment variable
    TEXTSEQ_API_KEY, for others on this machine see command lines."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names under which the server is reached, without port. A request for any other name is refused, so that
    a web page elsewhere cannot reach a local server under a name of its own. Addresses in numbers need no naming."""
    cors_origins: tuple[str, ...] = ()
    """Web pages elsewhere that may use the server from a browser, such as https://example.org; null
    stands for every page that is a file. Default: none."""
    read_only: bool = False
    """No training from the page. Always so if --host is not this machine (127.0.0.1, localhost, ::1)."""

    def __post_init__(self) -> None:
        """Check what could never match; origins become as browsers write them.

        Raises:
            TextseqError: an empty key or one that no header can carry, a host with a port, or what is no origin.
        """
        super().__post_init__()
        if self.api_key is not None and not KEY.fullmatch(self.api_key):
            padded = self.api_key.strip() != self.api_key
            got = "an empty one" if not self.api_key else f"one with {'white space' if padded else 'other characters'}"
            raise TextseqError(
                "--api-key or TEXTSEQ_API_KEY: expected ASCII characters without white space around them, "
                f"got {got}; take another key"
            )
        for host in self.allowed_hosts:
            if not HOST.fullmatch(host):
                raise TextseqError(
                    f"--allowed-hosts: expected names without scheme, port or *, such as example.org, got {host!r:.100}"
                )
        object.__setattr__(self, "cors_origins", tuple(map(_as_browsers_write, self.cors_origins)))
        for origin in self.cors_origins:
            if not ORIGIN.fullmatch(origin):
                raise TextseqError(
                    "--cors-origins: expected origins without a path, such as https://example.org or "
                    f"http://localhost:3000, got {origin!r:.100}; name each"
                )


def _as_browsers_write(origin: str) -> str:
    origin = origin.removesuffix("/").lower()
    return origin.removesuffix(DEFAULT_PORTS.get(origin.partition("://")[0], ""))
