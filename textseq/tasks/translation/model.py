"""Text -> text: a bidirectional encoder and a decoder with attention.

Bahdanau, Cho and Bengio (2015), appendix A, except: the readout takes the new state s_i, not s_{i-1}; its nonlinearity
is tanh, maxout on request; the GRU's reset gate is applied after the product (the cell ``gru-reset-before`` applies it
before, as the paper does); further decoder layers take the output of the attending one. The attention's query is the
state before the step; in Luong et al. (2015) it is the state after it.

Shapes: N batch, S source time, T target time, E embedding, H hidden, C width of the encoder's outputs, V vocabulary.
The token after the vocabulary, ``end``, ends sources and targets and begins targets: embedding and output layer have
V + 1 rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from textseq.config.decoding import Precision
from textseq.errors import TextseqError
from textseq.nn.attention import Memory
from textseq.nn.attention_decoder import SUFFIX, AttentionDecoder
from textseq.nn.cells import State, Step, Weights
from textseq.nn.dropout import Dropout, keep_mask
from textseq.nn.embedding import Embedding
from textseq.nn.kernels.inference_weights import Prepare, preparation
from textseq.nn.kernels.linear_cross_entropy import OutputLayer, Teachers, linear_cross_entropy
from textseq.nn.kernels.threads import threads_for
from textseq.nn.losses import Loss
from textseq.nn.recurrent import Recurrent
from textseq.nn.rnn_layer import step_weights
from textseq.tasks.translation.batches import PairBatch
from textseq.tasks.translation.config import TranslationModelConfig


@dataclass(frozen=True)
class Reading:
    """Decoder outputs of a window of targets."""

    outputs: Tensor
    """(T, N, H)."""
    contexts: Tensor
    """(T, N, C)."""
    attention: Tensor
    """(T, N, S)."""
    state: State
    """After the last step, each tensor (L, N, H)."""


class TranslationModel(nn.Module):
    """An attentional encoder-decoder.

    Args:
        config: sizes and kinds.
        source_size: V of the source.
        target_size: V of the target.

    Raises:
        TextseqError: embeddings are tied over different vocabularies.
    """

    def __init__(self, config: TranslationModelConfig, source_size: int, target_size: int) -> None:
        super().__init__()
        if config.tie_embeddings == "all" and source_size != target_size:
            raise TextseqError(
                f"--tie-embeddings all: expected one vocabulary, got two ({source_size} and {target_size} tokens); "
                "use --vocabulary joint, or --tie-embeddings target"
            )
        self.config = config
        width, hidden = config.embedding_size, config.hidden_size
        values = 2 * config.encoder_size
        self.source_end, self.end = source_size, target_size
        self.embedding = Embedding(target_size + 1, width)
        self.source_embedding = self.embedding if config.tie_embeddings == "all" else Embedding(source_size + 1, width)
        self.encoder = Recurrent(
            config.cell,
            width,
            config.encoder_size,
            num_layers=config.num_encoder_layers,
            bidirectional=True,
            dropout=config.dropout,
        )
        self.decoder = AttentionDecoder(config.cell, config.attention, width, values, hidden, config.attention_size)
        self.upper = (
            Recurrent(config.cell, hidden, hidden, num_layers=config.num_decoder_layers - 1, dropout=config.dropout)
            if config.num_decoder_layers > 1
            else None
        )
        states = config.num_decoder_layers * self.decoder.cell.states
        self.bridge = nn.Linear(config.encoder_size, states * hidden)
        rows = width * (2 if config.readout == "maxout" else 1)
        self.readout = nn.Linear(hidden + values + width, rows)
        self.output = nn.Linear(width, target_size + 1)
        if config.tie_embeddings == "none":
            nn.init.normal_(self.output.weight, std=width**-0.5)
        else:
            self.output.weight = self.embedding.weight
        nn.init.zeros_(self.output.bias)
        self.embedding_dropout = Dropout(config.embedding_dropout)
        self.dropout = Dropout(config.dropout)

    @property
    def state_parts(self) -> int:
        """Number of tensors of the decoder's state."""
        return self.decoder.cell.states

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[Memory, State]:
        """Encode sources.

        Args:
            source: (N, S) ids, ``source_end`` after each sentence, then padding.
            lengths: (N,) real tokens of each, on the CPU.

        Returns:
            The memory of the attention, and the decoder's initial state, each tensor (L, N, H).
        """
        words = self._embed(self.source_embedding, source)  # (N, S, E)
        values, after = self.encoder(words, lengths=lengths)
        values = values.to(words.dtype)
        forward, backward = after[0][-2], after[0][-1]  # of the last layer, (N, C/2) each
        memory = Memory(values, lengths, summary=torch.cat([forward, backward], dim=1))
        memory, _ = self.decoder.attention.with_keys(memory)
        start = torch.tanh(self.bridge(backward)).to(words.dtype)  # (N, L*states*H)
        layers = self.config.num_decoder_layers
        parts = start.view(len(source), layers, -1, self.config.hidden_size).transpose(0, 1)  # (L, N, states, H)
        return memory, tuple(part.contiguous() for part in parts.unbind(2))

    def decode(self, inputs: Tensor, memory: Memory, state: State) -> tuple[Tensor, Reading]:
        """Run the decoder over known targets.

        Args:
            inputs: (N, T) ids, the token before each target.
            memory: from ``encode``.
            state: from ``encode``, or that after the previous window.

        Returns:
            The vectors of the input tokens (T, N, E), and the decoder's outputs.
        """
        words = self._embed(self.embedding, inputs.t())  # (T, N, E)
        lowest = tuple(part[0] for part in state)
        outputs, contexts, attention, after = self.decoder(self.decoder.word_gates(words), memory, lowest)
        after = tuple(part.unsqueeze(0) for part in after)
        if self.upper is not None:
            read = self.dropout(outputs).transpose(0, 1)
            upper, above = self.upper(read, tuple(part[1:] for part in state))
            outputs = upper.transpose(0, 1)
            after = tuple(torch.cat(parts) for parts in zip(after, above, strict=True))
        return words, Reading(outputs, contexts, attention, after)

    def read_out(self, outputs: Tensor, contexts: Tensor, words: Tensor) -> Tensor:
        """Input of the output layer: (..., H), (..., C) and (..., E) -> (..., E)."""
        total = self.readout(torch.cat([outputs, contexts, words], dim=-1))
        dropped: Tensor = self.dropout(self.squash(total))
        return dropped.to(words.dtype)

    def logits(self, outputs: Tensor, contexts: Tensor, words: Tensor) -> Tensor:
        """Logits of the next token: (..., H), (..., C) and (..., E) -> (..., V+1)."""
        logits: Tensor = self.output(self.read_out(outputs, contexts, words))
        return logits

    def forward(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """Logits (N, T, V+1) of every target, and attention weights (N, T, S)."""
        memory, state = self.encode(batch.source, batch.source_lengths)
        words, read = self.decode(batch.inputs, memory, state)
        logits = self.logits(read.outputs, read.contexts, words)
        return logits.transpose(0, 1), read.attention.transpose(0, 1)

    def loss(self, batch: PairBatch, state: State | None, teachers: Teachers | None = None) -> Loss:
        """The loss of one window of the targets.

        Args:
            batch: the window.
            state: the decoder's after the previous window; not used in a first window.
            teachers: what other models predict in this window, of ``predictions``.
        """
        layer, after = self._read_window(batch, state, scheduled_sampling=self.training)
        targets = batch.targets.t()[batch.real.t()]
        smoothing = self.config.label_smoothing if self.training else 0.0
        nats, penalty = linear_cross_entropy(*layer, targets, smoothing, teachers)
        return Loss(nats, batch.count, tuple(part.detach() for part in after), penalty)

    def predictions(self, batch: PairBatch, state: State | None) -> tuple[OutputLayer, State]:
        """What this model, as a teacher, predicts of the targets of a window, and the state before the next window."""
        return self._read_window(batch, state)

    def _read_window(
        self, batch: PairBatch, state: State | None, *, scheduled_sampling: bool = False
    ) -> tuple[OutputLayer, State]:
        """The output layer with its input at every real target, ordered (T, N); the state before the next window."""
        memory, start = self.encode(batch.source, batch.source_lengths)
        if not batch.first and state:
            start = state
        inputs = batch.inputs
        if scheduled_sampling and self.config.scheduled_sampling:
            inputs = self._sample_inputs(batch, memory, start)
        words, read = self.decode(inputs, memory, start)
        x = self.read_out(read.outputs, read.contexts, words)[batch.real.t()]
        return OutputLayer(x, self.output.weight, self.output.bias), () if batch.last else read.state

    @torch.no_grad()
    def _sample_inputs(self, batch: PairBatch, memory: Memory, state: State) -> Tensor:
        """Scheduled sampling: the inputs, some of them sampled from the model's predictions."""
        words, read = self.decode(batch.inputs, memory, state)
        inputs = batch.inputs.t().clone()
        replaced = torch.rand(inputs[1:].shape, device=inputs.device) < self.config.scheduled_sampling
        steps = zip(
            read.outputs, read.contexts, words, replaced, inputs[1:], strict=False
        )  # the last step predicts ``end``
        for h, context, word, rows, following in steps:  # step by step, because the vocabulary is large
            logits = self.logits(h[rows], context[rows], word[rows]).float()
            noise = torch.empty_like(logits).exponential_()
            following[rows] = (logits.softmax(dim=1) / noise).argmax(dim=1)
        return inputs.t()

    def stepper(self, precision: Precision = "float32") -> Stepper:
        """The decoder for generation, with the embedding folded into tables of gates and readout, a row per token.

        Args:
            precision: number format of the matrix products. Build it again after a change of the weights.

        Raises:
            TextseqError: a precision that is unknown or that the device does not support.
        """
        prepare, decoder, config = preparation(precision), self.decoder, self.config
        width = config.hidden_size + 2 * config.encoder_size
        with torch.no_grad():
            bounded = decoder.cell.bounded  # states, values and contexts are between -1 and 1
            readout = Weights(self.readout.weight[:, :width], self.readout.bias, bounded=bounded)
            output = Weights(self.output.weight, self.output.bias, bounded=config.readout == "tanh")
            matrix, query = decoder.attention.query_matrix(), None
            if matrix is not None:
                query = prepare(Weights(matrix, torch.zeros_like(matrix[:, 0]), bounded=bounded))
            return Stepper(
                self,
                prepare,
                gate_table=decoder.word_gates(self.embedding.weight),
                readout_table=linear(self.embedding.weight, self.readout.weight[:, width:]),
                hidden=prepare(replace(step_weights(decoder.layer, SUFFIX), bounded=bounded)),
                query=query,
                context=prepare(replace(decoder.context_weights(), bounded=bounded)),
                readout=prepare(readout),
                full_output=output,
                output=prepare(output),
                upper=self.upper.stepper(prepare) if self.upper is not None else None,
            )

    def _embed(self, embedding: Embedding, ids: Tensor) -> Tensor:
        """(..., T) -> (..., T, E), with dropout."""
        vectors: Tensor = embedding(ids)
        if self.training and self.config.word_dropout:
            vectors = vectors * keep_mask(vectors[..., :1], self.config.word_dropout)
        dropped: Tensor = self.embedding_dropout(vectors)
        return dropped

    def squash(self, total: Tensor) -> Tensor:
        """The readout's nonlinearity, (..., rows) -> (..., E)."""
        if self.config.readout == "tanh":
            return torch.tanh(total)
        return total.reshape(*total.shape[:-1], -1, 2).amax(dim=-1)


@dataclass(frozen=True)
class Stepper:
    """The decoder for generation, with prepared weights."""

    model: TranslationModel
    prepare: Prepare
    gate_table: Tensor
    """Contribution of each token to the gates, (V+1, G*H)."""
    readout_table: Tensor
    """Contribution of each token to the readout, (V+1, rows of the readout)."""
    hidden: Weights
    query: Weights | None
    """From the state to the attention's query; None: identity."""
    context: Weights
    readout: Weights
    full_output: Weights
    """The unprepared output layer, to select rows of."""
    output: Weights
    upper: Step | None
    tokens: Tensor | None = None
    """Candidate tokens (U,), numbered by their positions; None: all."""

    @torch.no_grad()
    def among(self, tokens: Tensor) -> Stepper:
        """A stepper over candidate tokens (U,), whose positions 0 to U-1 are the ids that it takes and scores."""
        rows = replace(self.full_output, hh=self.full_output.hh[tokens], bias=self.full_output.bias[tokens])
        return replace(self, output=self.prepare(rows), tokens=tokens)

    def over(self, memory: Memory) -> Step:
        """The step over the memory of M sentences.

        Token ids (rows,) and the state before them -> logits of the next token (rows, V+1), and the new state. Each
        sentence has the same number of consecutive rows; the memory is not copied for them. The state is that of
        ``encode``, followed by the coverage: attention weights summed over the steps so far, (1, rows, S).
        """
        model, decoder = self.model, self.model.decoder
        sentences, length = memory.padding.shape
        attend = decoder.attention.over(memory)

        def step(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            ids = tokens if self.tokens is None else self.tokens[tokens]
            *parts, coverage = state
            lowest = tuple(part[0] for part in parts)
            query = lowest[0] if self.query is None else self.query.product(lowest[0])
            context, attention = attend(query.view(sentences, -1, query.shape[1]))
            context, attention = context.flatten(0, 1), attention.flatten(0, 1)
            gates = decoder.join(self.gate_table[ids], context, self.context)
            after = decoder.cell.step(gates, lowest, self.hidden)
            h, states = after[0], tuple(part.unsqueeze(0) for part in after)
            if model.upper is not None and self.upper is not None:
                h, above = self.upper(model.upper.input_gates(h), tuple(part[1:] for part in parts))
                states = tuple(torch.cat(both) for both in zip(states, above, strict=True))
            total = self.readout.product(torch.cat([h, context], dim=1)) + self.readout_table[ids]
            # Without finished sentences, S may be shorter.
            return self.output.product(model.squash(total)), (*states, coverage[:, :, :length] + attention)

        largest = max(self.hidden.hh.numel(), self.output.hh.numel())

        def step_with_threads(tokens: Tensor, state: State) -> tuple[Tensor, State]:
            with threads_for(len(tokens) * largest):
                return step(tokens, state)

        return step_with_threads
