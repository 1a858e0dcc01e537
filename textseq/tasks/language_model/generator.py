"""A writer at work: texts in a language model's manner, and how likely it finds others'."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Unpack

import torch
from torch.nn.functional import cross_entropy

from textseq.checkpoints import checkpoint
from textseq.checkpoints.model_card import save_with_card
from textseq.checkpoints.registry import Facts
from textseq.config.decoding import Precision
from textseq.data.token_files import DocumentSet, token_file
from textseq.data.word_vectors import Vectors, vectors_of
from textseq.decoding.beam import Ended, beam_search
from textseq.decoding.logit_bias import token_bias
from textseq.decoding.sampling import sample
from textseq.decoding.stopping import StopStrings
from textseq.errors import TextseqError
from textseq.io.paths import cache_folder
from textseq.metrics.language_model import LanguageModelMetrics, bits_per_character, perplexity
from textseq.metrics.signature import data_signature
from textseq.nn.cells import Step
from textseq.tasks.language_model.config import GenerationConfig, GenerationSettings, LanguageModelConfig
from textseq.tasks.language_model.evaluate import measure
from textseq.tasks.language_model.model import LanguageModel
from textseq.tasks.language_model.spec import describe
from textseq.tasks.language_model.surprisal import Piece
from textseq.tokenizers.base import Tokenizer, align_to_text
from textseq.training.devices import pick_device

START = "\n"
"""What every text is read after, so that its first token has a context and a line begins as lines do."""

SCORED = 4096
"""Tokens scored at a time; it bounds the memory, not the context."""


@dataclass(frozen=True)
class Score:
    """How well a model predicts a text."""

    tokens: tuple[str, ...]
    """The tokens' strings."""
    surprisal: tuple[float, ...]
    """Negative log-likelihood of each token, in nats."""
    pieces: tuple[Piece, ...]
    """The text as the tokens give it back, cut as finely as they allow, with the surprisal of each piece."""
    characters: int
    """Of the text that was given."""

    @property
    def nats(self) -> float:
        """The surprisal of the whole text."""
        return sum(self.surprisal)

    @property
    def nats_per_token(self) -> float:
        """Its mean over the tokens."""
        return self.nats / len(self.surprisal)

    @property
    def bits_per_character(self) -> float:
        """The same over the characters, in bits."""
        return bits_per_character(self.nats, self.characters)

    @property
    def perplexity(self) -> float:
        """exp of the nats per token."""
        return perplexity(self.nats_per_token)


class Writer:
    """A language model with its tokenizer: writes text and scores it.

    Args:
        model: in evaluation mode from here on.
        tokenizer: the one that it was trained with.
        facts: what ``config.json`` says of it.
        precision: of the products when it writes; it scores in float32.

    Raises:
        TextseqError: a precision that is unknown or that the device has not.
    """

    def __init__(
        self, model: LanguageModel, tokenizer: Tokenizer, facts: Facts, precision: Precision = "float32"
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.facts = facts
        self.device = next(model.parameters()).device
        self.precision = precision
        if precision != "float32":
            _ = self._step  # what cannot be done is refused here

    @cached_property
    def _step(self) -> Step:
        """Made when it is first needed: it holds a table as large as the vocabulary."""
        return self.model.stepper(self.precision)

    @cached_property
    def vectors(self) -> Vectors:
        """The vectors of the tokens, by the words that these are: ``writer.vectors.nearest("king")``."""
        return vectors_of(self.tokenizer.vocabulary, self.model.embedding.weight.detach().cpu().numpy())

    def nearest(self, word: str, count: int = 10) -> list[tuple[str, float]]:
        """The words that the model takes for most alike, as ``Vectors.nearest``; an unknown one is a TextseqError."""
        return self.vectors.nearest(word, count)

    def generate(self, prompt: str = "", **settings: Unpack[GenerationSettings]) -> str:
        """Write a text: the prompt and what follows it.

        Args:
            prompt: how the text begins; any text at all.
            settings: the fields of ``GenerationConfig``.

        Raises:
            TextseqError: a setting outside its range, or more than one text asked for.
        """
        return "".join(self.stream(prompt, **settings))

    def stream(self, prompt: str = "", **settings: Unpack[GenerationSettings]) -> Iterator[str]:
        """Write a text piece by piece; the pieces make up what ``generate`` returns.

        Yields:
            The prompt, if there is one, then text that can no longer change.
        """
        config = GenerationConfig.from_dict(settings, where="writing")
        if config.num_return_sequences != 1:
            raise TextseqError(
                f"one text at a time is written here, found num_return_sequences = {config.num_return_sequences}; "
                "generate_all() writes several"
            )
        self.tokenizer.encode(prompt)  # what cannot be read is refused before anything is written
        return self._stream(prompt, config, token_bias(config.logit_bias, self.tokenizer, self.device))

    def _stream(self, prompt: str, config: GenerationConfig, bias: torch.Tensor | None) -> Iterator[str]:
        if prompt:
            yield prompt
        if config.num_beams > 1:
            yield from filter(None, self._search(prompt, config, bias))
            return
        decoder = self.tokenizer.stream()
        stops = StopStrings(config.stop_strings)
        for tokens in self._tokens(prompt, config, bias):
            yield from filter(None, [stops.feed(decoder.feed(int(tokens[0])))])
            if stops.stopped:
                return
        yield from filter(None, [stops.feed(decoder.finish()) + stops.finish()])

    def generate_all(self, prompt: str = "", **settings: Unpack[GenerationSettings]) -> list[str]:
        """Write ``num_return_sequences`` texts side by side, in one batch.

        Returns:
            The texts, each with the prompt before it; those of a beam search all different and best first.
        """
        config = GenerationConfig.from_dict(settings, where="writing")
        bias = token_bias(config.logit_bias, self.tokenizer, self.device)
        if config.num_beams > 1:
            return [prompt + text for text in self._search(prompt, config, bias)]
        decoders = [self.tokenizer.stream() for _ in range(config.num_return_sequences)]
        stops = [StopStrings(config.stop_strings) for _ in decoders]
        texts = [prompt] * len(decoders)
        for tokens in self._tokens(prompt, config, bias):
            for row, token in enumerate(tokens.tolist()):
                texts[row] += stops[row].feed(decoders[row].feed(token))
            if all(stop.stopped for stop in stops):
                break
        rest = (stop.feed(decoder.finish()) + stop.finish() for stop, decoder in zip(stops, decoders, strict=True))
        return [text + end for text, end in zip(texts, rest, strict=True)]

    def score(self, text: str) -> Score:
        """How well the model predicts a text that begins on a new line, from a fresh state.

        Raises:
            TextseqError: an empty text, or one of which the tokenizer drops everything.
        """
        targets = torch.from_numpy(self.tokenizer.encode(text)).to(self.device)
        if len(targets) == 0:
            found = "one whose marks the tokenizer all drops" if text else "an empty one"
            raise TextseqError(f"scoring wants a text, found {found}; give at least one character that it reads")
        inputs = torch.cat([self._start(), targets[:-1]])
        state = self.model.initial_state(1)
        splits = []
        with torch.inference_mode():
            for at in range(0, len(targets), SCORED):
                logits, state = self.model(inputs[at : at + SCORED].unsqueeze(0), state)
                splits.append(cross_entropy(logits[0].float(), targets[at : at + SCORED], reduction="none"))
        surprisal = tuple(torch.cat(splits).tolist())
        names = tuple(self.tokenizer.vocabulary[token] for token in targets.tolist())
        pieces = (Piece(*piece) for piece in align_to_text(self.tokenizer, targets.tolist(), surprisal))
        return Score(names, surprisal, tuple(pieces), len(text))

    def measure(
        self, corpus: DocumentSet, split: str, *, window: int | None = None, streams: int = 1
    ) -> LanguageModelMetrics:
        """The loss on a part of a corpus, with its signature; see ``metrics.measure``.

        Raises:
            TextseqError: a part that the corpus lacks, or that has fewer than two tokens.
        """
        tokens = token_file(corpus, split, self.tokenizer, cache_folder())
        source = f"{data_signature(corpus.name, corpus.splits, split)}|tokenizer:{self.tokenizer.signature}"
        return measure(
            self.model,
            tokens.ids,
            source=source,
            characters=tokens.characters,
            window=window,
            streams=streams,
        )

    def save(self, folder: Path | str, *, half: bool = False, results: Sequence[LanguageModelMetrics] = ()) -> None:
        """Write the model as a folder that ``load`` reads, to keep or to give away.

        Args:
            folder: must not exist yet.
            half: write the weights in 16 bits: half the size, and differences in the fourth digit of the loss.
            results: further measurements for the model card, before those that the training made.

        Raises:
            TextseqError: the folder exists, or cannot be written.
        """
        rows = [result.to_dict() for result in results]
        save_with_card(Path(folder), self.model, self.tokenizer, self.facts, describe, half=half, results=rows)

    def _start(self) -> torch.Tensor:
        """The id of ``START``, (1,); of the first token, if the text had no lines and they are never written."""
        first = int(self.tokenizer.encode(START)[0])
        return torch.tensor([0 if first in self.tokenizer.fallback else first], device=self.device)

    def _context(self, prompt: str) -> torch.Tensor:
        """What is read before the first token is written, (1, T)."""
        ids = torch.from_numpy(self.tokenizer.encode(prompt)).to(self.device)
        return torch.cat([self._start(), ids]).unsqueeze(0)

    def _tokens(self, prompt: str, config: GenerationConfig, bias: torch.Tensor | None) -> Iterator[torch.Tensor]:
        n = config.num_return_sequences
        generator = torch.Generator(self.device)
        if config.seed is None:
            generator.seed()
        else:
            generator.manual_seed(config.seed)
        prompts, state = self._context(prompt).expand(n, -1), self.model.initial_state(n)
        return sample(self._step, prompts, state, config, generator=generator, bias=bias)

    def _search(self, prompt: str, config: GenerationConfig, bias: torch.Tensor | None) -> list[str]:
        """What beam search writes after the prompt: the best texts that differ, best first."""
        state = self.model.initial_state(1)
        (found,) = beam_search(
            self._step, self._context(prompt), state, config, bias=bias, ended=self._ended(config.stop_strings)
        )
        texts = []
        for hypothesis in found:
            stops = StopStrings(config.stop_strings)
            texts.append(stops.feed(self.tokenizer.decode(hypothesis.tokens)) + stops.finish())
        return list(dict.fromkeys(texts))[: config.num_return_sequences]

    def _ended(self, stop_strings: Sequence[str]) -> Ended | None:
        stops = [stop for stop in stop_strings if stop]

        def ended(written: torch.Tensor) -> torch.Tensor:
            texts = map(self.tokenizer.decode, written.cpu().numpy())
            return torch.tensor([any(stop in text for stop in stops) for text in texts], device=written.device)

        return ended if stops else None


def open_generator(found: checkpoint.Checkpoint, device: str = "cpu", precision: Precision = "float32") -> Writer:
    """The writer that a checkpoint holds.

    Raises:
        TextseqError: weights or settings that do not fit one another, or as ``Writer``.
    """
    settings = found.facts.get("model")
    if not isinstance(settings, dict):
        raise TextseqError(f"{found.folder / 'config.json'} is damaged: it lacks 'model'; restore the folder")
    config = LanguageModelConfig.from_dict(settings, where=str(found.folder / "config.json"))
    model = checkpoint.filled(lambda: LanguageModel(config, found.tokenizer.size), found.weights, found.folder)
    return Writer(model.to(pick_device(device)), found.tokenizer, found.facts, precision)
