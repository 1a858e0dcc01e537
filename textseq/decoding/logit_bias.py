"""What is added to the logits of single tokens: a user's wishes, and the ban on tokens that are never written."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

import torch
from torch import Tensor

from textseq.errors import TextseqError
from textseq.tokenizers.base import Tokenizer


def token_bias(wishes: Mapping[str, float], tokenizer: Tokenizer, device: torch.device) -> Tensor | None:
    """The bias of every token, (V,): minus infinity for the fallback; None where nothing would be added.

    Args:
        wishes: what to add to the logits of tokens, each by its name in the vocabulary or by its text.
        tokenizer: the model's.
        device: where the logits are.

    Raises:
        TextseqError: what is wished for is no single token (the nearest one offered).
    """
    if not wishes and not tokenizer.fallback:
        return None
    bias = torch.zeros(tokenizer.size)
    for token, value in wishes.items():
        bias[_token_id(token, tokenizer)] = value
    bias[list(tokenizer.fallback)] = -torch.inf
    return bias.to(device)


def _token_id(token: str, tokenizer: Tokenizer) -> int:
    if token in tokenizer.vocabulary:
        number = tokenizer.vocabulary.index(token)
        if number in tokenizer.fallback:
            raise TextseqError(f"--logit-bias: {token!r} is never written; leave it out")
        return number
    ids = tokenizer.encode(token).tolist()
    if set(ids) & set(tokenizer.fallback):
        near = difflib.get_close_matches(token, tokenizer.vocabulary, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "it stands nowhere in the training text; leave it out"
        raise TextseqError(f"--logit-bias: unknown token {token!r}; {hint}")
    if len(ids) != 1:
        parts = ", ".join(repr(tokenizer.vocabulary[part]) for part in ids) or "nothing"
        raise TextseqError(
            f"--logit-bias wants single tokens, found {token!r}, which this model ({tokenizer.kind}) reads as {parts}; "
            "name such tokens one by one"
        )
    return int(ids[0])
