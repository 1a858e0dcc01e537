"""Text generation and scoring with a trained language model."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from shlex import quote
from typing import Self, Unpack, overload

import torch
from torch.nn.functional import cross_entropy

from textseq.checkpoints import checkpoint
from textseq.checkpoints.checkpoint import Checkpoint
from textseq.checkpoints.model_card import CardText, result_table
from textseq.checkpoints.model_info import ModelInfo, Table
from textseq.config.decoding import Precision
from textseq.data.sources import DataSource, TextData
from textseq.data.token_files import DocumentSet
from textseq.decoding.logit_bias import token_bias
from textseq.decoding.texts import TextDecoder
from textseq.errors import TextseqError
from textseq.metrics.language_model import LanguageModelMetrics
from textseq.nn.cells import State, Step
from textseq.tasks.language_model.adaptation.cache import NeuralCache
from textseq.tasks.language_model.adaptation.dynamic import learned
from textseq.tasks.language_model.condition import Conditioned, condition_count, numbers_for
from textseq.tasks.language_model.config import (
    AdaptationConfig,
    AdaptationSettings,
    GenerationConfig,
    GenerationSettings,
    LanguageEvaluationConfig,
    LanguageModelConfig,
)
from textseq.tasks.language_model.evaluate import measure_split
from textseq.tasks.language_model.model import LanguageModel
from textseq.tasks.language_model.surprisal import NextToken, Score, score_of
from textseq.tasks.predictor import Predictor, check_dataset, each
from textseq.tokenizers.base import Tokenizer
from textseq.training.devices import pick_device
from textseq.training.distributed.group import SINGLE_PROCESS, ProcessGroup

START = "\n"
"""Context of the first token of every text: it begins a line."""

BLANK_LINE = 0.05
"""A text without a prompt begins after a blank line if the model gives one at least this probability after ``START``:
where paragraphs or speeches begin."""

CHUNK = 4096
"""Tokens scored at a time; bounds the memory, not the context."""


class TextGenerator(Predictor[DocumentSet]):
    """A language model with its tokenizer: generates text and scores it.

    Args: as ``Predictor``, and a ``cache`` to generate and score with (see ``adapted``). ``precision`` is that of
    generation; texts are scored in float32.

    A conditional model needs a condition wherever it reads or writes a text: a label, shares of several labels, or a
    vector (see ``condition.Conditioned``); ``under`` sets one for all.

    Example:
        >>> writer = textseq.load("shakespeare")
        >>> print(writer.generate("ROMEO:", max_new_tokens=400, seed=1))
    """

    noun = "a language model"
    unit = "tokens"
    precisions = ("float32", "int8")
    model: LanguageModel
    tokenizer: Tokenizer

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        info: ModelInfo,
        *,
        precision: Precision = "float32",
        cache: AdaptationConfig | None = None,
    ) -> None:
        super().__init__(model, tokenizer, info, precision=precision)
        self._default: Conditioned | None = None
        self._reader = NeuralCache(model, cache) if cache else model
        if precision != "float32":
            _ = self.step  # raises if the device does not support it

    @classmethod
    def open(cls, saved: Checkpoint, *, device: str = "cpu", precision: Precision = "float32") -> Self:
        config = LanguageModelConfig.from_dict(saved.info.model, where=str(saved.folder / "config.json"))
        model = checkpoint.build_with_weights(
            lambda: LanguageModel(config, saved.tokenizer.size, condition_count(saved.info)),
            saved.weights,
            saved.folder,
        )
        return cls(model.to(pick_device(device)), saved.tokenizer, saved.info, precision=precision)

    @staticmethod
    def describe(name: str, info: ModelInfo) -> CardText:
        def row(result: Table) -> tuple[str, ...]:
            values = (result["nats_per_token"], result["bits_per_character"], result["perplexity"])
            return tuple(f"{value:.{digits}f}" for value, digits in zip(values, (4, 4, 3), strict=True))

        label = info.labels[0] if info.labels else ",".join("0" * info.vector_size)
        flag, argument = (f" --condition {quote(label)}", f"condition={json.dumps(label)}") if label else ("", "")
        return CardText(
            pipeline="text-generation",
            title="A conditional recurrent language model" if label else "A recurrent language model",
            command=f"textseq-sample --author {quote(name)}{flag}",
            python=f"print(textseq.load({json.dumps(name)}).generate({argument}))",
            trained_on=(
                f"- Language: {info.language or 'not stated'}.",
                *([f"- Conditions: {', '.join(info.labels)}."] if info.labels else ()),
                *([f"- Condition: a vector of {info.vector_size} numbers."] if info.vector_size else ()),
            ),
            results=result_table(("nats per token", "bits per character", "perplexity"), info, row),
            limits=(
                "It continues text in the style of its training text; it knows no facts and repeats the prejudices of",
                "its sources. Passages may be copied verbatim from the training text.",
            ),
        )

    def word_table(self) -> tuple[Sequence[str], torch.Tensor]:
        return self.tokenizer.vocabulary, self.model.embedding.weight

    @cached_property
    def step(self) -> Step:
        """One step of the model for decoding. Built on first use: it holds a table with a row per token."""
        return self._reader.stepper(self.precision)

    def __getstate__(self) -> dict[str, object]:
        """Without the step, which a copy or another process builds itself."""
        return {name: value for name, value in vars(self).items() if name != "step"}

    def evaluation_source(self, source: DataSource) -> DataSource:
        """With vectors as conditions, if the model has such."""
        if self.info.vector_size and isinstance(source, TextData) and source.labelled and source.condition == "auto":
            return replace(source, condition="vector")
        return source

    @property
    def condition(self) -> Conditioned | None:
        """What it reads and writes under unless another is given; see ``under``."""
        return self._default

    def under(self, condition: Conditioned) -> Self:
        """The same generator, which reads and writes under a condition unless another is given.

        Raises:
            TextseqError: a condition that does not fit the model.
        """
        self._numbers(condition)
        bound = copy.copy(self)
        bound._default = condition
        return bound

    def adapted(
        self, text: str = "", *, condition: Conditioned | None = None, **settings: Unpack[AdaptationSettings]
    ) -> Self:
        """The same generator, adapted to a text; this one stays as it is.

        With ``dynamic`` the weights of the result are those after dynamic evaluation of ``text``. With ``cache`` it
        generates and scores with a neural cache of each text's prompt and what follows. ``save`` stores the weights,
        not the cache.

        Args:
            text: to learn from, with ``dynamic``.
            condition: of the text, for a conditional model.
            settings: the fields of ``AdaptationConfig``.

        Raises:
            TextseqError: invalid settings; no text to learn from, or a learning rate at which this diverges.

        Example:
            >>> writer = textseq.load("shakespeare").adapted(sonnets, dynamic=True, cache=True)
            >>> print(writer.generate("Shall I compare thee"))
        """
        config = AdaptationConfig.from_dict(settings, where="adapted")
        model = self.model
        if config.dynamic:
            numbers = self._numbers(condition)
            ids = torch.cat([self.start_token(), torch.from_numpy(self.tokenizer.encode(text)).to(self.device)])
            if len(ids) < 2:
                raise TextseqError("--dynamic: expected a text to learn from, got none; give one as the prompt")
            model = learned(model, ids, config, numbers)
        cache = config if config.cache else self.cache
        info = replace(self.info, results=()) if config.dynamic or config.cache else self.info
        adapted = type(self)(model, self.tokenizer, info, precision=self.precision, cache=cache)
        adapted._default = self._default if condition is None else condition
        return adapted

    @property
    def cache(self) -> AdaptationConfig | None:
        """The settings of the neural cache with which it reads and writes, if any."""
        return self._reader.config if isinstance(self._reader, NeuralCache) else None

    def _numbers(self, condition: Conditioned | None) -> torch.Tensor | None:
        """The numbers of a condition, (K,), or of the one set by ``under``; None if the model has none."""
        numbers = numbers_for(self._default if condition is None else condition, self.info)
        return None if numbers is None else numbers.to(self.device)

    def initial_state(self, batch: int, condition: Conditioned | None = None) -> State:
        """The state before a text for N rows, each tensor (L, N, H); of a conditional model with the condition."""
        with torch.no_grad():
            return self._reader.initial_state(batch, self._numbers(condition))

    @overload
    def generate(  # type: ignore[overload-overlap]
        self, prompts: str = "", *, condition: Conditioned | None = None, **settings: Unpack[GenerationSettings]
    ) -> str: ...
    @overload
    def generate(
        self, prompts: Sequence[str], *, condition: Conditioned | None = None, **settings: Unpack[GenerationSettings]
    ) -> list[str]: ...
    def generate(
        self,
        prompts: str | Sequence[str] = "",
        *,
        condition: Conditioned | None = None,
        **settings: Unpack[GenerationSettings],
    ) -> str | list[str]:
        """Generate a text for each prompt: the prompt and its continuation.

        Args:
            prompts: the beginnings of the texts. With "" a text begins where a paragraph or speech does.
            condition: of a conditional model.
            settings: the fields of ``GenerationConfig``.

        Raises:
            TextseqError: an unknown setting or one outside its range, a condition that does not fit the model, or
                several texts per prompt (``generate_all``).
        """
        return each(
            prompts, lambda texts: ["".join(self.stream(text, condition=condition, **settings)) for text in texts]
        )

    __call__ = generate

    def stream(
        self,
        prompt: str = "",
        *,
        condition: Conditioned | None = None,
        changes: Mapping[int, Conditioned] | None = None,
        **settings: Unpack[GenerationSettings],
    ) -> Iterator[str]:
        """Generate a text piece by piece: the prompt, then text that can no longer change.

        Args:
            prompt: as of ``generate``, as are its errors.
            condition: of a conditional model.
            changes: conditions that take its place after so many generated tokens, such as ``{200: "poe"}``.
            settings: the fields of ``GenerationConfig``.
        """
        config = GenerationConfig.from_dict(settings, where="generate")
        if config.num_return_sequences != 1:
            raise TextseqError(
                f"num_return_sequences: expected 1, got {config.num_return_sequences}; use generate_all() for several"
            )
        context = self.context(prompt, condition)  # raises for invalid prompts before the first piece
        state = self.initial_state(1, condition)
        if wrong := [count for count in changes or () if type(count) is not int or count < 0]:
            raise TextseqError(f"changes: expected numbers of tokens, 0 or more, got {wrong[0]!r}; correct it")
        told = {count: self.initial_state(1, later)[-1] for count, later in (changes or {}).items()}
        if told and config.num_beams > 1:
            raise TextseqError(f"changes: expected sampling, got num_beams {config.num_beams}; leave one of them out")

        def changed(count: int, state: State) -> State:
            return (*state[:-1], told[count]) if count in told else state

        pieces = self._decoder(config).stream(context, state, between=changed if told else None)
        return chain([prompt] if prompt else [], pieces)

    def generate_all(
        self, prompt: str = "", *, condition: Conditioned | None = None, **settings: Unpack[GenerationSettings]
    ) -> list[str]:
        """Generate ``num_return_sequences`` texts of a prompt in one batch; those of beam search differ, best first."""
        config = GenerationConfig.from_dict(settings, where="generate_all")
        decoder, context = self._decoder(config), self.context(prompt, condition)
        state = self.initial_state(1 if config.num_beams > 1 else config.num_return_sequences, condition)
        return [prompt + text for text in decoder.continuations(context, state)]

    def _decoder(self, config: GenerationConfig) -> TextDecoder:
        return TextDecoder(self.step, self.tokenizer, config, config.stop_strings, self.device)

    def score(self, text: str, *, condition: Conditioned | None = None) -> Score:
        """The surprisal of a text that begins on a new line, from the initial state.

        Raises:
            TextseqError: a text without tokens, or a condition that does not fit the model.
        """
        targets = torch.from_numpy(self.tokenizer.encode(text)).to(self.device)
        if len(targets) == 0:
            kind = "one without known characters" if text else "an empty one"
            raise TextseqError(f"score: expected a text, got {kind}; give at least one character of the vocabulary")
        read = self._logits(torch.cat([self.start_token(), targets[:-1]]), condition)
        chunks = zip(read, torch.split(targets, CHUNK), strict=True)
        losses = [cross_entropy(logits, chunk, reduction="none") for logits, chunk in chunks]
        surprisal = tuple(torch.cat(losses).tolist())
        return score_of(text, targets.tolist(), surprisal, self.tokenizer)

    def next(self, prompt: str = "", count: int = 10, *, condition: Conditioned | None = None) -> list[NextToken]:
        """The likeliest next tokens after a prompt that begins on a new line, best first.

        The probabilities are those of ``generate`` at temperature 1: tokens that only unseen text uses, which it never
        chooses, are left out.

        Args:
            prompt: "" is allowed.
            count: how many; at most as many as ``generate`` chooses from.
            condition: of a conditional model.

        Raises:
            TextseqError: a count below 1, or a condition that does not fit the model.

        Example:
            >>> [(token.text, round(token.probability, 2)) for token in writer.next("ROME", 2)]
            [('O', 0.96), ('R', 0.01)]
        """
        if count < 1:
            raise TextseqError(f"next: expected a count of at least 1, got {count}; ask for more tokens")
        *_, logits = self._logits(self.context(prompt, condition)[0], condition)
        bias = token_bias({}, self.tokenizer, self.device)
        last = logits[-1] if bias is None else logits[-1] + bias
        best = last.softmax(dim=0).topk(min(count, len(last) - len(self.tokenizer.fallback)))
        names = (self.tokenizer.vocabulary[token] for token in best.indices.tolist())
        return [NextToken(*choice) for choice in zip(names, best.values.tolist(), strict=True)]

    def _logits(self, ids: torch.Tensor, condition: Conditioned | None) -> Iterator[torch.Tensor]:
        """The logits after each token of one text (T,), in chunks of at most ``CHUNK`` tokens: (t, V)."""
        state = self.initial_state(1, condition)
        for chunk in torch.split(ids, CHUNK):
            with torch.inference_mode():
                logits, state = self._reader(chunk.unsqueeze(0), state)
            yield logits[0].float()

    def evaluate(
        self,
        dataset: DocumentSet,
        split: str = "test",
        *,
        condition: Conditioned | None = None,
        window: int | None = None,
        streams: int = 1,
        progress: Callable[[int], object] = lambda count: None,
        process_group: ProcessGroup = SINGLE_PROCESS,
        **adaptation: Unpack[AdaptationSettings],
    ) -> LanguageModelMetrics:
        """The loss on a split of a text.

        Args:
            dataset: the text.
            split: of the dataset.
            condition: of the whole text, for a conditional model; by default the one that ``under`` has set. Without
                one the dataset has the conditions of its documents.
            window: tokens read at a time.
            streams: parts of the text that are read in parallel.
            progress: called with the number of predictions of each forward pass.
            process_group: of one process, for a text is read from its beginning to its end.
            adaptation: the fields of ``AdaptationConfig``: dynamic evaluation and a neural cache; by default with the
                cache that ``adapted`` has given it.

        Raises:
            TextseqError: not a dataset of texts; the text lacks the split, or it has fewer than two tokens; its
                documents have other conditions than the model, or conditions of their own beside ``condition``; a
                condition that does not fit the model; invalid settings; a model that was loaded in 8 bits;
                or several processes.

        Example:
            >>> writer.evaluate(TextData(corpus="shakespeare").open(), dynamic=True, cache=True)
            >>> textseq.load("austen").evaluate(TextData(text=("emma.txt",), validation=0).open(), "train")
        """
        check_dataset(dataset, "documents", 'TextData(text=("a.txt",)).open_whole()')
        if process_group.count > 1:
            raise TextseqError(
                f"{self.noun} is evaluated by one process, got {process_group.count}; start without torchrun"
            )
        if self.precision != "float32":
            raise TextseqError(f"evaluate: expected a model in float32, got {self.precision}; leave out the precision")
        kept = {} if self.cache is None else {n: v for n, v in self.cache.to_dict().items() if n.startswith("cache")}
        settings = {"window": window, "streams": streams, **kept, **adaptation}
        config = LanguageEvaluationConfig.from_dict(settings, where="evaluate")
        condition = self._default if condition is None else condition
        return measure_split(self.model, self.tokenizer, self.info, dataset, split, config, condition, progress)

    def start_token(self) -> torch.Tensor:
        """The id of ``START``, (1,), or 0 if the vocabulary lacks it."""
        first = int(self.tokenizer.encode(START)[0])
        return torch.tensor([0 if first in self.tokenizer.fallback else first], device=self.device)

    def _opening(self, condition: Conditioned | None) -> torch.Tensor:
        """What precedes a text without a prompt: ``START``, twice where blank lines are usual, as ids (1,) or (2,)."""
        start = self.start_token()
        (logits,) = self._logits(start, condition)
        likely = logits[-1].softmax(-1)[start] >= BLANK_LINE
        return start.repeat(2) if bool(likely) and self.tokenizer.decode(start.cpu().numpy()) == START else start

    def context(self, prompt: str, condition: Conditioned | None = None) -> torch.Tensor:
        """What precedes a text and its prompt as ids, (1, T); a TextseqError if the prompt is no string."""
        if not isinstance(prompt, str):
            raise TextseqError(f"prompts: expected strings, got {type(prompt).__name__}; an empty one is ''")
        if not prompt:
            return self._opening(condition).unsqueeze(0)
        ids = torch.from_numpy(self.tokenizer.encode(prompt)).to(self.device)
        return torch.cat([self.start_token(), ids]).unsqueeze(0)
