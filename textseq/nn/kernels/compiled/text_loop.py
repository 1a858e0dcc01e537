"""The compiled loop of one text behind a step of the network: what it covers, when it pays, the layout of the weights.

Shapes: L layers, H hidden, G gates, V vocabulary, T tokens.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from textseq.config.decoding import DecodingConfig, Precision
from textseq.nn.cells import State, Step, Weights, gru_step, lstm_step
from textseq.nn.kernels.inference_weights import MIN_INT8
from textseq.nn.kernels.int8 import rounded_rows

if TYPE_CHECKING:
    from textseq.nn.recurrent import Recurrent

log = logging.getLogger("textseq")

COVERED = {"temperature", "top_k", "top_p", "min_p"}
"""Settings of the choice that the loop follows; with others the reference step writes."""

PAYS = 10_000
"""Tokens from which importing numba and reading the loop from its cache pays, some 1.5 s."""

PAYS_LOADED = 100
"""Tokens from which the layout of the weights pays, if numba is already there."""

MOST = 5 * 10**6
"""Multiply-adds of a token up to which one thread in the loop is faster than several in the reference step: these wait
for the weights only half as long, but Python and torch take their time besides (``benchmarks/README.md``)."""

BLOCK = 2 * 10**8
"""Multiply-adds of a call, some 20 ms: between calls a text can be shown or stopped."""

MODULE = "textseq.nn.kernels.compiled.numba_loop"


class CompilableStep:
    """A step of a language model, (tokens (N,), state) -> (logits (N, V), state), and the loop that can replace it.

    Args:
        step: the reference implementation.
        make_loop: lays out the weights.
        multiply_adds: of a token.
    """

    def __init__(self, step: Step, make_loop: Callable[[], TextLoop], multiply_adds: int) -> None:
        self.step = step
        self.make_loop: Callable[[], TextLoop] | None = make_loop
        self.multiply_adds = multiply_adds
        self.made: TextLoop | None = None
        self.asked = 0

    def __call__(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """One step."""
        return self.step(tokens, state)

    def loop(self, tokens: int) -> TextLoop | None:
        """The loop, as soon as all tokens that were asked for pay for it; None: the reference step is to write.

        Args:
            tokens: how many are to be written now.
        """
        if torch.get_num_threads() > 1 and self.multiply_adds > MOST:
            return None
        self.asked += tokens
        if self.made is None and self.make_loop and self.asked >= (PAYS_LOADED if MODULE in sys.modules else PAYS):
            try:
                self.made = self.make_loop()
            except (ImportError, OSError, RuntimeError) as error:  # a broken numba, or no folder for its cache
                log.warning("note: writing without the compiled loop of textseq[fast]: %s", error)
                self.make_loop = None
        return self.made


def with_loop(
    step: Step,
    recurrent: Recurrent,
    table: Tensor,
    output: Weights,
    precision: Precision,
    condition: Tensor | None = None,
) -> Step:
    """The step, with a loop if numba is there and the loop covers this network: LSTM or GRU on the CPU in float32.

    Args:
        step: the reference implementation.
        recurrent: the layers.
        table: the first layer's input gates, (V, G*H).
        output: the output layer's weights, (V, H) and (V,).
        precision: of the products.
        condition: the first layer's weights of a condition (G*H, C), whose vector is the last part of the state.
    """
    plain_cell = recurrent.cell.step in {lstm_step, gru_step} and not recurrent.zoneout
    if not plain_cell or recurrent.step_weights(0)[1].gain is not None:
        return step
    if table.device.type != "cpu" or table.dtype != torch.float32 or find_spec("numba") is None:
        return step
    multiply_adds = recurrent.multiply_adds * (2 * len(recurrent.layers) - 1) + output.hh.numel()
    return CompilableStep(step, lambda: TextLoop(recurrent, table, output, precision, condition), multiply_adds)


@dataclass(frozen=True)
class Written:
    """What a call of the loop gives back."""

    tokens: Tensor
    """(T,)."""
    state: State
    """Before the last token, each tensor (L, 1, H)."""
    logits: Tensor
    """Of the last choice, (V,), before bias and processors."""


class TextLoop:
    """A network laid out for the compiled loop. Args: as ``with_loop``.

    Raises:
        ImportError, RuntimeError: numba does not work here, or finds no folder for its cache.
    """

    def __init__(
        self,
        recurrent: Recurrent,
        table: Tensor,
        output: Weights,
        precision: Precision,
        condition: Tensor | None = None,
    ) -> None:
        from textseq.nn.kernels.compiled import numba_loop

        self.numba_loop = numba_loop
        cache = Path(str(numba_loop.write.stats.cache_path))
        if not any(cache.glob("numba_loop.write-*.nbi")):
            log.warning("note: compiling the loop of textseq[fast]; this is done once, and kept in %s", cache)
        products: list[tuple[int, ...]] = []
        floats, integers = [table.new_empty(0)], [table.new_empty(0, dtype=torch.int8)]
        scales: list[Tensor] = []
        biases: list[Tensor] = []
        for part, layer, weights in (*_products(recurrent), ("OUTPUT", 0, output)):
            matrix, bias = weights.hh.detach(), weights.bias.detach()
            if precision == "int8" and matrix.numel() >= MIN_INT8:
                kind, kept = numba_loop.BOUNDED if weights.bounded else numba_loop.PEAK, integers
                matrix, scale = rounded_rows(matrix)
            else:
                kind, kept, scale = numba_loop.FLOAT, floats, torch.ones(len(matrix))
            what = getattr(numba_loop, part)
            products.append((what, layer, kind, *matrix.shape, _length(kept), _length(biases)))
            kept.append(matrix.flatten())
            scales.append(scale)
            biases.append(bias)
        self.network = numba_loop.Network(
            cell=numba_loop.LSTM if recurrent.cell.states == 2 else numba_loop.GRU,
            residual=recurrent.residual,
            products=np.array(products),
            floats=torch.cat(floats).numpy(),
            bytes=torch.cat(integers).numpy(),
            scales=torch.cat(scales).numpy(),
            biases=torch.cat(biases).numpy(),
            table=table.detach().contiguous().numpy(),
        )
        self.table, self.condition = table.detach(), None if condition is None else condition.detach()
        self.told: Tensor | None = None
        """The condition's vector (C,) that is part of the network's table."""
        self.vocabulary_size = len(table)
        self.block = min(64, max(1, BLOCK // sum(rows * columns for _, _, _, rows, columns, *_ in products)))
        """Tokens of a call."""

    def write(
        self, given: Tensor, state: State, noise: Tensor, config: DecodingConfig, bias: Tensor | None = None
    ) -> Written:
        """Read tokens, and write as many as there are rows of noise.

        Args:
            given: tokens to read, (P,), at least one.
            state: before the first of them, each tensor (L, 1, H); with a condition its vector (1, 1, C) too.
            noise: from the exponential distribution, (T, V).
            config: temperature, top-k, top-p, min-p.
            bias: added to the logits, (V,).
        """
        choice = self.numba_loop.Choice(
            temperature=np.float32(config.temperature),
            top_k=self.vocabulary_size if config.top_k is None else config.top_k,
            top_p=np.float32(config.top_p),
            min_p=np.float32(config.min_p),
            bias=np.zeros(self.vocabulary_size, np.float32) if bias is None else bias.float().numpy(),
        )
        tokens = np.concatenate([given.numpy(), np.zeros(len(noise), np.int64)])
        further: State = ()
        if self.condition is not None:
            state, further = state[:-1], state[-1:]
            self._tell(further[0][0, 0])
        after = [part[:, 0].detach().numpy().copy() for part in state]
        logits = np.zeros(self.vocabulary_size, np.float32)
        self.numba_loop.write(self.network, choice, tokens, len(given), noise.numpy(), after[0], after[-1], logits)
        return Written(
            tokens=torch.from_numpy(tokens[len(given) :]),
            state=(*(torch.from_numpy(part).unsqueeze(1) for part in after), *further),
            logits=torch.from_numpy(logits),
        )

    def _tell(self, c: Tensor) -> None:
        """Add what a condition's vector (C,) gives the first layer's gates to every token's."""
        assert self.condition is not None
        if self.told is None or not torch.equal(self.told, c):
            self.told = c.clone()
            self.network = self.network._replace(table=(self.table + self.condition @ c).numpy())


def _length(parts: Sequence[Tensor]) -> int:
    return sum(len(part) for part in parts)


def _products(recurrent: Recurrent) -> Iterator[tuple[str, int, Weights]]:
    """What a step multiplies (a name of ``numba_loop``), in which layer, and the weights, in order."""
    for layer in range(len(recurrent.layers)):
        below, own = recurrent.step_weights(layer)
        if below is None:
            yield "STATE", layer, own
        elif recurrent.cell.additive:
            yield "BOTH", layer, replace(own, bias=below.bias + own.bias)
        else:
            yield from (("INPUT", layer, below), ("STATE", layer, own))
