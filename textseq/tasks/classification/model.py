"""Text -> label: embedding, recurrent stack, pooling, output layer.

Shapes: N batch, T time, E embedding, H hidden, D directions, V vocabulary, C labels.
"""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

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
        weights: weight of the examples of each label in training, (C,), 1 on average; None: all equal.
        multi_label: each text has several labels or none, so that each logit is the log odds of its label.
    """

    weights: Tensor | None

    def __init__(
        self,
        config: ClassifierConfig,
        vocabulary_size: int,
        labels: int,
        weights: Tensor | None = None,
        *,
        multi_label: bool = False,
    ) -> None:
        super().__init__()
        self.config, self.multi_label = config, multi_label
        self.embedding = Embedding(vocabulary_size, config.embedding_size)
        self.embedding_dropout = Dropout(config.embedding_dropout)
        self.recurrent = Recurrent.from_config(config)
        self.pooling = Pooling(config.pooling, config.hidden_size * self.recurrent.directions)
        self.readout = nn.Linear(self.pooling.size, config.readout_size) if config.readout_size else None
        self.output = nn.Linear(config.readout_size or self.pooling.size, labels)
        self.dropout = Dropout(config.dropout)
        self.register_buffer("weights", weights, persistent=False)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The parameters by layer, from the output down to the embedding."""
        heads = [module for module in (self.output, self.pooling, self.readout) if module is not None]
        top = [parameter for module in heads for parameter in module.parameters()]
        return [top, *self.recurrent.layer_groups(), [*self.embedding.parameters()]]

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Logits of the labels, (N, C).

        Args:
            ids: (N, T), texts followed by padding.
            lengths: (N,) real tokens of each, at least 1, on the CPU.
        """
        return self.classify(self._embed(ids), lengths)

    def classify(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """``forward`` from token vectors (N, T, E), whose gradient explanations need."""
        longest_first = torch.argsort(lengths, descending=True, stable=True)
        pooled = self._pool(vectors[longest_first.to(vectors.device)], lengths[longest_first])
        pooled = pooled[torch.argsort(longest_first).to(pooled.device)]
        if self.readout is not None:
            pooled = torch.relu(self.readout(self.dropout(pooled)))
        logits: Tensor = self.output(self.dropout(pooled))
        return logits

    def loss(self, batch: TextBatch, state: State | None) -> Loss:
        """The loss of a batch of whole texts; no state is carried."""
        vectors, count = self._embed(batch.ids), len(batch.labels)  # (N, T, E)
        logits = self.classify(vectors, batch.lengths)
        nats = _summed_binary(logits, batch.labels) if self.multi_label else summed_nats(logits, batch.labels)
        config = self.config
        if not self.training or not (config.label_smoothing or config.adversarial or self.weights is not None):
            return Loss(nats, count, ())
        mean = self._mean_loss(logits, batch.labels)
        if config.adversarial:
            (gradient,) = torch.autograd.grad(mean, vectors, retain_graph=True)
            perturbed = vectors + self._perturbation(vectors, gradient, batch.lengths)
            mean = mean + self._mean_loss(self.classify(perturbed, batch.lengths), batch.labels)
        return Loss(nats, count, (), mean - nats / count)

    def _mean_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The training loss: the mean, with label smoothing and label weights."""
        smoothing = self.config.label_smoothing
        if self.multi_label:
            return _summed_binary(logits, labels * (1 - smoothing) + smoothing / 2) / len(labels)
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        nats = cross_entropy(exact, labels, reduction="none", label_smoothing=smoothing)
        # torch's weights would also weight the smoothed probabilities of the other labels.
        return nats.mean() if self.weights is None else (nats * self.weights[labels]).mean()

    def _perturbation(self, vectors: Tensor, gradient: Tensor, lengths: Tensor) -> Tensor:
        """Adversarial perturbation of the vectors (N, T, E) of each text, along the gradient of its loss.

        Its norm is a fraction of that of the text's vectors. Miyato et al. (2017, equation 3) have a fixed norm and
        normalized vectors, so that these cannot outgrow it.
        """
        real = (torch.arange(vectors.shape[1]) < lengths.unsqueeze(1)).unsqueeze(2).to(vectors.device)
        size = (vectors.detach() * real).flatten(1).norm(dim=1) * self.config.adversarial  # (N,)
        norm = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)
        perturbation: Tensor = gradient * (size / norm).view(-1, 1, 1)
        return perturbation

    def _pool(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Pooled vector of each text, (N, size), read window by window; the longest text comes first."""
        state: State | None = None
        sums: PooledSums | None = None
        masks = self.recurrent.sample_masks(len(vectors))
        for start in range(0, vectors.shape[1], self.config.window):
            rows = int((lengths > start).sum())
            if not rows:
                break
            window = vectors[:rows, start : start + self.config.window]
            tokens = (lengths[:rows] - start).clamp(max=window.shape[1])
            outputs, after = self.recurrent(
                window, self._carried(state, rows), lengths=tokens, masks=_of_rows(masks, rows)
            )
            outputs = outputs.to(vectors.dtype)
            real = (torch.arange(window.shape[1]) < tokens.unsqueeze(1)).to(outputs.device)
            before = self.pooling.begin(outputs) if sums is None else _first(sums, rows)
            last = after[0][-self.recurrent.directions :].to(outputs.dtype)  # (D, rows, H)
            # The backward direction reaches the first token in the first window.
            final = [last[0], *(last[1:] if sums is None else [before.last[:, self.config.hidden_size :]])]
            added = self.pooling.add(before, outputs, real, torch.cat(final[: self.recurrent.directions], dim=1))
            sums = added if sums is None else _replace_first(added, sums)
            state = after
        assert sums is not None
        return self.pooling.finish(sums)

    def _carried(self, state: State | None, rows: int) -> State | None:
        """The state before a window; initial for the backward direction, detached in training only."""
        if state is None:
            return None
        initial = self.recurrent.initial_state(rows)
        forward = torch.arange(len(initial[0])) % self.recurrent.directions == 0
        mask = forward.view(-1, 1, 1).to(initial[0].device)
        carried = (part[:, :rows].detach() if self.training else part[:, :rows] for part in state)
        return tuple(torch.where(mask, part, new) for part, new in zip(carried, initial, strict=True))

    def _embed(self, ids: Tensor) -> Tensor:
        vectors: Tensor = self.embedding(ids)
        if self.training and self.config.word_dropout:
            vectors = vectors * keep_mask(vectors[..., :1], self.config.word_dropout)
        dropped: Tensor = self.embedding_dropout(vectors)
        return dropped


def _summed_binary(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy (), summed over texts and labels."""
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return binary_cross_entropy_with_logits(exact, targets.to(exact.dtype), reduction="sum")


def _first(sums: PooledSums, rows: int) -> PooledSums:
    """The sums of the first rows."""
    return PooledSums(*(getattr(sums, item.name)[:rows] for item in fields(PooledSums)))


def _replace_first(added: PooledSums, before: PooledSums) -> PooledSums:
    """``before`` with its first rows replaced by ``added``."""
    pairs = ((getattr(added, item.name), getattr(before, item.name)) for item in fields(PooledSums))
    return PooledSums(*(torch.cat([new, old[len(new) :]]) for new, old in pairs))


def _of_rows(masks: DropoutMasks | None, rows: int) -> DropoutMasks | None:
    if masks is None:
        return None
    return DropoutMasks(tuple(mask if mask is None else mask[:, :rows] for mask in masks.activations), masks.weights)
