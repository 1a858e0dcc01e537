"""The weights of a language model for one whose condition differs: dropped, or new.

Shapes: E embedding, C condition size, K numbers, G gates, H hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor

from textseq.errors import TextseqError
from textseq.tasks.language_model.model import LanguageModel

INPUT, BIAS = "recurrent.layers.0.weight_ih_l0", "recurrent.layers.0.bias_ih_l0"
"""The weights (G*H, E + C) and the bias (G*H,) by which the first layer reads its input."""
PREFIX = "condition."
"""Begins the names of the weights of the ``Condition``."""


def without_condition(model: LanguageModel, numbers: Tensor) -> dict[str, Tensor]:
    """The weights of a model without a condition that reads on as a conditional one does under a condition.

    What the condition's vector adds to the first layer's gates becomes part of their bias. A text begins with the
    state of a model without a condition.

    Args:
        model: with a condition.
        numbers: of the condition, (K,).

    Raises:
        TextseqError: a first layer in which token and condition do not simply add up (layer normalization, Mogrifier).

    Example:
        >>> conditional = LanguageModel(LanguageModelConfig(), vocabulary_size=80, condition_numbers=3)
        >>> plain = LanguageModel(conditional.config, vocabulary_size=80)
        >>> plain.load_state_dict(without_condition(conditional, torch.tensor([0.0, 1.0, 0.0])))
        <All keys matched successfully>
    """
    _check_sum(model)
    assert model.condition is not None
    weights = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(PREFIX)}
    token, condition = weights[INPUT].split([model.config.embedding_size, model.config.condition_size], dim=1)
    with torch.no_grad():
        return weights | {INPUT: token, BIAS: weights[BIAS] + condition @ model.condition(numbers)}


def with_condition(model: LanguageModel, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a model without a condition for one with a condition, which changes nothing until it is trained.

    Args:
        model: with a condition, whose vectors for the K numbers stay as they are.
        weights: of a model without one, otherwise of the same shape.

    Raises:
        TextseqError: as ``without_condition``.

    Example:
        >>> plain = LanguageModel(LanguageModelConfig(), vocabulary_size=80)
        >>> conditional = LanguageModel(plain.config, vocabulary_size=80, condition_numbers=3)
        >>> conditional.load_state_dict(with_condition(conditional, plain.state_dict()))
        <All keys matched successfully>
    """
    _check_sum(model)
    assert model.condition is not None
    own = {PREFIX + name: tensor for name, tensor in model.condition.state_dict().items()}
    own[PREFIX + "state.weight"] = torch.zeros_like(model.condition.state.weight)
    token = weights[INPUT]
    return weights | own | {INPUT: torch.cat([token, token.new_zeros(len(token), model.config.condition_size)], dim=1)}


def _check_sum(model: LanguageModel) -> None:
    config = model.config
    if config.layer_norm or model.recurrent.cell.reads_input:
        what = "--layer-norm" if config.layer_norm else f"--cell {config.cell}"
        raise TextseqError(
            f"--from: expected both models with a condition or both without one, as {what} joins the condition with "
            "each token; name another, or set --condition"
        )
