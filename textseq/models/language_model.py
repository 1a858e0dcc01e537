"""Text -> next token, at every position: embedding, recurrent stack, output layer.

Shapes: N batch, T time, E embedding, H hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from textseq.batches import WindowBatch
from textseq.cells import State
from textseq.config import LanguageModelConfig
from textseq.dropout import Dropout
from textseq.embedding import Embedding
from textseq.losses import Loss, summed_nats
from textseq.recurrent import Recurrent

Step = Callable[[Tensor, State], tuple[Tensor, State]]
"""Token ids (N,) and the state before them -> logits of what follows (N, V), and the new state."""


class LanguageModel(nn.Module):
    """A recurrent language model (Mikolov et al. 2010), over whatever a token is.

    Args:
        config: sizes and cell.
        vocabulary_size: V.
    """

    def __init__(self, config: LanguageModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(vocabulary_size, config.embedding_size)
        self.recurrent = Recurrent(
            config.cell,
            config.embedding_size,
            config.hidden_size,
            layers=config.layers,
            dropout=config.dropout,
            learn_initial_state=config.learn_initial_state,
        )
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(config.hidden_size, vocabulary_size)
        if config.tie_embeddings:
            self.output.weight = self.embedding.weight

    def initial_state(self, batch: int) -> State:
        """The state before a text, each tensor (L, N, H)."""
        return self.recurrent.initial_state(batch)

    def forward(self, ids: Tensor, state: State | None = None, *, resets: Tensor | None = None) -> tuple[Tensor, State]:
        """Logits of the token after each position.

        Args:
            ids: (N, T).
            state: the state before the first token; None for a fresh one.
            resets: (N, T) booleans on the CPU, true where a row starts afresh before that token.

        Returns:
            Logits (N, T, V) and the state after the last token.
        """
        h, state = self.recurrent(self._embed(ids), state, resets=resets)  # (N, T, H)
        return self._logits(h), state

    def loss(self, batch: WindowBatch, state: State | None) -> Loss:
        """The loss of one window of truncated back-propagation through time.

        With ``batch.carry`` below T the next window overlaps this one (Williams and Peng 1990, step k1 and
        length k2): the state handed on is the one after ``carry`` tokens, and only the last ``batch.scored``
        positions count.
        """
        x = self._embed(batch.inputs)  # (N, T, E)
        resets = batch.resets
        head, carried = self.recurrent(
            x[:, : batch.carry], state, resets=None if resets is None else resets[:, : batch.carry]
        )
        h = head
        if batch.carry < x.shape[1]:
            tail, _ = self.recurrent(
                x[:, batch.carry :], carried, resets=None if resets is None else resets[:, batch.carry :]
            )
            h = torch.cat([head, tail], dim=1)
        logits = self._logits(h[:, -batch.scored :])
        targets = batch.targets[:, -batch.scored :]
        return Loss(summed_nats(logits, targets), targets.numel(), tuple(part.detach() for part in carried))

    def _embed(self, ids: Tensor) -> Tensor:
        """(N, T) -> (N, T, E), with time first in memory, as the recurrent kernels want it: that saves copies."""
        vectors: Tensor = self.embedding(ids.t())
        return vectors.transpose(0, 1)

    def _logits(self, h: Tensor) -> Tensor:
        """(N, T, H) -> (N, T, V), in the memory layout that the kernels leave."""
        logits: Tensor = self.output(self.dropout(h.transpose(0, 1)))
        return logits.transpose(0, 1)

    def stepper(self) -> Step:
        """One step at a time for writing text, with the embedding folded into the first layer.

        The input's share of the first layer's gates is a table with one row per token, made once here; change
        the weights and it must be made again.
        """
        with torch.no_grad():
            table = self.recurrent.input_gates(self.embedding.weight)  # (V, G*H)

        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            h, state = self.recurrent.step(table[tokens], state)
            return self.output(h), state

        return step
