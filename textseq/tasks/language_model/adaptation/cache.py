"""A continuous cache: what a language model has just read becomes more likely (Grave et al. 2017).

Shapes: N batch, T time, S size of the cache, H hidden, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from textseq.config.decoding import Precision
from textseq.nn.cells import State, Step
from textseq.nn.kernels.threads import threads_for
from textseq.tasks.language_model.config import AdaptationConfig
from textseq.tasks.language_model.model import LanguageModel


class NeuralCache:
    """A language model with a cache over its outputs h, "Improving neural language models with a continuous cache".

    The cache holds the last S positions: the output h_i there, and the token x_(i+1) that came next. With the weights
    lambda and theta (equations 3 and 4)::

        p(w) = (1 - lambda) p_model(w) + lambda p_cache(w)
        p_cache(w) proportional to the sum of exp(theta h_t . h_i) over the positions i where x_(i+1) = w

    It reads as the model itself, with log-probabilities in place of logits. Its state begins with the outputs
    (1, N, S, H) and the tokens (1, N, S) of the last positions (-1: none yet), then the model's own parts follow. A new
    document changes the model's part alone.

    Args:
        model: in evaluation mode.
        config: ``cache_size``, ``cache_theta``, ``cache_lambda``.

    Example:
        >>> reader = NeuralCache(generator.model, AdaptationConfig(cache=True))
        >>> log_p, state = reader(ids, reader.initial_state(1))
    """

    def __init__(self, model: LanguageModel, config: AdaptationConfig) -> None:
        self.model, self.config, self.device = model, config, model.device

    def memory(self, batch: int) -> State:
        """The cache's part of the state before a text."""
        like = self.model.output.weight
        tokens = like.new_full((1, batch, self.config.cache_size), -1, dtype=torch.int64)
        return like.new_zeros(*tokens.shape, self.model.config.hidden_size), tokens

    def initial_state(self, batch: int, condition: Tensor | None = None) -> State:
        """The state before a text; ``condition`` as of ``LanguageModel.initial_state``."""
        return (*self.memory(batch), *self.model.initial_state(batch, condition))

    def __call__(
        self,
        ids: Tensor,
        state: State | None = None,
        *,
        resets: Tensor | None = None,
        conditions: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Log-probabilities of the token after each position (N, T, V), and the state; args as of the model."""
        memory, before = (self.memory(len(ids)), None) if state is None else (state[:2], state[2:])
        h, after = self.model.outputs(ids, before, resets=resets, conditions=conditions)
        log_p, memory = self.mix(self.model.logits(h), h, ids, memory)
        return log_p, (*memory, *after)

    def mix(self, logits: Tensor, h: Tensor, ids: Tensor, memory: State) -> tuple[Tensor, State]:
        """The log-probabilities with the cache, (N, T, V), and the cache after the window.

        Args:
            logits: the model's, (N, T, V).
            h: that they come from, (N, T, H).
            ids: that were read, (N, T).
            memory: the cache before the window.
        """
        size, config = self.config.cache_size, self.config
        outputs = torch.cat([memory[0][0], h], dim=1)  # (N, S+T, H)
        tokens = torch.cat([memory[1][0], ids], dim=1)  # (N, S+T)
        # The output at t is entry S + t: its cache are the S entries before it, each with the token of the next entry.
        ages = torch.arange(size, size + h.shape[1], device=h.device)[:, None] - torch.arange(
            outputs.shape[1] - 1, device=h.device
        )
        held = (ages > 0) & (ages <= size) & (tokens[:, None, :-1] >= 0)  # (N, T, S+T-1)
        scores = config.cache_theta * (h @ outputs[:, :-1].transpose(1, 2))
        filled = held.any(dim=2, keepdim=True)
        weights = scores.masked_fill(~held & filled, -torch.inf).softmax(dim=2)
        p = torch.zeros_like(logits, dtype=weights.dtype)
        p.scatter_add_(2, tokens[:, None, 1:].clamp(min=0).expand_as(weights), weights)
        share = config.cache_lambda * filled  # an empty cache has no say
        log_p = torch.logaddexp(logits.log_softmax(dim=2) + torch.log1p(-share), (share * p).log())
        return log_p, (outputs[:, -size:].unsqueeze(0), tokens[:, -size:].unsqueeze(0))

    def stepper(self, precision: Precision = "float32") -> Step:
        """A step function for generation; args and errors as of ``LanguageModel.stepper``."""
        parts = self.model.step_parts(precision)

        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            with threads_for(len(tokens) * parts.multiply_adds):
                h, after = parts.outputs(tokens, state[2:])
                window = parts.logits(h).unsqueeze(1), h.unsqueeze(1), tokens.unsqueeze(1)
                log_p, memory = self.mix(*window, state[:2])
            return log_p[:, 0], (*memory, *after)

        return step
