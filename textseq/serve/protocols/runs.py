"""Runs: their curves and cards, and a training of one's own text."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from textseq.serve.protocols.openai import Strict
from textseq.serve.requests import authorized, server_of
from textseq.serve.training import NAME_RULE

router = APIRouter(prefix="/runs", tags=["Training"], dependencies=[Depends(authorized)])


class TrainRequest(Strict):
    """A language model to train on a text."""

    name: str = Field(description=f"Of the new run: {NAME_RULE}.")
    text: str = Field(min_length=1, description="The training text.")
    max_minutes: float = Field(5, gt=0, le=100_000)
    cell: str = Field("lstm", pattern="^[a-z]+(-[a-z]+)*$", description="Recurrent cell, as --cell of textseq-train.")
    hidden_size: int = Field(256, ge=1, le=4096)
    num_layers: int = Field(1, ge=1, le=8)


class Runs(BaseModel):
    """All runs."""

    read_only: bool
    """Whether none can be started here."""
    names: list[str]


class Run(BaseModel):
    """A run so far."""

    name: str
    training: bool
    """Whether this server is training it now."""
    said: str
    """What the training that this server has started has said: progress, samples, errors."""
    points: list[dict[str, float]]
    """Rows of the log: step, loss, validation_loss, learning_rate, gradient_norm..."""
    card: str


@router.get("")
async def runs(request: Request) -> Runs:
    """The runs of the user's folder."""
    trainings = server_of(request).trainings
    return Runs(read_only=trainings.read_only, names=trainings.names())


@router.get("/{name}")
async def get_run(request: Request, name: str) -> Run:
    """The curves and the model card of a run, and what its training says, samples too."""
    trainings = server_of(request).trainings
    log = await asyncio.to_thread(trainings.log, name)
    running, said = await asyncio.to_thread(trainings.state, name)
    return Run.model_validate(
        {
            "name": name,
            "training": running,
            "said": said,
            "points": log.points,
            "card": log.card,
        }
    )


@router.post("", status_code=202)
async def start(request: Request, body: TrainRequest) -> Runs:
    """Begin to train a language model on a text; one training runs at a time."""
    values = {"max-minutes": body.max_minutes, "cell": body.cell}
    values |= {"hidden-size": body.hidden_size, "num-layers": body.num_layers}
    flags = [f"--{flag}={value}" for flag, value in values.items()]
    await asyncio.to_thread(server_of(request).trainings.start, body.name, body.text, flags)
    return await runs(request)


@router.post("/{name}/stop", status_code=202)
async def stop(request: Request, name: str) -> Runs:
    """Save and end the training that this server has started."""
    await asyncio.to_thread(server_of(request).trainings.stop, name)
    return await runs(request)


@router.post("/{name}/resume", status_code=202)
async def resume(request: Request, name: str) -> Runs:
    """Continue a run from its last checkpoint."""
    await asyncio.to_thread(server_of(request).trainings.resume, name)
    return await runs(request)
