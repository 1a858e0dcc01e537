"""Codes, rare names and amounts are copied: what a model knows well stands for them while it translates.

Codes give way to names before a sentence is translated. Names and amounts do only where its translation lacks them: it
is translated once more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from textseq.decoding.beam import Hypothesis
from textseq.tasks.translation.inference.request import Request
from textseq.tasks.translation.inference.sentence import (
    Sentence,
    tokenize_sentence,
    tokenize_text,
    with_alternatives,
    with_other_amounts,
)
from textseq.tasks.translation.result import Translation
from textseq.tasks.translation.vocabularies import Vocabularies
from textseq.tokenizers.copied import unused_names
from textseq.tokenizers.source_style import WORD, SourceStyle

FAR_MORE_LIKELY = 3.0
"""Nats by which well-known names in the place of rare ones must make a translation more likely; none for names that
training always copies. With less, more words that the model translates rightly ("Romania") would be copied too."""

REMAINS = 0.5
"""Share of the nats that may remain then; more have other reasons than the names."""

Found = tuple[Hypothesis, list[Translation]]
"""The best hypothesis and the translations of a sentence, best first."""


class Decode(Protocol):
    """Translates a batch; ``insist`` makes the search contain the stand-ins."""

    def __call__(self, batch: Sequence[Sentence], request: Request, *, insist: bool = False) -> list[Found]: ...


class Copying:
    """Reads sentences with stand-ins for what is to be copied, and translates some of them again.

    Args:
        vocabularies: the tokenizers.
        style: of the training's sources.
        decode: the search.
    """

    def __init__(self, vocabularies: Vocabularies, style: SourceStyle, decode: Decode) -> None:
        self._vocabularies, self._style, self._decode = vocabularies, style, decode
        self._names = self._single_tokens(style.stand_ins)
        self._numbers = self._single_tokens(style.numbers)

    def _single_tokens(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those that are one token of both vocabularies, so that tokens keep their meaning."""
        sides = (self._vocabularies.source.vocabulary, self._vocabularies.target.vocabulary)
        return tuple(name for name in names if all(f" {name}" in side for side in sides))

    def sentences(self, number: int, pair: tuple[str, str], request: Request) -> list[Sentence]:
        """The sentences of a text, the first with the prefix of its translation, in tokens."""
        config, glossary = request.config, request.glossary
        style = self._style if config.tidy else None
        names = self._names if config.copy_codes else ()
        sentences = tokenize_text(self._vocabularies, *pair, number, glossary, style, names)
        if not (config.copy_names and self._style.names) or request.samples:
            return sentences
        source = self._vocabularies.source
        return [with_alternatives(one, source, self._style, self._names, glossary) for one in sentences]

    def known_pairs(self, source: str, target: str, number: int) -> Iterator[Sentence]:
        """A sentence and its translation with others in the place of codes, rare names and amounts that both have."""
        source_tokens, target_tokens = self._vocabularies.source, self._vocabularies.target
        names = unused_names(self._names, target)
        sentence = tokenize_sentence(self._vocabularies, source, "", number, style=self._style, stand_ins=names)
        several = [sentence, *with_alternatives(sentence, source_tokens, self._style, names).alternatives]
        numbers = unused_names(self._numbers, target)
        several += [other for one in several for other in with_other_amounts(one, source_tokens, numbers)]
        for one in several:
            if one.codes and (pair := one.with_translation(target, target_tokens)) is not None:
                yield pair

    def mend(self, batch: Sequence[Sentence], results: list[Found], request: Request) -> None:
        """Translate again what lacks something to be copied; better results take their places."""
        lacking = [n for n, (_, (best, *_)) in enumerate(results) if not batch[n].copied(best.text)]
        again = self._decode([batch[n] for n in lacking], request, insist=True)
        for n, result in zip(lacking, again, strict=True):
            results[n] = result
        read = [*batch]
        rare = [n for n, (_, (best, *_)) in enumerate(results) if batch[n].lacks_names(best.text)]
        penalty, found = request.config.length_penalty, results[:]
        most = max((len(batch[n].alternatives) for n in rare), default=0)
        for rank in range(most):  # all at once would be a batch of up to three times the size
            others = [(n, batch[n].alternatives[rank]) for n in rare if rank < len(batch[n].alternatives)]
            for (n, other), result in zip(others, self._decode([other for _, other in others], request), strict=True):
                before, after = found[n][0].log_p(penalty), result[0].log_p(penalty)
                needed = before if self._surely(other) else max(before + FAR_MORE_LIKELY, REMAINS * before)
                if after > max(needed, results[n][0].log_p(penalty)) and other.copied_once(result[1][0].text):
                    results[n], read[n] = result, other
        if request.config.copy_codes and self._numbers:
            self._copy_amounts(read, results, request)

    def _copy_amounts(self, read: Sequence[Sentence], results: list[Found], request: Request) -> None:
        """Translate again, with numbers that training always copies, what lacks an amount; the likeliest way counts."""
        source = self._vocabularies.source
        lacking = [
            (n, other)
            for n, (sentence, (_, (best, *_))) in enumerate(zip(read, results, strict=True))
            if sentence.lacks_amounts(best.text, source.vocabulary)
            for other in with_other_amounts(sentence, source, self._numbers, request.glossary)
        ]
        again = self._decode([other for _, other in lacking], request, insist=True)
        likeliest: dict[int, float] = {}
        for (n, other), result in zip(lacking, again, strict=True):
            score = result[0].score
            if other.copied_once(result[1][0].text) and score > likeliest.get(n, -math.inf):
                results[n], likeliest[n] = result, score

    def _surely(self, sentence: Sentence) -> bool:
        """Whether training always copies the names that others stand for in a sentence."""
        return self._style.copied.issuperset(part for name in sentence.codes.values() for part in WORD.findall(name))
