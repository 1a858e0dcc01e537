"""Text -> label: embedding, recurrent stack, pooling, output layer.

Shapes: N batch, T time, E embedding, H hidden, D directions, V vocabulary, C labels.
"""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from textseq.nn.cells import State
from textseq.nn.dropout import Dropout, DropoutMasks, keep_mask
from textseq.nn.embedding import Embedding
from textseq.nn.kernels.linear_cross_entropy import summed_nats
from textseq.nn.losses import Loss
from textseq.nn.pooling import PooledSums, Pooling
from textseq.nn.recurrent import Recurrent
from textseq.tasks.classification.batches import TextBatch
from textseq.tasks.classification.config import ClassifierConfig


class ClassifierModel(nn.Module):
    """A recurrent classifier of texts of any length.

    Args:
        config: sizes and kinds.
        vocabulary_size: V.
        labels: C.
        weights: what an example of each label counts in training, (C,), 1 on average; None: all the same.
    """

    weights: Tensor | None

    def __init__(
        self, config: ClassifierConfig, vocabulary_size: int, labels: int, weights: Tensor | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(vocabulary_size, config.embedding_size)
        self.embedding_dropout = Dropout(config.embedding_dropout)
        self.recurrent = Recurrent(
            config.cell,
            config.embedding_size,
            config.hidden_size,
            num_layers=config.num_layers,
            bidirectional=config.bidirectional,
            dropout=config.dropout,
            locked_dropout=config.locked_dropout,
            weight_dropout=config.weight_dropout,
        )
        self.pooling = Pooling(config.pooling, config.hidden_size * self.recurrent.directions)
        self.readout = nn.Linear(self.pooling.size, config.readout_size) if config.readout_size else None
        self.output = nn.Linear(config.readout_size or self.pooling.size, labels)
        self.dropout = Dropout(config.dropout)
        self.register_buffer("weights", weights, persistent=False)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The parameters by layer, from the output down to the embedding."""
        heads = [self.output, self.pooling] + ([self.readout] if self.readout is not None else [])
        own = [parameter for head in heads for parameter in head.parameters()]
        return [own, *self.recurrent.layer_groups(), [*self.embedding.parameters()]]

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Logits (N, C) of every text's labels.

        Args:
            ids: (N, T), texts and then padding.
            lengths: (N,) real tokens of each, at least 1, on the CPU.
        """
        return self.classify(self._embed(ids), lengths)

    def classify(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """``forward`` from the vectors of the tokens (N, T, E) on, for explanations by their gradient."""
        longest_first = torch.argsort(lengths, descending=True, stable=True)
        pooled = self._read(vectors[longest_first.to(vectors.device)], lengths[longest_first])
        pooled = pooled[torch.argsort(longest_first).to(pooled.device)]
        if self.readout is not None:
            pooled = torch.relu(self.readout(self.dropout(pooled)))
        logits: Tensor = self.output(self.dropout(pooled))
        return logits

    def loss(self, batch: TextBatch, state: State | None) -> Loss:
        """The loss of a batch of whole texts; nothing is carried from one to the next."""
        vectors, count = self._embed(batch.ids), len(batch.labels)  # (N, T, E)
        logits = self.classify(vectors, batch.lengths)
        nats = summed_nats(logits, batch.labels)
        config = self.config
        if not self.training or not (config.label_smoothing or config.adversarial or self.weights is not None):
            return Loss(nats, count, ())
        wanted = self._wanted(logits, batch.labels)
        if config.adversarial:
            (slope,) = torch.autograd.grad(wanted, vectors, retain_graph=True)
            worse = self.classify(vectors + self._perturbation(vectors, slope, batch.lengths), batch.lengths)
            wanted = wanted + self._wanted(worse, batch.labels)
        return Loss(nats, count, (), wanted - nats / count)

    def _wanted(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean loss that training lowers: smoothed, and weighted by label."""
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        nats = cross_entropy(exact, labels, reduction="none", label_smoothing=self.config.label_smoothing)
        # Not by torch's own weights: with these smoothing would count what an example is not, too.
        return nats.mean() if self.weights is None else (nats * self.weights[labels]).mean()

    def _perturbation(self, vectors: Tensor, slope: Tensor, lengths: Tensor) -> Tensor:
        """What is added to the vectors (N, T, E) of each text in the direction of its loss's gradient.

        Its length is a share of that of the text's vectors as a whole. Miyato et al. (2017, equation 3) have a fixed
        length, and normalized vectors, so that these cannot grow out of its reach.
        """
        real = (torch.arange(vectors.shape[1]) < lengths.unsqueeze(1)).unsqueeze(2).to(vectors.device)
        size = (vectors.detach() * real).flatten(1).norm(dim=1) * self.config.adversarial  # (N,)
        steepness = slope.flatten(1).norm(dim=1).clamp(min=1e-12)
        moved: Tensor = slope * (size / steepness).view(-1, 1, 1)
        return moved

    def _read(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """What stands for each text, (N, size): windows of a text come one after the other, the longest text first."""
        state: State | None = None
        gathered: PooledSums | None = None
        masks = self.recurrent.sample_masks(len(vectors))
        for start in range(0, vectors.shape[1], self.config.window):
            rows = int((lengths > start).sum())
            if not rows:
                break
            window = vectors[:rows, start : start + self.config.window]
            here = (lengths[:rows] - start).clamp(max=window.shape[1])
            outputs, after = self.recurrent(
                window, self._carried(state, rows), lengths=here, masks=_of_rows(masks, rows)
            )
            outputs = outputs.to(vectors.dtype)
            real = (torch.arange(window.shape[1]) < here.unsqueeze(1)).to(outputs.device)
            before = self.pooling.begin(outputs) if gathered is None else _first(gathered, rows)
            last = after[0][-self.recurrent.directions :].to(outputs.dtype)  # (D, rows, H)
            # The second direction has come to the first token when the first window was read.
            ends = [last[0], *(last[1:] if gathered is None else [before.last[:, self.config.hidden_size :]])]
            ends = ends[: self.recurrent.directions]
            added = self.pooling.add(before, outputs, real, torch.cat(ends, dim=1))
            gathered = added if gathered is None else _followed(added, gathered)
            state = after
        assert gathered is not None
        return self.pooling.finish(gathered)

    def _carried(self, state: State | None, rows: int) -> State | None:
        """The state that a window begins with; the second direction's is fresh.

        In training no gradient goes back over it. An explanation needs the gradient of the whole text.
        """
        if state is None:
            return None
        fresh = self.recurrent.initial_state(rows)
        ahead = torch.arange(len(fresh[0])) % self.recurrent.directions == 0
        mask = ahead.view(-1, 1, 1).to(fresh[0].device)
        carried = (part[:, :rows].detach() if self.training else part[:, :rows] for part in state)
        return tuple(torch.where(mask, part, new) for part, new in zip(carried, fresh, strict=True))

    def _embed(self, ids: Tensor) -> Tensor:
        vectors: Tensor = self.embedding(ids)
        if self.training and self.config.word_dropout:
            vectors = vectors * keep_mask(vectors[..., :1], self.config.word_dropout)
        dropped: Tensor = self.embedding_dropout(vectors)
        return dropped


def _first(gathered: PooledSums, rows: int) -> PooledSums:
    """What is known of the first rows."""
    return PooledSums(*(getattr(gathered, item.name)[:rows] for item in fields(PooledSums)))


def _followed(added: PooledSums, before: PooledSums) -> PooledSums:
    """The rows to which a window was added, then the others as they were: their texts are over."""
    pairs = ((getattr(added, item.name), getattr(before, item.name)) for item in fields(PooledSums))
    return PooledSums(*(torch.cat([new, old[len(new) :]]) for new, old in pairs))


def _of_rows(masks: DropoutMasks | None, rows: int) -> DropoutMasks | None:
    if masks is None:
        return None
    return DropoutMasks(tuple(mask if mask is None else mask[:, :rows] for mask in masks.activations), masks.weights)
