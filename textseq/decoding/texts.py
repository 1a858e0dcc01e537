"""From prompts to texts: tokens that are sampled or searched for become pieces of text, up to a stop string."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from textseq.config.decoding import DecodingConfig
from textseq.decoding.beam import Ended, beam_search
from textseq.decoding.logit_bias import token_bias
from textseq.decoding.sampling import sample
from textseq.decoding.stopping import StopStrings
from textseq.nn.cells import State, Step
from textseq.tokenizers.base import Tokenizer


class TextDecoder:
    """Continues prompts as texts.

    Args:
        step: one step of the model, as of ``sample``.
        tokenizer: of the model.
        config: settings of decoding; several beams search, one samples.
        stop_strings: a text ends before the first of them.
        device: of the model.

    Example:
        >>> decoder = TextDecoder(writer.step, writer.tokenizer, DecodingConfig(max_new_tokens=9), (), writer.device)
        >>> "".join(decoder.stream(writer.context("RO"), writer.initial_state(1)))
    """

    def __init__(
        self,
        step: Step,
        tokenizer: Tokenizer,
        config: DecodingConfig,
        stop_strings: Sequence[str],
        device: torch.device,
    ) -> None:
        self.step, self.tokenizer, self.config, self.stop_strings = step, tokenizer, config, stop_strings
        self.bias = token_bias(config.logit_bias, tokenizer, device)

    def stream(
        self, prompt: Tensor, state: State, *, between: Callable[[int, State], State] | None = None
    ) -> Iterator[str]:
        """The continuation of one prompt (1, T), in pieces that can no longer change; ``between`` as of ``sample``."""
        if self.config.num_beams > 1:
            yield from filter(None, self.continuations(prompt, state))
            return
        decoder, stops = self.tokenizer.stream(), StopStrings(self.stop_strings)
        for tokens in sample(self.step, prompt, state, self.config, bias=self.bias, between=between):
            yield from filter(None, [stops.feed(decoder.feed(int(tokens[0])))])
            if stops.stopped:
                return
        yield from filter(None, [stops.feed(decoder.finish()) + stops.finish()])

    def continuations(self, prompt: Tensor, state: State) -> list[str]:
        """``num_return_sequences`` continuations of one prompt (1, T); those of beam search differ, best first.

        Args:
            prompt: (1, T).
            state: before the prompt, of one row for beam search, and otherwise of as many rows as texts.
        """
        count = self.config.num_return_sequences
        if self.config.num_beams > 1:
            return self._search(prompt, state)[:count]
        decoders = [self.tokenizer.stream() for _ in range(count)]
        stops = [StopStrings(self.stop_strings) for _ in decoders]
        texts = [""] * count
        for tokens in sample(self.step, prompt.expand(count, -1), state, self.config, bias=self.bias):
            for row, token in enumerate(tokens.tolist()):
                texts[row] += stops[row].feed(decoders[row].feed(token))
            if all(stop.stopped for stop in stops):
                break
        rest = (stop.feed(decoder.finish()) + stop.finish() for stop, decoder in zip(stops, decoders, strict=True))
        return [text + end for text, end in zip(texts, rest, strict=True)]

    def _search(self, prompt: Tensor, state: State) -> list[str]:
        """Distinct continuations by beam search, best first."""
        (hypotheses,) = beam_search(self.step, prompt, state, self.config, bias=self.bias, ended=self._ended())
        texts = []
        for hypothesis in hypotheses:
            stops = StopStrings(self.stop_strings)
            texts.append(stops.feed(self.tokenizer.decode(hypothesis.tokens)) + stops.finish())
        return list(dict.fromkeys(texts))

    def _ended(self) -> Ended | None:
        """Which texts end at a stop string."""
        stops = [stop for stop in self.stop_strings if stop]

        def ended(written: Tensor) -> Tensor:
            texts = map(self.tokenizer.decode, written.cpu().numpy())
            return torch.tensor([any(stop in text for stop in stops) for text in texts], device=written.device)

        return ended if stops else None
