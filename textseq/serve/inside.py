"""Units of a language model over the characters of a text, as in Karpathy, Johnson and Li (2015), section 4.2.

Shapes: T tokens, H units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from textseq.errors import TextseqError, unknown
from textseq.nn.trace import RecurrentTrace
from textseq.serve.gathering import Operation
from textseq.tasks.language_model.generator import TextGenerator

LONGEST = 2000
"""Tokens read; more of a text are not needed to see what a unit does."""

Numbers = npt.NDArray[np.float64]


def _inside(opening: str, closing: str) -> Callable[[str], Sequence[float]]:
    """For each character whether it is between two signs."""

    def feature(text: str) -> list[float]:
        depth, values = False, []
        for character in text:
            depth = (character in opening) if not depth else character not in closing
            values.append(float(depth))
        return values

    return feature


def _line_position(text: str) -> list[float]:
    """For each character its place in the line, up to 80."""
    place, values = 0, []
    for character in text:
        place = 0 if character == "\n" else place + 1
        values.append(min(place, 80) / 80)
    return values


def _each(test: Callable[[str], bool]) -> Callable[[str], Sequence[float]]:
    return lambda text: [float(test(character)) for character in text]


FEATURES: Mapping[str, Callable[[str], Sequence[float]]] = {
    "inside quotes": _inside('"“„«', '"”“»'),
    "inside parentheses": _inside("([", ")]"),
    "position in the line": _line_position,
    "upper case": _each(str.isupper),
    "word boundary": _each(lambda character: not character.isalnum()),
    "line end": _each(lambda character: character == "\n"),
    "vowel": _each(lambda character: character.lower() in "aeiouyąęóаеёиоуыэюя"),
    "digit": _each(str.isdigit),
    "punctuation": _each(lambda character: character in ".,;:!?"),
}
"""What a unit may follow: a number for each character of a text."""


@dataclass(frozen=True)
class View:
    """A unit over a text."""

    quantities: tuple[str, ...]
    """What else can be shown."""
    layers: int
    units: int
    unit: int
    pieces: tuple[str, ...]
    """The text of each token, (T,)."""
    values: tuple[float, ...]
    """(T,)."""
    followers: tuple[tuple[str, int, float], ...]
    """For each feature of the text the unit that follows it best, and the correlation, strongest first."""


@dataclass(frozen=True)
class Inside(Operation[View]):
    """Views of texts; without ``unit`` of the one that follows a feature best."""

    batched: ClassVar[bool] = False
    generator: TextGenerator
    quantity: str
    layer: int
    unit: int | None = None

    def __call__(self, texts: Sequence[str]) -> list[View]:
        return [self._view(text) for text in texts]

    def _view(self, text: str) -> View:
        tokenizer, model = self.generator.tokenizer, self.generator.model
        spans = tokenizer.spans(text)[:LONGEST]
        if not spans:
            raise TextseqError("text: expected at least one character, got none")
        ids = torch.from_numpy(tokenizer.encode(text)[:LONGEST]).to(self.generator.device)
        with torch.inference_mode():
            trace = model.trace(ids, self.generator.initial_state(1))
        quantities = _quantities(trace)
        layers, units = trace.h.shape[0], trace.h.shape[-1]
        if self.quantity not in quantities:
            raise unknown("quantity", self.quantity, quantities)
        if self.layer >= layers or (self.unit or 0) >= units:
            raise TextseqError(
                f"expected a layer below {layers} and a unit below {units}, got {self.layer} and {self.unit or 0}"
            )
        values = quantities[self.quantity][self.layer, 0, 0].double().cpu().numpy()  # (T, H)
        followers = _followers(values, text, [end for _, end in spans])
        unit = self.unit if self.unit is not None else followers[0][1] if followers else 0
        begun = [0, *(end for _, end in spans)]  # several tokens may spell one character
        pieces = tuple(text[max(start, before) : end] for (start, end), before in zip(spans, begun, strict=False))
        shown = tuple(np.round(values[:, unit], 4).tolist())
        return View(tuple(quantities), layers, units, unit, pieces, shown, followers)


def _quantities(trace: RecurrentTrace) -> dict[str, torch.Tensor]:
    """What a trace has, by name, (L, D, N, T, H) each."""
    states = dict(zip(("h", "c"), trace.states, strict=False))
    return states | {name: gate for name, gate in trace.gates.items() if name not in states}


def _followers(values: Numbers, text: str, ends: Sequence[int]) -> tuple[tuple[str, int, float], ...]:
    """For each feature that varies in the text, the unit (T, H) with the strongest correlation."""
    centred = values - values.mean(axis=0)
    norms = np.linalg.norm(centred, axis=0)
    found = []
    for name, feature in FEATURES.items():
        wanted = np.asarray(feature(text))[[end - 1 for end in ends]]
        wanted = wanted - wanted.mean()
        size = np.linalg.norm(wanted)
        if size > 1e-9:
            correlations = (wanted @ centred) / (size * np.maximum(norms, 1e-9))
            unit = int(np.abs(correlations).argmax())
            found.append((name, unit, round(float(correlations[unit]), 3)))
    return tuple(sorted(found, key=lambda row: -abs(row[2])))
