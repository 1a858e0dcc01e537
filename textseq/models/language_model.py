"""Text -> next token, at every position: embedding, recurrent stack, output layer.

Shapes: N batch, T time, E embedding, H hidden, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from textseq.batches import WindowBatch
from textseq.cells import CELLS, State, Step, Weights
from textseq.config import LanguageModelConfig, WritingPrecision
from textseq.dropout import Dropout, keep_mask
from textseq.embedding import Embedding
from textseq.errors import unknown
from textseq.losses import Loss, output_nats, sampled_output
from textseq.quantized import PRECISIONS
from textseq.recurrent import Recurrent


class LanguageModel(nn.Module):
    """A recurrent language model (Mikolov et al. 2010), over whatever a token is.

    Args:
        config: sizes and cell.
        vocabulary_size: V.
    """

    def __init__(self, config: LanguageModelConfig, vocabulary_size: int) -> None:
        super().__init__()
        self.config = config
        locked = config.locked_dropout
        self.embedding = Embedding(vocabulary_size, config.embedding_size)
        self.embedding_dropout = Dropout(config.embedding_dropout, locked=locked)
        self.recurrent = Recurrent(
            config.cell,
            config.embedding_size,
            config.hidden_size,
            layers=config.layers,
            residual=config.residual,
            layer_norm=config.layer_norm,
            dropout=config.dropout,
            locked_dropout=locked,
            weight_dropout=config.weight_dropout,
            zoneout=(config.zoneout, config.zoneout_cell)[: CELLS[config.cell].states],
            learn_initial_state=config.learn_initial_state,
        )
        self.dropout = Dropout(config.dropout, locked=locked)
        self.output = nn.Linear(config.hidden_size, vocabulary_size)
        if config.tie_embeddings:
            self.output.weight = self.embedding.weight

    def stages(self) -> list[list[nn.Parameter]]:
        """The parameters by layer, from the output down to the embedding; tied ones are of the output."""
        own = [*self.output.parameters()]
        below = [] if self.config.tie_embeddings else [[*self.embedding.parameters()]]
        return [own, *self.recurrent.stages(), *below]

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
        noise = self.recurrent.draw(x.shape[0])
        h, carried = self.recurrent(
            x[:, : batch.carry], state, resets=None if resets is None else resets[:, : batch.carry], noise=noise
        )
        if batch.carry < x.shape[1]:
            rest = None if resets is None else resets[:, batch.carry :]
            tail, _ = self.recurrent(x[:, batch.carry :], carried, resets=rest, noise=noise)
            h = torch.cat([h, tail], dim=1)
        h = h[:, -batch.scored :].transpose(0, 1)  # (T, N, H), as the kernels leave it in memory
        dropped = self.dropout(h)
        targets = batch.targets[:, -batch.scored :].t().flatten()
        layer: tuple[Tensor, Tensor, Tensor] = self.output.weight, self.output.bias, targets
        if self.training and self.config.sampled_softmax:
            layer = sampled_output(*layer, self.config.sampled_softmax)
        nats, _ = output_nats(dropped.flatten(0, 1), *layer)
        return Loss(
            nats,
            len(targets),
            tuple(part.detach() for part in carried),
            self._penalty(h, dropped),
        )

    def _embed(self, ids: Tensor) -> Tensor:
        """(N, T) -> (N, T, E), with time first in memory, as the recurrent kernels want it: that saves copies."""
        ids = ids.t()
        vectors: Tensor = self.embedding(ids)
        if self.training and self.config.word_dropout:
            kept = keep_mask(vectors.new_empty(self.embedding.num_embeddings, 1), self.config.word_dropout)
            vectors = vectors * kept[ids]
        dropped: Tensor = self.embedding_dropout(vectors)
        return dropped.transpose(0, 1)

    def _logits(self, h: Tensor) -> Tensor:
        """(N, T, H) -> (N, T, V), in the memory layout that the kernels leave."""
        logits: Tensor = self.output(self.dropout(h.transpose(0, 1)))
        return logits.transpose(0, 1)

    def _penalty(self, h: Tensor, dropped: Tensor) -> Tensor | None:
        """AR and TAR (Merity et al. 2017, section 4.5): outputs should be small and change little; (T, N, H) each."""
        config = self.config
        penalty = None
        if config.activation_penalty:
            penalty = config.activation_penalty * dropped.float().square().mean()
        if config.temporal_penalty and len(h) > 1:
            temporal = config.temporal_penalty * h.float().diff(dim=0).square().mean()
            penalty = temporal if penalty is None else penalty + temporal
        return penalty

    def stepper(self, precision: WritingPrecision = "float32") -> Step:
        """One step at a time for writing text, with the embedding folded into the first layer.

        The input's share of the first layer's gates is a table with one row per token, made once here; change
        the weights and it must be made again.

        Args:
            precision: a key of ``PRECISIONS``: the number format of the products.

        Raises:
            TextseqError: an unknown precision, or one that this device has no products for.
        """
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        prepare = PRECISIONS[precision]
        with torch.no_grad():
            table = self.recurrent.input_gates(self.embedding.weight)  # (V, G*H)
            stack = self.recurrent.stepper(prepare)
            output = prepare(Weights(self.output.weight, self.output.bias))

        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            h, state = stack(table[tokens], state)
            return output.product(h), state

        return step
