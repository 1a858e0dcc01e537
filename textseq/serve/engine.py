"""Text generation for many requests: one running batch for each model, computed in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Literal, Protocol

import torch

from textseq.decoding.continuous import BatchRow, Choice, ContinuousBatch, steady_rows
from textseq.decoding.logit_bias import token_bias
from textseq.decoding.stopping import StopStrings
from textseq.nn.cells import State, Step
from textseq.serve.errors import RequestError, out_of_time, stopping
from textseq.serve.gathering import Worker
from textseq.serve.metrics import Metrics
from textseq.serve.settings import Limits
from textseq.tasks.language_model.condition import Conditioned
from textseq.tasks.language_model.config import GenerationConfig
from textseq.tokenizers.base import Tokenizer

log = logging.getLogger("textseq")

PAUSE = 0.03
"""Seconds between two deliveries of a text: a delivery for every token would take longer than the token."""

DELIVERIES = 500
"""Deliveries in a second to all texts together: with more texts than these allow, ``PAUSE`` is longer."""

INVALID = "\ufffd"
"""What a part of a character is decoded as."""

Reason = Literal["length", "stop"]


class TextModel(Protocol):
    """What generates text, token by token: a ``TextGenerator``."""

    @property
    def step(self) -> Step: ...
    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def device(self) -> torch.device: ...
    def initial_state(self, batch: int, condition: Conditioned | None = None) -> State: ...
    def context(self, prompt: str, condition: Conditioned | None = None) -> torch.Tensor: ...


@dataclass(frozen=True)
class TextRequest:
    """A text to generate."""

    prompt: str
    config: GenerationConfig
    alternatives: int | None = None
    """Likeliest tokens to report with each token; None: report no tokens."""
    echo: bool = False
    """Begin with the prompt."""
    stream: bool = True
    """Deliver the text in parts, as it is generated."""
    condition: str | None = None
    """Of a conditional model, in place of the author's."""


@dataclass(frozen=True)
class TokenReport:
    """A token of a text."""

    text: str
    """Its name in the vocabulary, mostly its text."""
    offset: int
    """Where it begins, in characters of the delivered text."""
    log_p: float
    """Its log-probability in nats, before temperature, bias and other settings."""
    likeliest: tuple[tuple[str, float], ...]
    """The likeliest tokens at its place, best first."""
    texts: Mapping[str, str | None]
    """The text of those whose name is not their text; None: a part of a character."""


@dataclass(frozen=True)
class Delivery:
    """The next part of a text."""

    text: str
    tokens: tuple[TokenReport, ...] = ()
    generated: int = 0
    """Tokens generated so far."""
    reason: Reason | None = None
    """Why the text ends with this part; None if it goes on."""


TextOf = Callable[[int], str | None]


def text_of_tokens(tokenizer: Tokenizer) -> TextOf:
    """A function that gives the text of a token; None for a part of a character."""

    @cache
    def text_of(token: int) -> str | None:
        decoder = tokenizer.stream()
        text = decoder.feed(token) + decoder.finish()
        return None if INVALID in text else text

    return text_of


class _Text:
    """A text on its way; all but ``gone`` belongs to the engine's thread."""

    def __init__(
        self,
        number: int,
        request: TextRequest,
        model: TextModel,
        text_of: TextOf,
        usual_bias: torch.Tensor | None,
        outbox: _Outbox,
        queue: asyncio.Queue[_Sent],
    ) -> None:
        self.number, self.request = number, request
        self.prompt: list[int] = model.context(request.prompt, request.condition)[0].tolist()
        self.state = None if request.condition is None else model.initial_state(1, request.condition)
        self.bias, biases = usual_bias, request.config.logit_bias
        if biases:
            self.bias = token_bias(biases, model.tokenizer, model.device)
        self.gone = False
        self.begun = time.perf_counter()
        self.last_sent = 0.0
        self.generated = 0
        self._outbox, self._queue, self._loop = outbox, queue, asyncio.get_running_loop()
        self._names, self._text_of = model.tokenizer.vocabulary, text_of
        self._decoder = model.tokenizer.stream()
        self._stops = StopStrings(request.config.stop_strings)
        self._ready = request.prompt if request.echo else ""
        self._decoded = self._shown = len(self._ready)
        self._reports: list[TokenReport] = []
        echoed = request.echo and request.alternatives is not None
        self._starts = [start for start, _ in model.tokenizer.spans(request.prompt)] if echoed else []

    @property
    def stopped(self) -> bool:
        """Whether a stop string was generated."""
        return self._stops.stopped

    def feed(self, choice: Choice) -> None:
        """Add a token."""
        if choice.from_prompt and not self._starts:
            return
        offset = self._starts.pop(0) if choice.from_prompt else self._decoded
        if not choice.from_prompt:
            self.generated += 1
            piece = self._decoder.feed(choice.token)
            self._decoded += len(piece)
            self._show(self._stops.feed(piece))
        if self.request.alternatives is not None:
            named = {token: self._names[token] for token, _ in choice.likeliest}
            likeliest = tuple((named[token], log_p) for token, log_p in choice.likeliest)
            texts = {name: text for token, name in named.items() if (text := self._text_of(token)) != name}
            self._reports.append(TokenReport(self._names[choice.token], offset, choice.log_p, likeliest, texts))

    def end(self) -> None:
        """Deliver the rest."""
        self._show(self._stops.feed(self._decoder.finish()) + self._stops.finish())
        self.deliver("stop" if self.stopped else "length")

    def deliver(self, reason: Reason | None = None) -> None:
        """Send what has not been sent, as far as it can no longer change."""
        cut = self.stopped or reason is None
        tokens = [report for report in self._reports if not cut or report.offset < self._shown]
        self._reports = self._reports[len(tokens) :]
        if self._ready or tokens or reason:
            self.send(Delivery(self._ready, tuple(tokens), self.generated, reason))
            self._ready, self.last_sent = "", time.perf_counter()

    def send(self, what: Delivery | RequestError) -> None:
        """Send to the loop of the request, with the next ``_Outbox.flush``."""
        self._outbox.put(self._loop, self._queue, (self.number, what))

    def _show(self, piece: str) -> None:
        self._ready += piece
        self._shown += len(piece)


_Sent = tuple[int, Delivery | RequestError]


class _Outbox:
    """What a step sends to all texts, handed to their event loop in one call."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Queue[_Sent], _Sent]]] = {}

    def put(self, loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[_Sent], what: _Sent) -> None:
        """Add something."""
        self._waiting.setdefault(loop, []).append((queue, what))

    def flush(self) -> None:
        """Hand over what has been added."""
        for loop, items in self._waiting.items():
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_put_all, items)
        self._waiting.clear()


def _put_all(items: Sequence[tuple[asyncio.Queue[_Sent], _Sent]]) -> None:
    for queue, what in items:
        queue.put_nowait(what)


class TextEngine(Worker[_Text]):
    """Generates the texts of all requests for one model.

    Args:
        name: of the model, in metrics.
        model: the model.
        limits: of the batch and of the queue.
        metrics: counts texts and tokens.
    """

    def __init__(self, name: str, model: TextModel, limits: Limits, metrics: Metrics) -> None:
        self.model = model
        self._text_of = text_of_tokens(model.tokenizer)
        self._bias = token_bias({}, model.tokenizer, model.device)
        self._running: dict[BatchRow, _Text] = {}
        self._outbox = _Outbox()
        super().__init__(name, limits, metrics)

    @property
    def running(self) -> int:
        return len(self._running)

    async def stream(self, requests: Sequence[TextRequest]) -> AsyncGenerator[tuple[int, Delivery], None]:
        """Generate texts; yields the number of a text and its next part, until all have ended.

        Closing the iterator stops the work.

        Raises:
            RequestError: too many texts wait, or the server shuts down.
            TextseqError: a prompt or a bias that the model cannot read.
        """
        sent: asyncio.Queue[_Sent] = asyncio.Queue()
        texts = [
            _Text(number, request, self.model, self._text_of, self._bias, self._outbox, sent)
            for number, request in enumerate(requests)
        ]
        self._enqueue(texts, max(0, self._limits.max_running - self.running))
        self._metrics.add("textseq_texts_total", len(texts), model=self._name)
        unfinished = len(texts)
        try:
            while unfinished:
                number, what = await sent.get()
                if isinstance(what, RequestError):
                    raise what
                unfinished -= what.reason is not None
                yield number, what
        finally:
            if unfinished:
                self._metrics.add("textseq_cancelled_total", unfinished, model=self._name)
                for text in texts:
                    text.gone = True
                self._withdraw(texts)

    def _work(self) -> None:
        batch = self._new_batch()
        while True:
            with self._changed:
                while not (self._waiting or self._running or self._retired or self._stopped):
                    self._changed.wait()
                if self._stopped or not (self._waiting or self._running):
                    self._fail(stopping(), [*self._waiting])
                    self._waiting.clear()
                    self._ended = True
                    return
                joining: list[_Text] = []
                while self._waiting and len(self._running) + len(joining) < self._limits.max_running:
                    joining.append(self._waiting.popleft())
            try:
                self._advance(batch, [text for text in joining if not text.gone])
            except Exception:
                log.exception("text generation with %s failed", self._name)
                self._fail(RequestError(500, "text generation failed; the server's log says why"), joining)
                batch = self._new_batch()

    def _new_batch(self) -> ContinuousBatch:
        model, size = self.model, self.model.tokenizer.size
        rows = steady_rows(model.step, model.initial_state, size, self._limits.max_running, model.device)
        return ContinuousBatch(model.step, model.initial_state, model.device, seeded_rows=rows)

    def _advance(self, batch: ContinuousBatch, joining: Sequence[_Text]) -> None:
        """One token for every text; several for one that is alone."""
        for text in joining:
            request = text.request
            row = batch.join(
                text.prompt, request.config, bias=text.bias, alternatives=request.alternatives, state=text.state
            )
            self._running[row] = text
        generated = 0
        for row, choice in batch.advance() if batch.rows else ():
            text = self._running[row]
            if not text.stopped:
                text.feed(choice)
                generated += not choice.from_prompt
        now, over = time.perf_counter(), []
        pause = max(PAUSE, len(self._running) / DELIVERIES)
        for row, text in self._running.items():
            if text.generated == 1:
                self._metrics.observe("textseq_first_token_seconds", now - text.begun, model=self._name)
            if row.finished or text.stopped or text.gone:
                over.append(row)
            elif now - text.begun > self._limits.max_seconds:
                text.send(out_of_time(self._limits.max_seconds))
                over.append(row)
            elif text.request.stream and now - text.last_sent > pause:
                text.deliver()
        for row in over:
            self._running.pop(row).end()
        batch.leave(over)
        self._outbox.flush()
        self._metrics.add("textseq_tokens_total", generated, model=self._name)

    def _fail(self, error: RequestError, others: Sequence[_Text]) -> None:
        """Tell everyone that it is over."""
        for text in [*self._running.values(), *others]:
            text.send(error)
        self._outbox.flush()
        self._running.clear()
