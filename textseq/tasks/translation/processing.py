"""Pre- and post-processing of translation: sentences to tokens, hypotheses to ``Translation``."""

from __future__ import annotations

import logging
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from textseq.data.pairs import read_sentence, written_sentence
from textseq.data.readers.glossary import Glossary
from textseq.decoding.beam import Hypothesis
from textseq.errors import TextseqError
from textseq.io.colored_text import html_lines
from textseq.io.lines import LONGEST as LONGEST_LINE
from textseq.tasks.translation.plots import attention_figure, attention_table
from textseq.tasks.translation.vocabularies import Vocabularies
from textseq.tokenizers.base import END, Ids, Tokenizer
from textseq.tokenizers.copied import amounts, codes, has_amount, rare_names, unused_names, with_stand_ins
from textseq.tokenizers.frame import frame
from textseq.tokenizers.normalization import normalize
from textseq.tokenizers.source_style import SourceStyle
from textseq.tokenizers.words import UNKNOWN

if TYPE_CHECKING:
    from textseq.io.figure import Picture

log = logging.getLogger("textseq")

LONGEST = 2000
"""Source tokens at most; bounds memory and time. No model is good at longer sentences."""

NAMED = 5
"""Truncated translations that are logged one by one."""

MOST_CELLS = 10_000
"""Attention weights that a notebook shows as a table; more would slow the browser."""

STAND_IN_ORDERS = 3
"""Names or numbers at most that are tried in the place of a rare one."""

BREAKS = re.compile(r"[\t-\r\x1c-\x1f\x85\u2028\u2029]+")
"""White space that would end a line or a column of the output."""

AttentionWeights = npt.NDArray[np.float32]
"""Attention weights, (T, S)."""


@dataclass(frozen=True)
class Sentence:
    """A sentence to translate."""

    number: int
    """Its number in the input, from 1."""
    text: str
    ids: Ids
    """Without the end-of-sentence token; empty for white space."""
    read: str = ""
    """The text that the ids stand for: as given, or put into the style of the training."""
    before: str = ""
    """What stands before it and before its translation alike, such as the dash of a list; no part of ``text``."""
    after: str = ""
    """The same for what stands after it."""
    prefix: str = ""
    """The text that the translation must begin with."""
    forced_prefix: tuple[int, ...] = ()
    """The prefix in tokens."""
    phrases: tuple[tuple[int, ...], ...] = ()
    """What the translation must contain, in tokens."""
    codes: Mapping[str, str] = field(default_factory=dict)
    """What is copied into the translation, by the name that stands for it in ``text`` and ``read``."""
    alternatives: tuple[Sentence, ...] = ()
    """The sentence with other names in the place of its rare ones, if it has any; the same names in several orders."""

    def copied(self, translation: str) -> bool:
        """Whether a translation has all codes."""
        return all(code in translation for code in self.codes.values())

    def copied_once(self, translation: str) -> bool:
        """Whether a translation has all codes as often as the sentence."""
        return all(
            len(_whole(code).findall(translation)) == len(_whole(name).findall(self.text))
            for name, code in self.codes.items()
        )

    def lacks_names(self, translation: str) -> bool:
        """Whether a translation lacks one of the rare names."""
        return any(not sentence.copied(translation) for sentence in self.alternatives[:1])

    def lacks_amounts(self, translation: str, known: Container[str]) -> bool:
        """Whether a translation lacks an amount; a known sign of money in it may have become a word."""
        return not all(has_amount(translation, self.text[start:end], known) for start, end in amounts(self.text))

    def all_phrases(self, target: Tokenizer) -> tuple[tuple[int, ...], ...]:
        """The phrases, and the names that stand for codes."""
        return *self.phrases, *(_phrase(target, name) for name in self.codes)

    def restored(self, text: str) -> str:
        """A text with the codes in place of their stand-ins, where these are whole words: "Tomorrow" has no "Tom"."""
        for name, code in self.codes.items():
            text = code.join(_whole(name).split(text))
        return text

    def restored_tokens(self, tokens: Sequence[str]) -> tuple[str, ...]:
        """The same for tokens: one that a letter follows is the beginning of a word."""
        following = [*tokens, ""][1:]
        return tuple(
            token if then[:1].isalnum() else self.restored(token) for token, then in zip(tokens, following, strict=True)
        )

    def framed(self, parts: Sequence[str]) -> tuple[str, ...]:
        """The parts of the sentence or its translation, such as tokens, with what stands before and after it."""
        if not parts or not (self.before or self.after):
            return (*parts,)
        first, *others = parts
        *parts, last = [" " * first.startswith(" ") + self.before + first.lstrip(" "), *others]
        return *parts, last + self.after

    def with_translation(self, text: str, target: Tokenizer) -> Sentence | None:
        """The sentence with a known translation as its prefix, in which names stand for the codes, too.

        None if the text has not all codes as whole words, or not what stands before and after the sentence.
        """
        if not (text.startswith(self.before) and text.endswith(self.after)):
            return None
        text = text.removeprefix(self.before).removesuffix(self.after)
        for name, code in sorted(self.codes.items(), key=lambda pair: -len(pair[1])):  # one may be part of another
            text, count = _whole(code).subn(name, text)
            if not count:
                return None
        return replace(self, prefix=text, forced_prefix=tuple(_encode(target, text).tolist()))


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


def tokenize_sentence(
    vocabularies: Vocabularies,
    text: str,
    prefix: str,
    number: int,
    glossary: Glossary | None = None,
    style: SourceStyle | None = None,
    stand_ins: Sequence[str] = (),
    *,
    known: bool = False,
) -> Sentence:
    """Tokenize a sentence, put into a style, its prefix and the translations of its terms.

    With a style, what stands around the sentence (see ``frame``) is put aside, unless its prefix lacks it or the
    glossary has it. The prefix is the beginning of a translation, or a whole one that is ``known``. More than
    ``LONGEST`` tokens are truncated, which is logged. Codes give way to the ``stand_ins``, as far as these suffice,
    unless the prefix or the glossary has them.

    Raises:
        TextseqError: not a string, or one that cannot be encoded.
    """
    for part in (text, prefix):
        if not isinstance(part, str):
            raise TextseqError(
                f"sentences: expected strings, got {type(part).__name__} with sentence {number}; an empty one is ''"
            )
    before, after = "", ""
    if style is not None and style != SourceStyle():
        begin, sentence, end = frame(text)
        begin, end = BREAKS.sub(" ", begin.lstrip()), BREAKS.sub(" ", end.rstrip())
        if known:
            aside = bool(sentence) and prefix.startswith(begin) and prefix.endswith(end)
        else:
            aside = not prefix or prefix.startswith(begin)
        if aside and not (glossary and (glossary.targets(begin) or glossary.targets(end))):
            before, text, after = begin, sentence, end
            prefix = prefix.removeprefix(before).removesuffix(after)
    read = text if style is None else style.apply(text)
    names = unused_names(stand_ins, text, prefix)
    places = _not_required(text, codes(text), prefix, glossary) if names else ()
    given, read, copied = with_stand_ins(text, read, places, names)
    ids = _encode(vocabularies.source, read)
    if len(ids) > LONGEST and len(text) != LONGEST_LINE:  # the reader of lines reports those that it truncated
        log.warning(
            "note: sentence %d has %d tokens, of which the first %d are read; give it in parts",
            *(number, len(ids), LONGEST),
        )
    phrases = [_phrase(vocabularies.target, term) for term in glossary.targets(text)] if glossary else []
    forced = tuple(_encode(vocabularies.target, prefix).tolist())
    return Sentence(number, given, ids[:LONGEST], read, before, after, prefix, forced, tuple(phrases), copied)


def with_alternatives(
    sentence: Sentence,
    source: Tokenizer,
    style: SourceStyle,
    stand_ins: Sequence[str],
    glossary: Glossary | None = None,
) -> Sentence:
    """A sentence with its alternatives: with stand-ins for names that are rare in the source's tokens.

    Names in the prefix and in the glossary's terms stay.
    """
    rare = rare_names(sentence.text, source, style.proper, style.copied) if stand_ins else []
    alternatives = _with_others(sentence, source, rare, stand_ins, glossary)
    return replace(sentence, alternatives=tuple(alternatives)) if alternatives else sentence


def with_other_amounts(
    sentence: Sentence, source: Tokenizer, stand_ins: Sequence[str], glossary: Glossary | None = None
) -> list[Sentence]:
    """A sentence with well-known numbers in the place of its amounts, in several orders; none if it has none."""
    return _with_others(sentence, source, amounts(sentence.text), stand_ins, glossary)


def _with_others(
    sentence: Sentence,
    source: Tokenizer,
    places: Iterable[tuple[int, int]],
    stand_ins: Sequence[str],
    glossary: Glossary | None,
) -> list[Sentence]:
    """A sentence with stand-ins at some places of its text, in several orders; see ``_not_required``."""
    text = sentence.text
    places = _not_required(text, places, sentence.prefix, glossary)
    names = unused_names(stand_ins, text, *sentence.codes.values(), sentence.prefix) if places else []
    several = []
    for first in range(min(len(names), STAND_IN_ORDERS)):
        given, read, copied = with_stand_ins(text, sentence.read, places, [*names[first:], *names[:first]])
        if copied:
            ids, copies = _encode(source, read)[:LONGEST], {**sentence.codes, **copied}
            several.append(replace(sentence, text=given, ids=ids, read=read, codes=copies, alternatives=()))
    return several


def _not_required(
    text: str, places: Iterable[tuple[int, int]], prefix: str, glossary: Glossary | None
) -> list[tuple[int, int]]:
    """The places whose text neither the prefix nor a term of the glossary has; in any case, as terms match."""
    kept = [part.lower() for part in (prefix, *(glossary.terms if glossary else ()))]
    return [(start, end) for start, end in places if not any(text[start:end].lower() in part for part in kept)]


def _whole(words: str) -> re.Pattern[str]:
    """Finds words that are no part of others."""
    return re.compile(rf"(?<!\w){re.escape(words)}(?!\w)")


def _phrase(target: Tokenizer, term: str) -> tuple[int, ...]:
    """The tokens of a term that a translation must contain; a TextseqError if the model cannot write it."""
    ids = _encode(target, term)
    written, expected = (written_sentence(text) for text in (target.decode(ids), normalize(term, target.normalization)))
    if written != expected:
        raise TextseqError(f"glossary: expected terms that the model can write, got '{term}'; it writes '{written}'")
    return tuple(ids.tolist())


def detokenize(
    vocabularies: Vocabularies,
    sentence: Sentence,
    hypothesis: Hypothesis,
    attention: AttentionWeights | None,
    *,
    replace_unknown: bool = False,
) -> Translation:
    """The translation of a sentence from its hypothesis and attention weights (T, S).

    ``replace_unknown`` replaces each unknown word with the surface form of the source word of the largest weight.
    """
    source, target, restored = vocabularies.source, vocabularies.target, sentence.restored
    ids = without_eos(hypothesis, target.size)
    names = [target.vocabulary[token] for token in ids]
    generated = slice(len(sentence.forced_prefix), None)
    surfaces: list[str] = []
    if attention is not None:
        given = read_sentence(sentence.text)
        spans = source.spans(read_sentence(sentence.read))[: len(sentence.ids)]
        surfaces = [*sentence.framed([restored(given[start:end]) for start, end in spans])]
    if replace_unknown and attention is not None:
        best = (surfaces[place].strip(" ") for place in attention[: len(ids), : len(surfaces)].argmax(axis=1))
        words = [
            name.replace(UNKNOWN[0], word) if name in UNKNOWN else name for name, word in zip(names, best, strict=True)
        ]
        text = "".join(words[generated])
    else:
        text = target.decode(ids[generated])
    source_tokens = sentence.restored_tokens([source.vocabulary[token] for token in sentence.ids.tolist()])
    written = restored(written_sentence(read_sentence(sentence.prefix) + text))
    return Translation(
        text=sentence.before + written + sentence.after,
        score=hypothesis.score,
        source_tokens=(*sentence.framed(source_tokens), END),
        source_surfaces=(*surfaces, "") if surfaces else (),
        tokens=(*sentence.framed(sentence.restored_tokens(names)), *[END] * (len(ids) < len(hypothesis.tokens))),
        attention=attention,
    )


class TruncationLog:
    """Logs translations that reached their length limit; only the first few one by one.

    Args:
        quiet: log nothing, for callers who say it in their own way (``Translation.finished``).
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.count = 0
        self._quiet = quiet

    def note(self, number: int, translation: Translation) -> None:
        """Log the truncated translation of the sentence of this number."""
        self.count += 1
        if self._quiet:
            return
        if self.count <= NAMED:
            log.warning(
                "note: the translation of sentence %d was cut off at its limit of %d tokens; to let it go on, raise "
                "--max-new-tokens or --max-length-ratio",
                *(number, len(translation.tokens)),
            )
        elif self.count == NAMED + 1:
            log.warning("note: translations of further sentences were cut off too; they are not named")


def unique_texts(vocabularies: Vocabularies, hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
    """Hypotheses, best first, without those whose text equals that of a better one."""
    target = vocabularies.target
    texts: dict[str, Hypothesis] = {}
    for hypothesis in hypotheses:
        texts.setdefault(written_sentence(target.decode(without_eos(hypothesis, target.size))), hypothesis)
    return list(texts.values())


def without_eos(hypothesis: Hypothesis, eos_id: int) -> tuple[int, ...]:
    """The tokens of a hypothesis without the end-of-sentence token."""
    return hypothesis.tokens[:-1] if hypothesis.tokens[-1:] == (eos_id,) else hypothesis.tokens


def _encode(tokenizer: Tokenizer, text: str) -> Ids:
    """The ids of a sentence in its best segmentation; none for white space."""
    return tokenizer.encode(read_sentence(text)) if text.strip() else np.empty(0, np.int64)
