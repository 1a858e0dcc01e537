"""Dynamic evaluation: a language model that learns from the text it reads (Krause et al. 2018).

Shapes: N rows, T time, K numbers of a condition.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from textseq.config.decoding import DecodingConfig
from textseq.decoding.sampling import sample
from textseq.errors import TextseqError
from textseq.nn.cells import State
from textseq.nn.kernels.linear_cross_entropy import summed_nats
from textseq.tasks.language_model.adaptation.cache import NeuralCache
from textseq.tasks.language_model.config import AdaptationConfig
from textseq.tasks.language_model.model import LanguageModel

SAMPLES, WINDOWS = 10, 10
"""Texts of so many windows each over which the gradients are averaged."""

SMALLEST_RMS = 0.1
"""Smallest root mean square of a gradient, in units of the mean: tokens that the samples lack have none."""

DIVERGED = 100.0
"""Nats per token of a window above which the weights are lost; without a model every token costs the log of V."""


class DynamicModel:
    """A copy of a language model that takes a training step on each window after reading it.

    With the gradient g of the window's mean loss, the trained weights w_0, a rate and a decay::

        w <- w - rate g + decay (w_0 - w)

    "sgd" has the same rate and decay for all weights. "rms" divides the rate by the root mean square of the weight's
    gradient, and multiplies the decay with it, in units of its mean over all weights and to at most 1. The paper
    averages over the training text. As that is not always at hand, here it is text that the model samples, always the
    same; and the root mean square has a lower bound in place of the paper's added constant.

    Args:
        model: stays as it is.
        config: method, rate and decay; with ``cache`` the probabilities of the copy are mixed with those of a cache,
            and it still learns from its own loss.
        start: id of the token that begins the samples, (1,).
        conditions: the numbers of a conditional model's conditions, which the samples take in turn, (R, K).

    Example:
        >>> learner = DynamicModel(generator.model, AdaptationConfig(dynamic=True), generator.start_token())
        >>> nats, state = learner.read(ids, None)
    """

    def __init__(
        self, model: LanguageModel, config: AdaptationConfig, start: Tensor, conditions: Tensor | None = None
    ) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_()
        self.cache = NeuralCache(self.model, config) if config.cache else None
        self._weights = [*self.model.parameters()]
        self._trained = [weight.detach().clone() for weight in self._weights]
        self._window = config.dynamic_window
        one = torch.ones((), device=model.device)
        self._rates = [config.learning_rate * one] * len(self._weights)
        self._decays = [config.dynamic_decay * one] * len(self._weights)
        if config.dynamic_method == "rms":
            rms = self._gradient_rms(config.dynamic_window, start, conditions)
            mean = sum(float(part.sum()) for part in rms) / sum(part.numel() for part in rms)
            self._rates = [config.learning_rate / part.clamp(min=SMALLEST_RMS * mean) for part in rms]
            self._decays = [(config.dynamic_decay / mean * part).clamp(max=1) for part in rms]

    def read_text(
        self,
        ids: Tensor,
        told: Callable[[int, int], Mapping[str, Tensor]] = lambda start, end: {},
        progress: Callable[[int], object] = lambda count: None,
    ) -> float:
        """Read a text from its beginning in windows: the summed loss of all tokens but the first, in nats.

        Args:
            ids: (L,).
            told: the keyword arguments of ``read`` for the tokens from start to end.
            progress: called with the number of predictions of each window.

        Raises:
            TextseqError: the loss is no longer finite.
        """
        state: State | None = None
        total = 0.0
        for start in range(0, len(ids) - 1, self._window):
            end = min(start + self._window, len(ids) - 1)
            nats, state = self.read(ids[start : end + 1], state, **told(start, end))
            total += nats
            progress(end - start)
        return total

    def read(
        self,
        ids: Tensor,
        state: State | None,
        *,
        resets: Tensor | None = None,
        conditions: Tensor | None = None,
    ) -> tuple[float, State]:
        """Predict a window of a text, then learn from it.

        Args:
            ids: the window and the token after it, (T + 1,).
            state: before the window; None: the initial state.
            resets: as of ``LanguageModel.forward``, (1, T).
            conditions: as of ``LanguageModel.forward``, (1, T, K).

        Returns:
            The summed loss of the predictions, in nats, and the state after the window.

        Raises:
            TextseqError: the loss is no longer finite.
        """
        memory: State = ()
        if self.cache is not None:
            memory, state = (self.cache.memory(1), None) if state is None else (state[:2], state[2:])
        with torch.enable_grad():
            h, after = self.model.outputs(ids[None, :-1], state, resets=resets, conditions=conditions)
            logits = self.model.logits(h)
            gradients = self._gradients(logits, ids)
        logits, h, after = logits.detach(), h.detach(), tuple(part.detach() for part in after)
        if self.cache is not None:
            logits, memory = self.cache.mix(logits, h, ids[None, :-1], memory)
        nats = float(summed_nats(logits, ids[None, 1:]))
        _check(nats, len(ids) - 1)
        with torch.no_grad():
            for weight, trained, gradient, rate, decay in zip(
                self._weights, self._trained, gradients, self._rates, self._decays, strict=True
            ):
                weight.lerp_(trained, decay).addcmul_(gradient, rate, value=-1)
        return nats, (*memory, *after)

    def _gradients(self, logits: Tensor, ids: Tensor) -> tuple[Tensor, ...]:
        """Of the mean loss of a window, by weight; logits (1, T, V), ids (T + 1,)."""
        loss = cross_entropy(logits[0], ids[1:])
        return torch.autograd.grad(loss, self._weights, materialize_grads=True)

    def _gradient_rms(self, window: int, start: Tensor, conditions: Tensor | None) -> list[Tensor]:
        """The root mean square of each weight's gradient over windows that the model samples."""
        rows = [None if conditions is None else conditions[row % len(conditions)] for row in range(SAMPLES)]
        with torch.no_grad():
            states = zip(*(self.model.initial_state(1, row) for row in rows), strict=True)
            state = tuple(torch.cat(parts, dim=1) for parts in states)
            config = DecodingConfig(max_new_tokens=WINDOWS * window, temperature=1, min_p=0, seed=0)
            tokens = sample(self.model.stepper(), start.expand(SAMPLES, 1), state, config)
            texts = torch.stack([start.expand(SAMPLES), *tokens], dim=1).clone()  # autograd takes no inference tensors
        squares = [torch.zeros_like(weight) for weight in self._weights]
        for text, row in zip(texts, rows, strict=True):
            told = None if row is None else row.expand(1, window, -1)
            before: State | None = None
            for first in range(0, WINDOWS * window, window):
                ids = text[first : first + window + 1]
                with torch.enable_grad():
                    logits, after = self.model(ids[None, :-1], before, conditions=told)
                    gradients = self._gradients(logits, ids)
                before = tuple(part.detach() for part in after)
                for square, gradient in zip(squares, gradients, strict=True):
                    square.addcmul_(gradient, gradient, value=1 / (SAMPLES * WINDOWS))
        return [square.sqrt() for square in squares]


def _check(nats: float, count: int) -> None:
    """Raise a TextseqError if so many tokens, with this summed loss, show that the weights are lost."""
    if not nats < DIVERGED * count:  # NaN as well
        raise TextseqError("dynamic evaluation diverged; lower --dynamic-learning-rate or raise --dynamic-decay")


def learned(model: LanguageModel, ids: Tensor, config: AdaptationConfig, condition: Tensor | None) -> LanguageModel:
    """A model after dynamic evaluation of a text: a copy.

    Args:
        model: stays as it is.
        ids: the text, (L,), L at least 2.
        config: of dynamic evaluation.
        condition: numbers of the text's condition, (K,).

    Raises:
        TextseqError: a learning rate at which the loss is no longer finite.
    """
    table = None if condition is None else condition[None]

    def told(start: int, end: int) -> dict[str, Tensor]:
        return {} if table is None else {"conditions": table.expand(1, end - start, -1)}

    learner = DynamicModel(model, config, ids[:1], table)
    learner.read_text(ids, told)
    last = ids[-config.dynamic_window - 1 :]  # the step on it is followed by no other window that would notice
    with torch.no_grad():
        logits, _ = learner.model(last[None, :-1], None, **told(0, len(last) - 1))
    _check(float(summed_nats(logits, last[None, 1:])), len(last) - 1)
    return learner.model.requires_grad_(False)
