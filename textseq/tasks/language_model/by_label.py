"""A text under each label of a conditional model, and the temperature of the probabilities that come of it.

p(label | text) is proportional to p(text | label) p(label) (Yogatama et al. 2017, section 2.2). The factors of a text
are many and not independent, so these probabilities are too near to 0 and 1; a temperature that is fitted on other
texts corrects that.

Shapes: T tokens, C labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from textseq.metrics.classification import fit_temperature
from textseq.tasks.language_model.condition import TextConditions
from textseq.tasks.language_model.encoded import EncodedText
from textseq.tasks.language_model.model import LanguageModel

T = TypeVar("T")

CHUNK = 512
"""Tokens read at a time under all labels; bounds the memory."""
PASSAGE = 250
"""Tokens of a passage that the temperature is fitted on. It is nearly the same for 50 and for 500 characters."""
PASSAGES = 24
"""Passages of each label, at most."""
FEWEST = 10
"""Passages of all labels from which a temperature is fitted."""
MOST_READ = 4_000_000
"""Tokens that are read for it at most; each passage is read once under every label."""


def log_p_by_label(model: LanguageModel, start: Tensor, ids: np.ndarray) -> np.ndarray:
    """The log-probability of each token under each label, (C, T), in nats.

    Args:
        model: with C labels.
        start: the token that a text follows, (1,).
        ids: of a text, (T,); read from the initial state.
    """
    assert model.condition is not None
    labels = len(model.condition.table)
    targets = torch.from_numpy(ids).to(model.device)
    if len(targets) == 0:
        return np.zeros((labels, 0))
    inputs = torch.cat([start, targets])[:-1]
    with torch.inference_mode():
        state = model.initial_state(labels, torch.eye(labels, device=model.device))
        nats = []
        for read, wanted in zip(torch.split(inputs, CHUNK), torch.split(targets, CHUNK), strict=True):
            logits, state = model(read.expand(labels, -1), state)
            loss = cross_entropy(logits.float().transpose(1, 2), wanted.expand(labels, -1), reduction="none")
            nats.append(-loss.cpu())
    return torch.cat(nats, dim=1).double().numpy()


def label_temperature(
    model: LanguageModel, start: Tensor, text: EncodedText, *, progress: Callable[[int], object] = lambda count: None
) -> float | None:
    """The temperature that fits passages of a text best, to divide their log-probabilities by; None for too few.

    Args:
        model: with C labels.
        start: the token that a text follows, (1,).
        text: whose documents have labels.
        progress: called with the number of tokens of each passage.
    """
    assert text.conditions is not None and model.condition is not None
    count = passage_count(len(model.condition.table))
    log_ps, labels = [], []
    for ids, label in spread([*passages(np.asarray(text.tokens.ids), text.conditions)], count):
        log_ps.append(log_p_by_label(model, start, ids).sum(axis=1))
        labels.append(label)
        progress(len(ids))
    return fit_temperature(np.stack(log_ps), labels) if len(labels) >= FEWEST else None


def passages(ids: np.ndarray, conditions: TextConditions) -> Iterator[tuple[np.ndarray, int]]:
    """Passages of the documents of each label, evenly spread, none longer than ``PASSAGE``, with their label."""
    ends = [*conditions.starts[1:], len(ids)]
    cut: dict[int, list[slice]] = {}
    for start, end, label in zip(conditions.starts, ends, conditions.rows.tolist(), strict=True):
        cut.setdefault(label, []).extend(slice(at, min(at + PASSAGE, end)) for at in range(start, end, PASSAGE))
    for label, slices in cut.items():
        yield from ((ids[part].astype(np.int64), label) for part in spread(slices, PASSAGES))


def passage_count(labels: int) -> int:
    """Passages that the temperature of so many labels is fitted on, at most."""
    return min(PASSAGES * labels, MOST_READ // (PASSAGE * labels))


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many of the items, evenly spread."""
    return [
        items[index] for index in np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int))
    ]
