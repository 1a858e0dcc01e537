"""Drawing the next token, and the next, and the next.

Shapes: N texts side by side, T tokens of the prompt, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from textseq.config.decoding import DecodingConfig
from textseq.decoding.logits_processors import active_processors, apply_processors, forced_table
from textseq.nn.cells import State, Step
from textseq.nn.kernels.cuda_graphs import Record, Recorded, Slot, on_cuda

RECORDED = 100
"""Tokens from which it is worth while to record a step on a GPU."""


def draw(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a token for each text: logits (N, V) -> ids (N,). The generator is on the logits' device."""
    return _drawn(logits, _noise(logits, generator))


def _noise(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers from Exp(1), (N, V)."""
    return torch.empty_like(logits).exponential_(generator=generator)


def _drawn(logits: Tensor, noise: Tensor) -> Tensor:
    # Of all p / q with q from Exp(1), that of token v is the largest with probability p(v): what torch.multinomial
    # does too, after checks that take most of its time.
    return (logits.softmax(dim=1) / noise).argmax(dim=1)


def _recorder(device: torch.device) -> Record | None:
    """What records steps there; None: they are not recorded."""
    return on_cuda if device.type == "cuda" else None


@torch.inference_mode()  # as a decorator it holds while a token is made, and not for the caller in between
def sample(
    step: Step,
    prompt: Tensor,
    state: State,
    config: DecodingConfig,
    *,
    generator: torch.Generator,
    bias: Tensor | None = None,
    end: int | None = None,
    min_new_tokens: int = 0,
    limits: Tensor | None = None,
    forced: Sequence[Sequence[int]] | None = None,
) -> Iterator[Tensor]:
    """Write on from a prompt, token by token.

    Args:
        step: one step of the model.
        prompt: at least one token for each text, (N, T).
        state: the state before the prompt, each tensor (L, N, H).
        config: how to draw, and ``max_new_tokens``.
        generator: where the randomness comes from.
        bias: added to the logits of every step, (V,); minus infinity for a token that is never drawn.
        end: the token that ends a text. No rule on the history changes it. The step must be able to read it.
        min_new_tokens: ``end`` comes after so many tokens at least, or not at all where the limit comes first.
        limits: most tokens of each text, ``end`` included, (N,); wants ``end``.
        forced: how each text must begin, whatever rules, bias and ``min_new_tokens`` say.

    Yields:
        The next token of each text, (N,), ``max_new_tokens`` times. A text that is over goes on with ``end`` and
        nothing else; when all are, no more comes.
    """
    assert limits is None or end is not None
    rules = active_processors(config)
    looks_back = any(rule.reads_history for rule in rules)
    history = prompt
    table = forced_table(forced, prompt.device)  # (N, F)
    over = torch.zeros(len(prompt), dtype=torch.bool, device=prompt.device)
    for t in range(prompt.shape[1] - 1):
        _, state = step(prompt[:, t], state)
    tokens = prompt[:, -1]
    record = _recorder(prompt.device)
    if record is not None and config.max_new_tokens >= RECORDED and not (looks_back or end is not None or forced):
        yield from _recorded_steps(record, step, tokens, state, config, generator, bias)
        return
    for t in range(1, config.max_new_tokens + 1):
        logits, state = step(tokens, state)
        logits = apply_processors(
            logits.float(), history, config, rules, bias=bias, end=end, may_end=t > min_new_tokens
        )
        tokens = draw(logits, generator)
        if t <= table.shape[1]:
            must = table[:, t - 1]
            tokens = torch.where(must >= 0, must, tokens)
        if end is not None:
            tokens = tokens.masked_fill(over, end)
            over = over | (tokens == end)
            if limits is not None:
                over |= limits.to(over.device) <= t
        if looks_back:  # a copy costs no more than the rules' own look over the whole history
            history = torch.cat([history, tokens.unsqueeze(1)], dim=1)
        yield tokens
        if end is not None and over.all():
            return


def _recorded_steps(
    record: Record,
    step: Step,
    tokens: Tensor,
    state: State,
    config: DecodingConfig,
    generator: torch.Generator,
    bias: Tensor | None,
) -> Iterator[Tensor]:
    """The same for texts that neither end nor look back, from a record of the step; ``tokens`` (N,) end the prompts."""
    rules = active_processors(config)

    def advance(tokens: Tensor, noise: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        logits, state = step(tokens, state)
        return _drawn(apply_processors(logits.float(), tokens.unsqueeze(1), config, rules, bias=bias), noise), *state

    recorded = Recorded(advance, [Slot()] * (2 + len(state)), [Slot()] * (1 + len(state)), record)
    logits, _ = step(tokens, state)  # which say of what shape the noise is
    for _ in range(config.max_new_tokens):
        tokens, *after = recorded(tokens, _noise(logits.float(), generator), *state)
        state = (*after,)
        yield tokens
