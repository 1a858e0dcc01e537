"""Drawing the next token, and the next, and the next.

Shapes: N texts side by side, T tokens of the prompt, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from textseq.cells import State
from textseq.config import GenerationConfig
from textseq.decoding.rules import rules_in_force

Step = Callable[[Tensor, State], tuple[Tensor, State]]


def draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a token for each text: logits (N, V) -> ids (N,). The generator is on the logits' device."""
    p = logits.softmax(dim=1)
    # Of all p / q with q from Exp(1), that of token v is the largest with probability p(v): what torch.multinomial
    # does too, after checks that take most of its time.
    return (p / torch.empty_like(p).exponential_(generator=generator)).argmax(dim=1)


@torch.inference_mode()  # as a decorator it holds while a token is made, and not for the caller in between
def sample(
    step: Step,
    prompt: Tensor,
    state: State,
    config: GenerationConfig,
    *,
    generator: torch.Generator,
    bias: Tensor | None = None,
) -> Iterator[Tensor]:
    """Write on from a prompt, token by token.

    Args:
        step: one step of the model.
        prompt: at least one token for each text, (N, T).
        state: the state before the prompt, each tensor (L, N, H).
        config: how to draw, and ``max_new_tokens``.
        generator: where the randomness comes from.
        bias: added to the logits of every step, (V,); minus infinity for a token that is never drawn.

    Yields:
        The next token of each text, (N,), ``max_new_tokens`` times.
    """
    rules = rules_in_force(config)
    looks_back = any(rule.reads_history for rule in rules)
    history = prompt
    for t in range(prompt.shape[1] - 1):
        _, state = step(prompt[:, t], state)
    tokens = prompt[:, -1]
    for _ in range(config.max_new_tokens):
        logits, state = step(tokens, state)
        if bias is not None:
            logits = logits + bias
        for rule in rules:
            logits = rule.apply(logits, history, config)
        tokens = draw(logits, generator)
        if looks_back:  # a copy costs no more than the rules' own look over the whole history
            history = torch.cat([history, tokens.unsqueeze(1)], dim=1)
        yield tokens
