"""OpenAI's protocol: ``/v1/models`` and ``/v1/completions``."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from itertools import chain
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from textseq.config.base import LARGEST_SEED
from textseq.config.decoding import LARGEST_BIAS
from textseq.serve.engine import Delivery, TextEngine, TextRequest, TokenReport
from textseq.serve.errors import RequestError
from textseq.serve.models import LoadedModel
from textseq.serve.requests import TimedRoute, authorized, check_texts, server_of
from textseq.tasks.language_model.config import GenerationConfig
from textseq.tasks.language_model.generator import TextGenerator


class Problem(BaseModel):
    """What is wrong."""

    message: str
    """A sentence."""
    type: str
    param: str | None
    """The field that is wrong."""
    code: str | None


class Refused(BaseModel):
    """The answer with a status of 400 or more."""

    error: Problem


router = APIRouter(
    route_class=TimedRoute,
    prefix="/v1",
    tags=["OpenAI"],
    dependencies=[Depends(authorized)],
    responses={"4XX": {"model": Refused}, "5XX": {"model": Refused}},
)

MOST_ALTERNATIVES = 20

MOST_DIGITS = 20
"""Digits of a token's number."""

STARTED = int(time.time())


class Strict(BaseModel):
    """A request whose unknown fields are refused rather than ignored, and in which null is a field's default."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _default_for_null(cls, value: object, info: ValidationInfo) -> object:
        assert info.field_name is not None
        field = cls.model_fields[info.field_name]
        return field.get_default() if value is None and not field.is_required() else value


class StreamOptions(Strict):
    """Settings of a stream."""

    include_usage: bool = False
    """End with a chunk that has ``usage``."""


class CompletionRequest(Strict):
    """Texts to write. Defaults are those of OpenAI, except for temperature and the like: there they are textseq's."""

    model: str = Field(description="A language model, as in /v1/models.")
    prompt: str | list[str] = Field("", description="How the text begins, or several beginnings.")
    max_tokens: int = Field(16, ge=0, description="Tokens to generate at most.")
    temperature: float | None = Field(None, ge=0, le=100, description="Divides the logits; 0 is greedy.")
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus sampling.")
    n: int = Field(1, ge=1, description="Texts for each prompt; with a seed, their seeds are seed, seed + 1...")
    stop: str | list[str] | None = Field(None, description="The text ends before the first of these strings.")
    seed: int | None = Field(None, ge=0, le=LARGEST_SEED, description="The same seed gives the same text.")
    logit_bias: dict[str, Annotated[float, Field(ge=-LARGEST_BIAS, le=LARGEST_BIAS)]] = Field(
        {}, description="Added to the logits of tokens; a key is the number of a token in the vocabulary, or its text."
    )
    logprobs: int | None = Field(
        None,
        ge=0,
        le=MOST_ALTERNATIVES,
        description="Report each token and so many likeliest ones with log-probabilities.",
    )
    echo: bool = Field(False, description="Begin with the prompt.")
    stream: bool = Field(False, description="Answer as server-sent events while the text is written.")
    stream_options: StreamOptions | None = None
    top_k: int | None = Field(None, ge=1, description="Sample from the k likeliest tokens.")
    min_p: float | None = Field(None, ge=0, le=1, description="Least probability, as a share of the likeliest token's.")
    typical_p: float | None = Field(None, gt=0, le=1, description="Locally typical sampling.")
    repetition_penalty: float | None = Field(None, ge=0.01, le=100, description="Makes tokens of the text less likely.")
    no_repeat_ngram_size: int | None = Field(None, ge=0, description="No n-gram of this size comes twice.")
    condition: str | None = Field(
        None,
        max_length=1_000,
        description='For an author of a conditional model: shares of its authors, such as "austen=0.7,poe=0.3".',
    )
    user: str | None = Field(None, description="Not used.")
    best_of: int | None = Field(None, description="Not supported: only n, or null.")
    suffix: str | None = Field(None, description="Not supported: only null.")
    presence_penalty: float | None = Field(None, description="Not supported: only 0; see repetition_penalty.")
    frequency_penalty: float | None = Field(None, description="Not supported: only 0; see repetition_penalty.")


class Logprobs(BaseModel):
    """Tokens and their log-probabilities in nats, before temperature and other settings."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    top_texts: list[dict[str, str | None]]
    """The text of tokens in top_logprobs whose name is not their text; null: a part of a character."""
    text_offset: list[int]
    """Where each token begins in the text, in characters."""


class Choice(BaseModel):
    """A text, or in a stream the next part of one."""

    index: int
    """Number of the prompt times n, plus the number of its text."""
    text: str
    logprobs: Logprobs | None = None
    finish_reason: Literal["stop", "length"] | None = None


class Usage(BaseModel):
    """Tokens of all texts of a request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(BaseModel):
    """The answer."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None


class Model(BaseModel):
    """A language model."""

    id: str
    object: Literal["model"] = "model"
    created: int = STARTED
    owned_by: str


class ModelList(BaseModel):
    """All language models."""

    object: Literal["list"] = "list"
    data: list[Model]


@router.get("/models")
async def list_models(request: Request) -> ModelList:
    """The language models that can write."""
    return ModelList(data=[_model(request, name) for name in server_of(request).models.of_task("language-model")])


@router.get("/models/{name}")
async def get_model(request: Request, name: str) -> Model:
    """One language model."""
    if name not in server_of(request).models.of_task("language-model"):
        raise RequestError(404, f"unknown model '{name:.100}'; GET /v1/models lists them", param="model")
    return _model(request, name)


@router.post(
    "/completions", response_model=Completion, responses={200: {"content": {"text/event-stream": {"schema": {}}}}}
)
async def complete(request: Request, body: CompletionRequest) -> Completion | StreamingResponse:
    """Write texts. ``stream`` gives server-sent events, each a ``Completion`` with the next part of one text."""
    _check(request, body)
    loaded, generator = await server_of(request).models.generator(body.model)
    texts = _texts(body, loaded, generator, server_of(request).limits.max_prompt_tokens)
    answer = _Answer(body, texts, generator)
    assert loaded.engine is not None
    if not body.stream:
        return await answer.whole(loaded.engine)
    events = answer.events(loaded.engine)
    first = await anext(events)  # an error before the text begins still has a status
    return StreamingResponse(
        _resumed(first, events), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


@router.post("/chat/completions", include_in_schema=False)
async def chat() -> None:
    """Refuse to chat."""
    raise RequestError(404, "chat is not offered, as these models continue texts; use /v1/completions")


class _Answer:
    """The answer to a request, in the making."""

    def __init__(self, body: CompletionRequest, texts: Sequence[TextRequest], generator: TextGenerator) -> None:
        self.body, self.texts = body, texts
        self.id, self.created = f"cmpl-{uuid.uuid4().hex}", int(time.time())
        prompts = [text.prompt for text in texts[:: body.n]]
        self.prompt_tokens = sum(len(generator.tokenizer.encode(prompt)) for prompt in prompts)
        self.generated = [0] * len(texts)

    async def whole(self, engine: TextEngine) -> Completion:
        """All texts."""
        parts: list[list[Delivery]] = [[] for _ in self.texts]
        async with aclosing(engine.stream(self.texts)) as deliveries:
            async for number, delivery in deliveries:
                parts[number].append(delivery)
                self.generated[number] = delivery.generated
        choices = [
            Choice(
                index=number,
                text="".join(part.text for part in several),
                logprobs=self._logprobs([*chain.from_iterable(part.tokens for part in several)]),
                finish_reason=several[-1].reason,
            )
            for number, several in enumerate(parts)
        ]
        return self._completion(choices, self._usage())

    async def events(self, engine: TextEngine) -> AsyncGenerator[str, None]:
        """The texts as server-sent events."""
        begun = False
        try:
            async with aclosing(engine.stream(self.texts)) as deliveries:
                async for number, delivery in deliveries:
                    begun = True
                    self.generated[number] = delivery.generated
                    logprobs = self._logprobs(delivery.tokens)
                    choice = Choice(index=number, text=delivery.text, logprobs=logprobs, finish_reason=delivery.reason)
                    yield _event(self._completion([choice], None).model_dump_json())
        except RequestError as error:
            if not begun:
                raise
            yield _event(json.dumps({"error": {"message": error.message, "type": "server_error"}}))
            return
        if self.body.stream_options is not None and self.body.stream_options.include_usage:
            yield _event(self._completion([], self._usage()).model_dump_json())
        yield _event("[DONE]")

    def _completion(self, choices: list[Choice], usage: Usage | None) -> Completion:
        return Completion(id=self.id, created=self.created, model=self.body.model, choices=choices, usage=usage)

    def _usage(self) -> Usage:
        prompt, completion = self.prompt_tokens, sum(self.generated)
        return Usage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)

    def _logprobs(self, tokens: Sequence[TokenReport]) -> Logprobs | None:
        if self.body.logprobs is None:
            return None
        return Logprobs(
            tokens=[token.text for token in tokens],
            token_logprobs=[token.log_p for token in tokens],
            top_logprobs=[dict(token.likeliest) for token in tokens],
            top_texts=[dict(token.texts) for token in tokens],
            text_offset=[token.offset for token in tokens],
        )


def _texts(
    body: CompletionRequest, loaded: LoadedModel, generator: TextGenerator, max_prompt_tokens: int
) -> list[TextRequest]:
    """The texts to generate, n for each prompt."""
    names, biases = generator.tokenizer.vocabulary, {}
    for key, bias in body.logit_bias.items():
        is_number = key.isascii() and key.isdecimal()
        if is_number and (len(key) > MOST_DIGITS or int(key) >= len(names)):
            raise RequestError(
                400, f"logit_bias: expected tokens below {len(names):,}, got {key:.20}", param="logit_bias"
            )
        biases[names[int(key)] if is_number else key] = bias
    stops = [body.stop] if isinstance(body.stop, str) else body.stop or []
    settings = {
        name: value
        for name in (
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "typical_p",
            "repetition_penalty",
            "no_repeat_ngram_size",
        )
        if (value := getattr(body, name)) is not None
    }
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    texts = []
    for prompt in prompts:
        count = len(generator.tokenizer.encode(prompt))
        if count > max_prompt_tokens:
            raise RequestError(
                400, f"prompt: expected at most {max_prompt_tokens:,} tokens, got {count:,}; shorten it", param="prompt"
            )
        for number in range(body.n):
            seed = None if body.seed is None else (body.seed + number) % (LARGEST_SEED + 1)
            config = GenerationConfig.from_dict(
                {
                    **settings,
                    "max_new_tokens": body.max_tokens,
                    "seed": seed,
                    "logit_bias": biases,
                    "stop_strings": (*stops,),
                },
                where="the request",
            )
            texts.append(TextRequest(prompt, config, body.logprobs, body.echo, body.stream, body.condition))
    return texts


def _check(request: Request, body: CompletionRequest) -> None:
    """Refuse what asks for too much, or for what there is not."""
    limits = server_of(request).limits
    if body.max_tokens > limits.max_tokens:
        raise RequestError(
            400, f"max_tokens: expected at most {limits.max_tokens:,}, got {body.max_tokens:,}", param="max_tokens"
        )
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    if not prompts:
        raise RequestError(400, "prompt: expected a text or a list of texts, got an empty list", param="prompt")
    check_texts(request, prompts, param="prompt", characters=False, copies=body.n)
    stops = body.stop if isinstance(body.stop, list) else []
    if len(stops) > MOST_ALTERNATIVES:
        raise RequestError(400, f"stop: expected at most {MOST_ALTERNATIVES} strings, got {len(stops)}", param="stop")
    for name in ("presence_penalty", "frequency_penalty"):
        if getattr(body, name):
            raise RequestError(400, f"{name}: not supported; use repetition_penalty", param=name)
    if body.suffix:
        raise RequestError(400, "suffix: not supported; leave it out", param="suffix")
    if body.best_of not in (None, body.n):
        raise RequestError(400, "best_of: not supported; leave it out", param="best_of")


def _model(request: Request, name: str) -> Model:
    shipped = server_of(request).models.entries()[name].shipped
    return Model(id=name, owned_by="textseq" if shipped else "you")


async def _resumed(first: str, rest: AsyncGenerator[str, None]) -> AsyncIterator[str]:
    """An iterator whose first item has been taken."""
    async with aclosing(rest):
        yield first
        async for item in rest:
            yield item


def _event(data: str) -> str:
    return f"data: {data}\n\n"
