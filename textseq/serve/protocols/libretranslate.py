"""LibreTranslate's protocol: ``/languages``, ``/translate``, ``/detect`` and ``/frontend/settings``.

Bodies are JSON or forms. Model folders know languages by code (translators) or by name (language models).
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeVar
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field, ValidationError

from textseq.serve.errors import RequestError
from textseq.serve.operations import Likelihood, Translate
from textseq.serve.protocols.markup import Part, joined, parts_of
from textseq.serve.protocols.openai import Strict
from textseq.serve.requests import TimedRoute, bearer_key, check_key, check_texts, sentence, server_of
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.translation.config import TranslationConfig
from textseq.tasks.translation.result import Translation
from textseq.tasks.translation.translator import Translator

Body = TypeVar("Body", bound=BaseModel)

router = APIRouter(route_class=TimedRoute, tags=["LibreTranslate"])

NAMES: Mapping[str, str] = {
    "cs": "Czech", "de": "German", "en": "English", "es": "Spanish", "fr": "French", "it": "Italian", "nl": "Dutch",
    "pl": "Polish", "pt": "Portuguese", "ru": "Russian", "uk": "Ukrainian",
}  # fmt: skip
"""Languages by code; others are called by their code."""

DETECTED = 200
"""Characters by which a language is recognized."""

MOST_ALTERNATIVES = 10

MOST_FIELDS = 100
"""Fields of a form."""


class TranslateRequest(Strict):
    """A text to translate, or several."""

    q: str | list[str] = Field(description="The text, or a list of texts; sentence by sentence is translated.")
    source: str = Field("auto", description='Code of its language; "auto": of the one that fits it best.')
    target: str = Field(description="Code of the language to translate into.")
    format: Literal["text", "html"] = Field(
        "text", description="html: tags are kept, and what is between is translated."
    )
    alternatives: int = Field(0, ge=0, le=MOST_ALTERNATIVES, description="Further translations of each text, at most.")
    api_key: str = ""


class DetectRequest(Strict):
    """A text whose language is wanted."""

    q: str
    api_key: str = ""


class Language(BaseModel):
    """A language that can be translated."""

    code: str
    name: str
    targets: list[str]


class Detected(BaseModel):
    """A language, and how likely it is of the text."""

    language: str
    confidence: float
    """In percent."""


class Translated(BaseModel):
    """Translations, lists if ``q`` is one. What was not asked for is left out."""

    translatedText: str | list[str]
    alternatives: list[str] | list[list[str]] | None = None
    detectedLanguage: Detected | list[Detected] | None = None


async def _fields(request: Request) -> dict[str, object]:
    """The fields of a body: JSON, or a form."""
    body, kind = await request.body(), request.headers.get("content-type", "").lower()
    if kind.startswith("application/x-www-form-urlencoded"):
        return _form(body.decode("utf-8", "replace"))
    if kind.startswith("multipart/"):
        raise RequestError(
            400, f"expected JSON or a form in application/x-www-form-urlencoded (curl -d, not -F), got {kind:.40}"
        )
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise RequestError(400, "expected a JSON object or a form, got neither; see /docs") from None
    if not isinstance(fields, dict):
        raise RequestError(400, f"expected a JSON object, got {type(fields).__name__}; see /docs")
    return fields


def _form(body: str) -> dict[str, object]:
    try:
        pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise RequestError(400, f"expected a form of at most {MOST_FIELDS} fields, got more; see /docs") from None
    fields: dict[str, object] = {}
    for name, value in pairs:
        if name in fields:
            raise RequestError(400, f"{name:.60}: expected one value, got several; send a list of texts as JSON")
        fields[name] = value
    return fields


def _body(model: type[BaseModel]) -> dict[str, object]:
    """The body of a route in the OpenAPI document."""
    schema = model.model_json_schema()
    kinds = ("application/json", "application/x-www-form-urlencoded")
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}}


Fields = Annotated[dict[str, object], Depends(_fields)]


@router.get("/languages")
async def languages(request: Request) -> list[Language]:
    """The languages that can be translated, and into which."""
    targets: dict[str, list[str]] = {}
    for source, target in _directions(request):
        targets.setdefault(source, []).append(target)
    return [Language(code=code, name=NAMES.get(code, code), targets=sorted(targets[code])) for code in sorted(targets)]


@router.get("/frontend/settings")
async def frontend_settings(request: Request) -> dict[str, object]:
    """What a user interface has to know."""
    server, directions = server_of(request), sorted(_directions(request))
    default = {"source": {"code": "auto", "name": "Auto Detect"}}
    if directions:
        code = directions[0][1]
        default["target"] = {"code": code, "name": NAMES.get(code, code)}
    return {
        "apiKeys": server.access.api_key is not None,
        "charLimit": server.limits.max_characters,
        "batchLimit": server.limits.max_texts,
        "frontendTimeout": 500,
        "keyRequired": server.access.api_key is not None,
        "language": default,
        "suggestions": False,
        "supportedFilesFormat": [],
    }


@router.post("/detect", response_model=list[Detected], openapi_extra=_body(DetectRequest))
async def detect(request: Request, fields: Fields) -> list[Detected]:
    """The languages that a text may be in, the likeliest first, of those that a model here writes."""
    body = _validated(DetectRequest, fields)
    check_key(request, body.api_key or bearer_key(request))
    check_texts(request, [body.q], param="q")
    return (await _detected(request, [body.q], _recognizers(request)))[0]


@router.post(
    "/translate", response_model=Translated, response_model_exclude_none=True, openapi_extra=_body(TranslateRequest)
)
async def translate(request: Request, fields: Fields) -> Translated:
    """Translate a text or a list of texts."""
    body = _validated(TranslateRequest, fields)
    check_key(request, body.api_key or bearer_key(request))
    several = body.q if isinstance(body.q, list) else [body.q]
    check_texts(request, several, param="q")
    found: list[Detected] = []
    if body.source == "auto":
        found = [rows[0] for rows in await _detected(request, several, _candidates(request, body.target))]
    else:
        _check_languages(request, body.source, body.target)
    sources = [detected.language for detected in found] or [body.source] * len(several)
    texts = await _translated(request, several, sources, body)
    best, others = [options[0] for options in texts], [options[1:] for options in texts]
    wants = body.alternatives > 0
    if isinstance(body.q, list):
        return Translated(translatedText=best, alternatives=others if wants else None, detectedLanguage=found or None)
    alternatives = others[0] if wants else None
    return Translated(translatedText=best[0], alternatives=alternatives, detectedLanguage=found[0] if found else None)


async def _translated(
    request: Request, texts: Sequence[str], sources: Sequence[str], body: TranslateRequest
) -> list[list[str]]:
    """Each text translated, and alternatives, all different. What is in the target language, or blank, stays."""
    server, count, to_html = server_of(request), body.alternatives + 1, body.format == "html"
    beams = max(TranslationConfig().num_beams, count)
    stays = [not text.strip() or source == body.target for text, source in zip(texts, sources, strict=True)]
    pages = await asyncio.to_thread(lambda: [parts_of(text, html=to_html) for text in texts])
    answers = [[text] for text in texts]
    for source in {source for source, kept in zip(sources, stays, strict=True) if not kept}:
        loaded, translator = await server.models.translator(_direction(request, source, body.target))
        chosen = [n for n, other in enumerate(sources) if other == source and not stays[n]]
        sentences = [part.text for n in chosen for part in pages[n] if part.translate]
        results = await loaded.gatherer.compute(sentences, Translate(translator, beams, count))
        cut_off = sum(not translations[0].finished for translations in results)
        server.metrics.add("textseq_truncated_total", cut_off, model=loaded.name)
        rest = iter(results)
        for n in chosen:
            answers[n] = _options(pages[n], [next(rest) for part in pages[n] if part.translate], count)
    return answers


def _options(parts: Sequence[Part], results: Sequence[Sequence[Translation]], count: int) -> list[str]:
    """Texts from the translations of their sentences: of the best ones, of the second best ones..."""
    options = []
    for number in range(count):
        chosen = iter([translations[min(number, len(translations) - 1)].text for translations in results])
        options.append(joined([Part(next(chosen), part.escape) if part.translate else part for part in parts]))
    return list(dict.fromkeys(options))


def _recognizers(request: Request) -> dict[str, str]:
    """For each language that a model here writes, one of these: a translator, or else a language model that ships."""
    served = server_of(request).models
    translators = {target: name for (_, target), name in sorted(_directions(request).items(), reverse=True)}
    codes = {language: code for code, language in NAMES.items()}
    authors = {
        codes[info.language]: name
        for name, info in served.of_task("language-model").items()
        if info.language in codes and served.entries()[name].shipped
    }
    return authors | translators


def _candidates(request: Request, target: str) -> dict[str, str]:
    """Languages that a text to translate may be in, each with the model that recognizes it."""
    sources = sorted(source for source, other in _directions(request) if other == target)
    if not sources:
        _direction(request, "auto", target)
    recognizers = _recognizers(request)
    if recognizers.keys() >= {*sources}:
        return recognizers
    return {source: recognizers[source] for source in sources if source in recognizers} or {sources[0]: ""}


async def _detected(request: Request, texts: Sequence[str], candidates: Mapping[str, str]) -> list[list[Detected]]:
    """Candidates by their probability given each text, with equal probabilities before."""
    begins = [" ".join(text[:DETECTED].split()) for text in texts]
    log_ps: list[dict[str, float]] = [{} for _ in texts]
    for code, name in candidates.items() if len(candidates) > 1 else ():
        loaded = await server_of(request).models.open(name)
        assert isinstance(loaded.predictor, Translator | TextGenerator)
        known = [n for n, begin in enumerate(begins) if begin]
        values = await loaded.gatherer.compute([begins[n] for n in known], Likelihood(loaded.predictor))
        for n, value in zip(known, values, strict=True):
            log_ps[n][code] = value
    alone = [
        [Detected(language=code, confidence=100.0 * bool(begin)) for code in sorted(candidates)] for begin in begins
    ]
    return [_ranked(log_p) if log_p else rows for log_p, rows in zip(log_ps, alone, strict=True)]


def _ranked(log_p: Mapping[str, float]) -> list[Detected]:
    """Languages by the log-probability of a text in each, the likeliest first."""
    best = max(log_p.values())
    total = sum(math.exp(value - best) for value in log_p.values())
    return [
        Detected(language=code, confidence=round(100 * math.exp(value - best) / total, 1))
        for code, value in sorted(log_p.items(), key=lambda item: -item[1])
    ]


def _directions(request: Request) -> dict[tuple[str, str], str]:
    """A translator for each pair of languages; those that ship before one's own."""
    names: dict[tuple[str, str], str] = {}
    for name, info in server_of(request).models.of_task("translation").items():
        if info.source_language and info.target_language:
            names.setdefault((info.source_language, info.target_language), name)
    return names


def _direction(request: Request, source: str, target: str) -> str:
    """The translator of a direction."""
    directions = _directions(request)
    if (source, target) not in directions:
        if not directions:
            raise RequestError(400, "no translator is served; start textseq-serve with one, such as tatoeba-en-fr")
        known = ", ".join(f"{one} to {other}" for one, other in sorted(directions))
        raise RequestError(400, f"expected one of the directions {known}; got {source:.20} to {target:.20}")
    return directions[source, target]


def _check_languages(request: Request, source: str, target: str) -> None:
    """Refuse a direction that there is not; a language of some direction may be its own target."""
    if source != target or source not in {code for direction in _directions(request) for code in direction}:
        _direction(request, source, target)


def _validated(model: type[Body], fields: Mapping[str, object]) -> Body:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise RequestError(400, sentence(error.errors())) from None
