"""Settings of the server: what it serves, and the bounds of what a request may ask for. No FastAPI here."""

from __future__ import annotations

from dataclasses import dataclass

from textseq.config.base import Settings, ranged

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts that only programs of this machine reach."""

WILDCARDS = ("0.0.0.0", "::", "")
"""Hosts that stand for every address of this machine."""


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
    """Texts of one request: prompts times n, sentences to translate, texts to classify or tag."""
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
    """Web pages elsewhere that may use the server from a browser, such as https://example.org. Default: none."""
    read_only: bool = False
    """No training from the page. Always so if --host is not this machine (127.0.0.1, localhost, ::1)."""
