"""Text -> next token, at every position: embedding, recurrent stack, output layer.

Shapes: N batch, T time, E embedding, H hidden, V vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from textseq.config.decoding import Precision
from textseq.nn.cells import CELLS, State, Step, Weights
from textseq.nn.dropout import Dropout, keep_mask
from textseq.nn.embedding import Embedding
from textseq.nn.kernels.compiled.text_loop import with_loop
from textseq.nn.kernels.inference_weights import preparation
from textseq.nn.kernels.linear_cross_entropy import linear_cross_entropy, sampled_output
from textseq.nn.kernels.threads import threads_for
from textseq.nn.losses import Loss
from textseq.nn.recurrent import Recurrent
from textseq.tasks.language_model.batches import WindowBatch
from textseq.tasks.language_model.config import LanguageModelConfig


class LanguageModel(nn.Module):
    """A recurrent language model (Mikolov et al. 2010), over tokens of any kind.

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
        self.recurrent = _stack(config)
        self.reverse = _stack(config) if config.bidirectional else None
        self.dropout = Dropout(config.dropout, locked=locked)
        self.output = nn.Linear(config.hidden_size, vocabulary_size)
        if config.tie_embeddings:
            self.output.weight = self.embedding.weight

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The parameters by layer, from the output down to the embedding; tied ones belong to the output."""
        stacks = [stack.layer_groups() for stack in (self.recurrent, self.reverse) if stack is not None]
        layers = ([*itertools.chain(*directions)] for directions in zip(*stacks, strict=True))
        embedding = [] if self.config.tie_embeddings else [[*self.embedding.parameters()]]
        return [[*self.output.parameters()], *layers, *embedding]

    def initial_state(self, batch: int) -> State:
        """The state before a text, each tensor (L, N, H)."""
        return self.recurrent.initial_state(batch)

    def forward(self, ids: Tensor, state: State | None = None, *, resets: Tensor | None = None) -> tuple[Tensor, State]:
        """Logits of the token after each position.

        Args:
            ids: (N, T).
            state: the state before the first token; None: the initial state.
            resets: (N, T) booleans on the CPU, true where the state of a row is reset before that token.

        Returns:
            Logits (N, T, V) and the state after the last token.
        """
        h, state = self.recurrent(self._embed(ids), state, resets=resets)  # (N, T, H)
        return self._logits(h), state

    def loss(self, batch: WindowBatch, state: State | None) -> Loss:
        """The loss of one window of truncated back-propagation through time.

        With ``batch.carry`` below T the next window overlaps this one (Williams and Peng 1990, step k1 and length k2):
        the returned state is that after ``carry`` tokens, and only the last ``batch.scored`` positions count. The loss
        of the backward stack is part of the penalty.
        """
        x = self._embed(batch.inputs)  # (N, T, E)
        resets = batch.resets
        masks = self.recurrent.sample_masks(x.shape[0])
        h, carried = self.recurrent(
            x[:, : batch.carry], state, resets=None if resets is None else resets[:, : batch.carry], masks=masks
        )
        if batch.carry < x.shape[1]:
            rest = None if resets is None else resets[:, batch.carry :]
            tail, _ = self.recurrent(x[:, batch.carry :], carried, resets=rest, masks=masks)
            h = torch.cat([h, tail], dim=1)
        h = h[:, -batch.scored :].transpose(0, 1)  # (T, N, H), contiguous after the kernels
        outputs, targets = [h], [batch.targets[:, -batch.scored :].t().flatten()]
        if self.reverse is not None and self.training:
            h, previous = self._read_backwards(batch, self.reverse)
            outputs, targets = [*outputs, h], [*targets, previous]
        dropped = [self.dropout(h) for h in outputs]
        layer: tuple[Tensor, Tensor, Tensor] = self.output.weight, self.output.bias, torch.cat(targets)
        if self.training and self.config.sampled_softmax:
            layer = sampled_output(*layer, self.config.sampled_softmax)
        weight, bias, labels = layer
        directions = zip(dropped, torch.split(labels, [len(part) for part in targets]), strict=True)
        nats, *backward = [linear_cross_entropy(h.flatten(0, 1), weight, bias, y)[0] for h, y in directions]
        penalties = [part / len(targets[1]) for part in backward]
        penalties += [penalty for pair in zip(outputs, dropped, strict=True) for penalty in self._penalties(*pair)]
        state = tuple(part.detach() for part in carried)
        return Loss(nats, len(targets[0]), state, torch.stack(penalties).sum() if penalties else None)

    def _read_backwards(self, batch: WindowBatch, stack: Recurrent) -> tuple[Tensor, Tensor]:
        """Outputs of a stack that reads a window from its end, and the token before each: (T, N, H) and (T*N,).

        The state is initial in every window, and reset between documents, except at the last token of the window.
        """
        resets = None
        if batch.resets is not None:
            # The target at t is the input at t + 1: the token after it begins a document if the input at t + 2 does.
            resets = pad(batch.resets.flip(1)[:, :-2], (min(2, batch.resets.shape[1]), 0))
        h, _ = stack(self._embed(batch.targets.flip(1)), resets=resets)  # (N, T, H)
        previous = batch.inputs.flip(1)[:, -batch.scored :]
        return h[:, -batch.scored :].transpose(0, 1), previous.t().flatten()

    def _embed(self, ids: Tensor) -> Tensor:
        """(N, T) -> (N, T, E), with time first in memory, which saves copies in the recurrent kernels."""
        ids = ids.t()
        vectors: Tensor = self.embedding(ids)
        if self.training and self.config.word_dropout:
            kept = keep_mask(vectors.new_empty(self.embedding.num_embeddings, 1), self.config.word_dropout)
            vectors = vectors * kept[ids]
        dropped: Tensor = self.embedding_dropout(vectors)
        return dropped.transpose(0, 1)

    def _logits(self, h: Tensor) -> Tensor:
        """(N, T, H) -> (N, T, V), in the memory layout of the kernels."""
        logits: Tensor = self.output(self.dropout(h.transpose(0, 1)))
        return logits.transpose(0, 1)

    def _penalties(self, h: Tensor, dropped: Tensor) -> Iterator[Tensor]:
        """AR and TAR (Merity et al. 2017, section 4.5): keep outputs (T, N, H) small and slowly changing."""
        config = self.config
        if config.activation_penalty:
            yield config.activation_penalty * dropped.float().square().mean()
        if config.temporal_penalty and len(h) > 1:
            yield config.temporal_penalty * h.float().diff(dim=0).square().mean()

    def stepper(self, precision: Precision = "float32") -> Step:
        """A step function for generation, with the embedding folded into a table (V, G*H) of the first layer's gates.

        Args:
            precision: number format of the matrix products. Build it again after a change of the weights.

        Raises:
            TextseqError: a precision that is unknown or that the device does not support.
        """
        prepare = preparation(precision)
        with torch.no_grad():
            table = self.recurrent.input_gates(self.embedding.weight)  # (V, G*H)
            stack = self.recurrent.stepper(prepare)
            output_weights = Weights(self.output.weight, self.output.bias)
            output = prepare(output_weights)
        largest = max(self.output.weight.numel(), self.recurrent.multiply_adds)

        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            with threads_for(len(tokens) * largest):
                h, state = stack(table.index_select(0, tokens), state)
                return output.product(h), state

        return with_loop(step, self.recurrent, table, output_weights, precision)


def _stack(config: LanguageModelConfig) -> Recurrent:
    """The recurrent layers of one direction."""
    zoneout = (config.zoneout, config.zoneout_cell)[: CELLS[config.cell].states]
    return Recurrent.from_config(config, bidirectional=False, zoneout=zoneout)
