"""Continuous batching: sample many texts together, each with its own settings; they join and leave at any step.

A text gets its noise from its own generator and is processed by its own settings, so that it does not depend on the
other texts of the batch, except for rounding: products of few rows are computed by other kernels than those of many.
``steady_rows`` finds the number of rows from which on they agree bit for bit.

Shapes: N texts, L layers, H hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from textseq.config.decoding import DecodingConfig
from textseq.decoding.logits_processors import LogitsProcessor, active_processors, apply_processors
from textseq.decoding.sampling import random_generator, sampled
from textseq.nn.cells import State, Step
from textseq.nn.kernels.compiled.text_loop import COVERED, CompilableStep, TextLoop


class Choice(NamedTuple):
    """The next token of a text."""

    token: int
    from_prompt: bool = False
    """Whether it is a token of the prompt, and was not chosen."""
    log_p: float = 0.0
    """Log-probability in nats, before bias and processors; only if ``BatchRow.alternatives`` is not None."""
    likeliest: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens at this place with their log-probabilities, best first."""


@dataclass(eq=False)
class BatchRow:
    """A text of a ``ContinuousBatch``."""

    prompt: Sequence[int]
    config: DecodingConfig
    generator: torch.Generator | None
    """Of a text with a seed; None: that of the batch."""
    bias: Tensor | None
    alternatives: int | None
    """Number of likeliest tokens to report with each choice; None: report no log-probabilities."""
    processors: tuple[LogitsProcessor, ...]
    tokens: list[int]
    """Of the prompt and the text so far."""
    read: int = 0
    """Tokens that the model has read."""

    @property
    def finished(self) -> bool:
        """Whether all its tokens are known."""
        return self.read >= self._last

    @property
    def sampling(self) -> bool:
        """Whether the model has read the whole prompt."""
        return self.read >= self._prompt_length

    def __post_init__(self) -> None:
        """Find its group, and what every step asks for."""
        self._prompt_length = len(self.prompt)
        self._last = self._prompt_length + self.config.max_new_tokens - 1
        self.reads_history = any(processor.reads_history for processor in self.processors)
        self.group: Hashable = id(self)
        """Equal for rows whose logits can be processed together."""
        if not self.reads_history:
            self.group = tuple((item.setting, getattr(self.config, item.setting)) for item in self.processors)


class ContinuousBatch:
    """A running batch of texts.

    Args:
        step: one step of the model: (tokens (N,), state) -> (logits (N, V), state).
        initial_state: the state before a text for N rows, each tensor (L, N, H).
        device: of the model.
        seeded_rows: while a text with a seed is in the batch, it is filled up to so many rows (see ``steady_rows``).

    Example:
        >>> def step(tokens, state):  # always counts up
        ...     return 100.0 * torch.nn.functional.one_hot((tokens + 1) % 5, 5), state
        >>> batch = ContinuousBatch(step, lambda count: (torch.zeros(1, count, 1),))
        >>> first = batch.join([0], DecodingConfig(max_new_tokens=3))
        >>> batch.advance()[0][1].token
        1
        >>> second = batch.join([3], DecodingConfig(max_new_tokens=1))
        >>> [choice.token for _, choice in batch.advance()], second.finished
        ([2, 4], True)
    """

    def __init__(
        self,
        step: Step,
        initial_state: Callable[[int], State],
        device: torch.device | str = "cpu",
        *,
        seeded_rows: int = 1,
    ) -> None:
        self.rows: list[BatchRow] = []
        """The texts, in the order of their rows."""
        self._step = step
        self._initial_state = initial_state
        self._device = torch.device(device)
        self._seeded_rows = seeded_rows
        self._generator = random_generator(self._device, None)
        self._state: State = ()
        self._inputs = torch.empty(0, dtype=torch.int64, device=self._device)

    @torch.inference_mode()
    def join(
        self,
        prompt: Sequence[int],
        config: DecodingConfig,
        *,
        generator: torch.Generator | None = None,
        bias: Tensor | None = None,
        alternatives: int | None = None,
        state: State | None = None,
    ) -> BatchRow:
        """Add a text, which the next step takes up. A text without tokens to choose or report is not added.

        Args:
            prompt: at least one token.
            config: logits processors, ``max_new_tokens``, seed.
            generator: on the model's device; by default a new one with the seed of ``config``, if it has one, else the
                batch's own.
            bias: added to its logits, (V,).
            alternatives: likeliest tokens to report with each choice; None: no log-probabilities.
            state: before the text, each tensor (L, 1, H); by default ``initial_state(1)``.
        """
        if generator is None and config.seed is not None:
            generator = random_generator(self._device, config.seed)
        row = BatchRow(prompt, config, generator, bias, alternatives, active_processors(config), list(prompt))
        if not row.finished:
            start = self._initial_state(1) if state is None else state
            self._state = tuple(
                torch.cat(parts, dim=1) for parts in zip(self._state or _none(start), start, strict=True)
            )
            self._inputs = torch.cat([self._inputs, self._inputs.new_tensor(row.tokens[:1])])
            self.rows.append(row)
        return row

    @torch.inference_mode()
    def leave(self, gone: Sequence[BatchRow]) -> None:
        """Remove texts; those that have left already are ignored."""
        left = [number for number, row in enumerate(self.rows) if row not in gone]
        if len(left) < len(self.rows):
            numbers = torch.tensor(left, dtype=torch.int64, device=self._device)
            self._state = tuple(part.index_select(1, numbers) for part in self._state)
            self._inputs = self._inputs.index_select(0, numbers)
            self.rows = [self.rows[number] for number in left]

    @torch.inference_mode()
    def advance(self) -> list[tuple[BatchRow, Choice]]:
        """Read one token of every text, and choose the next one of those whose prompt is read.

        Texts that are finished leave the batch.

        Returns:
            For every text its next token; tokens of prompts only where log-probabilities are reported. Of a text
            without a seed that is alone, several, where the compiled loop writes (``nn.kernels.compiled``).
        """
        if (loop := self._loop()) is not None:
            return self._block(loop)
        logits = self._read()
        for row in self.rows:
            row.read += 1
        self._inputs = self._choose(logits)
        choices = self._choices(logits)
        if gone := [row for row in self.rows if row.finished]:
            self.leave(gone)
        return choices

    def _loop(self) -> TextLoop | None:
        """The compiled loop, if it is to write on.

        It rounds in its own way: what has a seed, and so must not depend on its company, is left to single steps.
        """
        if len(self.rows) != 1:
            return None
        row = self.rows[0]
        if row.config.seed is not None or row.alternatives is not None:
            return None
        if not isinstance(self._step, CompilableStep) or row.read + 1 < len(row.prompt):
            return None
        if any(processor.setting not in COVERED for processor in row.processors):
            return None
        return self._step.loop(0 if row.sampling else row.config.max_new_tokens)

    def _block(self, loop: TextLoop) -> list[tuple[BatchRow, Choice]]:
        """The next tokens of the only text: the first alone, then as many as the loop writes at a time."""
        row = self.rows[0]
        missing = len(row.prompt) + row.config.max_new_tokens - len(row.tokens)
        count = min(missing, loop.block) if row.sampling else 1
        noise = torch.empty(count, loop.vocabulary_size).exponential_(generator=self._generator)
        written = loop.write(self._inputs, self._state, noise, row.config, row.bias)
        self._state, self._inputs = written.state, written.tokens[-1:]
        tokens = written.tokens.tolist()
        row.read += count
        row.tokens += tokens
        if row.finished:
            self.leave([row])
        return [(row, Choice(token)) for token in tokens]

    def _read(self) -> Tensor:
        """One step: logits (N, V)."""
        count = len(self.rows)
        missing = self._seeded_rows - count
        if missing <= 0 or all(row.config.seed is None for row in self.rows):
            logits, self._state = self._step(self._inputs, self._state)
            return logits.float()
        state = tuple(torch.cat([part, part[:, :1].expand(-1, missing, -1)], dim=1) for part in self._state)
        logits, state = self._step(torch.cat([self._inputs, self._inputs[:1].expand(missing)]), state)
        self._state = tuple(part[:, :count] for part in state)
        return logits[:count].float()

    def _choose(self, logits: Tensor) -> Tensor:
        """The next token of every text, (N,): of its prompt, or sampled."""
        noise = torch.empty_like(logits).exponential_(generator=self._generator)  # one draw for all without a seed
        groups: dict[Hashable, list[int]] = {}
        for number, row in enumerate(self.rows):
            if row.sampling:
                if row.generator is not None:
                    noise[number : number + 1].exponential_(generator=row.generator)
                groups.setdefault(row.group, []).append(number)
        if len(groups) == 1 and len(next(iter(groups.values()))) == len(self.rows):
            return sampled(self._processed(logits, self.rows), noise)
        tokens = self._inputs.new_tensor([row.tokens[min(row.read, len(row.tokens) - 1)] for row in self.rows])
        for numbers in groups.values():
            rows = torch.tensor(numbers, device=self._device)
            processed = self._processed(logits[rows], [self.rows[number] for number in numbers])
            tokens[rows] = sampled(processed, noise[rows])
        return tokens

    def _processed(self, logits: Tensor, rows: Sequence[BatchRow]) -> Tensor:
        """The logits (N, V) of the rows of one group after bias and processors."""
        first, bias = rows[0], rows[0].bias
        if any(row.bias is not bias for row in rows):
            zero = torch.zeros(logits.shape[1], device=self._device)
            bias = torch.stack([zero if row.bias is None else row.bias for row in rows])
        history = self._inputs
        if first.reads_history:  # alone in its group
            history = torch.tensor([first.tokens], device=self._device)
        return apply_processors(logits, history, first.config, first.processors, bias=bias)

    def _choices(self, logits: Tensor) -> list[tuple[BatchRow, Choice]]:
        """What ``advance`` returns, of the tokens in ``_inputs``; chosen ones are added to their texts."""
        details = self._details(logits)
        choices = []
        for number, (row, token) in enumerate(zip(self.rows, self._inputs.tolist(), strict=True)):
            if row.sampling:
                row.tokens.append(token)
                choices.append((row, Choice(token, False, *details.get(number, ()))))
            elif number in details:
                choices.append((row, Choice(token, True, *details[number])))
        return choices

    def _details(self, logits: Tensor) -> dict[int, tuple[float, tuple[tuple[int, float], ...]]]:
        """By row, the log-probability of its token and the likeliest tokens, of texts that report them."""
        reported = [number for number, row in enumerate(self.rows) if row.alternatives is not None]
        if not reported:
            return {}
        rows = torch.tensor(reported, device=self._device)
        log_p = logits[rows].log_softmax(dim=1)
        own = log_p.gather(1, self._inputs[rows].unsqueeze(1)).flatten().tolist()
        most = min(max(self.rows[number].alternatives or 0 for number in reported), logits.shape[1])
        values, best = log_p.topk(most, dim=1)
        details = {}
        for number, log_p_own, tokens_best, values_best in zip(
            reported, own, best.tolist(), values.tolist(), strict=True
        ):
            pairs = tuple(zip(tokens_best, values_best, strict=True))
            details[number] = log_p_own, pairs[: self.rows[number].alternatives]
        return details


@torch.inference_mode()
def steady_rows(
    step: Step,
    initial_state: Callable[[int], State],
    vocabulary_size: int,
    most: int,
    device: torch.device | str = "cpu",
) -> int:
    """The smallest batch from which on the size of the batch does not change a bit of any row's logits.

    Found by trial, with random tokens and states: it depends on the machine's kernels. 1 if there is none.

    Args:
        step: as ``ContinuousBatch``.
        initial_state: as ``ContinuousBatch``.
        vocabulary_size: V.
        most: rows of the largest batch.
        device: of the model.

    Example:
        >>> def step(tokens, state):
        ...     return torch.nn.functional.one_hot(tokens, 5).float(), state
        >>> steady_rows(step, lambda count: (torch.zeros(1, count, 1),), 5, most=64)
        1
    """
    random = torch.Generator().manual_seed(1)
    tokens = torch.randint(vocabulary_size, (most,), generator=random).to(device)
    state = tuple(torch.randn(part.shape, generator=random).mul(0.5).to(part) for part in initial_state(most))
    whole, _ = step(tokens, state)
    steady = most
    for count in sorted({most - 1, most // 2, *range(1, min(most, 18)), 24, 31, 33, 48}, reverse=True):
        if not 0 < count < most:
            continue
        logits, _ = step(tokens[:count], tuple(part[:, :count].contiguous() for part in state))
        if not torch.equal(logits, whole[:count]):
            break
        steady = count
    return 1 if steady == most else steady


def _none(state: State) -> State:
    """The state of no rows."""
    return tuple(part[:, :0] for part in state)
