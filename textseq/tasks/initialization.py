"""Initial weights: from another model (``--from``) or from word vectors (``--vectors``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from textseq.checkpoints import checkpoint
from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.model_info import ModelInfo, Table
from textseq.checkpoints.registry import find_model, find_model_or_labels
from textseq.config.base import Settings, flag_of
from textseq.config.tokenizer import TOKENIZER_OPTIONS, TokenizerConfig
from textseq.data.dataset import Dataset
from textseq.data.readers.word_vectors import find_vectors, read_vectors
from textseq.errors import TextseqError
from textseq.nn.embedding import carry_over, load_rows
from textseq.tasks.predictor import AnyPredictor
from textseq.tokenizers.base import Ids
from textseq.tokenizers.registry import load_tokenizer

SettingsT = TypeVar("SettingsT", bound=Settings)

TOKENIZER_SETTINGS = frozenset({"vocabulary", *(item.name for item in fields(TokenizerConfig))})
"""Data settings that must be those of the model whose tokenizer is kept."""


@dataclass(frozen=True)
class Rows:
    """The strings (tokens, labels) that the rows of a parameter belong to."""

    new: Sequence[str]
    old: Sequence[str]
    spell: Callable[[str], Ids] | None = None
    """The old rows whose mean a new string begins with; default: all."""
    square: bool = False
    """Whether the columns belong to the same strings."""


def words_of(texts: Iterable[str]) -> list[str]:
    """The words of texts, of letters only and in lower case."""
    return [word for text in texts for word in re.findall(r"[^\W\d_]+", text.lower())]


def share_known(words: Sequence[str], folder: Path) -> float:
    """The share of words in lower case that the tokenizer of a model knows as words."""
    known = {token.strip().lower() for token in load_tokenizer(folder).vocabulary}
    return sum(word in known for word in words) / max(len(words), 1)


def load_init_model(name: str | None, tasks: Sequence[str], *, vectors: str | None = None) -> Checkpoint | None:
    """The model to initialize from, if one is named.

    Args:
        name: of the model, or of a label that a language model is conditioned on, or shares of several.
        tasks: that it may be of.
        vectors: word vectors that the tokens would begin with instead.

    Raises:
        TextseqError: there is no such model, it is of another task, or vectors are named as well.
    """
    if name is None:
        return None
    if vectors is not None:
        raise TextseqError("--vectors and --from both set the initial token vectors; leave one out")
    labels = "language-model" in tasks
    saved = checkpoint.load_latest(lambda: find_model_or_labels(name)[0] if labels else find_model(name))
    if saved.info.task not in tasks:
        raise TextseqError(
            f"--from: expected a model for {' or '.join(tasks)}, got {saved.folder}, which is for {saved.info.task}; "
            "name another"
        )
    return saved


def check_shape(folder: Path, saved: Settings, asked: Settings) -> None:
    """Raise a TextseqError if a model's weights do not fit the settings asked for."""
    have, want = saved.to_dict(), asked.to_dict()
    others = [name for name in want if have[name] != want[name]]
    if others:
        there, here = (", ".join(f"{name} {sizes[name]}" for name in others) for sizes in (have, want))
        raise TextseqError(
            f"--from: expected a model of the same shape, got {folder} with {there}, where the flags ask for {here}; "
            "leave the flags out"
        )


def tokenizer_settings(data: Mapping[str, object]) -> Table:
    """The tokenizer's part of the data settings of a model."""
    return {name: value for name, value in data.items() if name in TOKENIZER_SETTINGS}


def keep_tokenizer(folder: Path, kept: Table, data: SettingsT, *, flag: str = "--from") -> SettingsT:
    """The data settings with those of the tokenizer of a model.

    Raises:
        TextseqError: they ask for another tokenizer.
    """
    asked, defaults = data.to_dict(), type(data)().to_dict()
    for name, value in kept.items():
        if asked[name] not in (value, defaults[name]):
            raise other_tokenizer(flag_of(name), folder, value, asked[name], kept_by=flag)
    options = TOKENIZER_OPTIONS.get(str(kept.get("tokenizer")))
    used = TOKENIZER_SETTINGS if options is None else {"vocabulary", "tokenizer", *options}
    return type(data).from_dict({**asked, **{name: kept[name] for name in used & kept.keys()}}, where=str(folder))


def other_tokenizer(flag: str, model: object, value: object, asked: object, *, kept_by: str = "--from") -> TextseqError:
    """The error for a setting of the tokenizer that is not that of the model to start from."""
    return TextseqError(
        f"{flag}: the tokenizer of {model} has {value}, got {asked}; leave it out, as {kept_by} keeps the tokenizer"
        + (", or add --new-vocabulary" if kept_by == "--from" else "")
    )


def keep_labels(dataset: Dataset, info: ModelInfo) -> Dataset:
    """The dataset with a model's labels before its new ones; unchanged if they have none in common."""
    labels: tuple[str, ...] = getattr(dataset, "labels", ())
    if not set(info.labels) & set(labels):
        return dataset
    kept: Dataset = replace(cast(Any, dataset), labels=tuple(dict.fromkeys((*info.labels, *labels))))
    return kept


def copy_weights(model: nn.Module, weights: Mapping[str, Tensor], tables: Mapping[str, Rows]) -> dict[str, int]:
    """Copy weights into a model.

    Args:
        model: changed in place.
        weights: of another model of the same shape.
        tables: parameters whose rows belong to strings; see ``carry_over``.

    Returns:
        For each table the number of rows copied.
    """
    parameters = model.state_dict()
    copied: dict[str, int] = {}
    with torch.no_grad():
        for name, tensor in weights.items():
            if (rows := tables.get(name)) is None:
                parameters[name].copy_(tensor)
                continue
            new = parameters[name]
            if rows.square:
                part = new.new_zeros(len(rows.new), len(rows.old))
                carry_over(part, rows.new, tensor, rows.old)
                new, tensor = new.t(), part.t()
            copied[name] = carry_over(new, rows.new, tensor, rows.old, rows.spell)
    return copied


def fill_with_vectors(
    predictor: AnyPredictor, name: str, data_dir: Path | None = None, *, download: bool = False
) -> list[str]:
    """Fill a model's token vectors with pretrained ones; see ``nn.embedding.load_rows``.

    Args:
        predictor: whose token vectors are changed in place.
        name: a file, or a name of ``list_vectors()``.
        data_dir: folder of the corpora; default: ``TEXTSEQ_DATA``.
        download: fetch what is not there.

    Returns:
        Lines for the user: how many were found, and what is wrong with the file.

    Raises:
        TextseqError: there are no such vectors of E numbers for any of these tokens.
    """
    tokens, table = predictor.word_table()
    words = {word for token in tokens if (word := token.strip())}
    vectors = read_vectors(find_vectors(name, data_dir=data_dir, download=download), words, size=table.shape[1])
    return [*vectors.notes, load_rows(table, tokens, vectors)]
