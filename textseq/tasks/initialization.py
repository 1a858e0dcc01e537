"""Initial weights: from another model (``--from``) or from word vectors (``--vectors``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from textseq.checkpoints import checkpoint
from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.registry import find_model
from textseq.config.base import Settings
from textseq.data.readers.word_vectors import find_vectors, read_vectors
from textseq.errors import TextseqError
from textseq.nn.embedding import carry_over, load_rows
from textseq.tasks.predictor import AnyPredictor


def load_init_model(name: str | None, tasks: Sequence[str], *, vectors: str | None = None) -> Checkpoint | None:
    """The model to initialize from, if one is named.

    Args:
        name: of the model.
        tasks: that it may be of.
        vectors: word vectors that the tokens would begin with instead.

    Raises:
        TextseqError: there is no such model, it is of another task, or vectors are named as well.
    """
    if name is None:
        return None
    if vectors is not None:
        raise TextseqError("--vectors and --from both set the initial token vectors; leave one out")
    saved = checkpoint.load_latest(lambda: find_model(name))
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


def copy_weights(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    tables: Mapping[str, tuple[Sequence[str], Sequence[str]]],
    *,
    skip: Sequence[str] = (),
) -> dict[str, int]:
    """Copy weights into a model.

    Args:
        model: changed in place.
        weights: of another model of the same shape.
        tables: parameters whose rows belong to strings (tokens, labels), with the new and the old strings; rows are
            copied by their string.
        skip: parameters that stay as they are.

    Returns:
        For each table the number of rows copied.
    """
    parameters = model.state_dict()
    copied: dict[str, int] = {}
    with torch.no_grad():
        for name, tensor in weights.items():
            if name in tables:
                copied[name] = carry_over(parameters[name], tables[name][0], tensor, tables[name][1])
            elif name not in skip:
                parameters[name].copy_(tensor)
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
