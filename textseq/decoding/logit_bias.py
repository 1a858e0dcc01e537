"""A bias on the logits of single tokens, and the ban on a tokenizer's fallback tokens."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import torch
from torch import Tensor

from textseq.errors import TextseqError
from textseq.tokenizers.base import Tokenizer


def token_bias(biases: Mapping[str, float], tokenizer: Tokenizer, device: torch.device) -> Tensor | None:
    """The bias of every token, (V,): minus infinity for fallback tokens; None if there is none.

    Args:
        biases: values to add to the logits, by token (its name in the vocabulary or its text).
        tokenizer: of the model.
        device: of the logits.

    Raises:
        TextseqError: a key is not a single token; suggests the nearest.

    Example:
        >>> bias = token_bias({" the": -2.0}, tokenizer, torch.device("cpu"))
        >>> for ids in sample(step, prompt, state, bias=bias): ...
    """
    if not biases and not tokenizer.fallback:
        return None
    bias = torch.zeros(tokenizer.size)
    for token, value in biases.items():
        bias[_token_id(token, tokenizer)] = value
    bias[list(tokenizer.fallback)] = -torch.inf
    return bias.to(device)


def _token_id(token: str, tokenizer: Tokenizer) -> int:
    if token in tokenizer.vocabulary:
        number = tokenizer.vocabulary.index(token)
        if number in tokenizer.fallback:
            raise TextseqError(f"--logit-bias: {token!r} is never generated; leave it out")
        return number
    ids = tokenizer.encode(token).tolist()
    if set(ids) & set(tokenizer.fallback):
        near = difflib.get_close_matches(token, tokenizer.vocabulary, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "it is not in the training text; leave it out"
        raise TextseqError(f"--logit-bias: unknown token {token!r}; {hint}")
    if len(ids) != 1:
        parts = ", ".join(repr(tokenizer.vocabulary[part]) for part in ids) or "nothing"
        raise TextseqError(
            f"--logit-bias: expected single tokens, got {token!r}, which this model ({tokenizer.kind}) splits into "
            f"{parts}; name these tokens one by one"
        )
    return int(ids[0])
