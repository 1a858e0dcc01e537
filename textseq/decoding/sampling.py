"""Drawing the next token, and the next, and the next.

A rule changes logits (N, V): a token that may not be drawn gets minus infinity. Names and meanings are those of
Hugging Face's ``GenerationConfig``. Shapes: N texts side by side, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from textseq.cells import State
from textseq.config import GenerationConfig

Step = Callable[[Tensor, State], tuple[Tensor, State]]
Rule = Callable[[Tensor, GenerationConfig], Tensor]


def by_temperature(logits: Tensor, config: GenerationConfig) -> Tensor:
    """Divide by the temperature; at 0 only the likeliest token is left (the first of equals)."""
    if config.temperature == 0:
        best = torch.zeros_like(logits, dtype=torch.bool).scatter(1, logits.argmax(dim=1, keepdim=True), True)
        return logits.masked_fill(~best, -torch.inf)
    if config.temperature < 0.01:  # dividing by next to nothing must not give infinity minus infinity
        logits = logits - logits.amax(dim=1, keepdim=True)
    return logits if config.temperature == 1 else logits / config.temperature


def by_top_k(logits: Tensor, config: GenerationConfig) -> Tensor:
    """Keep the k likeliest tokens (Fan et al. 2018, section 5.4)."""
    if config.top_k is None or config.top_k >= logits.shape[1]:
        return logits
    values, tokens = logits.topk(config.top_k, dim=1)
    return torch.full_like(logits, -torch.inf).scatter(1, tokens, values)


def by_top_p(logits: Tensor, config: GenerationConfig) -> Tensor:
    """Keep the smallest set of likeliest tokens whose probability reaches p (Holtzman et al. 2020, section 3.1)."""
    if config.top_p >= 1:
        return logits
    ordered, tokens = logits.sort(dim=1, descending=True)
    p = ordered.softmax(dim=1)
    before = p.cumsum(dim=1) - p  # probability of all that are likelier; the first token's is 0, so one always stays
    return logits.masked_fill((before >= config.top_p).gather(1, tokens.argsort(dim=1)), -torch.inf)


RULES: tuple[Rule, ...] = (by_temperature, by_top_k, by_top_p)
"""In the order that they are applied, which is Hugging Face's."""


def draw(logits: Tensor, config: GenerationConfig, generator: torch.Generator) -> Tensor:
    """Draw a token for each text.

    Args:
        logits: (N, V).
        config: temperature and the other rules.
        generator: where the randomness comes from, on the logits' device.

    Returns:
        Token ids, (N,).
    """
    for rule in RULES:
        logits = rule(logits, config)
    return torch.multinomial(logits.softmax(dim=1), 1, generator=generator).squeeze(1)


@torch.inference_mode()  # as a decorator it holds while a token is made, and not for the caller in between
def sample(
    step: Step,
    prompt: Tensor,
    state: State,
    config: GenerationConfig,
    *,
    generator: torch.Generator,
    suppress: Tensor | None = None,
) -> Iterator[Tensor]:
    """Write on from a prompt, token by token.

    Args:
        step: one step of the model.
        prompt: at least one token for each text, (N, T).
        state: the state before the prompt, each tensor (L, N, H).
        config: how to draw, and ``max_new_tokens``.
        generator: where the randomness comes from.
        suppress: ids that are never drawn.

    Yields:
        The next token of each text, (N,), ``max_new_tokens`` times.
    """
    for t in range(prompt.shape[1] - 1):
        _, state = step(prompt[:, t], state)
    tokens = prompt[:, -1]
    for _ in range(config.max_new_tokens):
        logits, state = step(tokens, state)
        if suppress is not None:
            logits = logits.index_fill(1, suppress, -torch.inf)
        tokens = draw(logits, config, generator)
        yield tokens
