"""From text to tokens and back: a sentence as it is read, and a translation with what belongs together in it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from textseq.data.pairs import read_sentence, written_sentence
from textseq.decoding.beam import Hypothesis
from textseq.errors import TextseqError
from textseq.io.lines import LONGEST as LONGEST_LINE
from textseq.tasks.translation.vocabularies import Vocabularies
from textseq.tokenizers.base import Ids, Tokenizer
from textseq.tokenizers.words import UNKNOWN, WordTokenizer

log = logging.getLogger("textseq")


END = "</s>"
"""How the token that ends a text is shown."""

LONGEST = 2000
"""Tokens that are read of a sentence. No model is good at sentences so long; it bounds memory and time."""

NAMED = 5
"""Translations without an end that are named one by one; there may be as many as there are sentences."""


Look = npt.NDArray[np.float32]
"""Weights of an attention, (T, S)."""


@dataclass(frozen=True)
class Sentence:
    """A sentence to translate, and how its translation must begin."""

    number: int
    """Its place among the others, from 1."""
    text: str
    ids: Ids
    """Without the token that ends it; none of a sentence of white space."""
    prefix: str = ""
    forced: tuple[int, ...] = ()
    """The prefix in tokens."""


@dataclass(frozen=True)
class Translation:
    """One translation of a sentence. Shapes: S tokens of the source, T of the translation."""

    text: str
    score: float
    """What the search ranks by: log-probability in nats over the length factor, less the coverage penalty."""
    source_tokens: tuple[str, ...] = ()
    """What the model read, (S,): ``</s>`` is the last of them."""
    tokens: tuple[str, ...] = ()
    """What it wrote, (T,): without ``</s>`` at the end if it came to no end."""
    attention: Look | None = field(default=None, compare=False, repr=False)
    """How much it looked at each source token before it wrote each token, (T, S); None if that was not asked for, of a
    model without attention, and of an empty sentence."""
    attends: bool = field(default=True, compare=False, repr=False)
    """Whether the model has attention."""

    @property
    def finished(self) -> bool:
        """Whether it came to an end; otherwise the limit of its length cut it off."""
        return self.tokens[-1:] == (END,) or not self.source_tokens

    def alignment(self) -> list[tuple[int, int]]:
        """Which words belong together: for each word written, the word of the source most looked at.

        Returns:
            Pairs (source word, target word), counted from 0 between spaces, in the order of the target.

        Raises:
            TextseqError: the attention was not asked for, or the model has none.
        """
        source, target = word_numbers(self.source_tokens), word_numbers(self.tokens)
        if not source or not target:
            return []
        if not self.attends:
            raise TextseqError("an alignment wants attention, which this model has not; use another model")
        if self.attention is None:
            raise TextseqError("an alignment wants the attention; translate with attention=True")
        looks = np.zeros((target[-1] + 1, source[-1] + 1))
        np.add.at(looks, np.ix_(target, source), self.attention[: len(target), : len(source)])
        return [(int(best), word) for word, best in enumerate(looks.argmax(axis=1))]


def word_numbers(tokens: Sequence[str]) -> list[int]:
    """The number of the word between spaces that each token belongs to: spaces go with the word after them.

    What comes after the last word, ``</s>`` or spaces, gets no number.
    """
    texts = [token.replace("<0x20>", " ") for token in tokens]  # of a model that reads bytes
    while texts and (texts[-1] == END or not texts[-1].strip(" ")):
        texts.pop()
    numbers, word, begun = [], 0, False
    for text in texts:
        if begun and text.startswith(" "):
            word, begun = word + 1, False
        begun = begun or bool(text.strip(" "))
        numbers.append(word)
    return numbers


def read(vocabularies: Vocabularies, text: str, prefix: str, number: int) -> Sentence:
    """A sentence in tokens; of one that has no end, the first ``LONGEST``, which is logged with its number.

    Raises:
        TextseqError: it is no text, or one that cannot be encoded.
    """
    for given in (text, prefix):
        if not isinstance(given, str):
            raise TextseqError(
                f"sentences must be texts, found {type(given).__name__} with sentence {number}; an empty one is ''"
            )
    ids = _encode(vocabularies.source, text)
    if len(ids) > LONGEST and len(text) != LONGEST_LINE:  # a line that was cut there has been named
        log.warning(
            "note: sentence %d has %d tokens, of which the first %d are read; give it in parts",
            *(number, len(ids), LONGEST),
        )
    return Sentence(number, text, ids[:LONGEST], prefix, tuple(_encode(vocabularies.target, prefix).tolist()))


def written(
    vocabularies: Vocabularies,
    sentence: Sentence,
    found: Hypothesis,
    look: Look | None,
    *,
    replace_unknown: bool = False,
) -> Translation:
    """What was found for a sentence, as text.

    Args:
        vocabularies: of the model.
        sentence: what was translated.
        found: the tokens of the translation.
        look: where the model looked, (T, S).
        replace_unknown: write for each unknown word the word of the source most looked at, as it stands there.
    """
    source, target = vocabularies.source, vocabularies.target
    ids = without_end(found, target.size)
    names = [target.vocabulary[token] for token in ids]
    fresh = slice(len(sentence.forced), None)
    if replace_unknown and look is not None and isinstance(source, WordTokenizer):
        surfaces = source.surfaces(read_sentence(sentence.text))[: len(sentence.ids)]
        best = (surfaces[place].strip(" ") for place in look[: len(ids), : len(surfaces)].argmax(axis=1))
        pairs = zip(names, best, strict=True)
        text = "".join([name.replace(UNKNOWN[0], word) if name in UNKNOWN else name for name, word in pairs][fresh])
    else:
        text = target.decode(ids[fresh])
    return Translation(
        text=written_sentence(read_sentence(sentence.prefix) + text),
        score=found.score,
        source_tokens=(*(source.vocabulary[token] for token in sentence.ids.tolist()), END),
        tokens=(*names, END) if len(ids) < len(found.tokens) else tuple(names),
        attention=look,
    )


class Unfinished:
    """Notes of the translations that met their limit, of which the first few are named."""

    def __init__(self) -> None:
        self.count = 0

    def note(self, number: int, translation: Translation) -> None:
        """Log the translation of the sentence of this number, unless that was done for enough others."""
        self.count += 1
        if self.count <= NAMED:
            log.warning(
                "note: the translation of sentence %d was cut off at its limit of %d tokens; to let it go on, raise "
                "--max-new-tokens or --max-length-ratio",
                *(number, len(translation.tokens)),
            )
        elif self.count == NAMED + 1:
            log.warning("note: translations of further sentences were cut off too; they are not named")


def different(vocabularies: Vocabularies, found: Sequence[Hypothesis]) -> list[Hypothesis]:
    """Hypotheses, best first, without those that are the text of a better one in other tokens."""
    target = vocabularies.target
    texts: dict[str, Hypothesis] = {}
    for hypothesis in found:
        texts.setdefault(written_sentence(target.decode(without_end(hypothesis, target.size))), hypothesis)
    return list(texts.values())


def without_end(found: Hypothesis, end: int) -> tuple[int, ...]:
    """The tokens of a hypothesis that are text."""
    return found.tokens[:-1] if found.tokens[-1:] == (end,) else found.tokens


def _encode(tokenizer: Tokenizer, text: str) -> Ids:
    """The ids of a sentence, always in its best segmentation; none of white space."""
    return tokenizer.encode(read_sentence(text)) if text.strip() else np.empty(0, np.int64)
