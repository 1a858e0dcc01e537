"""Evaluation of a language model on a text: with the state carried over, in windows, or adapting to the text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from textseq.checkpoints.model_info import ModelInfo
from textseq.data.token_files import DocumentSet
from textseq.errors import TextseqError
from textseq.io.paths import cache_folder
from textseq.metrics.language_model import LanguageModelMetrics
from textseq.metrics.signature import data_signature, signature_of
from textseq.nn.kernels.linear_cross_entropy import summed_nats
from textseq.tasks.language_model.adaptation.cache import NeuralCache
from textseq.tasks.language_model.adaptation.dynamic import DynamicModel
from textseq.tasks.language_model.condition import (
    Conditioned,
    TextConditions,
    condition_count,
    condition_name,
    numbers_for,
)
from textseq.tasks.language_model.config import AdaptationConfig, LanguageEvaluationConfig
from textseq.tasks.language_model.encoded import encoded, encoded_under, with_known_conditions
from textseq.tasks.language_model.model import LanguageModel
from textseq.tokenizers.base import Tokenizer

CHUNK = 2048
"""Positions per forward pass; affects memory and speed, not the result."""


def measure(
    model: LanguageModel,
    ids: np.ndarray,
    *,
    setup: str,
    characters: float | None = None,
    words: float = 0,
    window: int | None = None,
    streams: int = 1,
    first: int | None = None,
    conditions: TextConditions | None = None,
    condition: str = "",
    adaptation: AdaptationConfig | None = None,
    progress: Callable[[int], object] = lambda count: None,
) -> LanguageModelMetrics:
    """Compute the loss of a language model on a text.

    Every token but the first is predicted once. Without ``window`` the state is carried over the whole text from the
    initial state, or over each of ``streams`` equal parts read in parallel (faster; each part starts from the initial
    state). With ``window`` each window of that many tokens starts from the initial state. With ``conditions`` each
    document starts from its own initial state.

    Args:
        model: in evaluation mode during the call.
        ids: the text, (L,).
        setup: first fields of the signature, such as ``corpus:NAME|split:test|tokens:char``.
        characters: characters of the whole text; None counts each token as one.
        words: words of the whole text; 0 if they were not counted.
        window: tokens per window.
        streams: parallel parts of the text, without ``window``.
        first: limit on the predictions, from the beginning; stated in the signature. With ``conditions`` each stream
            begins at its part of the text and stops early, so that few of the conditions are left out.
        conditions: of the text's documents, for a conditional model.
        condition: the name of the one that they all have, stated in the signature; "" if each has its own.
        adaptation: of the model to the text, while it is read; stated in the signature. Dynamic evaluation reads one
            stream; a cache is empty where the state is initial, except at the start of a document.
        progress: called with the number of predictions of each forward pass.

    Raises:
        TextseqError: a text of fewer than two tokens, or a learning rate at which dynamic evaluation diverges.
    """
    if len(ids) < 2:
        raise TextseqError(f"expected a text of at least 2 tokens, got {len(ids)}; give more text")
    whole = len(ids)
    count = whole - 1
    if first is not None and first < count:
        setup += f"|{'first' if conditions is None else 'spread'}:{first}"
        count = first
        ids = ids[: first + 1] if conditions is None or window is not None else ids
    carried = "carried" if conditions is None else "fresh-per-document"
    if conditions is not None:
        setup += f"|condition:{condition or 'given'}"
    adaptation = adaptation or AdaptationConfig()
    was_training = model.training
    model.eval()
    if adaptation.dynamic:
        nats = _learning(model, ids, adaptation, conditions, progress)
        setup += f"|state:{carried}|streams:1"
    else:
        reader = NeuralCache(model, adaptation) if adaptation.cache else model
        with torch.inference_mode():
            if window is None:
                nats, count = _carried(reader, ids, min(streams, count), conditions, progress, -(-count // streams))
                setup += f"|state:{carried}|streams:{min(streams, count)}"
            else:
                nats = _windowed(reader, ids, window, conditions, progress)
                setup += f"|state:fresh-per-window|window:{window}"
    model.train(was_training)
    share = (whole if characters is None else characters) * count / whole
    signature = signature_of(f"{setup}{adaptation.signature}")
    return LanguageModelMetrics(nats, count, share, signature, words * count / whole, condition)


def measure_split(
    model: LanguageModel,
    tokenizer: Tokenizer,
    info: ModelInfo,
    dataset: DocumentSet,
    split: str,
    config: LanguageEvaluationConfig,
    condition: Conditioned | None = None,
    progress: Callable[[int], object] = lambda count: None,
) -> LanguageModelMetrics:
    """Compute the loss of a language model on a split of a dataset; see ``measure``.

    Args:
        model: in evaluation mode during the call.
        tokenizer: of the model.
        info: its metadata.
        dataset: the text.
        split: of the dataset.
        config: how to read it.
        condition: of all documents; None: each has its own.
        progress: called with the number of predictions of each forward pass.

    Raises:
        TextseqError: the dataset lacks the split, its documents have other conditions than the model, or conditions of
            their own beside ``condition``.
    """
    conditional = condition_count(info) > 0
    if (numbers := None if condition is None else numbers_for(condition, info)) is not None:
        text = encoded_under(numbers, dataset, split, tokenizer, cache_folder())
    else:
        dataset = with_known_conditions(dataset, info) if conditional else dataset
        text = encoded(dataset, split, tokenizer, cache_folder())
    return measure(
        model,
        text.tokens.ids,
        setup=f"{data_signature(dataset.name, dataset.splits, split)}|tokens:{tokenizer.signature}",
        characters=text.tokens.characters,
        words=text.tokens.words,
        conditions=text.conditions if conditional else None,
        condition="" if condition is None else condition_name(condition),
        window=config.window,
        streams=config.streams,
        adaptation=config,
        progress=progress,
    )


def _learning(
    model: LanguageModel,
    ids: np.ndarray,
    adaptation: AdaptationConfig,
    conditions: TextConditions | None,
    progress: Callable[[int], object],
) -> float:
    """The loss of one stream with dynamic evaluation."""
    device = model.device
    text = torch.from_numpy(ids.astype(np.int64)).to(device)
    table = None if conditions is None else torch.from_numpy(conditions.table).to(device)
    learner = DynamicModel(model, adaptation, text[:1], table)

    def told(start: int, end: int) -> dict[str, torch.Tensor]:
        return _told(conditions, np.arange(start, end)[None], device)

    return learner.read_text(text, told, progress)


def _carried(
    model: LanguageModel | NeuralCache,
    ids: np.ndarray,
    streams: int,
    conditions: TextConditions | None,
    progress: Callable[[int], object],
    most: int,
) -> tuple[float, int]:
    """The loss of parallel streams that read at most so many tokens each, and the number of predictions."""
    count = len(ids) - 1
    spacing = -(-count // streams)  # the last stream may be shorter
    length = min(spacing, most)
    device = model.device
    state = None
    total, predicted = 0.0, 0
    starts = spacing * np.arange(streams)
    ends = np.minimum(starts + length, count)
    step = max(1, CHUNK // streams)
    for t in range(0, length, step):
        columns = starts[:, None] + np.arange(t, min(t + step, length))[None, :]  # (N, T)
        real = torch.from_numpy(columns < ends[:, None]).to(device)
        columns = np.minimum(columns, count - 1)
        inputs = torch.from_numpy(ids[columns].astype(np.int64)).to(device)
        targets = torch.from_numpy(ids[columns + 1].astype(np.int64)).to(device)
        logits, state = model(inputs, state, **_told(conditions, columns, device))
        total += float(summed_nats(logits[real], targets[real]))
        predicted += int(real.sum())
        progress(int(real.sum()))
    return total, predicted


def _windowed(
    model: LanguageModel | NeuralCache,
    ids: np.ndarray,
    window: int,
    conditions: TextConditions | None,
    progress: Callable[[int], object],
) -> float:
    count = len(ids) - 1
    device = model.device
    whole = count // window
    total = 0.0
    rows = max(1, CHUNK // window)
    pieces = [(first * window, min(rows, whole - first), window) for first in range(0, whole, rows)]
    if count % window:
        pieces.append((whole * window, 1, count % window))
    for start, n, length in pieces:
        block = ids[start : start + n * length + 1].astype(np.int64)
        inputs = torch.from_numpy(block[:-1]).view(n, length).to(device)
        targets = torch.from_numpy(block[1:]).view(n, length).to(device)
        columns = start + np.arange(n * length).reshape(n, length)
        logits, _ = model(inputs, None, **_told(conditions, columns, device))
        total += float(summed_nats(logits, targets))
        progress(n * length)
    return total


def _told(conditions: TextConditions | None, positions: np.ndarray, device: torch.device) -> dict[str, torch.Tensor]:
    """The conditions of the tokens at positions (N, T)."""
    if conditions is None:
        return {}
    return {"conditions": conditions.at(positions).to(device), "resets": conditions.begins(positions)}
