"""What each task's model computes for one text, as modules that can be exported.

They are written again, without the kernels, the padding and the windows of training, and use the weights of the model.
Shapes: N rows, T tokens, S source tokens, L layers, H hidden, C width of the encoder's outputs, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from textseq.errors import TextseqError
from textseq.nn.attention import AdditiveAttention
from textseq.nn.cells import State
from textseq.nn.recurrent import Recurrent
from textseq.nn.rnn_layer import SUFFIXES, step_weights
from textseq.tasks.classification.model import ClassifierModel
from textseq.tasks.language_model.model import LanguageModel
from textseq.tasks.tagging.model import TaggerModel
from textseq.tasks.translation.model import TranslationModel

Axes = Mapping[int, str]


@dataclass(frozen=True)
class Graph:
    """A module to export."""

    name: str
    """Of the file, without ".onnx"."""
    module: nn.Module
    inputs: Mapping[str, tuple[Tensor, Axes]]
    """An example of each input, and its axes of any length."""
    outputs: Mapping[str, Axes]


class WriterStep(nn.Module):
    """One step of a text generator: tokens (N,) and the state before them -> logits (N, V) and the new state.

    The last part of a conditional model's state is the vector of its condition (1, N, C), which stays as it is.
    """

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        vectors = self.model.embedding(tokens).unsqueeze(1)  # (N, 1, E)
        states = self.model.recurrent.cell.states
        condition = state[states:]
        vectors = torch.cat([vectors, *(c.transpose(0, 1) for c in condition)], dim=2)  # (N, 1, E + C)
        h, after = self.model.recurrent.forward_reference(vectors, state[:states])
        return self.model.output(h[:, 0]), *after, *condition


class TextClassifier(nn.Module):
    """Token ids (1, T) -> calibrated probabilities of the labels (1, C)."""

    def __init__(self, model: ClassifierModel, temperature: float) -> None:
        super().__init__()
        self.model, self.temperature = model, temperature

    def forward(self, ids: Tensor) -> Tensor:
        model = self.model
        outputs, h = read(model.recurrent, model.embedding(ids))
        real = outputs[..., 0] == outputs[..., 0]  # (1, T), all true
        last = h[-model.recurrent.directions :].transpose(0, 1).flatten(1)
        pooled = model.pooling.finish(model.pooling.add(model.pooling.begin(outputs), outputs, real, last))
        if model.readout is not None:
            pooled = torch.relu(model.readout(pooled))
        logits: Tensor = model.output(pooled) / self.temperature
        return logits.sigmoid() if model.multi_label else logits.softmax(dim=1)


class WordSpeller(nn.Module):
    """The letters of a word (1, W) -> its vector (1, 2H)."""

    def __init__(self, model: TaggerModel) -> None:
        super().__init__()
        assert model.letters is not None and model.speller is not None
        self.letters, self.speller = model.letters, model.speller

    def forward(self, letters: Tensor) -> Tensor:
        _, h = read(self.speller, self.letters(letters))
        return h.transpose(0, 1).flatten(1)


class WordTagger(nn.Module):
    """Word ids (1, T) and the words' vectors from ``WordSpeller`` (1, T, 2H) -> scores of the tags (1, T, C).

    With CTC there are no such vectors, and F scores for each id, (1, T*F, C).
    """

    def __init__(self, model: TaggerModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, *spelled: Tensor) -> Tensor:
        model = self.model
        vectors = torch.cat([model.embedding(ids), *spelled], dim=2)
        if model.place is not None:
            vectors = (vectors.unsqueeze(2) + model.place).flatten(1, 2)
        scores: Tensor = model.output(read(model.recurrent, vectors)[0])
        return scores


class SentenceEncoder(nn.Module):
    """A source sentence with its end token (1, S) -> values (1, S, C), keys (1, S, A), and the decoder's state.

    Without attention the keys are the summary of the sentence, (1, C).
    """

    def __init__(self, model: TranslationModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        model, config = self.model, self.model.config
        values, h = read(model.encoder, model.source_embedding(source))
        start = torch.tanh(model.bridge(h[-1]))
        parts = start.view(1, config.num_decoder_layers, -1, config.hidden_size).transpose(0, 1)  # (L, 1, states, H)
        keys = model.decoder.attention.project_keys(values)
        return values, torch.cat([h[-2], h[-1]], dim=1) if config.attention == "none" else keys, *parts.unbind(2)


class SentenceDecoder(nn.Module):
    """One step of a translation, for N hypotheses of a sentence.

    Tokens (N,), what the encoder gave, and the state before them (L, N, H) -> logits (N, V+1), attention weights
    (N, S), and the new state.
    """

    def __init__(self, model: TranslationModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, values: Tensor, keys: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        model, decoder = self.model, self.model.decoder
        words, lowest = model.embedding(tokens), tuple(part[0] for part in state)
        query = decoder.attention.project_query(lowest[0]).unsqueeze(1)  # (N, 1, A)
        if model.config.attention == "none":
            weights = torch.ones_like(values[:, :, 0]).softmax(dim=1) + torch.zeros_like(query[:, :, 0])  # (N, S)
            context = keys + torch.zeros_like(query[:, 0, :1])
        else:
            if isinstance(decoder.attention, AdditiveAttention):
                scores = torch.tanh(query + keys) @ decoder.attention.score
            else:
                scores = (query * keys).sum(dim=2)
            weights = scores.softmax(dim=1)
            context = (weights.unsqueeze(2) * values).sum(dim=1)
        gates = decoder.join(decoder.word_gates(words), context, decoder.context_weights())
        after = decoder.cell.step(gates, lowest, step_weights(decoder.layer, SUFFIXES[0]))
        h, states = after[0], tuple(part.unsqueeze(0) for part in after)
        if model.upper is not None:
            above, upper = model.upper.forward_reference(h.unsqueeze(1), tuple(part[1:] for part in state))
            h, states = above[:, 0], tuple(torch.cat(both) for both in zip(states, upper, strict=True))
        return model.logits(h, context, words), weights, *states


def read(stack: Recurrent, x: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs (1, T, H*D) of a stack for one sequence (1, T, E), and the final h of each layer (L*D, 1, H).

    Raises:
        TextseqError: ONNX has no layer for the cell.
    """
    y, finals, d = x.transpose(0, 1), [], stack.directions
    start = stack.initial_state(1)
    for index, layer in enumerate(stack.layers):
        if not isinstance(layer, nn.RNNBase) or stack.zoneout:
            raise TextseqError(
                "export: ONNX has layers for the cells rnn, rnn-relu, lstm and gru without layer normalization, got "
                "another; only text generators of other cells can be exported"
            )
        state = tuple(part[index * d : (index + 1) * d] for part in start)
        below, (y, after) = y, layer(y, state if isinstance(layer, nn.LSTM) else state[0])
        finals.append(after[0] if isinstance(layer, nn.LSTM) else after)
        y = y + below if stack.residual and index > 0 else y
    return y.transpose(0, 1), torch.cat(finals)


def states(state: State) -> tuple[dict[str, tuple[Tensor, Axes]], dict[str, Axes]]:
    """A state (L, N, H) as inputs and outputs of a step."""
    names = [f"state{n}" for n in range(len(state))]
    return (
        {name: (part, {1: "rows"}) for name, part in zip(names, state, strict=True)},
        {f"new_{name}": {1: "rows"} for name in names},
    )


def generator_graphs(model: LanguageModel) -> list[Graph]:
    """The step of a text generator."""
    before, after = states(model.initial_state(1))
    tokens = (torch.tensor([1]), {0: "rows"})
    return [Graph("step", WriterStep(model), {"tokens": tokens, **before}, {"logits": {0: "rows"}, **after})]


def classifier_graphs(model: ClassifierModel, temperature: float) -> list[Graph]:
    """A whole classifier."""
    ids = (torch.tensor([[1, 0, 1]]), {1: "tokens"})
    return [Graph("classifier", TextClassifier(model, temperature), {"ids": ids}, {"probabilities": {}})]


def tagger_graphs(model: TaggerModel) -> list[Graph]:
    """What spells a word, unless the model tags letters, and the tagger."""
    inputs: dict[str, tuple[Tensor, Axes]] = {"ids": (torch.tensor([[1, 0, 1]]), {1: "words"})}
    graphs = []
    if model.speller is not None:
        letters = (torch.tensor([[1, 0]]), {1: "letters"})
        graphs.append(Graph("speller", WordSpeller(model), {"letters": letters}, {"vector": {}}))
        inputs["vectors"] = (torch.zeros(1, 3, 2 * model.speller.hidden_size), {1: "words"})
    return [*graphs, Graph("tagger", WordTagger(model), inputs, {"scores": {1: "positions"}})]


def translator_graphs(model: TranslationModel) -> list[Graph]:
    """The encoder and the step of the decoder."""
    source = torch.tensor([[1, 0, model.source_end]])
    with torch.no_grad():
        values, keys, *state = SentenceEncoder(model)(source)
    before, after = states(tuple(state))
    free = {1: "source"}
    memory = {"values": (values, free), "keys": (keys, {} if keys.dim() == 2 else free)}
    given = {name: axes for name, (_, axes) in memory.items()} | {name: {} for name in before}
    tokens = (torch.tensor([model.end]), {0: "rows"})
    outputs = {"logits": {0: "rows"}, "attention": {0: "rows", 1: "source"}, **after}
    return [
        Graph("encoder", SentenceEncoder(model), {"source": (source, {1: "source"})}, given),
        Graph("decoder", SentenceDecoder(model), {"tokens": tokens, **memory, **before}, outputs),
    ]
