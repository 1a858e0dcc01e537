"""Errors of a request: a status and a sentence."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel


class Refusal(BaseModel):
    """The answer with a status of 400 or more."""

    error: str
    """A sentence."""


REFUSALS: Final[dict[int | str, dict[str, object]]] = {"4XX": {"model": Refusal}, "5XX": {"model": Refusal}}
"""Answers with an error, for the OpenAPI document."""


class RequestError(Exception):
    """A request that gets no answer.

    Args:
        status: of HTTP.
        message: a sentence: what was expected, what was got, what to do.
        param: the field that is wrong, if one is.
        retry_after: seconds after which to try again.
    """

    def __init__(self, status: int, message: str, *, param: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.retry_after = retry_after


def too_busy(waiting: int) -> RequestError:
    """The error for a full queue."""
    return RequestError(429, f"too busy: {waiting:,} texts are waiting already; try again in a second", retry_after=1)


def stopping() -> RequestError:
    """The error for a server that shuts down."""
    return RequestError(503, "the server is shutting down; try again in a few seconds", retry_after=5)


def out_of_time(seconds: float) -> RequestError:
    """The error for work that takes too long."""
    return RequestError(503, f"the answer took more than {seconds:g} seconds; ask for less", retry_after=1)
