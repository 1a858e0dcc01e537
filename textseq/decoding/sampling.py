"""Sampling: choose the next token at random, again and again. Shapes: N texts, T tokens of the prompt, V vocabulary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from textseq.config.decoding import DecodingConfig
from textseq.decoding.logits_processors import active_processors, apply_processors, forced_table
from textseq.errors import TextseqError
from textseq.nn.cells import State, Step
from textseq.nn.kernels.compiled.text_loop import COVERED, CompilableStep, TextLoop
from textseq.nn.kernels.cuda_graphs import Record, Recorded, Slot, on_cuda

RECORDED = 100
"""Tokens from which recording a CUDA graph of the step pays off."""


def sample_token(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Sample a token for each text, (N, V) -> ids (N,). The generator is on the logits' device.

    Example:
        >>> sample_token(torch.tensor([[-torch.inf, 0.0]]), torch.Generator())
        tensor([1])
    """
    return sampled(logits, _noise(logits, generator))


def _noise(logits: Tensor, generator: torch.Generator) -> Tensor:
    return torch.empty_like(logits).exponential_(generator=generator)


def sampled(logits: Tensor, noise: Tensor) -> Tensor:
    """The token (N,) that logits (N, V) choose with noise (N, V) from the exponential distribution."""
    # With noise q from Exp(1), p(v) / q is the largest with probability p(v). torch.multinomial does the same, after
    # checks that take most of its time.
    return (logits.softmax(dim=1) / noise).argmax(dim=1)


def _check_finite(logits: Tensor) -> None:
    """Raise a TextseqError if logits (..., V) give no probabilities. Called once for a text: at each token it costs."""
    if not bool(logits.max(dim=-1).values.isfinite().all()):  # also of a row that is -inf everywhere
        raise TextseqError("the model's output is not a number, or infinite; its weights are damaged: use another one")


def _recorder(device: torch.device) -> Record | None:
    """The recorder of steps on this device, if any."""
    return on_cuda if device.type == "cuda" else None


@torch.inference_mode()  # as a decorator it is on while a token is computed, and off for the caller in between
def sample(
    step: Step,
    prompt: Tensor,
    state: State = (),
    config: DecodingConfig | None = None,
    *,
    generator: torch.Generator | None = None,
    bias: Tensor | None = None,
    end: int | None = None,
    min_new_tokens: int = 0,
    limits: Tensor | None = None,
    forced: Sequence[Sequence[int]] | None = None,
    between: Callable[[int, State], State] | None = None,
) -> Iterator[Tensor]:
    """Continue prompts token by token.

    Args:
        step: one step of the model: (tokens (N,), state) -> (logits (N, V), state).
        prompt: (N, T), T at least 1.
        state: the state before the prompt, each tensor (L, N, H).
        config: logits processors, ``max_new_tokens``, seed.
        generator: on the prompt's device; by default a new one with the seed of ``config``. Only without one can the
            compiled loop write (``nn.kernels.compiled``), because it draws noise ahead.
        bias: added to the logits of every step, (V,); minus infinity bans a token.
        end: the token that ends a text; processors that read the history leave its logit. The step must accept it.
        min_new_tokens: ``end`` is banned until then.
        limits: most tokens of each text, ``end`` included, (N,); needs ``end``.
        forced: the first tokens of each text, despite processors and bias.
        between: changes the state before a token is chosen, given how many were. It keeps the fast paths from writing.

    Yields:
        The next token of each text, (N,), ``max_new_tokens`` times. A text that has ended continues with ``end``; when
        all have ended, the iteration stops.

    Raises:
        TextseqError: the first logits are not numbers, or infinite.
        ValueError: a prompt that is not (N, T) with at least one token, or logits that are not (N, V).

    Example:
        >>> def step(tokens, state):  # always counts up
        ...     return 100.0 * torch.nn.functional.one_hot((tokens + 1) % 5, 5), state
        >>> for ids in sample(step, torch.tensor([[0], [2]]), config=DecodingConfig(max_new_tokens=2)):
        ...     print(ids)
        tensor([1, 3])
        tensor([2, 4])
    """
    assert limits is None or end is not None
    if prompt.dim() != 2 or not prompt.shape[1]:
        raise ValueError(f"prompt: expected (N, T), at least one token for each text, got {tuple(prompt.shape)}")
    config = config or DecodingConfig()
    processors = active_processors(config)
    reads_history = any(processor.reads_history for processor in processors)
    if (
        isinstance(step, CompilableStep)
        and len(prompt) == 1
        and generator is None
        and end is None
        and not (forced or between)
    ):
        covered = all(processor.setting in COVERED for processor in processors)
        if covered and (loop := step.loop(config.max_new_tokens)):
            yield from _compiled_steps(loop, prompt, state, config, bias)
            return
    if generator is None:
        generator = random_generator(prompt.device, config.seed)
    history = prompt
    table = forced_table(forced, prompt.device)  # (N, F)
    over = torch.zeros(len(prompt), dtype=torch.bool, device=prompt.device)
    for t in range(prompt.shape[1] - 1):
        _, state = step(prompt[:, t], state)
    tokens = prompt[:, -1]
    record = _recorder(prompt.device)
    refused = reads_history or end is not None or forced or between
    if record is not None and config.max_new_tokens >= RECORDED and not refused:
        yield from _recorded_steps(record, step, tokens, state, config, generator, bias)
        return
    for t in range(1, config.max_new_tokens + 1):
        if between is not None:
            state = between(t - 1, state)
        logits, state = step(tokens, state)
        if logits.shape[:-1] != tokens.shape:
            raise ValueError(f"step: expected logits ({len(tokens)}, V), got {tuple(logits.shape)}")
        if t == 1:
            _check_finite(logits)
        logits = apply_processors(
            logits.float(), history, config, processors, bias=bias, end=end, may_end=t > min_new_tokens
        )
        tokens = sample_token(logits, generator)
        if t <= table.shape[1]:
            required = table[:, t - 1]
            tokens = torch.where(required >= 0, required, tokens)
        if end is not None:
            tokens = tokens.masked_fill(over, end)
            over = over | (tokens == end)
            if limits is not None:
                over |= limits.to(over.device) <= t
        if reads_history:  # the copy costs no more than the processors' own pass over the history
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
    """``sample`` with a recorded step, without ``end`` and history; ``tokens`` (N,) are the last of the prompts."""
    processors = active_processors(config)

    def advance(tokens: Tensor, noise: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        logits, state = step(tokens, state)
        logits = apply_processors(logits.float(), tokens.unsqueeze(1), config, processors, bias=bias)
        return sampled(logits, noise), *state

    recorded = Recorded(advance, [Slot()] * (2 + len(state)), [Slot()] * (1 + len(state)), record)
    logits, _ = step(tokens, state)  # for the shape of the noise
    _check_finite(logits)
    for _ in range(config.max_new_tokens):
        tokens, *after = recorded(tokens, _noise(logits.float(), generator), *state)
        state = (*after,)
        yield tokens


def _compiled_steps(
    loop: TextLoop, prompt: Tensor, state: State, config: DecodingConfig, bias: Tensor | None
) -> Iterator[Tensor]:
    """``sample`` of one text, a block of tokens at a time. The noise is drawn in the order of single steps."""
    generator, ids = random_generator(prompt.device, config.seed), prompt[0]
    for start in range(0, len(ids) - 1, loop.block):
        state = loop.write(
            ids[start : start + loop.block + 1], state, torch.empty(0, loop.vocabulary_size), config
        ).state
    last = ids[-1:]
    for start in range(0, config.max_new_tokens, loop.block):
        noise = torch.empty(min(loop.block, config.max_new_tokens - start), loop.vocabulary_size)
        for row in noise:
            row.exponential_(generator=generator)
        written = loop.write(last, state, noise, config, bias)
        _check_finite(written.logits)
        state, last = written.state, written.tokens[-1:]
        yield from torch.split(written.tokens, 1)


def random_generator(device: torch.device, seed: int | None) -> torch.Generator:
    """A generator of random numbers on a device, with a seed or a random one."""
    generator = torch.Generator(device)
    if seed is None:
        generator.seed()
        return generator
    return generator.manual_seed(seed)
