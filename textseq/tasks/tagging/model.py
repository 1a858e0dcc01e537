"""Sentence -> a tag for each word, or a sequence of tags: word vectors and letters, recurrent stack, output layer.

Shapes: N batch, T words, E embedding, H hidden, D directions, V known words, L letters, U distinct words of a batch, W
width of the word representations, C labels. With CTC the inputs are the letters of a text, F frames each, and C counts
the blank, which comes before the labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import ctc_loss

from textseq.nn.cells import State
from textseq.nn.crf import ConditionalRandomField, penalties_of, split_penalties, viterbi
from textseq.nn.dropout import Dropout
from textseq.nn.embedding import Embedding
from textseq.nn.kernels.linear_cross_entropy import summed_nats
from textseq.nn.losses import Loss
from textseq.nn.recurrent import Recurrent
from textseq.tasks.tagging.batches import TagBatch
from textseq.tasks.tagging.config import TaggerConfig


class TaggerModel(nn.Module):
    """A recurrent tagger (Lample et al. 2016, sections 2 and 4; without a CRF as Ling et al. 2015).

    Args:
        config: sizes and kinds.
        vocabulary_size: V; the last id is that of unknown words.
        letters: L.
        labels: number of tags.
        allowed: which tag may follow which; see ``ConditionalRandomField``. Predictions obey it without a CRF too.
    """

    penalties: Tensor | None

    def __init__(
        self, config: TaggerConfig, vocabulary_size: int, letters: int, labels: int, allowed: Tensor | None = None
    ) -> None:
        super().__init__()
        self.config = config
        assert config.output != "auto"
        self.unknown = vocabulary_size - 1
        self.frames = config.frames if config.output == "ctc" else 1
        self.embedding = Embedding(vocabulary_size, config.embedding_size)
        spelled = config.letter_hidden_size if config.output != "ctc" else 0
        # Initialized as word vectors are, but not an Embedding, which --frozen-steps would freeze.
        initial = Embedding(letters, config.letter_size).weight.detach() if spelled else None
        self.letters = None if initial is None else nn.Embedding(initial.shape[0], initial.shape[1], _weight=initial)
        self.speller = Recurrent(config.cell, config.letter_size, spelled, bidirectional=True) if spelled else None
        width = config.embedding_size + 2 * spelled
        self.place = nn.Parameter(torch.randn(self.frames, width) * width**-0.5) if self.frames > 1 else None
        self.recurrent = Recurrent.from_config(config, input_size=width)
        self.embedding_dropout = Dropout(config.embedding_dropout)
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(config.hidden_size * self.recurrent.directions, labels + (config.output == "ctc"))
        self.crf = ConditionalRandomField(labels, allowed) if config.output == "crf" else None
        self.register_buffer("penalties", None if allowed is None else penalties_of(allowed), persistent=False)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The parameters by layer, from the output down to the embedding."""
        top, bottom = (
            [parameter for module in modules if module is not None for parameter in module.parameters()]
            for modules in ((self.output, self.crf), (self.embedding, self.letters, self.speller))
        )
        return [top, *self.recurrent.layer_groups(), bottom + ([self.place] if self.place is not None else [])]

    def forward(self, batch: TagBatch) -> Tensor:
        """Scores of the labels, (N, T, C), or (N, T*F, C)."""
        vectors = self.embedding_dropout(self._embed(batch))  # (N, T, W)
        if self.place is not None:
            vectors = (vectors.unsqueeze(2) + self.place).flatten(1, 2)  # (N, T*F, W)
        outputs, _ = self.recurrent(vectors, lengths=batch.lengths * self.frames)
        scores: Tensor = self.output(self.dropout(outputs))
        return scores

    def loss(self, batch: TagBatch, state: State | None) -> Loss:
        """The loss of a batch of whole sentences, per tag; no state is carried."""
        scores, count = self(batch), int(batch.tag_counts.sum())
        if self.config.output == "ctc":
            log_p = scores.float().log_softmax(dim=2).transpose(0, 1)  # (T*F, N, C)
            tags = batch.tags + 1
            if torch.are_deterministic_algorithms_enabled():  # torch's CTC is not deterministic on a GPU
                log_p, tags = log_p.cpu(), tags.cpu()
            lengths = batch.lengths * self.frames
            # Sequences that need more frames than there are have probability 0: they are not counted.
            nats = ctc_loss(log_p, tags, lengths, batch.tag_counts, reduction="sum", zero_infinity=True)
            count = int(batch.tag_counts[batch.frames <= lengths].sum())
            return Loss(nats.to(scores.device), max(count, 1), ())
        if self.crf is not None:
            return Loss(self.crf.nats(scores, batch.tags, batch.lengths).sum(), count, ())
        real = (torch.arange(scores.shape[1]) < batch.lengths.unsqueeze(1)).to(scores.device)
        return Loss(summed_nats(scores[real], batch.tags[real]), count, ())

    def transition_scores(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """What the best sequence adds to ``forward``'s scores: of each transition from a label to the next (C, C), of
        the first label (C,) and of the last (C,).

        None if it is the likeliest label of each word (or is found by CTC).
        """
        if self.crf is not None:
            return self.crf.transition_scores()
        return None if self.penalties is None else split_penalties(self.penalties)

    def read(self, batch: TagBatch) -> tuple[list[list[int]], Tensor]:
        """Predict tags.

        Returns:
            The numbers of the most probable tag sequence of each sentence (with CTC none), and the marginal
            log-probabilities of the labels in nats, (N, T, C) or (N, T*F, C).
        """
        scores: Tensor = self(batch).float()
        if self.crf is not None:
            marginals: Tensor = self.crf.marginals(scores, batch.lengths)
            return self.crf.best(scores, batch.lengths), marginals.clamp(min=1e-30).log()
        log_p, fixed = scores.log_softmax(dim=2), self.transition_scores()
        if fixed is not None:
            return viterbi(log_p, batch.lengths, *fixed), log_p
        tags = scores.argmax(dim=2).tolist() if self.config.output != "ctc" else [[] for _ in scores]
        return [row[:length] for row, length in zip(tags, batch.lengths.tolist(), strict=True)], log_p

    def _embed(self, batch: TagBatch) -> Tensor:
        """Word representations (N, T, W): the vector and the final states of both directions over the letters."""
        ids = batch.ids
        if self.training and self.config.word_dropout:
            dropped = torch.rand(ids.shape, device=ids.device) < self.config.word_dropout
            ids = ids.masked_fill(dropped, self.unknown)
        vectors: Tensor = self.embedding(ids)
        if self.letters is None or self.speller is None:
            return vectors
        _, after = self.speller(self.letters(batch.letters), lengths=batch.letter_counts)
        spelled = after[0].transpose(0, 1).flatten(1).to(vectors.dtype)  # (U, 2*H)
        return torch.cat([vectors, spelled[batch.forms]], dim=2)
