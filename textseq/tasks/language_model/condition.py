"""The condition of a text: what a language model is conditioned on besides the words.

Shapes: N batch, T time, K numbers, C condition size, L layers, H hidden.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from textseq.checkpoints.model_info import ModelInfo
from textseq.checkpoints.registry import split_shares
from textseq.data.rows import normal_label
from textseq.errors import TextseqError, unknown
from textseq.nn.cells import State

Conditioned = str | Mapping[str, float] | Sequence[float]
"""A condition as a user gives it: a label; shares of labels, as a mapping or "austen=0.7,poe=0.3"; or a vector, as
numbers or "0.5,-1,2"."""


class Condition(nn.Module):
    """The layer that tells a language model of a condition.

    A condition is K numbers: 1 for the text's label and 0 for the others, shares of several labels, or a vector that
    is given with the text. The numbers v become a vector c = v W, so that each label has its embedding. It joins the
    token's vector as input of every step, and makes the initial state tanh(c U) of every layer. All zero, it changes
    nothing.

    Args:
        count: K.
        size: C.
        states: tensors of the cell's state.
        num_layers: L.
        hidden_size: H.

    Example:
        >>> layer = Condition(3, 4, states=2, num_layers=1, hidden_size=8)
        >>> c = layer(torch.tensor([[0.0, 1.0, 0.0]]))
        >>> [part.shape for part in layer.initial_state(c)]
        [torch.Size([1, 1, 8]), torch.Size([1, 1, 8])]
    """

    def __init__(self, count: int, size: int, *, states: int, num_layers: int, hidden_size: int) -> None:
        super().__init__()
        self.shape = states, num_layers, hidden_size
        self.table = nn.Parameter(torch.empty(count, size))
        self.state = nn.Linear(size, states * num_layers * hidden_size, bias=False)
        nn.init.normal_(self.table, std=size**-0.5)

    def forward(self, numbers: Tensor) -> Tensor:
        """(..., K) -> (..., C)."""
        return numbers.to(self.table) @ self.table

    def initial_state(self, c: Tensor) -> State:
        """The state before a text: (N, C) -> each tensor (L, N, H), between -1 and 1."""
        values: Tensor = self.state(c).tanh().view(len(c), *self.shape)
        return tuple(part.transpose(0, 1) for part in values.unbind(1))


@dataclass(frozen=True, eq=False)
class TextConditions:
    """The conditions of the documents of an encoded text.

    Args:
        starts: where each document begins, (D,).
        rows: the row of ``table`` for each, (D,).
        table: the different conditions, (R, K).
    """

    starts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    table: npt.NDArray[np.float32]

    def at(self, positions: npt.NDArray[np.int64]) -> Tensor:
        """The condition at each position of the text, (..., K)."""
        documents = np.searchsorted(self.starts, positions, side="right") - 1
        return torch.from_numpy(self.table[self.rows[documents]])

    def begins(self, positions: npt.NDArray[np.int64]) -> Tensor:
        """Whether a document begins at each position, (...)."""
        return torch.from_numpy(np.isin(positions, self.starts))


def condition_numbers(given: Conditioned, labels: Sequence[str], vector_size: int) -> Tensor:
    """The numbers of a condition, (K,).

    Shares of labels are scaled to add up to 1.

    Args:
        given: the condition.
        labels: that the model knows; () if its condition is a vector.
        vector_size: numbers of that vector.

    Raises:
        TextseqError: an unknown label (nearest match offered), shares that are negative or all zero, or a vector of
            another size.

    Example:
        >>> condition_numbers("austen=3,poe=1", ["austen", "poe"], 0)
        tensor([0.7500, 0.2500])
    """
    if not labels:
        return _vector(given, vector_size)
    shares: Mapping[str, float]
    if isinstance(given, Mapping):
        shares = given
    elif not isinstance(given, str):
        raise TextseqError(f"condition: expected a label ({_listed(labels)}), got {given!r}")
    elif given in labels or normal_label(given) in labels or "=" not in given:
        shares = {given: 1.0}
    else:
        pairs = [part.rpartition("=") for part in split_shares(given)]
        shares = {label.strip(): _number(share, given) for label, _, share in pairs}
        if len(shares) < len(pairs):
            raise TextseqError(f"condition: expected one share of each label, got '{given}'; name each once")
    numbers = torch.zeros(len(labels))
    for written, share in shares.items():
        label = written if written in labels else normal_label(str(written))
        if label not in labels:
            raise unknown("label", label, labels)
        if not isinstance(share, (int, float)) or not 0 <= share < float("inf"):
            raise TextseqError(f"condition: expected shares of at least 0, got {label}={share!r}")
        numbers[labels.index(label)] += share
    if not numbers.sum() > 0:
        raise TextseqError("condition: expected a label with a share above 0, got none; name one")
    return numbers / numbers.sum()


def condition_name(given: Conditioned) -> str:
    """A condition as one writes it after ``--condition``.

    Example:
        >>> condition_name({"austen": 0.7, "poe": 0.3})
        'austen=0.7,poe=0.3'
    """
    if isinstance(given, str):
        return given
    if isinstance(given, Mapping):
        return ",".join(f"{label}={share:g}" for label, share in given.items())
    return ",".join(f"{number:g}" for number in given)


def missing_condition(labels: Sequence[str], vector_size: int) -> TextseqError:
    """The error for a conditional model without a condition."""
    expected = f"a label ({_listed(labels)})" if labels else f"a vector of {vector_size} numbers"
    return TextseqError(f"condition: expected {expected}, got none; name one with --condition")


def _vector(given: Conditioned, size: int) -> Tensor:
    if isinstance(given, Mapping):
        raise TextseqError(f"condition: expected a vector of {size} numbers, as the model has no labels; got {given!r}")
    try:
        numbers = [float(part) for part in (given.split(",") if isinstance(given, str) else given)]
    except (TypeError, ValueError):
        numbers = []
    vector = torch.tensor(numbers)
    if len(numbers) != size or not vector.isfinite().all():
        raise TextseqError(f"condition: expected a vector of {size} finite numbers such as 0.5,-1,2; got {given!r:.80}")
    return vector


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise TextseqError(f"condition: expected shares such as austen=0.7,poe=0.3; got '{whole}'") from None


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels[:20]) + ", ..." * (len(labels) > 20)


def condition_count(info: ModelInfo) -> int:
    """K, the numbers of a model's condition; 0 if it has none."""
    return len(info.labels) or info.vector_size


def numbers_for(given: Conditioned | None, info: ModelInfo) -> Tensor | None:
    """The numbers of a condition, (K,), as a model wants them; None for a model without one.

    Raises:
        TextseqError: a condition that does not fit the model, or none where it needs one.
    """
    if condition_count(info):
        if given is None:
            raise missing_condition(info.labels, info.vector_size)
        return condition_numbers(given, info.labels, info.vector_size)
    if given is not None:
        raise TextseqError(f"condition: expected none, as the model has no condition; got {given!r:.80}")
    return None
