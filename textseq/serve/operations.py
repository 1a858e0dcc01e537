"""What is computed for requests in batches: an operation for each, equal if they can be computed together."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textseq.decoding.beam import length_factor
from textseq.errors import TextseqError
from textseq.serve.gathering import Operation
from textseq.tasks.classification.classifier import Classifier
from textseq.tasks.classification.explain import Explanation
from textseq.tasks.classification.label_classifier import Classification
from textseq.tasks.language_model.generator import TextGenerator
from textseq.tasks.language_model.memorization import Memorization, memorization_of, training_text
from textseq.tasks.language_model.surprisal import Score
from textseq.tasks.tagging.result import Tagging
from textseq.tasks.tagging.tagger import Tagger, WordSplitting
from textseq.tasks.translation.inference.detokenize import TruncationLog
from textseq.tasks.translation.inference.sentence import LONGEST
from textseq.tasks.translation.result import Translation
from textseq.tasks.translation.translator import Translator
from textseq.tokenizers.base import END

SPELLED = re.compile("<0x([0-9A-F]{1,2})>")
"""A token that is a byte or half a byte of a character in UTF-8."""


@dataclass(frozen=True)
class Translate(Operation[list[Translation]]):
    """Translations of sentences, best first, ``count`` of each at most.

    The notes of a terminal are not logged: a sentence that would not be read whole is refused, and answers and metrics
    say which translations were cut off.
    """

    translator: Translator
    num_beams: int
    count: int = 1
    attention: bool = False

    def __call__(self, texts: Sequence[str]) -> list[list[Translation]]:
        for text in texts:
            if (length := len(self.translator.vocabularies.source.encode(text))) > LONGEST:
                raise TextseqError(
                    f"expected sentences of at most {LONGEST:,} tokens, got {length:,}; give it in parts"
                )
        return self.translator.translate_all(
            texts,
            attention=self.attention,
            truncated=TruncationLog(quiet=True),
            num_beams=self.num_beams,
            num_return_sequences=min(self.count, self.num_beams),
        )


@dataclass(frozen=True)
class Align(Operation[list[Translation]]):
    """A known translation of each text, in the shape of those of ``Translate``."""

    translator: Translator
    target: str

    def __call__(self, texts: Sequence[str]) -> list[list[Translation]]:
        return [[result] for result in self.translator.align(texts, [self.target] * len(texts))]


@dataclass(frozen=True)
class Classify(Operation[Classification]):
    """The label of each text."""

    classifier: Classifier

    def __call__(self, texts: Sequence[str]) -> list[Classification]:
        return self.classifier.classify(texts)


@dataclass(frozen=True)
class Explain(Operation[Explanation]):
    """What each word contributes to a label, by default the most probable one."""

    batched: ClassVar[bool] = False
    classifier: Classifier
    label: str | None = None

    def __call__(self, texts: Sequence[str]) -> list[Explanation]:
        return [self.classifier.explain(text, label=self.label) for text in texts]


@dataclass(frozen=True)
class Tag(Operation[Tagging]):
    """The tags of each sentence."""

    tagger: Tagger
    words: WordSplitting = "nltk"

    def __call__(self, texts: Sequence[str]) -> list[Tagging]:
        return self.tagger.tag(texts, words=self.words)


@dataclass(frozen=True)
class ScoreText(Operation[Score]):
    """The surprisal of each text."""

    batched: ClassVar[bool] = False
    generator: TextGenerator

    def __call__(self, texts: Sequence[str]) -> list[Score]:
        return [self.generator.score(text) for text in texts]


@dataclass(frozen=True)
class FindCopied(Operation[Memorization]):
    """What each text copies from the model's training text, which must be on this machine."""

    batched: ClassVar[bool] = False
    generator: TextGenerator

    def __call__(self, texts: Sequence[str]) -> list[Memorization]:
        corpus, normalization = training_text(self.generator.info), self.generator.tokenizer.normalization
        return [memorization_of(text, corpus, normalization=normalization) for text in texts]


@dataclass(frozen=True)
class Likelihood(Operation[float]):
    """Log-probability of each text, in nats, as one of a language model, or of a translator's target language.

    A translator does not know texts without a source; the text itself is given as one.
    """

    model: Translator | TextGenerator

    def __call__(self, texts: Sequence[str]) -> list[float]:
        if isinstance(self.model, Translator):
            return self.model.score(texts, texts)
        return [-self.model.score(text).nats for text in texts]


def log_p_per_token(translation: Translation, length_penalty: float = 1.0) -> float:
    """Mean log-probability of a translation's tokens, in nats, from the score of its search."""
    count = len(translation.tokens)
    return translation.score * length_factor(count, length_penalty) / count if count else 0.0


def token_texts(tokens: Sequence[str]) -> list[str]:
    """The text of each token of a translator; "" for ``</s>``.

    Of the tokens that spell a character byte by byte, the last has it and the others are "".
    """
    decoder, half, texts = codecs.getincrementaldecoder("utf-8")("replace"), "", list[str]()
    for token in tokens:
        if (spelled := SPELLED.fullmatch(token)) is None:
            texts.append(decoder.decode(b"", final=True) + token.removesuffix(END))
            continue
        byte = half + spelled[1]
        texts.append(decoder.decode(bytes.fromhex(byte)) if len(byte) == 2 else "")
        half = byte if len(byte) == 1 else ""
    return texts
