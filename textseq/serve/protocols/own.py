"""textseq's own addresses: classification, tagging, surprisal, attention, units of a network."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from textseq.serve.errors import RequestError
from textseq.serve.inside import Inside
from textseq.serve.operations import (
    Align,
    Classify,
    Explain,
    FindCopied,
    ScoreText,
    Tag,
    Translate,
    log_p_per_token,
    token_texts,
)
from textseq.serve.protocols.markup import parts_of
from textseq.serve.protocols.openai import Strict
from textseq.serve.requests import TimedRoute, authorized, check_texts, server_of
from textseq.tasks.translation.config import TranslationConfig

router = APIRouter(route_class=TimedRoute, tags=["textseq"], dependencies=[Depends(authorized)])

MOST_BEAMS = 50


class Entry(BaseModel):
    """A model."""

    name: str
    task: str
    shipped: bool
    title: str
    """Of the corpus that it was trained on."""
    licence: str
    language: str | None
    source: str | None
    """Codes of the languages of a translator."""
    target: str | None
    labels: list[str]


class TextsRequest(Strict):
    """Texts, and the model to use."""

    model: str
    texts: str | list[str]

    @property
    def several(self) -> list[str]:
        """The texts as a list."""
        return [self.texts] if isinstance(self.texts, str) else self.texts


class ClassifyRequest(TextsRequest):
    """Texts to classify."""

    explain: bool = Field(False, description="Also what each word contributed, by integrated gradients.")
    label: str | None = Field(None, description="The label to explain; default: the most probable one.")


class Contribution(BaseModel):
    """A word, with the space before it."""

    text: str
    nats: float
    """What it adds to the log odds of the label."""


class Explained(BaseModel):
    """How a label came about; all numbers are log odds in nats."""

    label: str
    score: float
    """Of the text."""
    baseline: float
    """Of a text without meaning."""
    words: list[Contribution]


class Classified(BaseModel):
    """The label of a text."""

    label: str
    labels: list[str]
    """The label; or all labels, if the model gives several or none."""
    probability: float
    probabilities: dict[str, float]
    explanation: Explained | None = None


class TagRequest(TextsRequest):
    """Sentences to tag."""

    words: Literal["nltk", "spaces"] = Field("nltk", description="How words are split.")


class SpanAnswer(BaseModel):
    """What tags mark, such as a named entity."""

    kind: str
    start: int
    end: int
    text: str


class Tagged(BaseModel):
    """The tags of a sentence."""

    words: list[str]
    tags: list[str]
    probabilities: list[float]
    spans: list[SpanAnswer]
    aligned: bool
    """Whether each word has a tag."""


class TokenSurprisal(BaseModel):
    """The text of a token."""

    text: str
    nats: float
    """Its surprisal."""


class Scored(BaseModel):
    """The surprisal of a text under a language model."""

    nats: float
    bits_per_character: float
    perplexity: float
    pieces: list[TokenSurprisal]


class SentencesRequest(Strict):
    """A text to split into sentences."""

    text: str


class TextPart(BaseModel):
    """A sentence, or what is between two."""

    text: str
    translate: bool
    """Whether it is a sentence to translate; what is not stays as it is."""


class AttentionRequest(Strict):
    """A sentence to translate, with a look at the attention."""

    model: str
    text: str
    target: str | None = Field(None, description="A translation of yours to look at, in place of the model's own.")
    num_beams: int = Field(TranslationConfig().num_beams, ge=1, le=MOST_BEAMS)
    alternatives: int = Field(0, ge=0, le=MOST_BEAMS - 1, description="Further candidates of the beam, at most.")


class Candidate(BaseModel):
    """A translation."""

    text: str
    log_p_per_token: float
    """Mean log-probability of its tokens, in nats."""
    doubtful: bool
    """Whether that is low, or the translation was cut off."""
    tokens: list[str]
    """T tokens; ``</s>`` ends a complete translation."""
    texts: list[str]
    """The text of each token, with the space before it; a character of several tokens is the text of the last one."""
    attention: list[list[float]] | None
    """Weights, (T, S); null for models without attention."""


class Attention(BaseModel):
    """Translations of a sentence, best first."""

    source: list[str]
    """What each of the S tokens stands for in the sentence, as ``texts`` of a candidate; "" for the last, ``</s>``."""
    candidates: list[Candidate]


class CopiedRequest(Strict):
    """A text to compare with the training text of a model."""

    model: str
    text: str


class Copied(BaseModel):
    """What a text copies verbatim."""

    spans: list[Annotated[list[int], Field(min_length=2, max_length=2)]]
    """Start and end of what is copied in runs of 30 characters or more."""
    longest: str
    """The longest copied run, of any length."""
    source: str
    """Name of the training text."""


class InsideRequest(Strict):
    """A text, and the numbers of the network to show over it."""

    model: str
    text: str
    quantity: str = Field("h", description="h: hidden state, c: cell of an LSTM, or the letter of a gate.")
    layer: int = Field(0, ge=0)
    unit: int | None = Field(None, ge=0, description="Default: the unit that follows something nameable best.")


class Follower(BaseModel):
    """A unit that follows something nameable."""

    what: str
    unit: int
    correlation: float


class InsideAnswer(BaseModel):
    """A unit over the tokens of a text."""

    quantities: list[str]
    layers: int
    units: int
    unit: int
    pieces: list[str]
    """The text of each token."""
    values: list[float]
    """Of the unit after it has read that token."""
    followers: list[Follower]


@router.get("/models")
async def models(request: Request) -> list[Entry]:
    """All models that are served."""
    return [
        Entry(
            name=entry.name,
            task=entry.info.task,
            shipped=entry.shipped,
            title=entry.info.corpus.title,
            licence=entry.info.corpus.licence,
            language=entry.info.language,
            source=entry.info.source_language,
            target=entry.info.target_language,
            labels=[*entry.info.labels],
        )
        for entry in server_of(request).models.entries().values()
    ]


@router.post("/classify")
async def classify(request: Request, body: ClassifyRequest) -> list[Classified]:
    """The label of each text, with calibrated probabilities."""
    check_texts(request, body.several, param="texts")
    if body.label is not None and not body.explain:
        raise RequestError(
            400, "label: expected only with explain, which it is for; add explain or leave it out", param="label"
        )
    loaded, classifier = await server_of(request).models.classifier(body.model)
    results = await loaded.gatherer.compute(body.several, Classify(classifier))
    answers = [
        Classified(
            label=result.label,
            labels=[*result.labels],
            probability=result.probability,
            probabilities=result.probabilities,
        )
        for result in results
    ]
    if body.explain:
        explanations = await loaded.gatherer.compute(body.several, Explain(classifier, body.label))
        for answer, explanation in zip(answers, explanations, strict=True):
            words = [Contribution(text=word, nats=nats) for word, nats in explanation.words]
            answer.explanation = Explained(
                label=explanation.label, score=explanation.score, baseline=explanation.baseline, words=words
            )
    return answers


@router.post("/tag")
async def tag(request: Request, body: TagRequest) -> list[Tagged]:
    """The tag of each word of each sentence."""
    check_texts(request, body.several, param="texts")
    loaded, tagger = await server_of(request).models.tagger(body.model)
    results = await loaded.gatherer.compute(body.several, Tag(tagger, body.words))
    return [
        Tagged(
            words=[*result.words],
            tags=[*result.tags],
            probabilities=[*result.probabilities],
            spans=[SpanAnswer(kind=span.kind, start=span.start, end=span.end, text=span.text) for span in result.spans],
            aligned=result.aligned,
        )
        for result in results
    ]


@router.post("/score")
async def score(request: Request, body: TextsRequest) -> list[Scored]:
    """The surprisal of each text."""
    check_texts(request, body.several, param="texts")
    loaded, generator = await server_of(request).models.generator(body.model)
    results = await loaded.gatherer.compute(body.several, ScoreText(generator))
    return [
        Scored(
            nats=result.nats,
            bits_per_character=result.bits_per_character,
            perplexity=result.perplexity,
            pieces=[TokenSurprisal(text=piece.text, nats=piece.nats) for piece in result.pieces],
        )
        for result in results
    ]


@router.post("/sentences")
async def sentences(request: Request, body: SentencesRequest) -> list[TextPart]:
    """The sentences that ``/translate`` translates one by one, and what is between them; joined they are the text."""
    check_texts(request, [body.text], param="text")
    parts = await asyncio.to_thread(parts_of, body.text)
    return [TextPart(text=part.text, translate=part.translate) for part in parts]


@router.post("/attention")
async def attention(request: Request, body: AttentionRequest) -> Attention:
    """Translations of a sentence, or the one given, with their attention weights and probabilities."""
    check_texts(request, [body.text, body.target or ""], param="text")
    loaded, translator = await server_of(request).models.translator(body.model)
    operation = (
        Translate(translator, body.num_beams, body.alternatives + 1, attention=True)
        if body.target is None
        else Align(translator, body.target)
    )
    (results,) = await loaded.gatherer.compute([body.text], operation)
    texts = token_texts(results[0].source_tokens)
    surfaces = results[0].source_surfaces or texts
    return Attention(
        source=[surface if text else "" for surface, text in zip(surfaces, texts, strict=True)],
        candidates=[
            Candidate(
                text=result.text,
                log_p_per_token=log_p_per_token(result),
                doubtful=result.doubtful or not result.finished,
                tokens=[*result.tokens],
                texts=token_texts(result.tokens),
                attention=None if result.attention is None else result.attention.tolist(),
            )
            for result in results
        ],
    )


@router.post("/memorization")
async def memorization(request: Request, body: CopiedRequest) -> Copied:
    """What a text copies from the training text of a model, if that is on the server's machine."""
    check_texts(request, [body.text], param="text")
    loaded, generator = await server_of(request).models.generator(body.model)
    (found,) = await loaded.gatherer.compute([body.text], FindCopied(generator))
    return Copied(spans=[[*span] for span in found.copied_spans], longest=found.run, source=found.source)


@router.post("/inside")
async def inside(request: Request, body: InsideRequest) -> InsideAnswer:
    """A unit of a language model over a text, and the units that follow something nameable."""
    check_texts(request, [body.text], param="text")
    loaded, generator = await server_of(request).models.generator(body.model)
    (view,) = await loaded.gatherer.compute([body.text], Inside(generator, body.quantity, body.layer, body.unit))
    followers = [Follower(what=what, unit=unit, correlation=value) for what, unit, value in view.followers]
    return InsideAnswer(
        quantities=[*view.quantities],
        layers=view.layers,
        units=view.units,
        unit=view.unit,
        pieces=[*view.pieces],
        values=[*view.values],
        followers=followers,
    )
