"""What a translator gives for a sentence: its translation, with score, attention weights and word alignment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from textseq.errors import TextseqError
from textseq.io.colored_text import html_lines
from textseq.tasks.translation.plots import attention_figure, attention_table
from textseq.tokenizers.base import END

if TYPE_CHECKING:
    from textseq.io.figure import Picture

MOST_WEIGHTS = 2**24
"""Attention weights of a text of several sentences at most; a longer one has none."""

MOST_CELLS = 10_000
"""Attention weights that a notebook shows as a table; more would slow the browser."""

AttentionWeights = npt.NDArray[np.float32]
"""Attention weights, (T, S)."""


@dataclass(frozen=True)
class Translation:
    """One translation of a sentence. Shapes: S source tokens, T target tokens."""

    text: str
    score: float
    """The search's score: log-probability in nats over the length factor, less the coverage penalty."""
    source_tokens: tuple[str, ...] = ()
    """(S,), ``</s>`` included."""
    tokens: tuple[str, ...] = ()
    """(T,), without ``</s>`` if truncated."""
    attention: AttentionWeights | None = field(default=None, compare=False, repr=False)
    """Attention weights (T, S); None if not requested, without attention, and for an empty sentence."""
    doubtful: bool = field(default=False, compare=False)
    """Whether the model itself finds it unlikely: its score is lower than that of nearly all validation sentences."""
    has_attention: bool = field(default=True, compare=False, repr=False)
    """Whether the model has attention."""
    source_surfaces: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """(S,), the part of the sentence as given that each source token stands for, with the space before it; "" for
    ``</s>``. Empty without attention weights."""

    @property
    def finished(self) -> bool:
        """Whether the translation is complete; otherwise it was truncated at its length limit."""
        return self.tokens[-1:] == (END,) or not self.source_tokens

    def alignment(self) -> list[tuple[int, int]]:
        """Word alignment: for each target word, the source word with the largest attention weight.

        Returns:
            Pairs (source word, target word), counted from 0 between spaces, in the order of the target.

        Raises:
            TextseqError: the attention was not requested, or the model has none.
        """
        source, target = word_numbers(self.source_surfaces or self.source_tokens), word_numbers(self.tokens)
        if not source or not target:
            return []
        rows, columns = ([n for n, words in enumerate(side) for _ in words] for side in (target, source))
        weights = np.zeros((target[-1][-1] + 1, source[-1][-1] + 1))
        places = np.ix_([*chain.from_iterable(target)], [*chain.from_iterable(source)])
        np.add.at(weights, places, self._weights("alignment")[np.ix_(rows, columns)])
        several = [(one, other) for one in target if len(one) > 1 for other in source if len(other) == len(one)]
        for one, other in several:  # a name of two words that is copied as one token: its first belongs to the first
            weights[np.ix_(one, other)] *= np.eye(len(one))
        return [(int(best), word) for word, best in enumerate(weights.argmax(axis=1))]

    def plot(self) -> Picture:
        """The attention weights as a figure of matplotlib.

        Raises:
            TextseqError: the attention was not requested, or the model has none.
        """
        return attention_figure(self._weights("plot"), self.source_tokens, self.tokens)

    def _weights(self, use: str) -> AttentionWeights:
        if not self.has_attention:
            raise TextseqError(f"{use}: expected a model with attention, got one without; use another model")
        if self.attention is None:
            raise TextseqError(f"{use}: expected attention weights, got none; translate with attention=True")
        return self.attention

    def _repr_html_(self) -> str:
        doubt = " (doubtful)" if self.doubtful else ""
        text = html_lines(self.text + doubt)
        if self.attention is None or not self.attention.size or self.attention.size > MOST_CELLS:
            return text
        return f"{text}\n{attention_table(self.attention, self.source_tokens, self.tokens)}"


def word_numbers(tokens: Sequence[str]) -> list[list[int]]:
    """The numbers of the words that each token belongs to; spaces belong to the word after them.

    Tokens have one word or a part of it; copied names, which stand for one token, may have several. Tokens after the
    last word, ``</s>`` or spaces, get no number.
    """
    texts = [token.replace("<0x20>", " ") for token in tokens]  # of byte models
    while texts and (texts[-1] in ("", END) or not texts[-1].strip(" ")):
        texts.pop()
    numbers: list[list[int]] = []
    word, begun = 0, False
    for text in texts:
        if begun and text.startswith(" "):
            word, begun = word + 1, False
        begun = begun or bool(text.strip(" "))
        more = len(text.split()[1:])
        numbers.append([*range(word, word + more + 1)])
        word += more
    return numbers


def joined(parts: Sequence[Translation]) -> Translation:
    """The translation of a text of several sentences from theirs; its score is that of the least likely one.

    Attention to the ``</s>`` of any sentence counts as attention to the text's only one, its last token.
    """
    if len(parts) == 1:
        return parts[0]
    finished = all(part.finished for part in parts)
    tokens = (*_spaced(part.tokens[: len(part.tokens) - part.finished] for part in parts), *[END] * finished)
    source_tokens = (*_spaced(part.source_tokens[:-1] for part in parts), END)
    fits = parts[0].attention is not None and len(tokens) * len(source_tokens) <= MOST_WEIGHTS
    weights = np.zeros((len(tokens), len(source_tokens)), np.float32) if fits else None
    row = column = 0
    for number, part in enumerate(parts, start=1):
        if weights is not None and part.attention is not None:
            ends = row + len(part.tokens) - (part.finished and not (finished and number == len(parts)))
            block = part.attention[: ends - row]
            weights[row:ends, column : column + block.shape[1] - 1] = block[:, :-1]
            weights[row:ends, -1] = block[:, -1]
            row, column = ends, column + block.shape[1] - 1
    return replace(
        parts[-1],
        text=" ".join(part.text for part in parts),
        score=min(part.score for part in parts),
        source_tokens=source_tokens,
        tokens=tokens,
        attention=weights,
        doubtful=any(part.doubtful for part in parts),
        source_surfaces=(*_spaced(part.source_surfaces[:-1] for part in parts), "") if weights is not None else (),
    )


def _spaced(sentences: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The tokens of all sentences, with a space before each but the first, unless bytes are spelled."""
    first, *others = sentences
    return *first, *(
        " " * (n == 0 and not token.startswith((" ", "<0x"))) + token for one in others for n, token in enumerate(one)
    )
